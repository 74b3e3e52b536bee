"""A real browser for the tests of the site: Chromium without a window, driven through ChromeDriver's own protocol."""

import base64
import json
import socket
import subprocess
import time
import urllib.request
from urllib.error import URLError

CHROMIUM = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no name resolves: the page is on its own
]


class Browser:
    """`with Browser(driver, profile) as browser: browser.open(url); browser.run("return 1 + 1")`"""

    def __init__(self, driver, profile):
        self.driver, self.profile = driver, profile

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen([self.driver, f"--port={port}"], stdout=subprocess.DEVNULL)
        self.address = f"http://127.0.0.1:{port}"
        options = {"args": [*CHROMIUM, f"--user-data-dir={self.profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        try:
            self.wait()
            session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.address += f"/session/{session['sessionId']}"
        self.open("about:blank")
        self.log("performance")  # requests of the browser's own first page
        return self

    def __exit__(self, *_):
        try:
            self.ask("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(10)

    def wait(self):
        for _ in range(100):
            try:
                return self.ask("GET", "/status")
            except (URLError, ConnectionError):
                time.sleep(0.1)
        raise TimeoutError("ChromeDriver does not answer within 10 s")

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def log(self, kind):
        return self.ask("POST", "/se/log", {"type": kind})

    def command(self, name, **parameters):
        """One command of the DevTools protocol, such as Emulation.setEmulatedMedia"""
        return self.ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def drag(self, start, end, pointer="mouse", moves=5):
        """Presses at `start`, moves to `end` in equal steps and lets go; (x, y) are CSS pixels of the window"""
        places = [[a + (b - a) * i / moves for a, b in zip(start, end, strict=True)] for i in range(moves + 1)]
        deeds = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 20} for x, y in places]
        deeds[1:1] = [{"type": "pointerDown", "button": 0}]
        deeds += [{"type": "pointerUp", "button": 0}]
        source = {"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": deeds}
        self.ask("POST", "/actions", {"actions": [source]})

    def press(self, *keys):
        """Presses and releases each key: a character, or a code of WebDriver such as "\ue004" for Tab"""
        deeds = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": deeds}]})

    def screenshot(self):
        return base64.b64decode(self.ask("GET", "/screenshot"))

    def requests(self):
        """[(method, parameters)] of the network events since the last call"""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [(e["method"], e["params"]) for e in events if e["method"].startswith("Network.")]

"""The checker's side of the submission's process: starts it, asks it, and ends it when it does not answer in time.

The checker keeps Hypothesis, the right answers and the clock; the other process only computes. So an endless loop, a
crash of the interpreter or a changed global can spoil one function, never the judgement of the others.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from .wire import decode, encode

MEMORY = 2 * 1024**3  # bytes a submission may ask for beyond what NumPy and PyTorch take themselves
START = 120  # seconds for the interpreter and its imports, which are not the submission's fault


class Lost(BaseException):
    """The process is gone, by itself or because its time was up. A BaseException: Hypothesis would swallow another"""


class Raised(Exception):
    """The submission's function raised: `kind`, and what happened in words"""

    def __init__(self, kind, words):
        super().__init__(words)
        self.kind, self.words = kind, words


class Sandbox:
    """`with Sandbox(path, blocks, seconds) as box: box.call(name, arguments, seconds)`"""

    def __init__(self, path, blocks, seconds):
        self.folder, self.blocks, self.seconds = str(Path(path).resolve().parent), blocks, seconds
        self.definitions_only = Path(path).suffix == ".ipynb"
        self.process: Any = None

    def __enter__(self):
        """The first load; a file whose own code never ends is read again for its definitions only"""
        try:
            self.loaded = self.start()
        except Lost as lost:
            if self.definitions_only:
                self.loaded = {"defined": [], "broken": {}, "notes": [f"the file {lost}"]}
                return self
            self.definitions_only = True
            try:
                self.loaded = self.start()
                self.loaded["notes"].insert(0, f"the file's own code {lost}; only its definitions were read")
            except Lost:
                self.loaded = {"defined": [], "broken": {}, "notes": [f"the file's own code {lost}"]}
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self.answers: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=listen, args=(self.process.stdout, self.answers), daemon=True).start()
        self.ask({"do": "prepare", "folder": self.folder, "blocks": self.blocks, "memory": MEMORY}, START)
        return self.ask({"do": "load", "blocks": self.blocks, "definitions_only": self.definitions_only}, self.seconds)

    def ready(self):
        """A process for the next function, whatever became of the last; its start takes nobody's time"""
        if self.process is None:
            with contextlib.suppress(Lost):
                self.start()

    def ask(self, request, seconds):
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
            line = self.answers.get(timeout=max(seconds, 0.001))
        except queue.Empty:
            self.stop()
            raise Lost(f"did not finish within {self.seconds:g} s: an endless loop?") from None
        except OSError:
            line = b""
        try:
            return json.loads(line)
        except ValueError:
            code = self.stop()
            raise Lost(f"ended the interpreter ({death(code)})") from None

    def call(self, name, arguments, seconds, cotangent=None):
        """(the value, which arguments were written into, whether it was a tensor); raises Raised or Lost"""
        if self.process is None:
            self.start()
        request = {"do": "call", "name": name, "arguments": [encode(argument) for argument in arguments]}
        answer = self.ask(request | {"autograd": encode(cotangent)}, seconds)
        if answer["status"] == "missing":
            raise Raised("NameError", "is not defined in the submission")
        if answer["status"] == "raised":
            raise Raised(answer["kind"], answer["words"])
        return decode(answer["value"]), answer["wrote"], answer["tensor"]

    def stop(self):
        """The exit status of the process, ended with everything that it started"""
        process, self.process = self.process, None
        if process is None:
            return None
        process.stdin.close()
        try:
            code = process.wait(0.2)
        except subprocess.TimeoutExpired:
            code = None
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        process.stdout.close()
        return code


def listen(stream, answers):
    """Lines as they come, and an empty one at the end"""
    try:
        for line in stream:
            answers.put(line)
    except ValueError:  # closed while waiting
        pass
    answers.put(b"")


def death(code):
    if code is None:
        return "no exit status"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

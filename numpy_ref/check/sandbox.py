"""The checker's side of the submission's process: starts it, asks it, and ends it if it does not answer in time.

The checker keeps the inputs, the right answers and the clock; the other process only computes. So an endless loop, a
crash of the interpreter or a changed global can spoil one function, but not the verdict on the others.
"""

import contextlib
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from .functions import FUNCTIONS
from .submission import run
from .submission.loader import STAGES
from .submission.wire import decode, encode

MEMORY = 2 * 1024**3  # bytes a submission may ask for beyond what NumPy and PyTorch take themselves
START = 120  # seconds for the interpreter and its imports, which are not the submission's fault
IDLE = 5  # seconds added for a process that waits without computing
LINE = 50_000_000  # most bytes of an answer
LENT = 50_000_000  # most bytes of a data file or folder that is copied for a submission
ROOT = Path(__file__).resolve().parents[2]
KEPT = "PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV"
THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"


class Lost(BaseException):
    """The process is gone, by itself or because its time was up; a BaseException, which `except Exception` lets pass"""


class Raised(Exception):
    """The submission's function raised an exception: its `kind`, and `words` that describe it"""

    def __init__(self, kind, words, seconds=0.0):
        super().__init__(words)
        self.kind, self.words, self.seconds = kind, words, seconds


class Without(Exception):
    """The function has no such option"""


class Answer(NamedTuple):
    """The outcome of a call: the value, the arguments written into, whether a tensor came back, processor seconds"""

    value: Any
    wrote: list
    tensor: bool
    seconds: float


def published(names=FUNCTIONS):
    """How the functions are called: all that a process must know about them, and nothing about the right answers"""
    return {
        name: {
            "name": name,
            "arguments": FUNCTIONS[name].arguments,
            "optional": FUNCTIONS[name].optional,
            "results": FUNCTIONS[name].results,
            "forward": FUNCTIONS[name].forward,
            "option": FUNCTIONS[name].option,
        }
        for name in names
    }


def is_checkout(entry):
    """Is this our checkout, whose tests hold the answers? (An installed copy lies among the libraries.)"""
    return Path(entry).resolve() == ROOT and (ROOT / "pyproject.toml").is_file()


def understood(answer):
    """A host's reply as an Answer; raises Raised or Without"""
    if answer["status"] == "missing":
        raise Raised("NameError", "is not defined in the submission")
    if answer["status"] == "without":
        raise Without
    if answer["status"] == "raised":
        raise Raised(str(answer["kind"]), str(answer["words"]), float(answer["seconds"]))
    return Answer(decode(answer["value"]), answer["wrote"], answer["tensor"], answer["seconds"])


class Sandbox:
    """`with Sandbox(path, source, seconds, wanted) as box: box.call(name, arguments, seconds)`

    A notebook is loaded in up to three stages, see loader.STAGES; `seconds` is processor time.
    """

    def __init__(self, path, source, seconds, known, wanted=(), isolate=True, ours=False):
        self.ours = ours  # may the file import anything from this project?
        self.known, self.begun = known, 0.0  # what the process is told about the functions; when the current one began
        self.folder, self.source, self.seconds, self.wanted = Path(path).resolve().parent, source, seconds, list(wanted)
        self.stages = list(STAGES) if Path(path).suffix == ".ipynb" else ["all", "definitions"]
        self.process: Any = None
        self.isolate, self.isolated = isolate, True
        self.scratch = tempfile.TemporaryDirectory(prefix="check-")
        lend_files(self.folder, source.mentioned, self.scratch.name)

    def __enter__(self):
        self.loaded = self.load()
        return self

    def __exit__(self, *_):
        self.stop()
        self.scratch.cleanup()

    def load(self):
        """Loads the submission in the first stage that works; the notes say which one it was"""
        said: list[str] = []
        while True:
            try:
                loaded = self.start()
            except Lost as lost:
                why = f"the file's own code {lost}"
                if self.stages[0] == "definitions":
                    return {"defined": [], "names": [], "lent": {}, "broken": {}, "notes": [*said, why]}
                self.stages = self.stages[-1:]
                said = [f"{why}; only its definitions were read"]
                continue
            if loaded["failed"] and self.stages[0] == "needed":
                self.stop()
                self.stages.pop(0)
                said = [f"all cells were run: those that the functions depend on, alone, {loaded['failed']}"]
                continue
            return loaded | {"notes": said + loaded["notes"]}

    def widen(self, why):
        """Loads all cells if the needed ones were not enough; False if all were loaded already"""
        if self.stages[0] != "needed":
            return False
        self.stop()
        self.stages.pop(0)
        self.loaded = self.load()
        self.loaded["notes"].insert(0, f"all cells were run: with those alone that it depends on, a function {why}")
        return True

    def start(self):
        """Starts a new process, and returns its reply to loading the submission"""
        environment = {key: os.environ[key] for key in KEPT if key in os.environ} | dict.fromkeys(THREADS, "1")
        scratch = self.scratch.name
        environment |= {"MPLBACKEND": "Agg", "MPLCONFIGDIR": scratch, "TMPDIR": scratch, "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-I", run.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
            env=environment,
            start_new_session=True,
        )
        self.answers: queue.Queue = queue.Queue(4)  # a process that writes too much waits
        threading.Thread(target=listen, args=(self.process.stdout, self.answers), daemon=True).start()
        self.pid: Any = None
        ready = self.ask(self.first(), START)
        self.pid, self.isolated, self.modules = ready["pid"], ready["isolated"], ready["modules"]
        load = {"do": "load", "blocks": self.source.blocks, "stage": self.stages[0], "wanted": self.wanted}
        return self.ask(load, self.seconds)

    def first(self):
        """The request that prepares the process"""
        path = [entry for entry in sys.path if entry and (self.ours or not is_checkout(entry))]
        return {
            "do": "prepare",
            "path": path,
            "root": str(ROOT),
            "folder": str(self.folder),
            "blocks": self.source.blocks,
            "memory": MEMORY,
            "isolate": self.isolate,
            "ours": self.ours,
            "published": self.known,
        }

    def ready(self):
        """Provides a process for the next function, whatever the last one did; its start takes nobody's time"""
        if self.process is not None and not self.answers.empty():
            self.stop()  # the last function left output behind
        if self.process is None:
            with contextlib.suppress(Lost):
                self.start()

    def renew(self):
        """Starts a new process, which remembers nothing"""
        self.stop()
        self.ready()

    def begin(self):
        """Starts the clock of `left`"""
        self.begun = processor_seconds(self.pid) or 0.0

    @property
    def left(self):
        """Processor seconds that the current function has left"""
        return max(self.seconds - ((processor_seconds(self.pid) or 0.0) - self.begun), 0.01)

    def ask(self, request, seconds):
        """The answer to one request; raises Lost if there is none"""
        request["id"] = secrets.token_hex(8)
        with contextlib.suppress(OSError):  # the process is gone: reading its answer shows that
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
        line = self.wait(seconds)
        try:
            answer = json.loads(line) if line else None
        except ValueError:
            answer = {}
        if answer is None:
            code = self.stop()
            raise Lost(f"ended the interpreter ({death(code)})")
        if not is_answer(answer, request["id"]):
            self.stop()
            raise Lost("wrote where only the checker's answers go")
        return answer

    def wait(self, seconds):
        """The next line; raises Lost once the process has computed for `seconds`, or slept for longer than that"""
        begun, spent = time.monotonic(), processor_seconds(self.pid)
        while True:
            with contextlib.suppress(queue.Empty):
                return self.answers.get(timeout=min(max(seconds, 0.001), 0.1))
            waited, now = time.monotonic() - begun, processor_seconds(self.pid)
            used = waited if spent is None or now is None else now - spent
            asleep = waited > seconds + IDLE and used < 0.02 * waited
            if used > seconds or asleep or waited > 20 * seconds + IDLE:
                self.stop()
                raise Lost(f"did not finish within {self.seconds:g} s: an endless loop?")

    def call(self, name, arguments, seconds, cotangent=None, layout=""):
        """The Answer; raises Raised, Without or Lost"""
        if self.process is None:
            self.start()
        given = [encode(argument) for argument in arguments]
        request = {"do": "call", "name": name, "arguments": given, "autograd": encode(cotangent), "layout": layout}
        answer = self.ask(request, seconds)
        try:
            return understood(answer)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.stop()
            raise Lost("wrote where only the checker's answers go") from None

    def pair(self, forward, backward, inputs, dout=None):
        """The value of the function `forward`, or if `dout` is given, of the function `backward`"""
        if self.process is None:
            self.start()
        arguments = {name: encode(value) for name, value in inputs.items()}
        request = {"do": "pair", "names": [forward, backward], "arguments": arguments, "dout": encode(dout)}
        return understood(self.ask(request, self.seconds)).value

    def stop(self):
        """Ends the process and everything that it started, and returns its exit status"""
        process, self.process = self.process, None
        if process is None:
            return None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            code = process.wait(0.2)
        except subprocess.TimeoutExpired:
            code = None
        if hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.kill(self.pid or process.pid, signal.SIGKILL)  # it may have left the process group
        else:
            process.kill()
        process.wait()
        process.stdout.close()
        return code


def lend_files(folder, names, scratch):
    """Copies the files and folders beside the submission that its code names into its working directory"""
    for name in names:
        with contextlib.suppress(OSError, ValueError):  # the string is not a path
            path = Path(folder, name).resolve()
            inside = path != folder and path.is_relative_to(folder) and path.suffix not in (".py", ".ipynb")
            if inside and path.exists() and size_of(path) <= LENT:
                target = Path(scratch, path.relative_to(folder))
                target.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copy)(path, target)


def size_of(path):
    """Bytes of a file, or of a folder and everything in it"""
    return sum(p.stat().st_size for p in ([path] if path.is_file() else path.rglob("*")))


def is_answer(answer, identity):
    """Does this have the form of a host's answer to the request of this id?"""
    if not isinstance(answer, dict) or answer.get("id") != identity:
        return False
    forms: dict[Any, dict[str, type]] = {
        "ready": {"pid": int, "isolated": bool, "modules": list},
        "loaded": {"defined": list, "names": list, "lent": dict, "broken": dict, "notes": list, "failed": str},
        "ok": {"wrote": list, "tensor": bool, "seconds": float},
        "raised": {"kind": str, "words": str, "seconds": float},
        "missing": {},
        "without": {},
    }
    form = forms.get(answer.get("status"))
    return form is not None and all(isinstance(answer.get(key), kind) for key, kind in form.items())


def processor_seconds(pid):
    """Processor seconds that a process has used so far; None if the system does not say"""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def listen(stream, answers):
    """Puts each line of the stream into the queue, and an empty one at its end"""
    try:
        while line := stream.readline(LINE):
            answers.put(line)
    except ValueError:  # closed while waiting
        pass
    answers.put(b"")


def death(code):
    """How a process ended, in words"""
    if code is None:
        return "no exit status"
    number = -code if code < 0 else code - 128  # a shell reports signal n as 128 + n
    return f"signal {signal.Signals(number).name}" if number in set(signal.Signals) else f"exit status {code}"

"""The file that a submission's process runs, as `python -I run.py`: one line of JSON in, one line of JSON out.

Whatever the submission prints goes nowhere; whatever it raises, sys.exit included, becomes an answer.
"""

import contextlib
import importlib
import json
import os
import sys
import types
from pathlib import Path

PACKAGE = "submission_process"  # this folder, under a name that leads to nothing else


def siblings():
    """This folder's modules as a package, which is closed once they are there"""
    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(Path(__file__).parent)]
    sys.modules[PACKAGE] = package
    names = "isolation", "ours", "statements", "wire", "adapt", "loader", "host"
    return package, lambda *wanted: [importlib.import_module(f"{PACKAGE}.{name}") for name in wanted or names]


def prepare(request, statements, isolation):
    """The libraries that the submission imports come first: their time and memory are not the submission's"""
    found = set().union(*(statements.roots(statements.parse(label, source)[0]) for label, source in request["blocks"]))
    for name in sorted(found - {"numpy_ref", "torch_impl"}):
        with contextlib.suppress(Exception):  # the submission's own import will say what is wrong
            if name in sys.stdlib_module_names or _installed(name, request["folder"]):
                importlib.import_module(name)
    sys.path.insert(0, request["folder"])
    isolation.limit_memory(request["memory"])


def _installed(name, folder):
    """Not a file beside the submission: that is the submission's own code"""
    return not any(Path(folder, end).exists() for end in (f"{name}.py", name))


def main():
    """The conversation goes over copies of stdin and stdout; the submission's own lead to nowhere"""
    package, load = siblings()
    (isolation,) = load("isolation")
    first = json.loads(sys.stdin.buffer.readline())
    isolated = isolation.close_doors(os.getcwd()) if first["isolate"] else False
    isolation.step_aside()  # in the new namespace this is process 1, which ignores signals: not the place for a guest
    if isolated:
        isolation.step_aside()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    sys.path[:] = first["path"]
    _, ours, statements, *_, host_module = load()
    package.__path__ = []
    finder = ours.install(first["root"])
    prepare(first, statements, isolation)
    host = host_module.Host(first["published"], finder.forbid)
    reply = {"status": "ready", "pid": isolation.own_pid(), "isolated": isolated, "modules": sorted(sys.modules)}
    request = first
    while True:
        answers.write(json.dumps(reply | {"id": request["id"]}) + "\n")
        answers.flush()
        line = requests.readline()
        if not line:
            return
        request = json.loads(line)
        reply = host_module.answer(host, request)


if __name__ == "__main__":
    main()

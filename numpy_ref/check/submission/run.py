"""The file that a submission's process runs, as `python -I run.py`: one line of JSON in, one line of JSON out.

The submission's prints are discarded. Every exception that it raises, including sys.exit, becomes an answer.
"""

import contextlib
import importlib
import json
import os
import sys
import types
from pathlib import Path

PACKAGE = "submission_process"  # this folder as a package, under a name of its own


def siblings():
    """(this folder as a package, a function that imports its modules)"""
    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(Path(__file__).parent)]
    sys.modules[PACKAGE] = package
    names = "isolation", "ours", "statements", "wire", "adapt", "loader", "host"
    return package, lambda *wanted: [importlib.import_module(f"{PACKAGE}.{name}") for name in wanted or names]


def prepare(request, statements, isolation):
    """Imports the submission's libraries first, so that their time and memory do not count as the submission's"""
    found = set().union(*(statements.roots(statements.parse(label, source)[0]) for label, source in request["blocks"]))
    for name in sorted(found - {"numpy_ref", "torch_impl"}):
        with contextlib.suppress(Exception):  # the submission's own import will say what is wrong
            if name in sys.stdlib_module_names or _installed(name, request["folder"]):
                importlib.import_module(name)
    sys.path.insert(0, request["folder"])
    isolation.limit_memory(request["memory"])


def _installed(name, folder):
    """Whether the name is a library's: a file beside the submission is the submission's own code"""
    return not any(Path(folder, end).exists() for end in (f"{name}.py", name))


def main():
    """Answers requests over copies of stdin and stdout; the submission's own three streams lead to os.devnull"""
    package, load = siblings()
    (isolation,) = load("isolation")
    first = json.loads(sys.stdin.buffer.readline())
    isolated = isolation.close_doors(os.getcwd()) if first["isolate"] else False
    isolation.step_aside()  # now process 1 of the new namespace, which ignores signals: the submission needs another
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
    finder = ours.install(first["root"]) if not first["ours"] else None
    prepare(first, statements, isolation)
    host = host_module.Host(first["published"], *([finder.forbid] if finder else []))
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

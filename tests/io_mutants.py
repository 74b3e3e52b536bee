"""Breaks input and output on purpose, one place at a time; the tests of the same folder must notice.

    python tests/io_mutants.py                     300 of data to report, then all of storage and files
    python tests/io_mutants.py --share 12          the first twelve of storage and files
    python tests/io_mutants.py --parts data        data's share of the 300
    python tests/io_mutants.py --only files.lines  all of those whose function's name begins so

The folder's tests are collected once. A first run finds out which functions each test calls. A mutant then lives in a
fork of that process, which runs the tests of its function, the quickest first, until one fails. The sample is fixed:
the mutants whose names have the smallest hashes, so that a change of one function leaves the others in it.
The broken code writes, renames and removes files, perhaps as root, so a test that writes must stay in its folder.
"""

import argparse
import ast
import functools
import hashlib
import importlib
import inspect
import os
import resource
import signal
import sys
import tempfile
import textwrap
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

if __name__ == "__main__":
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import pytest
from mutants import SWAPS, living, mutants_of_function, relabelled, short, with_fields

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "numpy_ref"
WHOLE = {"files": ["test_files.py"], "storage": ["storage"]}  # part of the package: the tests that judge it
OF_A_SHARE = {"storage": [f"storage/test_{name}.py" for name in ("saves", "checkpoint", "model_card")]}  # no long runs
SAMPLED = {
    "data": ["data"],
    "training": ["training", "test_train.py", "storage/test_run.py"],  # the latter stops runs and resumes them
    "evaluation": ["evaluation"],
    "report": ["report"],
}
SAMPLE = 300
SECONDS = 20  # besides ten times what its tests took: a mutant that runs longer is dead
MEMORY = 4 * 10**9

# Mutants that no test can or should notice, by name, with the reason.
AT_ONCE = "it only says how often a progress bar is told"
ONE_MORE = "one byte more than the bound is what is read to find out; two find it out too"
SAME_LENGTH = "the columns that are walked together were made with one entry for each of the same things"
LOOKS = "a measure of a picture's looks"
NEVER_DRAWN = "a uniform number equals this bound with a probability of 2^-53"
BY_PEER = "the tokenizers library alone reads it: a test of the slow tier compares each field with what it writes"
ACCEPTED: dict[str, str] = {
    "data.rows._line: False -> True": "escaped letters are read as the letters themselves",
    "data.world.rank: True -> False": SAME_LENGTH,
    "data.world.sample_prompts: True -> False": SAME_LENGTH,
    "data.world.sample_response: cut < 0.2 -> cut <= 0.2": NEVER_DRAWN,
    "data.world.sample_response: kind < 0.75 -> kind <= 0.75": NEVER_DRAWN,
    "data.tokenizer._document: False -> True (again)": BY_PEER,
    "data.tokenizer._document: False -> True (again) (again)": BY_PEER,
    "data.tokenizer._document: 1 -> 2 (again)": BY_PEER,
    "training.best.Best.consider: 1 -> 2": "twice the sign orders the values as the sign does",
    "evaluation.pairs.compare: data.ranks > 0 -> data.ranks >= 0": "ranks count from 1, and -1 stands for no response",
    "evaluation.figure.evaluation: 1.15 -> 2.3": LOOKS,
    "evaluation.score.score_one: True -> False (again)": SAME_LENGTH,
    "evaluation.command.measure: 3 -> 6": "another stream of random numbers is as good",
    "data.source.Reader._tokenizer: 0 -> 1": "a row of both texts and token ids is refused before",
    "report.relations.in_cycles: 1 -> 2": "nothing looks up a node beyond the last",
    "report.figure.draw_deciding: False -> True": LOOKS,
    "report.figure.draw_deciding: 0.6 -> 1.2": LOOKS,
    "report.figure.draw_trouble: 0.7 -> 1.4 (again)": LOOKS,
    "report.figure.draw_trouble: 0.5 -> 1.0 (again)": LOOKS,
    "report.rows.read: pairs > room -> pairs >= room": "at the bound memory.check is asked once more, and lets it pass",
    "report.text.as_text: True -> False": SAME_LENGTH,
    "report.rows.about_pairs: True -> False": SAME_LENGTH,
    "storage.checkpoint.read_arrays: dtypes <= {'float32', 'float64'} -> dtypes < {'float32', 'float64'}": (
        "two types are refused before"
    ),
    "storage.checkpoint.newest: 100 -> 200": "it only says how much of a damaged pointer is read",
    "files.read_bytes: 0 -> 1": "a length of 0 or of 1 is below the bound of a line: the sentence is about the file",
    "files.read_bytes: 1 -> 2": ONE_MORE,
    "files.lines: 1 -> 2": ONE_MORE,
    "files.lines: 256 -> 512": AT_ONCE,
    "files.lines: 0 -> 1 (again)": AT_ONCE,
    "files.lines: number % 256 == 0 -> number % 256 != 0": AT_ONCE,
    "files.written_into: 1 -> 2": "-2 stands before every place in `last`, as -1 does",
    "files.lock: held.release() -> pass": "CPython releases it a moment later, with the last reference",
    "files.lock: 1 -> 2": "filelock waits for ever for any time below 0",
    "files._opened: max(MAX_UNPACKED, MAX_RATIO * os.path.getsize(path)) if packed else float('inf') -> "
    "max(MAX_UNPACKED, MAX_RATIO * os.path.getsize(path))": "a plain file has no more bytes than its size",
    "files._flush: os.O_RDONLY if path.is_dir() else os.O_RDWR -> os.O_RDONLY": "only Windows asks for more",
    "files._short: len(os.fsencode(name)) < 200 -> len(os.fsencode(name)) <= 200": "both names fit in 255 bytes",
}

OTHER = SWAPS | {ast.NotEq: [ast.Eq], ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.And: [ast.Or], ast.Or: [ast.And]}
RENAMED = {"any": "all", "all": "any", "min": "max", "max": "min", "sorted": "list"}


def slips(node):
    """Plausible mistakes in place of this node, in code that reads and writes bytes and texts"""
    match node:
        case ast.Compare(ops=[op]):
            yield from (with_fields(node, ops=[other()]) for other in OTHER.get(type(op), []))
        case ast.BoolOp(op=op):
            yield from (with_fields(node, op=other()) for other in OTHER[type(op)])
        case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=left, right=right) if not any(map(is_text, (left, right))):
            yield from (with_fields(node, op=other()) for other in OTHER[type(op)])
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(2 * node.value or 1)
        case ast.Slice(lower=lower, upper=upper):
            yield from (with_fields(node, lower=None) for _ in [0] if lower)
            yield from (with_fields(node, upper=None) for _ in [0] if upper)
        case ast.Call(func=ast.Name(id=name)) if name in RENAMED:
            yield with_fields(node, func=ast.Name(RENAMED[name], ast.Load()))
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.If() | ast.While():
            yield with_fields(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.FunctionDef(body=body):
            for k in range(has_docstring(node), len(body) - isinstance(body[-1], ast.Return)):
                yield with_fields(node, body=[*body[:k], ast.Return(None)])


def is_text(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


def has_docstring(function):
    return isinstance(function.body[0], ast.Expr) and isinstance(function.body[0].value, ast.Constant)


def label(old, new):
    """The name of a mutant: old -> new, or for an early return the statement that is never reached"""
    if isinstance(new, ast.FunctionDef):
        return f"returns before: {short(old.body[len(new.body) - 1])}"
    return relabelled(old, new)


def functions(module):
    """(name, function, syntax tree) of every function and method of a module that can be exchanged"""
    leaf = module.__name__.removeprefix("numpy_ref.")
    for node in ast.parse(inspect.getsource(module)).body:
        owner, nodes, name = (module, [node], leaf)
        if isinstance(node, ast.ClassDef):
            owner, nodes, name = getattr(module, node.name), node.body, f"{leaf}.{node.name}"
        for inner in (n for n in nodes if isinstance(n, ast.FunctionDef)):
            found = inspect.getattr_static(owner, inner.name)
            found = getattr(found, "fget", None) or getattr(found, "__func__", found)
            found = inspect.unwrap(found)
            if inspect.isfunction(found) and not found.__code__.co_freevars:
                yield f"{name}.{inner.name}", found, bare(inner)


def bare(function):
    """The function without decorators and annotations, which are not mutated"""
    for argument in (n for n in ast.walk(function) if isinstance(n, ast.arg)):
        argument.annotation = None
    function.decorator_list, function.returns = [], None
    return function


def modules(part):
    """The modules of a file or a folder of the package"""
    place = PACKAGE / part
    paths = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths]
    return [importlib.import_module(name) for name in names if not name.endswith("__init__")]


@functools.cache
def mutants_of_module(module):
    """{name: (function, syntax tree)} of every mutant; a name stays when lines move"""
    found: dict = {}
    for base, function, node in functions(module):
        for text, tree in mutants_of_function(node, slips, label):
            name = f"{base}: {text}"
            while name in found:
                name += " (again)"
            found[name] = (function, tree)
    return found


def mutants(parts):
    """The mutants of every module of these parts of the package"""
    return {name: mutant for part in parts for m in modules(part) for name, mutant in mutants_of_module(m).items()}


def in_order(names):
    """The names by hash: the first n are the sample of size n"""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def recording(function):
    """The function's syntax tree, which first records the call; a profiler would take ten times as long"""
    node = bare(ast.parse(textwrap.dedent(inspect.getsource(function))).body[0])
    note = ast.parse(f"_called[{len(function.__globals__['_called']) - 1}]()").body
    node.body[has_docstring(node) : has_docstring(node)] = note
    return ast.fix_missing_locations(node)


class Judge:
    """A pytest plugin: its process collects the tests, and each mutant lives in a fork of it"""

    def __init__(self, wanted, deadline):
        self.wanted, self.deadline = wanted, deadline
        self.survivors, self.judged, self.failed = [], 0, []

    def pytest_runtest_logreport(self, report):
        self.failed += [report.nodeid] * report.failed

    def pytest_runtestloop(self, session):
        calls, seconds = self.rehearsal(session.items)
        assert not self.failed, f"without a mutant these fail: {self.failed}"
        for name, (function, tree) in self.wanted.items():
            if time.monotonic() > self.deadline:
                break
            tests = sorted(calls[function.__code__], key=seconds.get)
            self.judged += 1
            if not tests or not self.dies(function, tree, tests, SECONDS + 10 * sum(map(seconds.get, tests))):
                self.survivors.append(name)
                known = "accepted" if name in ACCEPTED else "SURVIVES" if tests else "SURVIVES, never called"
                print(f"{known}: {name}", file=sys.__stdout__, flush=True)
        return True

    def rehearsal(self, items):
        """({code: tests that call it}, {test: its seconds})"""
        calls, seconds, called = defaultdict(list), {}, set()
        with ExitStack() as stack:
            for function in {id(function): function for function, _ in self.wanted.values()}.values():
                code = function.__code__
                function.__globals__.setdefault("_called", []).append(functools.partial(called.add, code))
                stack.callback(function.__globals__.pop, "_called", None)
                stack.enter_context(living(function, recording(function)))
            for item, after in zip(items, [*items[1:], None], strict=True):
                called.clear()
                began = time.monotonic()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                seconds[item] = time.monotonic() - began
                for code in called:
                    calls[code].append(item)
        return calls, seconds

    def dies(self, function, tree, tests, limit):
        """Does one of the tests fail, or run out of time, while the mutant lives?"""
        child = os.fork()
        if child == 0:
            os.setsid()
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
            os._exit(self.noticed(function, tree, tests))
        end = time.monotonic() + limit
        while time.monotonic() < end:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status) != 0
            time.sleep(0.005)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True

    def noticed(self, function, tree, tests):
        """The exit status of a fork: 0 if every test passes"""
        try:
            with living(function, tree):
                for item, after in zip(tests, [*tests[1:], None], strict=True):
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                    if self.failed:
                        return 1
        except BaseException:
            return 1
        return 0


def judge(paths, wanted, deadline):
    """A Judge that has judged the mutants by the tests of these paths"""
    panel = Judge(wanted, deadline)
    with tempfile.TemporaryDirectory() as folder:
        options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-c", str(HERE.parent / "pyproject.toml")]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # where we are installed, our plugin is known
        status = pytest.main([*options, f"--basetemp={folder}/tests", *paths], plugins=[panel])
    assert status in (0, 1), status
    return panel


def chosen(part, share, only):
    """{name: mutant} of a part's mutants to be judged, in the order of their hashes"""
    if share:
        wanted = set(in_order(mutants(WHOLE))[:share]) if part in WHOLE else ()
    elif only:
        near = any(name.split(".")[0] == part for name in only)
        wanted = [name for name in mutants([part]) if name.startswith(only)] if near else ()
    else:
        wanted = mutants([part]) if part in WHOLE else set(in_order(mutants(SAMPLED))[:SAMPLE])
    found = mutants([part]) if wanted else {}
    return {name: found[name] for name in in_order(wanted) if name in found}


def run(parts, share, only, seconds, skip=0, quick=False):
    """Prints survivors and a line for each part; returns 1 if one survives that is not in ACCEPTED"""
    began, unknown = time.monotonic(), 0
    for part, paths in (SAMPLED | WHOLE).items():
        if part not in parts:
            continue
        wanted = dict(list(chosen(part, share, only).items())[skip:])
        if not wanted:
            continue
        paths = OF_A_SHARE.get(part, paths) if share or quick else paths
        panel = judge([str(HERE / path) for path in paths], wanted, began + seconds)
        new = [name for name in panel.survivors if name not in ACCEPTED]
        unknown += len(new)
        print(
            f"{part}: {panel.judged} of {len(wanted)} mutants judged, {len(panel.survivors)} survive, "
            f"{len(new)} of them without a reason; {time.monotonic() - began:.0f} s",
            file=sys.__stdout__,
            flush=True,
        )
    return int(unknown > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=[*SAMPLED, *WHOLE], choices=[*SAMPLED, *WHOLE])
    parser.add_argument("--share", type=int, default=0, help="so many of storage and files, the same every time")
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of names")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="judge no further mutants after these")
    parser.add_argument("--skip", type=int, default=0, help="so many of each part, which an earlier run has judged")
    parser.add_argument(
        "--quick", action="store_true", help="by the tests that judge a share: most mutants die by them"
    )
    args = parser.parse_args()
    sys.exit(run(args.parts, args.share, tuple(args.only), args.seconds, args.skip, args.quick))

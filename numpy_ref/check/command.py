"""`python -m numpy_ref check SOLUTION`: judges anybody's losses and gradients by properties, and names mistakes.

SOLUTION is a Python file or a notebook that defines any of the functions that `--list` prints, in NumPy or PyTorch.
Exit status 0: every property of every function holds; 1: one does not; 2: there was nothing to judge, and why.
"""

import contextlib
import difflib
import os
import sys
import tempfile

from ..errors import InputError
from ..files import check_output
from .functions import FUNCTIONS
from .judge import Judge, Result
from .properties import PROPERTIES
from .sandbox import Sandbox
from .search import inputs
from .source import read_blocks
from .text import gradescope, junit, published, text, write


def add_arguments(parser):
    """The options of `check`"""
    parser.add_argument("solution", nargs="?", metavar="SOLUTION", help="a Python file or a notebook")
    parser.add_argument("--list", action="store_true", help="print the functions that can be checked, and end")
    parser.add_argument("--only", action="append", metavar="NAME", help="check this function alone; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write the results in Gradescope's format")
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML")
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit for each function")


def run(args):
    """The exit status; one sentence and 2 for what the user can put right"""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # σ on a console that has none
    try:
        return check(args)
    except InputError as error:
        print(f"check: {error}", file=sys.stderr)
        return 2


def check(args):
    """Checks, prints and writes the reports; 0 if all passed, else 1"""
    names = [known(name) for given in args.only or () for name in given.split(",")]
    if args.list:
        print(published(names or FUNCTIONS))
        return 0
    if args.solution is None:
        raise InputError("no SOLUTION given: name a Python file or a notebook, or use --list")
    if not 0 < args.seconds < float("inf"):
        raise InputError(f"--seconds {args.seconds:g}: expected a positive number of seconds")
    for file in filter(None, (args.json, args.junit)):
        check_output(file)
    with no_folder_left_behind():
        results, notes = check_file(args.solution, names, args.seconds)
    print(text(results, notes))
    if args.json:
        write(args.json, gradescope(results, notes))
    if args.junit:
        write(args.junit, junit(results, notes))
    return int(any(result.status != "passed" for result in results))


@contextlib.contextmanager
def no_folder_left_behind():
    """Hypothesis writes its .hypothesis folder somewhere else than among the submissions"""
    variable = "HYPOTHESIS_STORAGE_DIRECTORY"
    before = os.environ.get(variable)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ[variable] = before or scratch
        try:
            yield
        finally:
            os.environ.pop(variable)
            if before:
                os.environ[variable] = before


def known(name):
    """The name of a published function, or InputError with the nearest one"""
    if name in FUNCTIONS:
        return name
    close = difflib.get_close_matches(name, FUNCTIONS, 1)
    hint = f"did you mean {close[0]}?" if close else "--list prints the names"
    raise InputError(f"--only {name}: no function of the published list; {hint}")


def check_file(path, names=(), seconds=20.0):
    """(one Result for each property, notes on the file); `names` or every published function that the file defines"""
    blocks = read_blocks(path)
    inputs(PROPERTIES["sigmoid"][0])  # without Hypothesis there is nothing to do, and better said at once
    with Sandbox(path, blocks, seconds) as box:
        defined, broken, notes = box.loaded["defined"], box.loaded["broken"], box.loaded["notes"]
        names = names or [name for name in FUNCTIONS if name in defined or name in broken]
        if not names:
            found = "".join(f"; {note}" for note in notes)
            raise InputError(f"{path}: defines no function of the published list (--list prints it){found}")
        results = []
        for name in names:
            if name in defined:
                box.ready()
                results += Judge(name, box.call, seconds).judge()
            else:
                results += missing(name, broken.get(name, f"{name} is not defined in {path}"))
    return results, notes


def missing(name, sentence):
    """The results of a function that is not there: its first property failed, the others were not reached"""
    first, *rest = [prop for prop in PROPERTIES[name] if prop.kind != "autograd"]
    late = [Result(name, prop.statement, "not reached", sentence) for prop in rest]
    return [Result(name, first.statement, "failed", sentence), *late]

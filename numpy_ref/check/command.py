"""`python -m numpy_ref check SOLUTION`: judges anybody's losses and gradients by properties, and names mistakes.

SOLUTION is a Python file or a notebook that defines any of the functions that `--list` prints, in NumPy or PyTorch.
With --forward, --backward and --input it may be any function and its backward.
Exit status 0: every property of every function holds. 1: at least one does not. 2: nothing could be judged; a message
says why.
"""

import difflib

from ..cli.main import STDOUT, natural
from ..errors import InputError
from ..files import check_output
from .functions import FUNCTIONS
from .judge import Judge, Result
from .laws import LAWS, judge_law, published_laws
from .properties import PROPERTIES
from .sandbox import Sandbox, published
from .source import read_source
from .text import gradescope, index, junit, text, write
from .text import published as whole


def add_arguments(parser):
    """The options of `check`"""
    parser.add_argument("solution", nargs="?", metavar="SOLUTION", help="a Python file or a notebook")
    parser.add_argument("--list", action="store_true", help="print what can be checked; --list NAME: one in detail")
    parser.add_argument("--only", action="append", metavar="NAME", help="check only this function; may be repeated")
    parser.add_argument("--json", metavar="FILE", help=f"write the results in Gradescope's format; {STDOUT}")
    parser.add_argument("--junit", metavar="FILE", help=f"write the results as JUnit XML; {STDOUT}")
    parser.add_argument("--seconds", type=float, default=20.0, help="processor seconds for each function")
    parser.add_argument("--seed", type=natural, default=0, help="random seed for the inputs")
    parser.add_argument("--forward", metavar="F", help="to check any function of the file: its name")
    parser.add_argument("--backward", metavar="B", help="the backward of F: B(dout, cache), or B(dout, *inputs)")
    parser.add_argument(
        "--input", action="append", metavar="NAME=SHAPE", help="an input of F, as 'x=(2,3,5)'; may be repeated"
    )


def run(args):
    """Checks, prints and writes the reports; 0 if all passed, else 1"""
    if args.list:
        names = [known(name) for name in [*([args.solution] if args.solution else []), *asked(args)]]
        print(whole(names) if names else index(list(FUNCTIONS)))
        return 0
    if args.solution is None:
        raise InputError("no SOLUTION given: name a Python file or a notebook, or use --list")
    if not 0 < args.seconds < float("inf"):
        raise InputError(f"--seconds {args.seconds:g}: expected a positive number of seconds")
    for file in filter(None, (args.json, args.junit)):
        check_output(file)
    if args.forward or args.backward or args.input:
        from .bring import check_pair

        results, notes = check_pair(args.solution, args.forward, args.backward, args.input, args.seconds, args.seed)
    else:
        names = [known(name, "--only ") for name in asked(args)]
        results, notes = check_file(args.solution, names, args.seconds, args.seed)
    if args.junit:
        write(args.junit, junit(results, notes))  # files first: a reader of the output, such as `head`, may stop early
    if args.json:
        write(args.json, gradescope(results, notes))
    if args.json != "-":
        print(text(results, [*notes, f"seed {args.seed}"]))
    return int(any(result.status != "passed" for result in results))


def asked(args):
    """The names after --only, which may be joined by commas"""
    return [name for given in args.only or () for name in given.split(",")]


def known(name, option=""):
    """The name of a published function or law, or InputError with the nearest one"""
    if name in FUNCTIONS or name in LAWS:
        return name
    close = difflib.get_close_matches(name, [*FUNCTIONS, *LAWS], 1)
    hint = f"did you mean {close[0]}?" if close else "--list prints the names"
    raise InputError(f"{option}{name}: no function of the published list; {hint}")


def check_file(path, names=(), seconds=20.0, seed=0):
    """(one Result for each property, notes on the file), for `names` or else every published function in the file"""
    source = read_source(path)
    with Sandbox(path, source, seconds, published() | published_laws(), names) as box:
        defined, broken = box.loaded["defined"], box.loaded["broken"]
        names = names or [name for name in [*FUNCTIONS, *LAWS] if name in defined or name in broken]
        if not names:
            found = "".join(f"; {note}" for note in notes_of(source, box))
            raise InputError(f"{path}: defines no function of the published list (--list prints it){found}")
        results = []
        for name in names:
            if name in defined:
                box.ready()
                found = judge(name, box, seconds, seed)
                if "raised NameError" in found[0].sentence and box.widen(found[0].sentence):
                    found = judge(name, box, seconds, seed)
                results += found
            else:
                why = box.loaded["lent"].get(name, f"{name} is not defined in {path}")
                results += missing(name, broken.get(name, why))
        return results, notes_of(source, box)


def notes_of(source, box):
    """Notes on how the file was read and run"""
    notes = source.notes + source.suspicions + box.loaded["notes"]
    if not box.isolated:
        notes.append("this system has no namespaces: the files of others were not out of reach")
    return notes


def judge(name, box, seconds, seed):
    """The results of one function or law"""
    if name in FUNCTIONS:
        return Judge(name, box.call, seconds, seed=seed, renew=box.renew).judge()
    box.begin()
    return judge_law(name, lambda arguments: box.call(name, arguments, box.left).value)


def missing(name, sentence):
    """The results of a function that is missing: its first property failed, the others were not reached"""
    if name in LAWS:
        first, *rest = LAWS[name].statements
    else:
        first, *rest = [prop.statement for prop in PROPERTIES[name] if prop.kind != "autograd"]
    return [Result(name, first, "failed", sentence), *(Result(name, s, "not reached", sentence) for s in rest)]

"""What all commands share: parsing, and how they end.

The exit status is 2, with one sentence, for an error that the user can fix. It is 130 after Ctrl-C, and 141 if a
program that reads the output, such as `head`, has ended early: the numbers that a shell reports for commands that
SIGINT and SIGPIPE end.
"""

import argparse
import errno
import os
import re
import sys
import warnings

from ..errors import InputError
from ..files import check_only_written
from .options import unknown

LARGEST = 2**63  # whole numbers on the command line stay below this: a NumPy array cannot hold larger ones
# The names of all options for a file to write, and of all options for something to read.
WRITTEN = ("output", "json", "junit", "figure")
READ = ("files", "file", "rankings", "data", "temperature_data", "solution", "model", "against")

OLD_TIES = {"dropped": "drop", "halved": "half"}  # words of --ties in version 0.1.0
STDOUT = "- is the standard output"  # in the help of an option that takes a file to write
STATUSES = (
    "Exit status of every command: 0; 1 where its help says so; 2, with one sentence, for an error that you can fix; "
    "130 after Ctrl-C; 141 if the program that reads the output has ended early, as with `| head`."
)


def main(program, commands, argv=None):
    """commands: {name: (one line of help, load)}, where load() -> (add_arguments, run); returns the exit status"""
    try:
        args = parsed(program, commands, sys.argv[1:] if argv is None else argv)
        return _status(program, args)
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        return 130


def parsed(program, commands, argv):
    """The parsed options, and `given`: the names of those on the command line

    Only the command that is named is loaded, because importing all of them takes longer than most commands run.
    """
    parser = _Parser(prog=program, allow_abbrev=False, epilog=STATUSES)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_line, load) in commands.items():
        sub = subparsers.add_parser(
            name, help=help_line, description=help_line, allow_abbrev=False, formatter_class=_Help
        )
        if name in argv:
            add_arguments, run = load()
            add_arguments(sub)
            sub.set_defaults(run=run, parser=sub)
    args, rest = parser.parse_known_args(argv)
    if rest:
        args.parser.error(unknown(rest, re.findall(r"--[a-z][\w-]*", args.parser.format_usage())))
    args.given = {part.split("=")[0][2:].replace("-", "_") for part in argv if part.startswith("--")}
    return args


def _status(program, args):
    """Runs the command and returns its exit status; prints one sentence about an error that the user can fix"""
    keep_freed_memory()
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  closed by the caller, as by >&-
    if hasattr(sys.stdout, "reconfigure"):  # a file name may not be valid text, and a terminal may lack σ
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        check_only_written(named(args, WRITTEN), named(args, READ))
        status = run_quietly(args) or 0
        sys.stdout.flush()  # here a closed pipe is handled; at exit it would be a traceback
        return status
    except InputError as error:
        print(f"{program} {args.command}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{program} {args.command}: interrupted", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        of_torch = any(words in str(error) for words in ("allocate memory", "out of memory"))  # torch's RuntimeError
        if not (isinstance(error, MemoryError) or of_torch):
            raise
        reason = " ".join(str(error).split())[:150] or "no more could be had"
        remedy = "choose a smaller batch, shorter texts or a smaller model"
        print(f"{program} {args.command}: error: too little memory: {reason}; {remedy}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output is gone, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        unnamed = "the standard output: " if error.errno == errno.ENOSPC else ""  # other errors name their file
        where = f"{error.filename}: " if error.filename else unnamed
        text = InputError(f"{where}{error.strerror}; what was saved before is whole")
        print(f"{program} {args.command}: error: {text}", file=sys.stderr)
        return 2


def named(args, options):
    """The paths that these options give"""
    values = [getattr(args, name, None) for name in options]
    return [path for value in values if value for path in (value if isinstance(value, list) else [value])]


def run_quietly(args):
    """The command's status, without NumPy's warnings: the command itself reports a number that is not finite"""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(overflow|invalid value|divide by zero) encountered", RuntimeWarning)
        return args.run(args)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """One sentence, without argparse's forty lines of usage"""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Adds the default to each help text; short metavars, N and X, keep the help within 80 columns"""

    def _get_help_string(self, action):
        has_one = action.default not in (None, False, "", argparse.SUPPRESS) and action.option_strings
        shown = has_one and "default" not in action.help  # the text gives it in its own words
        default = f"{action.default:g}" if isinstance(action.default, float) else action.default
        return f"{action.help} (default: {default})" if shown else action.help

    def _get_default_metavar_for_optional(self, action):
        return "N" if action.type in (natural, positive_int) else "X"


def keep_freed_memory():
    """Tells glibc to keep freed arrays: it returns those above 128 KiB to the system, which zeroes them again each step

    A NumPy step in float64 then takes 41 ms instead of 67. Without glibc nothing happens.
    """
    import ctypes

    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # from malloc.h
        ctypes.CDLL(None).mallopt(mmap_threshold, 2**25)  # the largest that every glibc takes
        ctypes.CDLL(None).mallopt(trim_threshold, 2**31 - 1)


def positive_int(text):
    """A type for argparse: 1, 2, 3, ..."""
    return whole_number(text, 1)


def natural(text):
    """A type for argparse: 0, 1, 2, ..."""
    return whole_number(text, 0)


def whole_number(text, low):
    """The whole number that an option gives, at least `low` and below LARGEST"""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if not low <= value < LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is not {f'{low} or more' if value < low else f'below {LARGEST:,}'}")
    return value


def positive(text):
    """A type for argparse: a number above 0"""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def tie_word(text):
    """A type for argparse: a word of --ties; for one of version 0.1.0 the error names its successor"""
    if text in OLD_TIES:
        raise argparse.ArgumentTypeError(f"{text} is now called {OLD_TIES[text]}")
    return text


def at_least(low, below=float("inf")):
    """A type for argparse: a number in [low, below)"""

    def number(text):
        value = float(text)
        if not low <= value < below:
            raise argparse.ArgumentTypeError(f"{text} is not in [{low:g}, {below:g})")
        return value

    return number

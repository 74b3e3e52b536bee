"""Text on a terminal: tables, widths of wide letters, wrapping at 80 columns, the progress bar, a closed pipe."""

import sys
import textwrap
import unicodedata
from contextlib import contextmanager, redirect_stdout
from itertools import accumulate, takewhile

WIDTH = 80


def wrap(text, indent="    "):
    """Lines of at most 80 columns, without control characters, which file names may hold"""
    return textwrap.wrap(printable(text), WIDTH, subsequent_indent=indent)


def printable(text):
    """The text with a blank for every control character and line end"""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def clean(item):
    """A name on one line"""
    return " ".join(printable(str(item)).split())


def counted(n, unit):
    """A number with its unit: 1 row, 2 rows"""
    return f"{n:,} {unit}{'' if n == 1 else 's'}"


def signed(x, form=".4f"):
    """A number to add to another, with its sign: - 0.5000 or + 0.5000"""
    return f"{'-' if x < 0 else '+'} {abs(x):{form}}"


def width(text):
    """Columns on the screen: wide East Asian characters take two, combining marks none"""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def pad(text, size):
    """text in exactly `size` columns, cut with an ellipsis if it is longer"""
    if width(text) > size:
        ends = accumulate(map(width, text))  # column in which each letter ends
        text = "".join(letter for letter, end in zip(text, takewhile(lambda end: end < size, ends), strict=False)) + "…"
    return text + " " * (size - width(text))


def table(rows, aligned_left=1):
    """Rows of strings as lines of equal columns, the first `aligned_left` to the left, the others to the right"""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            f"{cell:<{w}}" if i < aligned_left else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


LINE_EVERY = 10  # seconds


def progress_bar(iterable=None, unit="it", *, delay=2, leave=False, **how):
    """A tqdm bar on standard error for work that takes more than two seconds

    If standard error is not a terminal but a log: nothing for ten seconds, then one line every ten seconds.
    """
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm(iterable, unit=unit, delay=delay, leave=leave, **how)
    sparse = {"delay": LINE_EVERY, "mininterval": LINE_EVERY, "miniters": 1, "leave": False, "file": _Lines(sys.stderr)}
    return tqdm(
        iterable, unit=unit, bar_format="{l_bar}{n_fmt}/{total_fmt}{postfix} [{elapsed}<{remaining}]", **sparse, **how
    )


class _Lines:
    """A stream that prints each state of the bar as a line of its own, where a terminal would overwrite the last"""

    def __init__(self, stream):
        self.stream, self.encoding = stream, getattr(stream, "encoding", None)

    def write(self, text):
        if text := text.strip():
            self.stream.write(f"{text}\n")

    def flush(self):
        self.stream.flush()


@contextmanager
def reader_may_leave():
    """Raises an error of the standard output, such as a pipe that `| head` has closed, only at the end of the block"""
    screen = _Screen(sys.stdout)
    with redirect_stdout(screen):
        yield
    if screen.error:
        raise screen.error


class _Screen:
    """A stream that drops what is printed after its first error"""

    def __init__(self, stream):
        self.stream, self.error = stream, None

    def write(self, text):
        self._do("write", text)
        return len(text)

    def flush(self):
        self._do("flush")

    def _do(self, name, *arguments):
        if self.stream is None or self.error:
            return
        try:
            getattr(self.stream, name)(*arguments)
        except OSError as error:
            self.error = error

    def __getattr__(self, name):
        return getattr(self.stream, name)


def wrapped(text, indent="    "):
    """Lines of at most 80 columns, even with characters that take two columns and with long paths without a blank"""
    lines: list = []
    for line in wrap(text, indent):
        lines.append("")
        for character in line:
            if width(lines[-1] + character) > WIDTH:
                lines.append(indent)
            lines[-1] += character
    return lines

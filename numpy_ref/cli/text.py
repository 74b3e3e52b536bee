"""Text on a terminal: tables, widths of wide letters, wrapping at 80 columns, the progress bar."""

import textwrap
import unicodedata

WIDTH = 80


def wrap(text, indent="    "):
    """Lines of at most 80 columns"""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent)


def clean(item):
    """A name on one line"""
    return " ".join("".join(c if c.isprintable() else " " for c in str(item)).split())


def width(text):
    """Columns on the screen: wide East Asian characters take two, combining marks none"""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def pad(text, size):
    """text in exactly `size` columns, cut with an ellipsis where it is longer"""
    if width(text) > size:
        while width(text) > size - 1:
            text = text[:-1]
        text += "…"
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


def progress_bar(iterable, unit):
    """A bar on stderr for what takes more than two seconds"""
    from tqdm import tqdm

    return tqdm(iterable, unit=unit, delay=2, leave=False)


def wrapped(text, indent="    "):
    """Lines of at most 80 columns, also of characters that take two, and of paths without a blank"""
    lines: list = []
    for line in wrap(text, indent):
        lines.append("")
        for character in line:
            if width(lines[-1] + character) > WIDTH:
                lines.append(indent)
            lines[-1] += character
    return lines

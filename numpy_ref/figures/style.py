"""The house style of every picture, and how a picture is saved."""

import functools
import io
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError
from ..files import check_output, written_whole

INK, BLUE, RUST, SKY = "#111111", "#174a8c", "#b4481c", "#a9cdea"


STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "svg.hashsalt": "reward-by-hand",  # without it the ids inside an SVG are random at each run
}


class Picture(NamedTuple):
    """A figure and the words that stand in for it; a notebook shows it when it is a cell's last expression"""

    figure: Any
    alt: str

    def _repr_png_(self):
        return _rendered(self, "png")


def styled(draw):
    """Draws in the house style, whatever the reader's matplotlibrc says, and fixes the layout"""

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        import matplotlib.style

        with matplotlib.style.context(["default", STYLE]):
            picture = draw(*args, **kwargs)
            picture.figure.get_layout_engine().execute(picture.figure)  # without drawing it
            picture.figure.set_layout_engine("none")  # a new layout at each save would move by a fraction
        return picture

    return drawn


def new_figure(width, height, title):
    """A titled figure of width × height inches that pyplot does not know: nothing to close, freed like any object"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title)
    return figure


def _rendered(picture, kind):
    """The bytes of a picture with its alt text inside; the same picture gives the same bytes on one machine"""
    import matplotlib.style

    about = {"Title": picture.figure.get_suptitle(), "Subject" if kind == "pdf" else "Description": picture.alt}
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    out = io.BytesIO()
    with matplotlib.style.context(["default", STYLE]):
        picture.figure.savefig(out, format=kind, dpi=150, metadata=about | undated)
    return out.getvalue()


def save(picture, stem):
    """Writes stem.png and stem.svg and returns both paths; both are drawn before either is written"""
    files = {f"{stem}.{kind}": _rendered(picture, kind) for kind in ("png", "svg")}
    for path, content in files.items():
        _write(path, content)
    return tuple(files)


def save_as(picture, path):
    """Writes a picture as the kind that the file's name says: .png, .svg or .pdf"""
    check_figure(path)
    _write(path, _rendered(picture, Path(path).suffix[1:]))


def check_figure(path):
    """InputError, before anything is computed, if a picture cannot be written to this file; None means no file"""
    if path is None:
        return
    if Path(path).suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure {path}: expected a file name that ends in .png, .svg or .pdf")
    check_output(path)


def _write(path, content):
    with written_whole(path, "wb") as file:
        file.write(content)

"""Shows results in a lesson: a small table, a picture from a few plot calls, an interactive figure."""

import base64
import html
import re
from pathlib import Path

import numpy as np

from ..cli.text import table as lines_of
from .style import Picture, new_figure, styled

PLACES = Path("lessons"), Path("../lessons")  # relative to notebooks/ and to notebooks/exercises/


@styled
def picture(draw, title, xlabel, ylabel, alt, size=(5.2, 3.8)):
    """A Picture that draw(axes) draws in the house style, with the title, labels and alt text that every figure needs

    Say the unit in the labels, and in `alt` what a reader who does not see the picture should take from it. At this
    width the letters are still legible on a phone of 390 pixels.
    """
    figure = new_figure(size[0], size[1], title)
    axes = figure.add_subplot()
    draw(axes)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    return Picture(figure, alt)


class table:
    """A small table as the last expression of a cell: HTML in a notebook, text everywhere else

    rows      each as long as headings; the first column is aligned to the left, the others to the right
    digits    decimals of every float; a string is shown unchanged
    """

    def __init__(self, rows, headings, digits=3):
        self.rows = [list(headings)] + [[shown(value, digits) for value in row] for row in rows]
        if any(len(row) != len(self.rows[0]) for row in self.rows):
            raise ValueError(f"table: each row needs {len(self.rows[0])} entries, one for each heading")

    def __repr__(self):
        return "\n".join(lines_of(self.rows))

    def _repr_html_(self):
        head, *body = self.rows
        lines = "\n".join(line(row, "td") for row in body)
        return f"<table>\n<thead>{line(head, 'th')}</thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def shown(value, digits):
    """A float with this many decimals and no negative zero; anything else as it prints"""
    return f"{round(float(value), digits) + 0.0:.{digits}f}" if isinstance(value, float | np.floating) else str(value)


def line(row, tag):
    """One row of an HTML table"""
    sides = ["left", *["right"] * (len(row) - 1)]
    cells = (
        f'<{tag} style="text-align:{side}">{html.escape(value)}</{tag}>' for side, value in zip(sides, row, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


class Explorable:
    """An interactive figure, and the picture that is shown where scripts are not run

    name   an HTML file in the folder of the lessons; if it is not found, as in Colab, only the picture is shown
    still  a Picture. The output's metadata name the file, so that the site can put it in the picture's place.
    """

    def __init__(self, name, still):
        self.name, self.still = name, still

    def _repr_mimebundle_(self, include=None, exclude=None):  # noqa: ARG002  IPython's signature
        png = base64.b64encode(self.still._repr_png_()).decode()
        data = {"image/png": png, "text/plain": self.still.alt}
        found = [folder / self.name for folder in PLACES if (folder / self.name).is_file()]
        if found:
            data["text/html"] = frame(found[0])
        return data, {"explorable": self.name}


def frame(file):
    """The HTML file in an <iframe> that holds its text: no address to resolve; the page sets the frame's height"""
    page = Path(file).read_text(encoding="utf-8")
    (title,) = re.findall("<title>(.*?)</title>", page)
    return f'<iframe title="{title}" style="width:100%;height:1600px;border:0" srcdoc="{html.escape(page)}"></iframe>'

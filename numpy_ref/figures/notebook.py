"""What a lesson shows: a picture from a few plot calls, and a figure that the reader takes in hand."""

import base64
import html
import re
from pathlib import Path

from .style import Picture, new_figure, styled

PLACES = Path("lessons"), Path("../lessons")  # seen from notebooks/ and from notebooks/exercises/


@styled
def picture(draw, title, xlabel, ylabel, alt, size=(7.5, 4.2)):
    """draw(axes) in the house's style, with the names that every figure must have

    Say the unit in the labels, and in `alt` what a reader who does not see the picture should take from it.
    """
    figure = new_figure(size[0], size[1], title)
    axes = figure.add_subplot()
    draw(axes)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    return Picture(figure, alt)


class Explorable:
    """A figure to take in hand, and the picture shown where scripts are not run

    name   an HTML file in the folder of the lessons; where there is none, as in Colab, only the picture is shown
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

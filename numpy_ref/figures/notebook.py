"""What a lesson shows: a picture from a few plot calls, and pictures that a slider chooses from."""

import base64
import html
import io
import os

from .style import STYLE, Picture, new_figure, styled

SLIDE = (  # no library, no id: the handler finds the pictures beside its own input
    "const all=this.closest('figure').querySelectorAll('img');"
    "all.forEach((image,i)=>image.style.display=i==this.value?'block':'none');"
    "this.nextElementSibling.textContent=all[this.value].dataset.value"
)


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


class Slider:
    """One picture for each value and a slider that chooses: draw(value) -> Picture

    HTML that needs no kernel, no network and no library. GitHub takes scripts away and would show every picture at
    once: with LESSON_STATIC=1 in the environment only the picture at `start` is stored.
    """

    def __init__(self, draw, values, name, start=None, dpi=80):
        self.name, self.values = name, [f"{value:g}" for value in values]
        self.start = len(self.values) // 2 if start is None else self.values.index(f"{start:g}")
        self.pictures = [draw(value) for value in values]
        self.frames = [rendered(one, dpi) for one in self.pictures]

    def _repr_mimebundle_(self, include=None, exclude=None):  # noqa: ARG002  IPython's signature
        shown = self.pictures[self.start]
        bundle = {"image/png": base64.b64encode(self.frames[self.start]).decode(), "text/plain": shown.alt}
        return bundle if os.environ.get("LESSON_STATIC") else bundle | {"text/html": self.page()}

    def page(self):
        images = "\n".join(self.image(i) for i in range(len(self.values)))
        return (
            f'<figure style="margin:0"><label style="display:block">{html.escape(self.name)} '
            f'<input type="range" min="0" '
            f'max="{len(self.values) - 1}" value="{self.start}" style="width:50%;vertical-align:middle" '
            f'oninput="{html.escape(SLIDE)}"> <output>{self.values[self.start]}</output></label>\n{images}\n</figure>'
        )

    def image(self, i):
        alt, data = html.escape(self.pictures[i].alt), base64.b64encode(self.frames[i]).decode()
        display = "block" if i == self.start else "none"
        return (
            f'<img data-value="{self.values[i]}" alt="{alt}" style="display:{display};max-width:100%" '
            f'src="data:image/png;base64,{data}">'
        )


def rendered(picture, dpi):
    """The PNG of a Picture, as bytes"""
    import matplotlib.style

    out = io.BytesIO()
    with matplotlib.style.context(["default", STYLE]):
        picture.figure.savefig(out, format="png", dpi=dpi, metadata={"Description": picture.alt, "Software": None})
    return out.getvalue()

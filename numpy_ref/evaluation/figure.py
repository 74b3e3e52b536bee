"""The picture of `evaluate --figure`: predicted against observed frequencies, and accuracy by length."""

import numpy as np

from ..cli.text import counted
from ..figures.style import BLUE, INK, RUST, Picture, new_figure, save_as, styled
from .intervals import wilson


@styled
def evaluation(result):
    """The reliability curve, also after a temperature if asked for, and accuracy by the length of the better response

    result      what `evaluate` measured: "calibration", "by_length" and, if asked for, "temperature"
    """
    figure = new_figure(11, 4.8, "Does the model mean what it says, and is it fooled by length?")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
    draw_reliability(left, result)
    draw_by_length(right, result["by_length"])
    found = result["calibration"]
    return Picture(
        figure,
        f"Two panels. Left: the share of right predictions over the confidence in {len(found['curve'])} bins, with 95 "
        f"percent intervals, beside the diagonal of a calibrated model; expected calibration error {found['ece']:.3f}, "
        f"of a calibrated model {found['ece_if_calibrated']:.3f}. Right: accuracy in five groups of pairs, from those "
        "whose better response is much shorter to those where it is much longer.",
    )


def draw_reliability(axes, result):
    """Bins as points at their mean confidence, with Wilson's intervals"""
    axes.plot([0.5, 1], [0.5, 1], color=RUST, lw=1.5, ls="-.", label="calibrated", zorder=1)
    curves = [("as it is", result["calibration"], {"marker": "o", "color": BLUE, "ls": "-"})]
    if "temperature" in result:
        cooled = result["temperature"]
        style = {"marker": "s", "color": INK, "ls": ":", "mfc": "white"}
        curves.append((f"margins divided by T = {cooled['T']:.3g}", cooled["calibration"], style))
    for name, found, style in curves:
        x, y, n = (np.array([row[key] for row in found["curve"]]) for key in ("confidence", "right", "pairs"))
        bounds = np.array([wilson(share * count, count) for share, count in zip(y, n, strict=True)]).T
        reach = np.maximum([y - bounds[0], bounds[1] - y], 0)
        axes.errorbar(
            x, y, reach, ms=5, lw=1.2, capsize=2, elinewidth=1, label=f"{name}: ECE {found['ece']:.3f}", **style
        )
    axes.set(
        title="Reliability", xlabel="confidence: P(predicted side wins) = σ(|margin|)", ylabel="share that was right"
    )
    axes.set(xlim=(0.49, 1.01), ylim=(min(0.45, axes.get_ylim()[0]), 1.02))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14))


def draw_by_length(axes, rows):
    """A bar for each group, with its number of pairs; the line marks guessing"""
    places = np.arange(len(rows))
    for place, row in zip(places, rows, strict=True):
        if row["accuracy"] is not None:
            axes.barh(place, row["accuracy"], color="#a9cdea", edgecolor=INK, lw=1)
            axes.text(row["accuracy"] + 0.01, place, f"{row['accuracy']:.2f}", va="center")
    axes.axvline(0.5, color=INK, lw=1, ls=":")
    axes.set_yticks(
        places, [f"{row['better_is'].replace(', ', chr(10))}\n({counted(row['pairs'], 'pair')})" for row in rows]
    )
    axes.set(
        title="Accuracy by length", xlabel="share of pairs ranked right", xlim=(0, 1.1), ylim=(len(rows) - 0.4, -0.6)
    )
    axes.set_ylabel("the better response is")


def draw_evaluation(result, path):
    """Writes the picture"""
    save_as(evaluation(result), path)

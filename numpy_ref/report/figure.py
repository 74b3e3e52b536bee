"""The picture of `report --figure`: lengths, how well they predict, what a length limit costs, the findings."""

import numpy as np

from ..cli.text import counted
from ..errors import InputError
from ..evaluation.intervals import wilson
from ..figures.lessons import LIMIT, NO_OPINION
from ..figures.style import BLUE, INK, RUST, SKY, Picture, new_figure, save_as, styled
from .findings import short_names
from .text import TITLES

BINS = 8  # of length differences, all with the same number of comparisons
FEW = 50  # comparisons that a bin should have; with fewer of them there are fewer bins
LINES = ("-", "--", ":", "-.")


def draw_report(report, paths, path):
    """Writes the picture; InputError if there is nothing to draw"""
    if not len(report.compared.row):
        raise InputError(f"--figure {path}: there is no comparison to draw: leave the option out")
    save_as(report_picture(report, short_names(paths)), path)


@styled
def report_picture(report, names):
    """Four panels over all files together; only the length limit has a curve for each file"""
    figure = new_figure(12, 8, f"Preferences of {' and '.join(names) if len(names) < 4 else f'{len(names)} files'}")
    ((lengths, deciding), (limit, trouble)) = figure.subplots(2, 2)
    rows, compared = report.rows, report.compared
    chars = rows.chars.astype(np.int64)
    chosen, rejected = chars[compared.better], chars[compared.worse]
    draw_lengths(lengths, chosen, rejected)
    draw_deciding(deciding, chosen, rejected)
    draw_limit(limit, longest_texts(rows, names), report.max_length)
    draw_trouble(trouble, report)
    share = (chosen > rejected).mean()
    about = f"Four panels on {counted(len(chosen), 'comparison')}, in {share:.0%} of which the chosen answer is"
    return Picture(figure, f"{about} the longer one.")


def draw_lengths(axes, chosen, rejected):
    """How long chosen and rejected answers are, on a logarithmic scale"""
    high = max(chosen.max(), rejected.max(), 10)
    edges = np.unique(np.round(np.geomspace(max(1, min(chosen.min(), rejected.min())), high + 1, 40)))
    for values, name, line in ((chosen, "chosen", "-"), (rejected, "rejected", "--")):
        share = np.histogram(np.maximum(values, 1), edges)[0] / len(values)
        colour = BLUE if name == "chosen" else RUST
        label = f"{name} (median {np.median(values):,.0f})"
        axes.stairs(share / np.diff(np.log10(edges)), edges, color=colour, lw=1.8, ls=line, label=label)
    plain_log(axes)
    axes.set(title="Lengths of the answers", xlabel="characters", ylabel="share of the answers per decade")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.22)  # room for the names
    axes.legend(loc="upper left")


def draw_deciding(axes, chosen, rejected):
    """How often the longer answer was chosen, by how much longer it is, with 95 % Wilson intervals"""
    apart, longer = abs(chosen - rejected), chosen > rejected
    apart, longer = apart[apart > 0], longer[apart > 0]
    axes.axhline(0.5, **NO_OPINION)
    axes.set(title="How often the longer answer was chosen", xlabel="characters more", ylabel="share", ylim=(0, 1))
    if not len(apart):
        axes.text(0.5, 0.6, "all answers are equally long", transform=axes.transAxes, ha="center")
        return
    bins = int(np.clip(len(apart) // FEW, 1, BINS))
    order = np.argsort(apart, kind="stable")
    for part in np.array_split(order, bins):
        low, high = wilson(longer[part].sum(), len(part))
        x, share = np.median(apart[part]), longer[part].mean()
        axes.plot([x, x], [low, high], color=SKY, lw=4, solid_capstyle="butt")
        axes.plot(x, share, "o", color=INK, ms=6)
    plain_log(axes)
    axes.margins(x=0.08)
    axes.annotate("chance", (1.01, 0.5), xycoords=axes.get_yaxis_transform(), va="center", annotation_clip=False)
    about = f"{counted(len(apart), 'comparison')}, about {len(apart) // bins:,} at each point, bars: 95 %"
    axes.text(0.02, 0.03, about, transform=axes.transAxes, fontsize=9)


def draw_limit(axes, longest, max_length):
    """The share of rows that a length limit leaves out"""
    for k, (name, tokens) in enumerate(longest.items()):
        tokens = np.sort(tokens)
        left_out = 1 - np.arange(1, len(tokens) + 1) / len(tokens)
        line = LINES[k % len(LINES)]
        axes.step(tokens, left_out, where="post", color=(BLUE, RUST)[k % 2], ls=line, lw=1.8, label=name)
    axes.axvline(max_length, **LIMIT)
    high = axes.get_xlim()[1]
    axes.annotate(
        f"--max-length {max_length}",
        (max_length, 0.97),
        xycoords=axes.get_xaxis_transform(),
        xytext=(4 if max_length < high / 10 else -4, 0),
        textcoords="offset points",
        ha="left" if max_length < high / 10 else "right",
        va="top",
        rotation=90,
    )
    plain_log(axes)
    axes.set(title="What a length limit leaves out", xlabel="limit (tokens)", ylabel="share of the rows", ylim=(0, 1))
    axes.legend(loc="lower left")


def draw_trouble(axes, report):
    """How many rows each finding concerns; bars of errors are filled"""
    found = [finding for finding in report.findings if finding.rows.any() and finding.name in TITLES][::-1]
    axes.set(title="Rows with trouble", xlabel="share of the rows")
    if not found:
        axes.text(0.5, 0.5, "nothing was found", transform=axes.transAxes, ha="center", va="center")
        axes.set(xticks=[], yticks=[])
        return
    total, most = len(report.rows.size), max(int(finding.rows.sum()) for finding in found)
    for place, finding in enumerate(found):
        count = int(finding.rows.sum())
        filled = {"error": SKY, "warning": "white", "note": "0.9"}[finding.severity]
        axes.barh(place, count / total, 0.7, facecolor=filled, edgecolor=INK, lw=1)
        name = f"{TITLES[finding.name]} ({finding.severity}): {count:,}"
        inside = count > most / 2
        at = (0 if inside else count / total, place)
        axes.annotate(name, at, xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set(yticks=[], ylim=(-0.7, max(len(found), 8) - 0.3))
    axes.set_xlim(0, max(axes.get_xlim()[1], 0.01))
    axes.xaxis.set_major_formatter("{x:.1%}")


def longest_texts(rows, names):
    """Tokens of each readable row's longest text        -> {file: (rows,)}"""
    readable = np.flatnonzero(rows.size)
    start = np.cumsum(rows.size, dtype=np.int64)[readable] - rows.size[readable]
    longest = np.maximum.reduceat(rows.tokens, start)
    return {
        name: longest[rows.file[readable] == file]
        for file, name in enumerate(names)
        if (rows.file[readable] == file).any()
    }


def plain_log(axes):
    """A logarithmic axis with numbers as people write them: 20, 50, 100, 200, ..."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(lambda x, _: f"{x:,.0f}" if x >= 2 and str(x)[0] in "25" else "")

"""The pictures of a fit: strengths with their intervals; predicted against observed wins (`fit --figure`)."""

import numpy as np

from ..cli.text import clean
from ..figures.style import Picture, new_figure, save_as
from ..losses import sigmoid
from .outcomes import TIE_MODELS

SHOWN = 40  # items: more rows than that cannot be read


def plot_strengths(answer, bootstrap=None):
    """A figure of its own: a point and an interval for each of the strongest 40 items"""
    figure = new_figure(7, 1.6 + 0.26 * max(min(len(answer.items), SHOWN), 6), "")
    draw_intervals(figure.subplots(), answer, bootstrap)
    return figure


def draw_fit(answer, path, bootstrap=None):
    """Strengths with intervals; wins of row over column, observed and predicted, on one colour scale

    For rankings it draws the strengths alone, and of more than 40 items the strongest 40. Raises InputError if
    matplotlib cannot write such a file.
    """
    if hasattr(answer.fitted, "pairs"):
        figure = new_figure(15, 2.6 + 0.24 * max(min(len(answer.items), SHOWN), 8), "")
        intervals, observed, predicted = figure.subplots(1, 3, width_ratios=[1.15, 1, 1])
        draw_intervals(intervals, answer, bootstrap)
        order = answer.order[:SHOWN]
        for axes, matrix, title in zip(
            (observed, predicted), win_matrix(answer.fitted, order), ("observed", "predicted"), strict=True
        ):
            image = draw_matrix(axes, matrix, names_of(answer), f"Wins of row over column, {title}")
        figure.colorbar(image, ax=[observed, predicted], label="share of the games (ties count half)", shrink=0.8)
    else:
        figure = plot_strengths(answer, bootstrap)
    shown = min(len(answer.items), SHOWN)
    save_as(
        Picture(figure, f"Strengths of {shown} items with {100 * answer.level:g} % intervals, the strongest first."),
        path,
    )


def names_of(answer):
    """The names of the items that are drawn, long ones cut"""
    names = [clean(answer.items[k]) for k in answer.order[:SHOWN]]
    return [name if len(name) <= 24 else name[:23] + "…" for name in names]


def draw_intervals(axes, answer, bootstrap=None):
    """A point and a bar for each item, the strongest at the top"""
    names, order = names_of(answer), answer.order[:SHOWN]
    low, high = (bootstrap["low"], bootstrap["high"]) if bootstrap else (answer.low, answer.high)
    places = np.arange(len(order))
    known = ~np.isnan(low[order])
    axes.hlines(places[known], low[order][known], high[order][known], color="0.45", linewidth=2)
    axes.plot(answer.strength[order], places, "o", color="black", markersize=5)
    axes.axvline(0, color="0.7", linewidth=1, linestyle=":")
    axes.set_yticks(places, names)
    axes.set_ylim(len(order) - 0.4, -0.6)
    zero = "the mean of all items" if answer.reference is None else clean(answer.reference)
    axes.set_xlabel(f"strength (log-odds against {zero})")
    more = f" (the first {len(order)} of {len(answer.items)})" if len(answer.items) > len(order) else ""
    axes.set_title(f"Strengths with {100 * answer.level:g} % intervals{more}")


def win_matrix(fitted, order):
    """Observed and predicted share of row over column, NaN where two never met        -> two of (n, n)"""
    pairs, n = fitted.pairs, len(order)
    place = np.full(pairs.n_items, -1)
    place[order] = np.arange(n)
    first, second = place[pairs.first], place[pairs.second]
    drawn = (first >= 0) & (second >= 0)
    ties = pairs.ties if fitted.ties != "drop" else np.zeros(len(first))
    games = (pairs.wins + ties + pairs.losses)[drawn]
    d = (fitted.strength[pairs.first] - fitted.strength[pairs.second] + (fitted.home or 0) * pairs.at_home)[drawn]
    first, second, half = first[drawn], second[drawn], (pairs.wins + ties / 2)[drawn]
    shares = []
    for won in (half, games * expected_share(d, fitted)):
        total, wins = np.zeros((n, n)), np.zeros((n, n))
        np.add.at(total, (first, second), games)
        np.add.at(total, (second, first), games)
        np.add.at(wins, (first, second), won)
        np.add.at(wins, (second, first), games - won)
        shares.append(np.divide(wins, total, out=np.full((n, n), np.nan), where=total > 0))
    return shares


def expected_share(d, fitted):
    """P(first) + P(tie)/2        (M,) -> (M,)"""
    if not fitted.model:
        return sigmoid(d)
    log_p, _ = TIE_MODELS[fitted.model].log_probabilities(d, fitted.tie)
    p = np.exp(log_p)
    return p[:, 0] + p[:, 1] / 2


def draw_matrix(axes, matrix, names, title):
    """One matrix, white where two never met; with up to 12 items the shares are written into the cells"""
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap="cividis")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title)
    axes.set_xlabel("loser")
    axes.set_ylabel("winner")
    if len(names) <= 12:
        for i, j in np.argwhere(~np.isnan(matrix)):
            colour = "black" if matrix[i, j] > 0.55 else "white"
            axes.text(j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", fontsize=8, color=colour)
    return image

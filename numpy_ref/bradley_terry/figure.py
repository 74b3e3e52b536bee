"""The picture of `fit --figure`: strengths with their intervals, predicted against observed wins."""

import numpy as np

from ..figures.style import Picture, save_as
from ..losses import sigmoid
from .outcomes import TIE_MODELS

SHOWN = 40  # items: more rows than that cannot be read


def draw_fit(fitted, result, path):
    """Strengths with 95 % intervals; wins of row over column, observed and predicted, on one colour scale

    Beyond 40 items the strongest 40 are drawn.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = np.argsort(-fitted.strength, kind="stable")[:SHOWN]
    rows = result["ranking"][:SHOWN]
    names = [str(row["item"]) if len(str(row["item"])) <= 24 else str(row["item"])[:23] + "…" for row in rows]
    figure = Figure(figsize=(15, 2.6 + 0.24 * max(len(rows), 8)), layout="constrained")
    FigureCanvasAgg(figure)
    intervals, observed, predicted = figure.subplots(1, 3, width_ratios=[1.15, 1, 1])
    draw_intervals(intervals, rows, names, result)
    shares = win_matrix(fitted, order)
    for axes, matrix, title in zip((observed, predicted), shares, ("observed", "predicted"), strict=True):
        image = draw_matrix(axes, matrix, names, f"Wins of row over column, {title}")
    figure.colorbar(image, ax=[observed, predicted], label="share of the games (ties count half)", shrink=0.8)
    alt = f"Strengths of {len(rows)} items with 95 % intervals; wins of row over column, observed and predicted."
    save_as(Picture(figure, alt), path)


def draw_intervals(axes, rows, names, result):
    """A point and a bar for each item, the strongest at the top"""
    places = np.arange(len(rows))
    kind = "bootstrap_" if "bootstrap_low" in rows[0] else ""
    for place, row in zip(places, rows, strict=True):
        if row["standard_error"] is not None or kind:
            axes.plot([row[kind + "low"], row[kind + "high"]], [place, place], color="0.45", linewidth=2)
    axes.plot([row["strength"] for row in rows], places, "o", color="black", markersize=5)
    axes.axvline(0, color="0.7", linewidth=1, linestyle=":")
    axes.set_yticks(places, names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"strength (log-odds against {result['reference'] or 'the mean of all items'})")
    more = f" (the first {len(rows)} of {result['items']})" if result["items"] > len(rows) else ""
    axes.set_title(f"Strengths with 95 % intervals{more}")


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
    """One matrix; white where two never met, the share written into the cells while there is room"""
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

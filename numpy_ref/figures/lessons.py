"""Every picture that a command or a lesson shows, drawn from plain arrays; the architecture is in architecture.py.

A picture function returns a `Picture`: the figure and its alt text. Figures are built without pyplot: no display is
needed, and nothing global is touched. They read in black and white: line styles, markers and names, never colour alone.
Units: a reward and a margin are log-odds, a loss is in nats.
"""

import math

import numpy as np

from ..errors import InputError
from ..losses import log_sigmoid, pairwise_loss, pairwise_loss_backward, sigmoid
from .style import BLUE, INK, RUST, SKY, Picture, new_figure, styled

# Between -2 and 2 the gradient is about linear: there its tangent at 0, -1/2 + m/4, meets the asymptotes -1 and 0.
# At both borders each of the three approximations, -1, -1/2 + m/4 and -e^-m, is off by 12 %: 1 - σ(2) = 0.119.
REGIMES = (
    ("misranked by far", "gradient near −1", -8, -2, "#eccbbc"),
    ("undecided", "about linear,\n−½ at 0", -2, 2, "#ffffff"),
    ("solved", "gradient decays as e⁻ᵐ", 2, 8, "#dbe7f3"),
)


def _shade_regimes(axes):
    for _, _, left, right, colour in REGIMES:
        axes.axvspan(left, right, color=colour, lw=0, zorder=0)
        if right < 8:
            axes.axvline(right, color="#777777", lw=0.8, ls=(0, (1, 2)), zorder=1)
    axes.set(xlim=(-8, 8), xticks=range(-8, 9, 2))


@styled
def gradient_regimes(narrow=False):
    """-log σ(m), its gradients σ(m) - 1 (chosen) and 1 - σ(m) (rejected), and the tail of σ(m) - 1 on a log scale

    narrow  the three panels below each other, legible on a phone
    """
    if narrow:
        figure = new_figure(5.4, 12, "Loss of a pair, its two gradients, the tail")
        upper, lower, tail = figure.subplots(3, 1)
    else:
        figure = new_figure(11, 6.6, "The loss of a pair and its two gradients over the margin")
        grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1])
        upper, lower, tail = (figure.add_subplot(place) for place in (grid[0, 0], grid[1, 0], grid[:, 1]))
    _draw_regimes(upper, lower, np.linspace(-8, 8, 801))
    _draw_tail(tail, np.linspace(0, 45, 4501))
    return Picture(
        figure,
        "Three panels over the margin. The loss -log σ(m) falls from about m to 0. The gradient of the chosen reward, "
        "σ(m) - 1, rises from -1 to 0, that of the rejected reward is its mirror image. Three regimes are shaded: "
        "misranked by far (gradient near -1), undecided (about linear, -1/2 at 0), solved (the gradient decays as "
        "e to the -m). On a log scale the gradient written -σ(-m) goes on falling as e to the -m, while the literal "
        "σ(m) - 1 becomes coarse and is exactly 0 from a margin of 36.74 on.",
    )


def _draw_regimes(upper, lower, margin):
    _, cache = pairwise_loss(margin, np.zeros_like(margin))
    chosen, rejected = pairwise_loss_backward(len(margin), cache)  # dout = B: each pair's own gradient
    upper.plot(margin, -log_sigmoid(margin), color=INK, lw=2, label="−log σ(m)")
    upper.set(title="Loss", ylabel="loss (nats)", ylim=(0, 10.2))
    upper.annotate("at 0: log 2 = 0.69", (0, math.log(2)), (2.6, 3), arrowprops={"arrowstyle": "-"}, va="center")
    upper.plot(0, math.log(2), "o", color=INK, ms=5)
    for name, what, left, right, _ in REGIMES:
        upper.text((left + right) / 2, 9.9, name, ha="center", va="top", weight="bold")
        upper.text((left + right) / 2, 9.1, what, ha="center", va="top", fontsize=9)
    lower.plot(margin, chosen, color=BLUE, lw=2, label="chosen: σ(m) − 1")
    lower.plot(margin, rejected, color=RUST, lw=2, ls="--", label="rejected: 1 − σ(m)")
    lower.plot([-2, 2], [-1, 0], color=INK, lw=1, ls=":", label="tangent: −½ + m/4")
    lower.axhline(0, color="#777777", lw=0.6)
    lower.set(title="Gradient", xlabel="margin m = chosen − rejected reward (log-odds)", ylim=(-1.1, 1.1))
    lower.set(ylabel="d loss / d reward (nats per log-odds)")
    lower.legend(loc="upper right")
    for axes in (upper, lower):
        _shade_regimes(axes)


def _draw_tail(axes, margin):
    _, cache = pairwise_loss(margin, np.zeros_like(margin))
    _, stable = pairwise_loss_backward(len(margin), cache)
    literal = 1 - sigmoid(margin)
    zero_from = margin[literal == 0][0]
    axes.axvspan(2, zero_from, color=REGIMES[2][-1], lw=0, zorder=0)
    axes.axvspan(zero_from, margin[-1], facecolor="white", edgecolor="#999999", hatch="///", lw=0, zorder=0)
    axes.plot(margin, stable, color=SKY, lw=5, label="−σ(−m): falls as e⁻ᵐ")
    axes.plot(margin, literal, color=INK, lw=1.2, ls="--", label="σ(m) − 1 as it stands")
    axes.text(2.6, 1, "solved", va="center", weight="bold")
    axes.annotate(
        f"exactly 0\nfrom {zero_from:.2f} on",
        (zero_from, 1e-18),
        (19, 1e-18),
        arrowprops={"arrowstyle": "->"},
        ha="center",
        va="center",
    )
    axes.set(title="The tail of the gradient, log scale", xlabel="margin m (log-odds)", xlim=(0, margin[-1]))
    axes.set(yscale="log", ylim=(1e-20, 3), ylabel="|d loss / d chosen| (nats per log-odds, float64)")
    axes.legend(loc="lower left", bbox_to_anchor=(0.02, 0.2))


# key -> title, unit on the axis, score of a model without an opinion and its name, name of the best score
PANELS = {
    "eval_accuracy": ("Held-out accuracy", "share of pairs", 0.5, "½", "best reachable"),
    "eval_loss": ("Held-out log loss", "nats per pair", math.log(2), "log 2", "entropy floor"),
    "eval_brier": ("Held-out Brier score", "squared error of the probability", 0.25, "¼", "Brier floor"),
}
ALONE = ({"color": BLUE, "lw": 1.4, "ms": 4},)
TOGETHER = (  # thick and light below, thin, dark and dashed above: where two runs coincide, both are seen
    {"color": SKY, "lw": 4.5, "ms": 9, "solid_capstyle": "round"},
    {"color": INK, "lw": 1, "ms": 3.5, "ls": (0, (4, 1.5))},
)
NO_OPINION = {"color": "#777777", "lw": 1, "ls": ":"}
LIMIT = {"color": RUST, "lw": 1.5, "ls": "-."}


def _named_level(axes, value, name, x, above, **line):
    axes.axhline(value, **line)
    place = {"xytext": (0, 4 if above else -4), "textcoords": "offset points", "va": "bottom" if above else "top"}
    axes.annotate(name, (x, value), xycoords=axes.get_yaxis_transform(), ha="left" if x < 0.5 else "right", **place)


@styled
def training_curves(runs, floors=None, gradient_eps=None, bound=100):
    """Loss over the steps and the held-out scores beside their floors, of one run or of two

    runs          {"NumPy, by hand": curves, ...}, one or two; curves = {key: (steps, values)}, two arrays of the same
                  length: "loss" (nats, per training step) and any of "eval_accuracy", "eval_loss", "eval_brier"
    floors        the best possible values under the same eval_ keys, where the true probabilities are known
    gradient_eps  (steps, values): largest gradient difference of two runs, in eps of the largest entry
    bound         the bound that gradient_eps must stay below
    """
    if len(runs) not in (1, 2):
        raise InputError(f"training_curves draws one or two runs, found {len(runs)}: give a dict with one or two")
    evals = [key for key in PANELS if any(key in curves for curves in runs.values())]
    rows = [["loss"] * 6 if gradient_eps is None else ["loss"] * 4 + ["gradient"] * 2]
    rows += [[key for key in evals for _ in range(6 // len(evals))]] if evals else []
    figure = new_figure(11, 3.4 * len(rows) + 0.3, "Training the reward model: " + " and ".join(runs))
    axes = figure.subplot_mosaic(rows)
    _draw_loss(axes["loss"], runs)
    for panel in axes.values():
        panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # steps are whole numbers
    for key in evals:
        _draw_score(axes[key], key, runs, (floors or {}).get(key))
    if gradient_eps is not None:
        _draw_gradient_eps(axes["gradient"], gradient_eps, bound)
    return Picture(figure, _curves_alt(runs, evals, floors or {}, gradient_eps, bound))


def _draw_runs(axes, key, runs, marker):
    for (name, curves), line in zip(runs.items(), ALONE if len(runs) == 1 else TOGETHER, strict=True):
        if key in curves:
            axes.plot(*curves[key], marker=marker, label=name, **line)


def _draw_loss(axes, runs):
    _draw_runs(axes, "loss", runs, marker="o" if all(len(curves["loss"][0]) == 1 for curves in runs.values()) else "")
    axes.set(title="Training loss of each batch", xlabel="step", ylabel="loss (nats per pair)")
    axes.margins(y=0.12)
    _named_level(axes, math.log(2), "no opinion: log 2", 0.99, True, **NO_OPINION)
    axes.legend(loc="lower left")


def _draw_score(axes, key, runs, floor):
    title, unit, chance, chance_name, floor_name = PANELS[key]
    _draw_runs(axes, key, runs, marker="o")
    higher_is_better = key == "eval_accuracy"
    _named_level(axes, chance, f"no opinion: {chance_name}", 0.98, not higher_is_better, **NO_OPINION)
    if floor is not None:
        _named_level(axes, floor, f"{floor_name}: {floor:.3f}", 0.02, higher_is_better, **LIMIT)
    axes.set(title=title, xlabel="step", ylabel=unit)
    axes.margins(y=0.15)


def _draw_gradient_eps(axes, gradient_eps, bound):
    axes.plot(*gradient_eps, color=BLUE, lw=1, marker="o", ms=4)
    axes.set_yscale("symlog", linthresh=1)  # linear below 1 eps, so that an exact 0 has its place
    axes.set(title="Gradients of the two runs", xlabel="step", ylabel="largest difference\n(eps of the largest entry)")
    axes.set_ylim(0, 10 * max(bound, np.max(gradient_eps[1])))
    _named_level(axes, bound, f"bound: {bound:g} eps", 0.02, True, **LIMIT)


def _curves_alt(runs, evals, floors, gradient_eps, bound):
    alt = ["Curves over the training steps."]
    for name, curves in runs.items():
        last = [f"loss {curves['loss'][1][0]:.3f} to {curves['loss'][1][-1]:.3f} nats"]
        last += [
            f"{PANELS[key][0].replace('Held', 'held')} {curves[key][1][-1]:.3f} at the end"
            for key in evals
            if key in curves
        ]
        alt.append(f"{name}: {', '.join(last)}.")
    alt += [f"{PANELS[key][-1].capitalize()} {floors[key]:.3f}." for key in evals if key in floors]
    if gradient_eps is not None:
        alt.append(f"The gradients differ by at most {np.max(gradient_eps[1]):.3g} eps; the bound is {bound:g}.")
    return " ".join(alt)


@styled
def learned_against_true(true, learned, spearman):
    """Learned over true reward, each minus its prompt's mean, since a constant is free        (N, K), (N, K)"""
    from matplotlib.patheffects import withStroke

    if np.ndim(true) != 2 or np.shape(true) != np.shape(learned):
        raise InputError(
            f"true and learned rewards have shapes {np.shape(true)} and {np.shape(learned)}: give two (N, K) arrays"
        )
    x, y = (reward - reward.mean(1, keepdims=True) for reward in (np.asarray(true), np.asarray(learned)))
    reach = 1.08 * max(np.abs(x).max(), np.abs(y).max()) or 1.0
    correlation = f"{spearman:.3f}" if math.isfinite(spearman) else "undefined"
    figure = new_figure(6.2, 6.4, f"Learned against true reward (Spearman {correlation})")
    axes = figure.add_subplot()
    casing = [withStroke(linewidth=4.5, foreground="white")]
    axes.axline((0, 0), slope=1, color=RUST, lw=2, ls="--", label="learned = true", zorder=3, path_effects=casing)
    alpha = min(1.0, max(0.15, 20 / math.sqrt(x.size)))
    axes.plot(x.ravel(), y.ravel(), ".", color=INK, ms=6, mew=0, alpha=alpha, label="one response", rasterized=True)
    axes.set(
        xlabel="true reward − its prompt's mean (log-odds)", ylabel="learned reward − its prompt's mean (log-odds)"
    )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set_title(f"prompts: {x.shape[0]} · responses to each: {x.shape[1]}", weight="normal")
    axes.legend(loc="upper left")
    return Picture(
        figure,
        f"Scatter plot of {x.size} responses: learned reward over true reward, both in log-odds and centred within "
        f"their prompt, beside the line where they are equal. Spearman correlation {correlation}.",
    )

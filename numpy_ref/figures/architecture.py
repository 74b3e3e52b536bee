"""Draws the reward model, from tokens over embeddings and blocks to one number; beside it a pair and its loss.

The canvas has WIDTH × HEIGHT units, equal in both directions, with the origin at the lower left. The drawing is read
from bottom to top.
"""

import numpy as np

from ..errors import InputError
from .style import INK, RUST, Picture, new_figure, styled

EXAMPLE = ("<bos>", "opposite", "hot", "<sep>", "cold", ".", "<eos>", "<pad>", "<pad>")
PAPER, WARM, COOL, MIST, GREY = "#ffffff", "#f8d9b0", "#d3e3f2", "#f4f4f4", "#808080"
WIDTH, HEIGHT = 110, 87.2
LEFT, RIGHT, MIDDLE, HALF = 3, 66, 34.5, 15  # the column of one response; its layers are MIDDLE ± HALF wide
PAIR_LEFT, PAIR_RIGHT = 79.5, 100.5  # the axes of the two responses of a pair
PAIR = (PAIR_LEFT + PAIR_RIGHT) / 2
SHAPE = "(B·K, T, C)"
PAIR_ALT = (
    "chosen and rejected response go through the same weights, the margin m of their rewards through σ into the loss; "
    "the gradients σ(m) - 1 and 1 - σ(m) come back."
)


def parameter_count(n_layer, n_embd, vocab_size, n_positions):
    """(V + P) C + N (12 C² + 13 C) + 3 C        embeddings, blocks, final layer norm and head"""
    C = n_embd
    return (vocab_size + n_positions) * C + n_layer * (12 * C * C + 13 * C) + 3 * C


class _Canvas:
    """The few shapes of the drawing"""

    def __init__(self, axes, left, right):
        self.axes = axes
        axes.set(xlim=(left, right), ylim=(-5.5, HEIGHT), aspect="equal")
        axes.set_axis_off()

    def text(self, x, y, text, size=10, **look):
        # a dollar sign in a token does not begin a formula
        self.axes.text(
            x, y, text, fontsize=size, parse_math=False, **{"ha": "center", "va": "center", "color": INK} | look
        )

    def box(self, x, y, half, height, text, face=PAPER, edge=INK, lw=1.1, hatch=None, zorder=2, **font):
        """A rounded box of width 2 half around x, from y upward"""
        from matplotlib.patches import FancyBboxPatch

        shape = FancyBboxPatch((x - half, y), 2 * half, height, "round,pad=0,rounding_size=0.7")
        shape.set(facecolor=face, edgecolor=edge, linewidth=lw, hatch=hatch, zorder=zorder)
        self.axes.add_patch(shape)
        behind = {"facecolor": face, "edgecolor": "none", "pad": 1} if hatch else None
        self.text(x, y + height / 2, text, bbox=behind, zorder=3, **font)

    def arrow(self, *points, label="", at=0.5, side=1, **line):
        """A line through the points, its head at the last one, its label right (side = 1) or left of it"""
        line = {"color": INK, "lw": 1.3, "ls": "-"} | line
        self.axes.plot(*zip(*points[:-1], strict=True), **line, solid_joinstyle="round", zorder=1.5)
        head = {"arrowstyle": "-|>,head_width=0.22,head_length=0.45", "shrinkA": 0, "shrinkB": 0} | line
        self.axes.annotate("", points[-1], points[-2], arrowprops=head, zorder=1.5)
        (x0, y0), (x1, y1) = points[-2:]
        place = x0 + at * (x1 - x0) + side, y0 + at * (y1 - y0)
        self.text(*place, label, size=9, ha="left" if side > 0 else "right", family="monospace")

    def symbol(self, x, y, text, face=PAPER, size=12):
        self.axes.plot(x, y, "o", ms=17, mfc=face, mec=INK, mew=1.1, zorder=4)
        self.text(x, y, text, size=size, va="center_baseline", zorder=5)


@styled
def architecture(
    n_layer, n_head, n_embd, vocab_size, n_positions, example_tokens=EXAMPLE, example_length=7, part="whole"
):
    """Tokens (B·K, T) -> embeddings -> N blocks -> layer norm -> row of the last real token -> head -> reward (B·K,)

    example_tokens  one response as the model reads it, padding last; the first example_length of them are real
    part            "whole", or "model" or "pair" alone, at the width of a phone
    """
    tokens, length = list(example_tokens), example_length
    if not 1 <= length <= len(tokens) <= 12:
        raise InputError(
            f"architecture: example_tokens has {len(tokens)} tokens, {length} of them real: give at most 12 tokens, of "
            "which at least the first is real"
        )
    count = parameter_count(n_layer, n_embd, vocab_size, n_positions)
    title = f"The reward model: {count:,} parameters turn a response into one number"
    sizes = [f"tokens T = {len(tokens)}", f"channels C = {n_embd}", f"heads H = {n_head}"]
    sizes = ["prompts B, responses to each K", *sizes, f"vocabulary V = {vocab_size}", f"positions P = {n_positions}"]
    model = (
        f"Read from bottom to top. {len(tokens)} tokens, {' '.join(tokens)}, of which the first {length} are real, get "
        f"a token embedding and a position embedding of {n_embd} channels each, added. {n_layer} blocks follow: layer "
        f"norm and causal self-attention with {n_head} heads, added back; layer norm and feed-forward, added back. "
        "After a final layer norm only the row of the last real token is read; a linear head without bias turns it "
        "into the reward r."
    )
    if part == "pair":
        figure = new_figure(3.6, 8.8, "One set of weights, one loss")
        _draw_pair(_Canvas(figure.add_subplot(), 70.5, 109.5))
        return Picture(figure, f"Read from bottom to top. A pair: {PAIR_ALT}")
    if part == "model":
        figure = new_figure(5.2, 8.2, title.replace("parameters ", "parameters\n"))
        canvas = _Canvas(figure.add_subplot(), 1.5, 68.5)
        names, alt = "\n".join([" · ".join(sizes[:3]), " · ".join(sizes[3:])]), model
    else:
        figure = new_figure(11, 9.4, title)
        canvas = _Canvas(figure.add_subplot(), 0, WIDTH)
        names, alt = " · ".join(sizes), f"{model} Beside it a pair: {PAIR_ALT}"
        _draw_pair(canvas)
    _draw_tokens(canvas, tokens, length)
    _draw_embeddings(canvas)
    _draw_block(canvas, n_layer, n_head)
    _draw_reward(canvas, len(tokens), length)
    canvas.text(sum(canvas.axes.get_xlim()) / 2, -2.6, names, size=9.5, va="top")
    return Picture(figure, alt)


def _cells(count):
    """The middle of each token's cell in the column, and half the width of a cell"""
    pitch = (RIGHT - LEFT) / count
    return [LEFT + (i + 0.5) * pitch for i in range(count)], pitch / 2 - 0.4


def _font_size(half, letters):
    """At most 9.5 points, so that a word fits its cell: a unit is 7 points, a monospaced letter 0.6 em wide"""
    return min(9.5, 7 * (2 * half - 0.7) / (0.6 * letters))


def _draw_tokens(canvas, tokens, length):
    middles, half = _cells(len(tokens))
    size = max(6.5, _font_size(half, max(map(len, tokens))))
    tokens = [token if _font_size(half, len(token)) >= 6.5 else token[:4] + "…" for token in tokens]
    for i, (x, token) in enumerate(zip(middles, tokens, strict=True)):
        look = {} if i < length else {"hatch": "////", "edge": GREY, "color": GREY}
        canvas.box(x, 2, half, 4, token, size=size, family="monospace", **look)
    for name, part in (("length", middles[:length]), ("padding", middles[length:])):
        if part:
            start, end = part[0] - half, part[-1] + half
            canvas.axes.plot([start, start, end, end], [1.3, 0.7, 0.7, 1.3], color=INK, lw=0.9)
            canvas.text((start + end) / 2, -0.6, f"{name} = {len(part)}", size=9)


def _draw_embeddings(canvas):
    left, right = MIDDLE - 17, MIDDLE + 17
    canvas.arrow((left, 6.2), (left, 10), label="(B·K, T)")
    canvas.text(right, 8.2, "positions 0 … T−1", size=9)
    canvas.box(left, 10, 13, 5, "token embedding\n(V, C)", face=COOL)
    canvas.box(right, 10, 13, 5, "position embedding\n(P, C)", face=COOL)
    canvas.arrow((left + 13, 12.5), (MIDDLE - 1.2, 12.5))
    canvas.arrow((right - 13, 12.5), (MIDDLE + 1.2, 12.5))
    canvas.symbol(MIDDLE, 12.5, "+")
    canvas.arrow((MIDDLE, 13.7), (MIDDLE, 21.5), label=SHAPE, at=0.34)


def _draw_block(canvas, n_layer, n_head):
    canvas.box(MIDDLE, 17.7, 31.5, 40.3, "", face=MIST, edge=GREY, zorder=0.5)
    canvas.text(LEFT + 1.5, 56, f"block × {n_layer}", ha="left", weight="bold")
    for bottom, names, notes in (
        (21.5, ("layer norm", "causal self-attention"), f"heads: {n_head}"),
        (40.5, ("layer norm", "feed-forward"), "C → 4C → C, GELU"),
    ):
        canvas.box(MIDDLE, bottom, HALF, 3.6, names[0])
        canvas.arrow((MIDDLE, bottom + 3.6), (MIDDLE, bottom + 6))
        canvas.box(MIDDLE, bottom + 6, HALF, 5, f"{names[1]}\n{notes}", face=COOL)
        canvas.arrow((MIDDLE, bottom + 11), (MIDDLE, bottom + 13))
        canvas.arrow(
            (MIDDLE, bottom - 2), (LEFT + 7, bottom - 2), (LEFT + 7, bottom + 14.2), (MIDDLE - 1.2, bottom + 14.2)
        )
        canvas.text(LEFT + 6, bottom + 6, "residual", size=9, rotation=90)
        canvas.symbol(MIDDLE, bottom + 14.2, "+")
    canvas.arrow((MIDDLE, 36.9), (MIDDLE, 40.5))
    canvas.arrow((MIDDLE, 55.9), (MIDDLE, 61.5), label=SHAPE, at=0.62)
    _draw_mask(canvas, MIDDLE + HALF + 4.5, 27, 6)


def _draw_mask(canvas, x, y, size):
    """Who sees whom: row = the position that looks, column = the position looked at"""
    edges = np.linspace(0, size, 6)
    sees = np.tril(np.ones((5, 5)))[::-1]  # the first row on top
    canvas.axes.pcolormesh(x + edges, y + edges, sees, cmap="Greys", vmax=1.6, edgecolors=GREY, lw=0.3, zorder=3)
    canvas.text(x + size / 2, y - 1.8, "a token sees\nitself and\nthe past", size=8.5, va="top", linespacing=1.1)
    canvas.axes.plot([MIDDLE + HALF, x - 0.6], [y + size / 2] * 2, color=INK, lw=0.9, ls=":")


def _draw_reward(canvas, count, length):
    canvas.box(MIDDLE, 61.5, HALF, 3.6, "final layer norm")
    canvas.arrow((MIDDLE, 65.1), (MIDDLE, 68), label=SHAPE)
    middles, half = _cells(count)
    for i, x in enumerate(middles):
        look: dict = {"edge": GREY, "color": GREY, "hatch": "////" if i >= length else None}
        if i == length - 1:
            look = {"face": WARM, "lw": 2.2, "weight": "bold"}
        canvas.box(x, 68, half, 4, f"h[{i}]", size=_font_size(half, 5), family="monospace", **look)
    last = middles[length - 1]
    head = min(max(last, LEFT + 13), RIGHT - 13)
    canvas.arrow((last, 72.1), (last, 76), label="(B·K, C)", side=-1 if last > RIGHT - 10 else 1)
    canvas.box(head, 76, 13, 4, "linear head, no bias: w · h", face=COOL)
    canvas.arrow((head, 80), (head, 84), label="(B·K,)")
    canvas.symbol(head, 85.3, "r", face=WARM)
    beside = LEFT if head > MIDDLE else RIGHT
    note = "Only the last real\ntoken is read,\nh[length − 1].\nAttention is causal:\npadding cannot\nreach it."
    canvas.text(beside, 80, note, size=9.5, ha="left" if head > MIDDLE else "right")


def _draw_pair(canvas):
    canvas.axes.plot([69.5, 69.5], [-1, 87], color=GREY, lw=0.8, ls=":")
    canvas.text(PAIR, 85.3, "Two responses to one prompt", size=11, weight="bold")
    canvas.text(PAIR, 82.5, "K = 2, chosen before rejected", size=9.5)
    for x, name in ((PAIR_LEFT, "chosen"), (PAIR_RIGHT, "rejected")):
        canvas.box(x, 2, 8.5, 4, f"prompt, {name}")
        canvas.arrow((x, 6), (x, 20), label="(B, T)")
        canvas.arrow((x, 33), (x, 39.6), label="(B,)")
        canvas.symbol(x, 41, "r", face=WARM)
        canvas.text(x, 43.8, name, size=9)
    canvas.box(PAIR, 20, 17, 13, "the reward model\n\nthe same weights\nfor both responses", face=COOL)
    canvas.arrow((PAIR_LEFT + 1.3, 41), (PAIR, 41), (PAIR, 48))
    canvas.arrow((PAIR_RIGHT - 1.3, 41), (PAIR, 41), (PAIR, 48))
    canvas.box(PAIR, 48, 11, 5, "margin\nm = chosen − rejected")
    canvas.arrow((PAIR, 53), (PAIR, 59.5), label="(B,)")
    canvas.box(PAIR, 59.5, 11, 5, "P(chosen preferred)\n= σ(m)")
    canvas.arrow((PAIR, 64.5), (PAIR, 71))
    canvas.box(PAIR, 71, 11, 5, "loss\nmean of −log σ(m)", face=WARM)
    for side, x, gradient in ((-1, PAIR_LEFT, "(σ(m) − 1) / B"), (1, PAIR_RIGHT, "(1 − σ(m)) / B")):
        out = PAIR + 17.5 * side
        back = ((PAIR + 11 * side, 73.5), (out, 73.5), (out, 41), (x + 1.4 * side, 41))
        canvas.arrow(*back, color=RUST, ls="--")
        canvas.text(out - 1.7 * side, 59, f"gradient {gradient}", size=9, rotation=90, color=RUST)

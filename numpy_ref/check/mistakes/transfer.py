"""Known mistakes in the functions that the lessons leave to the reader: layers, losses and bookkeeping.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""
# ruff: noqa: ARG005

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import log_sigmoid, sigmoid
from .layers import mean, sum_rows


def normalised(x):
    """RMS norm's x̂, and the √(mean x² + ε) that x was divided by"""
    size = np.sqrt(mean(x * x) + 1e-5)
    return x / size, size


def rms_norm_by(size):
    """RMS norm's gradients with another size(x) in place of the root mean square"""

    def wrong(dout, x, weight):
        xhat, dxhat = x / size(x), dout * weight
        dx = (dxhat - xhat * mean(dxhat * xhat)) / size(x)
        return dx, (dout * xhat).reshape(-1, len(weight)).sum(0)

    return wrong


def over_the_rows(dout, x, weight):
    """RMS norm's gradient with both means over axis 0"""
    size, dxhat = np.sqrt((x * x).mean(0, keepdims=True) + 1e-5), dout * weight
    xhat = x / size
    return (dxhat - xhat * (dxhat * xhat).mean(0, keepdims=True)) / size, sum_rows(dout * xhat)


def rms_dx(dx):
    """A wrong dx(dxhat, xhat, size) with the right dweight"""

    def wrong(dout, x, weight):
        return dx(dout * weight, *normalised(x)), right.rms_norm_backward(dout, x, weight)[1]

    return wrong


def lora_dx(dx):
    """A wrong dx(dout, down, up, weight) with the right ddown and dup"""
    return lambda d, x, a, b, w: (dx(d, a, b, w), *right.lora_backward(d, x, a, b, w)[1:])


def lora_mean(part):
    """LoRA's three gradients, one of them as a mean over the rows"""

    def wrong(dout, *arguments):
        found = list(right.lora_backward(dout, *arguments))
        found[part] = found[part] / (dout.size // dout.shape[-1])
        return tuple(found)

    return wrong


def residual_with(slope=lambda t: 1 - t * t, skip=1.0, branch=1.0):
    """The gradients with another derivative of tanh, or with factors on the skip path and on the branch"""

    def wrong(dout, x, weight, bias):
        dh = dout * slope(np.tanh(x @ weight.T + bias))
        return skip * dout + branch * (dh @ weight), dh.T @ x, dh.sum(0)

    return wrong


def forecasts(weigh):
    """(p - one_hot) weigh(weight)"""

    def wrong(logits, targets, weight):
        error = right.softmax(logits) - np.eye(logits.shape[-1])[targets]
        return weigh(weight)[..., None] * error

    return wrong


def margins(rewards, per_rank, distance):
    """-log σ(r_i - r_j - c · distance(i, j)) of all pairs i < j"""
    i, j = np.triu_indices(rewards.shape[1], 1)
    return -log_sigmoid(rewards[:, i] - rewards[:, j] - per_rank * distance(i, j))


def sorted_into_bins(probability, outcome, bins, open_on="right"):
    """(count, sum of the errors) of each bin that is not empty"""
    place = np.floor(probability * bins) if open_on == "right" else np.ceil(probability * bins) - 1
    place = np.clip(place, 0, bins - 1).astype(int)
    count, error = np.bincount(place), np.bincount(place, probability - outcome)
    return count[count > 0], error[count > 0]


def centred(a):
    """a minus the mean of each prompt"""
    return a - a.mean(1, keepdims=True)


def simple_slope(score, length):
    """Σ score · length / Σ length²: quality is not taken into account"""
    return (score * length).sum() / (length * length).sum()


def least_squares(score, quality, length):
    """(a, b) of score = a quality + b length"""
    design = np.stack([quality.ravel(), length.ravel()], 1)
    return np.linalg.lstsq(design, score.ravel(), rcond=None)[0]


MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "lora_backward": (
        Mistake(
            "dx without the frozen weight",
            "A frozen weight still passes dy on to x: add dy W.",
            lora_dx(lambda d, a, b, w: d @ b @ a),
        ),
        Mistake("dx without the adapter", "x reaches y along two paths: add both.", lora_dx(lambda d, a, b, w: d @ w)),
        Mistake("ddown is a mean", "Every row adds to a weight's gradient: take the sum.", lora_mean(1)),
        Mistake("dup is a mean", "Every row adds to a weight's gradient: take the sum.", lora_mean(2)),
    ),
    "log_softmax_backward": (
        Mistake(
            "softmax's gradient",
            "This is the gradient of p, not of log p.",
            lambda d, x: right.softmax_backward(d, right.softmax(x)),
        ),
        Mistake("the second term is missing", "log Σ eˣ depends on x too: its derivative is p.", lambda d, x: d.copy()),
        Mistake(
            "p minus one cotangent", "The second term is p Σ dy, and Σ dy is not 1.", lambda d, x: d - right.softmax(x)
        ),
        Mistake(
            "the mean in place of the sum",
            "log Σ eˣ occurs in every output of the row: take Σ dy.",
            lambda d, x: d - right.softmax(x) * mean(d),
        ),
        Mistake(
            "the sum runs over all rows",
            "Each row has its own Σ dy: axis=-1, keepdims=True.",
            lambda d, x: d - right.softmax(x) * d.sum(),
        ),
    ),
    "rms_norm_backward": (
        Mistake(
            "ε outside the root",
            "Divide by √(mean x² + ε), not by √(mean x²) + ε: they differ for rows near 0.",
            rms_norm_by(lambda x: np.sqrt(mean(x * x)) + 1e-5),
        ),
        Mistake(
            "layer norm's gradient",
            "RMS norm subtracts no mean forward, so its backward subtracts no mean(dx̂).",
            rms_dx(lambda dxhat, xhat, size: (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)) / size),
        ),
        Mistake(
            "the size is taken for a constant",
            "√(mean x² + ε) depends on x: a second term is missing.",
            rms_dx(lambda dxhat, xhat, size: dxhat / size),
        ),
        Mistake(
            "a sum in place of the mean",
            "The size is the root of a mean: divide the sum by C.",
            rms_dx(lambda dxhat, xhat, size: (dxhat - xhat * (dxhat * xhat).sum(-1, keepdims=True)) / size),
        ),
        Mistake(
            "x in place of x̂",
            "The second term is x̂ mean(dx̂ x̂): both of its x are divided by the size.",
            rms_dx(lambda dxhat, xhat, size: (dxhat - xhat * size * mean(dxhat * xhat * size)) / size),
        ),
        Mistake(
            "the mean over the rows",
            "Each row has its own size: take the mean over the last axis, axis=-1, keepdims=True.",
            over_the_rows,
        ),
        Mistake(
            "dweight is a mean",
            "Every row adds to the weight's gradient: take the sum.",
            lambda d, x, w: (right.rms_norm_backward(d, x, w)[0], (d * normalised(x)[0]).reshape(-1, len(w)).mean(0)),
        ),
    ),
    "swiglu_backward": (
        Mistake(
            "the product rule's second term is missing",
            "g σ(g) has two factors that depend on g.",
            lambda d, g, u: (d * u * sigmoid(g), d * g * sigmoid(g)),
        ),
        Mistake(
            "the slope of σ alone",
            "The gate is g σ(g), not σ(g).",
            lambda d, g, u: (d * u * sigmoid(g) * sigmoid(-g), d * g * sigmoid(g)),
        ),
        Mistake(
            "up is missing in dgate",
            "The derivative of the gate is multiplied by up.",
            lambda d, g, u: (d * sigmoid(g) * (1 + g * sigmoid(-g)), d * g * sigmoid(g)),
        ),
        Mistake(
            "dup without the factor g",
            "up is multiplied by g σ(g).",
            lambda d, g, u: (d * u * sigmoid(g) * (1 + g * sigmoid(-g)), d * sigmoid(g)),
        ),
    ),
    "residual_backward": (
        Mistake("dout is not handed on", "y = x + ...: the derivative of the first x is 1.", residual_with(skip=0.0)),
        Mistake("dx without the branch", "x reaches y through tanh as well: add both.", residual_with(branch=0.0)),
        Mistake(
            "1 - tanh in place of 1 - tanh²", "The derivative of tanh is 1 - tanh².", residual_with(lambda t: 1 - t)
        ),
        Mistake(
            "tanh is taken for a straight line",
            "Multiply by the derivative of tanh, 1 - tanh².",
            residual_with(np.ones_like),
        ),
    ),
    "next_token_loss_backward": (
        Mistake(
            "truth minus forecast", "The gradient is p - one_hot, not one_hot - p.", forecasts(lambda w: -w / w.sum())
        ),
        Mistake(
            "targets that do not count are counted",
            "Multiply by w, which is 0 for targets that do not count.",
            forecasts(lambda w: np.ones_like(w) / w.sum()),
        ),
        Mistake("divided by all positions", "Divide by Σ w, the targets that count.", forecasts(lambda w: w / w.size)),
        Mistake("a sum instead of the mean", "The loss is a mean: divide by Σ w.", forecasts(lambda w: w)),
        Mistake(
            "divided by each text's own number",
            "Take one mean over all targets of the batch: divide by Σ w of all texts.",
            forecasts(lambda w: w / w.sum(1, keepdims=True)),
        ),
        Mistake(
            "the truth is missing",
            "log p[target] contains the logit of the target itself: subtract 1 there.",
            lambda x, t, w: (w / w.sum())[..., None] * right.softmax(x),
        ),
    ),
    "position_ids": (
        Mistake(
            "counted from the start of the row",
            "Start counting at the first 1 of the mask.",
            lambda m: np.indices(m.shape)[1],
        ),
        Mistake("counted from 1", "The first real token has position 0.", lambda m: np.cumsum(m, 1)),
        Mistake(
            "-1 in the padding",
            "The padding has position 0: every position must be a row of the table.",
            lambda m: m.cumsum(1) - 1,
        ),
        Mistake(
            "counted from the end",
            "The first real token has position 0.",
            lambda m: m * (m.sum(1, keepdims=True) - m.cumsum(1)),
        ),
    ),
    "join_within": (
        Mistake(
            "the end is cut off",
            "The response must stay whole: cut the prompt instead.",
            lambda p, r, n: np.concatenate([p, r])[:n],
        ),
        Mistake(
            "the prompt loses its end",
            "Keep the prompt's last tokens: the question is often there.",
            lambda p, r, n: np.concatenate([p[: int(n) - len(r)], r]),
        ),
        Mistake(
            "prompt[-0:] is the whole prompt",
            "With no room left, -0 is 0 and the slice keeps everything: count from the front.",
            lambda p, r, n: np.concatenate([p[-min(int(n) - len(r), len(p)) :], r]),
        ),
        Mistake("nothing is cut", "Return at most `limit` tokens.", lambda p, r, n: np.concatenate([p, r])),
    ),
    "chosen_first": (
        Mistake(
            "the labels are not used", "preferred says which row comes first.", lambda a, b, k: np.stack([a, b], 1)
        ),
        Mistake(
            "the rejected response comes first",
            "pair[b, 0] is the preferred one.",
            lambda a, b, k: right.chosen_first(b, a, k),
        ),
        Mistake(
            "a label for each column",
            "preferred has one label for each row: give it a second axis, preferred[:, None].",
            lambda a, b, k: np.stack([np.where(k == 1, a, b), np.where(k == 1, b, a)], 1),
        ),
        Mistake(
            "the first label for all",
            "Every pair has a label of its own.",
            lambda a, b, k: right.chosen_first(a, b, np.full_like(k, k[0])),
        ),
    ),
    "accumulated_gradient": (
        Mistake(
            "the mean of the means",
            "The pairs of a small part count too much: weight each mean by its count.",
            lambda g, n: g.mean(0),
        ),
        Mistake(
            "the sum of the means",
            "Weight each mean by its count and divide by the sum of the counts.",
            lambda g, n: g.sum(0),
        ),
        Mistake("not divided", "Divide by the number of all pairs.", lambda g, n: n @ g),
        Mistake("divided by the number of parts", "Divide by the number of pairs.", lambda g, n: n @ g / len(n)),
    ),
    "kwise_margin_loss": (
        Mistake(
            "one margin for every pair",
            "The margin grows with the distance in rank, j - i.",
            lambda r, c: margins(r, c, lambda i, j: 1).mean(),
        ),
        Mistake(
            "the margin is added",
            "The better response must lead by the margin: subtract it.",
            lambda r, c: margins(r, -c, lambda i, j: j - i).mean(),
        ),
        Mistake("no margin", "Subtract c (j - i) from r_i - r_j.", lambda r, c: right.kwise_loss(r)),
        Mistake(
            "neighbours only",
            "Every pair i < j counts, not only those of neighbouring places.",
            lambda r, c: -log_sigmoid(r[:, :-1] - r[:, 1:] - c).mean(),
        ),
        Mistake(
            "the mean over the pairs is missing",
            "Divide by C(K, 2).",
            lambda r, c: margins(r, c, lambda i, j: j - i).sum(1).mean(),
        ),
    ),
    "unbiased_loss": (
        Mistake(
            "label smoothing",
            "Smoothing adds ε ℓ(-Δ), which shrinks the margin; here ε ℓ(-Δ) is subtracted.",
            lambda c, r, e: right.smoothed_loss(c, r, e),
        ),
        Mistake(
            "not divided by 1 - 2ε",
            "The expectation over flips must be ℓ itself, not (1 - 2ε) ℓ.",
            lambda c, r, e: (1 - 2 * e) * right.unbiased_loss(c, r, e),
        ),
        Mistake(
            "the two terms are exchanged",
            "The label as given has the weight 1 - ε.",
            lambda c, r, e: right.unbiased_loss(r, c, e),
        ),
        Mistake(
            "the flips are ignored",
            "This is the plain loss: ε is never used.",
            lambda c, r, e: right.pairwise_loss(c, r),
        ),
    ),
    "scaled_loss_backward": (
        Mistake(
            "the factor m is missing",
            "The derivative of c m in c is m.",
            lambda c, m: np.mean(-sigmoid(-c * m)),
        ),
        Mistake(
            "the derivative over the margin",
            "The derivative of c m in c is m, not c.",
            lambda c, m: np.mean(-c * sigmoid(-c * m)),
        ),
        Mistake("the scale is ignored", "Use σ(-c m), not σ(-m).", lambda c, m: np.mean(-m * sigmoid(-m))),
        Mistake("the mean is missing", "Divide by the number of pairs.", lambda c, m: np.sum(-m * sigmoid(-c * m))),
    ),
    "expected_calibration_error": (
        Mistake(
            "all bins weigh the same",
            "A bin has the weight n_b / N.",
            lambda p, y, k: np.mean([abs(e) / n for n, e in zip(*sorted_into_bins(p, y, k), strict=True)]),
        ),
        Mistake(
            "no absolute value",
            "Errors of opposite sign must not cancel between bins.",
            lambda p, y, k: np.mean(p - y),
        ),
        Mistake(
            "the absolute error of each forecast",
            "Take the means within each bin first, then their absolute difference.",
            lambda p, y, k: np.abs(p - y).mean(),
        ),
        Mistake(
            "the largest bin error",
            "This is the maximum calibration error.",
            lambda p, y, k: max(abs(e) / n for n, e in zip(*sorted_into_bins(p, y, k), strict=True)),
        ),
        Mistake(
            "bins open on the left",
            "A probability on an edge belongs to the bin that begins there: b/bins <= p < (b+1)/bins.",
            lambda p, y, k: sum(abs(e) for _, e in zip(*sorted_into_bins(p, y, k, "left"), strict=True)) / len(p),
        ),
        Mistake(
            "the squared error of each bin",
            "Take the absolute difference, not its square.",
            lambda p, y, k: sum(e * e / n for n, e in zip(*sorted_into_bins(p, y, k), strict=True)) / len(p),
        ),
    ),
    "length_slope": (
        Mistake(
            "quality is not held fixed",
            "Put both into one regression: b is what length adds at equal quality.",
            lambda s, q, n: simple_slope(centred(s), centred(n)),
        ),
        Mistake(
            "the coefficient of quality",
            "Return the second coefficient, that of length.",
            lambda s, q, n: least_squares(*map(centred, (s, q, n)))[0],
        ),
        Mistake(
            "not centred within the prompts",
            "Subtract each prompt's own mean from all three.",
            lambda s, q, n: least_squares(s, q, n)[1],
        ),
        Mistake(
            "the correlation",
            "Return the slope, which has a unit: log-odds per word.",
            lambda s, q, n: np.corrcoef(centred(s).ravel(), centred(n).ravel())[0, 1],
        ),
    ),
}

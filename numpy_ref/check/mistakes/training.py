"""Known mistakes around the model: which token is scored, the optimiser's step, the metrics.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""
# ruff: noqa: ARG001, ARG005

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import sigmoid


def first_pad(tokens, length, pad):
    """The place before the first pad token"""
    return np.argmax(tokens == pad, 1) - 1


def rightmost_real(tokens, length, pad):
    """The last place that holds no pad token"""
    return (np.arange(tokens.shape[1]) * (tokens != pad)).max(1)


def adamw(param, grad, m, v, t, lr, beta1, beta2, eps, decay, *, late=False, correct=(True, True), inside=False):
    """An AdamW step with one part changed

    `late` decays the moved weights, `correct` says which of m and v are bias-corrected, `inside` puts ε into the root.
    """
    m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad * grad
    m_hat = m / (1 - beta1**t) if correct[0] else m
    v_hat = v / (1 - beta2**t) if correct[1] else v
    step = lr * m_hat / (np.sqrt(v_hat + eps) if inside else np.sqrt(v_hat) + eps)
    moved = param - step
    return moved - lr * decay * (moved if late else param), m, v


def kappa_from(a, b, expected):
    """(p_o - p_e) / (1 - p_e) for any p_e"""
    observed = np.mean(a == b)
    return (observed - expected) / (1 - expected)


def ascend(p, g, m, v, t, lr, b1, b2, e, w):
    """AdamW's step in the opposite direction"""
    moved, m_new, v_new = adamw(p, g, m, v, t, lr, b1, b2, e, w)
    stay = p - lr * w * p
    return 2 * stay - moved, m_new, v_new


def rootless(p, g, m, v, t, lr, b1, b2, e, w):
    """AdamW's step divided by v̂ instead of √v̂"""
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    return p - lr * w * p - lr * (m / (1 - b1**t)) / (v / (1 - b2**t) + e), m, v


def unsquared(p, g, m, v, t, lr, b1, b2, e, w):
    """v as the moving average of g instead of g²"""
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g
    return p - lr * w * p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + e), m, v


def heavy(p, g, m, v, t, lr, b1, b2, e, w):
    """The moments without the factors 1 - β"""
    m, v = b1 * m + g, b2 * v + g * g
    return p - lr * w * p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + e), m, v


def corrected(p, g, m, v, t, lr, b1, b2, e, w):
    """Returns m̂ and v̂ in place of m and v"""
    p, m, v = adamw(p, g, m, v, t, lr, b1, b2, e, w)
    return p, m / (1 - b1**t), v / (1 - b2**t)


def chance(a, b):
    """p_e: how often two raters with these rates agree by chance"""
    return sum(np.mean(a == k) * np.mean(b == k) for k in np.union1d(a, b))


MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "last_token": (
        Mistake(
            "the last position",
            "Padded rows end earlier: this scores a padding token.",
            lambda t, n, pad: np.full(len(t), t.shape[1] - 1),
        ),
        Mistake(
            "one too far",
            "Counting starts at 0: length is the first padding token; length - 1 is the last real one.",
            lambda t, n, pad: n.copy(),
        ),
        Mistake("one too early", "length - 1 is the last real token, the end token included.", lambda t, n, pad: n - 2),
        Mistake(
            "the first pad minus one",
            "Searching for pad finds the end token or a pad id in the text, and gives -1 if there is none: use length.",
            first_pad,
        ),
        Mistake(
            "the first pad minus one, or the last position",
            "Searching for pad finds the end token or a pad id in the text first: use length.",
            lambda t, n, pad: np.where((t == pad).any(1), first_pad(t, n, pad), t.shape[1] - 1),
        ),
        Mistake(
            "the first pad minus one, modulo the length",
            "Searching for pad finds the end token or a pad id in the text first: use length.",
            lambda t, n, pad: first_pad(t, n, pad) % t.shape[1],
        ),
        Mistake("the first pad itself", "This scores a padding token.", lambda t, n, pad: np.argmax(t == pad, 1)),
        Mistake(
            "the rightmost token that is not pad",
            "When pad is the end token, the end token is never scored: use length.",
            rightmost_real,
        ),
        Mistake(
            "the count of tokens that are not pad",
            "A pad id inside the text, or as the end token, is not counted: use length.",
            lambda t, n, pad: (t != pad).sum(1) - 1,
        ),
        Mistake(
            "the longest row's end for all",
            "Every row has its own length: in shorter rows this scores a padding token.",
            lambda t, n, pad: np.full(len(t), n.max() - 1),
        ),
        Mistake(
            "the first token",
            "Under a causal mask the first position has seen nothing: use the last.",
            lambda t, n, pad: np.zeros(len(t), int),
        ),
    ),
    "last_hidden": (
        Mistake("the last position", "Padded rows end earlier: this scores a padding token.", lambda h, n: h[:, -1]),
        Mistake(
            "one too far",
            "Counting starts at 0: the last real token is at length - 1.",
            lambda h, n: h[np.arange(len(h)), n],
        ),
        Mistake(
            "one too far, modulo the length",
            "Counting starts at 0: the last real token is at length - 1.",
            lambda h, n: h[np.arange(len(h)), n % h.shape[1]],
        ),
        Mistake(
            "one too far, at most the last",
            "Counting starts at 0: the last real token is at length - 1.",
            lambda h, n: h[np.arange(len(h)), np.minimum(n, h.shape[1] - 1)],
        ),
        Mistake("one too early", "length - 1 is the last real token.", lambda h, n: h[np.arange(len(h)), n - 2]),
        Mistake(
            "hidden[:, length - 1]",
            "This takes every length from every row: (B, B, C). Pair them: hidden[np.arange(B), length - 1].",
            lambda h, n: h[:, n - 1],
        ),
        Mistake(
            "the mean over the real tokens",
            "Return the row of the last real token, not the mean.",
            lambda h, n: np.stack([row[:m].mean(0) for row, m in zip(h, n, strict=True)]),
        ),
        Mistake(
            "the mean over all positions",
            "Return the row of the last real token; this mean includes the padding.",
            lambda h, n: h.mean(1),
        ),
        Mistake("the longest row's end for all", "Every row has its own length.", lambda h, n: h[:, n.max() - 1]),
        Mistake("the first token", "Under a causal mask the first position has seen nothing.", lambda h, n: h[:, 0]),
    ),
    "adamw_step": (
        Mistake(
            "L2 instead of decoupled decay",
            "λ p is added to the gradient and so divided by √v̂; AdamW subtracts lr λ p apart from that.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g + w * p, m, v, t, lr, b1, b2, e, 0.0),
        ),
        Mistake(
            "the bias correction is missing",
            "Divide m by 1 - β₁ᵗ and v by 1 - β₂ᵗ.",
            lambda *a: adamw(*a, correct=(False, False)),
        ),
        Mistake("m is not corrected", "Divide m by 1 - β₁ᵗ.", lambda *a: adamw(*a, correct=(False, True))),
        Mistake("v is not corrected", "Divide v by 1 - β₂ᵗ.", lambda *a: adamw(*a, correct=(True, False))),
        Mistake("ε inside the root", "Divide by √v̂ + ε, not by √(v̂ + ε).", lambda *a: adamw(*a, inside=True)),
        Mistake(
            "ε added before the correction",
            "Add ε to √v̂, after the bias correction.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e / np.sqrt(1 - b2**t), w),
        ),
        Mistake(
            "the decay is not multiplied by lr",
            "The decay subtracts lr λ p.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e, w / lr),
        ),
        Mistake(
            "the decay is missing",
            "The decay is missing: subtract lr λ p.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e, 0.0),
        ),
        Mistake(
            "the decay has the wrong sign",
            "The decay subtracts lr λ p, which moves p towards zero.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e, -w),
        ),
        Mistake(
            "the decay of the moved parameter",
            "Both terms use the parameter from before the step.",
            lambda *a: adamw(*a, late=True),
        ),
        Mistake(
            "ascent instead of descent",
            "Subtract the step.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: ascend(p, g, m, v, t, lr, b1, b2, e, w),
        ),
        Mistake(
            "t counts from 0",
            "t is 1 at the first step: use 1 - βᵗ, not 1 - β^(t+1).",
            lambda p, g, m, v, t, *a: adamw(p, g, m, v, t + 1, *a),
        ),
        Mistake(
            "t is one too small",
            "Use 1 - βᵗ with the t that is given.",
            lambda p, g, m, v, t, *a: adamw(p, g, m, v, t - 1, *a),
        ),
        Mistake(
            "the betas are exchanged",
            "β₁ belongs to m, β₂ to v.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b2, b1, e, w),
        ),
        Mistake(
            "the root is missing",
            "Divide by √v̂, not by v̂.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: rootless(p, g, m, v, t, lr, b1, b2, e, w),
        ),
        Mistake(
            "v without the square",
            "v averages g², not g.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: unsquared(p, g, m, v, t, lr, b1, b2, e, w),
        ),
        Mistake(
            "1 - β is missing",
            "m = β₁ m + (1 - β₁) g, and v = β₂ v + (1 - β₂) g².",
            lambda p, g, m, v, t, lr, b1, b2, e, w: heavy(p, g, m, v, t, lr, b1, b2, e, w),
        ),
        Mistake(
            "the corrected moments are returned",
            "Return m and v without the correction: the next step needs them so.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: corrected(p, g, m, v, t, lr, b1, b2, e, w),
        ),
        Mistake(
            "plain gradient descent",
            "The moments are not used.",
            lambda p, g, m, v, t, lr, b1, b2, e, w: (
                p - lr * w * p - lr * g,
                *adamw(p, g, m, v, t, lr, b1, b2, e, w)[1:],
            ),
        ),
        Mistake(
            "only the parameter is returned", "Return (param, m, v): the next step needs them.", lambda *a: adamw(*a)[0]
        ),
    ),
    "accuracy": (
        Mistake("ties count as right", "A tie is one half: >= counts it as right.", lambda c, r: np.mean(c >= r)),
        Mistake("ties count as wrong", "A tie is one half: > counts it as wrong.", lambda c, r: np.mean(c > r)),
        Mistake(
            "ties are dropped", "A tie counts one half; it is not left out.", lambda c, r: np.mean((c > r)[c != r])
        ),
        Mistake(
            "the share of wrong pairs",
            "A pair is right if chosen > rejected; this counts the wrong ones.",
            lambda c, r: 1 - right.accuracy(c, r),
        ),
        Mistake(
            "a count instead of a share", "Divide by the number of pairs.", lambda c, r: right.accuracy(c, r) * len(c)
        ),
        Mistake(
            "the mean probability",
            "σ(margin) is the model's probability; accuracy counts the pairs in the right order.",
            lambda c, r: sigmoid(c - r).mean(),
        ),
        Mistake(
            "the sign of each reward",
            "Compare the rewards with each other, not with 0.",
            lambda c, r: np.mean((c > 0) & (r < 0)),
        ),
        Mistake("one answer for each pair", "Take the mean over the pairs.", lambda c, r: (c > r) + 0.5 * (c == r)),
        Mistake("in per cent", "Return a share between 0 and 1.", lambda c, r: 100 * right.accuracy(c, r)),
    ),
    "cohen_kappa": (
        Mistake("percent agreement", "Agreement by chance is not subtracted.", lambda a, b: np.mean(a == b)),
        Mistake(
            "chance as 1/2",
            "Chance comes from the raters' own rates, not from a fair coin.",
            lambda a, b: kappa_from(a, b, 0.5),
        ),
        Mistake(
            "chance as one over the number of labels",
            "Chance comes from the raters' own rates.",
            lambda a, b: kappa_from(a, b, 1 / len(np.union1d(a, b))),
        ),
        Mistake(
            "Scott's pi: the raters' rates are averaged",
            "Cohen multiplies each rater's own rates; Scott squares their mean.",
            lambda a, b: kappa_from(a, b, sum(np.mean(np.concatenate([a, b]) == k) ** 2 for k in np.union1d(a, b))),
        ),
        Mistake(
            "the denominator is missing",
            "Divide by 1 - p_e, so that full agreement gives 1.",
            lambda a, b: np.mean(a == b) - chance(a, b),
        ),
        Mistake(
            "the chance of one label only",
            "p_e is a sum over all labels.",
            lambda a, b: kappa_from(a, b, np.mean(a == 1) * np.mean(b == 1)),
        ),
        Mistake(
            "divided by 1 - p_o",
            "Divide by 1 - p_e.",
            lambda a, b: (np.mean(a == b) - chance(a, b)) / (1 - np.mean(a == b)),
        ),
        Mistake(
            "the correlation",
            "κ counts agreement; Pearson's correlation treats the labels as numbers.",
            lambda a, b: np.corrcoef(a, b)[0, 1],
        ),
        Mistake("chance itself", "This is p_e, the agreement by chance, not κ.", lambda a, b: chance(a, b)),
        Mistake(
            "the first rater's rates for both",
            "Each rater has their own rates.",
            lambda a, b: kappa_from(a, b, sum(np.mean(a == k) ** 2 for k in np.union1d(a, b))),
        ),
    ),
    "brier_score": (
        Mistake(
            "the root",
            "The score is the mean squared error, without the root.",
            lambda p, y: np.sqrt(right.brier_score(p, y)),
        ),
        Mistake(
            "the absolute error",
            "Take the square of the error, not its absolute value.",
            lambda p, y: np.abs(p - y).mean(),
        ),
        Mistake(
            "both classes are counted",
            "Brier's sum over both outcomes is twice the score asked for: count one outcome.",
            lambda p, y: 2 * right.brier_score(p, y),
        ),
        Mistake(
            "the outcome is turned round",
            "(p - outcome)², not (1 - p - outcome)².",
            lambda p, y: right.brier_score(1 - p, y),
        ),
        Mistake(
            "a sum instead of the mean",
            "Divide by the number of forecasts.",
            lambda p, y: right.brier_score(p, y) * len(p),
        ),
        Mistake(
            "the error is not squared",
            "Errors of opposite sign cancel: square them first.",
            lambda p, y: (p - y).mean(),
        ),
        Mistake(
            "p (1 - p)",
            "This is the score that calibrated forecasts reach; it does not use the outcomes.",
            lambda p, y: (p * (1 - p)).mean(),
        ),
        Mistake(
            "the log loss",
            "This is the mean of -log p, where p is the probability of the outcome.",
            lambda p, y: -np.where(y == 1, np.log(p), np.log(1 - p)).mean(),
        ),
        Mistake(
            "one minus the score",
            "A score of 0 is the best: return the score itself.",
            lambda p, y: 1 - right.brier_score(p, y),
        ),
    ),
}

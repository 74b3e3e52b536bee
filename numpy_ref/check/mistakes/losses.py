"""Known mistakes in the losses of pairs, and in their gradients.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""
# ruff: noqa: ARG005

import functools
import math

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import both, log_sigmoid, sigmoid

TINY = (
    1e-12,
    1e-10,
    1e-9,
    1e-8,
    1e-7,
    1e-6,
    1e-5,
    1e-15,
    1e-16,
    1e-20,
    1e-30,
)  # numbers that people add to avoid log(0)
LIMITS = (10, 20, 30, 50, 100, 500)  # limits at which people clip


def each(constants, name, hint, wrong):
    """One mistake for each constant; its code is wrong(constant, *arguments)"""
    return [Mistake(name, hint, functools.partial(wrong, constant)) for constant in constants]


def naive_sigmoid(x):
    """eˣ / (1 + eˣ): inf / inf for large x"""
    return np.exp(x) / (1 + np.exp(x))


def through_log(x):
    """σ'(x) / σ(x), the chain rule applied to log and σ one after the other"""
    s = 1 / (1 + np.exp(-x))
    return s * (1 - s) / s


def column_gradient(chosen, rejected):
    """The gradient of the mean over all B² differences chosen_i - rejected_j"""
    d = -sigmoid(rejected - chosen[:, None]) / len(chosen) ** 2  # (B, B)
    return d.sum(1), -d.sum(0)


_SIGN = "Both gradients have the opposite sign: descending along them raises the loss."

_BATCH = "The loss is a mean over the batch: divide each gradient by the number of pairs."

LITERAL = (
    "This is σ(m) - 1 as it is written: exact on paper, but zero in float64 from m = 36.74 on. "
    "Write -σ(-m), which is the same number."
)

_BROADCAST = (
    "One operand has shape [B,1], the other [B]: the difference is broadcast to [B,B], so every chosen meets every "
    "rejected response. Give both the same shape."
)

_FLOOR = "log(σ + ε) never falls below log(ε), so the worst pairs all cost the same: use -np.logaddexp(0, -margin)."
EXTREME = (
    "Far below zero e^-margin is inf and σ(margin) is 0, so the log is infinite: use -np.logaddexp(0, -margin), which "
    "is log σ(margin) everywhere."
)

_NAN = (
    "Far below zero σ(margin) is 0 and this is 0/0: differentiate log σ as one function (derivative σ(-margin)), "
    "or take logsigmoid."
)

_FLIPPED = "chosen and rejected are exchanged: the preferred response must have the higher reward."


_ONE = "Far below zero 1 + tanh(x/2) and 1 - σ(-x) subtract two numbers near 1; e^x / (1 + e^x) keeps the digits."
LOG1P = "1 + e^-|x| loses the digits of a small e^-|x|: use np.log1p(np.exp(-np.abs(x))) or np.logaddexp."


def softplus_without_log1p(x):
    """log(1 + e^x) without overflow, but with log in place of log1p"""
    return np.maximum(x, 0) + np.log(1 + np.exp(-np.abs(x)))


MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "sigmoid": (
        Mistake("digits lost beside 1", _ONE, lambda x: (1 + np.tanh(x / 2)) / 2),
        Mistake("digits lost beside 1", _ONE, lambda x: 1 - 1 / (1 + np.exp(x))),
        Mistake(
            "the sign of the exponent is lost", "1 / (1 + e^x) is σ(-x): it falls where σ rises.", lambda x: sigmoid(-x)
        ),
        Mistake("e^x / (1 + e^x) overflows", "From x = 710 on this is inf / inf = NaN: use e^-|x|.", naive_sigmoid),
        *each(
            (5, 10),
            "clipped",
            "The argument is clipped: beyond the limit σ is wrong.",
            lambda k, x: sigmoid(x.clip(-k, k)),
        ),
        Mistake("tanh instead of σ", "tanh(x) = 2σ(2x) - 1 runs from -1 to 1.", np.tanh),
        Mistake("tanh(x/2) without its shift", "σ(x) = (1 + tanh(x/2)) / 2.", lambda x: np.tanh(x / 2)),
        Mistake("softmax instead of σ", "Each entry has its own σ; they do not add up to 1.", right.softmax),
    ),
    "log_sigmoid": (
        Mistake("log(1 + e^-|x|) instead of log1p", LOG1P, lambda x: -softplus_without_log1p(-x)),
        Mistake("log(σ) is -inf, or log(1 + e^-margin) overflows", EXTREME, lambda x: np.log(sigmoid(x))),
        Mistake("log(σ) is -inf, or log(1 + e^-margin) overflows", EXTREME, lambda x: np.log(naive_sigmoid(x))),
        Mistake("log(σ) is -inf, or log(1 + e^-margin) overflows", EXTREME, lambda x: -np.log(1 + np.exp(-x))),
        Mistake("the minus sign is lost", "log σ is never positive: -log(1 + e^-x).", lambda x: np.logaddexp(0, -x)),
        Mistake("softplus of x", "-log(1 + e^x) is log σ(-x).", lambda x: -np.logaddexp(0, x)),
        *each(TINY, "a small number keeps σ from 0", _FLOOR, lambda tiny, x: np.log(sigmoid(x) + tiny)),
        *each(TINY, "a small number keeps σ from 0", _FLOOR, lambda tiny, x: np.log(sigmoid(x).clip(tiny, 1 - tiny))),
        *each(TINY, "a small number keeps σ from 0", _FLOOR, lambda tiny, x: np.log(np.maximum(sigmoid(x), tiny))),
        *each(
            LIMITS,
            "clipped",
            "Far below zero log σ(x) is about x, but clipped it is constant.",
            lambda k, x: log_sigmoid(x.clip(-k, k)),
        ),
        Mistake("σ without its log", "This is σ(x) itself.", sigmoid),
        Mistake(
            "a logarithm of base 2", "Losses are in nats: np.log, not np.log2.", lambda x: log_sigmoid(x) / math.log(2)
        ),
    ),
    "pairwise_loss": (
        Mistake("log(1 + e^-|x|) instead of log1p", LOG1P, lambda c, r: softplus_without_log1p(r - c).mean()),
        Mistake(
            "the minus sign is lost", "log σ is negative; the loss is -log σ.", lambda c, r: log_sigmoid(c - r).mean()
        ),
        Mistake("chosen and rejected are exchanged", _FLIPPED, lambda c, r: -log_sigmoid(r - c).mean()),
        Mistake(
            "log(σ) is -inf, or log(1 + e^-margin) overflows", EXTREME, lambda c, r: np.log(1 + np.exp(r - c)).mean()
        ),
        Mistake(
            "log(σ) is -inf, or log(1 + e^-margin) overflows", EXTREME, lambda c, r: -np.log(sigmoid(c - r)).mean()
        ),
        Mistake(
            "log of a quotient of exponentials",
            "e^chosen / (e^chosen + e^rejected) is inf / inf for large rewards: only the margin may be exponentiated.",
            lambda c, r: -np.log(np.exp(c) / (np.exp(c) + np.exp(r))).mean(),
        ),
        *each(TINY, "a small number keeps σ from 0", _FLOOR, lambda tiny, c, r: -np.log(sigmoid(c - r) + tiny).mean()),
        *each(
            TINY,
            "a small number keeps σ from 0",
            _FLOOR,
            lambda tiny, c, r: -np.log(sigmoid(c - r).clip(tiny, 1 - tiny)).mean(),
        ),
        *each(
            TINY,
            "a small number keeps σ from 0",
            _FLOOR,
            lambda tiny, c, r: -np.log(np.maximum(sigmoid(c - r), tiny)).mean(),
        ),
        *each(
            LIMITS,
            "clipped margins",
            "Wrong pairs beyond the clip have a constant loss, and so no gradient.",
            lambda k, c, r: -log_sigmoid((c - r).clip(-k, k)).mean(),
        ),
        Mistake("[B,1] - [B] broadcast to [B,B]", _BROADCAST, lambda c, r: -log_sigmoid(c[:, None] - r).mean()),
        Mistake(
            "the mean over the batch is missing",
            "This returns one loss for each pair: take their mean.",
            lambda c, r: -log_sigmoid(c - r),
        ),
        Mistake(
            "a sum over the batch",
            "This is the sum: it grows with the batch. Take the mean.",
            lambda c, r: -log_sigmoid(c - r).sum(),
        ),
        Mistake(
            "the mean of the margins first",
            "-log σ of the mean margin is not the mean of -log σ.",
            lambda c, r: -log_sigmoid((c - r).mean()),
        ),
        Mistake(
            "the log of the mean probability",
            "-log of a mean is not the mean of -log.",
            lambda c, r: -np.log(sigmoid(c - r).mean()),
        ),
        Mistake(
            "the log is missing",
            "This is -σ(margin), a likelihood instead of a log-likelihood.",
            lambda c, r: -sigmoid(c - r).mean(),
        ),
        Mistake(
            "1 - σ instead of -log σ",
            "This is the probability that rejected is preferred, not the log loss.",
            lambda c, r: sigmoid(r - c).mean(),
        ),
        Mistake("the margin itself", "-log σ is missing: this loss has no lower bound.", lambda c, r: (r - c).mean()),
        Mistake(
            "a hinge",
            "max(0, 1 - margin) is a ranking loss, but not Bradley-Terry's.",
            lambda c, r: np.maximum(0, 1 - c + r).mean(),
        ),
        Mistake(
            "a squared hinge",
            "max(0, 1 - margin)² is a squared hinge, not -log σ(margin).",
            lambda c, r: (np.maximum(0, 1 - c + r) ** 2).mean(),
        ),
        Mistake(
            "a squared difference",
            "(margin - 1)² is a regression, not Bradley-Terry.",
            lambda c, r: ((c - r - 1) ** 2).mean(),
        ),
        Mistake(
            "absolute labels",
            "Each reward is scored alone, as in classification; only the margin counts.",
            lambda c, r: -(log_sigmoid(c) + log_sigmoid(-r)).mean(),
        ),
        Mistake(
            "absolute labels, averaged",
            "Each reward is scored alone; only the margin counts.",
            lambda c, r: -(log_sigmoid(c) + log_sigmoid(-r)).mean() / 2,
        ),
        Mistake(
            "cross entropy with both labels",
            "This adds the losses of margin and of -margin, so the labels have no effect.",
            lambda c, r: -(log_sigmoid(c - r) + log_sigmoid(r - c)).mean(),
        ),
        Mistake(
            "the sum of the rewards",
            "The margin is chosen - rejected, not chosen + rejected.",
            lambda c, r: -log_sigmoid(c + r).mean(),
        ),
    ),
    "pairwise_loss_backward": (
        Mistake("the minus sign is lost", _SIGN, lambda c, r: both(sigmoid(r - c) / len(c))),
        Mistake("chosen and rejected are exchanged", _FLIPPED, lambda c, r: both(-sigmoid(c - r) / len(c))),
        Mistake(
            "the gradient of the exchanged loss",
            "This is the gradient of -log σ(rejected - chosen): it rewards the rejected response.",
            lambda c, r: both(sigmoid(c - r) / len(c)),
        ),
        Mistake("the mean over the batch is missing", _BATCH, lambda c, r: both(-sigmoid(r - c))),
        Mistake(
            "the mean over the batch is taken twice",
            "The gradient is divided by B² instead of B.",
            lambda c, r: both(-sigmoid(r - c) / len(c) ** 2),
        ),
        Mistake("the literal σ(m) - 1", LITERAL, lambda c, r: both((sigmoid(c - r) - 1) / len(c))),
        Mistake(
            "e^-m / (1 + e^-m) overflows",
            "Below a margin of -709 this is inf / inf = NaN: use a stable σ(-m).",
            lambda c, r: both(-np.exp(r - c) / (1 + np.exp(r - c)) / len(c)),
        ),
        Mistake("the gradient through log(σ) where σ is 0", _NAN, lambda c, r: both(-through_log(c - r) / len(c))),
        Mistake("[B,1] - [B] broadcast to [B,B]", _BROADCAST, column_gradient),
        Mistake(
            "σ'(m) = σ (1 - σ) instead of the log's derivative",
            "The derivative of σ is σ (1 - σ); that of -log σ is σ - 1.",
            lambda c, r: both(-sigmoid(c - r) * sigmoid(r - c) / len(c)),
        ),
        Mistake(
            "both gradients are equal",
            "rejected enters with a minus: drejected = -dchosen.",
            lambda c, r: (-sigmoid(r - c) / len(c),) * 2,
        ),
        Mistake(
            "the gradient for rejected is missing",
            "rejected moves the loss as much as chosen does.",
            lambda c, r: (-sigmoid(r - c) / len(c), np.zeros_like(c)),
        ),
        Mistake(
            "σ instead of σ - 1",
            "The chosen response's gradient is σ(margin) - 1.",
            lambda c, r: (sigmoid(c - r) / len(c), (1 - sigmoid(c - r)) / len(c)),
        ),
        Mistake(
            "the gradient of absolute labels",
            "Each reward is scored alone; only the margin counts.",
            lambda c, r: (-sigmoid(-c) / len(c), sigmoid(r) / len(c)),
        ),
        *each(
            (10, 20, 30, 50),
            "clipped margins",
            "The margin is clipped, and the gradient with it: use -σ(-margin), which needs no clip.",
            lambda k, c, r: both(-sigmoid(-(c - r).clip(-k, k)) / len(c)),
        ),
        *each(
            (10, 20, 30),
            "clipped margins",
            "The margin is clipped, and the gradient with it: use -σ(-margin), which needs no clip.",
            lambda k, c, r: both((sigmoid((c - r).clip(-k, k)) - 1) / len(c)),
        ),
        *each(
            TINY[:8],
            "σ clipped",
            "The probability is clipped, and the gradient with it: use -σ(-margin), which needs no clip.",
            lambda tiny, c, r: both(-(1 - sigmoid(c - r).clip(tiny, 1 - tiny)) / len(c)),
        ),
        *each(
            LIMITS,
            "no gradient beyond a clip",
            "This is the gradient of a clipped margin: 0 where the pair is most wrong.",
            lambda k, c, r: both(-sigmoid(r - c) * (np.abs(c - r) <= k) / len(c)),
        ),
        Mistake(
            "a hinge's gradient", "-1 or 0 is the gradient of a hinge.", lambda c, r: both(-1.0 * (c - r < 1) / len(c))
        ),
    ),
    "margin_loss": (
        Mistake("log(1 + e^-|x|) instead of log1p", LOG1P, lambda c, r, m: softplus_without_log1p(r - c + m).mean()),
        Mistake(
            "the margin has the wrong sign",
            "The margin is subtracted: the chosen reward must lead by it.",
            lambda c, r, m: right.margin_loss(c, r, -m),
        ),
        Mistake("the margin is ignored", "The margin is never used.", lambda c, r, m: right.pairwise_loss(c, r)),
        Mistake(
            "[B,1] - [B] broadcast to [B,B]", _BROADCAST, lambda c, r, m: -log_sigmoid((c - r)[:, None] - m).mean()
        ),
        Mistake(
            "the mean margin for all",
            "Every pair has its own margin.",
            lambda c, r, m: right.margin_loss(c, r, m.mean()),
        ),
        Mistake(
            "the margin outside log σ",
            "The margin is part of the argument of σ.",
            lambda c, r, m: (m - log_sigmoid(c - r)).mean(),
        ),
        Mistake(
            "the margin as a factor",
            "The margin shifts the difference; it does not weigh the pair.",
            lambda c, r, m: -(m * log_sigmoid(c - r)).mean(),
        ),
        Mistake(
            "a hinge",
            "max(0, margin - difference) is not a log-likelihood.",
            lambda c, r, m: np.maximum(0, m - c + r).mean(),
        ),
        Mistake("the minus sign is lost", "The loss is -log σ.", lambda c, r, m: -right.margin_loss(c, r, m)),
        Mistake(
            "log(σ) is -inf, or log(1 + e^-margin) overflows",
            EXTREME,
            lambda c, r, m: np.log(1 + np.exp(r - c + m)).mean(),
        ),
        Mistake(
            "log(σ) is -inf, or log(1 + e^-margin) overflows",
            EXTREME,
            lambda c, r, m: -np.log(sigmoid(c - r - m)).mean(),
        ),
    ),
    "margin_loss_backward": (
        Mistake(
            "the margin has the wrong sign",
            "The margin is subtracted: Δ = chosen - rejected - margin.",
            lambda c, r, m: right.margin_loss_backward(c, r, -m),
        ),
        Mistake(
            "the margin is ignored",
            "σ is taken at Δ = chosen - rejected - margin.",
            lambda c, r, m: right.pairwise_loss_backward(c, r),
        ),
        Mistake(
            "the mean margin for all",
            "Every pair has its own margin.",
            lambda c, r, m: right.margin_loss_backward(c, r, m.mean()),
        ),
        Mistake(
            "the rejected reward has the wrong sign",
            "-(chosen - rejected - margin) is margin - chosen + rejected. This gradient changes if both rewards of a "
            "pair rise by the same amount, but the loss does not.",
            lambda c, r, m: both(-sigmoid(m - c - r) / len(c)),
        ),
        Mistake(
            "σ is taken at Δ",
            "The derivative of -log σ(Δ) is -σ(-Δ): multiply out -(chosen - rejected - margin), sign by sign.",
            lambda c, r, m: both(-sigmoid(c - r - m) / len(c)),
        ),
        Mistake(
            "the gradient through log(σ) where σ is 0", _NAN, lambda c, r, m: both(-through_log(c - r - m) / len(c))
        ),
    ),
    "smoothed_loss": (
        Mistake(
            "the smoothing is on the wrong side",
            "The label that was given has the weight 1 - ε.",
            lambda c, r, e: right.smoothed_loss(c, r, 1 - e),
        ),
        Mistake("the smoothing is ignored", "ε is never used.", lambda c, r, e: right.pairwise_loss(c, r)),
        Mistake(
            "half of the smoothing",
            "Here ε is the share of flipped labels: the weights are ε and 1 - ε, not ε/2 and 1 - ε/2.",
            lambda c, r, e: right.smoothed_loss(c, r, e / 2),
        ),
        Mistake(
            "the flipped part is missing",
            "-(1 - ε) log σ(Δ) alone only acts as a smaller learning rate: add -ε log σ(-Δ).",
            lambda c, r, e: (1 - e) * right.pairwise_loss(c, r),
        ),
        Mistake(
            "1 - σ instead of its log",
            "The flipped label's loss is -log σ(-Δ).",
            lambda c, r, e: (-(1 - e) * log_sigmoid(c - r) + e * sigmoid(c - r)).mean(),
        ),
        Mistake(
            "the flipped part is subtracted",
            "Both parts are added.",
            lambda c, r, e: (-(1 - e) * log_sigmoid(c - r) + e * log_sigmoid(r - c)).mean(),
        ),
        Mistake(
            "the full loss plus the flipped part",
            "The weights must add up to 1.",
            lambda c, r, e: (-log_sigmoid(c - r) - e * log_sigmoid(r - c)).mean(),
        ),
        Mistake(
            "log σ of a smoothed margin",
            "The labels are smoothed, not the margin.",
            lambda c, r, e: -log_sigmoid((1 - e) * (c - r)).mean(),
        ),
    ),
    "smoothed_loss_backward": (
        Mistake(
            "the smoothing is on the wrong side",
            "The label that was given has the weight 1 - ε.",
            lambda c, r, e: right.smoothed_loss_backward(c, r, 1 - e),
        ),
        Mistake(
            "the smoothing is ignored",
            "ε has no effect: it is not used, or both parts have σ(-Δ) and it cancels.",
            lambda c, r, e: right.pairwise_loss_backward(c, r),
        ),
        Mistake(
            "half of the smoothing",
            "ε is the share of flipped labels, not twice that.",
            lambda c, r, e: right.smoothed_loss_backward(c, r, e / 2),
        ),
        Mistake(
            "the flipped part is missing",
            "ε σ(Δ) is missing.",
            lambda c, r, e: tuple((1 - e) * g for g in right.pairwise_loss_backward(c, r)),
        ),
        Mistake(
            "the flipped part is subtracted",
            "dΔ = ε σ(Δ) - (1 - ε) σ(-Δ): the two parts have opposite signs.",
            lambda c, r, e: both((-e * sigmoid(c - r) - (1 - e) * sigmoid(r - c)) / len(c)),
        ),
        Mistake(
            "both parts have σ(-Δ)",
            "The flipped label's loss is -log σ(-Δ): its derivative in Δ is σ(Δ).",
            lambda c, r, e: both((2 * e - 1) * sigmoid(r - c) / len(c)),
        ),
        Mistake(
            "both parts have σ(Δ)",
            "The derivative of -log σ(Δ) is -σ(-Δ); that of the flipped label's loss is σ(Δ).",
            lambda c, r, e: both((2 * e - 1) * sigmoid(c - r) / len(c)),
        ),
        Mistake(
            "σ(Δ) and σ(-Δ) are exchanged",
            "The derivative of -log σ(Δ) is -σ(-Δ); that of the flipped label's loss is σ(Δ).",
            lambda c, r, e: both((e * sigmoid(r - c) - (1 - e) * sigmoid(c - r)) / len(c)),
        ),
        Mistake(
            "both gradients are equal",
            "rejected enters with a minus: drejected = -dchosen.",
            lambda c, r, e: (right.smoothed_loss_backward(c, r, e)[0],) * 2,
        ),
        Mistake(
            "the mean over the batch is missing",
            _BATCH,
            lambda c, r, e: tuple(len(c) * g for g in right.smoothed_loss_backward(c, r, e)),
        ),
    ),
    "centered_loss": (
        Mistake(
            "the difference is centred",
            "The penalty pulls chosen + rejected to 0; a penalty on the difference works against the loss.",
            lambda c, r, k: right.pairwise_loss(c, r) + k * ((c - r) ** 2).mean(),
        ),
        Mistake(
            "the penalty has the wrong sign", "The penalty is added.", lambda c, r, k: right.centered_loss(c, r, -k)
        ),
        Mistake("the penalty is ignored", "The coefficient is never used.", lambda c, r, k: right.pairwise_loss(c, r)),
        Mistake(
            "the sum is not squared",
            "Without the square the penalty has no lower bound.",
            lambda c, r, k: right.pairwise_loss(c, r) + k * (c + r).mean(),
        ),
        Mistake(
            "the absolute sum",
            "The penalty is the square of the sum, not its absolute value.",
            lambda c, r, k: right.pairwise_loss(c, r) + k * np.abs(c + r).mean(),
        ),
        Mistake(
            "each reward is squared alone",
            "c² + r² also pulls the two rewards together; (c + r)² does not.",
            lambda c, r, k: right.pairwise_loss(c, r) + k * (c**2 + r**2).mean(),
        ),
        Mistake(
            "the square of the mean",
            "Take the mean of the squares, not the square of the mean.",
            lambda c, r, k: right.pairwise_loss(c, r) + k * (c + r).mean() ** 2,
        ),
        Mistake(
            "the mean reward is squared",
            "((c + r)/2)² is a quarter of (c + r)².",
            lambda c, r, k: right.centered_loss(c, r, k / 4),
        ),
    ),
    "centered_loss_backward": (
        Mistake(
            "the difference is centred",
            "The penalty is on the sum, so both gradients get the same term.",
            lambda c, r, k: both(right.pairwise_loss_backward(c, r)[0] + 2 * k * (c - r) / len(c)),
        ),
        Mistake(
            "the penalty has the wrong sign",
            "The penalty is added.",
            lambda c, r, k: right.centered_loss_backward(c, r, -k),
        ),
        Mistake(
            "the penalty is ignored",
            "2c (chosen + rejected) / B is missing.",
            lambda c, r, k: right.pairwise_loss_backward(c, r),
        ),
        Mistake(
            "the 2 of the square is missing",
            "The derivative of s² is 2s.",
            lambda c, r, k: right.centered_loss_backward(c, r, k / 2),
        ),
        Mistake(
            "the penalty is not divided by B",
            _BATCH,
            lambda c, r, k: tuple(g + 2 * k * (c + r) for g in right.pairwise_loss_backward(c, r)),
        ),
        Mistake(
            "the penalty reaches chosen only",
            "The sum contains both rewards, so both gradients get the term.",
            lambda c, r, k: (right.centered_loss_backward(c, r, k)[0], right.pairwise_loss_backward(c, r)[1]),
        ),
        Mistake(
            "the penalty's gradient is opposite for rejected",
            "Both rewards have a plus in the sum, so both gradients get the same term.",
            lambda c, r, k: both(right.centered_loss_backward(c, r, k)[0]),
        ),
        Mistake(
            "the mean over the batch is missing",
            _BATCH,
            lambda c, r, k: tuple(len(c) * g for g in right.centered_loss_backward(c, r, k)),
        ),
    ),
}

# With the margin subtracted from the chosen reward, every mistake of pairwise_loss_backward is possible here too.
# Two of them are in the list above already: exchanged rewards give -σ(Δ), which is "σ is taken at Δ" there.
MISTAKES["margin_loss_backward"] += tuple(
    Mistake(name, hint, functools.partial(lambda wrong, c, r, m: wrong(c - m, r), wrong))
    for name, hint, wrong in MISTAKES["pairwise_loss_backward"]
    if name not in ("chosen and rejected are exchanged", "the gradient through log(σ) where σ is 0")
)

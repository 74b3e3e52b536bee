"""The catalogue: mistakes that people really make, each as an executable wrong version with a hint written by hand.

A row is Mistake(name, hint, wrong): `wrong` has the published signature and answers exactly as the mistake does, so
that "you made this one" is decided by comparing values. Many rows were bugs of public reward-model code.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import check_oracles as right
from .check_oracles import log_sigmoid, sigmoid


class Mistake(NamedTuple):
    name: str
    hint: str
    wrong: Callable[..., Any]


M = Mistake


def both(dchosen):
    return dchosen, -dchosen


def naive_sigmoid(x):
    return np.exp(x) / (1 + np.exp(x))


def through_log(x):
    """σ'(x) / σ(x), the chain rule applied to log and σ one after the other"""
    s = 1 / (1 + np.exp(-x))
    return s * (1 - s) / s


def column_gradient(chosen, rejected):
    """The gradient of the mean over all B² differences chosen_i - rejected_j"""
    d = -sigmoid(rejected - chosen[:, None]) / len(chosen) ** 2  # (B, B)
    return d.sum(1), -d.sum(0)


def pairs(rewards):
    better, worse = np.triu_indices(rewards.shape[1], 1)
    return rewards[:, better] - rewards[:, worse]  # (B, pairs)


def from_pairs(rewards, dmargin):
    better, worse = np.triu_indices(rewards.shape[1], 1)
    drewards = np.zeros_like(rewards)
    np.add.at(drewards, (slice(None), better), dmargin)
    np.add.at(drewards, (slice(None), worse), -dmargin)
    return drewards


def choose(rewards):
    """C(K,2)"""
    return math.comb(rewards.shape[1], 2)


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


def softmax_over(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def normalise(x, ddof=0, eps=1e-5, axis=-1):
    centred = x - x.mean(axis, keepdims=True)
    rstd = 1 / np.sqrt((centred**2).sum(axis, keepdims=True) / (x.shape[axis] - ddof) + eps)
    return centred * rstd, rstd


def sum_rows(a):
    return a.reshape(-1, a.shape[-1]).sum(0)


def norm_backward(dout, x, weight, dx):
    """dx(dxhat, xhat, rstd) beside the right dweight and dbias"""
    xhat, rstd = normalise(x)
    return dx(dout * weight, xhat, rstd), sum_rows(dout * xhat), sum_rows(dout)


def mean(a):
    return a.mean(-1, keepdims=True)


def attend(q, k, v, scale=None, shift=0, mask=True, axis=-1, zero=False):
    """Attention with its parts exchangeable: `shift` 1 lets a position see its successor, -1 hides it from itself"""
    scores = q @ k.swapaxes(-1, -2) / (math.sqrt(q.shape[-1]) if scale is None else scale(q))
    hidden = np.triu(np.ones(scores.shape[-2:], bool), 1 + shift)
    if mask:
        scores = np.where(hidden, 0.0 if zero else -np.inf, scores)
    return softmax_over(scores, axis)


def masked_late(q, k):
    return np.tril(attend(q, k, None, mask=False))


def attend_backward(dout, q, k, v, p, scale, jacobian=None):
    dp = dout @ v.swapaxes(-1, -2)
    ds = (p * (dp - (dp * p).sum(-1, keepdims=True)) if jacobian is None else jacobian(p, dp)) / scale
    return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dout


def first_pad(tokens, length, pad):
    return np.argmax(tokens == pad, 1) - 1


def rightmost_real(tokens, length, pad):
    return (np.arange(tokens.shape[1]) * (tokens != pad)).max(1)


def adamw(param, grad, m, v, t, lr, beta1, beta2, eps, decay, late=False, correct=(True, True), inside=False):
    m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad * grad
    m_hat = m / (1 - beta1**t) if correct[0] else m
    v_hat = v / (1 - beta2**t) if correct[1] else v
    step = lr * m_hat / (np.sqrt(v_hat + eps) if inside else np.sqrt(v_hat) + eps)
    moved = param - step
    return moved - lr * decay * (moved if late else param), m, v


def kappa_from(a, b, expected):
    observed = np.mean(a == b)
    return (observed - expected) / (1 - expected)


SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715


def tanh_part(x):
    return np.tanh(SCALE * (x + CUBIC * x**3))


_SIGN = "Both gradients have the opposite sign: descending along them raises the loss."
_BATCH = "The loss is a mean over the batch: divide each gradient by the number of pairs."
_LITERAL = (
    "This is the gradient of the literal σ(m) - 1: exact on paper, zero in float64 from 36.74 on. "
    "Write it -σ(-m), which is the same number."
)
_BROADCAST = (
    "One operand has shape [B,1], the other [B]: the difference is broadcast to [B,B], so that every chosen meets every "
    "rejected response. Give both the same shape."
)
_EXTREME = (
    "Far below zero e^-margin is inf and σ(margin) 0, so its log is infinite: use -np.logaddexp(0, -margin), which is "
    "log σ(margin) everywhere."
)
_NAN = (
    "Far below zero σ(margin) is 0 and this is 0/0: differentiate log σ as one function (its derivative is σ(-margin)), "
    "or take logsigmoid."
)
_FLIPPED = "chosen and rejected are exchanged: the preferred response must have the higher reward."

CATALOGUE: dict[str, tuple[Mistake, ...]] = {
    "sigmoid": (
        M("the sign of the exponent is lost", "1 / (1 + e^x) is σ(-x): it falls where σ rises.", lambda x: sigmoid(-x)),
        M("e^x / (1 + e^x) overflows", "From x = 710 on this is inf / inf = NaN: use e^-|x|.", naive_sigmoid),
        M("clipped", "The argument is clipped to ±10 or so: σ is then wrong beyond it.", lambda x: sigmoid(x.clip(-10, 10))),
        M("tanh instead of σ", "tanh(x) = 2σ(2x) - 1 runs from -1 to 1.", np.tanh),
        M("tanh(x/2) without its shift", "σ(x) = (1 + tanh(x/2)) / 2.", lambda x: np.tanh(x / 2)),
        M("softmax instead of σ", "Each entry has its own σ; they do not add up to 1.", right.softmax),
    ),
    "log_sigmoid": (
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda x: np.log(sigmoid(x))),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda x: np.log(naive_sigmoid(x))),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda x: -np.log(1 + np.exp(-x))),
        M("the minus sign is lost", "log σ is never positive: -log(1 + e^-x).", lambda x: np.logaddexp(0, -x)),
        M("softplus of x", "-log(1 + e^x) is log σ(-x).", lambda x: -np.logaddexp(0, x)),
        M("a small number inside the log", "log(σ(x) + 1e-8) stops at -18.4.", lambda x: np.log(sigmoid(x) + 1e-8)),
        M("σ without its log", "This is σ(x) itself.", sigmoid),
        M("a logarithm of base 2", "Losses are in nats: np.log, not np.log2.", lambda x: log_sigmoid(x) / math.log(2)),
    ),
    "pairwise_loss": (
        M("the minus sign is lost", "log σ is negative; the loss is -log σ.", lambda c, r: log_sigmoid(c - r).mean()),
        M("chosen and rejected are exchanged", _FLIPPED, lambda c, r: -log_sigmoid(r - c).mean()),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda c, r: np.log(1 + np.exp(r - c)).mean()),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda c, r: -np.log(sigmoid(c - r)).mean()),
        M(
            "log of a quotient of exponentials",
            "e^chosen / (e^chosen + e^rejected) is inf / inf for large rewards: only the margin may be exponentiated.",
            lambda c, r: -np.log(np.exp(c) / (np.exp(c) + np.exp(r))).mean(),
        ),
        M("σ clipped before its log", "The clip hides wrong pairs: no gradient left.", lambda c, r: -np.log(sigmoid(c - r).clip(1e-7, 1 - 1e-7)).mean()),
        M("a small number inside the log", "log(σ + 1e-8) stops at 18.4.", lambda c, r: -np.log(sigmoid(c - r) + 1e-8).mean()),
        M("[B,1] - [B] broadcast to [B,B]", _BROADCAST, lambda c, r: -log_sigmoid(c[:, None] - r).mean()),
        M("the mean over the batch is missing", "One loss for each pair: take their mean.", lambda c, r: -log_sigmoid(c - r)),
        M("a sum over the batch", "Sum instead of mean: the loss grows with the batch.", lambda c, r: -log_sigmoid(c - r).sum()),
        M("the mean of the margins first", "-log σ of the mean margin is not the mean of -log σ.", lambda c, r: -log_sigmoid((c - r).mean())),
        M("the log of the mean probability", "-log of a mean is not the mean of -log.", lambda c, r: -np.log(sigmoid(c - r).mean())),
        M("the log is missing", "This is -σ(margin): likelihood instead of log-likelihood.", lambda c, r: -sigmoid(c - r).mean()),
        M("1 - σ instead of -log σ", "This is the probability of a wrong label, not its log loss.", lambda c, r: sigmoid(r - c).mean()),
        M("the margin itself", "The σ is missing: a loss without a floor.", lambda c, r: (r - c).mean()),
        M("a hinge", "max(0, 1 - margin) is a ranking loss, but not Bradley-Terry's.", lambda c, r: np.maximum(0, 1 - c + r).mean()),
        M("a squared hinge", "A squared difference instead of -log σ.", lambda c, r: (np.maximum(0, 1 - c + r) ** 2).mean()),
        M("a squared difference", "(margin - 1)² is a regression, not Bradley-Terry.", lambda c, r: ((c - r - 1) ** 2).mean()),
        M("absolute labels", "Each reward is scored alone, as in classification; only the margin counts.", lambda c, r: -(log_sigmoid(c) + log_sigmoid(-r)).mean()),
        M("absolute labels, averaged", "Each reward is scored alone; only the margin counts.", lambda c, r: -(log_sigmoid(c) + log_sigmoid(-r)).mean() / 2),
        M("cross entropy with both labels", "The loss of margin and of -margin added up: labels are not used.", lambda c, r: -(log_sigmoid(c - r) + log_sigmoid(r - c)).mean()),
        M("the sum of the rewards", "chosen + rejected instead of chosen - rejected.", lambda c, r: -log_sigmoid(c + r).mean()),
    ),
    "pairwise_loss_backward": (
        M("the minus sign is lost", _SIGN, lambda c, r: both(sigmoid(r - c) / len(c))),
        M("chosen and rejected are exchanged", _FLIPPED, lambda c, r: both(-sigmoid(c - r) / len(c))),
        M(
            "the gradient of the exchanged loss",
            "This is the gradient of -log σ(rejected - chosen): it rewards the rejected response.",
            lambda c, r: both(sigmoid(c - r) / len(c)),
        ),
        M("the mean over the batch is missing", _BATCH, lambda c, r: both(-sigmoid(r - c))),
        M("the mean over the batch is taken twice", "Divided by B² instead of B.", lambda c, r: both(-sigmoid(r - c) / len(c) ** 2)),
        M("the literal σ(m) - 1", _LITERAL, lambda c, r: both((sigmoid(c - r) - 1) / len(c))),
        M("e^-m / (1 + e^-m) overflows", "inf / inf is NaN below margins of -709: use a stable σ(-m).", lambda c, r: both(-np.exp(r - c) / (1 + np.exp(r - c)) / len(c))),
        M("the gradient through log(σ) where σ is 0", _NAN, lambda c, r: both(-through_log(c - r) / len(c))),
        M("[B,1] - [B] broadcast to [B,B]", _BROADCAST, column_gradient),
        M("σ'(m) = σ (1 - σ) instead of the log's derivative", "The derivative of σ is σ (1 - σ); that of -log σ is σ - 1.", lambda c, r: both(-sigmoid(c - r) * sigmoid(r - c) / len(c))),
        M("both gradients are equal", "rejected enters with a minus: drejected = -dchosen.", lambda c, r: (-sigmoid(r - c) / len(c),) * 2),
        M("the gradient for rejected is missing", "rejected moves the loss as much as chosen does.", lambda c, r: (-sigmoid(r - c) / len(c), np.zeros_like(c))),
        M("σ instead of σ - 1", "The chosen response's gradient is σ(margin) - 1.", lambda c, r: (sigmoid(c - r) / len(c), (1 - sigmoid(c - r)) / len(c))),
        M("the gradient of absolute labels", "Each reward is scored alone; only the margin counts.", lambda c, r: (-sigmoid(-c) / len(c), sigmoid(r) / len(c))),
        M("clipped margins", "The margin is clipped, and the gradient with it.", lambda c, r: both(-sigmoid(-(c - r).clip(-10, 10)) / len(c))),
        M("a hinge's gradient", "-1 or 0 is the gradient of a hinge.", lambda c, r: both(-1.0 * (c - r < 1) / len(c))),
    ),
    "margin_loss": (
        M("the margin has the wrong sign", "The margin is subtracted: the chosen reward must lead by it.", lambda c, r, m: right.margin_loss(c, r, -m)),
        M("the margin is ignored", "The margin is nowhere used.", lambda c, r, m: right.pairwise_loss(c, r)),
        M("[B,1] - [B] broadcast to [B,B]", _BROADCAST, lambda c, r, m: -log_sigmoid((c - r)[:, None] - m).mean()),
        M("the mean margin for all", "Every pair has its own margin.", lambda c, r, m: right.margin_loss(c, r, m.mean())),
        M("the margin outside log σ", "The margin is part of the argument of σ.", lambda c, r, m: (m - log_sigmoid(c - r)).mean()),
        M("the margin as a factor", "The margin shifts the difference; it does not weigh the pair.", lambda c, r, m: -(m * log_sigmoid(c - r)).mean()),
        M("a hinge", "max(0, margin - difference) is not a log-likelihood.", lambda c, r, m: np.maximum(0, m - c + r).mean()),
        M("the minus sign is lost", "The loss is -log σ.", lambda c, r, m: -right.margin_loss(c, r, m)),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda c, r, m: np.log(1 + np.exp(r - c + m)).mean()),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda c, r, m: -np.log(sigmoid(c - r - m)).mean()),
    ),
    "margin_loss_backward": (
        M("the margin has the wrong sign", "The margin is subtracted: Δ = chosen - rejected - margin.", lambda c, r, m: right.margin_loss_backward(c, r, -m)),
        M("the margin is ignored", "The margin shifts the point at which σ is taken.", lambda c, r, m: right.pairwise_loss_backward(c, r)),
        M("the mean margin for all", "Every pair has its own margin.", lambda c, r, m: right.margin_loss_backward(c, r, m.mean())),
        M("the gradient through log(σ) where σ is 0", _NAN, lambda c, r, m: both(-through_log(c - r - m) / len(c))),
        M("the mean over the batch is missing", _BATCH, lambda c, r, m: both(-sigmoid(r - c + m))),
    ),
    "smoothed_loss": (
        M("the smoothing is on the wrong side", "1 - ε belongs to the label that was given.", lambda c, r, e: right.smoothed_loss(c, r, 1 - e)),
        M("the smoothing is ignored", "ε is nowhere used.", lambda c, r, e: right.pairwise_loss(c, r)),
        M("half of the smoothing", "With two outcomes smoothed to ε/2 and 1 - ε/2: here ε is the share of flipped labels.", lambda c, r, e: right.smoothed_loss(c, r, e / 2)),
        M("the flipped part is missing", "-(1 - ε) log σ(Δ) alone is a smaller learning rate.", lambda c, r, e: (1 - e) * right.pairwise_loss(c, r)),
        M("1 - σ instead of its log", "The flipped label's loss is -log σ(-Δ).", lambda c, r, e: (-(1 - e) * log_sigmoid(c - r) + e * sigmoid(c - r)).mean()),
        M("the flipped part is subtracted", "Both parts are added.", lambda c, r, e: (-(1 - e) * log_sigmoid(c - r) + e * log_sigmoid(r - c)).mean()),
        M("the full loss plus the flipped part", "The weights must add up to 1.", lambda c, r, e: (-log_sigmoid(c - r) - e * log_sigmoid(r - c)).mean()),
        M("log σ of a smoothed margin", "The labels are smoothed, not the margin.", lambda c, r, e: -log_sigmoid((1 - e) * (c - r)).mean()),
    ),
    "smoothed_loss_backward": (
        M("the smoothing is on the wrong side", "1 - ε belongs to the label that was given.", lambda c, r, e: right.smoothed_loss_backward(c, r, 1 - e)),
        M("the smoothing is ignored", "ε is nowhere used.", lambda c, r, e: right.pairwise_loss_backward(c, r)),
        M("half of the smoothing", "ε is the share of flipped labels, not twice that.", lambda c, r, e: right.smoothed_loss_backward(c, r, e / 2)),
        M("the flipped part is missing", "ε σ(Δ) is missing.", lambda c, r, e: tuple((1 - e) * g for g in right.pairwise_loss_backward(c, r))),
        M("the flipped part is subtracted", "dΔ = ε σ(Δ) - (1 - ε) σ(-Δ): opposite signs.", lambda c, r, e: both((-e * sigmoid(c - r) - (1 - e) * sigmoid(r - c)) / len(c))),
        M("the mean over the batch is missing", _BATCH, lambda c, r, e: tuple(len(c) * g for g in right.smoothed_loss_backward(c, r, e))),
    ),
    "centered_loss": (
        M("the difference is centred", "chosen + rejected is pulled to 0; squaring the difference works against the loss.", lambda c, r, k: right.pairwise_loss(c, r) + k * ((c - r) ** 2).mean()),
        M("the penalty has the wrong sign", "The penalty is added.", lambda c, r, k: right.centered_loss(c, r, -k)),
        M("the penalty is ignored", "The coefficient is nowhere used.", lambda c, r, k: right.pairwise_loss(c, r)),
        M("the sum is not squared", "Without the square the penalty has no lower end.", lambda c, r, k: right.pairwise_loss(c, r) + k * (c + r).mean()),
        M("the absolute sum", "The square of the sum, not its absolute value.", lambda c, r, k: right.pairwise_loss(c, r) + k * np.abs(c + r).mean()),
        M("each reward is squared alone", "c² + r² also pulls the two together; (c + r)² does not.", lambda c, r, k: right.pairwise_loss(c, r) + k * (c**2 + r**2).mean()),
        M("the square of the mean", "The mean of the squares, not the square of the mean.", lambda c, r, k: right.pairwise_loss(c, r) + k * (c + r).mean() ** 2),
        M("the mean reward is squared", "((c + r)/2)² is a quarter of (c + r)².", lambda c, r, k: right.centered_loss(c, r, k / 4)),
    ),
    "centered_loss_backward": (
        M("the difference is centred", "The penalty is on the sum: both gradients get the same term.", lambda c, r, k: both(right.pairwise_loss_backward(c, r)[0] + 2 * k * (c - r) / len(c))),
        M("the penalty has the wrong sign", "The penalty is added.", lambda c, r, k: right.centered_loss_backward(c, r, -k)),
        M("the penalty is ignored", "2c (chosen + rejected) / B is missing.", lambda c, r, k: right.pairwise_loss_backward(c, r)),
        M("the 2 of the square is missing", "The derivative of s² is 2s.", lambda c, r, k: right.centered_loss_backward(c, r, k / 2)),
        M("the penalty is not divided by B", _BATCH, lambda c, r, k: tuple(g + 2 * k * (c + r) for g in right.pairwise_loss_backward(c, r))),
        M("the penalty reaches chosen only", "The sum holds both rewards.", lambda c, r, k: (right.centered_loss_backward(c, r, k)[0], right.pairwise_loss_backward(c, r)[1])),
        M("the penalty's gradient is opposite for rejected", "The sum holds both rewards with a plus.", lambda c, r, k: both(right.centered_loss_backward(c, r, k)[0])),
        M("the mean over the batch is missing", _BATCH, lambda c, r, k: tuple(len(c) * g for g in right.centered_loss_backward(c, r, k))),
    ),
    "kwise_loss": (
        M("divided by C(K,2) twice", "The mean over the pairs has divided already: the formula's 1/C(K,2) is that mean.", lambda r: right.kwise_loss(r) / choose(r)),
        M("the sum over the pairs", "Divide by C(K,2), so that every prompt weighs one.", lambda r: right.kwise_loss(r) * choose(r)),
        M("divided by K(K-1)", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss(r) / 2),
        M("divided by K²", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss(r) * choose(r) / r.shape[1] ** 2),
        M("divided by K", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss(r) * choose(r) / r.shape[1]),
        M("the minus sign is lost", "log σ is negative; the loss is -log σ.", lambda r: -right.kwise_loss(r)),
        M("the worst response comes first", "rewards are ordered best first: i < j means i is preferred.", lambda r: right.kwise_loss(r[:, ::-1])),
        M("neighbours only", "All C(K,2) pairs, not only the K - 1 neighbours.", lambda r: -log_sigmoid(r[:, :-1] - r[:, 1:]).mean()),
        M("the best against the rest only", "All C(K,2) pairs, not only those of the first.", lambda r: -log_sigmoid(r[:, :1] - r[:, 1:]).mean()),
        M("both orders of every pair", "i < j only: the reverse comparison did not happen.", lambda r: -(log_sigmoid(pairs(r)) + log_sigmoid(-pairs(r))).mean()),
        M("both orders of every pair, halved", "i < j only: the reverse comparison did not happen.", lambda r: -(log_sigmoid(pairs(r)) + log_sigmoid(-pairs(r))).mean() / 2),
        M("a response is compared with itself", "i < j, not i <= j: the diagonal adds ln 2 each.", lambda r: np.mean([-log_sigmoid(r[:, i] - r[:, j]) for i in range(r.shape[1]) for j in range(i, r.shape[1])])),
        M("the sum over the prompts", "Divide by the number of prompts.", lambda r: right.kwise_loss(r) * len(r)),
        M("the mean over the prompts is missing", "One loss for each prompt: take their mean.", lambda r: -log_sigmoid(pairs(r)).mean(1)),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda r: -np.log(sigmoid(pairs(r))).mean()),
        M("log(σ) is -inf, or log(1 + e^-margin) overflows", _EXTREME, lambda r: np.log(1 + np.exp(-pairs(r))).mean()),
        M("Plackett-Luce", "This is the listwise loss; here every pair is one comparison.", right.plackett_luce_loss),
    ),
    "kwise_loss_backward": (
        M("divided by C(K,2) twice", "Divide once: the mean over the pairs is the formula's 1/C(K,2).", lambda r: right.kwise_loss_backward(r) / choose(r)),
        M("the sum over the pairs", "Divide by C(K,2).", lambda r: right.kwise_loss_backward(r) * choose(r)),
        M("divided by K(K-1)", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss_backward(r) / 2),
        M("divided by K", "There are K(K-1)/2 pairs.", lambda r: right.kwise_loss_backward(r) * choose(r) / r.shape[1]),
        M("the mean over the prompts is missing", "Divide by the number of prompts.", lambda r: right.kwise_loss_backward(r) * len(r)),
        M("the minus sign is lost", "The better response's gradient is negative.", lambda r: -right.kwise_loss_backward(r)),
        M("the worst response comes first", "rewards are ordered best first.", lambda r: right.kwise_loss_backward(r[:, ::-1])[:, ::-1]),
        M("overwritten instead of added", "A response takes part in K - 1 pairs: add their gradients, do not assign them.", lambda r: overwritten(r)),
        M("the worse response gets no gradient", "Every pair moves both of its responses.", lambda r: one_sided(r, worse=False)),
        M("the better response gets no gradient", "Every pair moves both of its responses.", lambda r: one_sided(r, worse=True)),
        M("neighbours only", "All C(K,2) pairs, not only neighbours.", lambda r: neighbours(r)),
        M("the literal σ(m) - 1", _LITERAL, lambda r: from_pairs(r, (sigmoid(pairs(r)) - 1) / pairs(r).size)),
        M("e^-m / (1 + e^-m) overflows", "inf / inf is NaN: use a stable σ(-m).", lambda r: from_pairs(r, -naive_sigmoid(-pairs(r)) / pairs(r).size)),
        M("Plackett-Luce", "This is the gradient of the listwise loss.", right.plackett_luce_loss_backward),
    ),
    "plackett_luce_loss": (
        M("the minus sign is lost", "The loss is the negative log-likelihood.", lambda r: -right.plackett_luce_loss(r)),
        M("divided by K - 1", "The log-likelihood of a ranking is the sum over its choices.", lambda r: right.plackett_luce_loss(r) / (r.shape[1] - 1)),
        M("divided by K", "The log-likelihood of a ranking is the sum over its choices.", lambda r: right.plackett_luce_loss(r) / r.shape[1]),
        M("every choice is among all", "What was chosen before is no longer there: the sum runs over j >= k.", lambda r: np.mean((np.logaddexp.reduce(r, 1)[:, None] - r)[:, :-1].sum(1))),
        M("every choice is among all, the last included", "The sum runs over j >= k.", lambda r: np.mean((np.logaddexp.reduce(r, 1)[:, None] - r).sum(1))),
        M("the top choice only", "The best of all, then the best of the rest, and so on.", lambda r: np.mean(np.logaddexp.reduce(r, 1) - r[:, 0])),
        M("the worst response comes first", "rewards are ordered best first, and the denominator of choice k runs over what is left, j >= k.", lambda r: right.plackett_luce_loss(r[:, ::-1])),
        M("the chosen one is left out of its denominator", "j >= k, the chosen one included.", lambda r: np.mean(sum(np.logaddexp.reduce(r[:, k + 1 :], 1) - r[:, k] for k in range(r.shape[1] - 1)))),
        M("the sum over the prompts", "Divide by the number of prompts.", lambda r: right.plackett_luce_loss(r) * len(r)),
        M("the mean over the prompts is missing", "One loss for each prompt: take their mean.", lambda r: sum(np.logaddexp.reduce(r[:, k:], 1) - r[:, k] for k in range(r.shape[1] - 1))),
        M("exp overflows", "Subtract the largest reward first, or use np.logaddexp.", lambda r: np.mean(sum(np.log(np.exp(r[:, k:]).sum(1)) - r[:, k] for k in range(r.shape[1] - 1)))),
        M("the K-wise pairwise loss", "This is the mean over the pairs, not the listwise loss.", right.kwise_loss),
    ),
    "plackett_luce_loss_backward": (
        M("the minus sign is lost", "The sign is opposite.", lambda r: -right.plackett_luce_loss_backward(r)),
        M("divided by K - 1", "The loss is the sum over the choices.", lambda r: right.plackett_luce_loss_backward(r) / (r.shape[1] - 1)),
        M("divided by K", "The loss is the sum over the choices.", lambda r: right.plackett_luce_loss_backward(r) / r.shape[1]),
        M("the top choice only", "The gradients of all K - 1 choices add up.", lambda r: (right.softmax(r) - (np.arange(r.shape[1]) == 0)) / len(r)),
        M("the mean over the prompts is missing", "Divide by the number of prompts.", lambda r: right.plackett_luce_loss_backward(r) * len(r)),
        M("the worst response comes first", "rewards are ordered best first.", lambda r: right.plackett_luce_loss_backward(r[:, ::-1])[:, ::-1]),
        M("the chosen response's -1 is missing", "Each choice adds softmax minus one at the chosen place.", lambda r: right.plackett_luce_loss_backward(r) + (np.arange(r.shape[1]) < r.shape[1] - 1) / len(r)),
        M("a -1 for the last response too", "The last response is not chosen: there is nothing left to choose from.", lambda r: right.plackett_luce_loss_backward(r) - (np.arange(r.shape[1]) == r.shape[1] - 1) / len(r)),
        M("every choice is among all", "The softmax of choice k runs over j >= k.", lambda r: ((r.shape[1] - 1) * right.softmax(r) - (np.arange(r.shape[1]) < r.shape[1] - 1)) / len(r)),
        M("the K-wise gradient", "This is the gradient of the mean over the pairs.", right.kwise_loss_backward),
    ),
    "linear": (
        M("the bias is missing", "y = x Wᵀ + b.", lambda x, w, b: x @ w.T),
        M("the bias is subtracted", "y = x Wᵀ + b.", lambda x, w, b: x @ w.T - b),
        M("the weight is not transposed", "weight is (O, I), as in torch.nn.Linear: y = x Wᵀ.", lambda x, w, b: x @ w + b),
    ),
    "linear_backward": (
        M("dweight is transposed", "dW has the shape of W: (O, I) = dyᵀ x.", lambda d, x, w, b: (d @ w, right.linear_backward(d, x, w, b)[1].T, sum_rows(d))),
        M("dbias is a mean", "Every row adds to the bias's gradient: sum.", lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], sum_rows(d) / (d.size // d.shape[-1]))),
        M("dweight is a mean", "Every row adds to the weight's gradient: sum.", lambda d, x, w, b: (d @ w, right.linear_backward(d, x, w, b)[1] / (d.size // d.shape[-1]), sum_rows(d))),
        M("dbias is not summed over the rows", "db has the shape of b.", lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], d)),
        M("dbias is summed over the first axis only", "Sum over every leading axis.", lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], d.sum(0))),
        M("dbias is summed over the outputs", "Sum over the rows, axis 0.", lambda d, x, w, b: (*right.linear_backward(d, x, w, b)[:2], d.sum(-1))),
        M("dx with the transposed weight", "dx = dy W, without a transpose.", lambda d, x, w, b: (d @ w.T, *right.linear_backward(d, x, w, b)[1:])),
        M("only two axes", "Bring the leading axes into one first: x.reshape(-1, I).", lambda d, x, w, b: (d @ w, d.T @ x, d.sum(0))),
        M("dweight with dx in place of x", "dW = dyᵀ x.", lambda d, x, w, b: (d @ w, d.reshape(-1, d.shape[-1]).T @ (d @ w).reshape(-1, x.shape[-1]), sum_rows(d))),
    ),
    "softmax": (
        M("the wrong axis", "Over the last axis: axis=-1, not axis=0.", lambda x: softmax_over(x, 0)),
        M("all entries together", "Every row is a distribution of its own: axis=-1, keepdims=True.", lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum()),
        M("exp overflows", "Subtract the row's largest entry first: it cancels.", lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        M("one maximum for all rows", "Rows far below the maximum of all underflow to 0/0: each its own maximum.", lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(-1, keepdims=True)),
        M("not normalised", "Divide by the sum.", lambda x: np.exp(x - x.max(-1, keepdims=True))),
        M("log softmax", "This is its logarithm.", lambda x: x - np.logaddexp.reduce(x, -1, keepdims=True)),
        M("normalised without exp", "p = e^x / Σ e^x.", lambda x: x / x.sum(-1, keepdims=True)),
        M("keepdims is missing", "The sum must keep its axis: keepdims=True.", lambda x: np.exp(x) / np.exp(x).sum(-1)),
        M("σ of each entry", "Softmax, not sigmoid: the entries of a row compete.", sigmoid),
        M("softmax of -x", "The sign of the exponent is lost.", lambda x: right.softmax(-x)),
    ),
    "softmax_backward": (
        M("only the diagonal p (1 - p)", "Every entry moves all others of its row: subtract Σ p dp.", lambda d, p: d * p * (1 - p)),
        M("the sum term is missing", "dx = p (dp - Σ p dp): the sum over the row is missing.", lambda d, p: p * d),
        M("the sum term is added", "dx = p (dp - Σ p dp): minus.", lambda d, p: p * (d + (d * p).sum(-1, keepdims=True))),
        M("the sum is without p", "Σ p dp, not Σ dp.", lambda d, p: p * (d - d.sum(-1, keepdims=True))),
        M("the mean of dp", "Σ p dp weighs each entry by its probability.", lambda d, p: p * (d - d.mean(-1, keepdims=True))),
        M("a mean of p dp", "Sum, not mean.", lambda d, p: p * (d - (d * p).mean(-1, keepdims=True))),
        M("the sum runs over the first axis", "Over the last axis, with keepdims=True.", lambda d, p: p * (d - (d * p).sum(0, keepdims=True))),
        M("the sum runs over all rows", "Every row has a sum of its own: axis=-1, keepdims=True.", lambda d, p: p * (d - (d * p).sum())),
        M("keepdims is missing", "The sum must keep its axis: keepdims=True.", lambda d, p: p * (d - (d * p).sum(-1))),
        M("p - 1, cross entropy's shortcut", "p - y is softmax and cross entropy together.", lambda d, p: p - d),
        M("the outer p is missing", "dx = p (dp - Σ p dp).", lambda d, p: d - (d * p).sum(-1, keepdims=True)),
        M("zero, as for dout of ones", "The gradient of a row's sum is zero, but dout is not ones.", lambda d, p: np.zeros_like(p)),
    ),
    "gelu": (
        M("the exact erf form", "x Φ(x) with erf; here GPT-2's tanh form is asked, up to 5e-4 away.", lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2)))),
        M("x σ(1.702 x)", "This is the sigmoid approximation, up to 0.02 away.", lambda x: x * sigmoid(1.702 * x)),
        M("x σ(x)", "This is SiLU.", lambda x: x * sigmoid(x)),
        M("relu", "This is ReLU.", lambda x: np.maximum(x, 0)),
        M("the cubic term is missing", "x + 0.044715 x³ inside tanh.", lambda x: 0.5 * x * (1 + np.tanh(SCALE * x))),
        M("√(2π) or √2 instead of √(2/π)", "k = √(2/π) = 0.7979.", lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 * math.pi) * (x + CUBIC * x**3)))),
        M("2/π without its root", "k = √(2/π) = 0.7979.", lambda x: 0.5 * x * (1 + np.tanh(2 / math.pi * (x + CUBIC * x**3)))),
        M("the 1/2 is missing", "y = x/2 (1 + t).", lambda x: x * (1 + tanh_part(x))),
        M("x² instead of x³", "The cube keeps tanh odd.", lambda x: 0.5 * x * (1 + np.tanh(SCALE * (x + CUBIC * x**2)))),
        M("the factor x is missing", "y = x/2 (1 + t); this is the gate alone.", lambda x: 0.5 * (1 + tanh_part(x))),
    ),
    "gelu_backward": (
        M("the derivative of the exact erf form", "Φ(x) + x φ(x) is the erf form's; the forward pass is the tanh form.", lambda d, x: d * (0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))),
        M("the derivative of x σ(1.702 x)", "This is the sigmoid approximation's.", lambda d, x: d * (sigmoid(1.702 * x) + 1.702 * x * sigmoid(1.702 * x) * sigmoid(-1.702 * x))),
        M("the derivative of x σ(x)", "This is SiLU's.", lambda d, x: d * (sigmoid(x) + x * sigmoid(x) * sigmoid(-x))),
        M("half of the product rule: only (1 + t)/2", "x/2 times the derivative of tanh is missing.", lambda d, x: d * 0.5 * (1 + tanh_part(x))),
        M("half of the product rule: only x/2 tanh'", "(1 + t)/2 is missing.", lambda d, x: d * 0.5 * x * (1 - tanh_part(x) ** 2) * SCALE * (1 + 3 * CUBIC * x**2)),
        M("the inner derivative is missing", "tanh's argument is k (x + a x³): multiply by k (1 + 3a x²).", lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2))),
        M("the inner derivative without its 3", "The derivative of a x³ is 3a x².", lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2) * SCALE * (1 + CUBIC * x**2))),
        M("the inner derivative without √(2/π)", "The derivative of k (x + a x³) has the k.", lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2) * (1 + 3 * CUBIC * x**2))),
        M("the inner derivative without the cubic part", "k (1 + 3a x²): 3a x² is missing.", lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x) ** 2) * SCALE)),
        M("1 - t instead of 1 - t²", "tanh' = 1 - tanh².", lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 - tanh_part(x)) * SCALE * (1 + 3 * CUBIC * x**2))),
        M("1 + t² instead of 1 - t²", "tanh' = 1 - tanh².", lambda d, x: d * (0.5 * (1 + tanh_part(x)) + 0.5 * x * (1 + tanh_part(x) ** 2) * SCALE * (1 + 3 * CUBIC * x**2))),
        M("relu's derivative", "0 or 1 is ReLU's.", lambda d, x: d * (x > 0)),
        M("the forward value times dout", "This is dy · gelu(x), not its derivative.", lambda d, x: d * right.gelu(x)),
    ),
    "layer_norm": (
        M("the unbiased variance", "Divide by C, not by C - 1 (ddof=0).", lambda x, w, b: normalise(x, 1)[0] * w + b),
        M("ε is missing", "√(σ² + ε): without ε a constant row is 0/0.", lambda x, w, b: normalise(x, eps=0)[0] * w + b),
        M("ε outside the root", "√(σ² + ε), not √σ² + ε.", lambda x, w, b: mean_free(x) / (np.sqrt(mean(mean_free(x) ** 2)) + 1e-5) * w + b),
        M("ε of another size", "ε is 1e-5, torch's default.", lambda x, w, b: normalise(x, eps=1e-6)[0] * w + b),
        M("ε of another size (1e-8)", "ε is 1e-5, torch's default.", lambda x, w, b: normalise(x, eps=1e-8)[0] * w + b),
        M("over the wrong axis", "Over the last axis; over the first it is batch norm.", lambda x, w, b: normalise(x, axis=0)[0] * w + b),
        M("over all entries", "Every row has its own mean and variance.", lambda x, w, b: (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w + b),
        M("weight and bias are missing", "y = w x̂ + b.", lambda x, w, b: normalise(x)[0]),
        M("the bias is missing", "y = w x̂ + b.", lambda x, w, b: normalise(x)[0] * w),
        M("the root is missing", "Divide by √(σ² + ε), not by σ² + ε.", lambda x, w, b: normalise(x)[0] * normalise(x)[1] * w + b),
        M("the mean is not subtracted", "x̂ = (x - μ) / √(σ² + ε).", lambda x, w, b: x * normalise(x)[1] * w + b),
        M("RMS norm", "The mean is subtracted first; RMS norm does not.", lambda x, w, b: x / np.sqrt(mean(x * x) + 1e-5) * w + b),
        M("the variance is not divided", "The mean of the squares, not their sum.", lambda x, w, b: mean_free(x) / np.sqrt((mean_free(x) ** 2).sum(-1, keepdims=True) + 1e-5) * w + b),
    ),
    "layer_norm_backward": (
        M("both mean terms are missing", "μ and σ depend on x too: subtract mean(dx̂) and x̂ mean(dx̂ x̂).", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * dh)),
        M("mean(dx̂) is missing", "μ depends on x too: subtract mean(dx̂).", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - xh * mean(dh * xh)))),
        M("x̂ mean(dx̂ x̂) is missing", "σ depends on x too: subtract x̂ mean(dx̂ x̂).", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - mean(dh)))),
        M("mean(dx̂ x̂) without its x̂", "The variance's term is x̂ mean(dx̂ x̂).", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - mean(dh) - mean(dh * xh)))),
        M("x̂ mean(dx̂) instead of x̂ mean(dx̂ x̂)", "The variance's term is x̂ mean(dx̂ x̂).", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - mean(dh) - xh * mean(dh)))),
        M("the mean terms are added", "Both are subtracted.", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh + mean(dh) + xh * mean(dh * xh)))),
        M("sums instead of means", "mean(dx̂) and mean(dx̂ x̂), divided by C.", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * (dh - dh.sum(-1, keepdims=True) - xh * (dh * xh).sum(-1, keepdims=True)))),
        M("1/√(σ² + ε) is missing", "x̂ is x divided by √(σ² + ε), so dx is too.", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: dh - mean(dh) - xh * mean(dh * xh))),
        M("1/(σ² + ε) instead of its root", "Divide by √(σ² + ε) once.", lambda d, x, w, b: norm_backward(d, x, w, lambda dh, xh, s: s * s * (dh - mean(dh) - xh * mean(dh * xh)))),
        M("the unbiased variance", "Divide by C, not by C - 1 (ddof=0).", lambda d, x, w, b: unbiased(d, x, w)),
        M("the weight is missing in dx", "dx̂ = w dy: the weight comes first.", lambda d, x, w, b: norm_backward(d, x, np.ones_like(w), lambda dh, xh, s: s * (dh - mean(dh) - xh * mean(dh * xh)))),
        M("the weight is multiplied last", "dx̂ = w dy: the weight stands inside the means.", lambda d, x, w, b: norm_backward(d, x, np.ones_like(w), lambda dh, xh, s: w * s * (dh - mean(dh) - xh * mean(dh * xh)))),
        M("dweight with x in place of x̂", "dw = Σ dy x̂, the normalised x.", lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], sum_rows(d * x), sum_rows(d))),
        M("dweight with the centred x", "dw = Σ dy x̂: divided by √(σ² + ε) as well.", lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], sum_rows(d * mean_free(x)), sum_rows(d))),
        M("dweight with w dy", "dw = Σ dy x̂, without w.", lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], sum_rows(d * w * normalise(x)[0]), sum_rows(d))),
        M("dweight and dbias are means", "Every row adds to them: sum.", lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], *(g / (d.size // d.shape[-1]) for g in right.layer_norm_backward(d, x, w, b)[1:]))),
        M("dweight and dbias are not summed", "They have the shape of weight and bias.", lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], d * normalise(x)[0], d)),
        M("dweight and dbias are summed over the first axis only", "Sum over every leading axis.", lambda d, x, w, b: (right.layer_norm_backward(d, x, w, b)[0], (d * normalise(x)[0]).sum(0), d.sum(0))),
        M("dbias is w dy", "db = Σ dy, without w.", lambda d, x, w, b: (*right.layer_norm_backward(d, x, w, b)[:2], sum_rows(d * w))),
        M("ε is missing", "√(σ² + ε), as in the forward pass.", lambda d, x, w, b: without_eps(d, x, w)),
    ),
    "embedding_backward": (
        M("assigned instead of added", "dW[tokens] = dout keeps only the last place of a repeated token; so does +=. Use np.add.at.", lambda d, t, v: assigned(d, t, v)),
        M("the first place only", "A token that stands twice receives both gradients.", lambda d, t, v: assigned(d[::-1], t[::-1], v) if t.ndim == 1 else assigned(d[::-1, ::-1], t[::-1, ::-1], v)),
        M("divided by the token's count", "Its gradients add up; they are not averaged.", lambda d, t, v: right.embedding_backward(d, t, v) / np.maximum(np.bincount(t.reshape(-1), minlength=int(v)), 1)[:, None]),
        M("divided by the number of places", "The gradients add up.", lambda d, t, v: right.embedding_backward(d, t, v) / t.size),
        M("transposed", "dW has the shape of W: (V, C).", lambda d, t, v: right.embedding_backward(d, t, v).T),
        M("the gradient is not gathered by token", "One row for each token of the vocabulary, not for each place.", lambda d, t, v: d),
        M("a row too low", "Token v's gradient belongs in row v.", lambda d, t, v: np.roll(right.embedding_backward(d, t, v), 1, 0)),
        M("token counts", "This counts the places; multiply by dout.", lambda d, t, v: right.embedding_backward(np.ones_like(d), t, v)),
    ),
    "attention": (
        M("1/√D is missing", "Divide the scores by √D.", lambda q, k, v: attend(q, k, v, lambda q: 1) @ v),
        M("divided by D", "By √D, not by D.", lambda q, k, v: attend(q, k, v, lambda q: q.shape[-1]) @ v),
        M("divided by √T", "By the root of the head size D, not of the length T.", lambda q, k, v: attend(q, k, v, lambda q: math.sqrt(q.shape[-2])) @ v),
        M("multiplied by √D", "Divide by √D.", lambda q, k, v: attend(q, k, v, lambda q: 1 / math.sqrt(q.shape[-1])) @ v),
        M("the causal mask is missing", "No position may see a later one.", lambda q, k, v: attend(q, k, v, mask=False) @ v),
        M("the mask lets the next position through", "Off by one: np.triu(..., 1) is the future.", lambda q, k, v: attend(q, k, v, shift=1) @ v),
        M("the mask hides a position from itself", "Off by one: the diagonal is allowed.", lambda q, k, v: attend(q, k, v, shift=-1) @ v),
        M("the mask is turned round", "Here each position sees only itself and the future.", lambda q, k, v: turned(q, k) @ v),
        M("masked scores are 0 instead of -inf", "e^0 = 1 still has weight: -inf before the softmax.", lambda q, k, v: attend(q, k, v, zero=True) @ v),
        M("masked after the softmax", "The rows no longer sum to 1: mask the scores, with -inf.", lambda q, k, v: masked_late(q, k) @ v),
        M("softmax over the queries", "Over the keys: the last axis.", lambda q, k, v: attend(q, k, v, axis=-2) @ v),
        M("the softmax is missing", "The scores are used as weights.", lambda q, k, v: np.tril(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])) @ v),
        M("keys and queries are exchanged", "Scores are q kᵀ: rows are queries.", lambda q, k, v: attend(k, q, v) @ v),
        M("1/√D is missing, and the mask", "Divide by √D, and hide the future.", lambda q, k, v: attend(q, k, v, lambda q: 1, mask=False) @ v),
    ),
    "attention_backward": (
        M("1/√D is missing", "The scores were divided by √D; so is their gradient.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), 1)),
        M("1/√D is missing in forward and backward", "Divide the scores and their gradient by √D.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v, lambda q: 1), 1)),
        M("divided by D", "By √D once, not by D.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), q.shape[-1])),
        M("the causal mask is missing", "The weights must be those of the masked forward pass.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v, mask=False), math.sqrt(q.shape[-1]))),
        M("the mask lets the next position through", "Off by one: np.triu(..., 1) is the future.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v, shift=1), math.sqrt(q.shape[-1]))),
        M("the softmax's sum term is missing", "dS = P (dP - Σ P dP).", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), math.sqrt(q.shape[-1]), lambda p, dp: p * dp)),
        M("the softmax's diagonal only", "p (1 - p) dp forgets that each weight moves the others of its row.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), math.sqrt(q.shape[-1]), lambda p, dp: p * (1 - p) * dp)),
        M("the softmax is not differentiated", "dS is not dP.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), math.sqrt(q.shape[-1]), lambda p, dp: dp)),
        M("the softmax's sum runs over the queries", "Over the keys: the last axis.", lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), math.sqrt(q.shape[-1]), lambda p, dp: p * (dp - (p * dp).sum(-2, keepdims=True)))),
        M("dv with P instead of Pᵀ", "dV = Pᵀ dY.", lambda d, q, k, v: (*right.attention_backward(d, q, k, v)[:2], attend(q, k, v) @ d)),
        M("dk with dS instead of dSᵀ", "dK = dSᵀ Q.", lambda d, q, k, v: untransposed(d, q, k, v)),
        M("dq and dk are exchanged", "dQ = dS K, dK = dSᵀ Q.", lambda d, q, k, v: tuple(right.attention_backward(d, q, k, v)[i] for i in (1, 0, 2))),
    ),
    "last_token": (
        M("the last position", "Padded rows end earlier: this scores a padding token.", lambda t, n, pad: np.full(len(t), t.shape[1] - 1)),
        M("one too far", "Counting starts at 0: length is the first padding token; length - 1 is the last real one.", lambda t, n, pad: n.copy()),
        M("one too early", "length - 1 is the last real token, the end token included.", lambda t, n, pad: n - 2),
        M("the first pad minus one", "Searching for pad finds the end token or a pad id in the text, and -1 where there is none: use length.", first_pad),
        M("the first pad minus one, or the last position", "Searching for pad finds the end token or a pad id in the text first: use length.", lambda t, n, pad: np.where((t == pad).any(1), first_pad(t, n, pad), t.shape[1] - 1)),
        M("the first pad minus one, modulo the length", "Searching for pad finds the end token or a pad id in the text first: use length.", lambda t, n, pad: first_pad(t, n, pad) % t.shape[1]),
        M("the first pad itself", "This scores a padding token.", lambda t, n, pad: np.argmax(t == pad, 1)),
        M("the rightmost token that is not pad", "When pad is the end token, the end token is never scored: use length.", rightmost_real),
        M("the count of tokens that are not pad", "A pad id inside the text, or as the end token, is not counted: use length.", lambda t, n, pad: (t != pad).sum(1) - 1),
        M("the longest row's end for all", "Every row has its own length: shorter ones score a padding token.", lambda t, n, pad: np.full(len(t), n.max() - 1)),
        M("the first token", "Under a causal mask the first position has seen nothing: use the last.", lambda t, n, pad: np.zeros(len(t), int)),
    ),
    "last_hidden": (
        M("the last position", "Padded rows end earlier: this scores a padding token.", lambda h, n: h[:, -1]),
        M("one too far", "Counting starts at 0: length - 1.", lambda h, n: h[np.arange(len(h)), n]),
        M("one too far, modulo the length", "Counting starts at 0: length - 1.", lambda h, n: h[np.arange(len(h)), n % h.shape[1]]),
        M("one too far, at most the last", "Counting starts at 0: length - 1.", lambda h, n: h[np.arange(len(h)), np.minimum(n, h.shape[1] - 1)]),
        M("one too early", "length - 1 is the last real token.", lambda h, n: h[np.arange(len(h)), n - 2]),
        M("hidden[:, length - 1]", "Every row is crossed with every length: (B, B, C). Pair them: hidden[np.arange(B), length - 1].", lambda h, n: h[:, n - 1]),
        M("the mean over the real tokens", "The last token's row, not the mean.", lambda h, n: np.stack([row[:m].mean(0) for row, m in zip(h, n, strict=True)])),
        M("the mean over all positions", "The last real token's row, not the mean, and not the padding.", lambda h, n: h.mean(1)),
        M("the longest row's end for all", "Every row has its own length.", lambda h, n: h[:, n.max() - 1]),
        M("the first token", "Under a causal mask the first position has seen nothing.", lambda h, n: h[:, 0]),
    ),
    "adamw_step": (
        M("L2 instead of decoupled decay", "λp is added to the gradient, and so divided by √v̂: AdamW subtracts lr λ p beside the step.", lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g + w * p, m, v, t, lr, b1, b2, e, 0.0)),
        M("the bias correction is missing", "Divide m by 1 - β₁ᵗ and v by 1 - β₂ᵗ.", lambda *a: adamw(*a, correct=(False, False))),
        M("m is not corrected", "Divide m by 1 - β₁ᵗ.", lambda *a: adamw(*a, correct=(False, True))),
        M("v is not corrected", "Divide v by 1 - β₂ᵗ.", lambda *a: adamw(*a, correct=(True, False))),
        M("ε inside the root", "√v̂ + ε, not √(v̂ + ε).", lambda *a: adamw(*a, inside=True)),
        M("ε added before the correction", "ε is added to √v̂, the corrected one.", lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e / np.sqrt(1 - b2**t), w)),
        M("the decay is not multiplied by lr", "p - lr λ p.", lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e, w / lr)),
        M("the decay is missing", "p - lr λ p is missing.", lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e, 0.0)),
        M("the decay has the wrong sign", "p - lr λ p: towards zero.", lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b1, b2, e, -w)),
        M("the decay of the moved parameter", "Both terms take the parameter from before the step.", lambda *a: adamw(*a, late=True)),
        M("ascent instead of descent", "Subtract the step.", lambda p, g, m, v, t, lr, b1, b2, e, w: ascend(p, g, m, v, t, lr, b1, b2, e, w)),
        M("t counts from 0", "t is 1 at the first step: 1 - βᵗ, not 1 - β^(t+1).", lambda p, g, m, v, t, *a: adamw(p, g, m, v, t + 1, *a)),
        M("t is one too small", "1 - βᵗ with the t that is given.", lambda p, g, m, v, t, *a: adamw(p, g, m, v, t - 1, *a)),
        M("the betas are exchanged", "β₁ belongs to m, β₂ to v.", lambda p, g, m, v, t, lr, b1, b2, e, w: adamw(p, g, m, v, t, lr, b2, b1, e, w)),
        M("the root is missing", "Divide by √v̂, not by v̂.", lambda p, g, m, v, t, lr, b1, b2, e, w: rootless(p, g, m, v, t, lr, b1, b2, e, w)),
        M("v without the square", "v averages g², not g.", lambda p, g, m, v, t, lr, b1, b2, e, w: unsquared(p, g, m, v, t, lr, b1, b2, e, w)),
        M("1 - β is missing", "m = β₁ m + (1 - β₁) g.", lambda p, g, m, v, t, lr, b1, b2, e, w: heavy(p, g, m, v, t, lr, b1, b2, e, w)),
        M("the corrected moments are returned", "The next step needs m and v themselves.", lambda p, g, m, v, t, lr, b1, b2, e, w: corrected(p, g, m, v, t, lr, b1, b2, e, w)),
        M("plain gradient descent", "The moments are not used.", lambda p, g, m, v, t, lr, b1, b2, e, w: (p - lr * w * p - lr * g, *adamw(p, g, m, v, t, lr, b1, b2, e, w)[1:])),
        M("only the parameter is returned", "Return (param, m, v): the next step needs them.", lambda *a: adamw(*a)[0]),
    ),
    "accuracy": (
        M("ties count as right", "A tie is one half: >= counts it as right.", lambda c, r: np.mean(c >= r)),
        M("ties count as wrong", "A tie is one half: > counts it as wrong.", lambda c, r: np.mean(c > r)),
        M("ties are dropped", "A tie counts one half; it is not left out.", lambda c, r: np.mean((c > r)[c != r])),
        M("the share of wrong pairs", "chosen > rejected is right.", lambda c, r: 1 - right.accuracy(c, r)),
        M("a count instead of a share", "Divide by the number of pairs.", lambda c, r: right.accuracy(c, r) * len(c)),
        M("the mean probability", "σ(margin) is the model's belief; accuracy counts.", lambda c, r: sigmoid(c - r).mean()),
        M("the sign of each reward", "Compare the rewards with each other, not with 0.", lambda c, r: np.mean((c > 0) & (r < 0))),
        M("one answer for each pair", "Take the mean over the pairs.", lambda c, r: (c > r) + 0.5 * (c == r)),
        M("in per cent", "A share between 0 and 1.", lambda c, r: 100 * right.accuracy(c, r)),
    ),
    "cohen_kappa": (
        M("percent agreement", "Agreement by chance is not taken off.", lambda a, b: np.mean(a == b)),
        M("chance as 1/2", "Chance comes from the raters' own rates, not from a fair coin.", lambda a, b: kappa_from(a, b, 0.5)),
        M("chance as one over the number of labels", "Chance comes from the raters' own rates.", lambda a, b: kappa_from(a, b, 1 / len(np.union1d(a, b)))),
        M("Scott's pi: the raters' rates are averaged", "Cohen multiplies each rater's own rates; Scott squares their mean.", lambda a, b: kappa_from(a, b, sum(np.mean(np.concatenate([a, b]) == k) ** 2 for k in np.union1d(a, b)))),
        M("the denominator is missing", "Divide by 1 - p_e, so that full agreement is 1.", lambda a, b: np.mean(a == b) - chance(a, b)),
        M("the chance of one label only", "p_e adds up over all labels.", lambda a, b: kappa_from(a, b, np.mean(a == 1) * np.mean(b == 1))),
        M("divided by 1 - p_o", "Divide by 1 - p_e.", lambda a, b: (np.mean(a == b) - chance(a, b)) / (1 - np.mean(a == b))),
        M("the correlation", "κ counts agreement; Pearson's correlation takes labels as numbers.", lambda a, b: np.corrcoef(a, b)[0, 1]),
        M("chance itself", "This is p_e.", lambda a, b: chance(a, b)),
        M("the first rater's rates for both", "Each rater has rates of its own.", lambda a, b: kappa_from(a, b, sum(np.mean(a == k) ** 2 for k in np.union1d(a, b)))),
    ),
    "brier_score": (
        M("the root", "Mean squared, without the root.", lambda p, y: np.sqrt(right.brier_score(p, y))),
        M("the absolute error", "The square of the error.", lambda p, y: np.abs(p - y).mean()),
        M("both classes are counted", "Brier's sum over both outcomes is twice this.", lambda p, y: 2 * right.brier_score(p, y)),
        M("the outcome is turned round", "(p - outcome)², not (1 - p - outcome)².", lambda p, y: right.brier_score(1 - p, y)),
        M("a sum instead of the mean", "Divide by their number.", lambda p, y: right.brier_score(p, y) * len(p)),
        M("the error is not squared", "Errors of opposite sign cancel.", lambda p, y: (p - y).mean()),
        M("p (1 - p)", "This is the score that calibrated forecasts reach; the outcome is not used.", lambda p, y: (p * (1 - p)).mean()),
        M("the log loss", "This is the mean of -log p.", lambda p, y: -np.where(y == 1, np.log(p), np.log(1 - p)).mean()),
        M("one minus the score", "0 is best.", lambda p, y: 1 - right.brier_score(p, y)),
    ),
}  # fmt: skip


def mean_free(x):
    return x - mean(x)


def overwritten(rewards):
    """drewards[:, i] = ... in the loop over the pairs"""
    K = rewards.shape[1]
    drewards = np.zeros_like(rewards)
    for i in range(K):
        for j in range(i + 1, K):
            g = -sigmoid(rewards[:, j] - rewards[:, i]) / (len(rewards) * choose(rewards))
            drewards[:, i], drewards[:, j] = g, -g
    return drewards


def one_sided(rewards, worse):
    better, other = np.triu_indices(rewards.shape[1], 1)
    g = -sigmoid(-pairs(rewards)) / pairs(rewards).size
    drewards = np.zeros_like(rewards)
    np.add.at(drewards, (slice(None), other if worse else better), -g if worse else g)
    return drewards


def neighbours(rewards):
    g = -sigmoid(rewards[:, 1:] - rewards[:, :-1])
    drewards = np.zeros_like(rewards)
    drewards[:, :-1] += g
    drewards[:, 1:] -= g
    return drewards / g.size


def unbiased(dout, x, weight):
    """Everything right for a variance divided by C - 1"""
    xhat, rstd = normalise(x, 1)
    dxhat, C = dout * weight, x.shape[-1]
    dx = rstd * (dxhat - mean(dxhat) - xhat * (dxhat * xhat).sum(-1, keepdims=True) / (C - 1))
    return dx, sum_rows(dout * xhat), sum_rows(dout)


def without_eps(dout, x, weight):
    xhat, rstd = normalise(x, eps=0)
    dxhat = dout * weight
    return rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)), sum_rows(dout * xhat), sum_rows(dout)


def assigned(dout, tokens, vocab_size):
    dweight = np.zeros((int(vocab_size), dout.shape[-1]))
    dweight[tokens] = dout
    return dweight


def turned(q, k):
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    past = np.tril(np.ones(scores.shape[-2:], bool), -1)
    return softmax_over(np.where(past, -np.inf, scores), -1)


def untransposed(dout, q, k, v):
    p = attend(q, k, v)
    dp = dout @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds @ q, p.swapaxes(-1, -2) @ dout


def ascend(p, g, m, v, t, lr, b1, b2, e, w):
    moved, m_new, v_new = adamw(p, g, m, v, t, lr, b1, b2, e, w)
    stay = p - lr * w * p
    return 2 * stay - moved, m_new, v_new


def rootless(p, g, m, v, t, lr, b1, b2, e, w):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    return p - lr * w * p - lr * (m / (1 - b1**t)) / (v / (1 - b2**t) + e), m, v


def unsquared(p, g, m, v, t, lr, b1, b2, e, w):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g
    return p - lr * w * p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + e), m, v


def heavy(p, g, m, v, t, lr, b1, b2, e, w):
    m, v = b1 * m + g, b2 * v + g * g
    return p - lr * w * p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + e), m, v


def corrected(p, g, m, v, t, lr, b1, b2, e, w):
    p, m, v = adamw(p, g, m, v, t, lr, b1, b2, e, w)
    return p, m / (1 - b1**t), v / (1 - b2**t)


def chance(a, b):
    return sum(np.mean(a == k) * np.mean(b == k) for k in np.union1d(a, b))

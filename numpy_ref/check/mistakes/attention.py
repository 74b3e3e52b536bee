"""Known mistakes in attention and its backward pass.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""
# ruff: noqa: ARG001, ARG005

import math

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from .layers import softmax_over


def attend(q, k, v, scale=None, shift=0, mask=True, axis=-1, hide=-np.inf):
    """Attention weights with exchangeable parts: `shift` 1 lets a position see the next one, -1 hides it from itself"""
    scores = q @ k.swapaxes(-1, -2) / (math.sqrt(q.shape[-1]) if scale is None else scale(q))
    hidden = np.triu(np.ones(scores.shape[-2:], bool), 1 + shift)
    if mask:
        scores = np.where(hidden, hide, scores)
    return softmax_over(scores, axis)


def unshifted(q, k):
    """Attention weights from a softmax that does not subtract the largest score"""
    weights = np.tril(np.exp(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])))
    return weights / weights.sum(-1, keepdims=True)


def masked_late(q, k):
    """Attention weights masked after the softmax, so that rows no longer sum to 1"""
    return np.tril(attend(q, k, None, mask=False))


def attend_backward(dout, q, k, v, p, scale, jacobian=None):
    """(dq, dk, dv) for weights p and a scale; jacobian(p, dp) replaces the backward of softmax"""
    dp = dout @ v.swapaxes(-1, -2)
    ds = (p * (dp - (dp * p).sum(-1, keepdims=True)) if jacobian is None else jacobian(p, dp)) / scale
    return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dout


def turned(q, k):
    """Attention weights with the mask reversed: a position sees only itself and the future"""
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    past = np.tril(np.ones(scores.shape[-2:], bool), -1)
    return softmax_over(np.where(past, -np.inf, scores), -1)


def untransposed(dout, q, k, v):
    """dK = dS Q, with dS not transposed"""
    p = attend(q, k, v)
    dp = dout @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / math.sqrt(q.shape[-1])
    return ds @ k, ds @ q, p.swapaxes(-1, -2) @ dout


MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "attention": (
        Mistake("exp overflows", "Subtract the largest score of each row first.", lambda q, k, v: unshifted(q, k) @ v),
        Mistake("1/√D is missing", "Divide the scores by √D.", lambda q, k, v: attend(q, k, v, lambda q: 1) @ v),
        Mistake("divided by D", "Divide by √D, not by D.", lambda q, k, v: attend(q, k, v, lambda q: q.shape[-1]) @ v),
        Mistake(
            "divided by √T",
            "Divide by the root of the head size D, not of the length T.",
            lambda q, k, v: attend(q, k, v, lambda q: math.sqrt(q.shape[-2])) @ v,
        ),
        Mistake(
            "multiplied by √D",
            "Divide by √D.",
            lambda q, k, v: attend(q, k, v, lambda q: 1 / math.sqrt(q.shape[-1])) @ v,
        ),
        Mistake(
            "the causal mask is missing",
            "No position may see a later one.",
            lambda q, k, v: attend(q, k, v, mask=False) @ v,
        ),
        Mistake(
            "the mask lets the next position through",
            "Off by one: np.triu(..., 1) marks the future.",
            lambda q, k, v: attend(q, k, v, shift=1) @ v,
        ),
        Mistake(
            "the mask hides a position from itself",
            "Off by one: a position may see itself, the diagonal.",
            lambda q, k, v: attend(q, k, v, shift=-1) @ v,
        ),
        Mistake(
            "the mask is turned round",
            "Here each position sees only itself and the future.",
            lambda q, k, v: turned(q, k) @ v,
        ),
        Mistake(
            "masked scores are 0 instead of -inf",
            "A score of 0 still has the weight e^0 = 1: set masked scores to -inf before the softmax.",
            lambda q, k, v: attend(q, k, v, hide=0.0) @ v,
        ),
        Mistake(
            "masked after the softmax",
            "The rows no longer sum to 1: mask the scores with -inf instead.",
            lambda q, k, v: masked_late(q, k) @ v,
        ),
        Mistake(
            "softmax over the queries",
            "Softmax and its sums run over the keys, the last axis.",
            lambda q, k, v: attend(q, k, v, axis=-2) @ v,
        ),
        Mistake(
            "the softmax is missing",
            "The scores themselves are used as weights: take their softmax.",
            lambda q, k, v: np.tril(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])) @ v,
        ),
        Mistake(
            "keys and queries are exchanged",
            "Scores are q kᵀ: each row belongs to a query.",
            lambda q, k, v: attend(k, q, v) @ v,
        ),
        Mistake(
            "1/√D is missing, and the mask",
            "Divide by √D, and hide the future.",
            lambda q, k, v: attend(q, k, v, lambda q: 1, mask=False) @ v,
        ),
    ),
    "attention_backward": (
        Mistake(
            "1/√D is missing",
            "The scores were divided by √D; so is their gradient.",
            lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), 1),
        ),
        Mistake(
            "1/√D is missing in forward and backward",
            "Divide the scores and their gradient by √D.",
            lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v, lambda q: 1), 1),
        ),
        Mistake(
            "divided by D",
            "Divide by √D once, not by D.",
            lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), q.shape[-1]),
        ),
        Mistake(
            "the causal mask is missing",
            "The weights must be those of the masked forward pass.",
            lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v, mask=False), math.sqrt(q.shape[-1])),
        ),
        Mistake(
            "the mask lets the next position through",
            "Off by one: np.triu(..., 1) marks the future.",
            lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v, shift=1), math.sqrt(q.shape[-1])),
        ),
        Mistake(
            "the softmax's sum term is missing",
            "dS = P (dP - Σ P dP).",
            lambda d, q, k, v: attend_backward(
                d, q, k, v, attend(q, k, v), math.sqrt(q.shape[-1]), lambda p, dp: p * dp
            ),
        ),
        Mistake(
            "the softmax's diagonal only",
            "p (1 - p) dp forgets that each score changes all weights of its row.",
            lambda d, q, k, v: attend_backward(
                d, q, k, v, attend(q, k, v), math.sqrt(q.shape[-1]), lambda p, dp: p * (1 - p) * dp
            ),
        ),
        Mistake(
            "the softmax is not differentiated",
            "dS is not dP: dS = P (dP - Σ P dP).",
            lambda d, q, k, v: attend_backward(d, q, k, v, attend(q, k, v), math.sqrt(q.shape[-1]), lambda p, dp: dp),
        ),
        Mistake(
            "the softmax's sum runs over the queries",
            "Softmax and its sums run over the keys, the last axis.",
            lambda d, q, k, v: attend_backward(
                d,
                q,
                k,
                v,
                attend(q, k, v),
                math.sqrt(q.shape[-1]),
                lambda p, dp: p * (dp - (p * dp).sum(-2, keepdims=True)),
            ),
        ),
        Mistake(
            "dv with P instead of Pᵀ",
            "dV = Pᵀ dY.",
            lambda d, q, k, v: (*right.attention_backward(d, q, k, v)[:2], attend(q, k, v) @ d),
        ),
        Mistake("dk with dS instead of dSᵀ", "dK = dSᵀ Q.", lambda d, q, k, v: untransposed(d, q, k, v)),
        Mistake(
            "dq and dk are exchanged",
            "dQ = dS K, dK = dSᵀ Q.",
            lambda d, q, k, v: tuple(right.attention_backward(d, q, k, v)[i] for i in (1, 0, 2)),
        ),
    ),
}

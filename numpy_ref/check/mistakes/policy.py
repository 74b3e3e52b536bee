"""Known mistakes in DPO's and IPO's losses, which train a policy on preferences, and in the leave-one-out advantage.

Each row: the mistake's name, a hint, and the wrong code. It has the published signature, even if it ignores some
arguments.
"""
# ruff: noqa: ARG005

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import both, sigmoid

_BATCH = "The loss is a mean over the pairs: divide its gradients by B."
_REFERENCE = "Subtract log π_ref from log π for each response: only the ratio counts."


def ratio(c, r, cr, rr):
    """h = log π/π_ref (chosen) - log π/π_ref (rejected): how far the policy has moved towards chosen"""
    return (c - cr) - (r - rr)


def slope(h, beta):
    """DPO's derivative in log π(chosen), for the h of each pair"""
    return -beta * sigmoid(-beta * h) / len(h)


MISTAKES = {
    "dpo_loss_backward": (
        Mistake(
            "β is left out of the slope",
            "Chain rule: the margin is β h, and its derivative in log π(chosen) is β.",
            lambda c, r, cr, rr, b: both(slope(ratio(c, r, cr, rr), b) / b),
        ),
        Mistake(
            "β is left out of the margin",
            "The sigmoid takes β h, not h.",
            lambda c, r, cr, rr, b: both(b * slope(ratio(c, r, cr, rr), 1.0)),
        ),
        Mistake(
            "β is squared",
            "The chain rule gives one factor β; inside the sigmoid β is part of the margin.",
            lambda c, r, cr, rr, b: both(b * slope(ratio(c, r, cr, rr), b)),
        ),
        Mistake(
            "the reference is left out",
            _REFERENCE,
            lambda c, r, cr, rr, b: both(slope(c - r, b)),
        ),
        Mistake(
            "the reference is added",
            _REFERENCE,
            lambda c, r, cr, rr, b: both(slope((c + cr) - (r + rr), b)),
        ),
        Mistake(
            "the minus sign is lost",
            "The gradient for chosen is β (σ(m) - 1) / B: it is never positive.",
            lambda c, r, cr, rr, b: both(-slope(ratio(c, r, cr, rr), b)),
        ),
        Mistake(
            "σ(m) in place of σ(m) - 1",
            "The derivative of -log σ(m) is σ(m) - 1.",
            lambda c, r, cr, rr, b: both(-b * sigmoid(b * ratio(c, r, cr, rr)) / len(c)),
        ),
        Mistake(
            "both slopes have one sign",
            "rejected has a minus sign in the margin: drejected = -dchosen.",
            lambda c, r, cr, rr, b: (slope(ratio(c, r, cr, rr), b),) * 2,
        ),
        Mistake(
            "the mean over the batch is missing",
            _BATCH,
            lambda c, r, cr, rr, b: both(len(c) * slope(ratio(c, r, cr, rr), b)),
        ),
        Mistake(
            "the literal σ(m) - 1",
            "σ(m) - 1 is exactly 0 from m = 36.74 on: write -σ(-m).",
            lambda c, r, cr, rr, b: both(b * (sigmoid(b * ratio(c, r, cr, rr)) - 1) / len(c)),
        ),
    ),
    "ipo_loss": (
        Mistake(
            "the target is 1 / β",
            "The target of h is 1 / (2β), half of 1 / β.",
            lambda c, r, cr, rr, b: np.mean((ratio(c, r, cr, rr) - 1 / b) ** 2),
        ),
        Mistake(
            "the target is β / 2",
            "The target is 1 / (2β): a small β holds the policy back less, so its target is larger.",
            lambda c, r, cr, rr, b: np.mean((ratio(c, r, cr, rr) - b / 2) ** 2),
        ),
        Mistake(
            "β multiplies the log-ratio",
            "In IPO β occurs only in the target.",
            lambda c, r, cr, rr, b: np.mean((b * ratio(c, r, cr, rr) - 1 / (2 * b)) ** 2),
        ),
        Mistake(
            "the reference is left out",
            _REFERENCE,
            lambda c, r, cr, rr, b: np.mean((c - r - 1 / (2 * b)) ** 2),
        ),
        Mistake(
            "the target is added",
            "Square the distance from the target, h - 1 / (2β).",
            lambda c, r, cr, rr, b: np.mean((ratio(c, r, cr, rr) + 1 / (2 * b)) ** 2),
        ),
        Mistake(
            "a sum, not a mean",
            "Divide by the number of pairs.",
            lambda c, r, cr, rr, b: len(c) * right.ipo_loss(c, r, cr, rr, b),
        ),
        Mistake(
            "the square of the mean",
            "Square the distance of each pair; take the mean last.",
            lambda c, r, cr, rr, b: np.mean(ratio(c, r, cr, rr) - 1 / (2 * b)) ** 2,
        ),
        Mistake(
            "the square is missing",
            "The loss is the square of the distance from the target.",
            lambda c, r, cr, rr, b: np.mean(ratio(c, r, cr, rr) - 1 / (2 * b)),
        ),
    ),
    "ipo_loss_backward": (
        Mistake(
            "the 2 of the square is missing",
            "The derivative of x² is 2x.",
            lambda c, r, cr, rr, b: tuple(g / 2 for g in right.ipo_loss_backward(c, r, cr, rr, b)),
        ),
        Mistake(
            "the mean over the batch is missing",
            _BATCH,
            lambda c, r, cr, rr, b: tuple(len(c) * g for g in right.ipo_loss_backward(c, r, cr, rr, b)),
        ),
        Mistake(
            "the minus sign is lost",
            "Below the target the gradient for chosen is negative: descent raises log π(chosen).",
            lambda c, r, cr, rr, b: tuple(-g for g in right.ipo_loss_backward(c, r, cr, rr, b)),
        ),
        Mistake(
            "both slopes have one sign",
            "rejected has a minus sign in h: drejected = -dchosen.",
            lambda c, r, cr, rr, b: (right.ipo_loss_backward(c, r, cr, rr, b)[0],) * 2,
        ),
        Mistake(
            "the reference is left out",
            _REFERENCE,
            lambda c, r, cr, rr, b: right.ipo_loss_backward(c, r, 0, 0, b),
        ),
        Mistake(
            "the target is 1 / β",
            "The target of h is 1 / (2β), half of 1 / β.",
            lambda c, r, cr, rr, b: right.ipo_loss_backward(c, r, cr, rr, b / 2),
        ),
        Mistake(
            "DPO's gradient",
            "IPO's gradient grows with the distance from the target; DPO's never exceeds β.",
            lambda c, r, cr, rr, b: right.dpo_loss_backward(c, r, cr, rr, b),
        ),
        Mistake(
            "the slope stops at the target",
            "Beyond the target the square pulls back: there is no hinge.",
            lambda c, r, cr, rr, b: both(2 * np.minimum(ratio(c, r, cr, rr) - 1 / (2 * b), 0) / len(c)),
        ),
    ),
    "leave_one_out_advantage": (
        Mistake(
            "the mean of all",
            "Leave the response's own reward out of the mean.",
            lambda r: r - r.mean(1, keepdims=True),
        ),
        Mistake(
            "GRPO's advantage",
            "This is GRPO's: here subtract the mean of the others and divide by nothing.",
            lambda r: np.nan_to_num((r - r.mean(1, keepdims=True)) / r.std(1, keepdims=True)),
        ),
        Mistake(
            "the others' sum is divided by G",
            "Divide by the number of the others, G - 1.",
            lambda r: r - (r.sum(1, keepdims=True) - r) / r.shape[1],
        ),
        Mistake(
            "the others' sum, not their mean",
            "Divide the sum of the others by their number.",
            lambda r: r - (r.sum(1, keepdims=True) - r),
        ),
        Mistake(
            "the others of all prompts",
            "Each prompt has its own baseline: take the mean along the last axis.",
            lambda r: r - (r.sum() - r) / (r.size - 1),
        ),
        Mistake(
            "the minus sign is lost",
            "A response better than the others has a positive advantage.",
            lambda r: -right.leave_one_out_advantage(r),
        ),
        Mistake(
            "the best of the others",
            "The baseline is the others' mean, not their maximum.",
            lambda r: r - np.stack([np.delete(r, g, 1).max(1) for g in range(r.shape[1])], 1),
        ),
    ),
}

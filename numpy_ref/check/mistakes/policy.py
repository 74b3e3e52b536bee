"""Known mistakes in the losses that train a policy on preferences, DPO's and IPO's, and in an advantage.

Each row: name, hint, and the mistake as code with the published signature, which takes what it does not use.
"""
# ruff: noqa: ARG005

import numpy as np

from .. import oracles as right
from ..functions import Mistake
from ..oracles import both, sigmoid

_BATCH = "The loss is a mean over the pairs: its slopes are divided by B."
_REFERENCE = "Subtract log π_ref from log π, for each response: only the ratio counts."


def ratio(c, r, cr, rr):
    """h, by how much the policy has moved towards chosen"""
    return (c - cr) - (r - rr)


def slope(h, beta):
    """DPO's along log π(chosen) for log-ratios h"""
    return -beta * sigmoid(-beta * h) / len(h)


MISTAKES = {
    "dpo_loss_backward": (
        Mistake(
            "β is left out of the slope",
            "The chain rule: the margin is β h, and its derivative along log π(chosen) is β.",
            lambda c, r, cr, rr, b: both(slope(ratio(c, r, cr, rr), b) / b),
        ),
        Mistake(
            "β is left out of the margin",
            "The sigmoid takes β h, not h.",
            lambda c, r, cr, rr, b: both(b * slope(ratio(c, r, cr, rr), 1.0)),
        ),
        Mistake(
            "β is squared",
            "β enters the slope once by the chain rule; inside the sigmoid it is part of the margin.",
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
            "The slope along log π(chosen) is σ(m) - 1, times β: never positive.",
            lambda c, r, cr, rr, b: both(-slope(ratio(c, r, cr, rr), b)),
        ),
        Mistake(
            "σ(m) in place of σ(m) - 1",
            "The derivative of -log σ(m) is σ(m) - 1.",
            lambda c, r, cr, rr, b: both(-b * sigmoid(b * ratio(c, r, cr, rr)) / len(c)),
        ),
        Mistake(
            "both slopes have one sign",
            "What makes chosen more likely makes rejected less likely.",
            lambda c, r, cr, rr, b: (slope(ratio(c, r, cr, rr), b),) * 2,
        ),
        Mistake(
            "the mean over the batch is missing",
            _BATCH,
            lambda c, r, cr, rr, b: both(len(c) * slope(ratio(c, r, cr, rr), b)),
        ),
        Mistake(
            "the literal σ(m) - 1",
            "It is exactly 0 from 36.74 on: write -σ(-m).",
            lambda c, r, cr, rr, b: both(b * (sigmoid(b * ratio(c, r, cr, rr)) - 1) / len(c)),
        ),
    ),
    "ipo_loss": (
        Mistake(
            "the target is 1 / β",
            "The target of h is 1 / (2β): half of it.",
            lambda c, r, cr, rr, b: np.mean((ratio(c, r, cr, rr) - 1 / b) ** 2),
        ),
        Mistake(
            "the target is β / 2",
            "1 / (2β) is large where β is small: little is held back.",
            lambda c, r, cr, rr, b: np.mean((ratio(c, r, cr, rr) - b / 2) ** 2),
        ),
        Mistake(
            "β multiplies the log-ratio",
            "In IPO β stands in the target alone.",
            lambda c, r, cr, rr, b: np.mean((b * ratio(c, r, cr, rr) - 1 / (2 * b)) ** 2),
        ),
        Mistake(
            "the reference is left out",
            _REFERENCE,
            lambda c, r, cr, rr, b: np.mean((c - r - 1 / (2 * b)) ** 2),
        ),
        Mistake(
            "the target is added",
            "The square is of the distance from the target: h - 1 / (2β).",
            lambda c, r, cr, rr, b: np.mean((ratio(c, r, cr, rr) + 1 / (2 * b)) ** 2),
        ),
        Mistake(
            "a sum, not a mean",
            "Divide by the number of pairs.",
            lambda c, r, cr, rr, b: len(c) * right.ipo_loss(c, r, cr, rr, b),
        ),
        Mistake(
            "the square of the mean",
            "Each pair has its own square; the mean comes last.",
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
            "Below the target the slope along log π(chosen) is negative: descent raises it.",
            lambda c, r, cr, rr, b: tuple(-g for g in right.ipo_loss_backward(c, r, cr, rr, b)),
        ),
        Mistake(
            "both slopes have one sign",
            "h holds rejected with a minus.",
            lambda c, r, cr, rr, b: (right.ipo_loss_backward(c, r, cr, rr, b)[0],) * 2,
        ),
        Mistake(
            "the reference is left out",
            _REFERENCE,
            lambda c, r, cr, rr, b: right.ipo_loss_backward(c, r, 0, 0, b),
        ),
        Mistake(
            "the target is 1 / β",
            "The target of h is 1 / (2β): half of it.",
            lambda c, r, cr, rr, b: right.ipo_loss_backward(c, r, cr, rr, b / 2),
        ),
        Mistake(
            "DPO's gradient",
            "IPO's slope grows with the distance from the target; DPO's never exceeds β.",
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
            "The response's own reward is not among those it is compared with.",
            lambda r: r - r.mean(1, keepdims=True),
        ),
        Mistake(
            "GRPO's advantage",
            "Nothing is divided by the deviation.",
            lambda r: np.nan_to_num((r - r.mean(1, keepdims=True)) / r.std(1, keepdims=True)),
        ),
        Mistake(
            "the others' sum is divided by G",
            "There are G - 1 others.",
            lambda r: r - (r.sum(1, keepdims=True) - r) / r.shape[1],
        ),
        Mistake(
            "the others' sum, not their mean",
            "Divide the sum of the others by their number.",
            lambda r: r - (r.sum(1, keepdims=True) - r),
        ),
        Mistake(
            "the others of all prompts",
            "Each prompt has a baseline of its own: the mean runs along the last axis.",
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

"""Limits that the labels set: agreement of repeated labels, the best reachable scores, the longer-wins baseline.

Assumption: the labels of a pair are independent draws of "the first is better" with the pair's own probability p. p is
unknown, but two labels of a pair differ with probability d = 2 p (1 - p), so its mean over pairs can be estimated.
"""

import math
from typing import NamedTuple

import numpy as np

from ..evaluation.agreement import krippendorff_alpha
from ..evaluation.intervals import wilson

CELLS = 4_000_000  # of alpha's table; if more are needed, pairs with many labels are thinned out in proportion


class Ceiling(NamedTuple):
    """Estimates from repeated labels; a tuple holds a lower and an upper bound"""

    pairs: int  # with two labels or more
    labels: int  # of these pairs
    agreement: float  # the share of two labels of one pair that are the same
    alpha: float  # Krippendorff's, 0 is chance
    brier: float  # estimate of E[p (1 - p)]
    brier_interval: tuple
    accuracy: tuple  # bounds of E[max(p, 1 - p)]
    accuracy_interval: tuple  # the same from the ends of the interval
    loss: tuple  # bounds of E[H(p)], in nats


def ceiling(n, wins) -> Ceiling | None:
    """The best reachable scores on pairs with n labels, `wins` of them for the same side        (P,), (P,)

    None if no pair has two labels: then the labels do not show their own noise.

    d̂ = 2 k (n - k) / (n (n - 1)) is the share of two labels that differ; its mean D over pairs is an unbiased estimate
    of E[2 p (1 - p)], so D / 2 is an unbiased estimate of the Brier
    score's floor.
    D does not determine the accuracy's ceiling E[max(p, 1 - p)] = 1 - E[q], q = min(p, 1 - p) = (1 - √(1 - 2 d)) / 2.
    q is convex in d with q(0) = 0 and q(1/2) = 1/2. Jensen: E[q] ≥ q(D). The chord: E[q] ≤ D. Hence
        1 - D  ≤  ceiling  ≤  (1 + √(1 - 2 D)) / 2
    with equality on the left where each p is 0, 1/2 or 1, on the right where all q are the same.
    The log loss' floor E[H(p)]: H is concave in d, as dH/dd = artanh(t) / t with t = √(1 - 2 d) shrinks with d; hence
        2 ln 2 · D  ≤  floor  ≤  H(q(D)).
    The bounds hold for the expectation D; the interval adds that D itself is an estimate.
    """
    n, wins = n[n >= 2].astype(float), wins[n >= 2].astype(float)
    if not len(n):
        return None
    differing = 2 * wins * (n - wins) / (n * (n - 1))
    d = float(differing.mean())
    low, high = wilson(d * len(n), len(n))
    return Ceiling(
        pairs=len(n),
        labels=int(n.sum()),
        agreement=1 - d,
        alpha=krippendorff_alpha(ratings(n, wins)),
        brier=d / 2,
        brier_interval=(low / 2, min(high, 0.5) / 2),
        accuracy=accuracy_bounds(d, d),
        accuracy_interval=accuracy_bounds(low, high),
        loss=loss_bounds(d),
    )


def accuracy_bounds(low, high):
    """1 - D at the high end and (1 + √(1 - 2 D)) / 2 at the low end; a D above 1/2 counts as 1/2, which is chance"""
    return 1 - min(high, 0.5), 1 - minority(low)


def loss_bounds(d):
    """2 ln 2 · D and H(q(D)), in nats; both are ln 2 if D is 1/2 or more"""
    return 2 * math.log(2) * min(d, 0.5), binary_entropy(minority(d))


def minority(d):
    """q = (1 - √(1 - 2 d)) / 2, the probability of the rarer label, solves d = 2 q (1 - q); 1/2 if d is above 1/2"""
    return (1 - math.sqrt(max(1 - 2 * d, 0.0))) / 2


def binary_entropy(p):
    """H(p) = -p ln p - (1 - p) ln(1 - p), in nats"""
    return -sum(x * math.log(x) for x in (p, 1 - p) if x > 0)


def ratings(n, wins):
    """Labels 1 and 0 of each pair and of its mirror image        (P,), (P,) -> (labels, 2 P), padded with NaN

    The order of the two sides is arbitrary. With both orders the expected agreement by chance is one half.
    """
    share = max(2, CELLS // (2 * len(n)))
    scale = np.minimum(1, share / n)
    n, wins = np.round(n * scale), np.round(wins * scale)
    place = np.arange(n.max())[:, None]
    labels = np.where(place < n, (place < wins) * 1.0, np.nan)
    return np.hstack([labels, 1 - labels])


def longer_wins(chosen, rejected):
    """(how often the longer answer was chosen, equal lengths one half; its Wilson interval; ties)        (C,), (C,)

    The interval assumes independent comparisons. Those of one list are not independent, so it is then too short.
    """
    wins = (chosen > rejected).sum() + 0.5 * (chosen == rejected).sum()
    return wins / len(chosen), wilson(wins, len(chosen)), int((chosen == rejected).sum())

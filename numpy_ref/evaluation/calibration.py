"""Are the probabilities right? Of the pairs that a model predicts with 80 %, it should get four in five right.

The order of the two responses is arbitrary, and in a preference file the first one has always won: a curve of "the
first won" over σ(margin) would be 1 everywhere. So each pair is counted once, from the side that the model predicts:
confidence σ(|m|) in [½, 1] against whether that side won. Counting every pair from both sides would only add the mirror
image of this curve in (½, ½). A margin of 0 predicts neither side and counts as ½ against ½.

All pairs are treated as independent. There is no torch twin, because the only gradient here is that of the
temperature, a single number.
"""

from typing import NamedTuple

import numpy as np

from ..cli.text import counted
from ..errors import InputError
from ..losses import log_sigmoid, sigmoid, sigmoid_derivative


def folded(margin, first_won=1.0):
    """confidence = σ(|m|),  right = [the predicted side won], ½ where m = 0        (N,) -> (N,), (N,)

    first_won   1 or 0, or its probability: (N,), or 1 as in a preference file, where chosen stands first
    """
    lead = (2 * np.asarray(first_won) - 1) * np.sign(margin)
    return sigmoid(abs(margin)), (1 + lead) / 2


class Curve(NamedTuple):
    """A reliability curve: number of pairs, mean confidence, and share of right predictions of each non-empty bin

    Sources: DeGroot & Fienberg 1983; Niculescu-Mizil & Caruana 2005.
    """

    pairs: np.ndarray
    confidence: np.ndarray
    right: np.ndarray


def places(confidence, bins=10, equal_mass=True):
    """The bin of each pair, from 0: bins with equally many pairs, or of equal width in [½, 1]        (N,) -> (N,)

    Pairs of equal confidence share a bin, so their order does not matter; bins may be uneven or empty.
    """
    n = len(confidence)
    inner = np.arange(1, bins)
    borders = np.sort(confidence)[inner * n // bins] if equal_mass else (1 + inner / bins) / 2
    return np.searchsorted(borders, confidence, side="right")


def reliability_curve(confidence, right, bins=10, equal_mass=True):
    """Mean confidence against the share of right predictions, bin by bin        (N,), (N,) -> Curve"""
    check(confidence, right)
    place = places(confidence, bins, equal_mass)
    count, said, was = (np.bincount(place, x, bins) for x in (np.ones(len(place)), confidence, right))
    there = count > 0
    return Curve(count[there].astype(int), said[there] / count[there], was[there] / count[there])


def ece(curve):
    """Σ_b n_b / N |right_b - confidence_b|, the expected calibration error        Source: Naeini et al. 2015

    It is biased upwards: the noise of a bin's labels counts as an error. Read it beside ece_if_calibrated.
    """
    return float(curve.pairs @ abs(curve.right - curve.confidence) / curve.pairs.sum())


def ece_if_calibrated(confidence, rng, bins=10, equal_mass=True, draws=1000):
    """Mean and 95 % quantile of the ECE if every confidence were the true probability; they are not 0

    The labels are drawn `draws` times with P(right) = confidence. An ECE above the quantile is unlikely to be chance.
    Sources: Bröcker & Smith 2007 (such draws); Roelofs et al. 2022, arXiv:2012.08668 (how large the bias is).
    """
    place, n = places(confidence, bins, equal_mass), len(confidence)
    said, found = np.bincount(place, confidence, bins), np.empty(draws)
    for i in range(draws):
        right = np.where(confidence == 0.5, 0.5, rng.random(n) < confidence)
        found[i] = abs(np.bincount(place, right, bins) - said).sum() / n
    return float(found.mean()), float(np.quantile(found, 0.95))


def squared_calibration_error(confidence, right, bins=10, equal_mass=True):
    """Σ_b n_b / N mean_{i ≠ j in b} d_i d_j,  d = right - confidence        (N,), (N,) -> (), without bias

    The square of a bin's mean d contains every d_i², which is positive even for a calibrated model. Without these terms
    the expectation is (right_b - confidence_b)², which is 0 for a calibrated model, so the estimate is sometimes
    negative. A bin with a single pair counts 0.
    Source: the debiased estimator of Kumar, Liang & Ma 2019, arXiv:1909.10155, here for confidences that differ within
    a bin.
    """
    check(confidence, right)
    place, d = places(confidence, bins, equal_mass), np.asarray(right) - confidence
    count, total, squares = (np.bincount(place, x, bins) for x in (np.ones(len(place)), d, d * d))
    several = count > 1
    count, total, squares = count[several], total[several], squares[several]
    return float(((total * total - squares) / (count - 1)).sum() / len(d))


def brier_parts(curve):
    """reliability - resolution + uncertainty = the Brier score of the bins' mean confidences        Murphy 1973

    reliability Σ w (c - a)² is the cost of wrong probabilities, resolution Σ w (a - ā)² is the gain from telling sure
    pairs from unsure ones, and uncertainty ā (1 - ā) does not depend on the bins. w = n_b / N, c and a are the bin's
    confidence and accuracy, and ā is the mean of a.
    """
    weight = curve.pairs / curve.pairs.sum()
    overall = weight @ curve.right
    reliability = weight @ (curve.confidence - curve.right) ** 2
    resolution = weight @ (curve.right - overall) ** 2
    return float(reliability), float(resolution), float(overall * (1 - overall))


def check(confidence, right):
    """InputError if there are no pairs, or if the numbers of confidences and labels differ"""
    if np.ndim(confidence) != 1 or np.shape(confidence) != np.shape(right) or not len(confidence):
        raise InputError(f"confidence {np.shape(confidence)} and right {np.shape(right)}: one length expected, not 0")


# The temperature is one number T for all margins: P = σ(m / T)


class Temperature(NamedTuple):
    """T and its certificate: the loss falls below `low` and rises above `high`, so its only minimum lies between"""

    temperature: float
    low: float
    high: float
    steps: int


def temperature_loss(beta, margin):
    """f(β) = mean[-log σ(β m)],  f' = -mean[m σ(-β m)],  f'' = mean[m² σ'(β m)] ≥ 0        (), (N,) -> (), (), ()

    The loss is convex in β = 1 / T, but not in T.
    """
    x = beta * margin
    slope = -(margin * sigmoid(-x)).mean()
    return -log_sigmoid(x).mean(), slope, (margin * margin * sigmoid_derivative(x)).mean()


def fit_temperature(margin):
    """T > 0 with the least mean[-log σ(m / T)], by Newton's method on β = 1 / T        (N,) -> Temperature

    margin      reward of the chosen minus reward of the rejected response, on pairs that the model was not trained on
    f' increases, so the method keeps a bracket around its zero and replaces a Newton step that leaves it by the
    midpoint. InputError if no finite T > 0 is the best: if no margin is negative, the loss falls all the way to T → 0;
    if the mean margin is not positive, T = ∞, an even guess, is better than the model.

    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2, for two classes.
    """
    scale = check_margins(np.asarray(margin, float))
    m, steps = margin / scale, 0
    low, high = 0.0, 1.0
    while temperature_loss(high, m)[1] < 0:
        low, high = high, 2 * high
    beta, moved = (low + high) / 2, np.inf
    while moved > 1e-9 * beta and steps < 100:
        _, slope, curvature = temperature_loss(beta, m)
        low, high = (beta, high) if slope < 0 else (low, beta)
        newton = beta - slope / curvature if curvature else np.inf
        to = newton if low < newton < high else (low + high) / 2
        beta, moved, steps = to, abs(to - beta), steps + 1
    return certified(beta, m, scale, steps)


def certified(beta, margin, scale, steps, width=1e-6):
    """The Temperature, after a check that the slope changes its sign within a millionth of β"""
    low, high = beta * (1 - width), beta * (1 + width)
    if not temperature_loss(low, margin)[1] < 0 < temperature_loss(high, margin)[1]:
        raise InputError(
            "no temperature found: the loss is flat in float64 around its minimum; the margins differ too much"
        )
    return Temperature(float(scale / beta), float(scale / high), float(scale / low), steps)


def check_margins(margin):
    """The largest |m|; InputError if no finite T > 0 is the best"""
    if margin.ndim != 1 or not len(margin) or not np.isfinite(margin).all():
        raise InputError(f"margins of shape {margin.shape}: expected (N,) finite numbers, at least one")
    if not (margin < 0).any():
        what = "every margin is 0" if not margin.any() else f"none of {counted(len(margin), 'pair')} is ranked wrong"
        raise InputError(f"no temperature is the best: {what}, so the loss has no minimum: fit on more held-out pairs")
    scale = abs(margin).max()
    if (margin / scale).mean() <= 0:
        raise InputError(
            f"no temperature is the best: the mean margin is {scale * (margin / scale).mean():.3g}, so an even guess "
            "beats the model at any: it does not rank these pairs"
        )
    return scale

"""Ties: two ways to give "neither is better" a probability of its own.

A pair with reward difference d = r_first - r_second has three outcomes, in this order: first wins, tie, second wins.

    Rao-Kupper   P(first) = σ(d - η),  P(second) = σ(-d - η),  P(tie) = the rest;      θ = e^η ≥ 1, no tie at θ = 1
    Davidson     P = e^{d/2} / Z,  ν / Z,  e^{-d/2} / Z;                               ν ≥ 0, no tie at ν = 0

Rao-Kupper's judge sees no difference smaller than the threshold η; Davidson's tie is a third item whose worth is ν
times the geometric mean of the two. Without ties both are Bradley-Terry. Both tie parameters live on the log scale,
η = log θ and log ν: there both log-likelihoods are concave in (d, tie parameter) together, which Newton's method needs.

log ν may be any number. log θ must not be negative, so an optimiser without constraints learns `raw` instead, with
log θ = log(1 + e^raw), that is θ - 1 = e^raw (rao_kupper_threshold).

Sources: Rao & Kupper 1967, J. Am. Stat. Assoc. 62, 194-204; Davidson 1970, J. Am. Stat. Assoc. 65, 317-328.
"""

import math

import numpy as np

from .errors import InputError
from .losses import log_sigmoid, sigmoid


def rao_kupper_threshold(raw):
    """log θ = log(1 + e^raw)        () -> ()

    The log-likelihood of a tie tends to -inf as θ falls to 1. Its slope there is 1 in `raw` but infinite in log θ.
    """
    return -log_sigmoid(-raw), raw


def rao_kupper_threshold_backward(dout, cache):
    """d log θ / d raw = σ(raw)"""
    return dout * sigmoid(cache)


def log_one_minus_exp(x):
    """log(1 - e⁻ˣ), x ≥ 0        (...) -> (...)

    Each formula is used where it is accurate; -inf at 0.
    """
    with np.errstate(divide="ignore"):
        return np.where(x < math.log(2), np.log(-np.expm1(-x)), np.log1p(-np.exp(-x)))


def rao_kupper(d, log_theta):
    """log P = log σ(d - η),  log(1 - e^{-2η}) + log σ(η - d) + log σ(η + d),  log σ(-d - η)        (...) -> (..., 3)

    η = log_theta ≥ 0, a number. The tie is the paper's (θ² - 1) P(first) P(second), with θ² distributed over the
    factors so that all terms have one sign; adding 2η and subtracting η twice would cancel for a likely tie.
    """
    if log_theta < 0:
        raise InputError(
            f"log θ is {log_theta:g}, expected at least 0; learn the `raw` of rao_kupper_threshold instead"
        )
    log_theta = np.asarray(log_theta, np.result_type(d, 1.0))
    first, second = log_sigmoid(d - log_theta), log_sigmoid(-d - log_theta)
    tie = log_one_minus_exp(2 * log_theta) + (log_sigmoid(log_theta - d) + log_sigmoid(log_theta + d))
    return np.stack([first, tie, second], -1), (d, log_theta)


def rao_kupper_backward(dout, cache):
    """dd = dfirst σ(η - d) - dsecond σ(η + d) + dtie (P(second) - P(first))

    dη = Σ [ -dfirst σ(η - d) - dsecond σ(η + d) + dtie (P(first) + P(second) + 2 / (θ² - 1)) ]
    Without ties (dtie = 0) the last term is 0 even at θ = 1, where its slope is infinite.
    """
    d, log_theta = cache
    dfirst, dtie, dsecond = np.moveaxis(dout, -1, 0)
    first, second = sigmoid(d - log_theta), sigmoid(-d - log_theta)
    from_first, from_second = dfirst * sigmoid(log_theta - d), dsecond * sigmoid(log_theta + d)
    dlog_theta = (dtie * (first + second) - from_first - from_second).sum()
    if dtie.any():
        with np.errstate(divide="ignore"):
            dlog_theta = dlog_theta - dtie.sum() * (2 * np.exp(-2 * log_theta) / np.expm1(-2 * log_theta))
    return from_first - from_second + dtie * (second - first), dlog_theta


def rao_kupper_hessian(dout, cache):
    """Second derivatives of Σ dout log P: in d (...), in d and η (...), in η ()

    With w = P (1 - P) of first and of second, a = (dfirst + dtie) w_first, b = (dsecond + dtie) w_second:
    dd = -(a + b),  dη = a - b,  ηη = -Σ (a + b) - Σ dtie / sinh²(η)
    """
    d, log_theta = cache
    dfirst, dtie, dsecond = np.moveaxis(dout, -1, 0)
    a = (dfirst + dtie) * sigmoid(d - log_theta) * sigmoid(log_theta - d)
    b = (dsecond + dtie) * sigmoid(-d - log_theta) * sigmoid(log_theta + d)
    curvature = -(a + b).sum()
    if dtie.any():
        curvature = curvature - dtie.sum() * 4 * np.exp(-2 * log_theta) / np.expm1(-2 * log_theta) ** 2
    return -(a + b), a - b, curvature


def davidson(d, log_nu):
    """log P = log(e^{d/2} / Z), log(ν / Z), log(e^{-d/2} / Z),  Z = e^{d/2} + ν + e^{-d/2}        (...) -> (..., 3)

    log_nu is a number, -inf for no ties. Each term is log σ(log-odds of that outcome), which stays accurate when the
    outcome is nearly certain; the odds of first against the rest are 1 / (e⁻ᵈ + ν e^{-d/2}).
    """
    log_nu = np.asarray(log_nu, np.result_type(d, 1.0))
    first = log_sigmoid(-np.logaddexp(-d, log_nu - d / 2))
    tie = log_sigmoid(log_nu - np.logaddexp(d / 2, -d / 2))
    second = log_sigmoid(-np.logaddexp(d, log_nu + d / 2))
    log_p = np.stack([first, tie, second], -1)  # (..., 3)
    return log_p, log_p


def davidson_backward(dout, log_p):
    """dd = dfirst (P(second) + P(tie)/2) - dsecond (P(first) + P(tie)/2) + dtie (P(second) - P(first))/2

    d log ν = Σ [ dtie (P(first) + P(second)) - (dfirst + dsecond) P(tie) ]
    """
    dfirst, dtie, dsecond = np.moveaxis(dout, -1, 0)
    first, tie, second = np.moveaxis(np.exp(log_p), -1, 0)
    dd = dfirst * (second + tie / 2) - dsecond * (first + tie / 2) + dtie * (second - first) / 2
    return dd, (dtie * (first + second) - (dfirst + dsecond) * tie).sum()


def davidson_hessian(dout, log_p):
    """Second derivatives of Σ dout log P: in d (...), in d and log ν (...), in log ν ();  n = Σ dout of a pair

    dd = -n (P₁ P₂ + P_tie (P₁ + P₂)/4),  d log ν = n P_tie (P₁ - P₂)/2,  log ν twice = -Σ n P_tie (P₁ + P₂):
    in an exponential family the curvature does not depend on the outcome.
    """
    n = dout.sum(-1)
    first, tie, second = np.moveaxis(np.exp(log_p), -1, 0)
    decided = first + second
    return (
        -n * (first * second + tie * decided / 4),
        n * tie * (first - second) / 2,
        -(n * tie * decided).sum(),
    )

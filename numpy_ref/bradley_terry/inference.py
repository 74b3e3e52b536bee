"""How sure is a fit? Standard errors, Wald intervals, the bootstrap.

var(c'λ) = c' A⁻¹ c for a contrast c, Σ c = 0, where A = -H is the information at the maximum. A contrast compares
strengths: one item with another, or one item with the mean. A common shift of all strengths is no contrast and has no
variance. With a ridge, A includes the prior, and the errors are those of the normal approximation to the posterior.
"""

import math
from functools import partial
from statistics import NormalDist

import numpy as np

from ..errors import InputError
from .newton import conjugate_gradients
from .strengths import DENSE_ITEMS, fit, information, penalised
from .win_counts import blocks, pairs_of_rows, without_shift


def parameters(fitted):
    """(λ, h, tie parameter), those that the fit has        -> (N + extra,)"""
    if not fitted.converged:
        raise InputError(f"{fitted.problem}; there is no standard error of what has no estimate")
    return np.concatenate([fitted.strength, [e for e in (fitted.home, fitted.tie) if e is not None]])


def covariance(fitted):
    """C with var(c'x) = c' C c for every contrast c of x = (λ, h, tie parameter)        -> (N + extra, N + extra)

    C = (A + s 1 1')⁻¹, with 1 over the strengths. The added term makes A invertible and changes no contrast.
    """
    n, x = fitted.pairs.n_items, parameters(fitted)
    if n > DENSE_ITEMS:
        raise InputError(
            f"the covariance of {n} items is an array of {n} x {n} numbers, expected at most {DENSE_ITEMS} items; "
            "ask for single contrasts (contrast), each by a solve"
        )
    a = information(x, fitted.rows, fitted.home is not None, fitted.model)
    a[:n, :n] += fitted.ridge * np.eye(n) + np.trace(a[:n, :n]) / (n * n)
    return np.linalg.inv(a)


def contrast_errors(covariance, n, reference=None):
    """√ var(λ_i - λ_reference) of the n strengths, then of the effects, from `covariance`        -> (N + extra,)

    reference       an item, whose own error is then 0; None: the mean of all items
    """
    c = covariance.copy()
    c[:n] -= c[:n].mean(0) if reference is None else c[reference].copy()
    c[:, :n] -= (c[:, :n].mean(1) if reference is None else c[:, reference].copy())[:, None]
    return np.sqrt(np.maximum(np.diag(c), 0))


def standard_errors(fitted, reference=None):
    """contrast_errors of a fit: its strengths, then h and the tie parameter        -> (N + extra,)"""
    return contrast_errors(covariance(fitted), fitted.pairs.n_items, reference)


def solver(fitted):
    """c -> A⁻¹ c for contrasts c, by conjugate gradients on the rows: no square array"""
    x, n = parameters(fitted), fitted.pairs.n_items
    here = penalised(x, list(blocks(fitted.rows)), fitted.home is not None, fitted.model, fitted.ridge)
    project = partial(without_shift, n)
    return lambda c: conjugate_gradients(here.multiply, lambda r: r / here.diagonal, c, 1e-12, project)


def contrast(fitted, weights, level=0.95):
    """c'x, its standard error √(c' A⁻¹ c), and the Wald interval, by one solve

    weights     (N,) or (N + extra,) numbers; those of the strengths must add up to 0
    """
    x, n = parameters(fitted), fitted.pairs.n_items
    c = np.zeros(len(x))
    c[: len(weights)] = weights
    if abs(c[:n].sum()) > 1e-9 * abs(c[:n]).sum():
        raise InputError(f"the weights of a contrast add up to {c[:n].sum():g}, expected 0: only differences are known")
    estimate, error = float(c @ x), math.sqrt(c @ solver(fitted)(c))
    return estimate, error, *wald(estimate, error, level)


def errors_by_solves(fitted, reference=None, progress=iter):
    """standard_errors for tables of any size: one solve for each item        -> (N + extra,)"""
    size, n, solve = len(parameters(fitted)), fitted.pairs.n_items, solver(fitted)
    errors = np.zeros(size)
    for i in progress(range(size)):
        c = np.zeros(size)
        c[i] = 1
        if i < n and reference is None:
            c[:n] -= 1 / n
        elif i < n:
            c[reference] -= 1
        errors[i] = math.sqrt(c @ solve(c)) if c.any() else 0
    return errors


def wald(estimate, error, level=0.95):
    """estimate ± z error,  z the normal quantile of (1 + level) / 2"""
    if not (isinstance(level, float) and 0 < level < 1):
        raise InputError(f"level={level!r}: expected a number between 0 and 1, as 0.95")
    z = NormalDist().inv_cdf((1 + level) / 2)
    return estimate - z * error, estimate + z * error


def bootstrap(fitted, rng, resamples=1000, progress=iter):
    """Fits games resampled with replacement -> strengths (R, N) of the resamples with an estimate, how many had none

    A resample in which an item never loses has no estimate. Such resamples are counted and left out. If there are many
    of them, an interval from the others is biased.
    """
    pairs = fitted.pairs
    counts = np.stack([pairs.wins, pairs.ties, pairs.losses])  # (3, M)
    if (counts != np.round(counts)).any():
        raise InputError("the bootstrap draws games: it needs whole counts, not weights")
    games, shares = int(counts.sum()), (counts / counts.sum()).ravel()
    strengths = []
    for _ in progress(range(resamples)):
        wins, ties, losses = rng.multinomial(games, shares).reshape(counts.shape)
        drawn = pairs_of_rows(
            pairs.first, pairs.second, wins, losses, ties, n_items=pairs.n_items, at_home=pairs.at_home
        )
        again = fit(drawn, fitted.home is not None, fitted.ties, fitted.ridge)
        if again.converged:
            strengths.append(again.strength)
    return np.array(strengths).reshape(-1, pairs.n_items), resamples - len(strengths)

"""The result of a fit: the strengths with their certificate, or the reason why there are none."""

import math
from typing import NamedTuple

import numpy as np

from .win_counts import Pairs


class Fit(NamedTuple):
    """Strengths with their certificate. If there is no estimate, every number is NaN and `problem` says why"""

    pairs: Pairs
    rows: Pairs  # the pairs with their ties resolved
    ties: str  # as asked for
    model: str | None  # the model of ties, None if there are no ties
    ridge: float
    strength: np.ndarray  # (N,), mean 0
    home: float | None
    tie: float | None  # log ν or log θ
    log_likelihood: float
    deviance: float
    degrees_of_freedom: int | None  # None with a ridge: a prior is not a whole number of parameters
    converged: bool
    iterations: int
    gradient_norm: float
    decrement: float
    groups: list
    problem: str | None


def with_estimate(x, certificate, value, home, **asked):
    """Fit from the parameters x = (λ, h if home, tie parameter if modelled); no numbers if not converged"""
    if not certificate["converged"]:
        problem = (
            f"no maximum found: after {certificate['iterations']} Newton steps the decrement is "
            f"{certificate['decrement']:.1e} and the parameters still move, although an estimate exists"
        )
        return without_estimate(problem, home, certificate, **asked)
    rows, model = asked["rows"], asked["model"]
    n, outcomes = rows.n_items, 3 if model else 2
    return Fit(
        strength=x[:n] - x[:n].mean(),
        home=float(x[n]) if home else None,
        tie=float(x[-1]) if model else None,
        log_likelihood=float(value),
        deviance=float(2 * (saturated_value(rows) - value)),
        degrees_of_freedom=None if asked["ridge"] else len(rows.first) * (outcomes - 1) - (len(x) - 1),
        problem=None,
        **certificate,
        **asked,
    )


def saturated_value(rows):
    """Σ count log(count / games of its row): the greatest log-likelihood of any model        0 log 0 = 0"""
    counts = np.stack([rows.wins, rows.losses, *([rows.ties] if rows.ties.any() else [])])  # (2 or 3, M)
    share = counts / counts.sum(0)
    return (counts * np.log(np.where(counts > 0, share, 1))).sum()


def without_estimate(problem, home, certificate=None, **asked):
    """Fit without numbers: nothing in it can be taken for an estimate"""
    nan = math.nan
    return Fit(
        strength=np.full(asked["pairs"].n_items, nan),
        home=nan if home else None,
        tie=nan if asked["model"] else None,
        log_likelihood=nan,
        deviance=nan,
        degrees_of_freedom=0,
        problem=problem,
        **(certificate or {"converged": False, "iterations": 0, "gradient_norm": nan, "decrement": nan}),
        **asked,
    )

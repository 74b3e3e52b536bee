"""Minorise-maximise: the oldest solver of the same problem, slow, without a step size (Zermelo 1929; Hunter 2004)."""

import numpy as np

from ..errors import InputError
from ..losses import sigmoid
from .existence import NO_CIRCLE, groups_of
from .fitted import with_estimate, without_estimate
from .newton import newton
from .outcomes import resolve_ties
from .strengths import likelihood_terms
from .win_counts import difference, difference_backward, total_per_item, won_and_lost


def mm_step(strength, pairs):
    """log(won_i / expected_i),  expected_i = Σ games σ(λ_i - λ_j)        (N,) -> (N,)"""
    won, _ = won_and_lost(pairs)
    games, p = pairs.wins + pairs.losses, sigmoid(difference(strength, pairs))
    expected = (total_per_item(games, pairs) + difference_backward(games * (2 * p - 1), pairs)) / 2
    return np.log(won / expected)


def fit_mm(pairs, ties="half", tolerance=1e-6, max_iterations=100_000):
    """λ ← λ + log(won / expected), until every item is expected to win as often as it did -> Fit

    Hunter 2004, eq. 3, on the log scale: every step climbs, there is no step length to choose, nothing can overflow. It
    takes hundreds of steps where Newton takes five. ties is "half" or "drop". Raises InputError for a model of ties.
    """
    if ties not in ("half", "drop"):
        raise InputError(f"ties={ties!r}: fit_mm can only halve or drop ties; use fit for a model of ties")
    rows, _ = resolve_ties(pairs, ties)
    groups = groups_of(rows)
    asked = {"pairs": pairs, "rows": rows, "ties": ties, "model": None, "ridge": 0.0, "groups": groups}
    if len(groups) > 1:
        return without_estimate(NO_CIRCLE, False, **asked)
    strength = np.zeros(pairs.n_items)
    for iteration in range(1, max_iterations + 1):
        step = mm_step(strength, rows)
        strength = strength + step
        if iteration % 100 == 0 or abs(step).max() <= tolerance / 100:
            at = strength - strength.mean()
            x, certificate, here = newton(lambda x: likelihood_terms(x, rows), at, tolerance, 0)  # certificate only
            if certificate["converged"]:
                break
    return with_estimate(x, certificate | {"iterations": iteration}, here.value, False, **asked)

"""Newton's method on the square table of wins: up to some hundred items the fastest way, and the shortest to read.

    g = Σ_j wins_ij p_ji - wins_ji p_ij,  p_ij = σ(λ_i - λ_j)        A = diag(Σ_j c_ij) - c,  c_ij = games_ij p_ij p_ji

This g is the games won less those expected, Σ_j wins_ij - games_ij p_ij, without its difference of large numbers.

No step needs a line search. If the difference of two opponents moves by at most D, a curvature changes at most e^D
times. So a step with D ≤ 1 climbs, and after it the decrement is at most e^{D/2} (e^D - 1 - D)/D times what it was. A
longer step is cut to max(1, log(1 + D)), where the same bound on the curvature makes it climb.

Source: Sun & Tran-Dinh 2019, Math. Program. 178, 145-213 (generalised self-concordant functions).
"""

import math

import numpy as np

from .outcomes import decided
from .win_counts import difference, difference_backward

SMALL, SMALL_IF_FULL = 100, 350  # items


def is_small(n, m):
    """Whether the square table is faster than conjugate gradients on its m rows

    Measured: up to 100 items half the time or less; of tables in which most pairs met .8 of it at 250 items and the
    same from 350 to 500, but twice as long at 250 items of which each met 8 to 30 others. A chain has a way of its own.
    """
    return (n <= SMALL and (m > 2 * n or n <= 50)) or (n <= SMALL_IF_FULL and 4 * m >= n * n)


def win_table(rows):
    """How often row beat column        -> (N, N)"""
    n = rows.n_items
    one = np.bincount(rows.first * n + rows.second, rows.wins, n * n)
    other = np.bincount(rows.second * n + rows.first, rows.losses, n * n)
    return (one + other).reshape(n, n)


def slope_and_curvature(x, wins, games, ridge=0.0):
    """g and A, with the ridge's share; without a ridge A + m/N 1 1', which can be inverted        -> (N,), (N, N)

    m is the mean of A's diagonal. What 1 1' adds moves only the common shift, of which g has none.
    """
    e = np.exp(np.minimum(np.subtract.outer(-x, -x), 700))
    p = 1 / (1 + e)
    q = e * p  # p_ji
    upsets = wins * q
    a = games * p
    a *= q
    degree = a.sum(1)
    np.subtract(0 if ridge else degree.mean() / len(x), a, out=a)
    a.ravel()[:: len(x) + 1] += degree + ridge
    return upsets.sum(1) - upsets.sum(0) - ridge * x, a


def guess(won, lost):
    """λ ≈ log(won / lost) / √(1 - 0.39 var)        (N,), (N,) -> (N,)

    The root corrects the log-odds for averaging over opponents of unequal strength.
    """
    log_odds = np.log((won + 0.5) / (lost + 0.5))
    return (log_odds - log_odds.mean()) / math.sqrt(max(0.2, 1 - 0.39 * log_odds.var()))


def maximum_of_table(rows, ridge, tolerance, max_iterations):
    """The strengths of greatest (penalised) likelihood, their certificate, and l        -> (N,), dict, ()

    Not converged where A is singular in floats, or so nearly that the gradient does not vanish: far out its entries may
    differ by more than 10¹⁶ times.
    """
    wins = win_table(rows)
    games = wins + wins.T
    x, iteration, converged, decrement, bound = guess(wins.sum(1), wins.sum(0)), 0, False, math.inf, 0.0
    while not converged and iteration < max_iterations:
        iteration += 1
        gradient, a = slope_and_curvature(x, wins, games, ridge)
        try:
            step = np.linalg.solve(a, gradient)
        except np.linalg.LinAlgError:
            break
        longest = longest_move(step, games)
        x = x + step * (1 if longest <= 1 else max(1, math.log1p(longest)) / longest)
        decrement = shrinkage(longest) * math.sqrt(max(gradient @ step, 0))
        rounding = 4 * np.finfo(float).eps * (1 + abs(x).max()) * math.sqrt(np.trace(a))
        converged = bool(math.isfinite(rounding) and decrement <= max(tolerance, rounding))
        bound = 2 * max(tolerance, rounding) * np.sqrt(np.diag(a))  # of |g|, if the step is A⁻¹ g
    here = decided(difference(x, rows), rows.wins, rows.losses)
    slope = difference_backward(here.slope, rows) - ridge * x
    converged, norm = bool(converged and (abs(slope) <= bound).all()), float(np.linalg.norm(slope))
    certificate = {"converged": converged, "iterations": iteration, "gradient_norm": norm, "decrement": decrement}
    return x, certificate, here.value


def longest_move(step, games):
    """D: by how much the step moves the difference of two items that met        (N,), (N, N) -> ()"""
    longest = float(np.ptp(step))
    return longest if longest <= 1 else float(abs(np.subtract.outer(step, step))[games > 0].max())


def shrinkage(longest):
    """e^{D/2} (e^D - 1 - D)/D: how much smaller δ is after a full step; infinite after a cut one, which has no bound"""
    if longest > 1:
        return math.inf
    return math.exp(longest / 2) * (math.expm1(longest) - longest) / longest if longest > 1e-5 else longest

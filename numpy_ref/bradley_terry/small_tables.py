"""Newton's method on the square table of wins: the shortest solver, and up to a few hundred items the fastest.

    g = Σ_j wins_ij p_ji - wins_ji p_ij,  p_ij = w_i / (w_i + w_j) = σ(λ_i - λ_j),  w = e^λ the worths
    A = diag(Σ_j c_ij) - c,  c_ij = games_ij p_ij p_ji

g is the number of games won less the number expected, Σ_j wins_ij - games_ij p_ij, written without that difference of
large numbers. It is 0 if its two sums are equal, so Newman's sweep multiplies each worth by their ratio. A sweep costs
a ninth of a Newton step, and a few sweeps before the first step save one to five steps.

No step needs a line search. If a step moves the difference of two opponents by at most D, a curvature changes by at
most a factor e^D. So a step with D ≤ 1 climbs, and it multiplies the decrement by at most e^{D/2} (e^D - 1 - D)/D. A
longer step is cut to max(1, log(1 + D)); by the same bound on the curvature it then climbs.

Sources: Sun & Tran-Dinh 2019, Math. Program. 178, 145-213 (generalised self-concordant functions); Newman 2023, JMLR
24(238), 1-25 (the sweep).
"""

import math

import numpy as np

from .outcomes import decided
from .win_counts import difference, difference_backward

SMALL, SMALL_IF_FULL = 100, 350  # items
SWEEPS = 10  # measured on 1,500 tables, dense and sparse, even and lopsided: from 6 to 11 the time is about the same
WIDEST = 1000.0  # between two strengths; their worths are floats up to 1400


def is_small(n, m):
    """Whether the square table is faster than conjugate gradients on its m rows

    Measured: up to 100 items the table takes at most half the time. If most pairs met, it takes 0.8 of the time at 250
    items and the same time from 350 to 500. If each item met only 8 to 30 others, it takes twice the time at 250 items.
    For a chain, spanning_tree.py is faster.
    """
    return (n <= SMALL and (m > 2 * n or n <= 50)) or (n <= SMALL_IF_FULL and 4 * m >= n * n)


def win_table(rows):
    """How often the item of the row beat the item of the column        -> (N, N)"""
    n = rows.n_items
    one = np.bincount(rows.first * n + rows.second, rows.wins, n * n)
    other = np.bincount(rows.second * n + rows.first, rows.losses, n * n)
    return (one + other).reshape(n, n)


def worths(x):
    """e^λ, scaled so that the largest times the smallest is 1        (N,) -> (N,)"""
    return np.exp(x - (x.max() + x.min()) / 2)


def slope_and_curvature(x, wins, games, ridge=0.0):
    """g and A, with the ridge's share; without a ridge A + m/N 1 1', which can be inverted        -> (N,), (N, N)

    m is the mean of A's diagonal. The added term acts only on a common shift, and g has no such component.
    """
    w = worths(x)
    inverse = 1 / np.add.outer(w, w)
    gained, lost = sums(wins * inverse, w)
    a = games * inverse
    a *= w[:, None]  # games p_ij
    a *= inverse
    a *= w
    degree = a.sum(1)
    np.subtract(0 if ridge else degree.mean() / len(x), a, out=a)
    a.ravel()[:: len(x) + 1] += degree + ridge
    return gained - lost - ridge * x, a


def sums(rates, w):
    """Σ_j wins_ij p_ji and Σ_j wins_ji p_ij from rates_ij = wins_ij / (w_i + w_j)        (N, N), (N,) -> (N,), (N,)"""
    return rates @ w, w * rates.sum(0)


def sweep(w, wins):
    """w_i ← w_i Σ_j wins_ij p_ji / Σ_j wins_ji p_ij; every item must have won and lost        (N,) -> (N,)"""
    gained, lost = sums(wins / np.add.outer(w, w), w)
    return w * gained / lost


def guess(won, lost):
    """λ ≈ log(won / lost) / √(1 - 0.39 var)        (N,), (N,) -> (N,)

    The root corrects the log-odds for averaging over opponents of unequal strength.
    """
    log_odds = np.log((won + 0.5) / (lost + 0.5))
    return (log_odds - log_odds.mean()) / math.sqrt(max(0.2, 1 - 0.39 * log_odds.var()))


def first_guess(wins, ridge):
    """`guess`, then SWEEPS sweeps; none with a ridge, which allows items that never won        -> (N,)

    If two camps meet only each other, the sweeps swing from side to side. The middle of the last two is nearer.
    """
    x = guess(wins.sum(1), wins.sum(0))
    if ridge:
        return x
    w = worths(x)
    with np.errstate(all="ignore"):  # weights of very different sizes may let a worth over- or underflow
        for _ in range(SWEEPS):
            before, w = w, sweep(w, wins)
        swept = (np.log(before) + np.log(w)) / 2
    return swept if np.isfinite(swept).all() else x


def maximum_of_table(rows, ridge, tolerance, max_iterations):
    """The strengths of greatest (penalised) likelihood, their certificate, and l        -> (N,), dict, ()

    Does not converge if A is singular in floats, or so nearly singular that the gradient stays above 0: at very large
    strengths the entries of A may differ by a factor of more than 10¹⁶.
    """
    wins = win_table(rows)
    games = wins + wins.T
    x, iteration, converged, decrement = first_guess(wins, ridge), 0, False, math.inf
    while not converged and iteration < max_iterations and np.ptp(x) <= WIDEST:
        iteration += 1
        gradient, a = slope_and_curvature(x, wins, games, ridge)
        try:
            step = np.linalg.solve(a, gradient)
        except np.linalg.LinAlgError:
            break
        longest = longest_move(step, games)
        x = x + step * (1 if longest <= 1 else max(1, math.log1p(longest)) / longest)
        decrement = shrinkage(longest) * math.sqrt(max(gradient @ step, 0))
        reached = max(tolerance, 4 * np.finfo(float).eps * (1 + abs(x).max()) * math.sqrt(np.trace(a)))
        converged = bool(math.isfinite(reached) and decrement <= reached)
    here = decided(difference(x, rows), rows.wins, rows.losses)
    slope = difference_backward(here.slope, rows) - ridge * x
    if converged:  # g must be this small if the step was A⁻¹ g
        converged = bool((abs(slope) <= 2 * reached * np.sqrt(np.diag(a))).all())
    norm = float(np.linalg.norm(slope))
    certificate = {"converged": converged, "iterations": iteration, "gradient_norm": norm, "decrement": decrement}
    return x, certificate, here.value


def longest_move(step, games):
    """D: by how much the step moves the difference of two items that met        (N,), (N, N) -> ()"""
    longest = float(np.ptp(step))
    return longest if longest <= 1 else float(abs(np.subtract.outer(step, step))[games > 0].max())


def shrinkage(longest):
    """e^{D/2} (e^D - 1 - D)/D, which bounds δ after / δ before a full step; infinite for a cut step: no bound"""
    if longest > 1:
        return math.inf
    return math.exp(longest / 2) * (math.expm1(longest) - longest) / longest if longest > 1e-5 else longest

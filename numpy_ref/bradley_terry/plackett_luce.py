"""Plackett-Luce for tables: strengths of items from rankings. With two items per ranking it is Bradley-Terry.

The best is chosen among all, the second among the rest, and so on; each choice is a softmax of the strengths:

    l = Σ rankings Σ places  λ_chosen - log Σ e^λ over those still there
    dl/dλ = Σ choices  (1 for the chosen) - p        p the softmax over those still there
    A v = Σ choices  p (v - Σ p v)

Sources: Luce 1959; Plackett 1975, Appl. Statist. 24, 193-202; Hunter 2004, section 5.
"""

import math
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..layers import softmax
from .existence import strong_groups
from .newton import Terms, iterative, newton


class RankingFit(NamedTuple):
    """Strengths with their certificate. If there is no estimate, every number is NaN and `problem` says why"""

    order: np.ndarray  # (R, K), padded with -1
    ranked: np.ndarray  # (R,), how many places are in order
    strength: np.ndarray  # (N,), mean 0
    log_likelihood: float
    converged: bool
    iterations: int
    gradient_norm: float
    decrement: float
    groups: list
    problem: str | None


def ranking_array(rankings, n_items=None, ranked=None):
    """Lists of items, best first -> order (R, K) padded with -1, ranked (R,), the number of items

    A list may leave items out; it then says nothing about them. `ranked` (a number, or one for each list) says how many
    places at the head of a list are in order; the rest of the list came after them in an unknown order.
    """
    sizes = np.array([len(ranking) for ranking in rankings])
    if not len(sizes) or sizes.min() < 2:
        raise InputError("a ranking needs at least two items, and a table at least one ranking")
    order = np.full((len(sizes), sizes.max()), -1)  # (R, K)
    order[np.arange(sizes.max()) < sizes[:, None]] = np.concatenate([np.asarray(ranking) for ranking in rankings])
    n_items = int(order.max()) + 1 if n_items is None else n_items
    for row, (ranking, size) in enumerate(zip(order, sizes, strict=True)):
        if len(set(ranking[:size].tolist())) < size or ranking[:size].min() < 0 or ranking.max() >= n_items:
            raise InputError(
                f"ranking {row}: {ranking[:size].tolist()}, expected different items of 0 to {n_items - 1}"
            )
    return order, np.minimum(places_in_order(sizes if ranked is None else ranked, len(sizes)), sizes - 1), n_items


def places_in_order(ranked, n):
    """`ranked` for each of n rankings: whole numbers from 1 on; InputError for others        -> (n,)"""
    found = np.asarray(ranked)
    if found.dtype.kind not in "iu" or found.shape not in ((), (n,)) or (found < 1).any():
        raise InputError(f"ranked={ranked!r}: expected a whole number from 1 on, or one for each of {n} rankings")
    return np.broadcast_to(found, (n,))


def likelihood_terms(x, order, ranked):
    """l at the strengths x, its gradient, v -> A v and the diagonal of A        (N,), (R, K), (R,)"""
    n, value, gradient, diagonal, choices = len(x), 0.0, np.zeros(len(x)), np.zeros(len(x)), []
    for place in range(ranked.max()):
        items = order[ranked > place, place:]
        there = items >= 0
        strength = np.where(there, x[items], -np.inf)  # the first column is the chosen item, always there
        p, _ = softmax(strength)
        items = np.where(there, items, 0)
        highest = strength.max(-1)
        value += (strength[:, 0] - highest - np.log(np.exp(strength - highest[:, None]).sum(-1))).sum()
        gradient += np.bincount(items[:, 0], minlength=n) - np.bincount(items.ravel(), p.ravel(), n)
        diagonal += np.bincount(items.ravel(), (p * (1 - p)).ravel(), n)
        choices.append((items, p))

    def multiply(v):
        image = np.zeros(n)
        for items, p in choices:
            change = p * (v[items] - (p * v[items]).sum(-1, keepdims=True))
            image += np.bincount(items.ravel(), change.ravel(), n)
        return image

    return Terms(value, gradient, multiply, diagonal)


def arrows(order, ranked):
    """Each ranked item beats the next one in its list; the last ranked one beats all the rest        -> (E,), (E,)"""
    places = np.arange(order.shape[1] - 1)
    next_one = places < ranked[:, None]
    follows = (places + 1 > ranked[:, None]) & (order[:, 1:] >= 0)  # the rest but its first, which next_one has
    last = np.broadcast_to(order[np.arange(len(order)), ranked - 1][:, None], follows.shape)
    return (
        np.concatenate([order[:, :-1][next_one], last[follows]]),
        np.concatenate([order[:, 1:][next_one], order[:, 1:][follows]]),
    )


def fit_rankings(rankings, n_items=None, ranked=None, tolerance=1e-12, max_iterations=100):
    """The strengths of greatest likelihood, by Newton's method -> RankingFit;  Ford's condition as for pairs"""
    order, ranked, n_items = ranking_array(rankings, n_items, ranked)
    winner, loser = arrows(order, ranked)
    groups = strong_groups(winner, loser, n_items)
    nothing, value = np.full(n_items, math.nan), math.nan
    certificate: dict = {"converged": False, "iterations": 0, "gradient_norm": math.nan, "decrement": math.nan}
    if len(groups) > 1:
        problem = "no estimate exists: some group was never ranked below the others (Ford's condition)"
        return RankingFit(order, ranked, nothing, value, **certificate, groups=groups, problem=problem)
    x, certificate, here = newton(
        lambda x: likelihood_terms(x, order, ranked),
        np.zeros(n_items),
        tolerance,
        max_iterations,
        iterative(tolerance, lambda r: r - r.mean()),
    )
    if certificate["converged"]:
        return RankingFit(order, ranked, x - x.mean(), float(here.value), **certificate, groups=groups, problem=None)
    problem = f"no maximum found: the Newton decrement is {certificate['decrement']:.1e}"
    return RankingFit(order, ranked, nothing, value, **certificate, groups=groups, problem=problem)


def ranking_covariance(fitted):
    """C with var(c'λ) = c' C c for every contrast c, from the exact information        -> (N, N)

    A multiple of 1 1' makes the information invertible; it changes no contrast.
    """
    n = len(fitted.strength)
    here = likelihood_terms(fitted.strength, fitted.order, fitted.ranked)
    return np.linalg.inv(np.stack([here.multiply(e) for e in np.eye(n)]) + here.diagonal.mean() / n)

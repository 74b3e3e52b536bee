"""Confidence intervals of accuracies, by resampling what the pairs have in common.

Pairs that share a response or a prompt are not independent, and resampling single pairs gives intervals that are too
short. If there are many prompts, whole prompts are resampled; if there are few, their responses.
"""

import math
from statistics import NormalDist

import numpy as np

from ..errors import InputError


def wilson(wins, n, level=0.95):
    """The shares p with |wins / n - p| ≤ z √(p (1 - p) / n)        (), () -> (), ()        Wilson 1927

    The n pairs are independent. Unlike p ± z √(p (1 - p) / n) the interval lies inside [0, 1] and never shrinks to a
    point, not even if no pair or every pair was won. It is also wide enough for the mean of any n independent numbers
    in [0, 1], because their variance is at most p (1 - p).
    """
    if n < 1 or not 0 <= wins <= n:
        raise InputError(f"{wins} of {n}: an interval needs n of 1 or more, and 0 to n wins")
    share, z2 = wins / n, NormalDist().inv_cdf((1 + level) / 2) ** 2
    middle, reach = share + z2 / (2 * n), math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))
    return max((middle - reach) / (1 + z2 / n), 0.0), min((middle + reach) / (1 + z2 / n), 1.0)


def prompts_interval(score, prompt, rng, draws=2000, level=0.95):
    """A bootstrap over whole prompts        (N,), (N,) -> (low, high) of the mean score

    prompt  the index of each pair's prompt. Too narrow for fewer than 20.  Source: Efron & Tibshirani 1993.
    """
    _, prompt = np.unique(prompt, return_inverse=True)
    n, total = np.bincount(prompt), np.bincount(prompt, score)
    times = rng.multinomial(len(n), np.full(len(n), 1 / len(n)), size=draws)  # (draws, prompts)
    return _interval((times @ total) / (times @ n), level)


def responses_interval(score, pairs, prompt, rng, draws=2000, level=0.95):
    """A bootstrap over the responses of each prompt; a pair weighs the product of its responses' counts    (N,), (N, 2)

    For few prompts with many comparisons among the same responses. The interval is about other responses to these
    prompts, not about other prompts.  Source: Snijders & Borgatti 1999 (the vertex bootstrap).
    """
    ends, index = np.unique(pairs, return_inverse=True)
    index = index.reshape(-1, 2)
    owner = np.zeros(len(ends), int)
    owner[index[:, 0]] = owner[index[:, 1]] = prompt
    times = np.zeros((draws, len(ends)), int)
    for group in np.unique(owner):
        members = np.flatnonzero(owner == group)
        times[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    weight = times[:, index[:, 0]] * times[:, index[:, 1]]  # (draws, N)
    counted = weight.sum(axis=1) > 0
    return _interval((weight @ score)[counted] / weight.sum(axis=1)[counted], level)


def bootstrap_interval(statistic, ratings, rng, resamples=1000, level=0.95):
    """A bootstrap of statistic(ratings) over items: the middle `level`      (annotators, items) -> 2 bounds, undefined

    `undefined` counts the resamples in which nobody could disagree, which have no kappa or alpha.
    """
    ratings = np.asarray(ratings)
    found = []
    for _ in range(resamples):
        try:
            found.append(statistic(ratings[:, rng.integers(0, ratings.shape[1], ratings.shape[1])]))
        except InputError:
            continue
    if not found:
        raise InputError("no resample has a value: nobody could disagree in any of them")
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), resamples - len(found)


def _interval(values, level):
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

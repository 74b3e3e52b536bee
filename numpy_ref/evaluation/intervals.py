"""How far an accuracy could lie from the one measured: intervals by resampling what the pairs have in common.

Pairs of one response are not independent, nor are those of one prompt: resampling single pairs gives intervals that
are too short. Where there are many prompts these are drawn; where there are few, their responses.
"""

import numpy as np


def prompts_interval(score, prompt, rng, draws=2000, level=0.95):
    """Whole prompts drawn with replacement        (N,), (N,) -> (low, high) of the mean score

    prompt  the index of each pair's prompt. Trustworthy from some 30 prompts on.  Source: Efron & Tibshirani 1993.
    """
    _, prompt = np.unique(prompt, return_inverse=True)
    n, total = np.bincount(prompt), np.bincount(prompt, score)
    times = rng.multinomial(len(n), np.full(len(n), 1 / len(n)), size=draws)  # (draws, prompts)
    return _interval((times @ total) / (times @ n), level)


def responses_interval(score, pairs, prompt, rng, draws=2000, level=0.95):
    """The responses of each prompt drawn with replacement; a pair counts as often as both its ends        (N,), (N, 2)

    For few prompts with many comparisons among the same responses. It speaks of other responses to these prompts, not
    of other prompts.  Source: Snijders & Borgatti 1999 (the vertex bootstrap).
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


def _interval(values, level):
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

"""Plackett-Luce: a ranked list as a sequence of choices: the best of all, the best of the rest, ...

The batch is that of numpy_ref/ranking.py: `rewards (B, K)`, `ranks (B, K)`, ABSENT slots anywhere. Every prompt has
weight one; a prompt without a comparison is left out of the mean.
"""

import numpy as np

from .errors import InputError
from .losses import log_sigmoid, sigmoid
from .ranking import ABSENT, check_ranks


def check_top(top):
    """InputError unless `top` is None or a number of places"""
    if top is not None and not (isinstance(top, int | np.integer) and top >= 1):
        raise InputError(f"top is {top!r}: expected a whole number of places, at least 1, or None for all")


def suffix_sums(x, weight):
    """highest_k = max_{j ≥ k} x_j and total_k with Σ_{j ≥ k} weight_j e^{x_j} = total_k e^{highest_k}        (B, K)

    Windows of 1, 2, 4, ... places are joined until each reaches the end: O(K log K). The two parts stay separate
    because a single log-sum-exp loses log(total) beside a large maximum: at 1e300 two equal rewards would count as one.
    """
    highest, total, step = x.copy(), weight.copy(), 1
    while step < x.shape[1]:
        left, right = highest[:, :-step], highest[:, step:]
        joined = np.maximum(left, right)
        total[:, :-step] = total[:, :-step] * np.exp(left - joined) + total[:, step:] * np.exp(right - joined)
        highest[:, :-step] = joined
        step *= 2
    return highest, total


def best_first(rewards, ranks):
    """Each list sorted by rank, absent slots last; `start` and `end` bound each slot's group of equal ranks (B, K)"""
    K = ranks.shape[1]
    order = np.argsort(
        np.where(ranks == ABSENT, K, ranks), 1, kind="stable"
    )  # K is last: a list with an absent slot has ranks up to K - 1
    ranks = np.take_along_axis(ranks, order, 1)
    lowest = np.finfo(rewards.dtype).min / 4  # finite, so that differences from it are too
    x = np.where(ranks == ABSENT, lowest, np.take_along_axis(rewards, order, 1))
    changes, place = ranks[:, 1:] != ranks[:, :-1], np.arange(1, K)  # borders between groups of equal rank
    start, end = np.zeros_like(ranks), np.full_like(ranks, K)
    start[:, 1:] = np.maximum.accumulate(np.where(changes, place, 0), 1)
    end[:, :-1] = np.minimum.accumulate(np.where(changes, place, K)[:, ::-1], 1)[:, ::-1]
    return x, order, ranks != ABSENT, start, end


def plackett_luce_loss(rewards, ranks, top=None):
    """L = -mean_b[ Σ_i log(e^{r_i} / (e^{r_i} + Σ_{j ranked below i} e^{r_j})) ]        (B, K), (B, K) -> ()

    The sum over choices is -log P(ranking) by the chain rule, ln K! if all rewards are equal; the mean is over
    prompts. Time O(K log K).

    top  use only the first `top` choices; 1 gives the cross-entropy of the best against all

    Equal ranks are not compared: a response competes with those ranked strictly below it. Each factor is then still a
    Plackett-Luce probability, the order of the slots does not matter, and ties carry no information, as with
    ties="drop" in ranking.py.

    Source: Plackett 1975, Appl. Stat. 24, 193-202; Luce 1959; Xia et al. 2008 (ListMLE).
    """
    ranks = check_ranks(rewards, ranks)
    check_top(top)
    x, order, present, start, end = best_first(rewards, ranks)
    chooses = (end < present.sum(1, keepdims=True)) & (start < (top or x.shape[1]))
    below = np.minimum(end, x.shape[1] - 1)
    highest, total = (np.take_along_axis(part, below, 1) for part in suffix_sums(x, present.astype(x.dtype)))
    total = np.where(chooses, total, 1)
    d = x - highest - np.log(total)  # log-odds of i against all below it
    weight = (chooses / max(1, int(chooses.any(1).sum()))).astype(x.dtype)
    return -(weight * log_sigmoid(d)).sum(), (x, order, present, start, highest, total, d, weight)


def plackett_luce_loss_backward(dout, cache):
    """dr_j = Σ_{i ranked above j} p_i e^{r_j} / Σ_{k below i} e^{r_k} - p_j,  p_i = σ(-d_i)

    The sum over i is the same scan in the other direction. The minimum with 0 changes nothing where `mass` > 0:
    r_j is at most the highest reward below i.
    """
    x, order, present, start, highest, total, d, weight = cache
    p = dout * weight * sigmoid(-d)
    level, mass = (part[:, ::-1] for part in suffix_sums(-highest[:, ::-1], (p / total)[:, ::-1]))
    above = np.maximum(start - 1, 0)
    level, mass = (np.take_along_axis(part, above, 1) for part in (level, mass))
    received = np.where(present & (start > 0), mass, 0) * np.exp(np.minimum(x + level, 0))
    drewards = np.zeros_like(x)
    np.put_along_axis(drewards, order, (received - p).astype(x.dtype), 1)
    return drewards

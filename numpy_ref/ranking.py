"""Ranked lists: K responses to one prompt, ranked by a labeler, give C(K, 2) comparisons from K forward passes.

A batch is `rewards (B, K)` and `ranks (B, K)`: 1 is best, equal ranks are ties, and ABSENT fills the slots of a list
shorter than K. The reward in an absent slot is never read and its gradient is exactly 0. ABSENT is -1, not 0, so that
ranks counted from 0 are refused instead of losing their best response without a word.

Each prompt weighs one, however many responses it has. A prompt that says nothing (a single response, or nothing but
ties where ties are dropped) is left out of the mean over prompts; a batch of nothing else has loss 0 and gradient 0.
"""

import numpy as np

from .errors import InputError
from .losses import log_sigmoid, sigmoid
from .ties import davidson, davidson_backward, rao_kupper, rao_kupper_backward

ABSENT = -1


def check_ranks(rewards, ranks):
    """The ranks as integers        (B, K), (B, K) -> (B, K)

    InputError unless the ranks of each list lie in 1..(number of its responses) and 1 is among them. Both habits of
    counting past a tie pass: 1, 1, 3 and 1, 1, 2.
    """
    ranks = np.asarray(ranks)
    if ranks.ndim != 2 or ranks.shape != np.shape(rewards):
        raise InputError(f"rewards have shape {np.shape(rewards)}, ranks {ranks.shape}: expected (B, K) for both")
    if ranks.dtype.kind not in "iuf" or not (np.isfinite(ranks) & (ranks == np.floor(ranks))).all():
        raise InputError(f"ranks of type {ranks.dtype} are not all whole numbers: count them 1 (best), 2, 3, ...")
    present = ranks != ABSENT
    count = present.sum(1)  # (B,)
    outside = present & ((ranks < 1) | (ranks > count[:, None]))
    wrong = outside.any(1) | (count > 0) & ~(ranks == 1).any(1)
    if wrong.any():
        b = int(wrong.argmax())
        raise InputError(
            f"prompt {b} of the batch has the ranks {ranks[b, present[b]].tolist()}: expected 1 for the best and none "
            f"above {count[b]}, the number of responses; equal ranks are ties, {ABSENT} is a slot without response"
        )
    return ranks.astype(np.int64)


def check_top(top):
    """Raises InputError unless top is None or a whole number from 1 on"""
    if top is not None and not (isinstance(top, int | np.integer) and top >= 1):
        raise InputError(f"top is {top!r}: expected a whole number of places, at least 1, or None for all")


def half_win(d, _):
    """log P = log σ(d),  (log σ(d) + log σ(-d)) / 2,  log σ(-d): a tie is half a win each        (...) -> (..., 3)"""
    first, second = log_sigmoid(d), log_sigmoid(-d)
    return np.stack([first, (first + second) / 2, second], -1), d


def half_win_backward(dout, d):
    """dd = dfirst σ(-d) - dtie tanh(d/2) / 2 - dsecond σ(d);  no tie parameter"""
    dfirst, dtie, dsecond = np.moveaxis(dout, -1, 0)
    return dfirst * sigmoid(-d) - dtie * np.tanh(d / 2) / 2 - dsecond * sigmoid(d), None


TIES = {
    "drop": (half_win, half_win_backward),
    "half": (half_win, half_win_backward),
    "rao-kupper": (rao_kupper, rao_kupper_backward),
    "davidson": (davidson, davidson_backward),
}


def tie_model(ties, log_tie):
    """The log-probabilities of win, tie, loss, and their backward; InputError if `log_tie` does not belong to `ties`"""
    if ties not in TIES:
        raise InputError(f"ties is {ties!r}: expected one of {', '.join(TIES)}")
    if (log_tie is None) != (ties in ("drop", "half")):
        raise InputError(f"log_tie is {log_tie}: rao-kupper and davidson need a number, drop and half have none")
    return TIES[ties]


def comparisons(ranks, with_ties):
    """prompt, first, second: the batch's pairs of slots end to end, the first above the second        (B, K) -> (N,)"""
    above, below = ranks[:, :, None], ranks[:, None, :]
    pairs = above < below
    if with_ties:
        pairs |= np.triu(above == below, 1)
    return np.nonzero(pairs & (above != ABSENT))  # a present first has a present second: ABSENT < 1


def kwise_loss(rewards, ranks, ties="drop", log_tie=None, margin_per_rank=0.0):
    """L = -mean_b[ 1/C_b Σ_{i ranked above j} log σ(r_i - r_j - m (rank_j - rank_i)) ]        (B, K), (B, K) -> ()

    The mean of a prompt's comparisons, then the mean over prompts: the reading of eq. 1 under which a prompt weighs
    one. (Taken literally, an expectation over comparisons and 1/C(K, 2) before it divide twice.) C_b is C(K, 2), or
    what dropping ties leaves of it.

    ties             "drop"; "half": half a win for each; "rao-kupper" or "davidson": log P(tie), see ties.py
    log_tie          the tie model's parameter, log θ ≥ 0 or log ν
    margin_per_rank  m: by how much each place in the ranking should lead the next

    Source: Ouyang et al. 2022, arXiv:2203.02155, eq. 1 (ties dropped, K from 4 to 9).
    """
    model, _ = tie_model(ties, log_tie)
    ranks = check_ranks(rewards, ranks)
    prompt, first, second = comparisons(ranks, with_ties=ties != "drop")
    distance = ranks[prompt, second] - ranks[prompt, first]
    d = rewards[prompt, first] - rewards[prompt, second] - (margin_per_rank * distance).astype(rewards.dtype)
    log_p, model_cache = model(d, log_tie)  # (N, 3)
    drawn = np.arange(len(d)), (distance == 0).astype(int)  # the first wins, or a tie
    count = np.bincount(prompt, minlength=len(ranks))  # (B,)
    weight = (1 / count[prompt] / (count > 0).sum()).astype(d.dtype)
    return -(weight * log_p[drawn]).sum(), (rewards, prompt, first, second, drawn, weight, ties, model_cache)


def kwise_loss_backward(dout, cache):
    """dr_i = Σ_j dd_ij - Σ_j dd_ji,  dd_ij = -σ(-d_ij) / (C_b B) for a win;  grads {"log_tie": ...} for a tie model"""
    rewards, prompt, first, second, drawn, weight, ties, model_cache = cache
    dlog_p = np.zeros((len(weight), 3), weight.dtype)
    dlog_p[drawn] = -dout * weight
    dd, dlog_tie = TIES[ties][1](dlog_p, model_cache)
    slots = prompt * rewards.shape[1]
    won, lost = np.bincount(slots + first, dd, rewards.size), np.bincount(slots + second, dd, rewards.size)
    drewards = (won - lost).reshape(rewards.shape).astype(rewards.dtype)
    return drewards, {} if dlog_tie is None else {"log_tie": dlog_tie}


def suffix_sums(x, weight):
    """highest_k = max_{j ≥ k} x_j and total_k with Σ_{j ≥ k} weight_j e^{x_j} = total_k e^{highest_k}        (B, K)

    Windows of 1, 2, 4, ... places are joined until each reaches the end: O(K log K). Kept in two parts because their
    log-sum-exp would lose the total's digits beside a large x: at 1e300 two equal rewards would count as one.
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
    order = np.argsort(np.where(ranks == ABSENT, K + 1, ranks), 1, kind="stable")
    ranks = np.take_along_axis(ranks, order, 1)
    lowest = np.finfo(rewards.dtype).min / 4  # finite, as differences from it must be
    x = np.where(ranks == ABSENT, lowest, np.take_along_axis(rewards, order, 1))
    place, changes = np.arange(K), ranks[:, 1:] != ranks[:, :-1]
    first, last = np.insert(changes, 0, True, 1), np.insert(changes, K - 1, True, 1)
    start = np.maximum.accumulate(np.where(first, place, 0), 1)
    end = np.minimum.accumulate(np.where(last, place + 1, K)[:, ::-1], 1)[:, ::-1]
    return x, order, ranks != ABSENT, start, end


def plackett_luce_loss(rewards, ranks, top=None):
    """L = -mean_b[ Σ_i log(e^{r_i} / (e^{r_i} + Σ_{j ranked below i} e^{r_j})) ]        (B, K), (B, K) -> ()

    The ranking as a row of choices: the best of all, the best of the rest, ... A sum, not a mean: by the chain rule
    it is -log P(the ranking), ln K! if all rewards are equal; the mean is over prompts. O(K log K).

    top  count the choices of the first `top` places only; 1 is the cross-entropy of the best against all

    Equal ranks are not compared: a response is chosen from itself and what is ranked strictly below. Each factor stays
    a Plackett-Luce probability (that i comes before all of a set does not depend on the others), the order of the
    slots does not matter, and a tie says nothing, as with ties="drop" above.

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
    """dr_j = Σ_{i ranked above j} p_i e^{r_j} / Σ_{k below i} e^{r_k} - p_j,  p_i = σ(-d_i), what i's choice lost

    The sum over i is the same scan in the other direction. Where `mass` is not 0 the exponent is at most 0 already:
    r_j is at most the highest of what is below i.
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

"""Ranked lists: K responses to one prompt, ranked by a labeler, give C(K, 2) comparisons from K forward passes.

A batch is `rewards (B, K)` and `ranks (B, K)`: 1 is best, equal ranks are ties, and ABSENT fills the slots of a list
shorter than K. The reward in an absent slot is never read and its gradient is exactly 0. ABSENT is -1, not 0, so that
ranks counted from 0 raise an error instead of silently losing the best response.

Every prompt has weight one, however many responses it has. A prompt without a comparison (one response, or only
dropped ties) is left out of the mean over prompts; a batch of such prompts has loss 0 and gradient 0. This file
compares all pairs of a list; listwise.py models the list as a sequence of choices.
"""

import numpy as np

from .errors import InputError
from .losses import log_sigmoid, sigmoid
from .ties import davidson, davidson_backward, rao_kupper, rao_kupper_backward

ABSENT = -1


def check_ranks(rewards, ranks):
    """The ranks as integers        (B, K), (B, K) -> (B, K)

    InputError unless the ranks of each list lie in 1..(number of its responses) and 1 is among them. Both ways of
    counting after a tie are accepted: 1, 1, 3 and 1, 1, 2.
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


def half_win(d, _):
    """log P = log σ(d),  (log σ(d) + log σ(-d)) / 2,  log σ(-d): a tie is half a win        (...) -> (..., 3)"""
    first, second = log_sigmoid(d), log_sigmoid(-d)
    return np.stack([first, (first + second) / 2, second], -1), d


def half_win_backward(dout, d):
    """dd = dfirst σ(-d) - dtie tanh(d/2) / 2 - dsecond σ(d);  no tie parameter"""
    dfirst, dtie, dsecond = np.moveaxis(dout, -1, 0)
    return dfirst * sigmoid(-d) - dtie * np.tanh(d / 2) / 2 - dsecond * sigmoid(d), None


TIES = {
    "drop": (half_win, half_win_backward),
    "half": (half_win, half_win_backward),
    "davidson": (davidson, davidson_backward),
    "rao-kupper": (rao_kupper, rao_kupper_backward),
}


def tie_model(ties, log_tie):
    """The log-probabilities of win, tie, loss, and their backward; InputError if `log_tie` does not belong to `ties`"""
    if ties not in TIES:
        raise InputError(f"ties is {ties!r}: expected one of {', '.join(TIES)}")
    if (log_tie is None) != (ties in ("drop", "half")):
        raise InputError(f"log_tie is {log_tie}: rao-kupper and davidson need a number, drop and half have none")
    return TIES[ties]


def comparisons(ranks, with_ties):
    """prompt, first, second: all N pairs of the batch, the first slot ranked above the second        (B, K) -> (N,)"""
    above, below = ranks[:, :, None], ranks[:, None, :]
    pairs = above < below
    if with_ties:
        pairs |= np.triu(above == below, 1)
    return np.nonzero(pairs & (above != ABSENT))  # then below is present too, because ABSENT < 1


def kwise_loss(rewards, ranks, ties="drop", log_tie=None, margin_per_rank=0.0):
    """L = -mean_b[ 1/C_b Σ_{i ranked above j} log σ(r_i - r_j - m (rank_j - rank_i)) ]        (B, K), (B, K) -> ()

    The mean over the comparisons of a prompt, then the mean over prompts, so every prompt has weight one. (Read
    literally, eq. 1 divides twice: an expectation over comparisons, and 1/C(K, 2).) C_b is the number of comparisons:
    C(K, 2), fewer if ties are dropped.

    ties             "drop"; "half": half a win for each; "rao-kupper" or "davidson": log P(tie), see ties.py
    log_tie          the tie model's parameter, log θ ≥ 0 or log ν
    margin_per_rank  m: required lead, in log-odds, per place in the ranking

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

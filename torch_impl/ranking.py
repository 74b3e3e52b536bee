"""Ranked lists in PyTorch's own primitives; autograd finds the gradient. Formulas, ties: numpy_ref/ranking.py.

Here a list's comparisons are a (K, K) table, where numpy_ref lays them end to end. The sums over what is ranked below
are logcumsumexp: off by eps times the list's largest |reward|, a term that numpy_ref's two-part sums do not have.
"""

import torch
import torch.nn.functional as F

from numpy_ref.ranking import ABSENT, check_ranks, check_top, tie_model

from .ties import davidson, rao_kupper


def _mean_over_prompts(per_prompt, says_something):
    return per_prompt.sum() / says_something.sum().clamp(min=1)


def kwise_loss(rewards, ranks, ties="drop", log_tie=None, margin_per_rank=0.0):
    """-mean_b[ 1/C_b Σ_{i ranked above j} log σ(r_i - r_j - m (rank_j - rank_i)) ]        (B, K), (B, K) -> ()"""
    tie_model(ties, log_tie)
    check_ranks(rewards, ranks.cpu())
    present = ranks != ABSENT
    r = torch.where(present, rewards, 0)
    distance = ranks[:, None, :] - ranks[:, :, None]
    both = present[:, :, None] & present[:, None, :]
    wins, tied = (
        both & (distance > 0),
        both & (distance == 0) & ~torch.eye(r.shape[1], dtype=torch.bool, device=r.device),
    )
    d = r[:, :, None] - r[:, None, :] - margin_per_rank * torch.where(wins, distance, 0).to(r.dtype)  # (B, K, K)
    if ties in ("drop", "half"):
        log_p = (wins + 0.5 * tied * (ties == "half")) * F.logsigmoid(d)
    else:
        win, tie, _ = {"rao-kupper": rao_kupper, "davidson": davidson}[ties](d, log_tie).unbind(-1)
        log_p = torch.where(wins, win, 0) + torch.where(tied, tie / 2, 0)  # a tie stands in the table twice
    count = (wins + (0.5 * tied if ties != "drop" else 0)).sum((1, 2))
    return _mean_over_prompts(-log_p.sum((1, 2)) / count.clamp(min=1), count > 0)


def plackett_luce_loss(rewards, ranks, top=None):
    """-mean_b[ Σ_i log(e^{r_i} / (e^{r_i} + Σ_{j ranked below i} e^{r_j})) ]        (B, K), (B, K) -> ()"""
    check_top(top)
    check_ranks(rewards, ranks.cpu())
    ranks, order = torch.where(ranks == ABSENT, ranks.shape[1] + 1, ranks).sort(dim=1, descending=True, stable=True)
    present = ranks <= ranks.shape[1]
    x = torch.where(present, rewards.gather(1, order), torch.finfo(rewards.dtype).min / 4)
    below = torch.searchsorted(ranks.neg(), ranks.neg())  # how many stand before the first of the same rank
    above = ranks.shape[1] - torch.searchsorted(ranks.neg(), ranks.neg(), right=True)
    chooses = present & (below > (~present).sum(1, keepdim=True)) & (above < (top or ranks.shape[1]))
    rest = x.logcumsumexp(1).gather(1, (below - 1).clamp(min=0))  # worst first: log Σ e^r of what is ranked below
    return _mean_over_prompts(-torch.where(chooses, F.logsigmoid(x - rest), 0).sum(1), chooses.any(1))

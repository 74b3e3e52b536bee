"""Plackett-Luce in PyTorch's own primitives; autograd finds the gradient. Formulas: numpy_ref/listwise.py.

The sums over the lower ranks use logcumsumexp, which is off by eps times the list's largest |reward|. The two-part sums
of numpy_ref do not have this error.
"""

import torch
import torch.nn.functional as F

from numpy_ref.listwise import check_top
from numpy_ref.ranking import ABSENT, check_ranks

from .ranking import mean_over_prompts


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
    rest = x.logcumsumexp(1).gather(1, (below - 1).clamp(min=0))  # worst first: log Σ e^r over the lower ranks
    return mean_over_prompts(-torch.where(chooses, F.logsigmoid(x - rest), 0).sum(1), chooses.any(1))

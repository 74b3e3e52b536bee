"""Ranked lists in PyTorch's own primitives; autograd finds the gradient. Formulas, ties: numpy_ref/ranking.py.

Here a list's comparisons are a (K, K) table. numpy_ref puts the comparisons of all lists into one array.
"""

import torch
import torch.nn.functional as F

from numpy_ref.ranking import ABSENT, check_ranks, tie_model

from .ties import davidson, rao_kupper


def mean_over_prompts(per_prompt, says_something):
    """The mean over prompts, without those that have no comparison        (B,), (B,) -> ()"""
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
        log_p = torch.where(wins, win, 0) + torch.where(tied, tie / 2, 0)  # a tie is in the table twice
    count = (wins + (0.5 * tied if ties != "drop" else 0)).sum((1, 2))
    return mean_over_prompts(-log_p.sum((1, 2)) / count.clamp(min=1), count > 0)

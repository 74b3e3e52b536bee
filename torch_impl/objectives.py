"""Losses of ranked lists: functions of rewards (B, K) and labels; autograd finds all gradients."""

from .listwise import plackett_luce_loss
from .ranking import kwise_loss
from .ties import rao_kupper_threshold


def log_tie_parameter(ties, raw_tie):
    """log θ = log(1 + e^raw) for Rao-Kupper, log ν = raw for Davidson        () -> ()"""
    return rao_kupper_threshold(raw_tie) if ties == "rao-kupper" else raw_tie


def kwise(rewards, ranks, ties="drop", raw_tie=None, margin_per_rank=0.0):
    """All pairs of each list; `raw_tie` is the tensor of the tie model's parameter, if it has one"""
    log_tie = None if raw_tie is None else log_tie_parameter(ties, raw_tie)
    return kwise_loss(rewards, ranks, ties, log_tie, margin_per_rank)


OBJECTIVES = {"kwise": kwise, "plackett-luce": plackett_luce_loss}

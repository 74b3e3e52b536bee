"""Objectives for ranked lists: rewards (B, K), labels -> (loss, drewards (B, K), gradients of their own parameters).

reward_model.loss_and_grads takes one of them as `objective`; its default is the pairwise loss.
"""

from .listwise import plackett_luce_loss, plackett_luce_loss_backward
from .ranking import kwise_loss, kwise_loss_backward
from .ties import rao_kupper_threshold, rao_kupper_threshold_backward

LEARNED_TIES = {"rao-kupper": "log_theta", "davidson": "log_nu"}  # tie models whose parameter is trained


def log_tie_parameter(ties, raw_tie):
    """log θ = log(1 + e^raw) for Rao-Kupper, log ν = raw for Davidson        () -> ()

    Training starts at raw_tie = 0, where both models give two equal responses P(tie) = 1/3.
    """
    return rao_kupper_threshold(raw_tie) if ties == "rao-kupper" else (raw_tie, None)


def log_tie_parameter_backward(dout, cache):
    """d log θ / d raw = σ(raw), d log ν / d raw = 1"""
    return dout if cache is None else rao_kupper_threshold_backward(dout, cache)


def kwise(rewards, ranks, ties="drop", raw_tie=None, margin_per_rank=0.0):
    """All pairs of each list; the last result is {"raw_tie": its gradient} for a trained tie model, else {}"""
    log_tie, tie_cache = (None, None) if raw_tie is None else log_tie_parameter(ties, raw_tie)
    loss, cache = kwise_loss(rewards, ranks, ties, log_tie, margin_per_rank)
    drewards, grads = kwise_loss_backward(1.0, cache)
    own = {"raw_tie": log_tie_parameter_backward(grads["log_tie"], tie_cache)} if grads else {}
    return loss, drewards, own


def plackett_luce(rewards, ranks):
    """Each list as a sequence of choices; no parameters of its own"""
    loss, cache = plackett_luce_loss(rewards, ranks)
    return loss, plackett_luce_loss_backward(1.0, cache), {}


OBJECTIVES = {"kwise": kwise, "plackett-luce": plackett_luce}

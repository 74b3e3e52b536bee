"""What ranked lists are trained on: functions rewards (B, K), labels -> loss, drewards (B, K), gradients of their own.

They are the `objective` of reward_model.loss_and_grads, where pairs alone are known.
"""

from .listwise import plackett_luce_loss, plackett_luce_loss_backward
from .ranking import kwise_loss, kwise_loss_backward
from .ties import rao_kupper_threshold, rao_kupper_threshold_backward

LEARNED_TIES = {"rao-kupper": "log_theta", "davidson": "log_nu"}  # whose parameter is trained with the model


def log_tie_parameter(ties, raw_tie):
    """log θ = log(1 + e^raw) for Rao-Kupper, log ν = raw for Davidson        () -> ()

    At raw_tie = 0, where training starts, either model lets two equal responses tie once in three times.
    """
    return rao_kupper_threshold(raw_tie) if ties == "rao-kupper" else (raw_tie, None)


def log_tie_parameter_backward(dout, cache):
    """d log θ / d raw = σ(raw), d log ν / d raw = 1"""
    return dout if cache is None else rao_kupper_threshold_backward(dout, cache)


def kwise(rewards, ranks, ties="drop", raw_tie=None, margin_per_rank=0.0):
    """All pairs of each list; {"raw_tie": ...} is the gradient of the tie model's parameter, if it has one"""
    log_tie, tie_cache = (None, None) if raw_tie is None else log_tie_parameter(ties, raw_tie)
    loss, cache = kwise_loss(rewards, ranks, ties, log_tie, margin_per_rank)
    drewards, grads = kwise_loss_backward(1.0, cache)
    own = {"raw_tie": log_tie_parameter_backward(grads["log_tie"], tie_cache)} if grads else {}
    return loss, drewards, own


def plackett_luce(rewards, ranks):
    """Each list as a row of choices; it has no parameters of its own"""
    loss, cache = plackett_luce_loss(rewards, ranks)
    return loss, plackett_luce_loss_backward(1.0, cache), {}


OBJECTIVES = {"kwise": kwise, "plackett-luce": plackett_luce}

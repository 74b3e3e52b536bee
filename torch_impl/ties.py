"""The same two models of ties in PyTorch's own primitives. Formulas: numpy_ref/ties.py.

Davidson is a log_softmax over three scores. Rao-Kupper is written as in the paper, P(tie) = (θ² - 1) P(first)
P(second). numpy_ref writes it otherwise, so that a mistake in one does not hide in the other.
"""

import torch
import torch.nn.functional as F


def rao_kupper_threshold(raw):
    """log θ = log(1 + e^raw): any real `raw`, θ > 1        () -> ()

    Not F.softplus, which drops the last digits beyond its threshold of 20.
    """
    return -F.logsigmoid(-raw)


def rao_kupper(d, log_theta):
    """log P of (first wins, tie, second wins)        (...), () -> (..., 3)

    log_theta is a tensor. For its gradient it must be positive, because the slope of a tie is infinite at 0.
    """
    first, second = F.logsigmoid(d - log_theta), F.logsigmoid(-d - log_theta)
    return torch.stack([first, torch.log(torch.expm1(2 * log_theta)) + first + second, second], -1)


def davidson(d, log_nu):
    """log P of (first wins, tie, second wins)        (...), () -> (..., 3);  log_nu is a tensor, -inf for no ties"""
    return F.log_softmax(torch.stack([d / 2, log_nu.expand_as(d), -d / 2], -1), -1)

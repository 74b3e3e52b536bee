"""Direct preference optimisation in PyTorch's own primitives. Formulas: numpy_ref/dpo.py.

The margin is grouped as in the paper's eq. 7, policy against policy and reference against reference. numpy_ref groups
it otherwise, so that a mistake in one package does not hide in the other.
"""

import torch.nn.functional as F

from .language_model import response_log_probability


def log_probability(model, tokens, length, start):
    """log π(y | x), the sum over the response's tokens        (B, K, T), (B, K), (B, K) -> (B, K)"""
    rows = tokens.flatten(0, 1), length.flatten(), start.flatten()
    log_p, counted = response_log_probability(model, *rows)
    return (counted * log_p).sum(1).view(length.shape)


def dpo_loss(log_p, reference, beta=0.1, label_smoothing=0.0):
    """mean[ -(1 - ε) log σ(m) - ε log σ(-m) ],  m = β (Δ log π - Δ log π_ref)        (B, 2), (B, 2) -> ()"""
    (chosen, rejected), (ref_chosen, ref_rejected) = log_p.unbind(1), reference.unbind(1)
    margin = beta * ((chosen - rejected) - (ref_chosen - ref_rejected))
    return -((1 - label_smoothing) * F.logsigmoid(margin) + label_smoothing * F.logsigmoid(-margin)).mean()


def loss_and_grads(model, tokens, length, start, reference, **loss_options):
    """A batch's loss and log π of the responses (B, 2); autograd leaves the gradient in each `p.grad`"""
    model.zero_grad(set_to_none=True)
    log_p = log_probability(model, tokens, length, start)
    loss = dpo_loss(log_p, reference, **loss_options)
    loss.backward()
    return loss.detach(), log_p.detach()

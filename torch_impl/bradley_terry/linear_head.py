"""The linear head by autograd and L-BFGS. Formulas: numpy_ref/bradley_terry/linear_head.py."""

import torch
import torch.nn.functional as F


def head_loss(weight, features, pairs, ridge):
    """mean[ -log σ(Δ) ] + λ/2 |w|²,  Δ the margin of a linear layer's outputs        (C,), (M, C), (N, 2) -> ()"""
    reward = F.linear(features, weight)
    chosen, rejected = reward[pairs].unbind(-1)
    return -F.logsigmoid(chosen - rejected).mean() + ridge / 2 * weight.square().sum()


def fit_head(features, pairs, ridge, max_iterations=5000):
    """The weights of least loss by L-BFGS; the last steps run without a line search, which compares rounded losses"""
    weight = torch.zeros(features.shape[1], dtype=features.dtype, requires_grad=True)

    def loss():
        optimiser.zero_grad()
        value = head_loss(weight, features, pairs, ridge)
        value.backward()
        return value

    options = {"max_iter": max_iterations, "history_size": 50, "tolerance_grad": 1e-14, "tolerance_change": 0}
    for line_search in ("strong_wolfe", None):
        optimiser = torch.optim.LBFGS([weight], line_search_fn=line_search, **options)
        optimiser.step(loss)
    return weight.detach()

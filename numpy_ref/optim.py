"""Optimisers, clipping and the learning-rate schedule, as pure functions of trees.

Nothing is changed in place: `adamw(params, grads, state, ...)` returns the new parameters and the new state, so an
interrupted step leaves the old ones intact.
"""

import math
from collections.abc import Callable

import numpy as np

from .tree import flatten, tree_map


def sgd(params, grads, lr):
    """θ ← θ - η g"""
    return tree_map(lambda p, g: p - lr * g, params, grads)


def adamw_state(params):
    """(m, v, t): both moments at 0 before step 1"""
    return tree_map(np.zeros_like, params), tree_map(np.zeros_like, params), 0


def adamw(params, grads, state, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """θ ← θ - η λ θ - η m̂ / (√v̂ + ε),  m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)

    m ← β₁ m + (1 - β₁) g and v ← β₂ v + (1 - β₂) g². The decay λ acts on θ itself and not through g: decoupled.
    Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    m, v, t = state
    t += 1
    m = tree_map(lambda m, g: beta1 * m + (1 - beta1) * g, m, grads)
    v = tree_map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, grads)
    step, correction = lr / (1 - beta1**t), 1 / math.sqrt(1 - beta2**t)
    update = tree_map(
        lambda p, m, v: p - lr * weight_decay * p - step * m / (np.sqrt(v) * correction + eps), params, m, v
    )
    return update, (m, v, t)


def clip_by_global_norm(grads, max_norm):
    """g ← g · min(1, max_norm / ‖g‖), ‖g‖ over all parameters together; returns it too        Pascanu et al. 2013

    PyTorch adds 1e-6 to the norm; we do the same, so that both sides take the same step.
    """
    norm = math.sqrt(sum(float((g * g).sum()) for g in flatten(grads).values()))
    factor = min(1.0, max_norm / (norm + 1e-6))
    return tree_map(lambda g: factor * g, grads), norm


def warmup(step, peak, warmup_steps):
    """η = peak · (step + 1) / (W + 1) at a step < W, counted from 0"""
    return peak * (step + 1) / (warmup_steps + 1)


def warmup_cosine(step, total_steps, peak, warmup_steps, final_share=0.1):
    """η at a step counted from 0: rises linearly to the peak, then falls along a cosine to a tenth of the peak

    η = peak · (step + 1) / (W + 1) for step < W, then peak · [s + (1 - s) (1 + cos(π (step - W) / (N - W))) / 2].
    The tenth is InstructGPT's (Ouyang et al. 2022, appendix C.2).
    """
    if step < warmup_steps:
        return warmup(step, peak, warmup_steps)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (final_share + (1 - final_share) * (1 + math.cos(math.pi * progress)) / 2)


def warmup_linear(step, total_steps, peak, warmup_steps, final_share=0.1):
    """η = peak · [1 - (1 - s) (step - W) / (N - W)] for step >= W: falls linearly to a tenth of the peak"""
    if step < warmup_steps:
        return warmup(step, peak, warmup_steps)
    return peak * (1 - (1 - final_share) * (step - warmup_steps) / max(1, total_steps - warmup_steps))


def warmup_constant(step, total_steps, peak, warmup_steps):  # noqa: ARG001  one signature for all schedules
    """η = peak for step >= W"""
    return warmup(step, peak, warmup_steps) if step < warmup_steps else peak


SCHEDULES: dict[str, Callable] = {"cosine": warmup_cosine, "linear": warmup_linear, "constant": warmup_constant}

"""The loss of the reward model and its gradient, by hand. Read this file first.

A pair of responses to one prompt: people preferred `chosen` to `rejected` (the literature also says winner and
loser). The model gives each a reward, margin = reward_chosen - reward_rejected, and the Bradley-Terry model says

    P(chosen beats rejected) = e^chosen / (e^chosen + e^rejected) = σ(margin)
    loss = -log P = -log σ(margin) = log(1 + e^-margin)
    d loss / d chosen = σ(margin) - 1        d loss / d rejected = 1 - σ(margin)

Only the margin counts: a constant added to both rewards changes neither the loss nor a gradient.
"""

import numpy as np


def sigmoid(x):
    """σ(x) = 1 / (1 + e⁻ˣ)        (...) -> (...)

    Computed from e^-|x|, which cannot overflow. At most 2.2 ulp off in float64; ±inf give 1 and 0, NaN gives NaN.
    """
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def sigmoid_derivative(x):
    """σ'(x) = σ(x) σ(-x) = s (1 - s),  s = σ(-|x|)        (...) -> (...)

    The second derivative of the loss. It is at most 1/4, even after rounding, because s is at most 1/2; with
    s = σ(|x|) it would lose all its digits beyond 36.7.
    """
    s = sigmoid(-np.abs(x))
    return s * (1 - s)


def log_sigmoid(x):
    """log σ(x) = -log(1 + e⁻ˣ)        (...) -> (...)

    At most 1.5 ulp off in float64, where log(σ(x)) would be -inf below -745 and 0 above 36.7.
    """
    with np.errstate(invalid="ignore"):  # logaddexp warns of a NaN in x, which is a NaN here as everywhere
        return -np.logaddexp(0, -x)


def pairwise_loss(chosen, rejected, target_margin=0.0, label_smoothing=0.0, center_coefficient=0.0):
    """L = mean[ -(1 - ε) log σ(Δ) - ε log σ(-Δ) + c (r_c + r_r)² ],  Δ = r_c - r_r - m        (B,), (B,) -> ()

    The plain Bradley-Terry loss is m = ε = c = 0. Rewards have the unit of log-odds.

    target_margin       m, a number or (B,): by how much the chosen reward should lead (Llama 2, eq. 2)
    label_smoothing     ε in [0, 1/2): the share of labels taken to be flipped
    center_coefficient  c: pulls the mean reward of each pair to 0; the loss alone does not determine it
                        (Eisenstein et al. 2023, arXiv:2312.09244)

    Source: Bradley & Terry 1952; Ouyang et al. 2022, arXiv:2203.02155, eq. 1 with K = 2.
    """
    delta = chosen - rejected - target_margin
    total = chosen + rejected if center_coefficient else np.zeros_like(delta)
    loss = -log_sigmoid(delta)
    if label_smoothing:  # an infinite margin has a finite loss, but 0 · ∞ is NaN
        loss = (1 - label_smoothing) * loss - label_smoothing * log_sigmoid(-delta)
    loss = loss + center_coefficient * total * total
    return loss.mean(), (delta, total, label_smoothing, center_coefficient)


def pairwise_loss_backward(dout, cache):
    """dΔ = -(1 - ε) σ(-Δ) + ε σ(Δ),  dL/dr_c = (dΔ + 2c (r_c + r_r)) / B,  dL/dr_r = (-dΔ + 2c (r_c + r_r)) / B

    With ε = c = 0 these are (σ(Δ) - 1) / B and (1 - σ(Δ)) / B. They are written -σ(-Δ) because the literal
    σ(Δ) - 1 subtracts two nearly equal numbers: it has lost 13 bits at Δ = 10 and is exactly 0 from 36.74 on.
    """
    delta, total, label_smoothing, center_coefficient = cache
    scale = dout / len(delta)
    ddelta = scale * (label_smoothing * sigmoid(delta) - (1 - label_smoothing) * sigmoid(-delta))
    dtotal = scale * (2 * center_coefficient) * total
    return dtotal + ddelta, dtotal - ddelta

"""Direct preference optimisation (DPO): the language model is its own reward model.

The policy with the largest expected reward minus β KL(π ‖ π_ref) is π* ∝ π_ref e^{r / β} (policy.py). Solved for the
reward, r = β log(π* / π_ref) + a constant of the prompt, and a pair's margin has no constant. So the pairwise loss of
losses.py, on these implicit rewards, trains the policy without a reward model in between:

    margin = β [log π(chosen) / π_ref(chosen) - log π(rejected) / π_ref(rejected)]
    loss = -log σ(margin)        d loss / d log π(chosen) = β (σ(margin) - 1) = -d loss / d log π(rejected)

It is the same σ(margin) - 1. The reference π_ref is the model that training starts from; it stays fixed.
Source: Rafailov et al. 2023, arXiv:2305.18290, eq. 5 to 7.
"""

import numpy as np

from .errors import InputError
from .language_model import (
    in_response,
    next_token_logits,
    next_token_logits_backward,
    token_log_probability,
    token_log_probability_backward,
)
from .losses import pairwise_loss, pairwise_loss_backward


def log_probability(tokens, length, start, body, unembedding, n_head):
    """log π(y | x) = Σ log p(token t | those before), start ≤ t < length        (B, K, T), (B, K), (B, K) -> (B, K)

    All ints; start is the index of the response's first token, the one after the separator. In nats. A sum, not a
    mean, so longer responses are less likely.
    """
    B, K, T = tokens.shape
    rows = tokens.reshape(B * K, T)
    logits, logits_cache = next_token_logits(rows, body, unembedding, n_head)  # (B * K, T - 1, V)
    counted = in_response(logits, length.reshape(-1), start.reshape(-1))
    log_p, log_p_cache = token_log_probability(logits, rows[:, 1:])  # (B * K, T - 1)
    return (counted * log_p).sum(1).reshape(B, K), (logits_cache, log_p_cache, counted)


def log_probability_backward(dout, cache):
    """A sum passes its gradient to every term: dlog p(token) = dy"""
    logits_cache, log_p_cache, counted = cache
    dlogits = token_log_probability_backward(dout.reshape(-1, 1) * counted, log_p_cache)
    return next_token_logits_backward(dlogits, logits_cache)


def implicit_reward(log_p, reference, beta):
    """r = β (log π(y | x) - log π_ref(y | x)), in log-odds        (...), (...) -> (...)

    Defined up to a constant per prompt, as every reward is. InputError unless β > 0.
    """
    if not beta > 0:
        raise InputError(f"beta is {beta}: expected a number above 0, such as 0.1")
    return beta * (log_p - reference)


def dpo_loss(log_p, reference, beta=0.1, label_smoothing=0.0):
    """L = mean[ -(1 - ε) log σ(m) - ε log σ(-m) ],  m = r_chosen - r_rejected        (B, 2), (B, 2) -> ()

    r is the implicit reward; column 0 is the chosen response. A small β lets the policy go far from the reference.

    label_smoothing  ε in [0, 1/2): the share of labels taken to be flipped (cDPO, Mitchell 2023)
    """
    reward = implicit_reward(log_p, reference, beta)
    loss, cache = pairwise_loss(reward[:, 0], reward[:, 1], label_smoothing=label_smoothing)
    return loss, (cache, beta)


def dpo_loss_backward(dout, cache):
    """dL/dlog π = β dL/dr: β (σ(m) - 1) / B for the chosen response, β (1 - σ(m)) / B for the rejected one, if ε = 0"""
    pairwise_cache, beta = cache
    return beta * np.stack(pairwise_loss_backward(dout, pairwise_cache), 1)  # (B, 2)


def loss_and_grads(params, tokens, length, start, reference, n_head, **loss_options):
    """A batch's loss, its gradient in the shape of `params`, and log π of the responses (B, 2)"""
    log_p, cache = log_probability(tokens, length, start, **params, n_head=n_head)  # (B, 2)
    loss, loss_cache = dpo_loss(log_p, reference, **loss_options)
    return loss, log_probability_backward(dpo_loss_backward(1.0, loss_cache), cache), log_p

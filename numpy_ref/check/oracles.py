"""The right answers, in the signatures of the published list and in float64.

Where the project has the function, that is the oracle; the tests hold every backward here against the complex step or
central difference of its forward, so that a student is judged by two witnesses.
"""

import numpy as np

from .. import attention as attention_room
from .. import dpo, layers, losses
from ..losses import log_sigmoid, sigmoid

__all__ = ["log_sigmoid", "sigmoid"]


def pairwise_loss(chosen, rejected, **options):
    return losses.pairwise_loss(chosen, rejected, **options)[0]


def pairwise_loss_backward(chosen, rejected, **options):
    return losses.pairwise_loss_backward(1.0, losses.pairwise_loss(chosen, rejected, **options)[1])


def margin_loss(chosen, rejected, margin):
    return pairwise_loss(chosen, rejected, target_margin=margin)


def margin_loss_backward(chosen, rejected, margin):
    return pairwise_loss_backward(chosen, rejected, target_margin=margin)


def smoothed_loss(chosen, rejected, label_smoothing):
    return pairwise_loss(chosen, rejected, label_smoothing=label_smoothing)


def smoothed_loss_backward(chosen, rejected, label_smoothing):
    return pairwise_loss_backward(chosen, rejected, label_smoothing=label_smoothing)


def centered_loss(chosen, rejected, coefficient):
    return pairwise_loss(chosen, rejected, center_coefficient=coefficient)


def centered_loss_backward(chosen, rejected, coefficient):
    return pairwise_loss_backward(chosen, rejected, center_coefficient=coefficient)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    return dpo.dpo_loss(np.stack([chosen, rejected], 1), np.stack([ref_chosen, ref_rejected], 1), beta)[0]


def dpo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta):
    _, cache = dpo.dpo_loss(np.stack([chosen, rejected], 1), np.stack([ref_chosen, ref_rejected], 1), beta)
    return tuple(dpo.dpo_loss_backward(1.0, cache).T)


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """Azar et al. 2023, arXiv:2310.12036, eq. 17"""
    return np.mean(((chosen - ref_chosen) - (rejected - ref_rejected) - 1 / (2 * beta)) ** 2)


def ipo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta):
    dchosen = 2 * ((chosen - ref_chosen) - (rejected - ref_rejected) - 1 / (2 * beta)) / len(chosen)
    return dchosen, -dchosen


def leave_one_out_advantage(rewards):
    """Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740 (RLOO)"""
    return rewards - (rewards.sum(1, keepdims=True) - rewards) / (rewards.shape[1] - 1)


def kwise_loss(rewards):
    """Every pair of a prompt is one pairwise loss; prompts of the same K have the same number of pairs"""
    better, worse = np.triu_indices(rewards.shape[1], 1)
    return -log_sigmoid(rewards[:, better] - rewards[:, worse]).mean()


def kwise_loss_backward(rewards):
    better, worse = np.triu_indices(rewards.shape[1], 1)
    dmargin = -sigmoid(rewards[:, worse] - rewards[:, better]) / (len(rewards) * len(better))  # (B, pairs)
    drewards = np.zeros_like(rewards)
    np.add.at(drewards.T, better, dmargin.T)
    np.add.at(drewards.T, worse, -dmargin.T)
    return drewards


def plackett_luce_loss(rewards):
    """Choose the best of all, then the best of the rest, and so on; the last choice is none"""
    choices = range(rewards.shape[1] - 1)
    return np.mean(sum(np.logaddexp.reduce(rewards[:, k:], 1) - rewards[:, k] for k in choices))


def plackett_luce_loss_backward(rewards):
    drewards = np.zeros_like(rewards)
    for k in range(rewards.shape[1] - 1):
        drewards[:, k:] += layers.softmax(rewards[:, k:])[0]
        drewards[:, k] -= 1
    return drewards / len(rewards)


def linear(x, weight, bias):
    return layers.linear(x, weight, bias)[0]


def linear_backward(dout, x, weight, bias):
    dx, grads = layers.linear_backward(dout, layers.linear(x, weight, bias)[1])
    return dx, grads["weight"], grads["bias"]


def softmax(x):
    return layers.softmax(x)[0]


def softmax_backward(dout, p):
    return layers.softmax_backward(dout, p)


def gelu(x):
    return layers.gelu(x)[0]


def gelu_backward(dout, x):
    return layers.gelu_backward(dout, layers.gelu(x)[1])


def layer_norm(x, weight, bias):
    return layers.layer_norm(x, weight, bias)[0]


def layer_norm_backward(dout, x, weight, bias):
    dx, grads = layers.layer_norm_backward(dout, layers.layer_norm(x, weight, bias)[1])
    return dx, grads["weight"], grads["bias"]


def embedding_backward(dout, tokens, vocab_size):
    return layers.embedding_backward(dout, (tokens, vocab_size))["weight"]


def attention(q, k, v):
    return attention_room.attention(q, k, v)[0]


def attention_backward(dout, q, k, v):
    return attention_room.attention_backward(dout, attention_room.attention(q, k, v)[1])


def last_token(tokens, length, pad):  # noqa: ARG001  the point of the exercise: neither the ids nor pad are needed
    return length - 1


def last_hidden(hidden, length):
    return hidden[np.arange(len(hidden)), length - 1]


def adamw_step(param, grad, m, v, t, lr, beta1, beta2, eps, weight_decay):
    m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad * grad
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return param - lr * weight_decay * param - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def accuracy(chosen, rejected):
    return np.mean((chosen > rejected) + 0.5 * (chosen == rejected))


def cohen_kappa(a, b):
    observed = np.mean(a == b)
    expected = sum(np.mean(a == label) * np.mean(b == label) for label in np.union1d(a, b))
    return (observed - expected) / (1 - expected)


def brier_score(probability, outcome):
    return np.mean((probability - outcome) ** 2)

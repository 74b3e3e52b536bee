"""The right answers, in the signatures of the published list and in float64.

Where the project has the function, that is the oracle; the tests hold every backward here against the complex step or
central difference of its forward, so that a student is judged by two witnesses.
"""

import math

import numpy as np

from .. import attention as attention_room
from .. import dpo, language_model, layers, losses, ties
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


def kwise_margin_loss(rewards, per_rank):
    i, j = np.triu_indices(rewards.shape[1], 1)
    return -log_sigmoid(rewards[:, i] - rewards[:, j] - per_rank * (j - i)).mean()


def unbiased_loss(chosen, rejected, flip_rate):
    """Natarajan et al. 2013: over the flips of the label, its expectation is the loss of the label before them"""
    margin = chosen - rejected
    return -((1 - flip_rate) * log_sigmoid(margin) - flip_rate * log_sigmoid(-margin)).mean() / (1 - 2 * flip_rate)


def scaled_loss(scale, margin):
    return -log_sigmoid(scale * margin).mean()


def scaled_loss_backward(scale, margin):
    return np.mean(-margin * sigmoid(-scale * margin))


def soft_label_loss(margin, label):
    return -(label * log_sigmoid(margin) + (1 - label) * log_sigmoid(-margin)).mean()


def normal_density(x):
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def normal_cdf(x):
    """Φ(x) = erfc(-x / √2) / 2"""
    return np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2)) / 2


def probit_loss(chosen, rejected):
    return -np.log(normal_cdf(chosen - rejected)).mean()


def probit_loss_backward(chosen, rejected):
    margin = chosen - rejected
    dmargin = -normal_density(margin) / normal_cdf(margin) / len(margin)
    return dmargin, -dmargin


def linear_reward_gradient(weight, chosen, rejected):
    difference = chosen - rejected
    return -(sigmoid(-difference @ weight)[:, None] * difference).mean(0)


def thurstone(first, second):
    return normal_cdf((first - second) / math.sqrt(2))


def rao_kupper(first, second, threshold):
    log_p = ties.rao_kupper(first - second, float(threshold))[0]
    return tuple(np.exp(log_p.T))


def strengths_gradient(wins, strength):
    expected = (wins + wins.T) * sigmoid(strength[:, None] - strength)
    return wins.sum(1) - expected.sum(1)


def mm_step(wins, worth):
    return wins.sum(1) / ((wins + wins.T) / np.add.outer(worth, worth)).sum(1)


def weighted_kappa(a, b):
    return 1 - ((a - b) ** 2).mean() / ((a[:, None] - b) ** 2).mean()


def linear(x, weight, bias):
    return layers.linear(x, weight, bias)[0]


def linear_backward(dout, x, weight, bias):
    dx, grads = layers.linear_backward(dout, layers.linear(x, weight, bias)[1])
    return dx, grads["weight"], grads["bias"]


def lora(x, down, up, weight):
    return x @ weight.T + (x @ down.T) @ up.T


def lora_backward(dout, x, down, up, weight):
    rows, drows = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    return dout @ weight + dout @ up @ down, (drows @ up).T @ rows, drows.T @ (rows @ down.T)


def softmax(x):
    return layers.softmax(x)[0]


def softmax_backward(dout, p):
    return layers.softmax_backward(dout, p)


def log_softmax(x):
    return x - np.logaddexp.reduce(x, -1, keepdims=True)


def log_softmax_backward(dout, x):
    return dout - softmax(x) * dout.sum(-1, keepdims=True)


def gelu(x):
    return layers.gelu(x)[0]


def gelu_backward(dout, x):
    return layers.gelu_backward(dout, layers.gelu(x)[1])


def swiglu(gate, up):
    return gate * sigmoid(gate) * up


def swiglu_backward(dout, gate, up):
    return dout * up * sigmoid(gate) * (1 + gate * sigmoid(-gate)), dout * gate * sigmoid(gate)


def residual(x, weight, bias):
    return x + np.tanh(x @ weight.T + bias)


def residual_backward(dout, x, weight, bias):
    dh = dout * (1 - np.tanh(x @ weight.T + bias) ** 2)
    return dout + dh @ weight, dh.T @ x, dh.sum(0)


def layer_norm(x, weight, bias, eps=1e-5):
    return layers.layer_norm(x, weight, bias, eps)[0]


def layer_norm_backward(dout, x, weight, bias, eps=1e-5):
    dx, grads = layers.layer_norm_backward(dout, layers.layer_norm(x, weight, bias, eps)[1])
    return dx, grads["weight"], grads["bias"]


def rms_norm(x, weight, eps=1e-5):
    return weight * x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def rms_norm_backward(dout, x, weight, eps=1e-5):
    size = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    xhat, dxhat = x / size, dout * weight
    dx = (dxhat - xhat * (dxhat * xhat).mean(-1, keepdims=True)) / size
    return dx, (dout * xhat).reshape(-1, len(weight)).sum(0)


def embedding_backward(dout, tokens, vocab_size):
    return layers.embedding_backward(dout, (tokens, vocab_size))["weight"]


def attention(q, k, v):
    return attention_room.attention(q, k, v)[0]


def attention_backward(dout, q, k, v):
    return attention_room.attention_backward(dout, attention_room.attention(q, k, v)[1])


def next_token_loss(logits, targets, weight):
    return language_model.next_token_loss(logits, targets, weight)[0]


def next_token_loss_backward(logits, targets, weight):
    return language_model.next_token_loss_backward(1.0, language_model.next_token_loss(logits, targets, weight)[1])


def last_token(tokens, length, pad):  # noqa: ARG001  the point of the exercise: neither the ids nor pad are needed
    return length - 1


def last_hidden(hidden, length):
    return hidden[np.arange(len(hidden)), length - 1]


def position_ids(mask):
    return np.maximum(np.cumsum(mask, 1) - 1, 0)


def join_within(prompt, response, limit):
    room = int(limit) - len(response)
    return np.concatenate([prompt[max(0, len(prompt) - room) :], response])


def chosen_first(first, second, preferred):
    chosen, rejected = (np.where(preferred[:, None] == k, first, second) for k in (1, 2))
    return np.stack([chosen, rejected], 1)


def accumulated_gradient(gradients, counts):
    return counts @ gradients / counts.sum()


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


def expected_calibration_error(probability, outcome, bins):
    place = np.minimum((probability * bins).astype(int), int(bins) - 1)
    return np.abs(np.bincount(place, probability - outcome)).sum() / len(place)


def length_slope(score, quality, length):
    """Frisch and Waugh: what is left of the length once quality is taken off it, against the score"""
    score, quality, length = (a - a.mean(1, keepdims=True) for a in (score, quality, length))
    rest = length - quality * (length * quality).sum() / (quality * quality).sum()
    return (score * rest).sum() / (rest * rest).sum()

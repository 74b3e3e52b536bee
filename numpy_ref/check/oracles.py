"""The right answers, in the signatures of the published list and in float64.

If the project has the function, that is the oracle. The tests compare every backward here with the complex step or the
central difference of its forward, so two independent methods agree on the answers that judge a student.
"""

import math

import numpy as np

from .. import attention as attention_room
from .. import dpo, language_model, layers, losses, ties
from ..losses import log_sigmoid, sigmoid

__all__ = ["log_sigmoid", "sigmoid"]


def both(dchosen):
    """(dchosen, drejected) of a function of chosen - rejected: they are opposite"""
    return dchosen, -dchosen


def pairwise_loss(chosen, rejected, **options):
    """mean of -log σ(chosen - rejected); the options are those of losses.pairwise_loss"""
    return losses.pairwise_loss(chosen, rejected, **options)[0]


def pairwise_loss_backward(chosen, rejected, **options):
    """dchosen = (σ(margin) - 1) / B,  drejected = -dchosen"""
    return losses.pairwise_loss_backward(1.0, losses.pairwise_loss(chosen, rejected, **options)[1])


def margin_loss(chosen, rejected, margin):
    """mean of -log σ(chosen - rejected - margin)"""
    return pairwise_loss(chosen, rejected, target_margin=margin)


def margin_loss_backward(chosen, rejected, margin):
    """dchosen = (σ(Δ) - 1) / B,  Δ = chosen - rejected - margin"""
    return pairwise_loss_backward(chosen, rejected, target_margin=margin)


def smoothed_loss(chosen, rejected, label_smoothing):
    """mean of -(1 - ε) log σ(Δ) - ε log σ(-Δ)"""
    return pairwise_loss(chosen, rejected, label_smoothing=label_smoothing)


def smoothed_loss_backward(chosen, rejected, label_smoothing):
    """dchosen = (ε σ(Δ) - (1 - ε) σ(-Δ)) / B"""
    return pairwise_loss_backward(chosen, rejected, label_smoothing=label_smoothing)


def centered_loss(chosen, rejected, coefficient):
    """mean of -log σ(Δ) + c (chosen + rejected)²"""
    return pairwise_loss(chosen, rejected, center_coefficient=coefficient)


def centered_loss_backward(chosen, rejected, coefficient):
    """dchosen = (σ(Δ) - 1 + 2c s) / B,  drejected = (1 - σ(Δ) + 2c s) / B,  s = chosen + rejected"""
    return pairwise_loss_backward(chosen, rejected, center_coefficient=coefficient)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """mean of -log σ(β h),  h = (chosen - ref_chosen) - (rejected - ref_rejected)"""
    return dpo.dpo_loss(np.stack([chosen, rejected], 1), np.stack([ref_chosen, ref_rejected], 1), beta)[0]


def dpo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta):
    """dchosen = β (σ(β h) - 1) / B"""
    _, cache = dpo.dpo_loss(np.stack([chosen, rejected], 1), np.stack([ref_chosen, ref_rejected], 1), beta)
    return tuple(dpo.dpo_loss_backward(1.0, cache).T)


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """mean of (h - 1 / (2β))²,  h = (chosen - ref_chosen) - (rejected - ref_rejected)

    Source: Azar et al. 2023, arXiv:2310.12036, eq. 17.
    """
    return np.mean(((chosen - ref_chosen) - (rejected - ref_rejected) - 1 / (2 * beta)) ** 2)


def ipo_loss_backward(chosen, rejected, ref_chosen, ref_rejected, beta):
    """dchosen = 2 (h - 1 / (2β)) / B"""
    return both(2 * ((chosen - ref_chosen) - (rejected - ref_rejected) - 1 / (2 * beta)) / len(chosen))


def leave_one_out_advantage(rewards):
    """r_i - mean of the other rewards of its prompt

    Source: Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740 (RLOO).
    """
    return rewards - (rewards.sum(1, keepdims=True) - rewards) / (rewards.shape[1] - 1)


def kwise_loss(rewards):
    """mean over prompts of 1/C(K,2) Σ over i < j of -log σ(r_i - r_j)

    This is the mean over all pairs, because every prompt has the same number of them.
    """
    better, worse = np.triu_indices(rewards.shape[1], 1)
    return -log_sigmoid(rewards[:, better] - rewards[:, worse]).mean()


def kwise_loss_backward(rewards):
    """dr_i = Σ over j after i of (σ(r_i - r_j) - 1) / pairs, and the opposite for j"""
    better, worse = np.triu_indices(rewards.shape[1], 1)
    dmargin = -sigmoid(rewards[:, worse] - rewards[:, better]) / (len(rewards) * len(better))  # (B, pairs)
    drewards = np.zeros_like(rewards)
    np.add.at(drewards.T, better, dmargin.T)
    np.add.at(drewards.T, worse, -dmargin.T)
    return drewards


def plackett_luce_loss(rewards):
    """mean over prompts of Σ over k < K of log Σ over j >= k of e^(r_j - r_k)

    The best of all is chosen first, then the best of the rest, and so on. The last response is left without a choice.
    """
    choices = range(rewards.shape[1] - 1)
    return np.mean(sum(np.logaddexp.reduce(rewards[:, k:], 1) - rewards[:, k] for k in choices))


def plackett_luce_loss_backward(rewards):
    """For each choice k: the softmax of the rewards that are left, minus 1 for the chosen one; all divided by B"""
    drewards = np.zeros_like(rewards)
    for k in range(rewards.shape[1] - 1):
        drewards[:, k:] += layers.softmax(rewards[:, k:])[0]
        drewards[:, k] -= 1
    return drewards / len(rewards)


def kwise_margin_loss(rewards, per_rank):
    """mean over i < j of -log σ(r_i - r_j - c (j - i))"""
    i, j = np.triu_indices(rewards.shape[1], 1)
    return -log_sigmoid(rewards[:, i] - rewards[:, j] - per_rank * (j - i)).mean()


def unbiased_loss(chosen, rejected, flip_rate):
    """mean of [(1 - ε) ℓ(Δ) - ε ℓ(-Δ)] / (1 - 2ε),  ℓ(Δ) = -log σ(Δ)

    Averaged over random label flips it is the loss on the true labels (Natarajan et al. 2013).
    """
    margin = chosen - rejected
    return -((1 - flip_rate) * log_sigmoid(margin) - flip_rate * log_sigmoid(-margin)).mean() / (1 - 2 * flip_rate)


def scaled_loss(scale, margin):
    """mean of -log σ(c m)"""
    return -log_sigmoid(scale * margin).mean()


def scaled_loss_backward(scale, margin):
    """dc = mean of -m σ(-c m)"""
    return np.mean(-margin * sigmoid(-scale * margin))


def soft_label_loss(margin, label):
    """mean of -p log σ(m) - (1 - p) log σ(-m)"""
    return -(label * log_sigmoid(margin) + (1 - label) * log_sigmoid(-margin)).mean()


def normal_density(x):
    """φ(x) = e^(-x²/2) / √(2π)"""
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def normal_cdf(x):
    """Φ(x) = erfc(-x / √2) / 2"""
    return np.vectorize(math.erfc, otypes=[float])(-x / math.sqrt(2)) / 2


def probit_loss(chosen, rejected):
    """mean of -log Φ(m)"""
    return -np.log(normal_cdf(chosen - rejected)).mean()


def probit_loss_backward(chosen, rejected):
    """dchosen = -φ(m) / (B Φ(m))"""
    margin = chosen - rejected
    return both(-normal_density(margin) / normal_cdf(margin) / len(margin))


def linear_reward_gradient(weight, chosen, rejected):
    """dw = mean of -σ(-m) (chosen - rejected),  m = (chosen - rejected) w"""
    difference = chosen - rejected
    return -(sigmoid(-difference @ weight)[:, None] * difference).mean(0)


def thurstone(first, second):
    """Φ((first - second) / √2)"""
    return normal_cdf((first - second) / math.sqrt(2))


def rao_kupper(first, second, threshold):
    """win = σ(Δ - η),  tie = the rest,  loss = σ(-Δ - η)"""
    log_p = ties.rao_kupper(first - second, float(threshold))[0]
    return tuple(np.exp(log_p.T))


def strengths_gradient(wins, strength):
    """dλ_i = Σ_j w_ij - (w_ij + w_ji) σ(λ_i - λ_j)"""
    expected = (wins + wins.T) * sigmoid(strength[:, None] - strength)
    return wins.sum(1) - expected.sum(1)


def mm_step(wins, worth):
    """worth_i = Σ_j w_ij / Σ_j (w_ij + w_ji) / (worth_i + worth_j); the diagonal of wins is 0"""
    return wins.sum(1) / ((wins + wins.T) / np.add.outer(worth, worth)).sum(1)


def weighted_kappa(a, b):
    """1 - mean of (a_i - b_i)² / mean over all i and j of (a_i - b_j)²"""
    return 1 - ((a - b) ** 2).mean() / ((a[:, None] - b) ** 2).mean()


def linear(x, weight, bias):
    """y = x Wᵀ + b"""
    return layers.linear(x, weight, bias)[0]


def linear_backward(dout, x, weight, bias):
    """dx = dy W,  dW = Σ dyᵀ x,  db = Σ dy"""
    dx, grads = layers.linear_backward(dout, layers.linear(x, weight, bias)[1])
    return dx, grads["weight"], grads["bias"]


def lora(x, down, up, weight):
    """y = x Wᵀ + x Aᵀ Bᵀ,  A = down, B = up"""
    return x @ weight.T + (x @ down.T) @ up.T


def lora_backward(dout, x, down, up, weight):
    """dx = dy W + dy B A,  dA = Σ (dy B)ᵀ x,  dB = Σ dyᵀ x Aᵀ"""
    rows, drows = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    return dout @ weight + dout @ up @ down, (drows @ up).T @ rows, drows.T @ (rows @ down.T)


def softmax(x):
    """p = eˣ / Σ eˣ over the last axis"""
    return layers.softmax(x)[0]


def softmax_backward(dout, p):
    """dx = p (dp - Σ p dp)"""
    return layers.softmax_backward(dout, p)


def log_softmax(x):
    """x - log Σ eˣ over the last axis"""
    return x - np.logaddexp.reduce(x, -1, keepdims=True)


def log_softmax_backward(dout, x):
    """dx = dy - p Σ dy"""
    return dout - softmax(x) * dout.sum(-1, keepdims=True)


def gelu(x):
    """x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))"""
    return layers.gelu(x)[0]


def gelu_backward(dout, x):
    """dx = dy · dy/dx of the tanh form"""
    return layers.gelu_backward(dout, layers.gelu(x)[1])


def swiglu(gate, up):
    """g σ(g) u"""
    return gate * sigmoid(gate) * up


def swiglu_backward(dout, gate, up):
    """dg = dy u σ(g) (1 + g σ(-g)),  du = dy g σ(g)"""
    return dout * up * sigmoid(gate) * (1 + gate * sigmoid(-gate)), dout * gate * sigmoid(gate)


def residual(x, weight, bias):
    """x + tanh(x Wᵀ + b)"""
    return x + np.tanh(x @ weight.T + bias)


def residual_backward(dout, x, weight, bias):
    """dx = dy + dh W,  dW = dhᵀ x,  db = Σ dh,  dh = dy (1 - tanh²)"""
    dh = dout * (1 - np.tanh(x @ weight.T + bias) ** 2)
    return dout + dh @ weight, dh.T @ x, dh.sum(0)


def layer_norm(x, weight, bias, eps=1e-5):
    """w x̂ + b,  x̂ = (x - μ) / √(σ² + ε)"""
    return layers.layer_norm(x, weight, bias, eps)[0]


def layer_norm_backward(dout, x, weight, bias, eps=1e-5):
    """dx = (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) / √(σ² + ε),  dw = Σ dy x̂,  db = Σ dy"""
    dx, grads = layers.layer_norm_backward(dout, layers.layer_norm(x, weight, bias, eps)[1])
    return dx, grads["weight"], grads["bias"]


def rms_norm(x, weight, eps=1e-5):
    """w x / √(mean x² + ε)"""
    return weight * x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def rms_norm_backward(dout, x, weight, eps=1e-5):
    """dx = (dx̂ - x̂ mean(dx̂ x̂)) / s,  dx̂ = w dy;  dw = Σ dy x̂"""
    size = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    xhat, dxhat = x / size, dout * weight
    dx = (dxhat - xhat * (dxhat * xhat).mean(-1, keepdims=True)) / size
    return dx, (dout * xhat).reshape(-1, len(weight)).sum(0)


def embedding_backward(dout, tokens, vocab_size):
    """dW[v] = Σ dy over the places of token v"""
    return layers.embedding_backward(dout, (tokens, vocab_size))["weight"]


def attention(q, k, v):
    """softmax(q kᵀ / √D) v, where no position sees a later one"""
    return attention_room.attention(q, k, v)[0]


def attention_backward(dout, q, k, v):
    """dV = Pᵀ dY,  dQ = dS K,  dK = dSᵀ Q,  dS = P (dP - Σ P dP) / √D"""
    return attention_room.attention_backward(dout, attention_room.attention(q, k, v)[1])


def next_token_loss(logits, targets, weight):
    """-Σ w log p[target] / Σ w"""
    return language_model.next_token_loss(logits, targets, weight)[0]


def next_token_loss_backward(logits, targets, weight):
    """w (p - one_hot(target)) / Σ w"""
    return language_model.next_token_loss_backward(1.0, language_model.next_token_loss(logits, targets, weight)[1])


def last_token(tokens, length, pad):  # noqa: ARG001  the point of the exercise: neither the ids nor pad are needed
    """length - 1"""
    return length - 1


def last_hidden(hidden, length):
    """hidden[b, length[b] - 1]"""
    return hidden[np.arange(len(hidden)), length - 1]


def position_ids(mask):
    """0, 1, 2, ... from the first real token on, 0 before it"""
    return np.maximum(np.cumsum(mask, 1) - 1, 0)


def join_within(prompt, response, limit):
    """The whole response, and before it as much of the prompt's end as fits"""
    room = int(limit) - len(response)
    return np.concatenate([prompt[max(0, len(prompt) - room) :], response])


def chosen_first(first, second, preferred):
    """(B, T), (B, T) -> (B, 2, T): the preferred row first"""
    chosen, rejected = (np.where(preferred[:, None] == k, first, second) for k in (1, 2))
    return np.stack([chosen, rejected], 1)


def accumulated_gradient(gradients, counts):
    """Σ counts[m] gradients[m] / Σ counts"""
    return counts @ gradients / counts.sum()


def adamw_step(param, grad, m, v, t, lr, beta1, beta2, eps, weight_decay):
    """p - lr λ p - lr m̂ / (√v̂ + ε), and the new m and v; Loshchilov and Hutter 2019, arXiv:1711.05101"""
    m, v = beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad * grad
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return param - lr * weight_decay * param - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def accuracy(chosen, rejected):
    """The share of pairs with chosen > rejected, a tie counting one half"""
    return np.mean((chosen > rejected) + 0.5 * (chosen == rejected))


def cohen_kappa(a, b):
    """(p_o - p_e) / (1 - p_e)"""
    observed = np.mean(a == b)
    expected = sum(np.mean(a == label) * np.mean(b == label) for label in np.union1d(a, b))
    return (observed - expected) / (1 - expected)


def brier_score(probability, outcome):
    """mean of (probability - outcome)²"""
    return np.mean((probability - outcome) ** 2)


def expected_calibration_error(probability, outcome, bins):
    """Σ_b |Σ of probability - outcome in bin b| / N"""
    place = np.minimum((probability * bins).astype(int), int(bins) - 1)
    return np.abs(np.bincount(place, probability - outcome)).sum() / len(place)


def length_slope(score, quality, length):
    """Σ score rest / Σ rest²,  rest = the residual of length after regression on quality (Frisch and Waugh)"""
    score, quality, length = (a - a.mean(1, keepdims=True) for a in (score, quality, length))
    rest = length - quality * (length * quality).sum() / (quality * quality).sum()
    return (score * rest).sum() / (rest * rest).sum()

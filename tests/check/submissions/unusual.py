"""Right, but unusual: loops, einsum, Jacobians, plain floats, other formulas."""
# ruff: noqa: ARG001, B905

import math

import numpy as np


def expit(x):
    return 0.5 * (1 + np.tanh(np.asarray(x) / 2))


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))


def log_sigmoid(x):
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _l(m):
    return max(-m, 0) + math.log1p(math.exp(-abs(m)))


def _g(m):
    return 1 / (1 + math.exp(m)) if m < 700 else math.exp(-m)


def pairwise_loss(chosen, rejected):
    return sum(_l(float(c) - float(r)) for c, r in zip(chosen, rejected)) / len(chosen)


def pairwise_loss_backward(chosen, rejected):
    d = np.zeros(len(chosen))
    for i in range(len(chosen)):
        d[i] = -_g(float(chosen[i] - rejected[i])) / len(chosen)
    return [d, -d]


def margin_loss(chosen, rejected, margin):
    return np.mean([_l(c - r - m) for c, r, m in zip(chosen, rejected, margin)])


def margin_loss_backward(c, r, margin):
    return pairwise_loss_backward(c - margin, r)


def smoothed_loss(c, r, e):
    m = c - r
    return np.mean(np.logaddexp(0, -m) + e * m)


def smoothed_loss_backward(c, r, e):
    g = (expit(c - r) - (1 - e)) / len(c)
    return g, -g


def centered_loss(c, r, k):
    return pairwise_loss(c, r) + k * float(np.mean(np.square(c + r)))


def centered_loss_backward(c, r, k):
    a, b = pairwise_loss_backward(c, r)
    return a + 2 * k * (c + r) / len(c), b + 2 * k * (c + r) / len(c)


def kwise_loss(rewards):
    t = 0
    for row in rewards:
        K = len(row)
        t += sum(_l(row[i] - row[j]) for i in range(K) for j in range(i + 1, K)) / (K * (K - 1) / 2)
    return t / len(rewards)


def kwise_loss_backward(rewards):
    B, K = rewards.shape
    d = np.zeros((B, K))
    for b in range(B):
        for i in range(K):
            for j in range(i + 1, K):
                g = _g(rewards[b, i] - rewards[b, j])
                d[b, i] -= g
                d[b, j] += g
    return d / B / (K * (K - 1) / 2)


def plackett_luce_loss(rewards):
    return np.mean([sum(np.logaddexp.reduce(r[k:]) - r[k] for k in range(len(r))) for r in rewards])


def plackett_luce_loss_backward(rewards):
    out = np.zeros(rewards.shape)
    for b, r in enumerate(rewards):
        for k in range(len(r)):
            e = np.exp(r[k:] - r[k:].max())
            out[b, k:] += e / e.sum()
            out[b, k] -= 1
    return out / len(rewards)


def linear(x, weight, bias):
    return np.einsum("...i,oi->...o", x, weight) + bias


def linear_backward(dout, x, weight, bias):
    return (
        np.einsum("...o,oi->...i", dout, weight),
        np.einsum("no,ni->oi", dout.reshape(-1, dout.shape[-1]), x.reshape(-1, x.shape[-1])),
        dout.reshape(-1, dout.shape[-1]).sum(0),
    )


def softmax(x):
    return np.exp(x - np.logaddexp.reduce(x, axis=-1, keepdims=True))


def softmax_backward(dout, p):
    f = p.reshape(-1, p.shape[-1])
    d = dout.reshape(f.shape)
    o = np.empty(f.shape)
    for n in range(len(f)):
        o[n] = (np.diag(f[n]) - np.outer(f[n], f[n])) @ d[n]
    return o.reshape(p.shape)


def gelu(x):
    return x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_backward(dout, x):
    u = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    s = expit(2 * u)
    return dout * (s + x * 2 * s * (1 - s) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2))


def layer_norm(x, weight, bias, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def layer_norm_backward(dout, x, weight, bias):
    C = x.shape[-1]
    X = x.reshape(-1, C)
    D = dout.reshape(-1, C)
    mu = X.mean(1, keepdims=True)
    s = np.sqrt(X.var(1, keepdims=True) + 1e-5)
    h = (X - mu) / s
    dh = D * weight
    dvar = (dh * (X - mu) * -0.5 * s**-3).sum(1, keepdims=True)
    dmu = (-dh / s).sum(1, keepdims=True) + dvar * (-2 * (X - mu)).mean(1, keepdims=True)
    return (dh / s + dvar * 2 * (X - mu) / C + dmu / C).reshape(x.shape), (D * h).sum(0), D.sum(0)


def embedding_backward(dout, tokens, vocab_size):
    d = np.zeros((vocab_size, dout.shape[-1]))
    for t, g in zip(tokens.reshape(-1), dout.reshape(-1, dout.shape[-1])):
        d[t] += g
    return d


def _p(q, k):
    T = q.shape[-2]
    s = np.einsum("...td,...sd->...ts", q, k) * q.shape[-1] ** -0.5
    s = s + np.where(np.tril(np.ones((T, T))) == 1, 0, -1e9)
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v):
    return np.einsum("...ts,...sd->...td", _p(q, k), v)


def attention_backward(dout, q, k, v):
    p = _p(q, k)
    dv = np.einsum("...ts,...td->...sd", p, dout)
    dp = np.einsum("...td,...sd->...ts", dout, v)
    ds = (p * dp - p * (p * dp).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    return np.einsum("...ts,...sd->...td", ds, k), np.einsum("...ts,...td->...sd", ds, q), dv


def last_token(tokens, length):
    return length - 1


def last_hidden(hidden, length):
    return np.take_along_axis(hidden, (length - 1)[:, None, None], 1)[:, 0]


def adamw_step(param, grad, m, v, t, lr, beta1, beta2, eps, weight_decay):
    p = param * (1 - lr * weight_decay)
    m = m * beta1 + grad * (1 - beta1)
    v = v * beta2 + grad**2 * (1 - beta2)
    return p - lr / (1 - beta1**t) * m / (np.sqrt(v) / np.sqrt(1 - beta2**t) + eps), m, v


def accuracy(chosen, rejected):
    return float(np.mean((np.sign(chosen - rejected) + 1) / 2))


def cohen_kappa(a, b):
    labels = sorted(set(a.tolist()) | set(b.tolist()))
    table = np.array([[np.sum((a == i) & (b == j)) for j in labels] for i in labels])
    n = table.sum()
    chance = table.sum(1) @ table.sum(0)
    return (n * np.trace(table) - chance) / (n * n - chance)


def brier_score(p, y):
    return ((p - y) ** 2).sum() / len(p)

"""The layers, each followed at once by its backward pass.

Every `f(x, **params)` returns `(out, cache)`; its `f_backward(dout, cache)` returns the gradients. There are no layer
objects: the same weights run over many responses before any backward, and a layer that kept its cache on itself
would then answer with the wrong one.

`dx` means dL/dx and has the shape and dtype of `x`. Sizes: B batch, T time, C channels, H heads, D = C // H head
size, V vocabulary, K responses to one prompt, I and O a layer's inputs and outputs.
"""

import math

import numpy as np


def linear(x, weight, bias=None):
    """y = x Wᵀ + b        (..., I) -> (..., O);  weight (O, I), bias (O,) or none"""
    out = x @ weight.T  # (..., O), a product for each response: equal ones get equal bits wherever they stand
    return (out if bias is None else out + bias), (x, weight, bias is not None)


def linear_backward(dout, cache):
    """dx = dy W,  dW = Σ dyᵀ x,  db = Σ dy        Σ over every leading axis"""
    x, weight, has_bias = cache
    rows, drows = x.reshape(-1, x.shape[-1]), dout.reshape(-1, dout.shape[-1])
    grads = {"weight": drows.T @ rows}
    if has_bias:
        grads["bias"] = drows.sum(0)
    return (drows @ weight).reshape(x.shape), grads


def dot(a, b):
    """Σ a b over the last axis        (..., C), (..., C) -> (..., 1)

    No np.vecdot: on complex numbers it conjugates a, which is not analytic.
    """
    return np.einsum("...c,...c->...", a, b)[..., None]


def layer_norm(x, weight, bias, eps=1e-5):
    """y = w x̂ + b,  x̂ = (x - μ) / √(σ² + ε),  μ and σ² over the last axis        (..., C) -> (..., C)

    Source: Ba et al. 2016, arXiv:1607.06450. No np.var: on complex numbers it takes |z|², which is not analytic.
    """
    centred = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt(dot(centred, centred) / x.shape[-1] + eps)  # (..., 1)
    xhat = centred * rstd
    return xhat * weight + bias, (xhat, rstd, weight)


def layer_norm_backward(dout, cache):
    """dx = (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) / √(σ² + ε),  dx̂ = w dy;  dw = Σ dy x̂,  db = Σ dy"""
    xhat, rstd, weight = cache
    dxhat = dout * weight
    dx = rstd * (dxhat - dxhat.mean(-1, keepdims=True) - xhat * (dot(dxhat, xhat) / len(weight)))
    leading = tuple(range(dout.ndim - 1))
    return dx, {"weight": (dout * xhat).sum(leading), "bias": dout.sum(leading)}


SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715  # Python floats: np.sqrt(2) would lift float32 to float64


def gelu(x):
    """y = x/2 (1 + t),  t = tanh(k (x + a x³)),  k = √(2/π), a = 0.044715        (...) -> (...)

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415; GPT-2's tanh form.
    """
    t = np.tanh(SCALE * x * (1 + CUBIC * x * x))
    return 0.5 * x * (1 + t), (x, t)


def gelu_backward(dout, cache):
    """dx = dy [ (1 + t)/2 + x/2 (1 - t²) k (1 + 3a x²) ]"""
    x, t = cache
    return dout * (0.5 * (1 + t) + (0.5 * SCALE) * x * (1 - t * t) * (1 + (3 * CUBIC) * x * x))


def softmax(x):
    """p = eˣ / Σ eˣ over the last axis        (...) -> (...)"""
    e = np.exp(x - x.real.max(-1, keepdims=True))  # the shift cancels, so it need not be analytic
    p = e / e.sum(-1, keepdims=True)
    return p, p


def softmax_backward(dout, p):
    """dx = p (dp - Σ p dp)"""
    return p * (dout - dot(dout, p))


def embedding(tokens, weight):
    """y = W[tokens]        (...) ints -> (..., C);  weight (V, C)"""
    return weight[tokens], (tokens, len(weight))


def embedding_backward(dout, cache):
    """dW[v] = Σ dy over the positions of token v: linear's dW, with the tokens as one-hot rows"""
    tokens, size = cache
    one_hot = (tokens.reshape(-1) == np.arange(size)[:, None]).astype(dout.dtype)
    return {"weight": one_hot @ dout.reshape(-1, dout.shape[-1])}

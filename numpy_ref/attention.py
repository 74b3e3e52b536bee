"""Causal multi-head self-attention and its backward pass (Vaswani et al. 2017, arXiv:1706.03762)."""

import math

import numpy as np

from .layers import linear, linear_backward, softmax, softmax_backward


def split_heads(x, n_head):
    """(B, T, H·D) -> (B, H, T, D); merge_heads is its inverse and its backward"""
    B, T, C = x.shape
    return x.reshape(B, T, n_head, C // n_head).transpose(0, 2, 1, 3)


def merge_heads(x):
    """(B, H, T, D) -> (B, T, H·D); split_heads is its inverse and its backward"""
    B, H, T, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, T, H * D)


def attention(q, k, v):
    """Y = P V,  P = softmax(Q Kᵀ / √D), where no position sees a later one        (B, H, T, D) -> (B, H, T, D)"""
    T, D = q.shape[-2:]
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(D)  # (B, H, T, T)
    future = np.triu(np.ones((T, T), bool), 1)  # (T, T)
    p, _ = softmax(np.where(future, -np.inf, scores))
    return p @ v, (q, k, v, p)


def attention_backward(dout, cache):
    """dV = Pᵀ dY,  dS = softmax_backward(dY Vᵀ, P) / √D,  dQ = dS K,  dK = dSᵀ Q

    The mask needs no line of its own: P is 0 in the future, so softmax's backward is 0 there too.
    """
    q, k, v, p = cache
    dv = p.swapaxes(-1, -2) @ dout  # (B, H, T, D)
    dscores = softmax_backward(dout @ v.swapaxes(-1, -2), p) / math.sqrt(q.shape[-1])  # (B, H, T, T)
    return dscores @ k, dscores.swapaxes(-1, -2) @ q, dv


def self_attention(x, qkv, proj, n_head):
    """One linear makes queries, keys and values; heads attend; one linear mixes them        (B, T, C) -> (B, T, C)"""
    fused, qkv_cache = linear(x, **qkv)  # (B, T, 3C)
    q, k, v = (split_heads(part, n_head) for part in np.split(fused, 3, -1))
    y, attention_cache = attention(q, k, v)
    out, proj_cache = linear(merge_heads(y), **proj)
    return out, (qkv_cache, attention_cache, proj_cache, n_head)


def self_attention_backward(dout, cache):
    """The lines of self_attention, read from bottom to top"""
    qkv_cache, attention_cache, proj_cache, n_head = cache
    dy, dproj = linear_backward(dout, proj_cache)
    dq, dk, dv = attention_backward(split_heads(dy, n_head), attention_cache)
    dfused = np.concatenate([merge_heads(dq), merge_heads(dk), merge_heads(dv)], -1)  # (B, T, 3C)
    dx, dqkv = linear_backward(dfused, qkv_cache)
    return dx, {"qkv": dqkv, "proj": dproj}

"""The reward model: a transformer read at each response's last real token by a scalar head.

A batch holds B prompts with K responses each: `tokens (B, K, T)`, padded on the right, and `length (B, K)`, the number
of real tokens. A pair is K = 2, chosen before rejected. Attention is causal, so padding cannot reach
the last real token: no padding mask is needed, and the pad id is never used to find the end.
"""

import math

import numpy as np

from .layers import linear, linear_backward
from .losses import pairwise_loss, pairwise_loss_backward
from .transformer import transformer, transformer_backward


def init_params(rng, vocab_size, n_positions, n_embd, n_layer, dtype=np.float64):
    """Random weights: a tree whose flattened names are the PyTorch twin's state_dict.

    Embeddings and feed-forward outputs start small and attention outputs large: the model then first learns which words
    of the prompt a response answers.
    """

    def normal(std, *shape):
        return (std * rng.standard_normal(shape)).astype(dtype)

    def affine(n_out, n_in, gain):
        return {"weight": normal(gain / math.sqrt(n_in), n_out, n_in), "bias": np.zeros(n_out, dtype)}

    def norm():
        return {"weight": np.ones(n_embd, dtype), "bias": np.zeros(n_embd, dtype)}

    C = n_embd
    blocks = [
        {
            "ln1": norm(),
            "attn": {"qkv": affine(3 * C, C, 1.0), "proj": affine(C, C, 2.0 / math.sqrt(2 * n_layer))},
            "ln2": norm(),
            "ffn": {"fc": affine(4 * C, C, 1.0), "proj": affine(C, 4 * C, 0.1 / math.sqrt(2 * n_layer))},
        }
        for _ in range(n_layer)
    ]
    tok, pos = {"weight": normal(0.02, vocab_size, C)}, {"weight": normal(0.02, n_positions, C)}
    body = {"tok": tok, "pos": pos, "blocks": blocks, "ln": norm()}
    return {"body": body, "head": {"weight": normal(1.5 / math.sqrt(C), 1, C)}}


def rewards(tokens, length, body, head, n_head):
    """r = w · h[length - 1],  h = transformer(tokens)        (B, K, T) ints, (B, K) ints -> (B, K)

    Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5: the unembedding layer taken off, a scalar head put on.
    The head has no bias, because a constant added to every reward changes no preference.
    """
    B, K, T = tokens.shape
    h, body_cache = transformer(tokens.reshape(B * K, T), **body, n_head=n_head)
    rows, last = np.arange(B * K), length.reshape(-1) - 1
    out, head_cache = linear(h[rows, last], **head)  # (B * K, 1)
    return out.reshape(B, K), (body_cache, head_cache, h.shape, rows, last)


def rewards_backward(dout, cache):
    """Only the last real token's row of dh is not zero"""
    body_cache, head_cache, shape, rows, last = cache
    dlast, dhead = linear_backward(dout.reshape(-1, 1), head_cache)
    dh = np.zeros(shape, dlast.dtype)  # (B * K, T, C)
    dh[rows, last] = dlast
    return {"body": transformer_backward(dh, body_cache), "head": dhead}


def pairs(reward, **loss_options):
    """The pairwise loss of a batch of pairs and dL/dr        (B, 2) -> (), (B, 2)"""
    loss, cache = pairwise_loss(reward[:, 0], reward[:, 1], **loss_options)
    return loss, np.stack(pairwise_loss_backward(1.0, cache), 1)


def loss_and_grads(params, tokens, length, n_head, objective=pairs, **loss_options):
    """(loss, gradient in the shape of `params`, rewards (B, K), and whatever else the objective returns)"""
    reward, cache = rewards(tokens, length, **params, n_head=n_head)  # (B, K)
    loss, dreward, *more = objective(reward, **loss_options)
    return loss, rewards_backward(dreward, cache), reward, *more

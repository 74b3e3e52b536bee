"""The language model that a reward model starts from: the same body, with an unembedding at every position.

Supervised fine-tuning (SFT) trains it to predict, token by token, the responses that people chose. The reward model
replaces the unembedding by a scalar head (Ouyang et al. 2022, section 3.5).
"""

import numpy as np

from .layers import linear, linear_backward, softmax
from .transformer import transformer, transformer_backward


def token_log_probability(logits, targets):
    """log p[target],  p = softmax(logits)        (..., V), (...) ints -> (...)"""
    shifted = logits - logits.real.max(-1, keepdims=True)  # the shift cancels
    picked = np.take_along_axis(shifted, targets[..., None], -1)[..., 0]  # (...)
    return picked - np.log(np.exp(shifted).sum(-1)), (shifted, targets)


def token_log_probability_backward(dout, cache):
    """dlogits = dy (one_hot(target) - p)"""
    logits, targets = cache
    p, _ = softmax(logits)
    dlogits = -p
    dlogits[(*np.indices(targets.shape), targets)] += 1
    return dout[..., None] * dlogits


def next_token_loss(logits, targets, weight):
    """L = -Σ w log p[target] / Σ w,  p = softmax(logits)        (B, T, V), (B, T) ints, (B, T) -> ()

    `weight` is 1 for targets in a response and 0 for padding and the prompt. The unit is nats per token; uniform
    predictions give ln V.
    """
    log_p, cache = token_log_probability(logits, targets)  # (B, T)
    total = weight.sum()
    return -(weight * log_p).sum() / total, (cache, weight / total)


def next_token_loss_backward(dout, cache):
    """dlogits = w (p - one_hot(target)) / Σ w"""
    log_p_cache, share = cache
    return token_log_probability_backward(-dout * share, log_p_cache)


def next_token_logits(tokens, body, unembedding, n_head):
    """The logits of every token but the first, from the tokens before it        (B, T) ints -> (B, T - 1, V)"""
    h, body_cache = transformer(tokens, **body, n_head=n_head)
    logits, unembedding_cache = linear(h[:, :-1], **unembedding)  # (B, T - 1, V)
    return logits, (body_cache, unembedding_cache)


def next_token_logits_backward(dout, cache):
    """The last position predicts nothing, so its row of dh is zero"""
    body_cache, unembedding_cache = cache
    dseen, dunembedding = linear_backward(dout, unembedding_cache)
    dh = np.pad(dseen, [(0, 0), (0, 1), (0, 0)])  # (B, T, C)
    return {"body": transformer_backward(dh, body_cache), "unembedding": dunembedding}


def in_response(logits, length, start):
    """1 where the predicted token belongs to the response, else 0        (B, T - 1, V), (B,), (B,) -> (B, T - 1)"""
    position = np.arange(1, logits.shape[1] + 1)
    return ((position >= start[:, None]) & (position < length[:, None])).astype(logits.real.dtype)


def response_loss(tokens, length, start, body, unembedding, n_head):
    """The next-token loss of the responses        (B, T) ints, (B,) ints, (B,) ints -> ()

    length: number of real tokens; start: index of the first predicted token, the one after the separator.
    """
    logits, logits_cache = next_token_logits(tokens, body, unembedding, n_head)  # (B, T - 1, V)
    loss, loss_cache = next_token_loss(logits, tokens[:, 1:], in_response(logits, length, start))
    return loss, (logits_cache, loss_cache)


def response_loss_backward(dout, cache):
    """The lines of response_loss, read from bottom to top"""
    logits_cache, loss_cache = cache
    return next_token_logits_backward(next_token_loss_backward(dout, loss_cache), logits_cache)


def loss_and_grads(params, tokens, length, start, n_head):
    """The next-token loss of the responses, its gradient in the shape of `params`, {"body", "unembedding"}"""
    loss, cache = response_loss(tokens, length, start, **params, n_head=n_head)
    return loss, response_loss_backward(1.0, cache)


def init_unembedding(rng, vocab_size, n_embd, dtype=np.float64):
    """Random weights of the unembedding: logits near 0, so the loss starts near ln V"""
    return {"weight": (0.02 * rng.standard_normal((vocab_size, n_embd))).astype(dtype)}


def to_reward_model(params, rng):
    """The weights of a language model with a random scalar head in place of the unembedding: reward_model's tree"""
    n_embd = params["unembedding"]["weight"].shape[1]
    head = rng.standard_normal((1, n_embd)) / np.sqrt(n_embd + 1)
    return {"body": params["body"], "head": {"weight": head.astype(params["unembedding"]["weight"].dtype)}}

"""The transformer body: embeddings, pre-norm blocks, a final layer norm. GPT-2's arithmetic without dropout."""

import numpy as np

from .attention import self_attention, self_attention_backward
from .layers import (
    embedding,
    embedding_backward,
    gelu,
    gelu_backward,
    layer_norm,
    layer_norm_backward,
    linear,
    linear_backward,
)


def feed_forward(x, fc, proj):
    """linear, gelu, linear        (B, T, C) -> (B, T, 4C) -> (B, T, C)"""
    h, fc_cache = linear(x, **fc)  # (B, T, 4C)
    a, gelu_cache = gelu(h)
    out, proj_cache = linear(a, **proj)
    return out, (fc_cache, gelu_cache, proj_cache)


def feed_forward_backward(dout, cache):
    """The lines of feed_forward, read from bottom to top"""
    fc_cache, gelu_cache, proj_cache = cache
    da, dproj = linear_backward(dout, proj_cache)
    dh = gelu_backward(da, gelu_cache)
    dx, dfc = linear_backward(dh, fc_cache)
    return dx, {"fc": dfc, "proj": dproj}


def block(x, ln1, attn, ln2, ffn, n_head):
    """x + attn(ln1(x)), then x + ffn(ln2(x))        (B, T, C) -> (B, T, C)"""
    h, ln1_cache = layer_norm(x, **ln1)
    a, attn_cache = self_attention(h, **attn, n_head=n_head)
    x = x + a
    h, ln2_cache = layer_norm(x, **ln2)
    f, ffn_cache = feed_forward(h, **ffn)
    return x + f, (ln1_cache, attn_cache, ln2_cache, ffn_cache)


def block_backward(dout, cache):
    """A residual y = x + f(x) passes dout on and adds the gradient through f: dx = dy + f_backward(dy)"""
    ln1_cache, attn_cache, ln2_cache, ffn_cache = cache
    dh, dffn = feed_forward_backward(dout, ffn_cache)
    dx, dln2 = layer_norm_backward(dh, ln2_cache)
    dout = dout + dx
    dh, dattn = self_attention_backward(dout, attn_cache)
    dx, dln1 = layer_norm_backward(dh, ln1_cache)
    return dout + dx, {"ln1": dln1, "attn": dattn, "ln2": dln2, "ffn": dffn}


def transformer(tokens, tok, pos, blocks, ln, n_head):
    """ln(block(... block(tok[tokens] + pos[0..T-1])))        (B, T) ints -> (B, T, C)"""
    tokens_out, tok_cache = embedding(tokens, **tok)  # (B, T, C)
    positions_out, pos_cache = embedding(np.arange(tokens.shape[1]), **pos)  # (T, C)
    x, block_caches = tokens_out + positions_out, []
    for params in blocks:
        x, cache = block(x, **params, n_head=n_head)
        block_caches.append(cache)
    out, ln_cache = layer_norm(x, **ln)
    return out, (tok_cache, pos_cache, block_caches, ln_cache)


def transformer_backward(dout, cache):
    """The lines of transformer, read from bottom to top; the batch shares each position, so its gradients add up"""
    tok_cache, pos_cache, block_caches, ln_cache = cache
    dx, dln = layer_norm_backward(dout, ln_cache)
    dblocks: list = []
    for block_cache in reversed(block_caches):
        dx, dblock = block_backward(dx, block_cache)
        dblocks.insert(0, dblock)
    dtok = embedding_backward(dx, tok_cache)
    dpos = embedding_backward(dx.sum(0), pos_cache)
    return {"tok": dtok, "pos": dpos, "blocks": dblocks, "ln": dln}

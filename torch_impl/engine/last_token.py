"""The same rewards with less work: without padding, and with the last block computed at the last token only.

The head reads each response's last token only, so the last block needs the keys and values of every position, but only
one query. Responses of a batch differ in length, so they run in groups of similar length with little padding. Both are
exact rewrites of RewardModel.forward: the rewards differ by rounding alone. tests/benchmarks/trainer.py measures what
each saves.
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

GROUP = 2**10  # tokens: with smaller groups the extra calls cost more than the padding that they save


def rewards(model, tokens, length, hidden=None):
    """RewardModel.forward        (B, K, T) ints, (B, K) ints -> (B, K), 0 where a list has no response: length 0

    hidden  (n, T), (n,) -> (n, C): computes the head's input, if the body is not this project's own
    """
    hidden = hidden or partial(last_hidden, model.body)
    rows, lengths = tokens.flatten(0, 1), length.flatten()
    groups = [torch.from_numpy(group).to(rows.device) for group in by_length(lengths.cpu().numpy())]
    last = [hidden(rows[group, : lengths[group[-1]]], lengths[group]) for group in groups]
    out = torch.zeros(len(rows), dtype=model.head.weight.dtype, device=rows.device)
    with torch.autocast(rows.device.type, enabled=False):  # a reward in bfloat16 has three digits
        reward = model.head(torch.cat(last).to(out.dtype))[:, 0]
    return out.index_put((torch.cat(groups),), reward).view(length.shape)


def by_length(lengths, group=GROUP):
    """Groups of rows that run together, shortest first; each group but the last has at least `group` padded tokens

    (n,) ints -> list of arrays of indices; a row of length 0 is in no group
    """
    order = np.argsort(lengths, kind="stable")
    order, groups = order[np.count_nonzero(lengths == 0) :], []
    while len(order):
        padded = np.arange(1, len(order) + 1) * lengths[order]  # tokens of the first 1, 2, ... rows
        size = 1 + int(np.searchsorted(padded, group))
        groups.append(order[:size])
        order = order[size:]
    return groups


def last_hidden(body, tokens, length):
    """The body's output at each row's last real token        (n, T), (n,) -> (n, C)"""
    x = body.tok(tokens) + body.pos(torch.arange(tokens.shape[1], device=tokens.device))
    for block in body.blocks[:-1]:
        x = block(x)
    seen = torch.arange(tokens.shape[1], device=x.device) < length[:, None]  # (n, T): a last token sees all real ones
    return body.ln(some_of_block(body.blocks[-1], x, seen[:, None, None], length[:, None] - 1))[:, 0]


def some_of_block(block, x, sees, at):
    """A block's output at K positions of each row        (n, T, C), mask (n, 1, K, T), (n, K) ints -> (n, K, C)"""
    h = x[torch.arange(len(x), device=x.device)[:, None], at] + attention(block.attn, block.ln1(x), sees, at)
    return h + block.ffn(block.ln2(h))


def attention(attn, x, sees, at=None):
    """SelfAttention.forward under a mask, at all positions or at K of each row        (n, T, C) -> (n, T or K, C)"""
    C = x.shape[-1]
    asked = x if at is None else x[torch.arange(len(x), device=x.device)[:, None], at]
    query = F.linear(asked, attn.qkv.weight[:C], attn.qkv.bias[:C])
    k, v = F.linear(x, attn.qkv.weight[C:], attn.qkv.bias[C:]).chunk(2, -1)
    q, k, v = (part.unflatten(-1, (attn.n_head, -1)).transpose(1, 2) for part in (query, k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=sees)  # (n, H, T or K, D)
    return attn.proj(y.transpose(1, 2).flatten(-2))

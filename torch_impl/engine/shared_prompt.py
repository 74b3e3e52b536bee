"""A prompt computed once for all its responses: an exact rewrite of the forward pass, for lists with long prompts.

The responses of a list follow their prompt in one row, each at the positions that it would have alone:

    tokens      p p p p a a a b b        a token of b sees the prompt and b, but not a: a tree of two branches
    positions   0 1 2 3 4 5 6 4 5

Attention is causal, so the common beginning of the K texts of a list, prompt or not, has the same hidden states in each
of them. tests/benchmarks/trainer.py measures what this saves.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from . import last_token

PAYS = 0.85  # share of the tokens that remain: above this, the mask costs more than the shared tokens save


class Packed(NamedTuple):
    """B lists as rows of S tokens, padded on the right"""

    tokens: np.ndarray  # (B, S)
    position: np.ndarray  # (B, S)
    branch: np.ndarray  # (B, S) 0 for the shared tokens, k + 1 for those of response k alone
    last: np.ndarray  # (B, K) the place of each response's last token; 0 where a list has no response
    size: np.ndarray  # (B,) real tokens


def shared_length(tokens, length):
    """How many leading tokens all responses of a list share; each keeps at least its last token        -> (B,)"""
    present = length[:, :, None] > 0
    same = ((tokens == tokens[:, :1]) | ~present).all(1)  # (B, T)
    shortest = np.where(length > 0, length, tokens.shape[-1]).min(1)
    return np.minimum(np.where(same.all(1), tokens.shape[-1], same.argmin(1)), shortest - 1)


def pack(tokens, length):
    """tokens (B, K, T), length (B, K), 0 for no response -> Packed"""
    shared = shared_length(tokens, length)
    own = np.maximum(length - shared[:, None], 0)  # (B, K)
    size = shared + own.sum(1)
    B, K, T = tokens.shape
    end = shared[:, None] + own.cumsum(1)  # (B, K): the place after each response's last token
    place, column = np.arange(size.max()), np.arange(size.max())[None]
    branch = (column[..., None] >= np.concatenate([shared[:, None], end], 1)[:, None]).sum(-1)  # (B, S)
    of = np.clip(branch - 1, 0, K - 1)
    begin = np.take_along_axis(end - own, of, 1)  # where the branch begins in the row
    position = np.where(branch == 0, column, column - begin + shared[:, None])
    position = np.where(place < size[:, None], position, 0)
    packed = tokens[np.arange(B)[:, None], of, np.minimum(position, T - 1)]
    return Packed(packed, position, branch, np.where(own > 0, end - 1, 0), size)


def rewards(model, tokens, length, hidden=None, hidden_alone=None):
    """RewardModel.forward        (B, K, T) ints, (B, K) ints -> (B, K), 0 where a list has no response

    hidden, hidden_alone    replace `last_hidden` of this file and of last_token.py, if the body is not this project's
                            own
    """
    hidden = hidden or partial(last_hidden, model.body)
    packed = pack(tokens.cpu().numpy(), length.cpu().numpy())
    if packed.size.sum() > PAYS * length.sum():
        return last_token.rewards(model, tokens, length, hidden_alone)
    reward = torch.zeros(length.shape, dtype=model.head.weight.dtype, device=tokens.device)
    for group in last_token.by_length(packed.size):
        part = Packed(*(array[group] for array in packed))
        width = part.size.max()
        ids, position, branch = (
            torch.from_numpy(array[:, :width]).to(tokens.device) for array in (part.tokens, part.position, part.branch)
        )
        last = hidden(ids, position, branch, torch.from_numpy(part.last).to(tokens.device))
        with torch.autocast(tokens.device.type, enabled=False):
            rows = torch.from_numpy(group).to(tokens.device)
            reward = reward.index_put((rows,), model.head(last.to(reward.dtype))[..., 0])
    return torch.where(length > 0, reward, 0)


def seen(branch):
    """The mask: a token sees the earlier tokens of the prompt and of its own response        (n, S) -> (n, 1, S, S)"""
    return ((branch[:, None] == 0) | (branch[:, None] == branch[:, :, None])).tril()[:, None]


def last_hidden(body, tokens, position, branch, last):
    """The body's output at the last token of each response        (n, S) ..., (n, K) -> (n, K, C)"""
    x = body.tok(tokens) + body.pos(position)
    sees = seen(branch)  # (n, 1, S, S)
    for block in body.blocks[:-1]:
        x = x + last_token.attention(block.attn, block.ln1(x), sees)
        x = x + block.ffn(block.ln2(x))
    rows = torch.arange(len(x), device=x.device)[:, None]
    return body.ln(last_token.some_of_block(body.blocks[-1], x, sees[rows, :, last].transpose(1, 2), last))

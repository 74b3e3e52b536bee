"""Preferences as arrays: B prompts with K responses each, padded on the right, and every response's true length.

The order of a run is a function of its seed and the step alone, so that a resumed run needs no random state of its own.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .tokenizer import PAD


class Encoded(NamedTuple):
    """N prompts' responses as token ids, best first, the asked lead of each pair, and what was left out and why"""

    rows: list  # N lists of K lists of ids
    margin: np.ndarray  # (N,)
    kept: list  # the preferences that the rows stand for
    too_long: int
    identical: int


def encode(tokenizer, preferences, max_length):
    """Token ids of every preference but those with a response beyond max_length, or with equal responses

    Nothing is cut: a cut response has lost its end, and two responses may become equal. They would cost a forward pass,
    teach nothing, and pull the accuracy towards one half.
    """
    rows, kept, too_long, identical = [], [], 0, 0
    for preference in preferences:
        row = [tokenizer.encode(preference.prompt, response) for response in preference.responses]
        if max(map(len, row)) > max_length:
            too_long += 1
        elif all(ids == row[0] for ids in row):
            identical += 1
        else:
            rows.append(row)
            kept.append(preference)
    return Encoded(rows, np.array([preference.margin for preference in kept]), kept, too_long, identical)


def collate(rows):
    """Lists of ids to one padded array        B lists of K lists -> tokens (B, K, T), length (B, K)"""
    length = np.array([[len(ids) for ids in row] for row in rows])
    tokens = np.full((*length.shape, length.max()), PAD)  # (B, K, T)
    for row, out in zip(rows, tokens, strict=True):
        for ids, slot in zip(row, out, strict=True):
            slot[: len(ids)] = ids
    return tokens, length


@lru_cache(maxsize=2)
def _epoch_order(seed, epoch, n):
    return np.random.default_rng([seed, epoch]).permutation(n)


def steps_per_epoch(n, batch_size):
    """The last batch of an epoch may be smaller; none is left out"""
    return -(-n // batch_size)


def batch_indices(step, n, batch_size, seed):
    """Which of the n prompts step (from 0) trains on: every epoch visits each once, in an order of its own"""
    epoch, i = divmod(step, steps_per_epoch(n, batch_size))
    return _epoch_order(seed, epoch, n)[i * batch_size : (i + 1) * batch_size]


def all_rewards(rewards, rows, max_tokens=2**14):
    """`rewards(tokens, length)` over any number of prompts        N lists of K lists -> (N, K)

    Prompts of similar length go together, at most max_tokens padded tokens at a time: little padding, bounded memory.
    """
    out = np.empty((len(rows), len(rows[0])))
    longest = np.array([max(map(len, row)) for row in rows])
    chunk: list = []
    for i in np.argsort(-longest, kind="stable"):
        if chunk and (len(chunk) + 1) * out.shape[1] * longest[chunk[0]] > max_tokens:
            out[chunk] = rewards(*collate([rows[j] for j in chunk]))
            chunk = []
        chunk.append(i)
    out[chunk] = rewards(*collate([rows[j] for j in chunk]))
    return out

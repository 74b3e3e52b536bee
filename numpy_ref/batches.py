"""Preferences as arrays: B prompts with K responses each, padded on the right, and every response's true length.

The order of a run is a function of its seed and the step alone, so that a resumed run needs no random state of its own.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np

from .ranking import ABSENT


def collate(rows):
    """Lists of ids to one array, padded with 0        B lists of K lists -> tokens (B, K, T), length (B, K)

    A list shorter than the longest gets rows of padding, of which collate_ranks says that no response stands there.
    """
    length = stacked([[[len(ids) for ids in row]] for row in rows], 1)  # (B, K)
    tokens = np.zeros((*length.shape, length.max()), int)  # (B, K, T)
    for row, out in zip(rows, tokens, strict=True):
        for ids, slot in zip(row, out, strict=False):  # fewer rows than slots where others have more responses
            slot[: len(ids)] = ids
    return tokens, length


def collate_ranks(ranks):
    """B tuples of K ranks to one array, ABSENT where a list is shorter        -> (B, K)"""
    return stacked([[row] for row in ranks], ABSENT)


def stacked(arrays, fill):
    """Arrays (B_i, K_i) below each other, the narrower ones filled up on the right        -> (Σ B_i, max K_i)"""
    arrays = [np.asarray(array) for array in arrays]
    out = np.full((sum(map(len, arrays)), max(array.shape[1] for array in arrays)), fill, arrays[0].dtype)
    start = 0
    for array in arrays:
        out[start : start + len(array), : array.shape[1]] = array
        start += len(array)
    return out


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

    Responses of similar length go together, at most max_tokens padded tokens at a time: little padding, and memory is
    bounded however long a list is. A text that stands in many lists, as in a tournament, is run once. What stands where
    a list has no response is 0 and means nothing.
    """
    out = np.zeros((len(rows), max(map(len, rows))))
    length = np.fromiter((len(ids) for row in rows for ids in row), np.int32)
    n = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    k = np.arange(len(n)) - np.searchsorted(n, n)  # the place in its list
    first = first_of_same(rows)
    order, start = np.argsort(-length, kind="stable"), 0
    order = order[first[order] == order]
    while start < len(order):
        chunk = order[start : start + max(1, max_tokens // length[order[start]])]
        out[n[chunk], k[chunk]] = rewards(*collate([[rows[n[i]][k[i]]] for i in chunk]))[:, 0]
        start += len(chunk)
    out[n, k] = out[n[first], k[first]]
    return out


def first_of_same(rows):
    """For each response, lists laid end to end, the number of the first one with the same ids        -> (Σ K,)"""
    seen: dict[bytes, int] = {}
    digests = (blake2b(np.asarray(ids, np.int32).tobytes(), digest_size=16).digest() for row in rows for ids in row)
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)])

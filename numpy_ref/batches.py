"""Preferences as arrays: B prompts with K responses each, padded on the right, and every response's true length.

The order of a run depends on its seed and the step alone, so a resumed run needs no saved random state.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np

from .ranking import ABSENT


def collate(rows):
    """Stacks lists of ids into one array, padded with 0        B lists of K lists -> tokens (B, K, T), length (B, K)

    A list with fewer responses than the longest gets rows of padding; collate_ranks marks them ABSENT.
    """
    length = stacked([[[len(ids) for ids in row]] for row in rows], 1)  # (B, K)
    tokens = np.zeros((*length.shape, length.max()), int)  # (B, K, T)
    for row, out in zip(rows, tokens, strict=True):
        for ids, slot in zip(row, out, strict=False):  # a shorter list fills only the first slots
            slot[: len(ids)] = ids
    return tokens, length


def collate_ranks(ranks):
    """Stacks B tuples of K ranks into one array, ABSENT where a list is shorter        -> (B, K)"""
    return stacked([[row] for row in ranks], ABSENT)


def stacked(arrays, fill):
    """Stacks arrays (B_i, K_i) into one, padding on the right with `fill`        -> (Σ B_i, max K_i)"""
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
    """The prompts that `step` (from 0) trains on: each epoch visits every prompt once, in its own random order"""
    epoch, i = divmod(step, steps_per_epoch(n, batch_size))
    return _epoch_order(seed, epoch, n)[i * batch_size : (i + 1) * batch_size]


def all_rewards(rewards, rows, max_tokens=2**14):
    """`rewards(tokens, length)` over any number of prompts        N lists of K lists -> (N, K)

    Responses of similar length share a batch of at most max_tokens padded tokens, so there is little padding and memory
    is bounded. A text that occurs in several lists, as in a tournament, is scored once. Slots without a response are 0.
    """
    out = np.zeros((len(rows), max(map(len, rows))))
    length = np.fromiter((len(ids) for row in rows for ids in row), np.int32)
    n = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    k = np.arange(len(n)) - np.searchsorted(n, n)  # position within its list
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
    """For each response, counted through all lists, the index of the first one with the same ids        -> (Σ K,)"""
    seen: dict[bytes, int] = {}
    digests = (blake2b(np.asarray(ids, np.int32).tobytes(), digest_size=16).digest() for row in rows for ids in row)
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)])

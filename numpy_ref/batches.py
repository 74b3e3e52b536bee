"""Preferences as arrays: B prompts with K responses each, padded on the right, and every response's true length.

The order of a run is a function of its seed and the step alone, so that a resumed run needs no random state of its own.
"""

from functools import lru_cache
from hashlib import blake2b
from itertools import combinations
from typing import NamedTuple

import numpy as np

from .errors import InputError
from .ranking import ABSENT


class Encoded(NamedTuple):
    """N prompts' responses as token ids, best first, the asked lead of each pair, and what was left out and why

    A list may hold the same response twice: it is kept as it was ranked, and counted. That comparison is ln 2 in the
    loss and nothing in the gradient.
    """

    rows: list  # N lists of K lists of ids
    margin: np.ndarray  # (N,)
    kept: list  # the preferences that the rows stand for
    too_long: int
    identical: int
    ranks: list  # N tuples of K ranks, 1 best, ties equal
    all_tied: int = 0
    repeating: int = 0  # kept, with a response that stands in the list twice


def encode(tokenizer, preferences, max_length, keep_tied=False):
    """Token ids of every preference but those with a response beyond max_length, or with equal responses or ranks

    Nothing is cut: a cut response has lost its end, and two responses may become equal. They would cost a forward pass,
    teach nothing, and pull the accuracy towards one half. So would a list whose ranks are all the same, unless ties
    themselves are learned from (keep_tied).
    """
    rows, kept, too_long, identical, all_tied, repeating = [], [], 0, 0, 0, 0
    for number, preference in enumerate(preferences, 1):
        row = _encoded(tokenizer, preference, number)
        if max(map(len, row)) > max_length:
            too_long += 1
        elif all(ids == row[0] for ids in row):
            identical += 1
        elif not keep_tied and len(set(preference.ranks)) == 1:
            all_tied += 1
        else:
            rows.append(row)
            kept.append(preference)
            repeating += len(set(map(tuple, row))) < len(row)
    margin, ranks = np.array([preference.margin for preference in kept]), [preference.ranks for preference in kept]
    return Encoded(rows, margin, kept, too_long, identical, ranks, all_tied, repeating)


def _encoded(tokenizer, preference, number):
    try:
        return [tokenizer.encode(preference.prompt, response) for response in preference.responses]
    except InputError as error:
        raise InputError(f"preference {number}: {error}") from None


def comparisons(data, margin_per_rank=0.0):
    """Every comparison of every list as a pair of its own, the better first: C(K, 2) rows for K responses

    A tie is no comparison; two equal responses are none either, and are counted with `identical`.
    """
    rows, margin, kept, identical = [], [], [], data.identical
    for row, lead, preference in zip(data.rows, data.margin, data.kept, strict=True):
        for i, j in combinations(range(len(row)), 2):
            distance = preference.ranks[j] - preference.ranks[i]
            if distance and row[i] == row[j]:
                identical += 1
            elif distance:
                rows.append([row[i], row[j]])
                margin.append(lead + margin_per_rank * distance)
                kept.append(preference)
    return Encoded(rows, np.array(margin), kept, data.too_long, identical, [(1, 2)] * len(rows), data.all_tied)


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

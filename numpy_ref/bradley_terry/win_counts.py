"""Who met whom how often: the games of each pair in one row, however many they were.

The rows of Pairs are in the order of their first item. That makes the graph of comparisons a sparse matrix: a
difference along each row (`difference`) and its transpose (`difference_backward`) cost a few passes over the rows, and
no array of all possible pairs is ever made.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..errors import InputError


class Pairs(NamedTuple):
    """Row k holds the games of items first[k] and second[k], counted from the first one's side

    With a home effect `first` is at home. The rows of each first item, `leading`, begin at `starts`, `lengths` many.
    """

    n_items: int
    first: np.ndarray
    second: np.ndarray
    wins: np.ndarray
    ties: np.ndarray
    losses: np.ndarray
    starts: np.ndarray
    leading: np.ndarray
    lengths: np.ndarray


def blocks(pairs, rows=1 << 17):
    """The rows in runs of some 130,000, each short enough for the cache; a run ends where a first item ends"""
    cuts = np.unique(np.searchsorted(pairs.starts, np.arange(rows, len(pairs.first), rows)))
    edges = [0, *pairs.starts[cuts[cuts < len(pairs.starts)]].tolist(), len(pairs.first)]
    for begin, end in pairwise(edges):
        columns = (column[begin:end] for column in pairs[1:6])
        yield make_pairs(pairs.n_items, *columns)


def difference(strength, pairs):
    """d = λ_first - λ_second        (N,) -> (M,)"""
    return np.repeat(strength[pairs.leading], pairs.lengths) - strength[pairs.second]


def difference_backward(dd, pairs):
    """dλ_i = Σ dd where i is first - Σ dd where i is second        (M,) -> (N,)"""
    dstrength = -np.bincount(pairs.second, dd, pairs.n_items)
    dstrength[pairs.leading] += np.add.reduceat(dd, pairs.starts)
    return dstrength


def total_per_item(x, pairs):
    """Σ x over the rows in which an item stands, on either side        (M,) -> (N,)"""
    total = np.bincount(pairs.second, x, pairs.n_items)
    total[pairs.leading] += np.add.reduceat(x, pairs.starts)
    return total


def won_and_lost(pairs):
    """Games won and lost by each item, a tie half and half        -> (N,), (N,)"""
    total = total_per_item(pairs.wins + pairs.ties + pairs.losses, pairs)
    lead = difference_backward(pairs.wins - pairs.losses, pairs)
    return (total + lead) / 2, (total - lead) / 2


def pairs_of_rows(first, second, wins, losses, ties=None, n_items=None, ordered=False):
    """Rows of counts -> Pairs; rows of the same pair are added up, whichever item stands first

    wins, losses, ties      how often first won, second won, neither: counts or weights, finite and not negative
    ordered                 keeps a pair's two orders apart, for a home effect or a deviance per order
    """
    first, second = np.asarray(first), np.asarray(second)
    counts = [np.broadcast_to(np.asarray(c, float), first.shape) for c in (wins, 0 if ties is None else ties, losses)]
    n_items = check_rows(first, second, counts, n_items)
    if not ordered:
        swap = first > second
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        counts = [np.where(swap, counts[2 - k], counts[k]) for k in range(3)]
    played = counts[0] + counts[1] + counts[2] > 0
    key = (first.astype(np.int64) * n_items + second)[played]
    order = np.argsort(key, kind="stable")
    key = key[order]
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    if not len(begins):
        raise InputError("there is no game: every count is 0, expected at least one game between two items")
    wins, ties, losses = (np.add.reduceat(c[played][order], begins) for c in counts)
    return make_pairs(n_items, key[begins] // n_items, key[begins] % n_items, wins, ties, losses)


def pairs_of_games(winner, loser, n_items=None):
    """One game an entry -> Pairs, by counting where all pairs are few, by sorting where they are many        (G,), (G,)

    Sorted is the number (smaller item, larger item, whether the larger one won) in one machine word.
    """
    winner, loser = np.asarray(winner), np.asarray(loser)
    n_items = check_rows(winner, loser, [], n_items)
    if n_items * n_items <= 2 * len(winner):
        table = np.bincount(winner * n_items + loser, minlength=n_items * n_items).reshape(n_items, n_items)
        first, second = np.nonzero(np.triu(table + table.T))
        wins, losses = table[first, second], table[second, first]
    else:
        bits = int(n_items - 1).bit_length()
        word = np.uint32 if 2 * bits < 32 else np.int64
        code = np.minimum(winner, loser).astype(word)
        code <<= bits
        code |= np.maximum(winner, loser).astype(word)
        code <<= 1
        code |= winner > loser
        code.sort()
        begins = np.concatenate([[0], 1 + np.flatnonzero((code[1:] ^ code[:-1]) > 1)])
        losses = np.add.reduceat(code & 1, begins, dtype=np.int64)
        wins = np.diff(begins, append=len(code)) - losses
        pair = (code[begins] >> 1).astype(np.int64)
        first, second = pair >> bits, pair & ((1 << bits) - 1)
    return make_pairs(n_items, first, second, wins.astype(float), np.zeros(len(first)), losses.astype(float))


def make_pairs(n_items, first, second, wins, ties, losses):
    """Pairs from rows that are distinct and in the order of first"""
    starts = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
    lengths = np.diff(np.append(starts, len(first)))
    return Pairs(n_items, first, second, wins, ties, losses, starts, first[starts], lengths)


def check_rows(first, second, counts, n_items):
    """The number of items; InputError for what cannot be a table of games"""
    if first.ndim != 1 or first.shape != second.shape or first.dtype.kind not in "iu" or second.dtype.kind not in "iu":
        raise InputError(
            f"items must be two integer arrays of one length, found {first.dtype} {first.shape} and "
            f"{second.dtype} {second.shape}; turn labels into integers with games.index_labels"
        )
    if not len(first):
        raise InputError("there is no game: the table is empty, expected at least one game between two items")
    lowest, highest = min(first.min(), second.min()), max(first.max(), second.max())
    n_items = int(highest) + 1 if n_items is None else n_items
    if lowest < 0 or highest >= n_items:
        raise InputError(f"item {lowest if lowest < 0 else highest} is not one of the items 0 to {n_items - 1}")
    if (first == second).any():
        row = int(np.argmax(first == second))
        raise InputError(f"row {row}: item {first[row]} is compared with itself; take such rows out")
    for count in counts:
        if not (np.isfinite(count) & (count >= 0)).all():
            row = int(np.argmin(np.isfinite(count) & (count >= 0)))
            raise InputError(f"row {row}: the count is {count[row]}, expected a number that is not negative")
    return n_items

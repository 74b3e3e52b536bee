"""Games as counts: one row for all games of a pair.

The rows of Pairs are sorted by their first item. They form a sparse matrix with one row per pair: `difference`
multiplies by it, `difference_backward` by its transpose. Both take a few passes over the rows, without an array of all
N² pairs.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..errors import InputError


class Pairs(NamedTuple):
    """Row k holds the games between items first[k] and second[k]: wins[k] are those that the first item won

    at_home is 1 if the first item is at home, 0 on neutral ground or if the ground is unknown. The rows whose first
    item is leading[k] are the lengths[k] rows from starts[k] on.
    """

    n_items: int
    first: np.ndarray
    second: np.ndarray
    wins: np.ndarray
    ties: np.ndarray
    losses: np.ndarray
    at_home: np.ndarray
    starts: np.ndarray
    leading: np.ndarray
    lengths: np.ndarray


def blocks(pairs, rows=1 << 17):
    """The rows in blocks of about 130,000, which fit in the cache; all rows of one first item are in one block"""
    cuts = np.unique(np.searchsorted(pairs.starts, np.arange(rows, len(pairs.first), rows)))
    edges = [0, *pairs.starts[cuts[cuts < len(pairs.starts)]].tolist(), len(pairs.first)]
    for begin, end in pairwise(edges):
        columns = (column[begin:end] for column in pairs[1:7])
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
    """Σ x over the rows that an item is in, as first or second        (M,) -> (N,)"""
    total = np.bincount(pairs.second, x, pairs.n_items)
    total[pairs.leading] += np.add.reduceat(x, pairs.starts)
    return total


def without_shift(n_items, r):
    """r less the mean of its first n_items numbers: a common shift changes no difference        (n,) -> (n,)"""
    return np.concatenate([r[:n_items] - r[:n_items].mean(), r[n_items:]])


def won_and_lost(pairs):
    """Games won and lost by each item; a tie is half a win and half a loss        -> (N,), (N,)"""
    total = total_per_item(pairs.wins + pairs.ties + pairs.losses, pairs)
    lead = difference_backward(pairs.wins - pairs.losses, pairs)
    return (total + lead) / 2, (total - lead) / 2


def pairs_of_rows(first, second, wins, losses, ties=None, n_items=None, ordered=False, at_home=None):
    """Rows of counts -> Pairs; rows of the same pair on the same ground are added up

    wins, losses, ties      how often first won, second won, neither: counts or weights, finite and not negative
    ordered                 the first item of every row is at home
    at_home                 (M,) who is at home in each row: 1 first, -1 second, 0 neither
    """
    first, second = np.asarray(first), np.asarray(second)
    counts = [np.broadcast_to(np.asarray(c, float), first.shape) for c in (wins, 0 if ties is None else ties, losses)]
    n_items = check_rows(first, second, counts, n_items)
    ground = np.broadcast_to(np.asarray(int(ordered) if at_home is None else at_home, np.int64), first.shape)
    swap = np.where(ground == 0, first > second, ground < 0)
    first, second = np.where(swap, second, first), np.where(swap, first, second)
    counts = [np.where(swap, counts[2 - k], counts[k]) for k in range(3)]
    played = counts[0] + counts[1] + counts[2] > 0
    if not played.any():
        raise InputError("there is no game: every count is 0, expected at least one game between two items")
    key = ((first.astype(np.int64) * n_items + second) * 2 + (ground != 0))[played]
    key, counts = add_up(key, [count[played] for count in counts], 2 * n_items * n_items)
    pair = key >> 1
    wins, ties, losses = counts
    return make_pairs(n_items, pair // n_items, pair % n_items, wins, ties, losses, (key & 1).astype(float))


def add_up(key, columns, n_keys):
    """The different keys in order, and each column's sum over a key's rows        (M,), [(M,)], () -> (K,), [(K,)]"""
    if n_keys <= 2 * len(key):  # few keys: counting is faster than sorting
        keys = np.flatnonzero(np.bincount(key, minlength=n_keys))
        return keys, [np.bincount(key, column, n_keys)[keys] for column in columns]
    order = np.argsort(key, kind="stable")
    key = key[order]
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    return key[begins], [np.add.reduceat(column[order], begins) for column in columns]


def pairs_of_games(winner, loser, n_items=None, count=None):
    """Each entry is one game, or `count` games        (G,), (G,), (G,) -> Pairs

    Counts in an N × N table if that is small, otherwise sorts. The sort key packs (smaller item, larger item, whether
    the larger one won) into one machine word.
    """
    winner, loser = np.asarray(winner), np.asarray(loser)
    n_items = check_rows(winner, loser, [] if count is None else [count], n_items)
    if n_items * n_items <= 2 * len(winner):
        code = winner * n_items
        code += loser
        table = np.bincount(code, count, n_items * n_items).reshape(n_items, n_items)
        met = np.flatnonzero(np.triu(table + table.T))
        if not len(met):
            raise InputError("there is no game: every count is 0, expected at least one game between two items")
        first, second = np.divmod(met, n_items)
        wins, losses = table.ravel()[met], table.T.ravel()[met]
    elif count is not None:
        return pairs_of_rows(winner, loser, count, 0, n_items=n_items)
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
    none = np.zeros(len(first))
    return make_pairs(n_items, first, second, wins.astype(float), none, losses.astype(float), none)


def make_pairs(n_items, first, second, wins, ties, losses, at_home):
    """Pairs from rows that are distinct and in the order of first"""
    starts = np.flatnonzero(np.concatenate([[True], first[1:] != first[:-1]]))
    lengths = np.diff(np.append(starts, len(first)))
    return Pairs(n_items, first, second, wins, ties, losses, at_home, starts, first[starts], lengths)


def check_rows(first, second, counts, n_items):
    """The number of items; InputError if these arrays are not a table of games"""
    if first.ndim != 1 or first.shape != second.shape or first.dtype.kind not in "iu" or second.dtype.kind not in "iu":
        raise InputError(
            f"items must be two integer arrays of one length, found {first.dtype} {first.shape} and "
            f"{second.dtype} {second.shape}; turn labels into integers with games.index_labels"
        )
    if not len(first):
        raise InputError("there is no game: the table is empty, expected at least one game between two items")
    highest = max(int(first.max()), int(second.max()))
    n_items = highest + 1 if n_items is None else n_items
    lowest = min(int(first.min()), int(second.min()))
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

"""What stands between the rows: repeated comparisons, both orders, cycles, and what splits share.

A node is a response under its prompt in one file, whitespace aside; a comparison is an arrow from the better to the
worse. What one file holds twice and what two files share are different troubles: nodes of two files never meet.
"""

from typing import NamedTuple

import numpy as np

from ..bradley_terry.existence import strong_groups

PEELINGS = 64  # rounds; what a chain of answers still holds after them is walked arrow by arrow


class Comparisons(NamedTuple):
    """C comparisons: the row of each, its two responses' places, and the same two as nodes"""

    row: np.ndarray  # (C,)
    better: np.ndarray  # (C,) places in the columns of responses
    worse: np.ndarray  # (C,)
    winner: np.ndarray  # (C,) nodes
    loser: np.ndarray  # (C,)
    nodes: int


class Labels(NamedTuple):
    """P pairs of nodes, low < high, and how often each was labelled"""

    of: np.ndarray  # (C,) the pair of each comparison, -1 where both sides are one node
    low: np.ndarray  # (P,)
    high: np.ndarray  # (P,)
    n: np.ndarray  # (P,) labels
    low_wins: np.ndarray  # (P,)


def comparisons(rows) -> Comparisons:
    """Every two responses of a row that its label does not tie, in the order of the rows"""
    start = np.cumsum(rows.size, dtype=np.int64) - rows.size
    parts = [np.zeros((3, 0), np.int64)]
    for size in np.unique(rows.size[rows.size > 1]):
        among = np.flatnonzero(rows.size == size)
        i, j = np.triu_indices(size, 1)
        places = np.repeat(among, len(i)), (start[among, None] + i).ravel(), (start[among, None] + j).ravel()
        parts.append(np.stack(places))
    row, better, worse = np.concatenate(parts, axis=1)
    strict = np.flatnonzero(rows.rank[better] < rows.rank[worse])
    strict = strict[np.argsort(row[strict], kind="stable")]
    node, nodes = codes(np.repeat(rows.file, rows.size), np.repeat(rows.prompt, rows.size), rows.text)
    row, better, worse = row[strict], better[strict], worse[strict]
    return Comparisons(row, better, worse, node[better], node[worse], nodes)


def codes(*columns):
    """Equal tuples get equal numbers        k columns (n,) -> (n,) in 0 .. m - 1, and m"""
    code, m = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        values, place = np.unique(column, return_inverse=True)
        seen, code = np.unique(code * len(values) + place, return_inverse=True)  # m and len(values) are at most n
        m = len(seen)
    return code, m


def repeated(code, m):
    """The code where it stands more than once, else -1        (n,) in 0 .. m - 1 -> (n,)"""
    return np.where(np.bincount(code, minlength=m)[code] > 1, code, -1)


def shared(file, *columns):
    """A number for each tuple that stands in two files or more, else -1        (n,), k columns (n,) -> (n,)"""
    code, m = codes(*columns)
    lowest, highest = np.full(m, len(code)), np.full(m, -1)
    np.minimum.at(lowest, code, file)
    np.maximum.at(highest, code, file)
    return np.where((lowest < highest)[code], code, -1)


def labels(compared) -> Labels:
    """Each pair of nodes once, with its labels in either order counted"""
    low, high = np.minimum(compared.winner, compared.loser), np.maximum(compared.winner, compared.loser)
    differ = low < high
    key, place = np.unique(low[differ] * compared.nodes + high[differ], return_inverse=True)
    of = np.full(len(low), -1)
    of[differ] = place
    low_wins = np.bincount(place[compared.winner[differ] == low[differ]], minlength=len(key))
    n = np.bincount(place, minlength=len(key))
    return Labels(of, key // max(compared.nodes, 1), key % max(compared.nodes, 1), n, low_wins)


def once_a_row(compared, labelled) -> Comparisons:
    """Without what a list says again of a text that it holds twice: that is no second label"""
    pair_in_row, _ = codes(compared.row, labelled.of)
    _, first = np.unique(pair_in_row, return_index=True)
    row, better, worse, winner, loser = (column[first] for column in compared[:-1])
    return Comparisons(row, better, worse, winner, loser, compared.nodes)


def both_orders(labelled):
    """The pair of each comparison that was labelled in either order, else -1        -> (C,)"""
    mixed = np.append((labelled.low_wins > 0) & (labelled.low_wins < labelled.n), False)  # the last for -1
    return np.where(mixed[labelled.of], labelled.of, -1)


def cycles(labelled):
    """Groups of nodes that each beat one another in a circle: no reward can order them        -> lists of nodes

    One beats another where more labels say so than not; a draw is no arrow. The groups are the strongly connected
    components of this graph with two nodes or more: three at least, for no two beat each other.
    """
    more = 2 * labelled.low_wins - labelled.n
    winner = np.where(more > 0, labelled.low, labelled.high)[more != 0]
    loser = np.where(more > 0, labelled.high, labelled.low)[more != 0]
    for _ in range(PEELINGS):  # who beats nobody or loses to nobody is in no circle
        inside = np.isin(winner, loser) & np.isin(loser, winner)
        if inside.all():
            break
        winner, loser = winner[inside], loser[inside]
    if not len(winner):
        return []
    names, place = np.unique(np.concatenate([winner, loser]), return_inverse=True)
    groups = strong_groups(place[: len(winner)], place[len(winner) :], len(names))
    return [names[group] for group in groups if len(group) > 1]


def in_cycles(compared, groups):
    """The group of each comparison that lies within one, else -1        -> (C,)"""
    group_of = np.full(max(compared.nodes, 1), -1)
    for k, group in enumerate(groups):
        group_of[group] = k
    winner, loser = group_of[compared.winner], group_of[compared.loser]
    return np.where((winner == loser) & (compared.winner != compared.loser), winner, -1)

"""Relations between rows: repeated comparisons, both orders, cycles, and what splits share.

A node is a response to a prompt in one file; whitespace does not count. A comparison is an arrow from the better to the
worse node. Repetitions within a file and overlaps between files are different faults, so each file has its own nodes.
"""

from typing import NamedTuple

import numpy as np

from ..bradley_terry.existence import strong_groups
from ..cli import memory

BYTES_OF_A_LABEL = 250  # for a comparison that may be a second label; 225 were measured on a list of 1,500 given twice
WORTH_PEELING = 0.98  # if a round keeps more of the arrows, walking arrow by arrow is faster


class Comparisons(NamedTuple):
    """C comparisons, in the order of the rows, between M responses stored end to end, best first within a row"""

    row: np.ndarray  # (C,)
    better: np.ndarray  # (C,) places of responses
    worse: np.ndarray  # (C,)
    node: np.ndarray  # (M,) of each response
    level: np.ndarray  # (M,) equal for responses that tie in one row, one more for the next worse
    nodes: int

    @property
    def winner(self):
        """The better response's node        (C,)"""
        return self.node[self.better]

    @property
    def loser(self):
        """The worse response's node        (C,)"""
        return self.node[self.worse]

    def only(self, at):
        """Some of the comparisons"""
        return self._replace(row=self.row[at], better=self.better[at], worse=self.worse[at])


class Labels(NamedTuple):
    """P pairs of nodes, low < high, and how often each was labelled: all pairs with two labels, some with one"""

    at: np.ndarray  # (A,) the comparisons whose pairs these are
    of: np.ndarray  # (A,) the pair of each, -1 where both sides are one node
    low: np.ndarray  # (P,)
    high: np.ndarray  # (P,)
    n: np.ndarray  # (P,) labels
    low_wins: np.ndarray  # (P,)


def comparisons(rows) -> Comparisons:
    """All pairs of responses of a row that its label does not tie, in the order of the rows

    A long list has millions of them, so numbers have 32 bits, and the responses after a level are counted at once.
    """
    row_of = np.repeat(np.arange(len(rows.size), dtype=np.int32), rows.size)  # (M,)
    places = np.arange(len(row_of), dtype=np.int32)
    begins = np.ones(len(row_of), bool)  # where a level begins
    begins[1:] = (row_of[1:] != row_of[:-1]) | (rows.rank[1:] != rows.rank[:-1])
    level = np.cumsum(begins, dtype=np.int32)
    following = np.searchsorted(level, level, side="right")  # the first response of the next level
    worse_ones = np.searchsorted(row_of, row_of, side="right") - following  # (M,) how many responses are worse
    shift = (following - np.cumsum(worse_ones) + worse_ones).astype(np.int32)
    better = np.repeat(places, worse_ones)  # (C,)
    worse = np.arange(len(better), dtype=np.int32)
    worse += np.repeat(shift, worse_ones)
    node, nodes = codes(rows.file[row_of], rows.prompt[row_of], rows.text)
    return Comparisons(row_of[better], better, worse, node.astype(np.int32), level, nodes)


def codes(*columns):
    """Equal tuples get equal numbers        k columns (n,) -> (n,) in 0 .. m - 1, and m"""
    code, m = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        values, place = np.unique(column, return_inverse=True)
        seen, code = np.unique(code * len(values) + place, return_inverse=True)  # m and len(values) are at most n
        m = len(seen)
    return code, m


def repeated(code, m):
    """Each code that occurs more than once, else -1        (n,) in 0 .. m - 1 -> (n,)"""
    return np.where(np.bincount(code, minlength=m)[code] > 1, code, -1)


def shared(file, *columns):
    """A number for each tuple that occurs in two files or more, else -1        (n,), k columns (n,) -> (n,)"""
    code, m = codes(*columns)
    lowest, highest = np.full(m, len(code)), np.full(m, -1)
    np.minimum.at(lowest, code, file)
    np.maximum.at(highest, code, file)
    return np.where((lowest < highest)[code], code, -1)


def stand_once(compared):
    """Whether each response is the only one of its node        -> (M,) bool"""
    return (np.bincount(compared.node) == 1)[compared.node]


def labels(compared) -> Labels:
    """Each pair of nodes once, with its labels in either order counted

    A pair can have two labels only if one of its nodes occurs twice, so only those comparisons are sorted.
    """
    single = stand_once(compared)
    at = np.flatnonzero(~(single[compared.better] & single[compared.worse]))
    what = f"what comes of {len(at):,} comparisons of answers that are given again"
    memory.check(BYTES_OF_A_LABEL * len(at), what, "report on a part of the rows")
    winner, loser = (compared.node[side[at]].astype(np.int64) for side in (compared.better, compared.worse))
    low, high = np.minimum(winner, loser), np.maximum(winner, loser)
    differ = low < high
    key, place = np.unique(low[differ] * compared.nodes + high[differ], return_inverse=True)
    of = np.full(len(low), -1)
    of[differ] = place
    low_wins = np.bincount(place[winner[differ] == low[differ]], minlength=len(key))
    n = np.bincount(place, minlength=len(key))
    return Labels(at, of, key // max(compared.nodes, 1), key % max(compared.nodes, 1), n, low_wins)


def once_a_row(compared, labelled) -> Comparisons:
    """The comparisons of pairs that have two labels; a list that holds a text twice counts once"""
    pair_in_row, _ = codes(compared.row[labelled.at], labelled.of)
    _, first = np.unique(pair_in_row, return_index=True)
    return compared.only(labelled.at[first])


def both_orders(labelled):
    """For each comparison its pair if that was labelled in both orders, else -1        -> (A,)"""
    mixed = np.append((labelled.low_wins > 0) & (labelled.low_wins < labelled.n), False)  # the last for -1
    return np.where(mixed[labelled.of], labelled.of, -1)


def arrows(compared, labelled):
    """Whether each comparison is kept as an arrow; the kept ones leave unchanged who reaches whom        -> (C,) bool

    A pair with several labels has an arrow in the direction of the majority, and none if they are even. Nodes that
    occur in one row only need just the arrows from each level to the next: these lead to all lower levels.
    """
    single = stand_once(compared)
    level = np.zeros(len(single), np.int32)
    _, level[single] = np.unique(compared.level[single], return_inverse=True)
    kept = level[compared.worse] - level[compared.better] == 1
    lead = np.append(2 * labelled.low_wins - labelled.n, 0)[labelled.of]
    low_won = compared.node[compared.better[labelled.at]] == np.append(labelled.low, -1)[labelled.of]
    kept[labelled.at] = np.where(low_won, lead, -lead) > 0
    return kept


def cycles(compared, labelled):
    """Groups of nodes that beat one another in cycles, so that no reward can order them        -> lists of nodes

    They are the strongly connected components of the graph of `arrows` with more than one node, hence with at least
    three: two nodes never have arrows in both directions.
    """
    of_graph = compared.only(arrows(compared, labelled))
    winner, loser = of_graph.winner, of_graph.loser
    while len(winner):  # a node that beats nobody or loses to nobody is in no cycle
        inside = np.isin(winner, loser) & np.isin(loser, winner)
        winner, loser = winner[inside], loser[inside]
        if inside.mean() > WORTH_PEELING:
            break
    if not len(winner):
        return []
    names, place = np.unique(np.concatenate([winner, loser]), return_inverse=True)
    groups = strong_groups(place[: len(winner)], place[len(winner) :], len(names))
    return [names[group] for group in groups if len(group) > 1]


def in_cycles(compared, groups):
    """For each comparison the group that holds both its nodes, else -1        -> (C,)"""
    group_of = np.full(max(compared.nodes, 1), -1, np.int32)
    for k, group in enumerate(groups):
        group_of[group] = k
    winner, loser = compared.winner, compared.loser
    return np.where((group_of[winner] == group_of[loser]) & (winner != loser), group_of[winner], -1)

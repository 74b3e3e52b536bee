"""A tree through the graph of games, and its Laplacian solved by two cumulative sums.

If items meet only their neighbours, as in a ladder or a chain, information spreads one item per iteration of conjugate
gradients, so they need as many iterations as the chain has items. A spanning tree connects all items at once: with its
Laplacian as preconditioner a chain takes one iteration. (If most pairs have met, the diagonal is better.)
"""

from typing import NamedTuple

import numpy as np


class Tree(NamedTuple):
    """The items in preorder: a subtree is the places from its top up to `end`; rows[k] leads down to place k + 1"""

    items: np.ndarray  # (N,)
    end: np.ndarray  # (N,)
    rows: np.ndarray  # (N - 1,)


def solve_tree(tree, conductance, b):
    """x with Σ conductance (x_i - x_j) over the tree's edges at i = b_i, where Σ b = 0        (N - 1,), (N,) -> (N,)

    All that enters a subtree leaves it by the edge at its top. There x drops by (Σ b over the subtree) / conductance,
    and x is the sum of the drops on the way from the root. Both are cumulative sums over the preorder.
    """
    prefix = np.concatenate([[0], np.cumsum(b[tree.items])])
    drop = (prefix[tree.end] - prefix[:-1])[1:] / conductance
    change = -np.bincount(tree.end[1:], drop, len(b) + 1)
    change[1 : len(b)] += drop
    x = np.empty(len(b))
    x[tree.items] = np.cumsum(change)[:-1]
    return x


def spanning_tree(first, second, games, n_items):
    """The tree of most games (Kruskal 1956), or None if the graph is not connected        (M,), (M,), (M,) -> Tree"""
    leader = list(range(n_items))

    def find(i):
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    neighbours: list = [[] for _ in range(n_items)]
    for row in np.argsort(-games, kind="stable").tolist():
        i, j = int(first[row]), int(second[row])
        one, other = find(i), find(j)
        if one != other:
            leader[one] = other
            neighbours[i].append((j, row))
            neighbours[j].append((i, row))
    return preorder(neighbours)


def preorder(neighbours):
    """Tree from lists of (neighbour, row), walked from item 0 without recursion"""
    n_items = len(neighbours)
    items: list = []
    rows, end, place, stack = [], [0] * n_items, [-1] * n_items, [(0, -1)]
    while stack:
        item, row = stack.pop()
        if item < 0:  # the subtree of this place is complete
            end[-item - 1] = len(items)
            continue
        place[item] = len(items)
        stack.append((-len(items) - 1, -1))
        items.append(item)
        rows.append(row)
        stack += [edge for edge in neighbours[item] if place[edge[0]] < 0]
    return Tree(np.array(items), np.array(end), np.array(rows[1:], int)) if len(items) == n_items else None


def tree_preconditioner(pairs, conductances):
    """The preconditioner of the tree of most games, None if there are many more rows than a tree has

    conductances        (x, the tree's rows) -> their curvatures at x
    """
    n = pairs.n_items
    games = pairs.wins + pairs.ties + pairs.losses
    tree = spanning_tree(pairs.first, pairs.second, games, n) if len(games) <= 2 * n else None
    if tree is None:
        return None
    edges = pairs._replace(**{name: getattr(pairs, name)[tree.rows] for name in pairs._fields[1:7]})
    edges = edges._replace(starts=np.arange(n - 1), leading=edges.first, lengths=np.ones(n - 1, int))

    def preconditioner(x, here):
        conductance = np.maximum(conductances(x, edges), 1e-30)  # far out it may underflow
        return lambda r: np.concatenate([solve_tree(tree, conductance, r[:n]), r[n:] / here.diagonal[n:]])

    return preconditioner

"""The tree that preconditions chains: it connects all items, prefers pairs of many games, and is solved exactly."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from numpy_ref.bradley_terry import strengths
from numpy_ref.bradley_terry.spanning_tree import solve_tree, spanning_tree
from numpy_ref.bradley_terry.win_counts import pairs_of_games, pairs_of_rows


@st.composite
def graphs(draw):
    """A random tree with some further edges, and random weights"""
    n = draw(st.integers(2, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    label = rng.permutation(n)
    first = np.r_[label[np.arange(1, n)], rng.integers(0, n, n)]
    second = np.r_[label[[rng.integers(0, k) for k in range(1, n)]], rng.integers(0, n, n)]
    keep = first != second
    return first[keep], second[keep], rng.uniform(0.1, 5, keep.sum()), n


@given(graphs())
def test_the_tree_is_solved_exactly(graph):
    first, second, games, n = graph
    tree = spanning_tree(first, second, games, n)
    edges = np.zeros((n - 1, n))
    edges[np.arange(n - 1), first[tree.rows]] = 1
    edges[np.arange(n - 1), second[tree.rows]] -= 1
    b = np.random.default_rng(0).normal(size=n)
    b -= b.mean()
    x = solve_tree(tree, games[tree.rows], b)
    np.testing.assert_allclose(edges.T @ (games[tree.rows] * (edges @ x)), b, rtol=0, atol=1e-11)
    assert sorted(tree.items.tolist()) == list(range(n))


@given(graphs())
def test_no_edge_outside_could_replace_a_lighter_one(graph):
    """No edge is heavier than the lightest tree edge between its two ends, so this is the tree of most games"""
    first, second, games, n = graph
    tree = spanning_tree(first, second, games, n)
    heaviest = np.full((n, n), -np.inf)  # the bottleneck of the path in the tree
    heaviest[first[tree.rows], second[tree.rows]] = heaviest[second[tree.rows], first[tree.rows]] = games[tree.rows]
    for k in range(n):
        heaviest = np.maximum(heaviest, np.minimum(heaviest[:, [k]], heaviest[[k]]))
    assert (games <= heaviest[first, second]).all()


def test_a_graph_that_falls_apart_has_no_tree():
    assert spanning_tree(np.array([0, 2]), np.array([1, 3]), np.ones(2), 4) is None


def test_a_long_chain_is_fitted_as_its_pairs_say():
    """In a chain each pair is fitted by itself: d = log(wins / losses)"""
    n, rng = 3000, np.random.default_rng(0)
    wins, losses = rng.integers(1, 50, (2, n - 1))
    fitted = strengths.fit(pairs_of_rows(np.arange(n - 1), np.arange(1, n), wins, losses))
    assert fitted.converged
    np.testing.assert_allclose(-np.diff(fitted.strength), np.log(wins / losses), rtol=0, atol=1e-10)


def test_the_preconditioner_changes_the_way_not_the_end(monkeypatch):
    rng = np.random.default_rng(2)
    first = rng.integers(0, 60, 4000)
    second = (first + rng.choice([1, 1, 1, 2], 4000)) % 60
    pairs = pairs_of_games(first, second)._replace(losses=rng.integers(1, 40, 120).astype(float))
    with_tree = strengths.fit(pairs)
    monkeypatch.setattr(strengths, "tree_preconditioner", lambda *_: None)
    with_diagonal = strengths.fit(pairs)
    assert with_tree.converged
    np.testing.assert_allclose(with_tree.strength, with_diagonal.strength, rtol=0, atol=1e-12)

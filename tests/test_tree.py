"""Trees of arrays: their names are state_dict's names, and nothing is lost on the way there and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_ref import tree

keys = st.text("abcxyz_", min_size=1, max_size=4)
branches = st.recursive(
    st.integers(),
    lambda inner: st.one_of(
        st.dictionaries(keys, inner, min_size=1, max_size=3), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)
trees = st.dictionaries(keys, branches, min_size=1, max_size=3)


@given(trees)
def test_unflatten_is_the_inverse_of_flatten(params):
    assert tree.unflatten(tree.flatten(params)) == params


@given(trees)
def test_tree_map_keeps_the_names_and_maps_every_leaf(params):
    doubled = tree.tree_map(lambda leaf: 2 * leaf, params)
    assert tree.flatten(doubled) == {name: 2 * leaf for name, leaf in tree.flatten(params).items()}


@given(trees)
def test_tree_map_takes_corresponding_leaves_of_several_trees(params):
    minus = tree.tree_map(lambda leaf: -leaf, params)
    assert set(tree.flatten(tree.tree_map(lambda a, b: a + b, params, minus)).values()) == {0}


def test_names_are_dotted_paths_and_lists_count_from_zero():
    params = {"body": {"blocks": [{"w": 1}, {"w": 2}]}, "head": 3}
    assert tree.flatten(params) == {"body.blocks.0.w": 1, "body.blocks.1.w": 2, "head": 3}


def test_more_than_ten_blocks_keep_their_order():
    params = {"blocks": [{"w": i} for i in range(12)]}
    assert tree.unflatten(tree.flatten(params)) == params


def test_tree_map_returns_a_new_tree():
    params = {"a": [np.ones(2)]}
    out = tree.tree_map(lambda leaf: leaf, params)
    out["a"].append(1)
    assert len(params["a"]) == 1


def test_lists_of_different_lengths_do_not_correspond():
    with pytest.raises(ValueError, match="zip"):
        tree.tree_map(lambda a, b: a + b, {"a": [1, 2]}, {"a": [1]})

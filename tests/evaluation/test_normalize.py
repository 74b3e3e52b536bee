"""(r - mean) / std, folded into two arrays: every reward is shifted and divided, and nothing else changes."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from compare import assert_agree, assert_bitwise
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases

from numpy_ref.errors import InputError
from numpy_ref.evaluation.normalize import mean_in_config, moments, of_raw, shift_and_scale
from numpy_ref.reward_model import init_params, rewards
from numpy_ref.tree import flatten, tree_map

# The fold


@given(case=cases(), mean=st.floats(-10, 10), std=st.floats(0.1, 10))
def test_every_reward_is_shifted_and_divided(case, mean, std):
    """The tolerance is in eps of what is added up: the rewards' terms |w| · |h| and the mean, each divided by std"""
    before, _ = rewards(case.tokens, case.length, **case.params, n_head=case.n_head)
    folded = shift_and_scale(case.params, mean, std)
    after, _ = rewards(case.tokens, case.length, **folded, n_head=case.n_head)
    w, norm = case.params["head"]["weight"][0], case.params["body"]["ln"]
    largest = np.sqrt(len(w)) * abs(norm["weight"]) + abs(norm["bias"]) + abs(mean * w) / (w @ w)
    scale = (abs(w) @ largest + abs(mean)) / std
    assert_agree(after, ((before - mean) / std).astype(before.dtype), 20, scale)


@given(case=cases())
def test_only_two_arrays_change_and_the_arguments_do_not(case):
    before = tree_map(np.copy, case.params)
    folded = flatten(shift_and_scale(case.params, 1.5, 2.0))
    assert_bitwise(case.params, before)
    changed = {name for name, leaf in flatten(before).items() if not np.array_equal(leaf, folded[name])}
    assert changed == {"head.weight", "body.ln.bias"}
    assert {name: (leaf.dtype, leaf.shape) for name, leaf in folded.items()} == {
        name: (leaf.dtype, leaf.shape) for name, leaf in flatten(before).items()
    }
    assert_bitwise(shift_and_scale(case.params, 0.0, 1.0), case.params)


@pytest.mark.parametrize(
    ("mean", "std"), [(0, 0), (1.0, 0.0), (0, -1.0), (np.nan, 1), (np.inf, 1), (0, np.nan), (0, np.inf)]
)
def test_numbers_that_cannot_be_divided_by_are_refused(mean, std):
    params = init_params(np.random.default_rng(0), 5, 4, 3, 1)
    with pytest.raises(InputError, match="expected finite numbers, the deviation above 0"):
        shift_and_scale(params, mean, std)
    with pytest.raises(InputError, match="expected finite numbers, the deviation above 0"):
        of_raw({}, mean, std)


def test_the_mean_in_config_takes_the_place_of_older_numbers_and_0_takes_it_out():
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_text(json.dumps({"kept": 1, "reward_mean": 3.0, "reward_std": 2.0}))
        mean_in_config(folder, 1.5)
        assert json.loads(path.read_text()) == {"kept": 1, "reward_mean": 1.5}
        mean_in_config(folder, 0.0)
        assert json.loads(path.read_text()) == {"kept": 1}


def test_a_head_of_zeros_is_refused():
    params = init_params(np.random.default_rng(0), 5, 4, 3, 1)
    params["head"]["weight"][:] = 0
    with pytest.raises(InputError, match="the head is 0 throughout"):
        shift_and_scale(params, 1.0, 1.0)


def test_equal_rewards_have_no_deviation():
    """Up to rounding: a batch may move equal rewards by 100 eps"""
    assert moments(np.array([1.0, 3.0]), 1e-16) == (2.0, 1.0)
    eps = np.finfo(float).eps
    assert moments(np.array([1.0, 1 + 300 * eps]), eps)[1] > 100 * eps
    for reward in ([2.0, 2.0], [5.0], [0.0, 0.0], [1.0, 1 + 180 * eps], [1e6, 1e6 + 1e-9]):
        with pytest.raises(InputError, match="their deviation is 0"):
            moments(np.array(reward), eps)


# The numbers in config.json


def test_numbers_are_applied_one_after_the_other():
    """((r - 2) / 4 - 0.5) / 3 = (r - 4) / 12"""
    assert of_raw({}, 2.0, 4.0) == (2.0, 4.0)
    assert of_raw({"reward_mean": 2.0, "reward_std": 4.0}, 0.5, 3.0) == (4.0, 12.0)


def test_the_mean_stands_in_the_config_and_no_scale_beside_it(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "other", "reward_mean": 1.0, "reward_std": 4.0}')
    mean_in_config(tmp_path, 2.5)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "other", "reward_mean": 2.5}
    mean_in_config(tmp_path, 0.0)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "other"}
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]

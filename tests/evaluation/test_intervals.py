"""Intervals are as wide as the spread of resamples, which keep the pairs of a prompt together."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_ref.evaluation.intervals import prompts_interval, responses_interval, wilson


def test_one_pair_a_prompt_is_the_binomial_interval():
    rng = np.random.default_rng(0)
    score = (np.arange(400) < 300).astype(float)
    low, high = prompts_interval(score, np.arange(400), rng, draws=20_000)
    deviation = np.sqrt(0.75 * 0.25 / 400)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.04)
    assert (high + low) / 2 == pytest.approx(0.75, abs=0.003)


def test_pairs_of_one_prompt_that_stand_and_fall_together_count_as_one():
    rng = np.random.default_rng(0)
    score = np.repeat((np.arange(100) < 75).astype(float), 9)
    low, high = prompts_interval(score, np.repeat(np.arange(100), 9), rng, draws=20_000)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.75 * 0.25 / 100), rel=0.04)


def test_responses_of_a_prompt_are_drawn_and_never_those_of_another():
    """One response is wrong in all its comparisons; its share changes from draw to draw"""
    rng = np.random.default_rng(0)
    pairs = np.array([(i, j) for i in range(12) for j in range(i + 1, 12)])
    score = (pairs[:, 0] != 0).astype(float)
    low, high = responses_interval(score, pairs, np.zeros(len(pairs), int), rng, draws=20_000)
    assert low < score.mean() < high
    times = rng.multinomial(12, np.full(12, 1 / 12), size=20_000)
    weight = times[:, pairs[:, 0]] * times[:, pairs[:, 1]]
    expected = np.quantile((weight @ score) / weight.sum(1), [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=0.02)
    two = np.concatenate([pairs, pairs + 12])
    narrow = responses_interval(np.tile(score, 2), two, np.repeat([0, 1], len(pairs)), rng)
    assert narrow[1] - narrow[0] < high - low


def test_which_response_of_a_pair_stands_first_does_not_matter():
    """Responses 1, 2 and 5 are the worse one of every pair that they are in"""
    pairs, prompt = np.array([(0, 1), (0, 2), (3, 5), (4, 5)]), np.array([0, 0, 1, 1])
    score = np.array([1.0, 0.0, 1.0, 0.0])
    found = responses_interval(score, pairs, prompt, np.random.default_rng(0))
    assert found == responses_interval(score, pairs[:, ::-1], prompt, np.random.default_rng(0))


def test_certainty_has_no_width():
    rng = np.random.default_rng(0)
    pairs = np.array([(0, 1), (1, 2), (0, 2)])
    assert responses_interval(np.ones(3), pairs, np.zeros(3, int), rng) == (1.0, 1.0)
    assert prompts_interval(np.ones(3), np.arange(3), rng) == (1.0, 1.0)
    assert responses_interval(np.ones(1), pairs[:1], np.zeros(1, int), rng) == (1.0, 1.0)  # drawn once, in half of all


@pytest.mark.parametrize("n", [10, 100])
@pytest.mark.parametrize("p", [0.5, 0.9])
def test_wilsons_interval_holds_the_truth_in_95_of_100(n, p):
    """Its exact mean coverage over the binomial distribution is 92.5 to 99 % at these sizes"""
    weights_of = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    inside = [wilson(k, n)[0] <= p <= wilson(k, n)[1] for k in range(n + 1)]
    assert 0.925 <= np.dot(weights_of, inside) <= 0.99


@given(n=st.integers(1, 200), share=st.floats(0, 1), level=st.sampled_from([0.5, 0.95]))
def test_wilsons_bounds_solve_his_equation(n, share, level):
    z = NormalDist().inv_cdf((1 + level) / 2)
    low, high = wilson(share * n, n, level)
    assert -1e-12 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1 + 1e-12
    for p in (low, high):
        assert (share - p) ** 2 == pytest.approx(z * z * p * (1 - p) / n, abs=1e-12)


def test_the_interval_over_prompts_sees_that_pairs_of_a_prompt_are_no_independent_witnesses():
    """50 outcomes, each 20 times: the interval is as wide as for 50 values, about √20 times wider than for 1,000"""
    rng = np.random.default_rng(0)
    once = rng.random(50)
    low, high = prompts_interval(np.repeat(once, 20), np.repeat(np.arange(50), 20), np.random.default_rng(1))
    same = prompts_interval(once, np.arange(50), np.random.default_rng(1))
    naive = prompts_interval(np.repeat(once, 20), np.arange(1000), np.random.default_rng(1))
    assert (low, high) == pytest.approx(same)
    assert 3 < (high - low) / (naive[1] - naive[0]) < 6
    normal = 2 * 1.96 * once.std() / math.sqrt(50)
    assert high - low == pytest.approx(normal, rel=0.15)
    assert prompts_interval(once, np.arange(50), np.random.default_rng(1), 300, 0.5)[1] < high


def test_what_an_interval_is_where_nothing_is_said():
    values, cluster = np.random.default_rng(0).random(30), np.arange(30)
    one, two = (prompts_interval(values, cluster, np.random.default_rng(1), *more) for more in ((), (2000, 0.95)))
    assert one == two
    assert wilson(5, 10) == wilson(5, 10, 0.95)
    low, high = wilson(0, 10)
    assert low == pytest.approx(0, abs=1e-15)
    assert high == pytest.approx(0.2775, abs=1e-4), "as in the tables of Brown, Cai & DasGupta 2001"
    assert np.diff(wilson(5, 10)) == pytest.approx(0.5268, abs=1e-4)

"""Intervals: as wide as the spread of what was drawn, and no wider than what pairs have in common asks for."""

import numpy as np
import pytest

from numpy_ref.evaluation.intervals import prompts_interval, responses_interval


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
    """One response that loses all its comparisons wrongly: its share moves from draw to draw"""
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


def test_certainty_has_no_width():
    rng = np.random.default_rng(0)
    pairs = np.array([(0, 1), (1, 2), (0, 2)])
    assert responses_interval(np.ones(3), pairs, np.zeros(3, int), rng) == (1.0, 1.0)
    assert prompts_interval(np.ones(3), np.arange(3), rng) == (1.0, 1.0)

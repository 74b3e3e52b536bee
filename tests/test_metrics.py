"""Every score against a loop that spells it out, and the laws that scores obey."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import dyadic, seeds

from numpy_ref import metrics
from numpy_ref.ranking import ABSENT

few = st.floats(-30, 30)
pairs = st.lists(st.tuples(few, few), min_size=1, max_size=8)  # (margin, true margin)
rewards = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.lists(dyadic(5), min_size=k, max_size=k), min_size=1, max_size=4)
)


def p_of(margin):
    return 1 / (1 + math.exp(-margin))


def if_first_wins(name, margin):
    """One pair's score when the first response wins"""
    if name == "accuracy":
        return 1.0 if margin > 0 else 0.5 if margin == 0 else 0.0
    return math.log1p(math.exp(-margin)) if name == "log_loss" else (1 - p_of(margin)) ** 2


NAMES = ("accuracy", "log_loss", "brier")


@pytest.mark.parametrize("name", NAMES)
@given(drawn=pairs)
@example(drawn=[(0.0, 0.0), (0.0, 3.0), (-2.0, 5.0)])
def test_a_score_is_the_mean_over_pairs(name, drawn):
    """Without true margins the first response has won; with them the score is weighted by p and 1 - p"""
    margin, true = np.array(drawn).T
    score = getattr(metrics, name)
    won = [if_first_wins(name, m) for m, _ in drawn]
    assert math.isclose(score(margin), sum(won) / len(won), rel_tol=1e-12, abs_tol=1e-14)
    both = [p_of(t) * if_first_wins(name, m) + p_of(-t) * if_first_wins(name, -m) for m, t in drawn]
    assert math.isclose(score(margin, true), sum(both) / len(both), rel_tol=1e-12, abs_tol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_expectation_is_the_average_over_sampled_labels(name):
    rng = np.random.default_rng(0)
    margin, true = rng.normal(0, 2, 300), rng.normal(0, 2, 300)
    score = getattr(metrics, name)
    flips = np.where(rng.random((400, 300)) < 1 / (1 + np.exp(-true)), 1, -1)  # (draws, pairs)
    sampled = np.array([score(margin * flip) for flip in flips])
    error = sampled.std(ddof=1) / math.sqrt(len(sampled))
    assert abs(sampled.mean() - score(margin, true)) < 4 * error
    assert error < 0.01


def test_a_tie_counts_one_half():
    assert metrics.accuracy(np.array([0.0, -0.0])) == 0.5
    assert metrics.accuracy(np.array([0.0, 1.0, -1.0, 2.0])) == 0.625
    assert metrics.accuracy(np.zeros(3), np.array([5.0, -1.0, 0.0])) == 0.5


def test_scores_of_large_margins_are_finite():
    margin = np.array([800.0, -800.0])
    assert metrics.log_loss(margin) == 400.0
    assert metrics.brier(margin) == 0.5
    assert metrics.log_loss(margin, margin) == 0.0


@pytest.mark.parametrize("margin", [30.0, 35.0, 40.0])
def test_a_small_probability_keeps_its_digits(margin):
    """With p = σ(m): log loss is -p log σ(m) - q log σ(-m), the Brier score p q; q = σ(-m), which 1 - p would lose"""
    m = np.array([margin])
    with mpmath.workdps(40):
        p, q = 1 / (1 + mpmath.exp(-margin)), 1 / (1 + mpmath.exp(margin))
        entropy, spread = float(-p * mpmath.log(p) - q * mpmath.log(q)), float(p * q)
    np.testing.assert_allclose(metrics.log_loss(m, m), entropy, rtol=1e-14)
    np.testing.assert_allclose(metrics.brier(m, m), spread, rtol=1e-14)
    np.testing.assert_allclose(metrics.accuracy(-m, m), float(q), rtol=1e-14)


@pytest.mark.parametrize(
    ("margin", "true", "log_loss", "brier", "accuracy"),
    [
        (math.inf, math.inf, 0, 0, 1),
        (-math.inf, math.inf, math.inf, 1, 0),
        (math.inf, -math.inf, math.inf, 1, 0),
        (-math.inf, -math.inf, 0, 0, 1),
        (math.inf, 0.0, math.inf, 0.5, 0.5),
        (0.0, math.inf, math.log(2), 0.25, 0.5),
        (0.0, -math.inf, math.log(2), 0.25, 0.5),
    ],
)
def test_infinite_margins_have_their_limits(margin, true, log_loss, brier, accuracy):
    m = np.array([margin])
    assert metrics.log_loss(m, true) == log_loss
    assert metrics.brier(m, true) == brier
    assert metrics.accuracy(m, true) == accuracy


@given(drawn=pairs)
def test_no_margins_beat_the_true_ones(drawn):
    """The floors are minima: any other margins have no better expected scores"""
    margin, true = np.array(drawn).T
    slack = 1e-13
    assert metrics.accuracy(margin, true) <= metrics.accuracy(true, true) + slack
    assert metrics.log_loss(margin, true) >= metrics.log_loss(true, true) * (1 - slack) - slack
    assert metrics.brier(margin, true) >= metrics.brier(true, true) * (1 - slack) - slack


@given(true=few, moved=st.floats(0.01, 3), sign=st.sampled_from([-1, 1]))
def test_a_proper_score_is_worse_at_any_other_margin(true, moved, sign):
    true = np.array([max(-15.0, min(15.0, true))])  # beyond, the difference drowns in rounding
    assert metrics.log_loss(true + sign * moved, true) > metrics.log_loss(true, true)
    assert metrics.brier(true + sign * moved, true) > metrics.brier(true, true)


def rank_by_counting(row):
    """Rank 0 is the lowest; equal entries share the mean of their places"""
    places = sorted(row)
    return [(2 * places.index(x) + places.count(x) - 1) / 2 for x in row]


def correlation(a, b):
    n = len(a)
    mean_a, mean_b = sum(a) / n, sum(b) / n
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    norm = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    return covariance / norm if norm else 0.0


@given(learned=rewards, data=st.data())
@example(learned=[[1.0, 1.0, 2.0]], data=None)
@example(learned=[[3.0, 3.0, 3.0], [1.0, 2.0, 3.0]], data=None)
def test_spearman_is_the_correlation_of_ranks_within_prompts(learned, data):
    k = len(learned[0])
    row = st.lists(st.sampled_from([0.0, 0.42, 0.84, -1.26]) | few, min_size=k, max_size=k)
    true = [data.draw(row) for _ in learned] if data else [list(range(k)) for _ in learned]
    for rows in (learned, true):
        np.testing.assert_array_equal(metrics.ranks(np.array(rows)), [rank_by_counting(r) for r in rows])
        np.testing.assert_array_equal(metrics.ranks(np.array(rows[0])), rank_by_counting(rows[0]))
    naive = [correlation(rank_by_counting(a), rank_by_counting(b)) for a, b in zip(learned, true, strict=True)]
    assert math.isclose(metrics.spearman(np.array(learned), np.array(true)), sum(naive) / len(naive), abs_tol=1e-12)


def test_spearman_of_orders_that_agree_that_are_turned_round_and_that_say_nothing():
    true = np.array([[3.0, 2.0, 1.0, 0.5]])
    assert metrics.spearman(np.exp(true), true) == pytest.approx(1, abs=1e-15)
    assert metrics.spearman(-(true**3), true) == pytest.approx(-1, abs=1e-15)
    assert metrics.spearman(np.zeros((1, 4)), true) == 0
    assert metrics.spearman(np.concatenate([true, np.zeros((1, 4))]), np.concatenate([true, true])) == 0.5
    assert metrics.spearman(true, np.zeros((1, 4))) == 0


@given(rows=rewards)
def test_pair_differences_are_all_pairs_in_order(rows):
    k = len(rows[0])
    expected = [row[i] - row[j] for row in rows for i in range(k) for j in range(i + 1, k)]
    np.testing.assert_array_equal(metrics.pair_differences(np.array(rows)), expected)


LOGGED = {"loss", "accuracy", "brier", "ties", "margin", "min_reward", "mean_reward", "max_reward"}


@given(rows=rewards)
def test_a_summary_is_over_all_pairs_and_all_rewards(rows):
    array = np.array(rows)
    found = metrics.summary(array)
    assert found.keys() == LOGGED
    margin = metrics.pair_differences(array)
    flat = [x for row in rows for x in row]
    assert found["loss"] == metrics.log_loss(margin)
    assert found["accuracy"] == metrics.accuracy(margin)
    assert found["brier"] == metrics.brier(margin)
    assert found["margin"] == pytest.approx(sum(margin) / len(margin), abs=1e-12)
    assert found["ties"] == pytest.approx(sum(m == 0 for m in margin) / len(margin))
    assert (found["min_reward"], found["max_reward"]) == (min(flat), max(flat))
    assert found["mean_reward"] == pytest.approx(sum(flat) / len(flat), abs=1e-12)
    assert all(type(value) is float for value in found.values())


@given(rows=rewards)
def test_a_summary_beside_the_truth_holds_expectations_and_spearman(rows):
    array, true = np.array(rows), np.cumsum(np.ones((len(rows), len(rows[0]))), 1)
    found = metrics.summary(array, true)
    assert found.keys() == LOGGED | {"spearman"}
    margin, true_margin = metrics.pair_differences(array), metrics.pair_differences(true)
    assert found["loss"] == metrics.log_loss(margin, true_margin)
    assert found["accuracy"] == metrics.accuracy(margin, true_margin)
    assert found["brier"] == metrics.brier(margin, true_margin)
    assert found["spearman"] == metrics.spearman(array, true)
    assert found["ties"] == (margin == 0).mean()


@given(rows=rewards)
def test_float32_rewards_are_summed_up_in_float64(rows):
    """A difference of two float32 rewards is exact in float64: nothing is tied that was not"""
    narrow = np.array(rows, np.float32) + np.float32(1e-3)
    found, wide = metrics.summary(narrow), metrics.summary(narrow.astype(np.float64))
    assert found == wide
    assert metrics.summary(np.array([[1, 2], [3, 3]])) == metrics.summary(np.array([[1.0, 2.0], [3.0, 3.0]]))


@given(seed=seeds, n=st.integers(1, 5))
def test_scores_of_ranked_lists_are_those_of_their_pairs(seed, n):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 5, (n, 4))
    absent = rng.random(labels.shape) < 0.2
    labels[absent] = rng.choice([ABSENT, 0], absent.sum())  # any number below 1
    labels[0, :2] = 1, 2  # one comparison at least
    rewards = np.round(rng.standard_normal(labels.shape), 1)
    margins = [
        rewards[b, i] - rewards[b, j]
        for b in range(n)
        for i in range(4)
        for j in range(4)
        if 0 < labels[b, i] < labels[b, j]
    ]
    found = metrics.summary(rewards, labels=labels)
    wins = [1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in margins]
    assert found["accuracy"] == pytest.approx(np.mean(wins), rel=1e-14)
    assert found["loss"] == pytest.approx(np.mean([math.log1p(math.exp(-m)) for m in margins]), rel=1e-13)
    assert found["ties"] == pytest.approx(np.mean([m == 0 for m in margins]), rel=1e-14)
    assert (found["min_reward"], found["max_reward"]) == (rewards[labels > 0].min(), rewards[labels > 0].max())
    order = rng.permutation(4)
    shuffled = metrics.summary(rewards[:, order], labels=labels[:, order])
    assert shuffled["loss"] == pytest.approx(found["loss"], rel=1e-13)


def test_best_first_without_labels_is_the_labels_1_to_K():
    rewards = np.random.default_rng(0).standard_normal((5, 4))
    assert metrics.summary(rewards) == metrics.summary(rewards, labels=np.tile([1, 2, 3, 4], (5, 1)))


def test_where_all_is_tied_there_are_rewards_and_no_scores():
    found = metrics.summary(np.array([[1.0, 3.0]]), labels=np.array([[1, 1]]))
    assert found == {"min_reward": 1.0, "mean_reward": 2.0, "max_reward": 3.0}


@given(drawn=pairs)
def test_each_pair_has_the_score_that_it_would_have_alone(drawn):
    margin, true = np.array(drawn).T
    for name in NAMES:
        score = getattr(metrics, name)
        each = score(margin, true, each=True)
        assert each.tolist() == [score(margin[i : i + 1], true[i : i + 1]) for i in range(len(margin))]
        assert each.mean() == score(margin, true)


@pytest.mark.parametrize(
    ("margin", "true_margin", "loss"),
    [
        (np.inf, np.inf, 0),
        (-np.inf, -np.inf, 0),
        (-np.inf, np.inf, np.inf),
        (np.inf, -np.inf, np.inf),
        (np.inf, 1, np.inf),
    ],
)
def test_the_log_loss_of_certainty_is_0_where_it_is_right_and_infinite_where_it_is_not(margin, true_margin, loss):
    """0 · log 0 is 0: the limit, and no NaN"""
    assert metrics.log_loss(np.array([margin]), np.array([true_margin])) == loss

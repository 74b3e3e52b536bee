"""The square table: it has the derivatives of the rows; the bound on a step's length; when it is used."""

import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_ref.bradley_terry.small_tables import (
    first_guess,
    guess,
    longest_move,
    maximum_of_table,
    shrinkage,
    slope_and_curvature,
    sweep,
    win_table,
    worths,
)
from numpy_ref.bradley_terry.strengths import fit, information, likelihood_terms
from numpy_ref.bradley_terry.win_counts import pairs_of_rows

EPS = np.finfo(float).eps


def rows_of(seed, n=5):
    """All pairs of n items, counts of 1 to 9"""
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(n, 1)
    return pairs_of_rows(first, second, *rng.integers(1, 10, (2, len(first))), n_items=n)


def test_the_table_of_wins_of_row_over_column():
    rows = pairs_of_rows([0, 0, 1], [1, 2, 2], [3, 1, 0], [2, 0, 4])
    assert win_table(rows).tolist() == [[0, 3, 1], [2, 0, 0], [0, 4, 0]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.7]))
def test_slope_and_curvature_are_those_of_the_rows(seed, ridge):
    rows, x = rows_of(seed), np.random.default_rng(seed).normal(0, 2, 5)
    wins = win_table(rows)
    gradient, a = slope_and_curvature(x, wins, wins + wins.T, ridge)
    scale = 20 * EPS * wins.sum()
    exact = information(x, rows, False, None)
    expected = exact + (ridge * np.eye(5) if ridge else exact.trace() / 25)
    np.testing.assert_allclose(gradient, likelihood_terms(x, rows).gradient - ridge * x, rtol=0, atol=scale)
    np.testing.assert_allclose(a, expected, rtol=0, atol=scale)


def test_the_slope_keeps_its_digits_where_one_side_is_sure_to_win():
    """At a difference of 30, with 10 games won of 10, the slope is 10 σ(-30); 10 - 10 σ(30) would lose its digits"""
    wins = np.array([[0, 10.0], [0, 0]])
    gradient, _ = slope_and_curvature(np.array([15.0, -15.0]), wins, wins + wins.T)
    upset = 10 * math.exp(-30) / (1 + math.exp(-30))
    np.testing.assert_allclose(gradient, [upset, -upset], rtol=4 * EPS)
    assert np.isfinite(slope_and_curvature(np.array([500.0, -500.0]), wins, wins + wins.T)[1]).all()


def test_the_guess_is_the_log_odds_of_winning_spread_for_unequal_opponents():
    odds = np.log(np.array([4.5 / 2.5, 2.5 / 4.5]))
    np.testing.assert_allclose(
        guess(np.array([4.0, 2]), np.array([2.0, 4])), odds / math.sqrt(1 - 0.39 * odds.var()), rtol=1e-14
    )
    wide = np.log(np.array([99.5 / 0.5, 0.5 / 99.5]))
    np.testing.assert_allclose(guess(np.array([99.0, 0]), np.array([0, 99.0])), wide / math.sqrt(0.2), rtol=1e-14)


def test_worths_are_exponentials_of_strengths_as_far_above_one_as_below():
    x = np.array([700.0, -690.0, 3.0])
    np.testing.assert_array_equal(worths(x), np.exp([695.0, -695.0, -2.0]))


@given(st.integers(0, 2**32 - 1))
def test_a_sweep_multiplies_each_worth_by_upsets_won_over_upsets_lost(seed):
    """Written out item by item; it moves nothing where the gradient is zero"""
    rows = rows_of(seed)
    wins, w = win_table(rows), worths(np.random.default_rng(seed).normal(0, 2, 5))
    swept = [
        w[i] * sum(wins[i, j] * w[j] / (w[i] + w[j]) for j in range(5))
        / sum(wins[j, i] * w[i] / (w[i] + w[j]) for j in range(5))
        for i in range(5)
    ]  # fmt: skip
    np.testing.assert_allclose(sweep(w, wins), swept, rtol=8 * EPS)  # 4 EPS was the most over 20,000 tables
    best = worths(fit(rows).strength)
    np.testing.assert_allclose(sweep(best, wins), best, rtol=1e-13)  # 3e-14 was the most over 4,000


@given(st.integers(0, 2**32 - 1))
def test_the_sweeps_bring_the_guess_nearer(seed):
    """Fifty times: the worst of 20,000 tables 130 times, half of them 10,000 times"""
    rows = rows_of(seed)
    wins, best = win_table(rows), fit(rows).strength
    away = lambda x: np.ptp(x - best)  # noqa: E731
    assert away(first_guess(wins, 0.0)) <= away(guess(wins.sum(1), wins.sum(0))) / 50 + 1e-12
    np.testing.assert_array_equal(first_guess(wins, 0.7), guess(wins.sum(1), wins.sum(0)))


def test_a_sweep_that_leaves_the_floats_is_not_taken():
    """One game to a weight of 1e-300 is a worth of 1e300 after a sweep, and more than a float after some of them"""
    wins = np.diag(np.ones(3), 1) + np.diag(np.full(3, 1e-300), -1)
    np.testing.assert_array_equal(first_guess(wins, 0.0), guess(wins.sum(1), wins.sum(0)))


@pytest.mark.parametrize("length", [1e-12, 1e-7, 1e-5, 1.1e-5, 1e-3, 0.5, 1.0])
def test_shrinkage_is_its_formula(length):
    """e^{D/2} (e^D - 1 - D)/D = D/2 + 5 D²/12 + ...; below 1e-5 the bound D is used"""
    exact = math.exp(length / 2) * sum(length**k / math.factorial(k + 1) for k in range(1, 30))
    if length > 1e-5:
        np.testing.assert_allclose(shrinkage(length), exact, rtol=1e-9)
    else:
        assert exact <= shrinkage(length) == length
    assert shrinkage(1.0001) == math.inf


def test_the_longest_move_is_of_two_items_that_met():
    games = np.array([[0, 2, 0], [2, 0, 1], [0, 1, 0.0]])
    assert longest_move(np.array([-0.25, 0.5, 0.75]), games) == 1.0  # short: whoever met
    assert longest_move(np.array([-0.5, 0.25, 1.0]), games) == 0.75
    assert longest_move(np.array([-1.0, 0.5, 3.0]), games) == 2.5


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.7]))
def test_the_certificate_is_the_distance_to_the_maximum(seed, ridge):
    """decrement bounds √(g' A⁻¹ g) at the returned point, also after an early stop"""
    rows = rows_of(seed)
    wins = win_table(rows)
    for tolerance, most in ((1e-12, 100), (1e-12, 2), (1e-1, 100), (1e-12, 1)):
        x, certificate, value = maximum_of_table(rows, ridge, tolerance, most)
        gradient, a = slope_and_curvature(x, wins, wins + wins.T, ridge)
        true = math.sqrt(gradient @ np.linalg.solve(a, gradient))
        assert true <= certificate["decrement"] + 1e-13
        assert certificate["iterations"] <= most
        assert certificate["converged"] == (certificate["decrement"] <= max(tolerance, 1e-13))
        here = likelihood_terms(x, rows)
        np.testing.assert_allclose(value, here.value, rtol=1e-13)
        np.testing.assert_allclose(
            certificate["gradient_norm"], np.linalg.norm(here.gradient - ridge * x), rtol=1e-3, atol=1e-12
        )


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.7]))
def test_the_decrement_is_that_of_the_last_step_shrunk(seed, ridge):
    rows = rows_of(seed)
    wins = win_table(rows)
    start = first_guess(wins, ridge)
    gradient, a = slope_and_curvature(start, wins, wins + wins.T, ridge)
    step = np.linalg.solve(a, gradient)
    longest = longest_move(step, wins + wins.T)
    x, certificate, _ = maximum_of_table(rows, ridge, 1e-12, 1)
    if longest <= 1:
        np.testing.assert_allclose(x, start + step, rtol=1e-13)
        expected = shrinkage(longest) * math.sqrt(gradient @ step)
        np.testing.assert_allclose(certificate["decrement"], expected, rtol=1e-9)
    assert certificate["iterations"] == 1


@pytest.mark.parametrize(("wins", "moves", "cut"), [(100.0, 38.803, math.log1p(38.803)), (3.0, 1.320, 1.0)])
def test_a_long_step_is_cut_to_the_length_at_which_it_surely_climbs(wins, moves, cut):
    """Wins of one item to 1 of the other, under a prior: the step would move their difference by `moves`

    `moves` is given to three decimals; the tolerances are that rounding.
    """
    rows = pairs_of_rows([0], [1], [wins], [1.0])
    table = win_table(rows)
    start = first_guess(table, 0.1)
    gradient, a = slope_and_curvature(start, table, table + table.T, 0.1)
    step = np.linalg.solve(a, gradient)
    x, certificate, _ = maximum_of_table(rows, 0.1, 1e-12, 1)
    assert longest_move(step, table + table.T) == pytest.approx(moves, abs=1e-3)
    assert longest_move(x - start, table + table.T) == pytest.approx(cut, abs=1e-4)
    np.testing.assert_allclose((x - start) / cut, step / moves, rtol=1e-3)
    assert certificate["decrement"] == math.inf


@pytest.mark.parametrize("games", [1.0, 1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("odds", [1.1, 3.0, 1e6])
def test_nothing_below_the_rounding_of_the_gradient_is_asked_for(games, odds):
    """Two items take at most 12 steps, whatever the counts: the floor of the stopping rule grows with them"""
    x, certificate, _ = maximum_of_table(pairs_of_rows([0], [1], [games * odds], [games]), 0.0, 1e-12, 100)
    assert certificate["converged"]
    assert certificate["iterations"] <= 12
    np.testing.assert_allclose(x[0] - x[1], math.log(odds), rtol=1e-12)


@pytest.mark.parametrize(("n", "by_the_table"), [(5, True), (13, False)])
def test_where_the_table_is_singular_in_floats_the_rows_are_fitted(n, by_the_table):
    """10¹² wins to 1 along a chain, 1 to 1 between its ends: of 13 items the table fails, and fit uses the rows"""
    first, second = [*range(n - 1), 0], [*range(1, n), n - 1]
    rows = pairs_of_rows(first, second, [1e12] * (n - 1) + [1], [1] * n, n_items=n)
    _, certificate, _ = maximum_of_table(rows, 0.0, 1e-12, 100)
    assert certificate["converged"] is by_the_table
    assert (certificate["decrement"] <= 1e-12) is by_the_table
    fitted = fit(rows)
    assert fitted.converged
    assert abs(likelihood_terms(fitted.strength, rows).gradient).max() <= 1e-12


@given(st.integers(0, 2**32 - 1), st.integers(3, 8))
def test_rings_of_any_counts_are_fitted_or_refused_in_a_sentence(seed, n):
    """Counts of 1 to 10¹² around a ring, wins and losses drawn independently"""
    rng = np.random.default_rng(seed)
    wins, losses = np.round(10 ** rng.uniform(0, rng.uniform(0, 12), (2, n)))
    fitted = fit(pairs_of_rows(np.arange(n), (np.arange(n) + 1) % n, wins, losses))
    assert fitted.converged or "no maximum found" in fitted.problem


def test_a_step_that_solves_nothing_certifies_nothing():
    """A step of 0 from a nearly singular solve: it is short, but the gradient is still there"""
    with patch("numpy.linalg.solve", lambda _, b: np.zeros_like(b)):
        _, certificate, _ = maximum_of_table(rows_of(0), 0.7, 1e-12, 100)  # with a ridge: no sweep comes near
    assert certificate["gradient_norm"] > 0.01
    assert not certificate["converged"]

"""Standard errors, intervals and the bootstrap: exact values where there are any, coverage by simulation elsewhere."""

import numpy as np
import pytest

from numpy_ref.bradley_terry import inference
from numpy_ref.bradley_terry.games import BASEBALL, read_games
from numpy_ref.bradley_terry.strengths import fit
from numpy_ref.bradley_terry.win_counts import pairs_of_games, pairs_of_rows
from numpy_ref.errors import InputError
from numpy_ref.losses import sigmoid

BASEBALL_PAIRS = read_games(BASEBALL).pairs
PUDDING = pairs_of_rows(  # Davidson 1970
    [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4],
    [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5],
    [19, 16, 19, 18, 23, 19, 13, 16, 16, 17, 18, 22, 13, 14, 11],
    [22, 19, 19, 23, 19, 20, 19, 20, 15, 14, 21, 20, 18, 19, 21],
    [16, 12, 10, 13, 9, 15, 18, 12, 17, 16, 12, 12, 10, 18, 12],
)
FITS = [
    fit(BASEBALL_PAIRS),
    fit(BASEBALL_PAIRS, home=True),
    fit(BASEBALL_PAIRS, home=True, ridge=0.5),
    fit(PUDDING, ties="davidson"),
    fit(PUDDING, ties="rao-kupper"),
    fit(PUDDING, ties="half"),
]


def test_davidsons_pudding_as_published():
    davidson, rao_kupper = FITS[3], FITS[4]
    np.testing.assert_allclose(np.exp(davidson.tie), 0.74682298765428953, rtol=0, atol=1e-12)
    np.testing.assert_allclose(davidson.log_likelihood, -809.7095100902874, rtol=0, atol=1e-10)
    np.testing.assert_allclose(inference.standard_errors(davidson, 0)[-1], 0.082498691720983826, rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.exp(rao_kupper.tie), 1.7484572547369294, rtol=0, atol=1e-12)
    np.testing.assert_allclose(rao_kupper.log_likelihood, -809.69713348858421, rtol=0, atol=1e-10)
    np.testing.assert_allclose(inference.standard_errors(rao_kupper, 0)[-1], 0.035335797160344067, rtol=0, atol=1e-10)


@pytest.mark.parametrize("fitted", FITS)
@pytest.mark.parametrize("reference", [None, 2])
def test_one_solve_for_each_item_gives_the_dense_errors(fitted, reference):
    dense = inference.standard_errors(fitted, reference)
    np.testing.assert_allclose(inference.errors_by_solves(fitted, reference), dense, rtol=1e-11, atol=1e-14)
    if reference is not None:
        assert dense[reference] == 0


@pytest.mark.parametrize("fitted", FITS)
def test_any_contrast_has_the_error_of_the_whole_covariance(fitted):
    rng, x = np.random.default_rng(0), inference.parameters(fitted)
    c = rng.normal(size=len(x))
    c[: fitted.pairs.n_items] -= c[: fitted.pairs.n_items].mean()
    estimate, error, low, high = inference.contrast(fitted, c, level=0.9)
    np.testing.assert_allclose(error, np.sqrt(c @ inference.covariance(fitted) @ c), rtol=1e-11)
    np.testing.assert_allclose(estimate, c @ x, rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        [low, high], [estimate - 1.6448536269514722 * error, estimate + 1.6448536269514722 * error]
    )


def test_the_error_of_two_items_by_hand():
    """7 wins against 3: var(d) = 1 / (10 p (1 - p)) = 1 / 2.1, and each strength is half of d"""
    fitted = fit(pairs_of_rows([0], [1], [7], [3]))
    np.testing.assert_allclose(inference.contrast(fitted, [1, -1])[:2], [np.log(7 / 3), 2.1**-0.5], rtol=1e-13)
    np.testing.assert_allclose(inference.standard_errors(fitted), [2.1**-0.5 / 2] * 2, rtol=1e-13)


def test_the_bootstrap_agrees_with_the_information_on_a_large_table():
    fitted = fit(BASEBALL_PAIRS, home=True)
    strengths, without = inference.bootstrap(fitted, np.random.default_rng(0), 200)
    assert strengths.shape == (200 - without, 7)
    assert without == 0
    # the spread of 200 draws has an error of 5 % itself; the bootstrap of 13 games a pair is about 3 % wider
    np.testing.assert_allclose(strengths.std(0), inference.standard_errors(fitted)[:7], rtol=0.25)


def test_the_bootstrap_counts_the_resamples_without_an_estimate():
    """Item 2 lost once in 12 games: about e⁻¹ of the resamples miss that game and so have no estimate"""
    pairs = pairs_of_rows([0, 2, 2], [1, 0, 1], [6, 6, 5], [6, 1, 0])
    resamples = 400
    strengths, without = inference.bootstrap(fit(pairs), np.random.default_rng(3), resamples)
    assert len(strengths) + without == resamples
    assert np.isfinite(strengths).all()
    assert abs(without / resamples - (1 - 1 / 24) ** 24) < 4 * np.sqrt(0.36 * 0.64 / resamples)


def test_many_items_are_never_made_a_square_array():
    n = inference.DENSE_ITEMS + 1
    rng = np.random.default_rng(0)
    winner = np.concatenate([np.arange(n), rng.integers(0, n, 4 * n)])
    loser = np.concatenate([np.roll(np.arange(n), 1), (winner[n:] + rng.integers(1, n, 4 * n)) % n])
    fitted = fit(pairs_of_games(winner, loser, n))
    with pytest.raises(InputError, match="3001 x 3001"):
        inference.standard_errors(fitted)
    contrast = np.zeros(n)
    contrast[[5, 9]] = 1, -1
    assert 0.1 < inference.contrast(fitted, contrast)[1] < 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inference.contrast(FITS[0], np.ones(7)), "add up to 7, expected 0"),
        (lambda: inference.contrast(FITS[0], [1, -1], level=95), "level=95"),
        (lambda: inference.standard_errors(fit(pairs_of_rows([0], [1], [3], [0]))), "no standard error"),
        (
            lambda: inference.bootstrap(fit(pairs_of_rows([0], [1], [1.5], [2])), np.random.default_rng(0), 3),
            "whole counts",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def season(rng, strength, home, neutral, games):
    """Random pairs; the first is at home, except in a share of games on neutral ground        -> Pairs"""
    n = len(strength)
    first = rng.integers(0, n, games)
    second = (first + rng.integers(1, n, games)) % n
    at_home = (rng.random(games) >= neutral).astype(int)
    won = rng.random(games) < sigmoid(strength[first] - strength[second] + home * at_home)
    return pairs_of_rows(first, second, won, ~won, n_items=n, at_home=at_home)


@pytest.mark.slow
def test_95_percent_intervals_cover_with_a_home_effect_and_neutral_ground():
    """1000 seasons of 8 items and 600 games, a third on neutral ground: intervals hold strengths and h = 0.5 in 95 %

    The shares have standard errors of at most 0.7 %. If neutral games counted as home games, h would average 0.37.
    """
    rng, strength = np.random.default_rng(17), np.linspace(-1, 1, 8)
    inside, blind = [], []
    for _ in range(1000):
        played = season(rng, strength, 0.5, 1 / 3, 600)
        fitted = fit(played, home=True)
        x = np.append(fitted.strength, fitted.home)
        inside.append(abs(x - np.append(strength, 0.5)) <= 1.959964 * inference.standard_errors(fitted))
        blind.append(fit(played._replace(at_home=np.ones(len(played.first))), home=True).home)
    coverage = np.mean(inside, axis=0)
    assert abs(coverage[:8].mean() - 0.95) < 0.015
    assert abs(coverage[8] - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 1000)
    assert np.mean(blind) < 0.4

"""Plackett-Luce: repeated choice from what is left. Probabilities sum to one; the case of two is Bradley-Terry."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_ref.bradley_terry import strengths
from numpy_ref.bradley_terry.inference import contrast_errors
from numpy_ref.bradley_terry.plackett_luce import (
    arrows,
    fit_rankings,
    likelihood_terms,
    ranking_array,
    ranking_covariance,
)
from numpy_ref.bradley_terry.win_counts import pairs_of_games
from numpy_ref.errors import InputError

EPS = np.finfo(np.float64).eps
SALAD = [  # Critchlow & Fligner 1991: 32 tasters' ranks of four dressings, and how many gave them
    ("1234", 2), ("2134", 1), ("2143", 2), ("2314", 1), ("3124", 2), ("3142", 1),
    ("3421", 1), ("4123", 11), ("4132", 6), ("4213", 3), ("4312", 1), ("4321", 1),
]  # fmt: skip


@st.composite
def tables(draw):
    """Rankings of different lengths, each ranked completely or only at its head"""
    n = draw(st.integers(2, 6))
    rankings = draw(
        st.lists(
            st.permutations(range(n)).flatmap(lambda p: st.integers(2, n).map(lambda k: p[:k])), min_size=1, max_size=8
        )
    )
    ranked = [draw(st.integers(1, len(ranking))) for ranking in rankings]
    return rankings, ranked, n


def log_likelihood(x, rankings, ranked, log):
    """The log-likelihood choice by choice, as it is defined"""
    return sum(
        x[ranking[place]] - log(sum(x[i].exp() if torch.is_tensor(x) else np.exp(x[i]) for i in ranking[place:]))
        for ranking, places in zip(rankings, ranked, strict=True)
        for place in range(places)
    )


@given(tables(), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_gradient_by_hand_is_autograd_is_complex_step(table, seed):
    rankings, ranked, n = table
    x = np.random.default_rng(seed).normal(0, 2, n)
    value, gradient, multiply, diagonal = likelihood_terms(x, *ranking_array(rankings, n, ranked)[:2])
    tx = torch.tensor(x, requires_grad=True)
    torch_value = log_likelihood(tx, rankings, ranked, torch.log)
    (torch_gradient,) = torch.autograd.grad(torch_value, tx)
    by_step = [log_likelihood(x + 1j * 1e-20 * e, rankings, ranked, np.log).imag / 1e-20 for e in np.eye(n)]
    scale = 100 * EPS * sum(ranked) * (1 + abs(x).max())
    np.testing.assert_allclose(value, torch_value.item(), rtol=0, atol=scale)
    np.testing.assert_allclose(gradient, torch_gradient.numpy(), rtol=0, atol=scale)
    np.testing.assert_allclose(gradient, by_step, rtol=0, atol=scale)
    hessian = torch.autograd.functional.hessian(lambda x: log_likelihood(x, rankings, ranked, torch.log), tx.detach())
    np.testing.assert_allclose([multiply(e) for e in np.eye(n)], -hessian.numpy(), rtol=0, atol=scale)
    np.testing.assert_allclose(diagonal, -np.diag(hessian.numpy()), rtol=0, atol=scale)


@pytest.mark.parametrize("ranked", [1, 2, 3, 4])
def test_probabilities_of_all_rankings_sum_to_one(ranked):
    """Over all orders of four items or, if only the head is ranked, over all different heads"""
    x = np.random.default_rng(0).normal(0, 2, 4)
    heads = {order[:ranked]: order for order in permutations(range(4))}
    total = sum(np.exp(likelihood_terms(x, *ranking_array([order], 4, ranked)[:2])[0]) for order in heads.values())
    np.testing.assert_allclose(total, 1, rtol=1e-14)


def test_items_left_out_change_nothing():
    """Luce's axiom: the order of a few items has the total probability of the complete orders that agree with it"""
    x = np.random.default_rng(1).normal(0, 2, 4)
    whole = [o for o in permutations(range(4)) if o.index(2) < o.index(0)]
    total = sum(np.exp(likelihood_terms(x, *ranking_array([order], 4)[:2])[0]) for order in whole)
    np.testing.assert_allclose(np.exp(likelihood_terms(x, *ranking_array([[2, 0]], 4)[:2])[0]), total, rtol=1e-13)


def test_rankings_of_two_are_bradley_terry():
    rng = np.random.default_rng(2)
    winner = rng.integers(0, 6, 200)
    loser = (winner + rng.integers(1, 6, 200)) % 6
    by_pairs, by_rankings = strengths.fit(pairs_of_games(winner, loser)), fit_rankings(np.stack([winner, loser], 1))
    np.testing.assert_allclose(by_rankings.strength, by_pairs.strength, rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_rankings.log_likelihood, by_pairs.log_likelihood, rtol=1e-13)


def test_salad_dressings_as_published():
    orders = [np.argsort([int(rank) for rank in ranks]) for ranks, times in SALAD for _ in range(times)]
    fitted = fit_rankings(orders)
    exact = [0, 2.7299139795036375, 1.5615385112191318, 1.0268359030402232]
    errors = [0, 0.4480725659043662, 0.39647395508914818, 0.37706201808027063]
    np.testing.assert_allclose(fitted.log_likelihood, -76.415289203664033, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fitted.strength - fitted.strength[0], exact, rtol=0, atol=1e-12)
    np.testing.assert_allclose(contrast_errors(ranking_covariance(fitted), 4, 0), errors, rtol=0, atol=1e-10)
    assert fitted.converged
    assert fitted.decrement <= 1e-12


@given(tables())
def test_a_fit_exists_exactly_where_the_arrows_lead_round(table):
    rankings, ranked, n = table
    fitted = fit_rankings(rankings, n, ranked)
    assert fitted.converged == (len(fitted.groups) == 1)
    assert np.isfinite(fitted.strength).all() == fitted.converged
    if fitted.converged:
        assert abs(likelihood_terms(fitted.strength, *ranking_array(rankings, n, ranked)[:2])[1]).max() < 1e-9


def test_arrows_of_a_ranked_head_lead_to_all_that_follow():
    """Each arrow once: from each place to the next up to the last ranked one, from there to all that follow"""
    order, ranked, _ = ranking_array([[3, 1, 2, 0], [0, 2], [2, 0, 1, 3]], 4, [2, 1, 1])
    winner, loser = arrows(order, ranked)
    expected = [(0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 3), (3, 1)]
    assert sorted(zip(winner.tolist(), loser.tolist(), strict=True)) == expected


def test_rankings_as_an_array():
    order, ranked, n_items = ranking_array([[2, 0, 1], [1, 0]])
    assert (order.tolist(), ranked.tolist(), n_items) == ([[2, 0, 1], [1, 0, -1]], [2, 1], 3)
    assert ranking_array([[2, 0, 1]], 5)[2] == 5  # items that no list names
    with pytest.raises(InputError, match=r"ranking 1: \[0, 3\], expected different items of 0 to 2"):
        ranking_array([[0, 1], [0, 3]], 3)


def test_errors_against_the_mean_are_those_of_contrasts():
    rankings = [[0, 1, 2], [2, 1, 0], [1, 0], [1, 2, 0], [0, 2]]
    fitted = fit_rankings(rankings)
    order, ranked, _ = ranking_array(rankings)
    a = np.stack([likelihood_terms(fitted.strength, order, ranked)[2](e) for e in np.eye(3)])
    errors = contrast_errors(ranking_covariance(fitted), 3)
    np.testing.assert_allclose(errors, np.sqrt(np.diag(np.linalg.pinv(a))), rtol=1e-12)


@pytest.mark.parametrize(
    ("rankings", "message"),
    [
        ([], "at least one ranking"),
        ([[0, 1], [2]], "at least two items"),
        ([[0, 1], [2, 1, 2]], "ranking 1"),
        ([[0, -1]], "ranking 0"),
    ],
)
def test_bad_rankings_are_refused(rankings, message):
    with pytest.raises(InputError, match=message):
        fit_rankings(rankings)

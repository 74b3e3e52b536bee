"""Bradley-Terry for tables: three witnesses of each derivative, laws, published tables, three faces of one model."""

import csv
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import few

import torch_impl.bradley_terry.strengths as twin
from numpy_ref.bradley_terry import strengths
from numpy_ref.bradley_terry.existence import groups_of
from numpy_ref.bradley_terry.games import BASEBALL, TABLES, index_labels, read_games
from numpy_ref.bradley_terry.inference import standard_errors
from numpy_ref.bradley_terry.mm import fit_mm, mm_step
from numpy_ref.bradley_terry.strengths import fit, information, likelihood_terms, penalised
from numpy_ref.bradley_terry.win_counts import Pairs, blocks, difference, pairs_of_games, pairs_of_rows
from numpy_ref.errors import InputError
from numpy_ref.losses import pairwise_loss, pairwise_loss_backward
from torch_impl.ties import rao_kupper_threshold

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "data" / "published"
EPS = np.finfo(np.float64).eps
VARIANTS = [(home, model) for home in (False, True) for model in (None, "davidson", "rao-kupper")]
variants = st.sampled_from(VARIANTS)


@st.composite
def tables(draw, held_together=False, with_ties=True):
    """A random graph of comparisons of 2 to 7 items with counts of 0 to 9"""
    n = draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first, second = np.nonzero(~np.eye(n, dtype=bool) & (rng.random((n, n)) < draw(st.floats(0.3, 1))))
    wins, losses, ties = rng.integers(0, 10, (3, len(first))) * (rng.random((3, len(first))) < 0.8)
    assume((wins + losses + ties * with_ties).any())
    at_home = rng.integers(0, 2, len(first))
    pairs = pairs_of_rows(first, second, wins, losses, ties * with_ties, n, at_home=at_home)
    assume(not held_together or len(groups_of(pairs)) == 1)
    return pairs


def parameters(pairs, home, model, seed):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 1.5, pairs.n_items), [0.3] * home, [rng.uniform(0.2, 1)] * bool(model)])


def analytic(x, pairs, home, model):
    """The log-likelihood as the papers print it: analytic for the complex step, accurate for moderate differences"""
    worth, h = np.exp(x[: pairs.n_items]), np.exp(x[pairs.n_items] * pairs.at_home) if home else 1
    first, second = worth[pairs.first] * h, worth[pairs.second]
    tie = np.exp(x[-1]) if model else 0
    if model == "rao-kupper":
        a, b = first / (first + tie * second), second / (second + tie * first)
        c = (tie * tie - 1) * a * b
    else:
        total = first + second + tie * np.sqrt(first * second)
        a, b, c = first / total, second / total, tie * np.sqrt(first * second) / total
    return (pairs.wins * np.log(a) + pairs.losses * np.log(b) + (pairs.ties * np.log(c) if model else 0)).sum()


def by_torch(x, pairs, home, model):
    pairs = Pairs(pairs.n_items, *(torch.as_tensor(column) for column in pairs[1:]))
    extra = {"davidson": "log_nu", "rao-kupper": "log_theta"}
    tie = {extra[model]: x[-1]} if model else {}
    return twin.log_likelihood(x[: pairs.n_items], pairs, x[pairs.n_items] if home else None, **tie)


@given(tables(), variants, st.integers(0, 2**32 - 1))
def test_gradient_by_hand_is_autograd_is_complex_step(pairs, variant, seed):
    x = parameters(pairs, *variant, seed)
    value, gradient, _, _ = likelihood_terms(x, pairs, *variant)
    tx = torch.tensor(x, requires_grad=True)
    torch_value = by_torch(tx, pairs, *variant)
    (torch_gradient,) = torch.autograd.grad(torch_value, tx)
    by_step = [analytic(x + 1j * 1e-20 * e, pairs, *variant).imag / 1e-20 for e in np.eye(len(x))]
    # games x (1 + the slope of a tie in log θ, 2 / (θ² - 1) < 5) is the size of the terms that the sums add up
    scale = 50 * EPS * 6 * (pairs.wins + pairs.ties + pairs.losses).sum()
    np.testing.assert_allclose(value, torch_value.item(), rtol=0, atol=scale)
    np.testing.assert_allclose(value, analytic(x, pairs, *variant), rtol=0, atol=scale)
    np.testing.assert_allclose(gradient, torch_gradient.numpy(), rtol=0, atol=scale)
    np.testing.assert_allclose(gradient, by_step, rtol=0, atol=scale)


@given(tables(), variants, st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_hessian_by_hand_is_autograd(pairs, variant, seed):
    x = parameters(pairs, *variant, seed)
    _, _, multiply, diagonal = likelihood_terms(x, pairs, *variant)
    a = information(x, pairs, *variant)
    hessian = torch.autograd.functional.hessian(lambda x: by_torch(x, pairs, *variant), torch.tensor(x))
    scale = 50 * EPS * 60 * (pairs.wins + pairs.ties + pairs.losses).sum()  # 1 / sinh²(0.2) < 25, twice
    np.testing.assert_allclose(a, -hessian.numpy(), rtol=0, atol=scale)
    np.testing.assert_allclose([multiply(e) for e in np.eye(len(x))], a, rtol=0, atol=scale)
    np.testing.assert_allclose(diagonal, np.diag(a), rtol=0, atol=scale)


@given(tables(with_ties=False), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_hessian_is_the_complex_step_of_the_gradient(pairs, seed):
    x = parameters(pairs, False, None, seed)

    def gradient(x):
        d = x[pairs.first] - x[pairs.second]
        slope, g = pairs.wins / (1 + np.exp(d)) - pairs.losses / (1 + np.exp(-d)), np.zeros(len(x), complex)
        np.add.at(g, pairs.first, slope)
        np.subtract.at(g, pairs.second, slope)
        return g

    by_step = [gradient(x + 1j * 1e-20 * e).imag / 1e-20 for e in np.eye(len(x))]
    scale = 50 * EPS * (pairs.wins + pairs.losses).sum()
    np.testing.assert_allclose(information(x, pairs), -np.array(by_step), rtol=0, atol=scale)


@given(tables(), variants, st.floats(-5, 5), st.integers(0, 2**32 - 1))
def test_a_common_shift_changes_nothing(pairs, variant, shift, seed):
    x, n = parameters(pairs, *variant, seed), pairs.n_items
    ones = np.where(np.arange(len(x)) < n, 1.0, 0)
    value, gradient, multiply, _ = likelihood_terms(x, pairs, *variant)
    games = (pairs.wins + pairs.ties + pairs.losses).sum()
    np.testing.assert_allclose(
        likelihood_terms(x + shift * ones, pairs, *variant)[0], value, rtol=0, atol=400 * EPS * games
    )
    assert abs(gradient @ ones) <= 100 * EPS * games
    assert abs(multiply(ones)[:n]).max() <= 100 * EPS * games


@given(tables(), variants, st.integers(1, 5), st.floats(0, 3), st.integers(0, 2**32 - 1))
def test_blocks_of_rows_add_up(pairs, variant, rows, ridge, seed):
    x = parameters(pairs, *variant, seed)
    parts = list(blocks(pairs, rows))
    assert sum(len(part.first) for part in parts) == len(pairs.first)
    whole, split = (penalised(x, p, *variant, ridge) for p in ([pairs], parts))
    v = parameters(pairs, *variant, seed + 1)
    for a, b in ((whole[0], split[0]), (whole[1], split[1]), (whole[2](v), split[2](v)), (whole[3], split[3])):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


@given(tables(), variants, st.floats(0.1, 3), st.integers(0, 2**32 - 1))
def test_the_ridge_is_taken_from_strengths_alone(pairs, variant, ridge, seed):
    """penalised subtracts ridge/2 λ² for each strength, not for home and tie effects; without a ridge, nothing"""
    x, v = (parameters(pairs, *variant, s) for s in (seed, seed + 1))
    prior = np.where(np.arange(len(x)) < pairs.n_items, ridge, 0)
    value, gradient, multiply, diagonal = likelihood_terms(x, pairs, *variant)
    desired = value - (prior * x * x).sum() / 2, gradient - prior * x, multiply(v) + prior * v, diagonal + prior
    found = penalised(x, [pairs], *variant, ridge)
    for a, b in zip((*found[:2], found[2](v), found[3]), desired, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)
    strength = x[: pairs.n_items]
    np.testing.assert_array_equal(penalised(strength, [pairs])[1], likelihood_terms(strength, pairs)[1])


def test_one_step_of_mm():
    """λ = 0, log 3, 0: the first expects 1 of 4 wins over the second and 2 of 4 over the third; the second 3 of 4"""
    pairs = pairs_of_rows([0, 0, 1], [1, 2, 2], [3, 1, 2], [1, 3, 2])
    step = mm_step(np.log([1.0, 3.0, 1.0]), pairs)
    np.testing.assert_allclose(step, np.log([4 / (1 + 2), 3 / (3 + 3), 5 / (2 + 1)]), rtol=1e-14)


@given(tables(held_together=True, with_ties=False))
@few
def test_mm_climbs_and_every_way_leads_to_the_same_summit(pairs):
    strength, before = np.zeros(pairs.n_items), -np.inf
    for _ in range(10):
        value = likelihood_terms(strength, pairs)[0]
        assert value >= before - 1e-12 * abs(value)
        strength, before = strength + mm_step(strength, pairs), value
    newton, mm = fit(pairs), fit_mm(pairs)
    assert newton.converged
    assert mm.converged
    lbfgs, _, _ = twin.fit(pairs)
    # a decrement of 1e-6 standard errors allows MM 1e-6 times the largest standard error
    error = standard_errors(newton).max()
    np.testing.assert_allclose(mm.strength, newton.strength, rtol=0, atol=1e-6 * error)
    np.testing.assert_allclose(lbfgs.numpy(), newton.strength, rtol=0, atol=1e-10 * max(1, error))


@given(tables(held_together=True), variants)
def test_at_the_summit_the_gradient_is_zero_and_the_certificate_says_so(pairs, variant):
    home, model = variant
    assume(model or (pairs.wins + pairs.losses).any())
    fitted = fit(pairs, home, model or "drop")
    if not fitted.converged:
        assert np.isnan(fitted.strength).all()
        assert fitted.problem
        return
    x = np.concatenate([fitted.strength, [e for e in (fitted.home, fitted.tie) if e is not None]])
    rows = pairs if fitted.model else pairs._replace(ties=0 * pairs.ties)
    value, gradient, _, _ = likelihood_terms(x, rows, home, fitted.model)
    assert abs(gradient).max() <= 1e-9
    assert fitted.decrement <= 1e-12
    np.testing.assert_allclose(fitted.log_likelihood, value, rtol=0, atol=1e-11 * (1 + abs(value)))
    assert fitted.deviance >= -1e-9
    nearby = x + np.random.default_rng(0).normal(0, 0.01, len(x))
    assert likelihood_terms(nearby, rows, home, fitted.model)[0] <= value + 1e-12 * abs(value)


@given(tables(held_together=True), variants, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_relabelling_items_permutes_the_fit(pairs, variant, random):
    home, model = variant
    assume(model or (pairs.wins + pairs.losses).any())
    permutation = np.array(random.sample(range(pairs.n_items), pairs.n_items))
    counts = (pairs.wins, pairs.losses, pairs.ties, pairs.n_items)
    ends = permutation[pairs.first], permutation[pairs.second]
    relabelled = pairs_of_rows(*ends, *counts, at_home=pairs.at_home)
    one, other = fit(pairs, home, model or "drop"), fit(relabelled, home, model or "drop")
    assert one.converged == other.converged
    if one.converged:
        error = max(1, standard_errors(one).max())
        np.testing.assert_allclose(other.strength[permutation], one.strength, rtol=0, atol=1e-11 * error)


@given(tables(held_together=True))
@settings(max_examples=40)
def test_doubling_the_counts_leaves_strengths_and_shrinks_errors(pairs):
    doubled = pairs._replace(wins=2 * pairs.wins, losses=2 * pairs.losses, ties=2 * pairs.ties)
    one, two = fit(pairs, ties="half"), fit(doubled, ties="half")
    errors = standard_errors(one)
    np.testing.assert_allclose(two.strength, one.strength, rtol=0, atol=1e-11 * max(1, errors.max()))
    np.testing.assert_allclose(standard_errors(two), errors / np.sqrt(2), rtol=1e-10)
    np.testing.assert_allclose(two.deviance, 2 * one.deviance, rtol=1e-9, atol=1e-9)


@given(tables(held_together=True, with_ties=False))
def test_three_faces_of_one_model(pairs):
    """The table's likelihood, the reward loss with a table as the network, and logistic regression on differences"""
    strength = np.random.default_rng(0).normal(0, 1, pairs.n_items)
    winner = np.repeat(np.r_[pairs.first, pairs.second], np.r_[pairs.wins, pairs.losses].astype(int))
    loser = np.repeat(np.r_[pairs.second, pairs.first], np.r_[pairs.wins, pairs.losses].astype(int))
    value, gradient, _, _ = likelihood_terms(strength, pairs)
    loss, cache = pairwise_loss(strength[winner], strength[loser])
    dchosen, drejected = pairwise_loss_backward(1.0, cache)
    reward_gradient = np.bincount(winner, dchosen, pairs.n_items) + np.bincount(loser, drejected, pairs.n_items)
    np.testing.assert_allclose(loss, -value / len(winner), rtol=1e-13)
    np.testing.assert_allclose(reward_gradient, -gradient / len(winner), rtol=0, atol=1e-14)

    design = np.eye(pairs.n_items)[winner] - np.eye(pairs.n_items)[loser]  # all outcomes 1
    weights = np.zeros(pairs.n_items)
    for _ in range(60):  # iteratively reweighted least squares, damped
        p = 1 / (1 + np.exp(-design @ weights))
        root = np.sqrt(p * (1 - p))
        weights = weights + np.clip(np.linalg.lstsq(root[:, None] * design, (1 - p) / root, rcond=1e-12)[0], -1, 1)
    fitted = fit(pairs)
    assume(standard_errors(fitted).max() < 20)  # beyond, lstsq's own cut-off of small singular values shows
    np.testing.assert_allclose(weights - weights.mean(), fitted.strength, rtol=0, atol=1e-7)


@pytest.mark.parametrize("ridge", [1.0, 0.5, 0.1, 0.05, 0.01])
def test_an_undefeated_team_has_a_penalised_estimate_whatever_the_prior(ridge):
    """A bug, found with Milwaukee undefeated: a ridge makes the system solvable, so no shift may be removed from it"""
    games = read_games(BASEBALL)
    best = games.items.index("Milwaukee")
    pairs = games.pairs
    wins = np.where(pairs.second == best, 0, pairs.wins)
    losses = np.where(pairs.first == best, 0, pairs.losses)
    rows = pairs_of_rows(pairs.first, pairs.second, wins, losses, n_items=len(games.items), ordered=True)
    found = fit(rows, ridge=ridge)
    assert found.converged
    assert found.iterations <= 12
    assert abs(found.strength.sum()) <= 1e-12
    assert found.strength.argmax() == best
    x = found.strength
    d = x[rows.first] - x[rows.second]
    slope = rows.wins / (1 + np.exp(d)) - rows.losses / (1 + np.exp(-d))
    n = len(x)
    gradient = np.bincount(rows.first, slope, n) - np.bincount(rows.second, slope, n) - ridge * x
    assert abs(gradient).max() <= 1e-10


def test_the_ridge_is_a_prior_of_variance_one_over_ridge():
    """3 wins against 1: the fit is the maximum of 3 log σ(2λ) + log σ(-2λ) - 2 λ² / (2 variance), at 30 digits"""
    pairs = pairs_of_rows([0], [1], [3], [1])
    for variance in (0.25, 1.0, 4.0):
        with mpmath.workdps(30):

            def slope(v, variance=variance):
                return 2 * (3 / (1 + mpmath.exp(2 * v)) - 1 / (1 + mpmath.exp(-2 * v))) - 2 * v / variance

            exact = float(mpmath.findroot(slope, 0.3))
        np.testing.assert_allclose(fit(pairs, ridge=1 / variance).strength, [exact, -exact], rtol=1e-13)
    undefeated = fit(pairs_of_rows([0], [1], [5], [0]), ridge=0.5)
    assert undefeated.converged
    assert len(undefeated.groups) == 2


# Baltimore, Boston, Cleveland, Detroit, Milwaukee, New York, Toronto; then the effect of being at home
BASEBALL_FIT = [0, 1.107697705378655, 0.68385276915916173, 1.4364084318124367, 1.5813558766613942, 1.2476178451413878,
                1.2944851239118066]  # fmt: skip
CITATIONS_FIT = [0, -2.9490724968439098, -0.47956976975199284, 0.2689540558194716]


def test_baseball_as_published():
    games = read_games(BASEBALL)
    plain, at_home = fit(games.pairs), fit(games.pairs, home=True)
    np.testing.assert_allclose(plain.strength - plain.strength[0], BASEBALL_FIT, rtol=0, atol=1e-13)
    np.testing.assert_allclose(standard_errors(plain, 0)[1], 0.33387820698942689, rtol=0, atol=1e-13)
    np.testing.assert_allclose(plain.deviance, 44.05346122857376, rtol=0, atol=1e-11)
    np.testing.assert_allclose(plain.log_likelihood, -172.24817599471596, rtol=0, atol=1e-11)
    np.testing.assert_allclose(at_home.home, 0.30226065552894081, rtol=0, atol=1e-13)
    np.testing.assert_allclose(standard_errors(at_home)[-1], 0.13094370745591709, rtol=0, atol=1e-13)
    np.testing.assert_allclose(at_home.deviance, 38.642852143970518, rtol=0, atol=1e-11)
    assert (plain.degrees_of_freedom, at_home.degrees_of_freedom) == (36, 35)


def test_citations_as_published():
    fitted = fit(read_games(TABLES / "citations_1994.csv").pairs)
    np.testing.assert_allclose(fitted.strength - fitted.strength[0], CITATIONS_FIT, rtol=0, atol=1e-13)
    np.testing.assert_allclose(fitted.deviance, 4.2933839698890029, rtol=0, atol=1e-11)
    assert fitted.degrees_of_freedom == 3


@pytest.mark.skipif(not PUBLISHED.exists(), reason="data: the published tables are not here")
@pytest.mark.parametrize(
    ("raw", "fits", "home", "ties"),
    [
        ("baseball_1987_raw", "baseball_1987_fit_bt", False, "drop"),
        ("baseball_1987_raw", "baseball_1987_fit_home", True, "drop"),
        ("stigler1994_citations4_raw", "stigler1994_fit_bt", False, "drop"),
        ("davidson1970_pudding_raw", "davidson1970_pudding_fit_davidson", False, "davidson"),
        ("davidson1970_pudding_raw", "davidson1970_pudding_fit_raokupper", False, "rao-kupper"),
    ],
)
def test_every_published_coefficient_and_standard_error(raw, fits, home, ties):
    with open(PUBLISHED / f"{raw}.csv") as file:
        columns = [list(column) for column in zip(*list(csv.reader(file))[1:], strict=True)]
    with open(PUBLISHED / f"{fits}.csv") as file:
        exact = {row["parameter"]: row for row in csv.DictReader(file)}
    items, first, second = index_labels(columns[0], columns[1])
    counts = np.array(columns[2:], float)
    wins, losses, tied = {1: [0, None, None], 2: [0, 1, None], 4: [1, 2, 3]}[len(counts)]
    keep = first != second
    rows = [np.zeros(keep.sum()) if k is None else counts[k][keep] for k in (wins, losses, tied)]
    pairs = pairs_of_rows(first[keep], second[keep], *rows, len(items), ordered=len(counts) == 2)
    fitted = fit(pairs, home, ties)
    extras = [("at.home", fitted.home)] * home + [
        ({"davidson": "log_nu", "rao-kupper": "log_theta"}.get(ties), fitted.tie)
    ]
    errors = standard_errors(fitted, 0)
    for k, (name, value) in enumerate([*zip(items, fitted.strength - fitted.strength[0], strict=True), *extras]):
        if name is not None:
            assert abs(value - float(exact[name]["estimate"])) <= 1e-12
            assert abs(errors[k] - float(exact[name]["se"])) <= 1e-10
    log_likelihood = exact.get("loglik_bernoulli", exact.get("loglik_trinomial"))["estimate"]
    assert abs(fitted.log_likelihood - float(log_likelihood)) <= 1e-10
    torch_fit, torch_home, torch_tie = twin.fit(pairs, home, ties)
    np.testing.assert_allclose(torch_fit.numpy(), fitted.strength, rtol=0, atol=1e-10)
    if home:
        assert abs(torch_home.item() - fitted.home) <= 1e-10
    if fitted.model:
        assert abs(torch_tie.item() - fitted.tie) <= 1e-10


def test_counting_and_sorting_games_give_the_same_rows():
    rng = np.random.default_rng(0)
    for n, games in ((5, 400), (5, 8), (300, 2000), (70_000, 500)):
        winner = rng.integers(0, n, games)
        loser = (winner + rng.integers(1, n, games)) % n
        one, other = pairs_of_games(winner, loser, n), pairs_of_rows(winner, loser, 1, 0, n_items=n)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
        assert (np.diff(one.first) >= 0).all()
        assert one.wins.sum() + one.losses.sum() == games


def test_difference_and_its_backward_are_transposes():
    pairs = read_games(BASEBALL).pairs
    rng = np.random.default_rng(1)
    v, dd = rng.normal(size=7), rng.normal(size=42)
    from numpy_ref.bradley_terry.win_counts import difference_backward

    np.testing.assert_allclose(difference(v, pairs) @ dd, v @ difference_backward(dd, pairs), rtol=1e-12)


def lopsided(seed):
    """About two pairs an item, counts up to a million against a few, and a tie in one of ten pairs"""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 60))
    near = np.array([rng.integers(max(0, i - 3), i) for i in range(1, n)])
    far = rng.integers(0, n, (n, 2))
    first, second = np.append(np.arange(1, n), far[:, 0]), np.append(near, far[:, 1])
    many, few_wins = 10 ** rng.uniform(0, 6, len(first)), 10 ** rng.uniform(0, 1, len(first))
    swap, kept = rng.random(len(first)) < 0.5, first != second
    wins, losses = np.where(swap, many, few_wins).round(), np.where(swap, few_wins, many).round()
    ties = rng.random(len(first)) < 0.1
    return pairs_of_rows(first[kept], second[kept], wins[kept], losses[kept], ties[kept], n)


@pytest.mark.parametrize("seed", [0, 71])
def test_where_conjugate_gradients_lose_their_digits_a_square_system_is_solved(seed, monkeypatch):
    """Both sides of every pair have won, so the estimate exists"""
    pairs, steps = lopsided(seed), []
    real = strengths.direct
    monkeypatch.setattr(strengths, "direct", lambda *how: steps.append(how) or real(*how))
    result = fit(pairs, ties="davidson")
    assert steps
    assert result.problem is None
    x = np.append(result.strength, result.tie)
    found = likelihood_terms(x, pairs, model="davidson")
    rounding = EPS * (1 + abs(x).max()) * math.sqrt(found.diagonal.sum())
    assert np.sqrt(found.gradient**2 / found.diagonal).max() < 100 * rounding


def test_ties_as_halves_dropped_and_modelled():
    pairs = pairs_of_rows([0, 1, 0], [1, 2, 2], [5, 4, 6], [3, 3, 1], [2, 5, 4])
    by_hand = pairs_of_rows([0, 1, 0], [1, 2, 2], [6, 6.5, 8], [4, 5.5, 3])
    np.testing.assert_allclose(fit(pairs, ties="half").strength, fit(by_hand).strength, rtol=0, atol=1e-13)
    without = pairs_of_rows([0, 1, 0], [1, 2, 2], [5, 4, 6], [3, 3, 1])
    np.testing.assert_allclose(fit(pairs, ties="drop").strength, fit(without).strength, rtol=0, atol=1e-13)
    assert fit(without, ties="davidson").model is None
    _, _, log_theta = twin.fit(pairs, ties="rao-kupper")
    assert abs(log_theta - fit(pairs, ties="rao-kupper").tie) <= 1e-12
    assert rao_kupper_threshold(torch.tensor(-3.0)) > 0


def test_equal_wins_and_losses_are_games_when_ties_are_dropped():
    np.testing.assert_array_equal(fit(pairs_of_rows([0], [1], [2], [2], [1]), ties="drop").strength, [0, 0])


def test_without_enough_steps_there_is_no_number():
    fitted = fit(read_games(BASEBALL).pairs, max_iterations=0)
    assert not fitted.converged
    assert np.isnan([*fitted.strength, fitted.log_likelihood, fitted.deviance]).all()
    assert "no maximum found" in fitted.problem


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(pairs_of_rows([0], [1], [1], [1]), ties="halve"), "expected one of drop, half"),
        (lambda: fit(pairs_of_rows([0], [1], [1], [1]), ridge=-1.0), "ridge=-1.0"),
        (lambda: fit(pairs_of_rows([0], [1], [1], [1]), ridge=np.nan), "ridge=nan"),
        (lambda: fit(pairs_of_rows([0], [1], [1], [1]), ridge="1"), "ridge='1'"),
        (lambda: fit_mm(pairs_of_rows([0], [1], [1], [1]), ties="davidson"), "only halve or drop"),
        (lambda: pairs_of_rows([0, 2], [1, 2], [1, 1], [1, 1]), "row 1: item 2 is compared with itself"),
        (lambda: pairs_of_rows([0, 1], [1, 2], [1, -1], [1, 1]), "row 1: the count is -1"),
        (lambda: pairs_of_rows([0, 1], [1, 2], [1, np.nan], [1, 1]), "row 1: the count is nan"),
        (lambda: pairs_of_rows([0], [1], [0], [0]), "every count is 0"),
        (lambda: pairs_of_rows(np.array([], int), np.array([], int), [], []), "the table is empty"),
        (lambda: pairs_of_rows([0.0], [1.0], [1], [1]), "integer arrays"),
        (lambda: pairs_of_rows([0], [3], [1], [1], n_items=3), "item 3 is not one of the items 0 to 2"),
        (lambda: pairs_of_games([-1], [0]), "item -1"),
        (lambda: pairs_of_games([0], [0]), "compared with itself"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()


def simulate(rng, strength, games):
    n = len(strength)
    first = rng.integers(0, n, games)
    second = (first + rng.integers(1, n, games)) % n
    first_wins = rng.random(games) < 1 / (1 + np.exp(strength[second] - strength[first]))
    return np.where(first_wins, first, second), np.where(first_wins, second, first)


def test_known_strengths_are_recovered_as_games_grow():
    rng = np.random.default_rng(7)
    strength = rng.normal(0, 1, 12)
    strength -= strength.mean()
    errors = [
        abs(fit(pairs_of_games(*simulate(rng, strength, games), 12)).strength - strength).max()
        for games in (10**3, 10**5)
    ]
    assert errors[1] < 0.06  # 4 standard errors of 0.015
    assert errors[1] < errors[0] / 4  # √100 = 10 is expected


@pytest.mark.slow
def test_95_percent_intervals_cover_95_percent():
    """1000 tables of 8 items and 600 games; 8000 intervals, whose coverage has a standard error below 0.7 %"""
    rng = np.random.default_rng(11)
    strength = np.linspace(-1, 1, 8)
    inside = []
    for _ in range(1000):
        fitted = fit(pairs_of_games(*simulate(rng, strength, 600), 8))
        inside.append(abs(fitted.strength - strength) <= 1.959964 * standard_errors(fitted))
    assert abs(np.mean(inside) - 0.95) < 0.015

"""Calibration: the bias of the ECE by an exact sum, the temperature by three witnesses, and the laws of both."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import dyadic, seeds

from numpy_ref.errors import InputError
from numpy_ref.evaluation import calibration as c
from numpy_ref.losses import sigmoid
from numpy_ref.metrics import accuracy, brier, log_loss

margin_lists = st.lists(st.one_of(st.floats(-30, 30), dyadic(20)), min_size=1, max_size=30).map(np.array)
BINNINGS = pytest.mark.parametrize("equal_mass", [True, False])


def calibrated(seed, n, spread=2.0):
    """Margins with P(first wins) = σ(margin); the sign is turned where the second response won"""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, spread, n)
    return np.where(rng.random(n) < 1 / (1 + np.exp(-true)), true, -true)


# The folded form


@given(margin=margin_lists)
def test_folding_loses_nothing_of_what_a_pair_says(margin):
    """Accuracy and Brier score follow from confidence and right alone; a tie is half right and half wrong"""
    confidence, right = c.folded(margin)
    assert ((confidence >= 0.5) & (confidence <= 1)).all()
    assert math.isclose(right.mean(), accuracy(margin), abs_tol=1e-15)
    score = (right * (1 - confidence) ** 2 + (1 - right) * confidence**2).mean()
    assert math.isclose(score, brier(margin), abs_tol=1e-15)


@given(margin=margin_lists, seed=seeds)
def test_which_response_stands_first_changes_nothing(margin, seed):
    swapped = np.random.default_rng(seed).random(len(margin)) < 0.5
    confidence, right = c.folded(margin)
    there = c.folded(np.where(swapped, -margin, margin), np.where(swapped, 0, 1))
    np.testing.assert_array_equal(there[0], confidence)
    np.testing.assert_array_equal(there[1], right)


def test_both_sides_of_every_pair_give_the_curve_and_its_mirror_image():
    margin = calibrated(0, 2000)
    probability, won = np.concatenate([sigmoid(margin), sigmoid(-margin)]), np.repeat([1.0, 0.0], 2000)
    confidence, right = c.folded(margin)
    for low, high in [(0.5, 0.6), (0.6, 0.75), (0.75, 1.0)]:
        here = (confidence > low) & (confidence <= high)
        above, below = (
            (probability > low) & (probability <= high),
            (1 - probability > low) & (1 - probability <= high),
        )
        assert math.isclose(won[above].mean(), right[here].mean(), rel_tol=1e-12)
        assert math.isclose(1 - won[below].mean(), right[here].mean(), rel_tol=1e-12)


def test_a_first_response_that_wins_with_a_probability():
    assert [x.tolist() for x in c.folded(np.array([2.0, -2.0, 0.0]), np.array([0.75, 0.75, 0.9]))] == [
        [sigmoid(2.0), sigmoid(2.0), 0.5],
        [0.75, 0.25, 0.5],
    ]


# Bins


@BINNINGS
@given(margin=margin_lists, bins=st.integers(1, 12), seed=seeds)
def test_a_curve_is_what_a_loop_finds(equal_mass, margin, bins, seed):
    confidence, right = c.folded(margin)
    order = sorted(confidence.tolist())
    if equal_mass:
        borders = [order[k * len(order) // bins] for k in range(1, bins)]
    else:
        borders = [0.5 + 0.5 * k / bins for k in range(1, bins)]
    found = {}
    for said, was in zip(confidence.tolist(), right.tolist(), strict=True):
        found.setdefault(sum(said >= border for border in borders), []).append((said, was))
    curve = c.reliability_curve(confidence, right, bins, equal_mass)
    groups = [np.array(found[b]) for b in sorted(found)]
    assert curve.pairs.tolist() == [len(group) for group in groups]
    np.testing.assert_allclose(curve.confidence, [group[:, 0].mean() for group in groups], rtol=1e-12)
    np.testing.assert_allclose(curve.right, [group[:, 1].mean() for group in groups], rtol=1e-12, atol=1e-15)
    by_hand = sum(len(g) * abs(g[:, 1].mean() - g[:, 0].mean()) for g in groups) / len(margin)
    assert math.isclose(c.ece(curve), by_hand, rel_tol=1e-9, abs_tol=1e-14)
    squares = sum(
        sum(a * b for i, a in enumerate(d) for j, b in enumerate(d) if i != j) / (len(d) - 1)
        for d in ((g[:, 1] - g[:, 0]).tolist() for g in groups)
        if len(d) > 1
    )
    squared = c.squared_calibration_error(confidence, right, bins, equal_mass)
    assert math.isclose(squared, squares / len(margin), rel_tol=1e-9, abs_tol=1e-13)
    shuffled = np.random.default_rng(seed).permutation(len(margin))
    again = c.reliability_curve(confidence[shuffled], right[shuffled], bins, equal_mass)
    assert again.pairs.tolist() == curve.pairs.tolist()
    np.testing.assert_allclose(again.confidence, curve.confidence, rtol=1e-12)


def test_bins_of_different_margins_are_of_equal_mass_or_of_equal_width():
    confidence = np.linspace(0.5, 1, 100, endpoint=False)
    assert c.reliability_curve(confidence, confidence, 10).pairs.tolist() == [10] * 10
    skewed = 0.5 + 0.5 * np.linspace(0, 1, 100, endpoint=False) ** 3
    assert c.reliability_curve(skewed, skewed, 5).pairs.tolist() == [20] * 5
    assert c.reliability_curve(skewed, skewed, 2, equal_mass=False).pairs.tolist() == [80, 20]
    assert c.reliability_curve(np.full(7, 0.7), np.ones(7)).pairs.tolist() == [7], "equal confidences are never parted"


@given(margin=margin_lists, bins=st.integers(1, 12))
def test_the_parts_of_the_brier_score_add_up(margin, bins):
    """They add up to the Brier score of the bins' means, the full score if each bin holds only one confidence"""
    confidence, right = c.folded(margin)
    curve = c.reliability_curve(confidence, right, bins)
    reliability, resolution, uncertainty = c.brier_parts(curve)
    loss = curve.right * (1 - curve.confidence) ** 2 + (1 - curve.right) * curve.confidence**2
    assert math.isclose(reliability - resolution + uncertainty, np.average(loss, weights=curve.pairs), abs_tol=1e-14)
    assert min(reliability, resolution, uncertainty) >= 0
    of_one = c.reliability_curve(*c.folded(np.repeat(margin[:1], 9) * [1, 1, 1, 1, 1, 1, -1, -1, -1]))
    assert len(of_one.pairs) == 1


def test_the_parts_are_murphys_three():
    curve = c.Curve(np.array([30, 10]), np.array([0.6, 0.9]), np.array([0.5, 0.8]))
    overall = (30 * 0.5 + 10 * 0.8) / 40
    expected = (0.01, (30 * (0.5 - overall) ** 2 + 10 * (0.8 - overall) ** 2) / 40, overall * (1 - overall))
    np.testing.assert_allclose(c.brier_parts(curve), expected, rtol=1e-12)


def test_ten_bins_of_equal_mass_are_meant_where_nothing_is_said():
    margin = calibrated(0, 200)
    confidence, right = c.folded(margin)
    assert (
        c.places(confidence).tolist()
        == c.places(confidence, 10, True).tolist()
        != c.places(confidence, 10, False).tolist()
    )
    assert c.reliability_curve(confidence, right).pairs.tolist() == [20] * 10
    same = c.squared_calibration_error(confidence, right, 10, True)
    assert c.squared_calibration_error(confidence, right) == same
    one, two = (c.ece_if_calibrated(confidence, np.random.default_rng(0), *more) for more in ((), (10, True, 1000)))
    assert one == two


@pytest.mark.parametrize("shapes", [((0,), (0,)), ((3,), (2,)), ((2, 2), (2, 2))])
def test_what_cannot_be_drawn_is_refused(shapes):
    for f in (c.reliability_curve, c.squared_calibration_error):
        with pytest.raises(InputError, match="one length expected, not 0"):
            f(*(np.full(shape, 0.6) for shape in shapes))


# The bias of the ECE


def mean_absolute_deviation(p):
    """E|Σ Y_i - Σ p_i| of independent Y_i with P(Y_i = 1) = p_i, by the whole distribution of the sum"""
    distribution = np.ones(1)
    for p_i in p:
        distribution = np.convolve(distribution, [1 - p_i, p_i])
    return distribution @ abs(np.arange(len(p) + 1) - p.sum())


@BINNINGS
@pytest.mark.parametrize("n", [40, 1000])
def test_the_ece_of_a_calibrated_model_is_its_exact_expectation_and_not_0(n, equal_mass):
    rng = np.random.default_rng(n)
    confidence, _ = c.folded(calibrated(1, n))
    place = c.places(confidence, 10, equal_mass)
    exact = sum(mean_absolute_deviation(confidence[place == b]) for b in set(place.tolist())) / n
    mean, high = c.ece_if_calibrated(confidence, rng, 10, equal_mass, draws=4000)
    found = [c.ece(c.reliability_curve(*c.folded(calibrated(s, n)), 10, equal_mass)) for s in range(200)]
    spread = np.std(found)
    assert abs(mean - exact) < 4 * spread / math.sqrt(4000)
    assert exact > 0.01
    beyond = [drawn > high for drawn in found]
    assert 0.01 <= np.mean(beyond) <= 0.12, "1 in 20, of 200 data sets"


def test_ties_are_no_noise():
    """A margin of 0 predicts ½ and counts ½, so the ECE of such pairs is 0 in the data and in the draws"""
    assert c.ece_if_calibrated(np.full(20, 0.5), np.random.default_rng(0), draws=10) == (0.0, 0.0)
    confidence, right = c.folded(np.zeros(20))
    assert c.ece(c.reliability_curve(confidence, right)) == 0


def test_the_draws_follow_the_generator():
    confidence, _ = c.folded(calibrated(0, 50))
    one, same, other = (c.ece_if_calibrated(confidence, np.random.default_rng(s), draws=50) for s in (1, 1, 2))
    assert one == same != other


@BINNINGS
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_squared_error_is_without_bias(scale, equal_mass):
    """Mean over 2,000 sets of labels for the same margins; a scale of 3 adds a known overconfidence"""
    rng, bins = np.random.default_rng(0), 5
    true = rng.normal(0, 1.5, 60)
    p = sigmoid(abs(true))
    confidence = sigmoid(scale * abs(true))
    found = [
        c.squared_calibration_error(confidence, (rng.random(60) < p).astype(float), bins, equal_mass)
        for _ in range(2000)
    ]
    place, e, exact = c.places(confidence, bins, equal_mass), p - confidence, 0.0
    for b in range(bins):
        here = e[place == b]
        if len(here) > 1:
            exact += (here.sum() ** 2 - (here**2).sum()) / (len(here) - 1) / 60
    assert exact == 0 if scale == 1 else exact > 0.005
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / math.sqrt(2000)


# Temperature


@given(margin=margin_lists, beta=st.floats(0.05, 3))
@example(margin=np.array([0.0]), beta=1.0)
def test_the_slope_has_three_witnesses(margin, beta):
    """By hand = autograd = complex step of log(1 + e^-x), safe for |m| ≤ 30; the curvature = autograd's"""
    value, slope, curvature = c.temperature_loss(beta, margin)
    b = torch.tensor(beta, dtype=torch.float64, requires_grad=True)
    f = -torch.nn.functional.logsigmoid(b * torch.from_numpy(margin)).mean()
    (df,) = torch.autograd.grad(f, b, create_graph=True)
    ddf = torch.autograd.grad(df, b)[0] if df.requires_grad else torch.zeros(())
    step = np.log1p(np.exp(-(beta + 1e-20j) * margin)).mean().imag / 1e-20
    scale = abs(margin).max() + 1
    assert math.isclose(value, f.item(), rel_tol=1e-12)
    assert abs(slope - df.item()) < 1e-13 * scale
    assert abs(slope - step) < 1e-13 * scale
    assert abs(curvature - ddf.item()) < 1e-12 * scale**2
    assert value == pytest.approx(log_loss(beta * margin), rel=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_the_temperature_is_mpmaths(seed):
    margin = 3 * calibrated(seed, 40)
    exact = mpmath.findroot(
        lambda b: mpmath.fsum(-m / (1 + mpmath.exp(b * m)) for m in margin.tolist()), (0.05, 3), solver="anderson"
    )
    fitted = c.fit_temperature(margin)
    assert math.isclose(fitted.temperature, float(1 / exact), rel_tol=1e-9)
    assert fitted.low < fitted.temperature < fitted.high < fitted.low * (1 + 3e-6)
    assert 0 < fitted.steps < 20


@pytest.mark.parametrize("true", [0.25, 1.0, 4.0])
def test_the_temperature_of_margins_made_too_large_is_found_again(true):
    """Within four standard errors of β, 1 / √(n f''), on 4,000 pairs"""
    margin = calibrated(0, 4000)
    fitted = c.fit_temperature(true * margin)
    _, _, curvature = c.temperature_loss(1.0, margin)
    error = 1 / math.sqrt(4000 * curvature)
    assert error < 0.04
    assert abs(true / fitted.temperature - 1) < 4 * error
    before, after = (c.folded(m) for m in (true * margin, true * margin / fitted.temperature))
    assert after[1].tolist() == before[1].tolist(), "a temperature changes no prediction"
    assert log_loss(true * margin / fitted.temperature) <= log_loss(margin)


@given(margin=margin_lists, factor=st.floats(1e-3, 1e3))
def test_the_temperature_has_the_unit_of_the_margins(margin, factor):
    assume((margin < -1e-3).any() and margin.mean() > 1e-3)
    fitted, scaled = c.fit_temperature(margin), c.fit_temperature(factor * margin)
    assert math.isclose(scaled.temperature, factor * fitted.temperature, rel_tol=1e-7)
    once_more = c.fit_temperature(margin / fitted.temperature)
    assert math.isclose(once_more.temperature, 1, rel_tol=1e-7)
    for other in (0.9, 1.1):
        assert log_loss(margin / fitted.temperature) <= log_loss(margin / (other * fitted.temperature)) + 1e-15


@pytest.mark.parametrize(
    "margin",
    [[1.0, -1e-300], [1e-3, 5, -1e-200], [1e300, 1e300, -1e300], [5e-324, 1.0, -0.5], [800.0] * 1000 + [-800.0]],
)
def test_extreme_margins_have_a_temperature_too(margin):
    fitted = c.fit_temperature(np.array(margin))
    assert 0 < fitted.low <= fitted.temperature <= fitted.high < math.inf


@pytest.mark.parametrize(
    ("margin", "reason"),
    [
        ([1.0, 2.0, 0.0], "none of 3 pairs is ranked wrong"),
        ([0.0, 0.0], "every margin is 0"),
        ([1.0, -2.0], "the mean margin is -0.5"),
        ([1.0, -1.0], "the mean margin is 0"),
        ([1.7e308, -1.7e308, -1.7e308], "the mean margin is -5.67e"),
        ([], r"\(0,\): expected"),
        ([[1.0, -0.5]], r"\(1, 2\): expected"),
        ([1.0, math.nan], "finite numbers"),
        ([1.0, -math.inf], "finite numbers"),
    ],
)
def test_where_no_temperature_is_the_best_none_is_given(margin, reason):
    with pytest.raises(InputError, match=reason):
        c.fit_temperature(np.array(margin))


def test_a_certificate_is_not_given_away():
    margin = calibrated(0, 50)
    beta = 1 / c.fit_temperature(margin).temperature
    assert c.certified(beta, margin, 1.0, 3).steps == 3
    for wrong in (0.99 * beta, 1.01 * beta):
        with pytest.raises(InputError, match="no temperature found"):
            c.certified(wrong, margin, 1.0, 3)

"""The loss and its gradient: three witnesses, and what Bradley and Terry's model says must be true of them."""

import math

import numpy as np
import pytest
import torch
from compare import assert_agree, assert_bitwise, autograd
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import EDGES, arrays, dtypes, dyadic, margins, normal, seeds

import torch_impl.losses as twin
from numpy_ref import losses
from numpy_ref.gradient_check import check_backward, complex_step

EPS = np.finfo(np.float64).eps


def loss_and_slope(margin):
    """(loss, d loss / d chosen) of one pair; the loss of a batch of one is the loss of its pair"""
    loss, cache = losses.pairwise_loss(np.array([margin]), np.array([0.0]))
    chosen, rejected = losses.pairwise_loss_backward(1.0, cache)
    assert_bitwise(chosen, -rejected)
    return float(loss), float(chosen[0])


def one(values):
    return float(np.asarray(values))


# ---- Three witnesses


def analytic_pairwise_loss(chosen, rejected, target_margin=0.0, label_smoothing=0.0, center_coefficient=0.0):
    """The textbook's log(1 + e^-Δ), which complex numbers pass through; safe while |Δ| < 700"""
    delta, total = chosen - rejected - target_margin, chosen + rejected
    right, flipped = np.log1p(np.exp(-delta)), np.log1p(np.exp(delta))
    return ((1 - label_smoothing) * right + label_smoothing * flipped + center_coefficient * total**2).mean()


@st.composite
def batches_of_rewards(draw):
    """(chosen, rejected, loss options), rewards up to ±20, target margin one number or one a pair"""
    B, dtype = draw(st.integers(1, 6)), draw(dtypes)
    chosen, rejected = draw(arrays(B, dtype, 20)), draw(arrays(B, dtype, 20))
    target_margin = draw(st.one_of(st.floats(-3, 3), arrays(B, dtype, 3)))
    smoothing, centering = draw(st.sampled_from([0.0, 0.1, 0.3])), draw(st.sampled_from([0.0, 0.01, 0.5]))
    options = {"target_margin": target_margin, "label_smoothing": smoothing, "center_coefficient": centering}
    return chosen, rejected, draw(st.sampled_from([{}, options]))


@given(batches_of_rewards(), seeds)
def test_pairwise_loss_hand_derived_equals_autograd_equals_complex_step(batch, seed):
    chosen, rejected, options = batch
    dtype, dout = chosen.dtype, normal(np.random.default_rng(seed), chosen.dtype)()
    loss, cache = losses.pairwise_loss(chosen, rejected, **options)
    dchosen, drejected = losses.pairwise_loss_backward(dout, cache)

    inputs = {"chosen": chosen, "rejected": rejected}
    fixed = {k: torch_tensor(v) for k, v in options.items()}
    by_autograd_loss, by_autograd = autograd(lambda **t: twin.pairwise_loss(**t, **fixed), inputs, dout)
    lifted = {k: v.astype(float) for k, v in inputs.items()}
    by_complex_step = complex_step(lambda t: analytic_pairwise_loss(**t, **options) * float(dout), lifted)

    # 8 eps: some three roundings of 1.5 ulp each, of what is added up: |Δ| and c (r_c + r_r)² in the loss
    size = abs(chosen).max() + abs(rejected).max() + 3
    loss_size = 1 + size + options.get("center_coefficient", 0.0) * size**2
    assert_agree(loss, by_autograd_loss, n=8, scale=loss_size)
    assert_agree(dchosen, by_autograd["chosen"], n=8, scale=(1 + size) * abs(dout))
    assert_agree(drejected, by_autograd["rejected"], n=8, scale=(1 + size) * abs(dout))
    assert_agree(dchosen, by_complex_step["chosen"].astype(dtype), n=8, scale=(1 + size) * abs(dout))
    assert_agree(drejected, by_complex_step["rejected"].astype(dtype), n=8, scale=(1 + size) * abs(dout))
    assert_agree(loss, np.asarray(analytic_pairwise_loss(chosen, rejected, **options), dtype), 8, loss_size)


def torch_tensor(value):
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


@given(batches_of_rewards(), seeds)
def test_pairwise_loss_passes_the_checker_that_students_use(batch, seed):
    chosen, rejected, options = batch
    rng = np.random.default_rng(seed)
    forward = lambda c, r: losses.pairwise_loss(c, r, **options)  # noqa: E731
    scale = 1 + abs(chosen).max() + abs(rejected).max()
    check_backward(forward, losses.pairwise_loss_backward, (chosen, rejected), rng=rng, scale=scale**2)


def test_the_options_do_what_their_names_say():
    chosen, rejected = np.array([1.0, -0.5]), np.array([0.25, 2.0])
    plain = losses.pairwise_loss(chosen, rejected)[0]
    flipped = losses.pairwise_loss(rejected, chosen)[0]
    smoothed = losses.pairwise_loss(chosen, rejected, label_smoothing=0.25)[0]
    assert smoothed == pytest.approx(0.75 * plain + 0.25 * flipped, rel=1e-15)
    centred = losses.pairwise_loss(chosen, rejected, center_coefficient=0.5)[0]
    assert centred == pytest.approx(plain + 0.5 * (1.25**2 + 1.5**2) / 2, rel=1e-15)
    led = losses.pairwise_loss(chosen, rejected, target_margin=np.array([1.0, -2.0]))[0]
    assert led == pytest.approx(losses.pairwise_loss(chosen - np.array([1.0, -2.0]), rejected)[0], rel=1e-15)


# ---- Properties of the Bradley-Terry model


@given(margins())
def test_the_probabilities_of_both_outcomes_add_up_to_one(m):
    # within eps: two roundings of at most 2.2 ulp each, of numbers that add up to 1
    assert abs(one(losses.sigmoid(m)) + one(losses.sigmoid(-m)) - 1) <= EPS


@given(dyadic(), dyadic(), st.integers(-1000, 1000))
def test_adding_a_constant_to_both_rewards_changes_nothing_bitwise(chosen, rejected, constant):
    def run(shift):
        loss, cache = losses.pairwise_loss(np.array([chosen + shift]), np.array([rejected + shift]))
        return [loss, *losses.pairwise_loss_backward(1.0, cache)]

    assert_bitwise(run(constant), run(0))


@given(dyadic(), dyadic())
def test_odds_multiply_along_a_chain(i_over_j, j_over_k):
    def odds(m):
        return one(losses.sigmoid(m)) / one(losses.sigmoid(-m))

    # 16 eps: three odds, each the quotient of two numbers that are at most 2.2 ulp off
    assert odds(i_over_j + j_over_k) == pytest.approx(odds(i_over_j) * odds(j_over_k), rel=16 * EPS)


@given(margins())
def test_equal_rewards_have_probability_one_half_exactly(reward):
    loss, cache = losses.pairwise_loss(np.array([reward]), np.array([reward]))
    assert one(losses.sigmoid(reward - reward)) == 0.5
    assert losses.pairwise_loss_backward(1.0, cache)[0] == -0.5
    assert float(loss) == pytest.approx(math.log(2), rel=EPS)


@given(margins(), st.one_of(st.floats(0, 1e300), st.just(None)))
def test_a_larger_margin_is_never_less_probable_by_more_than_one_ulp(m, further):
    larger = np.nextafter(m, np.inf) if further is None else m + further
    assume(np.isfinite(larger))
    low, high = one(losses.sigmoid(m)), one(losses.sigmoid(larger))
    assert high >= np.nextafter(low, 0)
    (low_loss, low_slope), (high_loss, high_slope) = loss_and_slope(m), loss_and_slope(larger)
    assert high_loss <= np.nextafter(low_loss, np.inf)
    assert high_slope >= np.nextafter(low_slope, -np.inf)


@given(margins())
def test_the_loss_is_never_below_zero_nor_below_the_lead_of_the_wrong_answer(m):
    assert loss_and_slope(m)[0] >= max(0.0, -m)


@given(margins(), margins())
@example(745.0, 745.2)
def test_the_loss_is_convex(a, b):
    (loss_a, slope_a), (loss_b, _) = loss_and_slope(a), loss_and_slope(b)
    assume(abs(a - b) < 1e300)
    # A convex function lies above its tangents. The terms' rounding is 4 eps of their sizes, and of the smallest
    # floats one unit: the losses of the example round to one and to none.
    rounding = 4 * EPS * (loss_a + abs(slope_a * (b - a)) + loss_b) + math.ulp(0.0)
    assert loss_b >= loss_a + slope_a * (b - a) - rounding


def test_the_loss_of_a_tie_is_the_logarithm_of_two():
    assert loss_and_slope(0.0) == (math.log(2), -0.5)


@given(margins())
def test_swapping_the_responses_changes_the_loss_by_the_margin(m):
    # 2 eps of the margin: each loss is at most 1.5 ulp off, and one of the two is the small one
    assert loss_and_slope(m)[0] - loss_and_slope(-m)[0] == pytest.approx(-m, rel=2 * EPS, abs=2 * EPS)


@given(margins())
@example(-1000.0)
def test_the_gradient_is_the_probability_of_being_wrong_with_a_minus_and_lies_between_minus_one_and_zero(m):
    _, slope = loss_and_slope(m)
    assert -1 <= slope <= 0
    assert slope == -one(losses.sigmoid(-m))
    assert slope == pytest.approx(one(losses.sigmoid(m)) - 1, abs=EPS)  # σ(m) - 1, as far as that can be computed
    if abs(m) < 36:
        assert -1 < slope < 0  # closed ends only in floating point: below -37 it is -1


@given(margins())
@example(800.0)  # where e^|m| overflows
@example(20.0)  # where σ(|m|) is too near 1 to be taken from it
@example(4.958784125099418e-13)  # where e / (1 + e)² is rounded to more than a quarter
def test_the_second_derivative_is_at_most_a_quarter_and_is_the_slope_of_the_gradient(m):
    assert 0 <= one(losses.sigmoid_derivative(m)) <= 0.25
    if abs(m) < 700:
        step = complex_step(lambda t: -1 / (1 + np.exp(t[0])), [np.array(m)])[0]
        assert one(losses.sigmoid_derivative(m)) == pytest.approx(one(step), rel=8 * EPS * (1 + abs(m)), abs=0)
    assert one(losses.sigmoid_derivative(0.0)) == 0.25


@given(st.floats(0, 1.7e308))
def test_a_pair_ranked_far_wrong_pulls_with_gradient_minus_one_up_to_exp_margin(m):
    loss, slope = loss_and_slope(-m)
    assert abs(slope + 1) <= math.exp(-m) + EPS
    assert abs(loss - m) <= math.exp(-m) + 2 * EPS * m


@given(st.floats(-1, 1))
def test_a_pair_nearly_tied_pulls_with_one_half_and_a_quarter_of_the_margin(m):
    assert abs(loss_and_slope(m)[1] - (-0.5 + m / 4)) <= abs(m) ** 3 / 48 + 2 * EPS  # σ's next term is m³/48


@given(st.floats(0, 700))
def test_a_solved_pair_pulls_with_exp_minus_margin(m):
    loss, slope = loss_and_slope(m)
    tail = math.exp(-m)
    # σ(-m) = e^-m (1 - e^-m + ...) and log(1 + e^-m) = e^-m (1 - e^-m/2 + ...); 4 eps of rounding
    assert abs(slope + tail) <= tail * (tail + 4 * EPS)
    assert abs(loss - tail) <= tail * (tail / 2 + 4 * EPS)


@given(margins())
@example(1.7e308)
@example(-1.7e308)
def test_no_margin_overflows(m):
    with np.errstate(all="raise", under="ignore"):
        loss, slope = loss_and_slope(m)
        assert np.isfinite([loss, slope, one(losses.sigmoid(m)), one(losses.log_sigmoid(m))]).all()


def test_infinite_margins_give_the_limits_and_nan_gives_nan():
    margins = np.array([np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(losses.sigmoid(margins), [1, 0, np.nan])
    np.testing.assert_array_equal(losses.log_sigmoid(margins), [0, -np.inf, np.nan])


@pytest.mark.parametrize(
    ("m", "loss", "slope"),
    [(np.inf, 0.0, 0.0), (-np.inf, np.inf, -1.0), (np.nan, np.nan, np.nan)],
)
def test_the_loss_of_an_infinite_margin_is_its_limit_and_of_nan_is_nan(m, loss, slope):
    got, cache = losses.pairwise_loss(np.array([m]), np.array([0.0]))
    np.testing.assert_array_equal(got, loss)
    np.testing.assert_array_equal(losses.pairwise_loss_backward(1.0, cache)[0], [slope])


@given(dtypes)
def test_types_are_kept(dtype):
    m = np.array(EDGES[:7], dtype)
    loss, cache = losses.pairwise_loss(m, -m)
    grads = losses.pairwise_loss_backward(1.0, cache)
    assert {loss.dtype, losses.sigmoid(m).dtype, losses.log_sigmoid(m).dtype, *(g.dtype for g in grads)} == {m.dtype}


# ---- A batch


@given(batches_of_rewards())
def test_a_batch_is_the_mean_of_its_pairs_and_each_gradient_a_share_of_one_over_the_batch(batch):
    chosen, rejected, _ = batch
    B = len(chosen)
    loss, cache = losses.pairwise_loss(chosen, rejected)
    slopes = losses.pairwise_loss_backward(1.0, cache)[0]
    alone = [losses.pairwise_loss(chosen[i : i + 1], rejected[i : i + 1]) for i in range(B)]
    size = max(float(value) for value, _ in alone)
    assert_agree(loss, np.mean([value for value, _ in alone], dtype=chosen.dtype), n=8, scale=size)
    for i, (_, cache) in enumerate(alone):
        assert_agree(slopes[i] * B, losses.pairwise_loss_backward(1.0, cache)[0][0], n=4, scale=1)


@given(batches_of_rewards())
def test_chosen_and_rejected_gradients_are_opposite_exactly(batch):
    chosen, rejected, _ = batch
    _, cache = losses.pairwise_loss(chosen, rejected)
    dchosen, drejected = losses.pairwise_loss_backward(1.0, cache)
    assert_bitwise(dchosen, -drejected)
    assert (dchosen <= 0).all()


@given(batches_of_rewards())
def test_swapping_chosen_and_rejected_swaps_what_smoothing_weighs(batch):
    chosen, rejected, _ = batch
    loss, _ = losses.pairwise_loss(chosen, rejected, label_smoothing=0.5)
    swapped, _ = losses.pairwise_loss(rejected, chosen, label_smoothing=0.5)
    assert_agree(loss, swapped, n=8, scale=1 + abs(chosen).max() + abs(rejected).max())  # at 1/2 labels say nothing

"""Rao-Kupper and Davidson: probabilities, stable everywhere, whose gradients three witnesses agree on."""

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import torch_impl.ties as twin
from numpy_ref import ties
from numpy_ref.errors import InputError
from numpy_ref.losses import log_sigmoid

EPS = np.finfo(np.float64).eps
differences = st.one_of(
    st.floats(-3, 3), st.floats(-40, 40), st.floats(-1e300, 1e300), st.sampled_from([0.0, 36.7, -37.0, 709.0, -745.2])
)
thresholds = st.one_of(st.floats(1e-3, 3), st.floats(1e-12, 40))
log_nus = st.one_of(st.floats(-3, 3), st.floats(-40, 40))
MODELS = [("rao_kupper", thresholds), ("davidson", log_nus)]
models = st.sampled_from(MODELS).flatmap(lambda model: st.tuples(st.just(model[0]), model[1]))


def analytic(name, d, tie):
    """The formulas of the papers, naively: analytic, so that the complex step can pass. Right only for small |d|."""
    if name == "davidson":
        z = np.exp(d / 2) + np.exp(tie) + np.exp(-d / 2)
        return np.log(np.stack([np.exp(d / 2) / z, np.exp(tie) / z, np.exp(-d / 2) / z], -1))
    first, second = 1 / (1 + np.exp(tie - d)), 1 / (1 + np.exp(tie + d))
    return np.log(np.stack([first, np.expm1(2 * tie) * first * second, second], -1))


def exact(name, d, tie):
    """The same at 400 digits, enough for e^±745 beside 1"""
    with mpmath.workdps(400):
        d, tie = mpmath.mpf(float(d)), mpmath.mpf(float(tie))
        if name == "davidson":
            terms = [mpmath.exp(d / 2), mpmath.exp(tie), mpmath.exp(-d / 2)]
            probabilities = [term / sum(terms) for term in terms]
        else:
            first, second = 1 / (1 + mpmath.exp(tie - d)), 1 / (1 + mpmath.exp(tie + d))
            probabilities = [first, mpmath.expm1(2 * tie) * first * second, second]
        return [float(mpmath.log(p)) for p in probabilities]


def complex_step(name, d, tie, dout, h=1e-20):
    dd = (analytic(name, d + 1j * h, tie).imag / h * dout).sum(-1)
    return dd, (analytic(name, d, tie + 1j * h).imag / h * dout).sum()


def autograd(name, d, tie, dout):
    d, tie = torch.tensor(d, requires_grad=True), torch.tensor(tie, dtype=torch.float64, requires_grad=True)
    out = getattr(twin, name)(d, tie)
    return out.detach().numpy(), [g.numpy() for g in torch.autograd.grad(out, (d, tie), torch.as_tensor(dout))]


@given(models, st.integers(0, 2**32 - 1))
def test_hand_derived_is_autograd_is_complex_step(model, seed):
    """Tolerance: 1/(θ - 1) is the size of a tie's slope in log θ"""
    name, tie = model
    rng = np.random.default_rng(seed)
    d, dout = rng.uniform(-20, 20, (2, 5)), rng.standard_normal((2, 5, 3))
    log_p, cache = getattr(ties, name)(d, tie)
    hand = getattr(ties, name + "_backward")(dout, cache)
    torch_log_p, by_autograd = autograd(name, d, tie, dout)
    condition = 1 + abs(tie) + (1 / np.expm1(tie) if name == "rao_kupper" else 0)
    np.testing.assert_allclose(torch_log_p, log_p, rtol=0, atol=100 * EPS * (20 + abs(tie)))
    for mine, other in zip(hand, by_autograd, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=200 * EPS * condition * abs(dout).sum())
    for mine, other in zip(hand, complex_step(name, d, tie, dout), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=200 * EPS * condition * abs(dout).sum())


@pytest.mark.parametrize(("name", "tie"), [("rao_kupper", 0.7), ("davidson", -0.4), ("davidson", 1.1)])
def test_hessian_is_the_derivative_of_the_gradient(name, tie):
    rng = np.random.default_rng(0)
    d, counts = rng.uniform(-8, 8, (3, 4)), rng.uniform(0, 5, (3, 4, 3))
    _, cache = getattr(ties, name)(d, tie)
    dd, cross, tie_tie = getattr(ties, name + "_hessian")(counts, cache)
    td, tt = torch.tensor(d, requires_grad=True), torch.tensor(tie, dtype=torch.float64, requires_grad=True)
    value = (getattr(twin, name)(td, tt) * torch.as_tensor(counts)).sum()
    gd, gt = torch.autograd.grad(value, (td, tt), create_graph=True)
    hd = torch.autograd.grad(gd.sum(), (td, tt), retain_graph=True)
    np.testing.assert_allclose(dd, hd[0].numpy(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(cross.sum(), hd[1].numpy(), rtol=0, atol=1e-12)
    ht = torch.autograd.grad(gt, (td, tt))
    np.testing.assert_allclose(cross, ht[0].numpy(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(tie_tie, ht[1].numpy(), rtol=0, atol=1e-12)


@given(models, differences)
@example(("rao_kupper", 1e-12), 0.0)
@example(("davidson", -40.0), 36.7)
def test_every_log_probability_keeps_its_digits(model, d):
    """Compared with 400 digits, the error is a few ulp of the result plus the effect of one ulp of |d| + |tie|"""
    name, tie = model
    log_p, _ = getattr(ties, name)(np.array(d), tie)
    assert np.isfinite(log_p).all()
    if abs(d) <= 750:
        np.testing.assert_allclose(log_p, exact(name, d, tie), rtol=2 * EPS * (4 + abs(d) + abs(tie)), atol=0)


def test_either_branch_of_a_log_of_a_rest_is_taken_where_it_is_the_better_one():
    """Against 50 digits on both sides of the switch: measured 0.8 ulp; the other branch has 1.3 at 2 log 2"""
    x = np.linspace(0.3, 2 * math.log(2), 201)
    with mpmath.workdps(50):
        exact_rest = [float(mpmath.log(1 - mpmath.exp(-mpmath.mpf(float(value))))) for value in x]
    np.testing.assert_allclose(ties.log_one_minus_exp(x), exact_rest, rtol=1.1 * EPS, atol=0)


@given(models, differences)
def test_probabilities_sum_to_one_and_mirror(model, d):
    name, tie = model
    log_p, _ = getattr(ties, name)(np.array([d, -d]), tie)
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, rtol=0, atol=8 * EPS * (1 + abs(tie) + min(abs(d), 745)))
    np.testing.assert_array_equal(log_p[0], log_p[1, ::-1])


@pytest.mark.parametrize(("name", "no_ties"), [("rao_kupper", 0.0), ("davidson", -np.inf)])
def test_without_ties_it_is_bradley_terry(name, no_ties):
    d = np.array([-1e300, -745.2, -3.0, 0.0, 0.25, 36.7, 1e300])
    log_p, cache = getattr(ties, name)(d, no_ties)
    np.testing.assert_array_equal(log_p, np.stack([log_sigmoid(d), np.full(7, -np.inf), log_sigmoid(-d)], -1))
    dout = np.random.default_rng(1).standard_normal((7, 3))
    dout[:, 1] = 0
    dd, dtie = getattr(ties, name + "_backward")(dout, cache)
    assert np.isfinite(dd).all()
    assert np.isfinite(dtie)
    torch_log_p, (torch_dd, _) = autograd(name, d, no_ties, dout) if name == "davidson" else (log_p, (dd, None))
    np.testing.assert_array_equal(torch_log_p[:, 1], log_p[:, 1])
    np.testing.assert_allclose(dd, torch_dd, rtol=0, atol=8 * EPS)


@given(st.floats(-600, 600), st.floats(-3, 3))
def test_threshold_is_positive_and_its_slope_is_right(raw, dout):
    log_theta, cache = ties.rao_kupper_threshold(np.float64(raw))
    parameter = torch.tensor(raw, dtype=torch.float64, requires_grad=True)
    other = twin.rao_kupper_threshold(parameter)
    (slope,) = torch.autograd.grad(other, parameter, torch.tensor(dout, dtype=torch.float64))
    assert log_theta > 0
    np.testing.assert_allclose(log_theta, other.item(), rtol=4 * EPS)
    np.testing.assert_allclose(ties.rao_kupper_threshold_backward(dout, cache), slope.item(), rtol=8 * EPS, atol=1e-300)
    if abs(raw) <= 30:
        by_step = np.log1p(np.exp(raw + 1e-20j)).imag / 1e-20 * dout
        np.testing.assert_allclose(ties.rao_kupper_threshold_backward(dout, cache), by_step, rtol=16 * EPS, atol=1e-300)


@pytest.mark.parametrize(("name", "tie"), [("rao_kupper", 0.5), ("davidson", 0.5)])
def test_float32_stays_float32(name, tie):
    log_p, cache = getattr(ties, name)(np.ones((2, 3), np.float32), tie)
    dd, dtie = getattr(ties, name + "_backward")(log_p, cache)
    assert (log_p.dtype, dd.dtype, dtie.dtype) == (np.float32,) * 3
    assert (log_p.shape, dd.shape, dtie.shape) == ((2, 3, 3), (2, 3), ())


def test_a_threshold_below_one_is_refused():
    with pytest.raises(InputError, match="expected at least 0"):
        ties.rao_kupper(np.zeros(2), -0.1)

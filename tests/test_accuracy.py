"""How many units in the last place (ulp) the loss and its slopes are off, beside PyTorch's and the naive spellings.

The truth is mpmath's, with 60 digits. One ulp is the distance of two neighbouring floats; half an ulp cannot be beaten.
The table at the end of a run is measured in that run. np.exp alone is up to 0.7 ulp off on a CPU with AVX-512, and
other mathematical libraries differ: the bounds leave it room, the table says what this machine does.
"""

from functools import cache

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from compare import ulp_errors

from numpy_ref import dpo, losses

POINTS = 400  # in each of eight regimes, for each type; slow: ten times as many


def margins(dtype, points):
    """Margins over [-750, 750], near 0 down to 1e-300, out to 1e300, and one by one where something changes"""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], points)
    tiny, huge = (-300, 300) if dtype == np.float64 else (-37, 38)
    regimes = [rng.uniform(-edge, edge, points) for edge in (1, 4, 40, 750)]
    regimes += [signs * 10 ** rng.uniform(low, high, points) for low, high in ((tiny, 0), (0, huge))]
    regimes += [rng.uniform(*edges, points) for edges in ((700, 746), (-746, -700))]
    if dtype == np.float32:
        regimes += [rng.uniform(*edges, points) for edges in ((80, 104), (-104, -80))]
    special = [
        0.0,
        2.77,
        3.45,
        16.64,
        20,
        20.0001,
        36.7,
        36.74,
        37,
        88.7,
        103.9,
        709,
        709.78,
        709.8,
        745,
        745.13,
        745.2,
    ]
    return np.concatenate([*regimes, special, np.negative(special)]).astype(dtype)


@cache
def truth(dtype, points):
    """(margins, losses, gradients, second derivatives), the last three as mpmath numbers"""
    m = margins(dtype, points)
    with mpmath.workdps(60):
        exact = [mpmath.mpf(x) for x in m.tolist()]
        tail = [mpmath.exp(-abs(x)) for x in exact]  # e^-|m|
        loss = [max(-x, 0) + mpmath.log1p(e) for x, e in zip(exact, tail, strict=True)]
        slope = [-(e if x >= 0 else 1) / (1 + e) for x, e in zip(exact, tail, strict=True)]
        second = [e / (1 + e) ** 2 for e in tail]
    return m, loss, slope, second


def worst(dtype, points, what, f):
    """(largest error in ulp, the margin where it happens) of f(margins) against the truth"""
    m, *exact = truth(dtype, points)
    with mpmath.workdps(60), np.errstate(all="ignore"):
        errors = ulp_errors(np.asarray(f(m)), exact[("loss", "slope", "second").index(what)])
    return errors.max(), m[errors.argmax()]


def loss_by_hand(m):
    return -losses.log_sigmoid(m)


def slope_by_hand(m):
    """The gradient along chosen, as pairwise_loss_backward computes it for each pair of a batch of one"""
    return np.array([losses.pairwise_loss_backward(1.0, losses.pairwise_loss(x, 0 * x)[1])[0][0] for x in m[:, None]])


def slope_of_dpo(m):
    """The slope along log π(chosen), divided by β = 2, at log-ratios that give these margins exactly"""
    pairs = [np.array([[x / 2, 0]], m.dtype) for x in m]
    return np.array([dpo.dpo_loss_backward(1.0, dpo.dpo_loss(pair, 0 * pair, 2.0)[1])[0, 0] for pair in pairs]) / 2


def by_autograd(loss):
    """The slope that PyTorch's autograd gives a spelling of the loss"""

    def slope(m):
        x = torch.tensor(m, requires_grad=True)
        return torch.autograd.grad(loss(x).sum(), x)[0].numpy()

    return slope


TIERS = [POINTS, pytest.param(10 * POINTS, marks=pytest.mark.slow)]


@pytest.mark.parametrize("points", TIERS)
@pytest.mark.parametrize(("dtype", "loss_ulp", "slope_ulp"), [(np.float64, 1.5, 2.2), (np.float32, 1.5, 2.9)])
def test_loss_and_gradient_are_within_their_ulp_everywhere(dtype, loss_ulp, slope_ulp, points):
    assert worst(dtype, points, "loss", loss_by_hand)[0] <= loss_ulp
    assert worst(dtype, points, "slope", slope_by_hand)[0] <= slope_ulp


@pytest.mark.parametrize("points", TIERS)
def test_the_second_derivative_is_within_4_ulp_everywhere(points):
    assert worst(np.float64, points, "second", losses.sigmoid_derivative)[0] <= 4


SPELLINGS = {
    # name: (what it computes, the spelling, at least and at most so many ulp off in float64)
    "loss  -log_sigmoid(m), ours": ("loss", loss_by_hand, 0.5, 1.5),
    "loss  torch F.logsigmoid": ("loss", lambda m: -F.logsigmoid(torch.tensor(m)).numpy(), 0.5, 3),
    "loss  torch F.softplus(-m)": ("loss", lambda m: F.softplus(torch.tensor(-m)).numpy(), 1e4, 1e7),
    "loss  naive -log(sigmoid(m))": ("loss", lambda m: -np.log(losses.sigmoid(m)), 1e15, np.inf),
    "slope -sigmoid(-m), ours": ("slope", slope_by_hand, 0.5, 2.2),
    "slope of DPO over beta, ours": ("slope", slope_of_dpo, 0.5, 2.2),
    "slope torch F.logsigmoid": ("slope", by_autograd(lambda x: -F.logsigmoid(x)), 0.5, 4),
    "slope torch F.softplus(-m)": ("slope", by_autograd(lambda x: F.softplus(-x)), 1e6, 1e8),
    "slope torch BCE with logits": (
        "slope",
        by_autograd(lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction="none")),
        1e15,
        1e16,
    ),
    "slope literal sigmoid(m) - 1": ("slope", lambda m: losses.sigmoid(m) - 1, 1e15, 1e16),
    "slope -1 / (1 + exp(m))": ("slope", lambda m: -1 / (1 + np.exp(m)), 1e14, 1e16),
    "second s (1 - s), s = sigmoid(-|m|), ours": ("second", losses.sigmoid_derivative, 0.5, 4),
    "second sigmoid(m) (1 - sigmoid(m))": (
        "second",
        lambda m: losses.sigmoid(m) * (1 - losses.sigmoid(m)),
        1e15,
        1e16,
    ),
}


def test_what_other_spellings_lose(show_table):
    lines = [f"{'':44}{'float64':>10}{'at margin':>12}{'float32':>12}{'at margin':>12}"]
    for name, (what, f, least, most) in SPELLINGS.items():
        (ulp64, at64), (ulp32, at32) = (worst(dtype, POINTS, what, f) for dtype in (np.float64, np.float32))
        lines.append(f"{name:44}{ulp64:10.3g}{at64:12.4g}{ulp32:12.3g}{at32:12.4g}")
        assert least <= ulp64 <= most, name
    show_table("worst error in ulp against mpmath, 60 digits", lines)


def test_the_literal_gradient_is_exactly_zero_from_36_74_on():
    m = np.array([36.7, 36.74, 40.0, 700.0])
    assert ((losses.sigmoid(m) - 1) != 0).tolist() == [True, False, False, False]
    bce = by_autograd(lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction="none"))(m)
    assert (bce != 0).tolist() == [True, False, False, False]
    assert (slope_by_hand(m) < 0).all()


def test_at_a_margin_of_10_the_literal_gradient_has_lost_twelve_bits():
    m = np.linspace(9.5, 10.5, 200)
    with mpmath.workdps(60):
        exact = [-1 / (1 + mpmath.exp(x)) for x in m.tolist()]
        lost = np.log2(ulp_errors(losses.sigmoid(m) - 1, exact).max())
    assert 12 <= lost <= 16  # the worst of a neighbourhood; 12.7 at 10 itself

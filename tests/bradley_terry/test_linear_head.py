"""A linear head on frozen features: hand-derived = autograd = complex step, Newton = L-BFGS, and the certificate."""

import numpy as np
import pytest
import torch
from compare import assert_agree
from hypothesis import given
from hypothesis import strategies as st

from numpy_ref.bradley_terry.linear_head import (
    curvature,
    fit_heads,
    fit_standardised,
    head_loss,
    head_loss_backward,
    left_out_margins,
    scale_of,
)
from numpy_ref.gradient_check import complex_step
from torch_impl.bradley_terry import linear_head as twin


def problem(seed, m=9, c=5, n=20, scale=1.0):
    """Features, weights and pairs of distinct responses"""
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.choice(m, 2, replace=False) for _ in range(n)])
    return rng.normal(size=(m, c)) * scale, rng.normal(size=c), pairs


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 12), st.integers(1, 9), st.integers(1, 30), st.floats(0, 3))
def test_hand_derived_gradient_is_autograds_and_the_complex_steps(seed, m, c, n, ridge):
    features, weight, pairs = problem(seed, m, c, n)
    loss, cache = head_loss(weight, features, pairs, ridge)
    gradient = head_loss_backward(0.7, cache)
    tensor = torch.tensor(weight, requires_grad=True)
    theirs = twin.head_loss(tensor, torch.from_numpy(features), torch.from_numpy(pairs), ridge)
    (0.7 * theirs).backward()
    scale = 1 + abs(features).max() + ridge * abs(weight).max() + ridge * weight @ weight
    assert_agree(loss, theirs.detach().numpy()[()], 50, scale * c)
    assert_agree(gradient, tensor.grad.numpy(), 50, scale)

    def analytic(w):
        delta = (features[pairs[:, 0]] - features[pairs[:, 1]]) @ w
        return 0.7 * (np.log1p(np.exp(-delta)).mean() + ridge / 2 * (w @ w))

    assert_agree(gradient, complex_step(analytic, weight), 50, scale * c)


@given(SEEDS, st.floats(0, 3))
def test_curvature_is_the_gradients_derivative(seed, ridge):
    features, weight, pairs = problem(seed)
    multiply = curvature(head_loss(weight, features, pairs, ridge)[1])
    matrix = np.transpose([multiply(e) for e in np.eye(5)])
    tensors = torch.from_numpy(features), torch.from_numpy(pairs), ridge
    theirs = torch.autograd.functional.hessian(lambda w: twin.head_loss(w, *tensors), torch.from_numpy(weight)).numpy()
    assert_agree(matrix, theirs, 50, 1 + (features**2).max() + ridge)


@pytest.mark.parametrize(("m", "c"), [(40, 6), (9, 30)])  # more responses than features, and fewer
@pytest.mark.parametrize("ridge", [1e-4, 0.1, 10.0])
def test_newton_is_l_bfgs(m, c, ridge):
    features, _, pairs = problem(3, m, c, 100)
    (weight,), (certificate,) = fit_heads(features, pairs, [ridge])
    theirs = twin.fit_head(torch.from_numpy(features), torch.from_numpy(pairs), ridge).numpy()
    np.testing.assert_allclose(weight, theirs, rtol=0, atol=1e-8 * max(1, abs(theirs).max()))
    assert certificate["converged"]
    assert certificate["gradient_norm"] < 1e-9


@given(SEEDS, st.integers(2, 12), st.integers(1, 9), st.integers(1, 30), st.sampled_from([1e-5, 1e-2, 1.0]))
def test_the_certificate_bounds_the_distance_to_the_minimum(seed, m, c, n, ridge):
    """|w - w*| ≤ |gradient| / λ for every w, because the curvature of the loss is at least λ"""
    features, weight, pairs = problem(seed, m, c, n)
    (best,), (certificate,) = fit_heads(features, pairs, [ridge])
    assert certificate["converged"]
    assert certificate["distance_bound"] < 1e-4 * (1 + abs(best).max())
    here, cache = head_loss(weight, features, pairs, ridge)
    gradient = head_loss_backward(1.0, cache)
    distance = np.linalg.norm(weight - best)
    assert distance <= np.linalg.norm(gradient) / ridge + certificate["distance_bound"] + 1e-9
    assert here >= head_loss(best, features, pairs, ridge)[0] - 1e-12


def test_a_path_of_ridges_is_each_ridges_own_fit_in_the_order_given():
    features, _, pairs = problem(5, 30, 8, 60)
    ridges = [0.01, 1.0, 1e-4]
    weights, certificates = fit_heads(features, pairs, ridges)
    for ridge, weight, certificate in zip(ridges, weights, certificates, strict=True):
        np.testing.assert_allclose(weight, fit_heads(features, pairs, [ridge])[0][0], rtol=0, atol=1e-6)
        assert certificate["distance_bound"] == certificate["gradient_norm"] / ridge < 1e-5


def test_the_scale_of_the_features_is_folded_into_the_weights_exactly():
    features, _, pairs = problem(6, 30, 8, 60)
    features *= 10.0 ** np.linspace(-2, 2, 8)
    weight, _ = fit_standardised(features, pairs, 0.01)
    scaled = features / scale_of(features)
    np.testing.assert_allclose((scaled.std(axis=0) ** 2).sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(
        features @ weight, scaled @ fit_heads(scaled, pairs, [0.01])[0][0], rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(  # whatever unit a feature comes in
        (1000 * features) @ fit_standardised(1000 * features, pairs, 0.01)[0], features @ weight, rtol=1e-7, atol=1e-9
    )


def test_the_scale_has_a_floor_in_units_of_the_widest_feature():
    features = np.array([[0.0, 5], [8, 5]])
    np.testing.assert_allclose(scale_of(features), np.array([4, 4e-6]) * np.sqrt(2), rtol=1e-12)


def test_a_constant_feature_gets_no_weight_worth_mentioning():
    features, _, pairs = problem(7, 30, 8, 60)
    features[:, 2] = 1e3 + 1e-13 * features[:, 2]
    weight, certificate = fit_standardised(features, pairs, 0.01)
    assert certificate["converged"]
    assert abs(features[:, 2] - 1e3).max() * abs(weight[2]) < 1e-6


def test_margins_of_a_left_out_group_do_not_know_its_labels():
    features, _, pairs = problem(8, 30, 8, 60)
    groups, ridges = np.arange(60) % 3, [0.01, 1.0, 0.1]
    margins = left_out_margins(features, pairs, groups, ridges)
    swapped = np.where((groups == 1)[:, None], pairs[:, ::-1], pairs)
    others = left_out_margins(features, swapped, groups, ridges)
    np.testing.assert_allclose(others[:, groups == 1], -margins[:, groups == 1], rtol=0, atol=1e-9)
    assert abs(others - margins)[:, groups == 0].max() > 0.01


def test_left_out_margins_are_those_of_a_fit_without_the_group():
    features, _, pairs = problem(9, 30, 8, 60)
    groups = np.arange(60) % 3
    margins = left_out_margins(features, pairs, groups, [1.0, 0.01])
    weight, _ = fit_standardised(features, pairs[groups != 2], 0.01)
    chosen, rejected = pairs[groups == 2].T
    np.testing.assert_allclose(
        margins[1, groups == 2], (features[chosen] - features[rejected]) @ weight, rtol=0, atol=1e-8
    )

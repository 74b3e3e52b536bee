"""Each layer's backward has three witnesses: hand-derived = PyTorch's autograd = complex step."""

import numpy as np
import torch
import torch.nn.functional as F
from compare import LAYER, assert_agree, assert_bitwise, autograd, largest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import arrays, dtypes, normal, seeds, sizes

from numpy_ref import layers
from numpy_ref.gradient_check import check_backward


@st.composite
def inputs(draw, *axes):
    """(x, sizes, rng): an array over the named axes, such as "B", "T", "C", drawn by Hypothesis entry by entry"""
    s = draw(sizes())
    x = draw(arrays(tuple(getattr(s, axis) for axis in axes), draw(dtypes)))
    return x, s, np.random.default_rng(draw(seeds))


@given(st.one_of(inputs("B", "T", "C"), inputs("B", "C")), st.booleans())
def test_linear_hand_derived_equals_autograd_equals_complex_step(drawn, with_bias):
    x, s, rng = drawn
    random = normal(rng, x.dtype)
    params = {"weight": random(s.O, s.C)} | ({"bias": random(s.O)} if with_bias else {})
    out, cache = layers.linear(x, **params)
    dout = random(*out.shape)
    dx, grads = layers.linear_backward(dout, cache)

    twin_out, by_autograd = autograd(lambda x, **p: F.linear(x, **p), {"x": x, **params}, dout)
    assert_agree(out, twin_out, LAYER, scale=1 + largest(params))
    assert grads.keys() == params.keys()
    for name, gradient in {"x": dx, **grads}.items():
        assert_agree(gradient, by_autograd[name], LAYER, scale=max(1, largest(by_autograd)))
    check_backward(layers.linear, layers.linear_backward, x, params, rng=rng)


@given(st.one_of(inputs("B", "T", "C"), inputs("B", "C")))
@example((np.full((2, 3, 4), 1.5), None, np.random.default_rng(0)))  # a constant row: rstd is at its largest, 316
def test_layer_norm_hand_derived_equals_autograd_equals_complex_step(drawn):
    x, _, rng = drawn
    random = normal(rng, x.dtype)
    C = x.shape[-1]
    params = {"weight": random(C), "bias": random(C)}
    out, cache = layers.layer_norm(x, **params)
    dout = random(*out.shape)
    dx, grads = layers.layer_norm_backward(dout, cache)

    twin_out, by_autograd = autograd(lambda x, **p: F.layer_norm(x, (C,), **p), {"x": x, **params}, dout)
    rstd = float((1 / np.sqrt(x.astype(float).var(-1) + 1e-5)).max())
    size = (1 + largest(params)) * (1 + largest(dout)) * x[..., 0].size
    # x̂ = (x - μ) rstd turns the rounding of μ into rstd eps; dx multiplies by rstd once more
    assert_agree(out, twin_out, LAYER, scale=rstd * size)
    assert_agree(dx, by_autograd["x"], LAYER, scale=max(1, rstd**2) * size)
    for name, gradient in grads.items():
        assert_agree(gradient, by_autograd[name], LAYER, scale=max(1, rstd) * size)
    check_backward(layers.layer_norm, layers.layer_norm_backward, x, params, rng=rng, scale=max(1, rstd**2) * size)


@given(inputs("B", "T"))
@example((np.array([[-9.0, 9.0, 30.0, -30.0]]), None, np.random.default_rng(0)))  # where the tanh is saturated
def test_gelu_hand_derived_equals_autograd_equals_complex_step(drawn):
    x, _, rng = drawn
    dout = normal(rng, x.dtype)(*x.shape)
    out, cache = layers.gelu(x)
    dx = layers.gelu_backward(dout, cache)

    twin_out, by_autograd = autograd(lambda x: F.gelu(x, approximate="tanh"), {"x": x}, dout)
    assert_agree(out, twin_out, LAYER, scale=3)
    assert_agree(dx, by_autograd["x"], LAYER, scale=1 + largest(dout))
    check_backward(layers.gelu, layers.gelu_backward, x, rng=rng)


@given(st.one_of(inputs("B", "T"), inputs("B", "T", "C")))
def test_softmax_hand_derived_equals_autograd_equals_complex_step(drawn):
    x, _, rng = drawn
    dout = normal(rng, x.dtype)(*x.shape)
    p, cache = layers.softmax(x)
    dx = layers.softmax_backward(dout, cache)

    twin_out, by_autograd = autograd(lambda x: torch.softmax(x, -1), {"x": x}, dout)
    assert_agree(p, twin_out, LAYER, scale=1)
    assert_agree(dx, by_autograd["x"], LAYER, scale=1 + largest(dout))
    check_backward(layers.softmax, layers.softmax_backward, x, rng=rng)


@given(sizes(), dtypes, seeds)
def test_embedding_hand_derived_equals_autograd_equals_complex_step(s, dtype, seed):
    rng = np.random.default_rng(seed)
    random = normal(rng, dtype)
    tokens, weight = rng.integers(0, 3, (s.B, s.T)), random(s.V, s.C)  # three words only, so that they repeat
    out, cache = layers.embedding(tokens, weight)
    dout = random(*out.shape)
    grads = layers.embedding_backward(dout, cache)

    twin_out, by_autograd = autograd(F.embedding, {"input": tokens, "weight": weight}, dout)
    assert_bitwise(out, twin_out)
    assert_agree(grads["weight"], by_autograd["weight"], LAYER, scale=1 + largest(by_autograd))
    check_backward(layers.embedding, layers.embedding_backward, tokens, {"weight": weight}, rng=rng)


def test_a_token_that_stands_twice_receives_both_gradients_and_an_absent_one_exactly_none():
    dout = np.array([[[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]])
    _, cache = layers.embedding(np.array([[2, 0, 2]]), np.ones((4, 2)))
    assert_bitwise(layers.embedding_backward(dout, cache)["weight"], np.array([[10, 20], [0, 0], [101, 202.0], [0, 0]]))


def test_softmax_of_large_numbers_does_not_overflow():
    for shift in (1e3, -1e3, 1e308):
        p, _ = layers.softmax(np.array([0.0, 0.0, -np.inf]) + shift)
        assert_bitwise(p, np.array([0.5, 0.5, 0.0]))


@given(dtypes, seeds)
def test_every_layer_keeps_the_type_of_its_input_and_writes_into_no_argument(dtype, seed):
    random = normal(np.random.default_rng(seed), dtype)
    x, weight, bias, dout = random(2, 3, 4), random(4), random(4), random(2, 3, 4)
    given_before = [a.copy() for a in (x, weight, bias, dout)]
    out, cache = layers.layer_norm(x, weight, bias)
    dx, grads = layers.layer_norm_backward(dout, cache)
    wide = layers.linear(x, random(5, 4), random(5))
    results = [out, dx, *grads.values(), layers.gelu(x)[0], layers.softmax(x)[0], wide[0]]
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert_bitwise([x, weight, bias, dout], given_before)


def test_two_forwards_before_a_backward_do_not_disturb_each_other():
    random = normal(np.random.default_rng(0), np.float64)
    params, chosen, rejected, dout = {"weight": random(5, 4)}, random(3, 4), random(3, 4), random(3, 5)
    alone = layers.linear_backward(dout, layers.linear(chosen, **params)[1])
    _, chosen_cache = layers.linear(chosen, **params)
    layers.linear(rejected, **params)
    assert_bitwise(list(layers.linear_backward(dout, chosen_cache)), list(alone))

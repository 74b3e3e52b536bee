"""The checker itself: exact where it claims to be, silent on right code, one true sentence on wrong code."""

from functools import partial

import numpy as np
import pytest
from compare import assert_agree
from hypothesis import given
from strategies import arrays, dtypes, seeds

from numpy_ref.errors import InputError
from numpy_ref.gradient_check import central_difference, check_backward, complex_step
from numpy_ref.layers import embedding, embedding_backward, layer_norm, layer_norm_backward, softmax, softmax_backward
from numpy_ref.losses import pairwise_loss, pairwise_loss_backward

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 5))


def test_the_five_lines_of_the_readme():
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 5)), rng.standard_normal(5), rng.standard_normal(5)
    check_backward(layer_norm, layer_norm_backward, x, {"weight": w, "bias": b}, rng=rng)


# ---- The derivatives


@given(arrays((2, 3), np.float64))
def test_the_complex_step_is_exact_to_rounding(x):
    slope = complex_step(lambda t: (np.sin(t["x"]) * t["y"][0]).sum(), {"x": x, "y": [np.array(2.0)]})
    assert_agree(slope["x"], 2 * np.cos(x), n=2, scale=2)
    assert_agree(slope["y"][0], np.sin(x).sum(), n=8, scale=abs(x).sum() + 1)


@given(arrays((2, 3), np.float64))
def test_the_central_difference_is_right_to_1e_9(x):
    slope = central_difference(lambda t: (abs(t[0]) ** 3).sum(), [x])[0]
    np.testing.assert_allclose(slope, 3 * x * abs(x), rtol=0, atol=1e-8)


def test_the_complex_step_has_no_answer_for_integers_and_changes_nothing():
    x, tokens = np.array([1.0, 2.0]), np.array([1, 0])
    slope = complex_step(lambda t: (t["x"][t["i"]] ** 2).sum(), {"x": x, "i": tokens})
    np.testing.assert_array_equal(slope["x"], [2.0, 4.0])
    assert slope["i"] is None
    np.testing.assert_array_equal(x, [1.0, 2.0])


# ---- Right code passes, however it is written


@given(dtypes, seeds)
def test_right_code_passes_in_either_type(dtype, seed):
    rng = np.random.default_rng(seed)
    check_backward(softmax, softmax_backward, rng.standard_normal((3, 4)).astype(dtype), rng=rng)
    check_backward(embedding, embedding_backward, np.array([[1, 1, 0]]), {"weight": X.astype(dtype)}, rng=rng)


def test_code_that_is_not_analytic_is_judged_by_differences_instead():
    def softplus(x):
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), x

    check_backward(softplus, lambda dout, x: dout / (1 + np.exp(-x)), X, rng=RNG)
    check_backward(pairwise_loss, pairwise_loss_backward, (X[0], X[1]), rng=RNG)
    with pytest.raises(AssertionError, match=r"dx\[\d, \d\] is .* allowed 1\.\de-07$"):
        check_backward(softplus, lambda dout, x: dout / (1 + np.exp(-x)) + 1e-5, X, rng=RNG)


def test_code_that_casts_to_real_numbers_is_judged_by_differences_instead():
    square = lambda x: (x.astype(float) ** 2, x)  # noqa: E731
    check_backward(square, lambda dout, x: 2 * dout * x, X, rng=RNG)


def test_a_kink_that_loses_the_imaginary_part_does_not_condemn_right_code():
    check_backward(lambda x: (np.abs(x), x), lambda dout, x: dout * np.sign(x), X, rng=RNG)


# ---- Wrong code gets its sentence

right = softmax_backward


def overwrite(dout, p):
    dout *= p
    return dout


def write_into_cache(dout, cache):
    cache[...] = 0
    return np.zeros_like(dout)


SENTENCES = {
    "returns None": (lambda _dout, _p: None, "returned None .a return statement is missing"),
    "returns two values": (
        lambda dout, p: (right(dout, p), {}),
        r"must return dx, but returned 2 values .ndarray, dict",
    ),
    "returns a list": (lambda dout, p: right(dout, p).tolist(), "dx must be an array, but is one list"),
    "wrong shape": (lambda dout, p: right(dout, p)[0], r"dx has the shape \(5,\); it must have .* \(3, 5\)"),
    "wrong type": (lambda dout, p: right(dout, p).astype("f"), "dx has the type float32; .* float64"),
    "writes into its arguments": (overwrite, "dout was changed: a pass must not write into its arguments"),
    "zero": (lambda dout, _p: 0 * dout, "it is zero everywhere"),
    "sign": (lambda dout, p: -right(dout, p), "the minus sign is lost"),
    "factor": (lambda dout, p: right(dout, p) / 5, "it is 0.2 times the gradient"),
    "nan": (lambda dout, p: right(dout, p) * np.nan, "it is not finite"),
    "a term forgotten": (lambda dout, p: p * dout, r"dx\[\d, \d\] is .*, but the gradient is .*: off by"),
}


@pytest.mark.parametrize("mistake", SENTENCES)
def test_a_wrong_backward_pass_is_told_what_is_wrong(mistake):
    backward, sentence = SENTENCES[mistake]
    with pytest.raises(AssertionError, match=sentence):
        check_backward(softmax, backward, X, rng=RNG)


def test_a_cotangent_of_ones_would_not_notice_what_this_notices():
    """Σ softmax = 1 has no gradient: with dout = 1 a backward pass that returns zeros looks right"""
    p, _ = softmax(X)
    assert abs(softmax_backward(np.ones_like(p), p)).max() < 1e-15
    with pytest.raises(AssertionError, match="zero everywhere"):
        check_backward(softmax, SENTENCES["zero"][0], X, rng=RNG)


def test_a_transposed_weight_gradient_is_named():
    weight = RNG.standard_normal((5, 5))
    linear = lambda x, weight: (x @ weight.T, (x, weight))  # noqa: E731
    with pytest.raises(AssertionError, match=r"grads.weight.* transpose"):
        check_backward(linear, lambda d, c: (d @ c[1], {"weight": c[0].T @ d}), X, {"weight": weight}, rng=RNG)


def test_the_names_of_the_gradients_must_be_those_of_the_parameters():
    params = {"weight": RNG.standard_normal(5), "bias": RNG.standard_normal(5)}
    short = lambda dout, cache: (layer_norm_backward(dout, cache)[0], {"weight": params["weight"]})  # noqa: E731
    with pytest.raises(AssertionError, match=r"grads must be .* \['bias', 'weight'\], but has \['weight'\]"):
        check_backward(layer_norm, short, X, params, rng=RNG)
    with pytest.raises(AssertionError, match="must return dx, grads, but returned one ndarray"):
        check_backward(layer_norm, lambda dout, cache: layer_norm_backward(dout, cache)[0], X, params, rng=RNG)
    with pytest.raises(AssertionError, match="but is one ndarray"):
        check_backward(layer_norm, lambda dout, _cache: (dout, dout), X, params, rng=RNG)


def test_several_inputs_are_named_by_their_place():
    swapped = lambda dout, cache: pairwise_loss_backward(dout, cache)[::-1]  # noqa: E731
    with pytest.raises(AssertionError, match=r"dx\[0\]\[\d\] is .* the minus sign is lost"):
        check_backward(pairwise_loss, swapped, (X[0], X[1]), rng=RNG)


def test_a_cache_that_lives_outside_answers_with_the_wrong_one():
    """The trap of layer objects: two forward passes, then a backward pass for the first"""
    kept = {}

    def forward(x):
        kept["x"] = x
        return x * x, None

    with pytest.raises(AssertionError, match=r"is 0\.5 times the gradient"):
        check_backward(forward, lambda dout, _cache: 2 * dout * kept["x"], X, rng=RNG)


def test_a_forward_pass_without_a_cache_is_told():
    with pytest.raises(AssertionError, match=r"the forward pass must return \(out, cache\), but returned one ndarray"):
        check_backward(np.sin, lambda dout, _: dout, X, rng=RNG)


def test_a_forward_pass_that_writes_into_its_input_is_told():
    def forward(x):
        x += 1
        return x, None

    with pytest.raises(AssertionError, match="x was changed"):
        check_backward(forward, lambda dout, _: dout, X.copy(), rng=RNG)


def test_nothing_to_check_is_an_error_of_the_caller():
    with pytest.raises(InputError, match="no array of floats"):
        check_backward(embedding, embedding_backward, np.array([1, 2]), rng=RNG)


def test_a_catalogue_can_name_its_own_mistakes():
    def explain(name, got, want):
        return f"{name} of a famous mistake" if got.shape == want.shape else None

    with pytest.raises(AssertionError, match="; dx of a famous mistake"):
        check_backward(softmax, SENTENCES["sign"][0], X, rng=RNG, explain=explain)


def test_a_relative_error_of_1e_6_is_found():
    wrong = lambda dout, p: softmax_backward(dout, p) * (1 + 1e-6)  # noqa: E731
    for x in (X, X[0], X[:, :3]):  # and no mistake is named that was not made: one axis has no transpose
        with pytest.raises(AssertionError, match=r"off by .* allowed \S+$"):
            check_backward(softmax, wrong, x, rng=RNG)


def test_python_numbers_are_handed_on_and_have_no_gradient():
    params = {"weight": RNG.standard_normal(5), "bias": RNG.standard_normal(5)}
    check_backward(layer_norm, layer_norm_backward, X, params | {"eps": 0.1}, rng=RNG)
    check_backward(partial(layer_norm, eps=0.1), layer_norm_backward, X, params, rng=RNG)


def test_code_that_refuses_complex_numbers_is_judged_by_differences_instead():
    def forward(x):
        if x.dtype != np.float64:
            raise ValueError("float64 only")
        return x * x, x

    check_backward(forward, lambda dout, x: 2 * dout * x, X, rng=RNG)

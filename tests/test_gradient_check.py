"""The gradient checker: exact where it claims to be, silent on right code, one true sentence on wrong code."""

import re
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
    with pytest.raises(AssertionError, match=r"x\.0\[\d, \d\] is .* allowed 1\.\de-07$"):
        check_backward(softplus, lambda dout, x: dout / (1 + np.exp(-x)) + 1e-5, X, rng=RNG)


def test_code_that_casts_to_real_numbers_is_judged_by_differences_instead():
    square = lambda x: (x.astype(float) ** 2, x)  # noqa: E731
    check_backward(square, lambda dout, x: 2 * dout * x, X, rng=RNG)


def test_a_kink_that_loses_the_imaginary_part_does_not_condemn_right_code():
    check_backward(lambda x: (np.abs(x), x), lambda dout, x: dout * np.sign(x), X, rng=RNG)


# ---- Wrong code does not

WRONG = {
    "nothing returned": (lambda _dout, _p: None, "x.0 is float64(3, 5), but its gradient is object()"),
    "one too many": (
        lambda dout, p: (softmax_backward(dout, p),) * 2,
        "the gradients of x.0; it returned 2 of x and 0 of params",
    ),
    "wrong shape": (
        lambda dout, p: softmax_backward(dout, p)[0],
        "x.0 is float64(3, 5), but its gradient is float64(5,)",
    ),
    "wrong type": (lambda dout, p: softmax_backward(dout, p).astype("f"), "its gradient is float32(3, 5)"),
    "writes into its arguments": (
        lambda dout, p: np.multiply(dout, p, out=dout),
        "a pass must not write into its arguments",
    ),
    "zero": (lambda dout, _p: 0 * dout, "it is zero everywhere"),
    "nan": (lambda dout, p: softmax_backward(dout, p) * np.nan, "but backward returned nan"),
    "a relative error of 1e-6": (lambda dout, p: softmax_backward(dout, p) * (1 + 1e-6), "off by"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_backward_pass_is_an_assertion_error_that_says_where(mistake):
    backward, sentence = WRONG[mistake]
    with pytest.raises(AssertionError, match=re.escape(sentence)):
        check_backward(softmax, backward, X, rng=RNG)


def test_a_parameter_without_its_gradient_is_missed():
    params = {"weight": RNG.standard_normal(5), "bias": RNG.standard_normal(5)}
    short = lambda dout, cache: (layer_norm_backward(dout, cache)[0], {"weight": params["weight"]})  # noqa: E731
    with pytest.raises(AssertionError, match=r"x\.0, params\.weight, params\.bias; it returned 1 of x and 1 of params"):
        check_backward(layer_norm, short, X, params, rng=RNG)


def test_a_cache_that_lives_outside_answers_with_the_wrong_one():
    """The trap of layer objects: two forward passes, then a backward pass for the first"""
    kept = {}

    def forward(x):
        kept["x"] = x
        return x * x, None

    with pytest.raises(AssertionError, match=r"but backward returned"):
        check_backward(forward, lambda dout, _cache: 2 * dout * kept["x"], X, rng=RNG)


def test_a_forward_pass_that_writes_into_its_input_is_told():
    def forward(x):
        x += 1
        return x, None

    with pytest.raises(AssertionError, match="an argument was changed"):
        check_backward(forward, lambda dout, _: dout, X.copy(), rng=RNG)


def test_nothing_to_check_is_an_error_of_the_caller():
    with pytest.raises(InputError, match="no array of floats"):
        check_backward(embedding, embedding_backward, np.array([1, 2]), rng=RNG)


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

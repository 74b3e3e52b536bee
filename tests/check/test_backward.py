"""check_backward on any code: it accepts right pairs of every form, and names every wrong gradient."""

import re
import time
from functools import partial

import numpy as np
import pytest
import torch

import numpy_ref
from numpy_ref.check import check_backward, check_second
from numpy_ref.errors import InputError
from numpy_ref.layers import embedding, embedding_backward, layer_norm, layer_norm_backward, softmax, softmax_backward
from numpy_ref.losses import pairwise_loss, pairwise_loss_backward
from torch_impl.check import check_autograd_function, check_module

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((2, 3, 5)), RNG.standard_normal(5), RNG.standard_normal(5)
KINKS = np.array([0.0, 1.0, -2.0, 1e-5, -3e-8])


def dot_backward(dout, x, w):
    return dout[..., None] * w, (dout[..., None] * x).sum((0, 1))


RIGHT = {
    "with a cache and a dictionary": (layer_norm, layer_norm_backward, (X, {"weight": W, "bias": B}), {}),
    "two rewards, a number": (pairwise_loss, pairwise_loss_backward, ((W, B),), {}),
    "plain functions": (lambda x, w: x @ w, dot_backward, ({"x": X, "w": W},), {}),
    "a list of gradients": (lambda x, w: x @ w, lambda *a: list(dot_backward(*a)), ({"x": X, "w": W},), {}),
    "gradients by name": (
        lambda x, w: x @ w,
        lambda *a: dict(zip(("dw", "dx"), dot_backward(*a)[::-1], strict=True)),
        ({"x": X, "w": W},),
        {},
    ),
    "a constant": (lambda x, m: x * m, lambda d, x, m: d * m, ({"x": X, "m": X},), {"constant": ["m"]}),  # noqa: ARG005
    "a constant with a place": (lambda x, m: x * m, lambda d, x, m: (d * m, None), ((X, X),), {"constant": [1]}),  # noqa: ARG005
    "several outputs": (
        lambda x: (np.sin(x), np.cos(x)),
        lambda d, x: d[0] * np.cos(x) - d[1] * np.sin(x),
        (X,),
        {"cache": False},
    ),
    "kinks, on them and beside": (np.abs, lambda d, x: d * np.sign(x), (KINKS,), {}),
    "another slope at the kink": (lambda x: np.maximum(x, 0), lambda d, x: d * (x >= 0), (KINKS,), {}),
    "no complex numbers": (lambda x: x.real**3 if x.dtype != complex else 1 / 0, lambda d, x: 3 * d * x**2, (X,), {}),
    "float32 of 1e-6": (
        lambda x: np.float32(1e-6) * x,
        lambda d, x: np.float32(1e-6) * d,  # noqa: ARG005
        (X.astype("f"),),
        {},
    ),
    "a number beside the arrays": (lambda x, k: x * k, lambda d, x, k: d * k, ({"x": X, "k": 3.0},), {}),  # noqa: ARG005
}


@pytest.mark.parametrize("form", RIGHT)
def test_right_pairs_pass_in_every_form(form):
    forward, backward, arguments, options = RIGHT[form]
    check_backward(forward, backward, *arguments, **options)


WRONG = {
    "exchanged": (lambda x, w: x * w, lambda d, x, w: (d * x, d * w), ({"x": W, "w": B},), r"dx.*exchanged\ndw.*exch"),
    "zero in float32": (lambda x: np.float32(1e-6) * x, lambda d, x: 0 * d * x, (X.astype("f"),), "zero everywhere"),
    "random": (lambda x: x * RNG.random(), lambda d, x: d * x, (X,), "the forward pass is random"),
    "nan": (np.log, lambda d, x: d / x, (X,), r"returns nan at \[0, \d, \d\]"),
    "a mean": (
        lambda x, w: x @ w,
        lambda d, x, w: (d[..., None] * w, (d[..., None] * x).mean((0, 1))),
        ((X, W),),
        "0.16",
    ),
    "the number of columns": (np.sin, lambda d, x: d * np.cos(x) / 5, (X,), "the length of axis 2: a mean where a sum"),
    "a constant added": (np.sin, lambda d, x: d * np.cos(x) + 0.5, (X,), "the gradient plus 0.5"),
    "one row forgotten": (
        np.sin,
        lambda d, x: d * np.cos(x) * [[[1], [1], [0]]],
        (X,),
        "10 of its 30 entries",
    ),
    "writes into dout": (np.sin, lambda d, x: np.multiply(d, np.cos(x), out=d), (X,), "dout was changed"),
    "None": (np.sin, lambda d, x: None, (X,), "must return dx, but returned None"),  # noqa: ARG005
    "wrong at the kink": (np.abs, lambda d, x: 3 * d * np.sign(x) + 2 * d * (x == 0), (KINKS,), "dx"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_wrong_is_said(mistake):
    forward, backward, arguments, sentence = WRONG[mistake]
    with pytest.raises(AssertionError) as caught:
        check_backward(forward, backward, *arguments)
    assert re.search(sentence, str(caught.value), re.S)


right = softmax_backward


def overwrite(dout, p):
    dout *= p
    return dout


SENTENCES = {
    "returns None": (lambda _dout, _p: None, "returned None .a return statement is missing"),
    "returns two values": (
        lambda dout, p: (right(dout, p), p),
        "must return dx, but returned 2 values",
    ),
    "returns a list": (lambda dout, p: right(dout, p).tolist(), "dx must be an array, but is 3 values .list, "),
    "wrong shape": (lambda dout, p: right(dout, p)[0], r"dx has the shape \(5,\); it must have .* \(3, 5\)"),
    "wrong type": (lambda dout, p: right(dout, p).astype("f"), "dx has the type float32; .* float64"),
    "writes into its arguments": (overwrite, "dout was changed: a pass must not write into its arguments"),
    "zero": (lambda dout, _p: 0 * dout, "it is zero everywhere"),
    "sign": (lambda dout, p: -right(dout, p), "the minus sign is lost"),
    "factor": (lambda dout, p: right(dout, p) / 5, "it is 0.2 times the gradient"),
    "nan": (lambda dout, p: right(dout, p) * np.nan, "it is NaN"),
    "a term forgotten": (lambda dout, p: p * dout, r"dx\[\d, \d\] is .*, but the gradient is .*: off by"),
}


@pytest.mark.parametrize("mistake", SENTENCES)
def test_a_wrong_backward_pass_is_told_what_is_wrong(mistake):
    backward, sentence = SENTENCES[mistake]
    with pytest.raises(AssertionError, match=sentence):
        check_backward(softmax, backward, X[0])


def test_a_cotangent_of_ones_would_not_notice_what_this_notices():
    """The gradient of Σ softmax = 1 is 0: with dout = 1 a backward pass that returns zeros looks right"""
    p, _ = softmax(X)
    assert abs(softmax_backward(np.ones_like(p), p)).max() < 1e-15
    with pytest.raises(AssertionError, match="zero everywhere"):
        check_backward(softmax, SENTENCES["zero"][0], X[0])


def test_a_transposed_weight_gradient_is_named_also_where_x_comes_from_the_usual_seed():
    """If dout came from seed 0 as well, dout = x, and xᵀ dout would be its own transpose"""
    x, weight = np.random.default_rng(0).standard_normal((3, 5)), RNG.standard_normal((5, 5))
    linear = lambda x, weight: (x @ weight.T, (x, weight))  # noqa: E731
    with pytest.raises(AssertionError, match=r"grads.weight.* transpose"):
        check_backward(linear, lambda d, c: (d @ c[1], {"weight": c[0].T @ d}), x, {"weight": weight})


def test_the_names_of_the_gradients_must_be_those_of_the_parameters():
    params = {"weight": RNG.standard_normal(5), "bias": RNG.standard_normal(5)}
    short = lambda dout, cache: (layer_norm_backward(dout, cache)[0], {"weight": params["weight"]})  # noqa: E731
    with pytest.raises(AssertionError, match=r"must return dx, grads\.weight, grads\.bias, but .* without grads\.bias"):
        check_backward(layer_norm, short, X, params)
    with pytest.raises(AssertionError, match=r"must return dx, grads\.weight, grads\.bias, but returned one ndarray"):
        check_backward(layer_norm, lambda dout, cache: layer_norm_backward(dout, cache)[0], X, params)
    with pytest.raises(AssertionError, match="but returned 2 values"):
        check_backward(layer_norm, lambda dout, _cache: (dout, dout), X, params)


def test_several_inputs_are_named_by_their_place():
    swapped = lambda dout, cache: pairwise_loss_backward(dout, cache)[::-1]  # noqa: E731
    with pytest.raises(AssertionError, match=r"dx\[0\]\[\d\] is .* it is dx\[1\]: the two are exchanged"):
        check_backward(pairwise_loss, swapped, (X[0, 0], X[0, 1]))


def test_a_cache_that_lives_outside_answers_with_the_wrong_one():
    """The trap of layer objects: two forward passes, then a backward pass for the first"""
    kept = {}

    def forward(x):
        kept["x"] = x
        return x * x, None

    with pytest.raises(AssertionError, match=r"is 0\.5 times the gradient"):
        check_backward(forward, lambda dout, _cache: 2 * dout * kept["x"], X[0])


def test_a_forward_pass_without_a_cache_is_told_where_one_was_promised():
    with pytest.raises(AssertionError, match=r"the forward pass must return \(out, cache\), but returned one ndarray"):
        check_backward(np.sin, lambda dout, _: dout, X[0], cache=True)


def test_a_forward_pass_that_writes_into_its_input_is_told():
    def forward(x):
        x += 1
        return x, None

    with pytest.raises(AssertionError, match="x was changed"):
        check_backward(forward, lambda dout, _: dout, X.copy())


def test_nothing_to_check_is_an_error_of_the_caller():
    with pytest.raises(InputError, match="no array of floats"):
        check_backward(embedding, embedding_backward, np.array([1, 2]))


def test_a_catalogue_can_name_its_own_mistakes():
    def explain(name, got, want):
        return f"{name} of a famous mistake" if got.shape == want.shape else None

    with pytest.raises(AssertionError, match="; dx of a famous mistake"):
        check_backward(softmax, SENTENCES["sign"][0], X[0], explain=explain)


def test_a_relative_error_of_1e_6_is_found():
    wrong = lambda dout, p: softmax_backward(dout, p) * (1 + 1e-6)  # noqa: E731
    for x in (X[0], X[0, 0], X[0, :, :3]):  # and no other mistake is named: a single axis has no transpose
        with pytest.raises(AssertionError, match=r"off by .* allowed \S+$"):
            check_backward(softmax, wrong, x)


def test_python_numbers_are_handed_on_and_have_no_gradient():
    params = {"weight": RNG.standard_normal(5), "bias": RNG.standard_normal(5)}
    check_backward(layer_norm, layer_norm_backward, X, params | {"eps": 0.1})
    check_backward(partial(layer_norm, eps=0.1), layer_norm_backward, X, params)


def test_this_is_what_the_package_offers_by_that_name():
    assert numpy_ref.check_backward is check_backward
    assert numpy_ref.check_second is check_second


@pytest.mark.parametrize("c", [1e-5, 5.0])
def test_a_constant_is_named_where_it_was_added_and_nowhere_else(c):
    with pytest.raises(AssertionError, match=f"the gradient plus {c:g}$"):
        check_backward(np.sin, lambda dout, x: dout * np.cos(x) + c, X)
    with pytest.raises(AssertionError, match=r"allowed \S+$"):
        check_backward(np.sin, lambda dout, x: dout * np.cos(x) + c * (x > 0), X)


def test_all_wrong_gradients_are_reported_and_the_right_one_is_not():
    def backward(dout, cache):
        dx, grads = layer_norm_backward(dout, cache)
        return dx, {"weight": -grads["weight"], "bias": 2 * grads["bias"]}

    with pytest.raises(AssertionError) as caught:
        check_backward(layer_norm, backward, X, {"weight": W, "bias": B})
    said = str(caught.value).splitlines()
    assert [line.split("[")[0] for line in said] == ["grads.weight", "grads.bias"]
    assert "minus sign" in said[0]
    assert "2 times" in said[1]


def test_a_large_array_is_fast_and_its_wrong_place_is_found():
    x = RNG.standard_normal((64, 96))
    start = time.process_time()
    check_backward(softmax, softmax_backward, x)
    assert time.process_time() - start < 0.3
    with pytest.raises(AssertionError, match=r"dx\[\d+, 5\] is"):
        check_backward(softmax, lambda d, p: softmax_backward(d, p) * (1 + (np.arange(96) == 5)), x)


def test_second_derivatives():
    check_second(lambda x: 4 * x**3, lambda x, v: 12 * x**2 * v, X)
    with pytest.raises(AssertionError, match=r"0\.5 times"):
        check_second(lambda x: 4 * x**3, lambda x, v: 6 * x**2 * v, X)


class Square(torch.autograd.Function):
    factor = 2

    @staticmethod
    def forward(ctx, x, times):
        ctx.save_for_backward(x)
        ctx.times = times
        return times * x * x

    @staticmethod
    def backward(ctx, dout):
        return Square.factor * dout * ctx.saved_tensors[0] * ctx.times, None


def test_an_autograd_function_in_float64_and_float32(monkeypatch):
    for dtype in (torch.float64, torch.float32):
        check_autograd_function(Square, [torch.randn(3, 4, dtype=dtype), 3.0])
    monkeypatch.setattr(Square, "factor", 1)
    with pytest.raises(AssertionError, match=r"dinput0\[.* it is 0\.5 times the gradient"):
        check_autograd_function(Square, [torch.randn(3, 4), 3.0])


def test_a_module_with_parameters_and_dropout(monkeypatch):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.drop = torch.nn.Linear(3, 4), torch.nn.Dropout(0.5)

        def forward(self, x):
            return Square.apply(self.drop(self.layer(x)), 1.0)

    check_module(Net(), [torch.randn(5, 3)])
    monkeypatch.setattr(Square, "factor", -2)
    with pytest.raises(AssertionError, match=r"dlayer.weight.* the minus sign is lost"):
        check_module(Net(), [torch.randn(5, 3)])

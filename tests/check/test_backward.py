"""check_backward for everybody's code: silent on right pairs of every form, every wrong gradient named."""

import re
import time

import numpy as np
import pytest
import torch

from numpy_ref.check import check_backward, check_second
from numpy_ref.layers import layer_norm, layer_norm_backward, softmax, softmax_backward
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

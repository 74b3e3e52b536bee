"""Each tolerance of the checker lies between the measured error of right code and the error of wrong code.

`pytest -s` prints the measurements.
"""

import json
import warnings
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch

from numpy_ref.check import judge as check_judge
from numpy_ref.check import oracles
from numpy_ref.check.judge import Judge
from numpy_ref.check.properties import PROPERTIES
from numpy_ref.check.sandbox import published, understood
from numpy_ref.check.search import inputs
from numpy_ref.check.submission.host import Host
from numpy_ref.check.submission.wire import encode
from numpy_ref.check.values import EPS32, SINGLE, SINGLE_FAR, TOLERANCE, ULPS, single_error

TAIL = np.sort(np.random.default_rng(0).uniform(20, 80, 1000)).astype(np.float32).astype(float)
GELU = np.sqrt(2 / np.pi)


def exactly(f, points):
    """f at 60 digits, rounded once"""
    with mpmath.workdps(60):
        return np.array([float(f(mpmath.mpf(float(x)))) for x in points])


def torch64(f):
    return lambda x: f(torch.from_numpy(np.array(x))).numpy()


def small_sigmoid(x):
    """σ(-x), the size of the loss's gradient at a margin of x"""
    return 1 / (1 + mpmath.exp(x))


def softplus(x):
    """-log σ(x), the loss"""
    return mpmath.log1p(mpmath.exp(-x))


RIGHT = {  # {name: (exact, code)} of a margin x
    "1 / (1 + e⁻ˣ)": (small_sigmoid, lambda x: 1 / (1 + np.exp(x))),
    "eˣ / (1 + eˣ)": (small_sigmoid, lambda x: np.exp(-x) / (1 + np.exp(-x))),
    "exp of a log-sigmoid": (small_sigmoid, lambda x: np.exp(-np.logaddexp(0, x))),
    "exp of an accumulated logaddexp": (small_sigmoid, lambda x: np.exp(-x - np.log1p(np.exp(-x)))),
    "torch.sigmoid": (small_sigmoid, lambda x: torch64(torch.sigmoid)(-x)),
    "softmax of (-x, 0)": (small_sigmoid, lambda x: np.exp(-x - np.logaddexp(-x, 0))),
    "logaddexp(0, -x)": (softplus, lambda x: np.logaddexp(0, -x)),
    "log1p(e⁻ˣ)": (softplus, lambda x: np.log1p(np.exp(-x))),
    "torch's softplus": (
        softplus,
        lambda x: torch64(torch.nn.functional.softplus)(-x),
    ),
}
WRONG = {
    "1 - σ(x)": (small_sigmoid, lambda x: 1 - 1 / (1 + np.exp(-x))),
    "(1 + tanh(x/2)) / 2": (small_sigmoid, lambda x: 0.5 * (1 + np.tanh(-x / 2))),
    "log(1 + e⁻ˣ)": (softplus, lambda x: np.log(1 + np.exp(-x))),
    "a log-sum-exp less its largest": (
        softplus,
        lambda x: x + np.log(1 + np.exp(-x)) - x,
    ),
}


def units(spelling, dtype, points=TAIL):
    """The largest error, in units in the last place of `dtype`"""
    exact, code = spelling
    want = exactly(exact, points)
    eps = np.spacing(want) if dtype == "float64" else EPS32 * want
    with np.errstate(all="ignore"):
        return float((np.abs(code(points.astype(dtype)) - want) / eps).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_units_in_the_last_place(dtype):
    """Right code: at most 28, a 36th of the bound. Wrong code, at margins of only 20 to 24: 7e9, in float32 8e6"""
    right = {name: units(spelling, dtype) for name, spelling in RIGHT.items()}
    wrong = {name: units(spelling, dtype, TAIL[TAIL < 24]) for name, spelling in WRONG.items()}
    for name, value in (right | wrong).items():
        print(f"{dtype} {name:<32} {value:10.3g} ulp")
    assert 36 * max(right.values()) <= ULPS <= 1e-3 * min(wrong.values())


def test_the_tolerance_of_float64():
    """Right but coarse code is off by at most 3e-8; the smallest mistake to catch is a factor of 1 + 1e-6"""
    x = np.linspace(-3, 3, 49)
    h, t = 1e-5, np.tanh(np.float32(GELU) * (x + 0.044715 * x**3))
    measured = {
        "torch's softplus at its threshold": abs(
            torch64(torch.nn.functional.softplus)(TAIL) - np.logaddexp(0, TAIL)
        ).max(),
        "a central difference": abs(
            (oracles.gelu(x + h) - oracles.gelu(x - h)) / (2 * h) - oracles.gelu_backward(1, x)
        ),
        "a constant in float32": abs(0.5 * x * (1 + t) - oracles.gelu(x)),
    }
    for name, error in measured.items():
        print(f"{name:<36} {np.max(error):.1e}")
        assert np.max(error) <= TOLERANCE / 5
    assert TOLERANCE * 3 < 1e-6


def test_the_tolerance_of_float32_tells_0_0447_from_0_044715():
    """In units of our own error in float32"""

    def ratio(code):
        worst = []
        for (x,) in inputs(PROPERTIES["gelu"][0]):
            allowed = max(single_error(oracles.gelu, [x]), EPS32 * max(1, abs(oracles.gelu(x)).max()))
            worst.append(abs(code(np.float32(x)) - oracles.gelu(x)).max() / allowed)
        return max(worst)

    def gelu(x, cubic):
        return np.float32(0.5) * x * (1 + np.tanh(np.float32(GELU) * (x + np.float32(cubic) * x * x * x)))

    right, wrong = ratio(lambda x: gelu(x, 0.044715)), ratio(lambda x: gelu(x, 0.0447))
    print(f"float32: 0.044715 {right:.2g}, 0.0447 {wrong:.2g}")
    assert right <= SINGLE / 4
    assert wrong >= SINGLE * 2


BANK = json.loads((Path(__file__).parent / "submissions" / "bank.json").read_text())
HEAD = "import numpy as np, math\nfrom functools import partial\nS = lambda x: np.exp(-np.logaddexp(0, -x))\n"
NOT_IN_SINGLE = {  # code that is right in float64 alone, with the reason
    ("plackett_luce_loss", ".max()<700"): "its e^400 overflows",
    ("gelu_backward", "1e-20j"): "complex64 holds no step of 1e-20 beside 1",
    ("gelu_backward", "x-1e-5"): "differences of 1e-5 have no digits",
    ("rao_kupper", "np.clip(second - first, -700, 700)"): "its e^700 overflows",
    ("attention_backward", "np.logaddexp.reduce(s"): "weights e^(s - lse) at scores of 3200 sum to 1 within 4e-4 only",
    ("layer_norm_backward", "import torch"): "torch's mean of numbers about 1e7 is off by 1",
}


def in_single(host):
    """Sandbox.call in this process, all arrays in float32"""

    def rounded(value):
        if isinstance(value, tuple | list):
            return tuple(map(rounded, value))
        return np.asarray(value, np.float32) if getattr(getattr(value, "dtype", None), "kind", "") == "f" else value

    def call(name, arguments, seconds, cotangent=None, layout=""):  # noqa: ARG001  no clock here
        given = [encode(rounded(argument)) for argument in arguments]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = understood(host.call(name, given, encode(cotangent), layout))
        return answer._replace(value=rounded(answer.value))

    return call


@pytest.mark.slow
@pytest.mark.parametrize("name", BANK["right"])
def test_right_solutions_of_the_bank_are_right_in_float32_too(name, monkeypatch):
    """The tolerances SINGLE and SINGLE_FAR hold for every solution in the bank"""
    monkeypatch.setattr(check_judge, "name_mistake", lambda *_: (("", ""), 0))
    assert SINGLE_FAR * EPS32 < 2e-4
    for source in BANK["right"][name]:
        host, (first, _, rest) = Host(published()), source.partition("\n")
        host.load([("a.py", f"{first}\n{HEAD}{rest}" if "__future__" in first else HEAD + source)])
        failed = [r for r in Judge(name, in_single(host), shrink=False).judge() if r.status == "failed"]
        excused = any(name == of and words in source for of, words in NOT_IN_SINGLE)
        assert excused or not failed, (source, failed)

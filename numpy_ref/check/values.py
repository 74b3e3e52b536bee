"""Compares what a function returned with the right answer: its kind, its values. Also shows values as text."""

import functools

import numpy as np

from .submission.wire import Foreign

EPS32 = float(np.finfo(np.float32).eps)
# Each bound lies between the errors measured for right code and those of wrong code:
# tests/check/test_tolerances.py measures both against mpmath, and prints them.
# For float64: the error allowed, relative to the largest entry or 1. Right code: 2e-9 (torch's softplus at its
# threshold), 7e-9 (one constant in float32). Wrong: a gradient times 1 + 1e-6.
TOLERANCE = 3e-7
# For float32: the error allowed, as a multiple of the error of our own code in float32 on the same inputs. Right code:
# at most 3.7 (softmax as the exponential of its logarithm). Wrong: 68 (gelu with 0.0447 in place of 0.044715).
SINGLE = 8
# For float32 where the error of our own code is no measure, in eps times the largest entry: when a law compares two
# answers, and for inputs beyond FAR, whose exponents float32 rounds by some 800 eps. Right code: 270 (torch's
# attention, scores in the hundreds).
SINGLE_FAR, FAR = 1000, 8
# For properties of the kind `tail`: the error allowed, in units in the last place. Right code: 28 (the exponential of a
# log-sigmoid), 1.3 in float32. Wrong, already at margins of 20 to 24: 7e9, 8e6 in float32.
ULPS = 1024


class Unfit(Exception):
    """The answer is not of the published kind; the message says why"""


def fit(value, expected, function, part=None):
    """The answer as an array, or a tuple of arrays; Unfit if kind, number, shape or dtype are not the published ones

    If `part` is given, only this one of several results is checked.
    """
    if not isinstance(expected, tuple):
        return fit_one(value, np.asarray(expected), function.results[0])
    names = function.results
    if not isinstance(value, tuple | list) or len(value) != len(names):
        count = f", expected {len(names)} arrays ({', '.join(names)})"
        raise Unfit(f"returns {kind_of(value)}" + ("" if value is None else count))
    wanted = [part is None or part == place for place in range(len(names))]
    triples = zip(value, expected, names, wanted, strict=True)
    return tuple(fit_one(v, np.asarray(e), n) if judged else v for v, e, n, judged in triples)


def fit_one(value, expected, name):
    """One result as an array; Unfit if kind, shape or dtype are not the published ones"""
    wanted = f"an array of shape {expected.shape}" if expected.ndim else "a number"
    if not isinstance(value, np.ndarray):
        raise Unfit(f"returns {kind_of(value)} for {name}, expected {wanted}")
    if value.shape != expected.shape:
        raise Unfit(f"returns {kind_of(value)} for {name}, expected {wanted}")
    integers = expected.dtype.kind in "iu"
    if integers and value.dtype.kind not in "iu":
        raise Unfit(f"returns {name} of dtype {value.dtype}, expected integers")
    if (
        value.dtype.kind not in "fiu"
        or value.dtype == np.float16
        or (value.ndim and not integers and value.dtype.kind != "f")
    ):
        raise Unfit(f"returns {name} of dtype {value.dtype}, expected float64 or float32")
    return value


def kind_of(value):
    """The kind of a value, in words"""
    if value is None:
        return "None (is a return missing?)"
    if isinstance(value, Foreign):
        return value.words
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}" if value.ndim else "a number"
    return f"a {type(value).__name__} of {len(value)}" if value else f"an empty {type(value).__name__}"


def agree(got, expected, ulps=None, single=None):
    """Same shape and equal within the tolerance of the dtype that was used; NaN equals NaN, inf equals inf

    ulps    each entry within so many units in its last place, instead of a tolerance for the whole array
    single  scale -> the error that is allowed in float32 on these inputs
    """
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape or got.dtype.kind not in "fiub":
        return False
    finite = np.isfinite(expected)
    with np.errstate(all="ignore"):
        if not finite.all() and not np.array_equal(got[~finite], expected[~finite], equal_nan=True):
            return False
        error, size = np.abs(got[finite] - expected[finite]), np.abs(expected[finite])
        scale = max(1.0, size.max(initial=0))
        if (error <= (ulps * np.spacing(size) if ulps else TOLERANCE * scale)).all():
            return True
        if not in_single_precision(got):
            return False
        allowed = ulps * EPS32 * size if ulps else (single or far_single)(scale)
        return bool((error <= allowed).all())


def yardstick(prop, oracle, arguments, part=None):
    """The (ulps, single) with which `agree` judges answers to these arguments"""
    single = functools.partial(single_allowed, oracle, arguments, part) if oracle else None
    return ULPS if prop.kind == "tail" else None, single


def single_allowed(oracle, arguments, part, scale):
    """The error allowed in float32 on these inputs"""
    near = SINGLE * max(single_error(oracle, arguments, part), EPS32 * scale)
    largest = max((np.abs(a).max(initial=0.0) for a in arguments if a.dtype.kind == "f"), default=0.0)
    return max(near, far_single(scale)) if largest > FAR else near


def far_single(scale):
    """The error allowed in float32 where nothing else is known"""
    return SINGLE_FAR * EPS32 * scale


def single_error(function, arguments, part=None):
    """max |f₃₂(x rounded) - f₆₄(x)| over some roundings of the inputs to float32, f₃₂ being f in float32"""
    rng = np.random.default_rng(0)

    def value(given):
        with np.errstate(all="ignore"):
            out = function(*given)
        return np.asarray(out if part is None else out[part], float)

    right, errors = value(arguments), []
    for _ in range(6):
        shaken = [a * (1 + EPS32 * rng.uniform(-1, 1, a.shape)) if a.dtype.kind == "f" else a for a in arguments]
        errors.append(value([np.asarray(a, np.float32) if a.dtype.kind == "f" else a for a in shaken]) - right)
    return float(np.abs(np.nan_to_num(errors)).max(initial=0.0))


def in_single_precision(got):
    """Was it computed in float32? So it seems if float32 holds every number exactly, even in an array of float64"""
    return got.dtype == np.float32 or np.array_equal(got, got.astype(np.float32), equal_nan=True)


def show_value(value):
    """Numbers as a person writes them: [0.5, -1.25]"""
    if isinstance(value, tuple | list):
        inside = ", ".join(map(show_value, value))
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if isinstance(value, Foreign):
        return value.words
    if value is None:
        return "None"
    if isinstance(value, dict):
        return f"a dict with {', '.join(value)}"
    array = np.asarray(value)
    if array.size > 200:
        return f"an array of shape {array.shape}"
    return show_list(array.tolist())


def show_list(value):
    """Nested lists of numbers, ten digits each"""
    if isinstance(value, list):
        return "[" + ", ".join(map(show_list, value)) + "]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def show_call(function, arguments):
    """The call as one would type it: f(x=[1, 2], y=3)"""
    pairs = zip(function.arguments, arguments, strict=False)
    return f"{function.name}({', '.join(f'{name}={show_value(value)}' for name, value in pairs)})"

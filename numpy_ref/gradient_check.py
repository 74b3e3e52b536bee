"""Is a gradient right? Ask the complex step, which shares no formula with it, and say in a sentence what is wrong.

    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 5)), rng.standard_normal(5), rng.standard_normal(5)
    check_backward(layer_norm, layer_norm_backward, x, {"weight": w, "bias": b}, rng=rng)

It works on anybody's functions: silent when the backward pass is right, an AssertionError with a sentence when not.
What is no array of floats (tokens, lengths, a number of heads, eps) is handed on and has no gradient.
"""

import warnings
from collections.abc import Callable

import numpy as np

from .errors import InputError
from .tree import flatten, tree_map


def complex_step(f, inputs, h=1e-20):
    """df/dx = Im f(x + ih) / h        for every entry of every leaf; f takes the tree and returns a number

    Exact to rounding: f(x + ih) = f(x) + ih f'(x) - h² f''(x)/2 ..., nothing is subtracted, so h can be tiny. It needs
    an analytic f: `abs`, `max`, `>=` and `.real` lose the imaginary part, and the answer is then 0 without a word.

    Source: Squire & Trapp 1998, SIAM Review 40(1).
    """

    def slope(moved, leaf, i):
        leaf[i] += 1j * h
        return f(moved).imag / h

    return _slopes(slope, inputs, complex)


def central_difference(f, inputs, h=1e-5):
    """df/dx ≈ (f(x + h) - f(x - h)) / 2h        as complex_step, for an f that is not analytic; h is relative above 1

    Right to some 1e-10 of f: h² f'''/6 from the formula, eps f / h from the subtraction.
    """

    def slope(moved, leaf, i):
        x, step = leaf[i], h * max(1.0, abs(leaf[i]))
        leaf[i] = x + step
        above = f(moved)
        leaf[i] = x - step
        return (above - f(moved)) / (2 * step)

    return _slopes(slope, inputs, float)


def _slopes(slope, inputs, dtype):
    """slope(tree, leaf, i) for every entry i of every floating leaf, on a copy that it may move; else None"""
    moved = tree_map(lambda leaf: np.array(leaf, dtype) if is_floating(leaf) else leaf, inputs)

    def of(leaf, original):
        if not is_floating(original):
            return None
        gradient = np.empty(leaf.shape)
        for i in np.ndindex(leaf.shape):
            x = leaf[i]
            gradient[i] = slope(moved, leaf, i)
            leaf[i] = x
        return gradient

    return tree_map(of, moved, inputs)


def is_floating(leaf):
    """Does this leaf have a gradient? Arrays of floats do; tokens, a number of heads and a Python number do not"""
    return isinstance(leaf, np.ndarray | np.generic) and np.issubdtype(leaf.dtype, np.floating)


def is_analytic(f, inputs, rng):
    """Do complex step and central difference agree along one random direction?"""
    direction = tree_map(lambda leaf: rng.standard_normal(np.shape(leaf)) if is_floating(leaf) else 0, inputs)

    def at(step):
        return f(tree_map(lambda leaf, v: leaf + step * v if is_floating(leaf) else leaf, inputs, direction))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            exact = at(1e-20j).imag / 1e-20
    except Exception:  # a ufunc without complex numbers, a cast to real ones, a check of the type: f accepts real ones
        return False
    near = (at(1e-5) - at(-1e-5)) / 2e-5
    return bool(abs(exact - near) <= 1e-4 * (abs(exact) + abs(near)) + 1e-8 * (1 + abs(at(0.0))))


MISTAKES: list[tuple[str, Callable]] = [
    ("it is zero everywhere", np.zeros_like),
    ("the minus sign is lost: this is the gradient's negative", np.negative),
    ("this is the gradient's transpose", np.transpose),
]


def name_mistake(name, got, want):  # noqa: ARG001  other catalogues know mistakes of one gradient by its name
    """A sentence where `got` is what `want` becomes by a mistake that people make, else None"""
    if not np.isfinite(got).all():
        return "it is not finite"
    size = abs(want).max(initial=0.0)
    for sentence, mistake in MISTAKES:
        wrong = mistake(want)
        differs = size > 0 and wrong.shape == got.shape == want.shape and abs(wrong - want).max() > 1e-3 * size
        if differs and abs(got - wrong).max() <= 1e-5 * size:
            return sentence
    if size > 0 and got.shape == want.shape:
        factor = float((got * want).sum() / (want * want).sum())
        if abs(factor - 1) > 1e-3 and abs(got - factor * want).max() <= 1e-5 * size:
            return f"it is {factor:.6g} times the gradient: a constant forgotten, or a sum where a mean belongs"
    return None


def check_backward(forward, backward, x, params=None, *, rng, n=100, scale=1.0, explain=name_mistake):
    """Raise unless backward(dout, cache) is the gradient of Σ dout·out at (x, params), for a random dout

    forward(*x, **params) -> (out, cache); x is an array, or a tuple of them; params is a tree of arrays.
    backward(dout, cache) -> (dx, ..., grads) of the floating ones, in that order; grads has the names of params.
    Each entry may be off by n eps(dtype) max(scale, largest entry of all the gradients).
    explain(name, got, want) -> a sentence or None: a catalogue of mistakes to name the one that was made.
    """
    inputs = {"x": list(x) if isinstance(x, tuple | list) else [x], "params": params or {}}
    floats = {name: leaf for name, leaf in flatten(inputs).items() if is_floating(leaf)}
    if not floats:
        raise InputError("check_backward found no array of floats in x or params: nothing has a gradient here.")
    before = tree_map(np.copy, inputs)

    out, cache = _forward(forward, inputs)
    _forward(forward, tree_map(lambda leaf: leaf / 2 if is_floating(leaf) else leaf, inputs))  # must not change cache
    dout = np.asarray(rng.standard_normal(np.shape(out)), np.asarray(out).dtype)  # never ones: softmax sends them to 0
    dout_before = dout.copy()
    got = _gradients(backward(dout[()], cache), inputs, floats)
    _same(before | {"dout": dout_before}, inputs | {"dout": dout})

    lifted = tree_map(lambda leaf: np.asarray(leaf, float) if is_floating(leaf) else leaf, inputs)

    def objective(tree):
        return (_forward(forward, tree)[0] * dout).sum()

    analytic = is_analytic(objective, lifted, rng)
    want = flatten((complex_step if analytic else central_difference)(objective, lifted))
    largest = max(scale, *(abs(want[name]).max(initial=0.0) for name in floats))
    for name, leaf in floats.items():
        bound = (n * np.finfo(leaf.dtype).eps + (0 if analytic else 1e-7)) * largest
        _compare(_readable(name, inputs), got[name], leaf, want[name], bound, explain)


def _forward(forward, inputs):
    result = forward(*inputs["x"], **inputs["params"])
    if not (isinstance(result, tuple) and len(result) == 2):
        raise AssertionError(f"the forward pass must return (out, cache), but returned {_describe(result)}")
    return result


def _gradients(result, inputs, floats):
    """What the backward pass returned, under the names of flatten(inputs)"""
    names = [name for name in floats if name.startswith("x.")]
    with_grads = len(names) < len(floats)
    parts = result if isinstance(result, tuple) else (result,)
    if len(parts) != len(names) + with_grads or any(part is None for part in parts):
        order = ", ".join([_readable(name, inputs) for name in names] + ["grads"] * with_grads)
        raise AssertionError(f"the backward pass must return {order}, but returned {_describe(result)}")
    got = dict(zip(names, parts, strict=False))
    if with_grads:
        if not isinstance(parts[-1], dict):
            raise AssertionError(f"grads must be a dictionary like params, but is {_describe(parts[-1])}")
        grads = flatten(parts[-1])
        expected = sorted(name.removeprefix("params.") for name in floats if name not in names)
        if sorted(grads) != expected:
            raise AssertionError(f"grads must be a dictionary with the names {expected}, but has {sorted(grads)}")
        got |= {f"params.{name}": leaf for name, leaf in grads.items()}
    return got


def _compare(name, got, leaf, want, bound, explain):
    if not isinstance(got, np.ndarray | np.generic):
        raise AssertionError(f"{name} must be an array, but is {_describe(got)}")
    got = np.asarray(got)
    if got.shape != leaf.shape:
        raise AssertionError(f"{name} has the shape {got.shape}; it must have that of its array, {leaf.shape}")
    if got.dtype != leaf.dtype:
        raise AssertionError(f"{name} has the type {got.dtype}; it must have that of its array, {leaf.dtype}")
    error = abs(got - want)
    if not (error <= bound).all():  # `not <=`, so that NaN is an error too
        i = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
        hint = explain(name, got, want)
        place = f"{name}[{', '.join(map(str, i))}]" if i else name
        raise AssertionError(
            f"{place} is {got[i]:.9g}, but the gradient is {want[i]:.9g}: off by {error[i]:.1e}, allowed {bound:.1e}"
            + (f"; {hint}" if hint else "")
        )


def _same(before, after):
    for (name, old), new in zip(flatten(before).items(), flatten(after).values(), strict=True):
        if not np.array_equal(old, new, equal_nan=is_floating(old)):
            raise AssertionError(
                f"{name.removesuffix('.0')} was changed: a pass must not write into its arguments; work on a new array"
            )


def _readable(name, inputs):
    """x.0 -> dx (dx[0] where there are several),  params.weight -> grads.weight"""
    head, _, rest = name.partition(".")
    if head == "params":
        return f"grads.{rest}"
    return "dx" if len(inputs["x"]) == 1 else f"dx[{rest}]"


def _describe(value):
    if value is None:
        return "None (a return statement is missing)"
    if isinstance(value, tuple):
        return f"{len(value)} values ({', '.join(type(part).__name__ for part in value)})"
    return f"one {type(value).__name__}"

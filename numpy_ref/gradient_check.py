"""Is a gradient right? Ask the complex step, which shares no formula with it.

    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 5)), rng.standard_normal(5), rng.standard_normal(5)
    check_backward(layer_norm, layer_norm_backward, x, {"weight": w, "bias": b}, rng=rng)

This is the idea in its shortest form. `numpy_ref.check_backward` (the folder `check`) is for everybody's code: other
calling conventions, several outputs, kinks, large arrays, and the name of the mistake.
"""

import warnings

import numpy as np

from .errors import InputError
from .tree import flatten, tree_map


def complex_step(f, inputs, h=1e-20):
    """df/dx = Im f(x + ih) / h        for every entry of every leaf; f takes the tree and returns a number

    Exact to rounding: f(x + ih) = f(x) + ih f'(x) - h² f''(x)/2 ..., nothing is subtracted, so h can be tiny. It needs
    an analytic f: `abs`, `max`, `>=` and `.real` lose the imaginary part, and the answer is then silently 0.

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
    """slope(tree, leaf, i) for every entry i of every floating leaf of a copy that it may change; other leaves: None"""
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
    except Exception:  # f may refuse complex numbers in many ways: a ufunc, a cast, a check of the type
        return False
    near = (at(1e-5) - at(-1e-5)) / 2e-5
    return bool(abs(exact - near) <= 1e-4 * (abs(exact) + abs(near)) + 1e-8 * (1 + abs(at(0.0))))


def check_backward(forward, backward, x, params=None, *, rng, n=100, scale=1.0):
    """AssertionError unless backward(dout, cache) is the gradient of Σ dout·out at (x, params), for a random dout

    forward(*x, **params) -> (out, cache); x is an array, or a tuple of them; params is a tree of arrays.
    backward(dout, cache) -> (dx, ..., grads) of the floating ones, in that order; grads has the names of params.
    Each entry may be off by n eps(dtype) max(scale, largest entry of all the gradients).
    """
    inputs = {"x": list(x) if isinstance(x, tuple | list) else [x], "params": params or {}}
    floats = {name: leaf for name, leaf in flatten(inputs).items() if is_floating(leaf)}
    if not floats:
        raise InputError("check_backward found no array of floats in x or params: nothing has a gradient here.")

    def run(tree):
        return forward(*tree["x"], **tree["params"])

    before = tree_map(np.copy, inputs)
    out, cache = run(inputs)
    run(tree_map(lambda leaf: leaf / 2 if is_floating(leaf) else leaf, inputs))  # must not change the cache
    dout = np.asarray(rng.standard_normal(np.shape(out)), np.asarray(out).dtype)  # never ones: softmax sends them to 0
    given, after = before | {"dout": dout.copy()}, inputs | {"dout": dout}
    got = _named(backward(dout[()], cache), floats)
    if not all(map(np.array_equal, flatten(given).values(), flatten(after).values())):
        raise AssertionError("an argument was changed: a pass must not write into its arguments; work on a new array")

    def objective(tree):
        return (run(tree)[0] * dout).sum()

    lifted = tree_map(lambda leaf: np.asarray(leaf, float) if is_floating(leaf) else leaf, inputs)
    witness, doubt = (complex_step, 0.0) if is_analytic(objective, lifted, rng) else (central_difference, 1e-7)
    want = flatten(witness(objective, lifted))
    largest = max(scale, *(abs(want[name]).max(initial=0.0) for name in floats))
    for name, leaf in floats.items():
        _compare(name, np.asarray(got[name]), leaf, want[name], (n * np.finfo(leaf.dtype).eps + doubt) * largest)


def _named(result, floats):
    """{"x.0": dx, "params.weight": dw}: what the backward pass returned, under the names of the inputs"""
    parts = list(result) if isinstance(result, tuple) else [result]
    grads = flatten({"params": parts.pop()}) if parts and isinstance(parts[-1], dict) else {}
    names = [name for name in floats if name.startswith("x.")]
    got = dict(zip(names, parts, strict=False)) | grads
    if len(parts) != len(names) or got.keys() != floats.keys():
        found = f"{len(parts)} of x and {len(grads)} of params"
        raise AssertionError(f"the backward pass must return the gradients of {', '.join(floats)}; it returned {found}")
    return got


def _compare(name, got, leaf, want, bound):
    if (got.shape, got.dtype) != (leaf.shape, leaf.dtype):
        raise AssertionError(f"{name} is {leaf.dtype}{leaf.shape}, but its gradient is {got.dtype}{got.shape}")
    error = abs(got - want)
    if not (error <= bound).all():  # `not <=`, so that NaN is an error too
        i = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
        off = f"off by {error[i]:.1e}, allowed {bound:.1e}" if got.any() else "it is zero everywhere"
        place = f"{name}{[*map(int, i)]}"
        raise AssertionError(f"the gradient at {place} is {want[i]:.9g}, but backward returned {got[i]:.9g}: {off}")

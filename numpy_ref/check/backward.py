"""check_backward for any code: is `backward` the gradient of `forward`? One error names all wrong gradients.

    check_backward(layer_norm, layer_norm_backward, x, {"weight": w, "bias": b})
    check_backward(f, f_backward, {"x": x, "w": w})        no cache: f(x, w) -> out, f_backward(dout, x, w) -> (dx, dw)

numpy_ref.gradient_check has a short version that is easy to read. This one also takes functions without a cache,
several outputs, constants and kinks. It judges each gradient by its own size, and is fast on large arrays.
"""

import inspect
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..gradient_check import is_floating
from ..tree import flatten, tree_map
from .fitting import explain
from .witnesses import Witness, slopes

N = 100  # roundings: each gradient may be off by N eps(dtype) times its own largest entry
FLOOR = 8  # in addition, roundings of the largest gradient: one that is zero by symmetry is computed as rounding errors
FAST = 2000  # with more entries than this, random projections are tried first
SEED = 7_919_104_729  # not 0: people draw x from seed 0; dout would equal x, and a transposed xᵀ dout look right


class Setup(NamedTuple):
    """The inputs by name, those of them that have a gradient, and whether forward returns (out, cache)"""

    inputs: dict
    floats: dict
    cached: bool


def check_backward(forward, backward, x, params=None, **options):
    """AssertionError unless backward(dout, cache) is the gradient of Σ dout·out at (x, params), for a random dout

    forward(*x, **params) -> (out, cache), and backward(dout, cache) -> (dx, ..., grads); or, without a cache,
    forward -> out and backward(dout, *x, **params). `out` may be a tuple; then `dout` is one. The options:
    x         an array, a tuple of arrays, or {name: array}
    params    a tree of arrays
    constant  inputs without a gradient, by name or by place in x; only arrays of floats have a gradient
    rng       the random generator; default: one with a fixed seed
    cache     does forward return (out, cache)? None: it does if it returns a pair and backward takes two arguments
    fast      try random projections before single entries; None: only if there are more than 2,000 entries
    n         a gradient may be off by n eps(dtype) times its largest entry, plus 8 eps times that of all gradients
    explain   a function (name, got, want) -> a sentence that names the mistake, or None
    """
    with np.errstate(all="ignore"):
        wrong = [said for said in verdicts(forward, backward, x, params, **options).values() if said]
    if wrong:
        raise AssertionError("\n".join(wrong))


def verdicts(forward, backward, x, params=None, *, rng=None, constant=(), cache=None, fast=None, n=N, explain=explain):
    """{gradient: "" or what is wrong with it}; AssertionError if the pair as a whole is wrong"""
    rng = np.random.default_rng(SEED) if rng is None else rng
    setup = prepared(forward, backward, x, params or {}, set(constant), cache)
    before = tree_map(np.copy, setup.inputs)
    out = outputs(forward, setup, setup.inputs)
    deterministic(out, outputs(forward, setup, setup.inputs))
    douts = [np.asarray(rng.standard_normal(o.shape), o.dtype) for o in out]  # never ones: softmax sends them to 0
    got = gradients(forward, backward, setup, douts)
    unchanged(before, setup.inputs)

    def objective(tree):
        return sum((o * d).sum() for o, d in zip(outputs(forward, setup, tree), douts, strict=True))

    witness = Witness(objective, setup.inputs, list(setup.floats), rng)
    said = {name: malformed(name, got[name], leaf) for name, leaf in setup.floats.items()}
    names = [name for name in setup.floats if not said[name]]
    if fast or (fast is None and sum(leaf.size for leaf in setup.floats.values()) > FAST):
        names = witness.suspects(names, got, n)
    said |= differences(names, got, witness, setup, n, explain)
    return {readable(name): words for name, words in said.items()}


def check_second(gradient, second, x, v=None, *, rng=None):
    """AssertionError unless second(x, v) = H v, where H is the derivative of gradient(x), and H is symmetric

    H v comes from the complex step if `gradient` is analytic, else from central differences.
    """
    rng = np.random.default_rng(SEED) if rng is None else rng
    v = rng.standard_normal(np.shape(x)) if v is None else v
    weights = rng.standard_normal(np.shape(x))
    want = slopes(lambda point: np.asarray(gradient(point)), np.asarray(x, float), v)
    got = np.asarray(second(x, v))
    if got.shape != want.shape:
        raise AssertionError(f"H v has the shape {got.shape}; it must have that of x, {want.shape}")
    bound = 1e-6 * max(abs(want).max(initial=0.0), 1e-300)
    if not (abs(got - want) <= bound).all():
        hint = explain("H v", got, want)
        raise AssertionError(sentence("H v", got, want, bound) + (f"; {hint}" if hint else ""))
    other = np.asarray(second(x, weights))
    if not abs((other * v).sum() - (got * weights).sum()) <= 1e-6 * (abs(other * v).sum() + abs(got * weights).sum()):
        raise AssertionError("H is not symmetric: ⟨u, H v⟩ is not ⟨v, H u⟩")


def prepared(forward, backward, x, params, constant, cache):
    """The Setup; InputError if nothing has a gradient"""
    named = x if isinstance(x, dict) else dict(enumerate(x)) if isinstance(x, tuple | list) else {"x": x}
    inputs = {"x": named, "params": params}
    floats = {name: leaf for name, leaf in flatten(inputs).items() if is_floating(leaf)}
    skipped = {str(name) for name in constant}
    floats = {name: leaf for name, leaf in floats.items() if name.partition(".")[2] not in skipped}
    if not floats:
        raise InputError("check_backward found no array of floats in x or params: nothing has a gradient here.")
    result = forward(*named.values(), **params)
    if cache is None:
        cache = isinstance(result, tuple) and len(result) == 2 and takes(backward) in (2, None)
    return Setup(inputs, floats, cache)


def takes(function):
    """How many positional arguments a function takes; None where Python cannot tell"""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)


def called(forward, inputs):
    """forward(*x, **params)"""
    return forward(*inputs["x"].values(), **inputs["params"])


def outputs(forward, setup, inputs):
    """The outputs as a list of arrays"""
    result = called(forward, inputs)
    if setup.cached:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise AssertionError(f"the forward pass must return (out, cache), but returned {described(result)}")
        result = result[0]
    return [np.asarray(out) for out in (result if isinstance(result, tuple | list) else [result])]


def deterministic(first, second):
    """AssertionError for NaN and inf, and for answers that change from call to call"""
    for out, again in zip(first, second, strict=True):
        if not np.isfinite(out).all():
            place = np.argwhere(~np.isfinite(out))[0].tolist()
            raise AssertionError(f"the forward pass returns {out[tuple(place)]} at {place}: no gradient can be checked")
        if not np.array_equal(out, again):
            raise AssertionError("the forward pass is random: two calls on the same input differ; fix its seed")


def gradients(forward, backward, setup, douts):
    """{name: what the backward pass returned}, under the names of the floats"""
    out = called(forward, setup.inputs)
    halved = tree_map(lambda leaf: leaf / 2 if is_floating(leaf) else leaf, setup.inputs)
    called(forward, halved)  # another call must not change the cache
    several = isinstance(out[0] if setup.cached else out, tuple | list)
    dout = tuple(douts) if several else douts[0][()]
    kept = [d.copy() for d in douts]
    if setup.cached:
        result = backward(dout, out[1])
    else:
        result = backward(dout, *setup.inputs["x"].values(), **setup.inputs["params"])
    if not all(np.array_equal(a, b) for a, b in zip(kept, douts, strict=True)):
        raise AssertionError("dout was changed: a pass must not write into its arguments; work on a new array")
    return assigned(result, setup)


def assigned(result, setup):
    """The returned gradients under their names: in order, or in dictionaries by name (as `weight` or `dweight`)"""
    several = isinstance(result, tuple) or (isinstance(result, list) and all(map(is_gradient, result)))
    parts = list(result) if several else [result]
    arrays = [part for part in parts if not isinstance(part, dict)]
    named: dict[str, Any] = {}
    for part in parts:
        named |= {key.removeprefix("d"): leaf for key, leaf in flatten(part).items()} if isinstance(part, dict) else {}
    short = {name: name.partition(".")[2].removeprefix("d") for name in setup.floats}
    got = {name: named[key] for name, key in short.items() if key in named}
    rest = [name for name in setup.floats if name not in got]
    if len(arrays) > len(rest):  # the constants were returned too, as None or zeros
        places = [name for name in flatten(setup.inputs) if name not in got]
        spare = arrays[len(places) :]
        arrays = [part for part, place in zip(arrays, places, strict=False) if place in rest] + spare
    got |= dict(zip(rest, arrays, strict=False))
    missing = [readable(name) for name in setup.floats if got.get(name) is None]
    if missing or len(arrays) > len(rest):
        order = ", ".join(map(readable, setup.floats))
        without = f" without {', '.join(missing)}" if missing and named else ""
        raise AssertionError(f"the backward pass must return {order}, but returned {described(result)}{without}")
    return got


def is_gradient(part):
    """May this stand in a list of gradients? An array, a dictionary, or None for a constant"""
    return part is None or isinstance(part, np.ndarray | np.generic | dict)


def unchanged(before, after):
    """AssertionError if a pass wrote into its arguments"""
    for (name, old), new in zip(flatten(before).items(), flatten(after).values(), strict=True):
        if not np.array_equal(old, new, equal_nan=is_floating(old)):
            raise AssertionError(f"{readable(name, '')} was changed: a pass must not write into its arguments")


def malformed(name, got, leaf):
    """ "" or why this is no gradient of the leaf"""
    if not isinstance(got, np.ndarray | np.generic):
        return f"{readable(name)} must be an array, but is {described(got)}"
    for what, is_, must in (("shape", got.shape, leaf.shape), ("type", got.dtype, leaf.dtype)):
        if is_ != must:
            return f"{readable(name)} has the {what} {is_}; it must have that of its array, {must}"
    return ""


def differences(names, got, witness, setup, n, explain):
    """{name: sentence} for each wrong gradient; the sentence says so if two are exchanged"""
    want = {name: witness.gradient(name) for name in names}
    largest = max((abs(w.value).max(initial=0.0) for w in want.values()), default=0.0)
    wrong: dict[str, Any] = {}
    for name, w in want.items():
        eps = np.finfo(setup.floats[name].dtype).eps
        own = abs(w.value).max(initial=0.0)
        bound = n * eps * own + min(FLOOR * eps, 1e-2) * largest + w.error
        excess = np.maximum(w.low - got[name], got[name] - w.high)  # at a kink every slope between both sides is right
        if not (excess <= bound).all():
            wrong[name] = sentence(readable(name), got[name], w.value, bound)
    for name in wrong:
        twin = next((t for t in wrong if t != name and swapped(got, want, name, t)), None)
        exchanged = f"it is {readable(twin)}: the two are exchanged" if twin else ""
        hint = exchanged or explain(readable(name), got[name], want[name].value)
        wrong[name] += f"; {hint}" if hint else ""
    return wrong


def swapped(got, want, a, b):
    """Is each the gradient of the other?"""
    return got[a].shape == want[b].value.shape and all(
        np.allclose(got[p], want[q].value, rtol=1e-5, atol=1e-5 * abs(want[q].value).max(initial=1e-300))
        for p, q in ((a, b), (b, a))
    )


def sentence(name, got, want, bound):
    """dx[1, 2] is ..., but the gradient is ...: the worst entry"""
    error = abs(got - want)
    i = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    place = f"{name}[{', '.join(map(str, i))}]" if i else name
    found, right = got[i], want[i]
    return f"{place} is {found:.9g}, but the gradient is {right:.9g}: off by {error[i]:.1e}, allowed {bound:.1e}"


def readable(name, prefix="d"):
    """x.0 -> dx[0],  x.w -> dw,  params.weight -> grads.weight"""
    head, _, rest = name.partition(".")
    if head == "params":
        return f"grads.{rest}" if prefix else rest
    return f"{prefix}x[{rest}]" if rest.isdigit() else f"{prefix}{rest}"


def described(value):
    """A value of the wrong kind, in words"""
    if value is None:
        return "None (a return statement is missing)"
    if isinstance(value, tuple | list):
        return f"{len(value)} values ({', '.join(type(part).__name__ for part in value)})"
    return f"one {type(value).__name__}"

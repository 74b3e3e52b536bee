"""Calling conventions: adapts arguments and results to the way in which a submission wrote a published function."""

import functools
import inspect
import sys

import numpy as np

from .wire import is_tensor

DOUT = 4.0  # passed to the backward of a loss and divided out again: a backward that ignores it gives a quarter


def parameters(function):
    """{name: parameter}; empty if Python cannot read the signature"""
    try:
        return _parameters(function)
    except (TypeError, ValueError):
        return {}


@functools.lru_cache(maxsize=64)
def _parameters(function):
    return inspect.signature(function).parameters


def is_idiom(function):
    """Whether the function has the project's own form, f_backward(dout, cache)"""
    return list(parameters(function))[1:2] == ["cache"]


def takes(function, name):
    """Whether the function has this argument"""
    return name in parameters(function)


def called(function, published, arguments, options):
    """function(*arguments, **options) in the function's own convention

    Keyword-only parameters are passed by keyword. A parameter that only the function makes required gets the published
    default. `pad` and `bias` are left out if the function does not take them.
    """
    own = [p for p in parameters(function).values() if p.name not in options]
    if not own or any(p.kind == p.VAR_POSITIONAL for p in own):
        return function(*arguments, **options)
    places = [p for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = [p for p in own if p.kind == p.KEYWORD_ONLY]
    given = dict(zip(published["arguments"], arguments, strict=True))
    for name in ("pad", "bias"):
        if len(given) > len(own) and name not in {p.name for p in own}:
            given.pop(name, None)
    spare = {name: value for name, value in published["optional"].items() if name not in options}
    by_name = {p.name: given.pop(p.name) for p in keywords if p.name in given}
    by_name |= {p.name: spare[p.name] for p in keywords if p.name in spare and p.default is p.empty}
    values = list(given.values())
    unmet = [p.name for p in keywords if p.default is p.empty and p.name not in by_name]
    late = values[len(places) :][: len(unmet)]  # passed by keyword, under the function's own names
    by_name |= dict(zip(unmet, late, strict=False))
    values = values[: len(values) - len(late)]
    required = sum(p.default is p.empty for p in places)
    values += list(spare.values())[: max(0, required - len(values))]
    return function(*values, **by_name, **options)


def by_name(function, given, *first):
    """Calls function(*first, ...) with the inputs by keyword if it has their names, else in order"""
    if set(given) <= set(parameters(function)):
        return function(*first, **given)
    return function(*first, *given.values())


def halved(value):
    """Another input of the same shape: floats are halved"""
    return copied(value / 2 if value.dtype.kind in "fc" else value)


def shaped(dout):
    """A copy of a cotangent: arrays without axes become numbers, and a tuple is copied item by item"""
    return tuple(map(shaped, dout)) if isinstance(dout, tuple) else copied(dout)


def single(published, value):
    """(out, cache) becomes out; (dx, {"weight": dw, "bias": db}) becomes (dx, dw, db); one result alone is unpacked"""
    names, backward = published["results"], "backward" in published["name"]
    if isinstance(value, dict):
        value = (value,)
    if isinstance(value, tuple) and any(isinstance(item, dict) for item in value) and backward:
        flat: list[object] = []
        for item in value:
            flat += _by_name(item, names) if isinstance(item, dict) else [item]
        value = tuple(flat)
    if isinstance(value, tuple) and len(names) == 1 and (len(value) == 1 or not backward):
        return value[0] if value else None
    return value


def _by_name(grads, names):
    order = {name.removeprefix("d"): place for place, name in enumerate(names)}
    return [grads[key] for key in sorted(grads, key=lambda key: order.get(str(key).removeprefix("d"), len(order)))]


def unscaled(value):
    """Turns a gradient for dout = DOUT into the gradient for dout = 1"""
    if isinstance(value, tuple | list):
        return type(value)(map(unscaled, value))
    return value / DOUT if is_tensor(value) or isinstance(value, np.ndarray | np.generic | float) else value


def uses_torch(function):
    """Whether the function's own code names torch or one of its modules"""
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__code__"):
        kind = type(function)
        if any(base.__module__.startswith("torch") for base in kind.__mro__):
            return True
        function = getattr(function, "__wrapped__", None) or getattr(kind, "__call__", None)  # noqa: B004
    code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    found = {name for name in code.co_names if name in names} if code else set()
    modules = [str(getattr(names[n], "__name__", getattr(names[n], "__module__", ""))) for n in found]
    return any(module.startswith("torch") for module in modules)


def to_tensor(value, requires_grad):
    """An array as a tensor, which may require a gradient if it holds floats; a number stays a number"""
    torch = sys.modules["torch"]
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value.item() if isinstance(value, np.ndarray) else value
    tensor = torch.from_numpy(value.copy())
    return tensor.requires_grad_(requires_grad and value.dtype.kind == "f")


def copied(value, layout=""):
    """A copy of an array, or a number if it has no axes; "strided": every axis has gaps and the copy is read-only"""
    if not value.ndim:
        return value.item()
    if layout != "strided":
        return value.copy()
    wide = np.zeros([2 * size for size in value.shape[::-1]], value.dtype).T
    view = wide[tuple(slice(None, None, 2) for _ in value.shape)]
    view[...] = value
    view.flags.writeable = False
    return view


def same(before, after):
    """Whether an argument still has the value from before the call"""
    after = after.detach().numpy() if is_tensor(after) else np.asarray(after)
    return before.shape == after.shape and np.array_equal(before, after, equal_nan=before.dtype.kind == "f")


def gradient(value, given, cotangent):
    """Autograd's d <value, cotangent> / d x for every tensor x of floats in `given`"""
    torch = sys.modules["torch"]
    if not value.requires_grad:
        raise RuntimeError("autograd cannot see through it: detach(), .item() or NumPy cuts the graph")
    inputs = [tensor for tensor in given if is_tensor(tensor) and tensor.requires_grad]
    weighted = (value * torch.from_numpy(cotangent)).sum()
    return torch.autograd.grad(weighted, inputs, allow_unused=True)

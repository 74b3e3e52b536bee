"""check_backward for PyTorch: autograd's gradients against the complex step or differences of the forward pass."""

import copy

import numpy as np
import torch

from numpy_ref.check.backward import check_backward


def check_autograd_function(function, inputs, **options):
    """AssertionError unless F.backward is the gradient of F.forward at these inputs, which may be tensors or arrays

    function  a torch.autograd.Function
    inputs    the arguments of `apply` in order; only tensors and arrays of floats have a gradient

    The options are those of numpy_ref.check.backward.check_backward. Unlike torch.autograd.gradcheck, this check names
    the mistake, judges each gradient by its own size, and works in float32 as well.
    """
    given = {f"input{place}": to_array(value) for place, value in enumerate(inputs)}
    forward, backward = pair(lambda *tensors: function.apply(*tensors))
    check_backward(forward, backward, given, cache=False, **options)


def check_module(module, inputs, **options):
    """AssertionError unless autograd's gradients of module(*inputs) are right, for the inputs and every parameter

    A copy of the module runs in float64 and in evaluation mode, because dropout would make the forward pass random.
    """
    twin = copy.deepcopy(module).double().eval()
    values = tuple(to_array(value, double=True) for value in inputs)
    given = {f"input{place}": value for place, value in enumerate(values)}
    weights = {name: parameter.detach().numpy().copy() for name, parameter in twin.named_parameters()}

    def run(*tensors):
        state = dict(zip(weights, tensors[len(values) :], strict=True))
        return torch.func.functional_call(twin, state, tensors[: len(values)])

    forward, backward = pair(run)
    check_backward(forward, backward, given | weights, cache=False, **options)


def pair(function):
    """(forward, backward) of arrays from a function of tensors; backward uses autograd"""

    def forward(*arrays):
        with torch.no_grad():
            out = function(*map(to_tensor, arrays))
        return tuple(part.numpy() for part in out) if isinstance(out, tuple) else out.numpy()

    def backward(dout, *arrays):
        tensors = [to_tensor(array) for array in arrays]
        floats = [t.requires_grad_() for t in tensors if isinstance(t, torch.Tensor) and t.is_floating_point()]
        out = function(*tensors)
        several = isinstance(out, tuple)
        douts = [torch.from_numpy(np.asarray(d)) for d in (dout if several else (dout,))]
        found = torch.autograd.grad(out if several else (out,), floats, douts, allow_unused=True)
        return tuple(np.zeros(t.shape) if g is None else g.numpy() for t, g in zip(floats, found, strict=True))

    return forward, backward


def to_array(value, double=False):
    """A tensor as an array; `double` makes floats float64; any other value stays as it is"""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy().copy()
    return value.astype(float) if double and getattr(getattr(value, "dtype", None), "kind", "") == "f" else value


def to_tensor(value):
    """An array as a new tensor; any other value stays as it is"""
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value

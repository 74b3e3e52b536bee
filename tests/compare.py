"""Comparisons of two arrays in units of eps or in the last place. A tolerance is a claim, so none is hidden here."""

import mpmath
import numpy as np
import torch

from numpy_ref.gradient_check import is_floating
from numpy_ref.tree import flatten, tree_map, unflatten

LAYER = 20  # eps of the size of what a layer adds up, which each test states: 4.9 at most in 400 examples of each
MODEL = 100  # eps of the largest gradient entry: 36 at most in 800 models of 40,000 weights


def assert_agree(actual, desired, n, scale):
    """Same shape, same dtype, and max|actual - desired| <= n eps(dtype) scale"""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape, f"shape {actual.shape}, expected {desired.shape}"
    assert actual.dtype == desired.dtype, f"type {actual.dtype}, expected {desired.dtype}"
    error = abs(actual - desired).max(initial=0.0)
    bound = n * np.finfo(desired.dtype).eps * float(scale)
    assert error <= bound, f"off by {error:.2e} = {error / bound * n:.3g} eps of {float(scale):.3g}, allowed {n} eps"


def assert_trees_agree(actual, desired, n, scale):
    """assert_agree for each leaf of two trees with the same names"""
    actual, desired = flatten(actual), flatten(desired)
    assert actual.keys() == desired.keys()
    for name, leaf in desired.items():
        try:
            assert_agree(actual[name], leaf, n, scale)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def assert_bitwise(actual, desired):
    """Every leaf is the same, bit for bit; 0 and -0 count as equal"""
    actual, desired = flatten({"": actual}), flatten({"": desired})
    assert actual.keys() == desired.keys()
    for name, leaf in desired.items():
        np.testing.assert_array_equal(actual[name], leaf, err_msg=name, strict=True)


def largest(tree):
    """The size of the largest entry of a tree's leaves"""
    return max((float(abs(leaf).max(initial=0.0)) for leaf in flatten({"": tree}).values()), default=0.0)


def total(tree_a, tree_b):
    """(<a, b>, scale): the sum of products over all leaves, and the sum of their sizes, the scale of its rounding"""
    pairs = list(zip(flatten({"": tree_a}).values(), flatten({"": tree_b}).values(), strict=True))
    assert all(a.shape == b.shape for a, b in pairs), [(a.shape, b.shape) for a, b in pairs]
    products = [a * b for a, b in pairs]
    return sum(p.sum() for p in products), sum(abs(p).sum() for p in products)


def amplification(cache):
    """The largest rstd of the layer norms in a cache: triples (x̂, rstd, weight) with rstd (..., 1)"""
    found = 1.0
    if isinstance(cache, tuple | list):
        if len(cache) == 3 and isinstance(cache[1], np.ndarray) and cache[1].shape[-1:] == (1,):
            found = float(cache[1].max())
        return max(found, *(amplification(part) for part in cache), 1.0)
    return found


def autograd(twin, inputs, dout):
    """(out, gradients) of a PyTorch function of the keyword arguments `inputs`: the second witness

    The gradients come back as a tree of the floating leaves only, as the backward passes return them.
    """

    def to_tensor(leaf):
        return torch.tensor(leaf, requires_grad=is_floating(leaf)) if isinstance(leaf, np.ndarray) else leaf

    tensors = tree_map(to_tensor, inputs)
    out = twin(**tensors)
    wanted = {k: t for k, t in flatten(tensors).items() if isinstance(t, torch.Tensor) and t.requires_grad}
    grads = torch.autograd.grad(out, list(wanted.values()), torch.tensor(dout))
    return out.detach().numpy(), {name: grad.numpy() for name, grad in zip(wanted, grads, strict=True)}


def ulp_errors(actual, exact):
    """|actual - exact| in units of the last place of `exact`, a list of mpmath numbers, subnormals included

    An infinite or missing (nan) answer is inf ulp off, so that a maximum shows it.
    """
    limits = np.finfo(actual.dtype)
    smallest = limits.minexp - limits.nmant  # 2^-1074 in float64: the spacing of the subnormals
    errors = np.empty(len(exact))
    for i, (got, want) in enumerate(zip(actual.tolist(), exact, strict=True)):
        exponent = max(int(mpmath.frexp(want)[1]) - 1 - limits.nmant, smallest)
        errors[i] = abs(mpmath.mpf(got) - want) / mpmath.mpf(2) ** exponent if np.isfinite(got) else np.inf
    return errors


def assert_complex_step_agrees(f, inputs, grads, n, scale, rng, h=1e-20):
    """<gradient, v> = Im f(inputs + ihv) / h along a random v: the third witness of all entries in one forward pass

    `grads` has the names of the floating leaves of `inputs`. The roundings of many entries add up like a random walk:
    the scale grows with |v|.
    """
    floats = {name: leaf for name, leaf in flatten(inputs).items() if is_floating(leaf)}
    v = {name: rng.standard_normal(leaf.shape) for name, leaf in floats.items()}
    moved = unflatten({name: leaf + 1j * h * v[name] if name in v else leaf for name, leaf in flatten(inputs).items()})
    by_complex_step = f(moved).imag / h
    flat = flatten(grads)
    assert flat.keys() == floats.keys()
    by_hand = sum(float((flat[name] * v[name]).sum()) for name in v)
    eps = np.finfo(next(iter(floats.values())).dtype).eps
    bound = n * eps * scale * float(np.sqrt(sum((leaf * leaf).sum() for leaf in v.values())))
    error = abs(by_hand - by_complex_step)
    assert error <= bound, f"off by {error:.2e} along a random direction, allowed {bound:.2e}"

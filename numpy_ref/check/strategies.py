"""Inputs for gradient checks, drawn by Hypothesis: sizes that all differ, regimes mixed in one array, masks, lengths.

    @checks_backward(layer_norm, x=shape("B", "T", "C"), weight=shape("C"), bias=shape("C"))
    def layer_norm_backward(dout, cache): ...

A letter stands for one size throughout a call. No two letters have the same size, so a swapped axis crashes. Hypothesis
is imported when the first input is drawn.
"""

from typing import Any, NamedTuple

import numpy as np

REGIMES = 1.0, 1.0, 1.0, 8.0, 40.0  # the scales that are mixed in one array
SIZES = 2, 3, 4, 5, 6, 7


class Axes(NamedTuple):
    """An input with these axes; `kind` is floats, integers, mask or lengths

    below   for integers and lengths: their limit, the letter of a size or a number
    scales  for floats: each entry is multiplied by one of these
    """

    axes: tuple[str, ...]
    kind: str = "floats"
    below: Any = None
    scales: tuple[float, ...] = (1.0,)


def shape(*axes, regimes=False):
    """An array of floats; with `regimes`, ordinary numbers beside some that are 8 and 40 times larger"""
    return Axes(axes, scales=REGIMES if regimes else (1.0,))


def tokens(*axes, below):
    """Integers from 0 to below - 1, where `below` is a number or the letter of a size; they may repeat"""
    return Axes(axes, "integers", below)


def mask(*axes):
    """True and False, at least one True in every row"""
    return Axes(axes, "mask")


def lengths(axis, of):
    """For each entry of `axis` a length from 1 to the size of `of`"""
    return Axes((axis,), "lengths", of)


def sizes(letters):
    """{letter: size}, all different"""
    from hypothesis import strategies as st

    letters = sorted(letters)
    return st.permutations(SIZES[: max(len(letters) + 2, 4)]).map(lambda p: dict(zip(letters, p, strict=False)))


def inputs(specs, dtypes=("float64", "float32")):
    """{name: array} for {name: Axes or constant}; all floats have one dtype"""
    from hypothesis import strategies as st

    letters = {letter for spec in specs.values() if isinstance(spec, Axes) for letter in letters_of(spec)}
    drawn = st.tuples(sizes(letters), st.sampled_from(dtypes), st.integers(0, 2**32 - 1))
    return drawn.map(lambda t: {name: array(spec, *t, name) for name, spec in specs.items()})


def letters_of(spec):
    """Every letter that an input depends on"""
    return {letter for letter in (*spec.axes, spec.below) if isinstance(letter, str)}


def array(spec, size, dtype, seed, name):
    """The array that `spec` describes; a constant is returned as it is"""
    if not isinstance(spec, Axes):
        return spec
    rng = np.random.default_rng([seed, *name.encode()])
    dims = tuple(size.get(axis, axis) for axis in spec.axes)
    limit = size.get(spec.below, spec.below)
    if spec.kind == "integers":
        return rng.integers(0, limit, dims)
    if spec.kind == "lengths":
        return rng.integers(1, limit + 1, dims)
    if spec.kind == "mask":
        found = rng.random(dims) < 0.5
        found[..., 0] = True
        return found
    return (rng.standard_normal(dims) * rng.choice(spec.scales, dims)).astype(dtype)

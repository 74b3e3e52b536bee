"""What Hypothesis draws for the tests: margins by regime, sizes that all differ, arrays, batches of real shapes."""

from itertools import permutations
from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpy_ref.reward_model import init_params
from numpy_ref.tree import tree_map

# Where float64 changes its answers: σ(m) - 1 is 0 from 36.74 on, e^709.8 overflows, e^-745.2 is 0.
EDGES = [0.0, 36.7, 37.0, 709.0, 709.8, 745.0, 745.2, 1e300, 1.7e308]

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=max(10, settings.default.max_examples // 5))  # where an example takes half a second
dtypes = st.sampled_from([np.float32, np.float64])
finite = st.floats(allow_nan=False, allow_infinity=False)


def margins():
    """One reward margin: near 0, where people disagree; within 40; at an edge; anywhere in float64"""
    edges = st.sampled_from(EDGES + [-edge for edge in EDGES])
    return st.one_of(st.floats(-3, 3), st.floats(-40, 40), edges, st.floats(-1.7e308, 1.7e308))


def dyadic(largest=100):
    """Multiples of 1/8: adding and subtracting them rounds nothing, so that identities can be bitwise"""
    return st.integers(-8 * largest, 8 * largest).map(lambda eighths: eighths / 8)


class Sizes(NamedTuple):
    """B batch, T time, H heads, D head size, C = H·D channels, V vocabulary, O outputs: as in numpy_ref/layers.py"""

    B: int
    T: int
    H: int
    D: int
    C: int
    V: int
    O: int  # noqa: E741


def _all_sizes():
    for B, T, H, D in permutations(range(1, 6), 4):
        C = H * D
        rest = [size for size in range(2, 12) if size not in {B, T, H, D, C}]
        if C not in {1, 2, B, T, H, D} and C <= 10:  # over two channels layer norm is a sign, and its slope nearly 0
            yield Sizes(B, T, H, D, C, rest[-1], rest[-2])
    for B, T, C in permutations(range(2, 6), 3):
        if C > 2:
            yield Sizes(B, T, 1, C, C, 11, 10)


SIZES = sorted(_all_sizes(), key=lambda sizes: (sum(sizes), sizes))


def sizes():
    """All sizes differ (except C = D for one head), so that a swapped axis crashes; small sizes come first"""
    return st.sampled_from(SIZES)


def arrays(shape, dtype, largest=3):
    """An array of floats in [-largest, largest]: Hypothesis tries constants, repeats and subnormals by itself"""
    width = 8 * np.dtype(dtype).itemsize
    return hnp.arrays(dtype, shape, elements=st.floats(-largest, largest, width=width))


def normal(rng, dtype):
    """normal(*shape): random numbers of this dtype, because weights must not be 1 nor biases 0 in a test"""
    return lambda *shape: rng.standard_normal(shape).astype(dtype)


class Case(NamedTuple):
    """A small reward model with random weights everywhere, and a batch of B prompts with K responses each"""

    params: dict
    tokens: np.ndarray  # (B, K, T)
    length: np.ndarray  # (B, K)
    n_head: int
    rng: np.random.Generator
    origin: str

    def __repr__(self):
        """The call that makes it again, since a page of weights tells a reader nothing"""
        return self.origin


def make_case(B, K, T, H, C, V, n_layer, dtype, seed, gain=0.6):
    """Every weight is random, even those that start at 1 and 0: w = 1, b = 0 would hide a wrong layer norm backward

    Token V - 1 and the last position are always absent; lengths from 1 to T. A gain of 0.6 keeps signals near their
    size in the small models of `cases`.
    """
    rng = np.random.default_rng(seed)
    params = init_params(rng, V, T + 1, C, n_layer)
    params = tree_map(lambda leaf: (gain * rng.standard_normal(leaf.shape)).astype(dtype), params)
    tokens, length = rng.integers(0, V - 1, (B, K, T)), rng.integers(1, T + 1, (B, K))
    origin = f"make_case({B=}, {K=}, {T=}, {H=}, {C=}, {V=}, {n_layer=}, dtype=np.{np.dtype(dtype)}, {seed=}, {gain=})"
    return Case(params, tokens, length, H, rng, origin)


@st.composite
def cases(draw, K=2, n_layers=(1, 2), dtype=None, largest_C=10):
    """A reward model and a batch, drawn by sizes and seed: they shrink on the sizes"""
    s = draw(sizes().filter(lambda s: largest_C >= s.C))
    n_layer, dtype = draw(st.sampled_from(n_layers)), dtype or draw(dtypes)
    return make_case(s.B, K, s.T, s.H, s.C, s.V, n_layer, dtype, draw(seeds))

"""Derivatives without a backward: the complex step, else differences in long double, else in float64; finds kinks.

A witness shares no formula with the code under test. It says by how much it may itself be off.
"""

import warnings
from typing import NamedTuple

import numpy as np

from ..gradient_check import is_floating
from ..tree import flatten, tree_map

STEP = 1e-4  # step h of the stencil with four points; its own error h⁴ f⁽⁵⁾/30 is 3e-18 f⁽⁵⁾
KINK = 1e-4  # there is a kink if the slopes on both sides differ by more than this times the larger


class Gradient(NamedTuple):
    """A derivative, the lower and the higher of the slopes on both sides (equal without a kink), and its own error"""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: float


def stencil(f, h):
    """f'(0) ≈ (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h"""
    return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)


def slopes(f, x, v):
    """d f(x + t v)/dt at t = 0, for an f that returns an array: complex step where f is analytic, else differences"""
    near = stencil(lambda t: f(x + t * v), STEP)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            exact = np.asarray(f(x + 1e-20j * v)).imag / 1e-20
    except Exception:
        return near
    return exact if np.allclose(exact, near, rtol=1e-4, atol=1e-6 * abs(near).max(initial=1e-300)) else near


class Witness:
    """The derivative of a function from a tree to a number, entry by entry or along random directions"""

    def __init__(self, objective, inputs, names, rng):
        self.f, self.rng, self.names = objective, rng, names
        self.inputs = tree_map(lambda leaf: np.asarray(leaf, float) if is_floating(leaf) else leaf, inputs)
        self.leaves = flatten(self.inputs)
        directions = {name: rng.standard_normal(self.leaves[name].shape) for name in names}
        self.size = abs(float(self.f(self.inputs)))
        self.analytic = self.agrees(directions)
        self.long = not self.analytic and self.keeps_long_double()

    def at(self, moves, dtype):
        """f at the inputs plus moves[name], computed in `dtype`"""
        named = iter(self.leaves)  # in the order of tree_map

        def moved(leaf):
            name = next(named)
            return np.asarray(leaf, dtype) + moves.get(name, 0) if name in self.names else leaf

        return self.f(tree_map(moved, self.inputs))

    def complex_slope(self, directions):
        """Im f(x + ihv) / h"""
        return float(np.imag(self.at({n: 1e-20j * v for n, v in directions.items()}, complex)) / 1e-20)

    def agrees(self, directions):
        """Do complex step and differences agree along this direction?"""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                exact = self.complex_slope(directions)
        except Exception:  # f does not take complex numbers, or casts them to real ones
            return False
        near = self.real_slope(directions, float, 1e-5)
        return bool(abs(exact - near) <= 1e-4 * (abs(exact) + abs(near)) + 1e-9 * self.size)

    def real_slope(self, directions, dtype, h):
        """The four-point difference along a direction"""
        return float(stencil(lambda t: self.at({n: t * v for n, v in directions.items()}, dtype), dtype(h)))

    def keeps_long_double(self):
        """Does the function compute in long double when it is given long doubles?"""
        if np.finfo(np.longdouble).eps >= np.finfo(float).eps:
            return False
        try:
            return np.asarray(self.at({self.names[0]: np.longdouble(0)}, np.longdouble)).dtype == np.longdouble
        except Exception:
            return False

    def suspects(self, names, got, n):
        """The names whose gradients random projections do not confirm: ⟨g, v⟩ against the slope along v, for three v"""
        if not self.analytic:
            return names
        found = []
        for name in names:
            g = np.asarray(got[name], float)
            eps = np.finfo(got[name].dtype).eps
            for _ in range(3):
                v = self.rng.standard_normal(g.shape)
                if not abs((g * v).sum() - self.complex_slope({name: v})) <= n * eps * np.linalg.norm(g):
                    found.append(name)
                    break
        return found

    def gradient(self, name):
        """The Gradient of one leaf, entry by entry"""
        leaf = self.leaves[name]
        value, low, high = np.empty(leaf.shape), np.empty(leaf.shape), np.empty(leaf.shape)
        error = 0.0
        for i in np.ndindex(leaf.shape):
            unit = np.zeros(leaf.shape)
            unit[i] = 1.0
            if self.analytic:
                value[i] = low[i] = high[i] = self.complex_slope({name: unit})
            else:
                value[i], low[i], high[i], doubt = self.entry(name, unit, max(1.0, abs(leaf[i])))
                error = max(error, doubt)
        return Gradient(value, low, high, error)

    def entry(self, name, unit, scale):
        """(slope, the lower and the higher of the slopes on both sides, possible error) of one entry, by differences"""
        dtype = np.longdouble if self.long else float
        eps, h = float(np.finfo(dtype).eps), STEP * scale

        def f(t):
            return self.at({name: dtype(t) * unit}, dtype)

        def sides(h):
            return float((f(0) - f(-h)) / h), float((f(h) - f(0)) / h)

        slope = float(stencil(f, h))
        doubt = 100 * eps * (self.size + 1e-300) / h + 1e-9 * abs(slope)
        near = h / (100_000 if self.long else 100)
        left, right = sides(near)
        if abs(left - right) <= KINK * max(abs(left), abs(right), 1e-12):
            if abs(slope - (left + right) / 2) <= KINK * (abs(slope) + 1e-12):
                return slope, slope, slope, doubt
            slope = (left + right) / 2  # a kink nearby, inside the stencil but not at this point
            return slope, slope, slope, 1e-6 * abs(slope) + 1e4 * eps * self.size / h
        nearer = sides(near / 10)
        if abs(nearer[0] - nearer[1]) <= 0.1 * abs(left - right):  # curved, but without a kink
            return slope, slope, slope, doubt
        low, high = min(left, right), max(left, right)
        return (low + high) / 2, low, high, 1e-3 * abs(high - low) + doubt

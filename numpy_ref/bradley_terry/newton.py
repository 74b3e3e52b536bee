"""Newton's method for concave functions of many parameters, with two ways to find the step.

Conjugate gradients make no n × n array. Elimination makes one, and stays exact where they lose their digits.

The function is given by f(x) -> Terms. A = -H is minus the matrix of second derivatives, so A is positive.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

LONGEST = 4.0  # a step in log-odds over which the curvature σ (1 - σ) changes at most e⁴ times
SHORT = 1e-3  # a step over which the curvature is all but constant, so that δ measures the distance


class Terms(NamedTuple):
    """A function at one point: its value, its gradient, v -> A v, and the diagonal of A"""

    value: float
    gradient: np.ndarray  # (n,)
    multiply: Callable
    diagonal: np.ndarray  # (n,)


def unchanged(vector):
    """The projection that changes nothing"""
    return vector


def conjugate_gradients(multiply, precondition, b, tolerance, project=unchanged):
    """x with |b - A x| ≤ tolerance |b|  in the norm |r|² = r' M⁻¹ r,  A = Aᵀ ≥ 0        (n,) -> (n,)

    precondition    r -> M⁻¹ r, where M is like A but easier to invert; the simplest M is A's diagonal
    project         removes from a vector the part that A cannot produce: for Bradley-Terry a common shift

    The search ends if A is singular along the direction q, q' A q ≤ 0; otherwise the last step would divide 0 by 0.

    Source: Nocedal & Wright 2006, algorithm 5.3.
    """
    x, residual = np.zeros_like(b), b
    direction = precondition(residual)
    size = residual @ direction
    target = tolerance * tolerance * size
    for _ in range(10 * len(b) + 100):
        image = multiply(direction)
        curvature = direction @ image
        if size <= target or curvature <= 0:
            break
        x = x + (size / curvature) * direction
        residual = project(residual - (size / curvature) * image)
        z = precondition(residual)
        size, previous = residual @ z, size
        direction = z + (size / previous) * direction
    return x


def jacobi(x, here):  # noqa: ARG001
    """The Jacobi (diagonal) preconditioner: r -> r / diagonal of A"""
    return lambda r: r / here.diagonal


def iterative(tolerance, project=unchanged, preconditioner=jacobi):
    """The step A⁻¹ g by conjugate gradients: no n × n array        -> solve(x, here)

    Nearer the maximum a step is solved more exactly, so that each step doubles the number of correct digits.
    """

    def solve(x, here):
        precondition = preconditioner(x, here)
        size = math.sqrt(max(here.gradient @ precondition(here.gradient), 0))
        exactness = max(size / math.sqrt(here.diagonal.sum()), tolerance / (size + tolerance))
        return conjugate_gradients(here.multiply, precondition, here.gradient, min(exactness, 0.1), project)

    return solve


def direct(information, held=None):
    """The step A⁻¹ g by elimination: accurate even if A's entries differ widely        -> solve(x, here)

    information     x -> A as a square array; each parameter is measured in units that make A's diagonal 1
    held            a parameter that does not move: for Bradley-Terry an item, because only differences count
    """

    def solve(x, here):
        free, step = np.arange(len(x)) != held, np.zeros(len(x))
        unit = 1 / np.sqrt(here.diagonal[free])
        scaled = information(x)[np.ix_(free, free)] * unit[:, None] * unit
        try:
            step[free] = unit * np.linalg.solve(scaled, unit * here.gradient[free])
        except np.linalg.LinAlgError:
            step[:] = math.nan
        return step

    return solve


def newton(f, x, tolerance, max_iterations=100, solve=None, limit=unchanged, inside=None):
    """x ← x + t A⁻¹ g,  t = 1, ½, ¼, ... the first that climbs, until δ = √(g' A⁻¹ g) ≤ tolerance

    δ is the Newton decrement, the distance to the maximum in units of the standard errors; the maximum is δ²/2 above.
    If no maximum exists, δ tends to 0 but the steps stay long; convergence therefore also requires a short step.
    δ cannot fall below the rounding of the gradient, which grows with the data like √(trace of A). If A is nearly
    singular, the rounding is larger still; then a gradient that is 0 up to rounding is enough.

    If A is nearly singular, the computed step may not be A⁻¹ g, and δ comes out too small. Therefore at least
    |g_i| / √A_ii is taken.

    solve       (x, f(x)) -> step; conjugate gradients if left out
    limit       step -> a shorter one, if the curvature changes too much along the step
    inside      x -> whether f is defined there, if it is not defined everywhere

    Returns x, its certificate (a dict), and f(x).  Source: Boyd & Vandenberghe 2004, section 9.5.
    """
    here, solve = f(x), solve or iterative(tolerance)
    for iteration in range(max_iterations + 1):
        converged, decrement = False, math.inf
        if not (here.diagonal > 0).all():  # underflow, far out: f is flat in some direction
            break
        with np.errstate(over="ignore", invalid="ignore"):  # far out as well
            step = solve(x, here)
            at_least = (abs(here.gradient) / np.sqrt(here.diagonal)).max()  # bounds δ, by Cauchy-Schwarz
            decrement = max(math.sqrt(max(here.gradient @ step, 0)), float(at_least))
        unit = 4 * np.finfo(x.dtype).eps * (1 + abs(x).max())  # rounding of x: that of g is at most unit · diagonal
        exact = (abs(here.gradient) <= unit * here.diagonal).all()
        arrived = exact or (
            math.isfinite(decrement) and decrement <= max(tolerance, unit * math.sqrt(here.diagonal.sum()))
        )
        converged = arrived and abs(step).max() <= max(SHORT, math.sqrt(tolerance))
        if converged or iteration == max_iterations or not np.isfinite(step).all():
            break
        x, here = climb(f, x, here, limit(step), inside)
    certificate = {
        "converged": bool(converged),
        "iterations": iteration,
        "gradient_norm": float(np.linalg.norm(here.gradient)),
        "decrement": decrement,
    }
    return x, certificate, here


def climb(f, x, here, step, inside=None):
    """The first of x + step, x + step/2, x + step/4, ... where f is no lower, and f there"""
    lowest = here.value - 1e-13 * abs(here.value)  # a sum of many terms has that much rounding
    while not ((inside is None or inside(x + step)) and (there := f(x + step)).value >= lowest):
        step = step / 2
    return x + step, there

"""Newton's method for concave functions of many parameters; conjugate gradients find the step: no n × n array.

The function is given by what can be asked of it: `f(x)` returns its value, its gradient, a function v -> A v and the
diagonal of A, where A = -H is minus the matrix of second derivatives (H is negative, A positive).
"""

import math

import numpy as np

LONGEST = 4.0  # a step in log-odds over which the curvature σ (1 - σ) changes at most e⁴ times


def conjugate_gradients(multiply, precondition, b, tolerance, project):
    """x with |b - A x| ≤ tolerance |b|  in the norm |r|² = r' M⁻¹ r,  A = Aᵀ ≥ 0        (n,) -> (n,)

    precondition    r -> M⁻¹ r, M being like A but easily solved; its diagonal is the simplest
    project         takes out of a vector what A cannot produce: for Bradley-Terry a common shift
    The test q' A q > 0 ends the search where A has nothing left to say; without it the last step divides 0 by 0.

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


def diagonal_of(x, here):  # noqa: ARG001
    """The preconditioner that needs no thought: r -> r / diagonal of A"""
    return lambda r: r / here[3]


def newton(
    f, x, tolerance, max_iterations=100, project=lambda r: r, inside=None, length=None, preconditioner=diagonal_of
):
    """x ← x + t A⁻¹ g,  t = 1, ½, ¼, ... the first that climbs, until δ = √(g' A⁻¹ g) ≤ tolerance

    δ is the Newton decrement, the distance to the maximum in units of the standard errors; the maximum is δ²/2 nats
    above. A step is solved the more exactly the nearer the maximum is, so that the number of right digits doubles.
    Where there is no maximum δ fades while the step keeps its length: `converged` asks for a short step as well.

    Where x is so large that its own rounding moves f by more than the tolerance asks, that is near enough.

    inside              tells whether f is defined at a point, where it is not everywhere
    length              of a step; one longer than LONGEST is cut to it, for out there the curvature is another
    preconditioner      (x, f(x)) -> the `precondition` of conjugate_gradients
    Returns x, its certificate (a dict), and f(x).  Source: Boyd & Vandenberghe 2004, section 9.5.
    """
    here = f(x)
    for iteration in range(max_iterations + 1):
        value, gradient, multiply, diagonal = here
        if not (diagonal > 0).all():  # underflow, far out: f is flat in some direction
            converged, decrement = False, math.inf
            break
        precondition = preconditioner(x, here)
        size = math.sqrt(max(gradient @ precondition(gradient), 0))
        exactness = max(size / math.sqrt(diagonal.sum()), tolerance / (size + tolerance))
        with np.errstate(over="ignore", invalid="ignore"):  # far out as well
            step = conjugate_gradients(multiply, precondition, gradient, min(exactness, 0.1), project)
            decrement = math.sqrt(max(gradient @ step, 0))
        rounding = np.finfo(x.dtype).eps * abs(x).max() * math.sqrt(diagonal.sum())
        converged = decrement <= max(tolerance, rounding) and abs(step).max() <= math.sqrt(tolerance)
        if converged or iteration == max_iterations or not np.isfinite(step).all():
            break
        if length is not None:
            step = step * min(1, LONGEST / length(step)) if step.any() else step
        lowest = value - 1e-13 * abs(value)  # what rounding may take from a sum of many terms
        while not ((inside is None or inside(x + step)) and (there := f(x + step))[0] >= lowest):
            step = step / 2
        x, here = x + step, there
    certificate = {
        "converged": bool(converged),
        "iterations": iteration,
        "gradient_norm": float(np.linalg.norm(gradient)),
        "decrement": decrement,
    }
    return x, certificate, here

"""Bradley-Terry for tables: strengths of items from who beat whom how often.

The same loss and the same two gradients as the reward model's, with one parameter for each item instead of a network:

    P(i beats j) = σ(d),  d = λ_i - λ_j + h        λ strength, e^λ worth, h the advantage if i is at home
    l = Σ wins log σ(d) + losses log σ(-d)         over the rows of Pairs: all games of one pair
    dl/dd = wins σ(-d) - losses σ(d)
    d²l/dd² = -(wins + losses) σ(d) σ(-d)

Models of ties replace the second to fourth line (outcomes.py). Only differences count: strengths are given with mean
0. The ridge is a normal prior of mean 0 and variance 1/ridge on every strength: it subtracts ridge/2 Σ λ² from l.

Sources: Zermelo 1929; Bradley & Terry 1952.
"""

import math
from functools import partial

import numpy as np

from ..errors import InputError
from .effects import unbounded_effect
from .existence import NO_CIRCLE, groups_of
from .fitted import with_estimate, without_estimate
from .newton import LONGEST, Terms, direct, iterative, jacobi, newton, unchanged
from .outcomes import TIE_MODELS, decided, resolve_ties, tied
from .small_tables import guess, is_small, maximum_of_table
from .spanning_tree import tree_preconditioner
from .win_counts import blocks, difference, difference_backward, total_per_item, without_shift, won_and_lost

LARGEST_RIDGE = 1e100  # here every strength is already 0 but for rounding
DENSE_ITEMS = 3000  # a square array for so many items takes 72 MB


def row_terms(x, pairs, home, model):
    """l of each row and its derivatives at x = (λ, h if home, tie parameter if a model of ties)        -> RowTerms"""
    d = difference(x[: pairs.n_items], pairs)
    if home:
        d = d + x[pairs.n_items] * pairs.at_home
    return (
        tied(d, pairs.wins, pairs.ties, pairs.losses, model, x[-1]) if model else decided(d, pairs.wins, pairs.losses)
    )


def likelihood_terms(x, pairs, home=False, model=None):
    """l at x, its gradient g, v -> A v and the diagonal of A = -H        -> Terms

    A change v moves a row by dv = v_first - v_second (+ v_h). With c, the row's curvature, (A v)_i is Σ c dv where i is
    first, less Σ c dv where i is second: A is the Laplacian of the graph of games, each edge weighted by c.
    """
    rows, n = row_terms(x, pairs, home, model), pairs.n_items

    def per_parameter(of_items, of_home, of_tie):
        return np.concatenate([of_items, [of_home] * home, [of_tie] * bool(model)])

    def multiply(v):
        dv = difference(v[:n], pairs) + (v[n] * pairs.at_home if home else 0)
        dslope = rows.curvature * dv + (rows.cross * v[-1] if model else 0)
        of_tie = (rows.cross * dv).sum() + rows.tie_curvature * v[-1] if model else 0
        return per_parameter(difference_backward(dslope, pairs), pairs.at_home @ dslope, of_tie)

    gradient = difference_backward(rows.slope, pairs), pairs.at_home @ rows.slope, rows.tie_slope
    diagonal = total_per_item(rows.curvature, pairs), pairs.at_home @ rows.curvature, rows.tie_curvature
    return Terms(rows.value, per_parameter(*gradient), multiply, per_parameter(*diagonal))


def information(x, pairs, home=False, model=None):
    """A = -H as a square array, for tables of moderate size        -> (N + extra, N + extra)"""
    rows, n = row_terms(x, pairs, home, model), pairs.n_items
    a = np.empty((n + home + bool(model),) * 2)
    graph = np.bincount(pairs.first * n + pairs.second, rows.curvature, n * n).reshape(n, n)
    a[:n, :n] = -graph - graph.T
    a[np.arange(n), np.arange(n)] = total_per_item(rows.curvature, pairs)
    if home:
        at_home = pairs.at_home * rows.curvature
        a[:n, n] = a[n, :n] = difference_backward(at_home, pairs)
        a[n, n] = at_home.sum()
    if model:
        a[:n, -1] = a[-1, :n] = difference_backward(rows.cross, pairs)
        if home:
            a[n, -1] = a[-1, n] = pairs.at_home @ rows.cross
        a[-1, -1] = rows.tie_curvature
    return a


def penalised(x, parts, home=False, model=None, ridge=0.0):
    """likelihood_terms summed over parts of the rows, less ridge/2 Σ λ²"""
    terms, n = [likelihood_terms(x, part, home, model) for part in parts], parts[0].n_items
    weight = np.where(np.arange(len(x)) < n, ridge, 0)  # (N + extra,): only strengths have a prior
    return Terms(
        sum(t.value for t in terms) - weight @ (x * x) / 2,
        sum(t.gradient for t in terms) - weight * x,
        lambda v: sum(t.multiply(v) for t in terms) + weight * v,
        sum(t.diagonal for t in terms) + weight,
    )


def first_guess(pairs, home, model):
    """`guess`, h = 0, and the tie parameter as if all items were equal        -> (N + extra,)"""
    strength = np.append(guess(*won_and_lost(pairs)), [0.0] * home)
    if not model:
        return strength
    share = pairs.ties.sum() / (pairs.wins + pairs.ties + pairs.losses).sum()
    return np.append(strength, math.log(TIE_MODELS[model].at_equality(min(share, 0.99))))


def fit(pairs, home=False, ties="davidson", ridge=0.0, tolerance=1e-12, max_iterations=100):
    """The strengths of greatest likelihood, by Newton's method -> Fit

    home        estimates an advantage of the item that is at home
    ties        "davidson" or "rao-kupper" model them, "half" gives half a win to each side, "drop" leaves them out
    ridge       1 / variance of a normal prior on the strengths; 0 is no prior
    tolerance   on the Newton decrement: how far, in standard errors, the result may be from the maximum

    If no estimate exists, the numbers are NaN and `problem` says why. Raises InputError for a wrong option.
    """
    if not (isinstance(ridge, (int, float, np.number)) and 0 <= ridge <= LARGEST_RIDGE):
        raise InputError(f"ridge={ridge!r}: expected a number from 0 to {LARGEST_RIDGE:g} (1 / variance of the prior)")
    rows, model = resolve_ties(pairs, ties)
    groups = groups_of(rows)
    asked = {"pairs": pairs, "rows": rows, "ties": ties, "model": model, "ridge": ridge, "groups": groups}
    problem = NO_CIRCLE if len(groups) > 1 and not ridge else unbounded_effect(rows, home, model, ridge)
    if problem:
        return without_estimate(problem, home, **asked)
    total = float((rows.wins + rows.ties + rows.losses).sum())  # small weights have large standard errors
    x, certificate, value = maximum(rows, home, model, ridge, tolerance * min(1, math.sqrt(total)), max_iterations)
    return with_estimate(x, certificate, value, home, **asked)


def maximum(rows, home, model, ridge, tolerance, max_iterations):
    """x = (λ, h if home, tie parameter if modelled) of greatest (penalised) likelihood, its certificate, and l there"""
    n, m = rows.n_items, len(rows.first)
    if not (home or model) and is_small(n, m):
        found = maximum_of_table(rows, ridge, tolerance, max_iterations)
        if found[1]["converged"]:
            return found
    parts, start = list(blocks(rows)), first_guess(rows, home, model)

    def limit(step):
        longest = 2 * abs(step).max()
        if longest > LONGEST:
            longest = max(abs(step[n:]).max(initial=0), *(abs(difference(step[:n], part)).max() for part in parts))
        return step * min(1, LONGEST / longest) if longest else step

    tree = None if ridge else tree_preconditioner(rows, lambda x, edges: row_terms(x, edges, home, model).curvature)
    start[:n] *= tree is None  # in a chain items meet few others, and wins say little about strength
    inside = (lambda x: x[-1] > 0) if model == "rao-kupper" else None
    f = partial(penalised, parts=parts, home=home, model=model, ridge=ridge)
    solve = iterative(tolerance, unchanged if ridge else partial(without_shift, n), tree or jacobi)
    x, certificate, here = newton(f, start, tolerance, max_iterations, solve, limit, inside)
    if not certificate["converged"] and n <= DENSE_ITEMS:
        held = None if ridge else np.argmax(total_per_item(rows.wins + rows.ties + rows.losses, rows))
        solve = direct(lambda x: information(x, rows, home, model) + np.diag(ridge * (np.arange(len(x)) < n)), held)
        # Along a nearly flat parameter the rounding of the gradient exceeds 1e-12 standard errors.
        x, certificate, here = newton(f, x, 100 * tolerance, max_iterations, solve, limit, inside)
    return x, certificate, here.value + ridge / 2 * (x[:n] @ x[:n])

"""Bradley-Terry for tables: strengths of items from who beat whom how often.

The same loss and the same two gradients as the reward model's, with one parameter per item in the place of a network:

    P(i beats j) = σ(d),  d = λ_i - λ_j + h        λ strength, e^λ worth, h the advantage of being at home
    l = Σ wins log σ(d) + losses log σ(-d)         over the rows of Pairs: all games of one pair
    dl/dd = wins σ(-d) - losses σ(d)
    d²l/dd² = -(wins + losses) σ(d) σ(-d)

Ties have a room of their own (numpy_ref/ties.py). Only differences count: strengths are given with mean 0. The ridge
is a normal prior of mean 0 and variance 1/ridge on every strength: it takes ridge/2 Σ λ² from l.

Sources: Zermelo 1929; Bradley & Terry 1952; Hunter 2004, Ann. Statist. 32, 384-406 (MM).
"""

import math
from typing import NamedTuple

import numpy as np

from .. import ties as tie_models
from ..errors import InputError
from ..losses import sigmoid
from .existence import groups_of
from .newton import LONGEST, conjugate_gradients, diagonal_of, newton
from .spanning_tree import solve_tree, spanning_tree
from .win_counts import Pairs, blocks, difference, difference_backward, pairs_of_rows, total_per_item, won_and_lost

TIES = ("dropped", "halved", "davidson", "rao-kupper")


def decided(d, wins, losses):
    """l = Σ wins log σ(d) + losses log σ(-d),  dl/dd and -d²l/dd² of each row        (M,) -> (), (M,), (M,)

    All from e^-|d|: σ(-|d|) = e^-|d| / (1 + e^-|d|) is the chance of an upset and keeps its digits.
    """
    e = np.exp(-np.abs(d))
    upset = e / (1 + e)
    games, first_is_weaker = wins + losses, np.signbit(d)
    upsets = np.where(first_is_weaker, wins, losses)
    value = -(games * np.log1p(e) + upsets * np.abs(d)).sum()
    slope = games * upset - upsets
    return value, np.where(first_is_weaker, -slope, slope), games * upset * (1 - upset)


def tied(d, wins, ties, losses, model, tie):
    """decided for a model of ties: besides its three, dl/dtie and the curvatures -d²l/dd dtie and -d²l/dtie²"""
    counts = np.stack([wins, ties, losses], -1)  # (M, 3)
    name = model.replace("-", "_")
    log_p, cache = getattr(tie_models, name)(d, tie)
    slope, tie_slope = getattr(tie_models, name + "_backward")(counts, cache)
    dd, cross, tie_twice = getattr(tie_models, name + "_hessian")(counts, cache)
    return (counts * log_p).sum(), slope, -dd, tie_slope, -cross, -tie_twice


def row_terms(x, pairs, home, model):
    """tied or decided at x = (λ, h if home, tie parameter if a model of ties)"""
    d = difference(x[: pairs.n_items], pairs) + (x[pairs.n_items] if home else 0)
    if model:
        return tied(d, pairs.wins, pairs.ties, pairs.losses, model, x[-1])
    return *decided(d, pairs.wins, pairs.losses), 0.0, 0.0, 0.0


def look(x, pairs, home=False, model=None):
    """l at x, its gradient g, v -> A v and the diagonal of A = -H

    A change v moves a row by dv = v_first - v_second (+ v_h). With c, the row's curvature, (A v)_i is Σ c dv where i is
    first, less Σ c dv where i is second: A is the Laplacian of the graph of games, each edge weighted by c.
    """
    value, slope, curvature, tie_slope, cross, tie_curvature = row_terms(x, pairs, home, model)
    n = pairs.n_items

    def per_parameter(of_items, of_rows, of_tie):
        return np.concatenate([of_items, [of_rows.sum()] * home, [of_tie] * bool(model)])

    def multiply(v):
        dv = difference(v[:n], pairs) + (v[n] if home else 0)
        dslope = curvature * dv + cross * v[-1] if model else curvature * dv
        return per_parameter(difference_backward(dslope, pairs), dslope, (cross * dv).sum() + tie_curvature * v[-1])

    gradient = per_parameter(difference_backward(slope, pairs), slope, tie_slope)
    return value, gradient, multiply, per_parameter(total_per_item(curvature, pairs), curvature, tie_curvature)


def information(x, pairs, home=False, model=None):
    """A = -H as a square array, for tables of moderate size        -> (N + extra, N + extra)"""
    _, _, curvature, _, cross, tie_curvature = row_terms(x, pairs, home, model)
    n, size = pairs.n_items, len(x)
    a = np.empty((size, size))  # every place is written below
    graph = np.bincount(pairs.first * n + pairs.second, curvature, n * n).reshape(n, n)
    a[:n, :n] = np.diag(total_per_item(curvature, pairs)) - graph - graph.T
    if home:
        a[:n, n] = a[n, :n] = difference_backward(curvature, pairs)
        a[n, n] = curvature.sum()
    if model:
        a[:n, -1] = a[-1, :n] = difference_backward(cross, pairs)
        if home:
            a[n, -1] = a[-1, n] = cross.sum()
        a[-1, -1] = tie_curvature
    return a


def penalised(x, parts, home=False, model=None, ridge=0.0):
    """look over all parts of the rows together, with ridge/2 Σ λ² taken from l"""
    values, gradients, multiplies, diagonals = zip(*(look(x, part, home, model) for part in parts), strict=True)
    n = parts[0].n_items
    weight = np.where(np.arange(len(x)) < n, ridge, 0)  # (N + extra,): only strengths have a prior

    def multiply(v):
        return sum(f(v) for f in multiplies) + weight * v

    return sum(values) - weight @ (x * x) / 2, sum(gradients) - weight * x, multiply, sum(diagonals) + weight


def settle(pairs, ties):
    """Pairs without the ties that are not modelled, and the model of the others: "davidson", "rao-kupper" or None"""
    if ties not in TIES:
        raise InputError(f"ties={ties!r}: expected one of {', '.join(TIES)}")
    if ties in ("davidson", "rao-kupper"):
        return pairs, ties if pairs.ties.any() else None  # without a tie the estimate is ν = 0, θ = 1: no ties at all
    half = pairs.ties / 2 if ties == "halved" else 0
    rows = (pairs.first, pairs.second, pairs.wins + half, pairs.losses + half)
    return (pairs_of_rows(*rows, n_items=pairs.n_items, ordered=True) if pairs.ties.any() else pairs), None


class Fit(NamedTuple):
    """Strengths with their certificate. Where there is no estimate every number is NaN and `problem` says why"""

    pairs: Pairs
    ties: str  # as asked for
    model: str | None  # of ties, where there are any
    ridge: float
    strength: np.ndarray  # (N,), mean 0
    home: float | None
    tie: float | None  # log ν or log θ
    log_likelihood: float
    deviance: float
    degrees_of_freedom: int
    converged: bool
    iterations: int
    gradient_norm: float
    decrement: float
    groups: list
    problem: str | None


def first_guess(pairs, home, model):
    """λ ≈ log(won / lost) / √(1 - 0.39 var), h = 0, the tie parameter of equal items        -> (N + extra,)

    The root undoes what averaging over opponents of unequal strength takes from the log-odds.
    """
    won, lost = won_and_lost(pairs)
    log_odds = np.log((won + 0.5) / (lost + 0.5))
    log_odds = (log_odds - log_odds.mean()) / math.sqrt(max(0.2, 1 - 0.39 * log_odds.var()))
    share = pairs.ties.sum() / (pairs.wins + pairs.ties + pairs.losses).sum() if model else 0
    share = min(share, 0.99)
    tie = {None: [], "davidson": [2 * share / (1 - share)], "rao-kupper": [(1 + share) / (1 - share)]}[model]
    return np.concatenate([log_odds, [0.0] * home, np.log(tie)])


def fit(pairs, home=False, ties="davidson", ridge=0.0, tolerance=1e-12, max_iterations=50):
    """The strengths of greatest likelihood, by Newton's method on the rows -> Fit

    home        estimates an advantage of the item that stands first
    ties        "davidson" or "rao-kupper" model them, "halved" gives half a win to each side, "dropped" leaves them out
    ridge       1 / variance of a normal prior on the strengths; 0, no prior, needs Ford's condition
    tolerance   on the Newton decrement: how far, in standard errors, the result may be from the maximum
    """
    if not (math.isfinite(ridge) and ridge >= 0):
        raise InputError(f"ridge={ridge}: expected a number that is not negative (1 / variance of the prior)")
    rows, model = settle(pairs, ties)
    parts, n, groups = list(blocks(rows)), pairs.n_items, groups_of(rows)
    asked = {"pairs": pairs, "ties": ties, "model": model, "ridge": ridge, "groups": groups}
    if len(groups) > 1 and ridge == 0:
        return without_estimate(home, NO_CIRCLE, **asked)
    if home and ridge == 0 and not home_is_told_apart(rows):
        return without_estimate(
            home, "the home effect cannot be told from the strengths: let pairs meet both ways", **asked
        )

    def f(x):
        return penalised(x, parts, home, model, ridge)

    def without_shift(r):  # a ridge holds the strengths in place, and its system must be solved as it stands
        return r if ridge else np.concatenate([r[:n] - r[:n].mean(), r[n:]])

    def inside(x):
        return model != "rao-kupper" or x[-1] > 0

    def length(step):
        at_most = 2 * abs(step).max()
        return at_most if at_most <= LONGEST else max(abs(difference(step[:n], part)).max() for part in parts)

    start = first_guess(rows, home, model)
    preconditioner = diagonal_of if ridge else choose_preconditioner(rows, home, model)
    if preconditioner is not diagonal_of:
        start[:n] = 0  # in a chain opponents are no sample of all: their wins say little about strength
    x, certificate, here = newton(f, start, tolerance, max_iterations, without_shift, inside, length, preconditioner)
    certificate["converged"] &= len(x) == n or is_bounded(x, rows, home, model)
    return finish(x, certificate, here[0] + ridge / 2 * (x[:n] @ x[:n]), rows, home, **asked)


def choose_preconditioner(pairs, home, model):
    """A spanning tree where there are hardly more rows than a tree has, and the diagonal elsewhere"""
    n, rows = pairs.n_items, len(pairs.first)
    tree = rows <= 2 * n and spanning_tree(pairs.first, pairs.second, pairs.wins + pairs.ties + pairs.losses, n)
    if not tree:
        return diagonal_of
    edges = pairs._replace(**{name: getattr(pairs, name)[tree.rows] for name in Pairs._fields[1:6]})
    edges = edges._replace(starts=np.arange(n - 1), leading=edges.first, lengths=np.ones(n - 1, int))

    def of_tree(x, here):
        conductance, diagonal = row_terms(x, edges, home, model)[2], here[3]
        conductance = np.maximum(conductance, 1e-30)  # far out it may underflow
        return lambda r: np.concatenate([solve_tree(tree, conductance, r[:n]), r[n:] / diagonal[n:]])

    return of_tree


def is_bounded(x, rows, home, model):
    """Whether a home or tie effect has an estimate: no outcome of any row has become impossible, P > e⁻²⁰

    Ford's condition speaks of strengths alone. Where an effect runs off, Newton follows until losses are 0 to the last
    bit and looks as if it had arrived: by then some outcome's probability is far below what any table can tell. (A true
    estimate beyond e⁻²⁰ is refused as well: better no number than one that may be none.)
    """
    d = difference(x[: rows.n_items], rows) + (x[rows.n_items] if home else 0)
    if not model:
        return bool(abs(d).max() < 20)
    log_p, _ = getattr(tie_models, model.replace("-", "_"))(d, x[-1])
    return bool(log_p.min() > -20)


def mm_step(strength, pairs):
    """log(won_i / expected_i),  expected_i = Σ games σ(λ_i - λ_j)        (N,) -> (N,)"""
    won, _ = won_and_lost(pairs)
    games, p = pairs.wins + pairs.losses, sigmoid(difference(strength, pairs))
    expected = (total_per_item(games, pairs) + difference_backward(games * (2 * p - 1), pairs)) / 2
    return np.log(won / expected)


def fit_mm(pairs, ties="halved", tolerance=1e-6, max_iterations=100_000):
    """λ ← λ + log(won / expected), until every item is expected to win as often as it did -> Fit

    Hunter 2004, eq. 3, on the log scale: every step climbs, no step length to choose, nothing can overflow. It takes
    hundreds of steps where Newton takes five. Ties are halved or dropped.
    """
    if ties not in ("halved", "dropped"):
        raise InputError(f"ties={ties!r}: fit_mm can only halve or drop ties; use fit for a model of ties")
    rows, _ = settle(pairs, ties)
    groups = groups_of(rows)
    asked = {"pairs": pairs, "ties": ties, "model": None, "ridge": 0.0, "groups": groups}
    if len(groups) > 1:
        return without_estimate(False, NO_CIRCLE, **asked)
    strength = np.zeros(pairs.n_items)
    for iteration in range(1, max_iterations + 1):
        step = mm_step(strength, rows)
        strength = strength + step
        if iteration % 100 == 0 or abs(step).max() <= tolerance / 100:
            x, certificate, here = newton(
                lambda x: look(x, rows), strength - strength.mean(), tolerance, 0, lambda r: r - r.mean()
            )
            if certificate["converged"]:
                break
    return finish(x, certificate | {"iterations": iteration}, here[0], rows, False, **asked)


def home_is_told_apart(pairs):
    """Whether no strengths v give v_first - v_second = 1 in every row, which only a home effect should do

    What they leave of it is |1 - D v|² at its least, D the difference, by the normal equations D'D v = D'1.
    """
    everywhere = np.ones(len(pairs.first))
    b, degree = difference_backward(everywhere, pairs), total_per_item(everywhere, pairs)
    v = conjugate_gradients(
        lambda v: difference_backward(difference(v, pairs), pairs),
        lambda r: r / degree,
        b,
        1e-8,
        lambda r: r - r.mean(),
    )
    return ((everywhere - difference(v, pairs)) ** 2).sum() > 1e-9 * len(everywhere)


NO_CIRCLE = "no estimate exists: the items are not held together by wins in both directions (Ford's condition)"


def finish(x, certificate, value, rows, home, **asked):
    """Fit from the parameters; without a certificate no numbers"""
    if not certificate["converged"]:
        problem = (
            f"no maximum found: after {certificate['iterations']} steps the Newton decrement is "
            f"{certificate['decrement']:.1e}, but the parameters still move or outcomes have become impossible; "
            "a home or tie effect may be without bound"
        )
        return without_estimate(home, problem, certificate, **asked)
    n, model = rows.n_items, asked["model"]
    counts = [rows.wins, rows.losses, *([rows.ties] if model else [])]
    games = sum(counts)
    saturated = sum((count * np.log(np.maximum(count / games, 1e-300))).sum() for count in counts)  # 0 log 0 = 0
    return Fit(
        strength=x[:n] - x[:n].mean(),
        home=float(x[n]) if home else None,
        tie=float(x[-1]) if model else None,
        log_likelihood=float(value),
        deviance=float(2 * (saturated - value)),
        degrees_of_freedom=len(rows.first) * (len(counts) - 1) - (len(x) - 1),
        problem=None,
        **certificate,
        **asked,
    )


def without_estimate(home, problem, certificate=None, **asked):
    """Fit without numbers: nothing in it can be taken for an estimate"""
    nan = math.nan
    return Fit(
        strength=np.full(asked["pairs"].n_items, nan),
        home=nan if home else None,
        tie=nan if asked["model"] else None,
        log_likelihood=nan,
        deviance=nan,
        degrees_of_freedom=0,
        problem=problem,
        **(certificate or {"converged": False, "iterations": 0, "gradient_norm": nan, "decrement": nan}),
        **asked,
    )

"""One row of games: its log-likelihood and derivatives, with ties left out, counted as half wins, or modelled."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import ties as formulas
from ..cli.main import OLD_TIES
from ..errors import InputError
from .win_counts import Pairs, pairs_of_rows


class TieModel(NamedTuple):
    """The functions of numpy_ref/ties.py for one model, and its tie parameter if all items are equal

    at_equality     share of ties -> ν or θ
    """

    log_probabilities: Callable
    backward: Callable
    hessian: Callable
    at_equality: Callable
    name: str
    symbol: str


TIE_MODELS = {
    "davidson": TieModel(
        formulas.davidson,
        formulas.davidson_backward,
        formulas.davidson_hessian,
        lambda share: 2 * share / (1 - share),
        "Davidson",
        "ν",
    ),
    "rao-kupper": TieModel(
        formulas.rao_kupper,
        formulas.rao_kupper_backward,
        formulas.rao_kupper_hessian,
        lambda share: (1 + share) / (1 - share),
        "Rao-Kupper",
        "θ",
    ),
}
TIES = ("drop", "half", *TIE_MODELS)


class RowTerms(NamedTuple):
    """l summed over the rows and its derivatives in each row's d and in the tie parameter; curvatures are -d²l"""

    value: float
    slope: np.ndarray  # (M,)
    curvature: np.ndarray  # (M,)
    tie_slope: float = 0.0
    cross: np.ndarray | float = 0.0  # (M,), -d²l / dd dtie
    tie_curvature: float = 0.0


def decided(d, wins, losses):
    """l = Σ wins log σ(d) + losses log σ(-d),  dl/dd and -d²l/dd² of each row        (M,) -> RowTerms

    All from e^-|d|: σ(-|d|) = e^-|d| / (1 + e^-|d|) is the chance of an upset and keeps its digits.
    """
    e = np.exp(-np.abs(d))
    upset = e / (1 + e)
    games, first_is_weaker = wins + losses, np.signbit(d)
    upsets = np.where(first_is_weaker, wins, losses)
    value = -(games * np.log1p(e) + upsets * np.abs(d)).sum()
    slope = games * upset - upsets
    return RowTerms(value, np.where(first_is_weaker, -slope, slope), games * upset * (1 - upset))


def tied(d, wins, ties, losses, model, tie):
    """The terms of a model of ties, `tie` being log ν or log θ        (M,) -> RowTerms"""
    counts = np.stack([wins, ties, losses], -1)  # (M, 3)
    log_p, cache = TIE_MODELS[model].log_probabilities(d, tie)
    slope, tie_slope = TIE_MODELS[model].backward(counts, cache)
    dd, cross, tie_twice = TIE_MODELS[model].hessian(counts, cache)
    return RowTerms((counts * log_p).sum(), slope, -dd, tie_slope, -cross, -tie_twice)


def check_ties(ties):
    """InputError for a word that is not in TIES; for an old word it names the new one"""
    if ties in OLD_TIES:
        raise InputError(f"ties={ties!r} is now called {OLD_TIES[ties]!r}; expected one of {', '.join(TIES)}")
    if ties not in TIES:
        raise InputError(f"ties={ties!r}: expected one of {', '.join(TIES)}")


def resolve_ties(pairs: Pairs, ties: str) -> tuple[Pairs, str | None]:
    """Pairs whose ties are modelled, halved or gone, and the model: "davidson", "rao-kupper" or None

    Without ties the estimate is ν = 0 or θ = 1, so no model is needed.
    """
    check_ties(ties)
    if ties in TIE_MODELS or not pairs.ties.any():
        return pairs, ties if pairs.ties.any() else None
    half = pairs.ties / 2 if ties == "half" else 0
    wins, losses = pairs.wins + half, pairs.losses + half
    if not (wins + losses).any():
        raise InputError("every game is a tie, and ties are dropped: no game is left; count them as half wins instead")
    return pairs_of_rows(pairs.first, pairs.second, wins, losses, None, pairs.n_items, at_home=pairs.at_home), None

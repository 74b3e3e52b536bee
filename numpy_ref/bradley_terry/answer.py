"""One call from games, or rankings, to strengths with their names.

from numpy_ref import bradley_terry
answer = bradley_terry.fit([("ann", "bob", 7), ("bob", "ann", 3), ("bob", "cem", 6), ("cem", "ann", 2)])
answer.table, answer.predict("ann", "cem"), answer.compare("ann", "bob"), answer.elo(), answer.plot()
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple

import numpy as np

from ..cli.text import counted
from ..errors import InputError
from ..losses import sigmoid
from . import inference, plackett_luce, strengths
from .columns import WANTED, Games, games_of_columns
from .existence import describe, describe_groups
from .fitted import Fit
from .labels import index_labels, is_missing
from .outcomes import TIE_MODELS
from .plackett_luce import RankingFit
from .rankings import checked_ranking, read_rankings
from .win_counts import total_per_item

ERRORS = ("auto", "solve", "none")


class NoEstimate(InputError):
    """There is no estimate: the message says why and names the items; `fitted` holds the groups"""

    def __init__(self, text, fitted):
        super().__init__(text)
        self.fitted = fitted


class Effect(NamedTuple):
    """An estimate with its standard error and Wald interval"""

    estimate: float
    standard_error: float
    low: float
    high: float


class Comparison(NamedTuple):
    """λ_a - λ_b with its standard error and interval; p_value is two-sided, for the hypothesis of equal strengths"""

    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Strengths:
    """Strengths λ (log-odds) of named items, P(a beats b) = σ(λ_a - λ_b). An attribute's entry k belongs to items[k]

    standard_error, low and high are those of λ against the reference: the mean of all items, or one item. `home` and
    `tie` (log ν or log θ) are the effects that were estimated; `fitted` has the certificate of convergence.
    """

    items: list
    strength: np.ndarray  # (N,)
    standard_error: np.ndarray  # (N,)
    low: np.ndarray  # (N,)
    high: np.ndarray  # (N,)
    games: np.ndarray  # (N,): games, or rankings, that the item takes part in
    reference: Any
    level: float
    home: Effect | None
    tie: Effect | None
    fitted: Fit | RankingFit
    covariance: np.ndarray | None = field(repr=False)

    @property
    def order(self) -> np.ndarray:
        """The places of the items in order of strength, the strongest first        (N,)"""
        return np.argsort(-self.strength, kind="stable")

    @property
    def table(self) -> dict[str, Any]:
        """Columns, the strongest item first; pandas.DataFrame(answer.table) is a data frame of them"""
        names = ("strength", "standard_error", "low", "high", "games")
        items = [self.items[k] for k in self.order]
        return {"item": items} | {name: getattr(self, name)[self.order] for name in names}

    def index(self, item) -> int:
        """The place of an item in `items`. Raises InputError for a name that has none"""
        try:
            return self.items.index(item)
        except ValueError:
            known = ", ".join(map(str, self.items))[:200]
            raise InputError(f"{item!r}: no such item; expected one of {known}") from None

    def predict(self, a, b, site=None) -> float:
        """P(a beats b) = σ(λ_a - λ_b + h), h at home, -h away, by `site`; with a model of ties, that a wins outright"""
        difference = float(self.strength[self.index(a)] - self.strength[self.index(b)])
        if site is not None:
            if self.home is None:
                raise InputError(f"site={site!r}: no home effect was estimated; fit with home=True")
            if site not in (a, b):
                raise InputError(f"site={site!r}: expected {a!r}, {b!r}, or None for neutral ground")
            difference += self.home.estimate if site == a else -self.home.estimate
        model = getattr(self.fitted, "model", None)
        if not model or self.tie is None:
            return float(sigmoid(difference))
        log_p, _ = TIE_MODELS[model].log_probabilities(np.float64(difference), self.tie.estimate)
        return float(np.exp(log_p[0]))

    def compare(self, a, b, level: float | None = None) -> Comparison:
        """λ_a - λ_b, its standard error, interval and p-value,  p = 2 (1 - Φ(|λ_a - λ_b| / s.e.))"""
        weights = np.zeros(len(self.items))
        weights[self.index(a)] += 1
        weights[self.index(b)] -= 1
        difference, error = float(weights @ self.strength), self._error(weights)
        low, high = inference.wald(difference, error, self.level if level is None else level)
        p_value = math.erfc(abs(difference) / error / math.sqrt(2)) if error else 1.0
        return Comparison(difference, error, low, high, p_value)

    def _error(self, weights) -> float:
        """√(c' C c) of a contrast c of strengths, by a solve if there is no covariance"""
        if self.covariance is None:
            return float(inference.contrast(self.fitted, weights)[1])
        n = len(self.items)
        return math.sqrt(max(weights @ self.covariance[:n, :n] @ weights, 0))

    def elo(self, base: float = 1500.0, scale: float = 400 / math.log(10)) -> dict[Any, float]:
        """base + scale λ for each item, the strongest first: 400 points are odds of 10 to 1"""
        return {self.items[k]: float(base + scale * self.strength[k]) for k in self.order}

    def plot(self):
        """A matplotlib figure: each strength with its interval, the strongest at the top"""
        from .figure import plot_strengths

        return plot_strengths(self)

    def __str__(self) -> str:
        from .text import answer_lines

        return "\n".join(answer_lines(self))

    def _repr_html_(self) -> str:
        from .text import answer_html

        return answer_html(self)


def fit(
    games: Any,
    labels: Sequence | None = None,
    *,
    home: bool = False,
    ties: str = "davidson",
    ridge: float = 0.0,
    reference: Any = None,
    level: float = 0.95,
    errors: str = "auto",
    weights: bool = False,
) -> Strengths:
    """Bradley-Terry strengths,  P(a beats b) = σ(λ_a - λ_b)        games -> Strengths

    games       columns, as a DataFrame or a dict: winner, loser[, count]; a, b, wins_a, wins_b[, ties]; or model_a,
                model_b, winner (columns.py); a list of (winner, loser[, count]); a square table, wins of row over
                column, with its labels; or the name of a file
    home        estimates an advantage of the item at home: a, unless the column `neutral` or `site` says otherwise
    ties        "davidson" or "rao-kupper" model them, "half" gives half a win to each side, "drop" leaves them out
    ridge       1 / variance of a normal prior on the strengths; 0 is no prior
    reference   the item of strength 0; None: the mean of all is 0
    errors      standard errors: "auto" up to 3,000 items, "solve" for more, "none"
    weights     counts need not be whole

    Raises NoEstimate if no estimate exists, naming the items or the effect, and InputError for wrong input.
    """
    found = games_of(games, labels, weights, home)
    if home and not found.ordered:
        raise InputError("home=True: nothing says who is at home; expected the columns a and b, or a column site")
    fitted = strengths.fit(found.pairs, home, ties, ridge)
    if not fitted.converged:
        sentences = describe_groups(fitted.groups, found.pairs, found.items) if len(fitted.groups) > 1 else []
        raise NoEstimate(with_sentences(fitted.problem, sentences), fitted)
    return answer_of_fit(fitted, found.items, reference, level, errors)


def rank(
    rankings: Any, *, ranked: int | Sequence | None = None, reference: Any = None, level: float = 0.95
) -> Strengths:
    """Plackett-Luce strengths: the best is chosen among all, P = e^λ / Σ e^λ, then the next among the rest

    rankings    lists of names, the best first, of any length; a data frame with one ranking per row; or the name of a
                file. Tied places are refused
    ranked      how many places at the head of each list are in order, if the rest was not ranked
    reference, level        as in fit

    Raises NoEstimate and InputError as fit does.
    """
    if isinstance(rankings, (str, Path)):
        lists = read_rankings(rankings)
    else:
        if hasattr(rankings, "columns") and hasattr(rankings, "to_numpy"):
            rankings = rankings.to_numpy()  # one ranking per row; short ones end in missing cells
        if isinstance(rankings, Mapping) or not isinstance(rankings, Iterable):
            raise InputError(f"rankings={shortened(rankings)}: expected a list of rankings, each a list of names")
        lists = [named_places(ranking, f"ranking {row}") for row, ranking in enumerate(rankings)]
    ends = np.cumsum([len(ranking) for ranking in lists])
    places = list(chain.from_iterable(lists))
    items, numbers = index_labels(places, where=lambda place: f"ranking {np.searchsorted(ends, place, 'right')}")
    fitted = plackett_luce.fit_rankings(np.split(numbers, ends[:-1]) if lists else [], len(items) or None, ranked)
    if not fitted.converged:
        winner, loser = plackett_luce.arrows(fitted.order, fitted.ranked)
        sentences = describe(fitted.groups, winner, loser, items) if len(fitted.groups) > 1 else []
        raise NoEstimate(with_sentences(fitted.problem, sentences), fitted)
    n = len(items)
    games = np.bincount(fitted.order[fitted.order >= 0], minlength=n).astype(float)
    return assembled(fitted, items, games, plackett_luce.ranking_covariance(fitted), None, reference, level)


def named_places(ranking, where):
    """A ranking as a list of names without missing ones at its end; InputError if it is not a ranking"""
    if isinstance(ranking, (str, Mapping)) or not isinstance(ranking, Iterable):
        raise InputError(f"{where}: {shortened(ranking)}: expected a list of names, the best first")
    places = ranking.tolist() if isinstance(ranking, np.ndarray) else list(ranking)
    while places and is_missing(places[-1]):
        places.pop()
    return checked_ranking(places, where)


def games_of(games: Any, labels: Sequence | None = None, weights: bool = False, home: bool = False) -> Games:
    """Games from whatever `fit` takes"""
    if isinstance(games, (str, Path)):
        from .games import read_games

        return read_games(games, weights=weights, home=home)
    if isinstance(games, dict):
        if labels is not None:
            raise InputError("labels are for a square table of wins; columns have the names of their items in them")
        columns = {str(name): column for name, column in games.items()}
        return games_of_columns(columns, weights=weights, home=home)
    if hasattr(games, "columns") and hasattr(games, "to_numpy"):
        if labels is None and not numbered_columns(games):
            return games_of_frame(games, weights, home)
        games = games.to_numpy()
    shape: tuple[int, ...] = games.shape if isinstance(games, np.ndarray) else ()
    if labels is not None or (len(shape) == 2 and shape[0] == shape[1] and games.dtype.kind in "iuf"):
        if labels is None and shape[0] in (2, 3) and np.diag(np.nan_to_num(games)).any():
            raise InputError(
                f"{shape[0]} rows of {shape[0]} numbers may be a table of wins, but its diagonal is not 0, or games: "
                "give a table its labels, or the games as a list of tuples"
            )
        return games_of_square(games, labels, weights)
    rows = list(games) if isinstance(games, Iterable) else []
    sizes = [0 if isinstance(row, str) or not isinstance(row, Sized) else len(row) for row in rows]
    wrong = next((k for k, size in enumerate(sizes) if size not in (2, 3)), None)
    if not rows or wrong is not None:
        where = "" if wrong is None else f"row {wrong}: {shortened(rows[wrong])}: "
        raise InputError(f"{where}expected a list of (winner, loser) or (winner, loser, count), with at least one game")
    if len(set(sizes)) > 1:
        rows = [(*row, 1)[:3] for row in rows]
    return games_of_columns(
        dict(zip(("winner", "loser", "count"), zip(*rows, strict=True), strict=False)), weights=weights
    )


def numbered_columns(frame):
    """Whether nobody named the columns of a data frame: 0, 1, 2, ... are pandas' own names"""
    return len(frame.columns) > 0 and list(frame.columns) == list(range(len(frame.columns)))


def games_of_frame(frame, weights, home):
    """A data frame -> Games: a square table if rows and columns have the same names, else columns of games"""
    names, rows = [str(name) for name in frame.columns], [str(name) for name in getattr(frame, "index", ())]
    if len(names) > 1 and sorted(names) == sorted(rows):
        return games_of_square(frame.to_numpy()[[rows.index(name) for name in names]], list(frame.columns), weights)
    twice = [name for k, name in enumerate(names) if name in WANTED and name in names[:k]]
    if twice:
        raise InputError(f"the data frame has two columns {twice[0]}, expected one")
    columns = {name: frame[column] for name, column in zip(names, frame.columns, strict=True)}
    return games_of_columns(columns, weights=weights, home=home)


def games_of_square(table, labels, weights):
    """A square table of wins of row over column -> Games; the diagonal is ignored"""
    expected = "expected a square table, wins of row over column, and as many different labels as it has rows"
    try:
        wins = np.asarray(table, float)
        n = len(wins)
        labels = list(range(n)) if labels is None else list(labels)
        different = len(set(labels))
    except (TypeError, ValueError):
        raise InputError(f"{shortened(table)} with labels {shortened(labels)}: {expected}") from None
    if wins.shape != (n, n) or len(labels) != n or different != n:
        raise InputError(f"a table of shape {wins.shape} with {len(labels)} labels: {expected}")
    first, second = np.nonzero(~np.eye(n, dtype=bool))  # also pairs without a win: they may hold items that never won
    winner, loser = [labels[i] for i in first], [labels[j] for j in second]
    columns = {"winner": winner, "loser": loser, "count": wins[first, second]}
    return games_of_columns(columns, lambda k: f"row {winner[k]!r}, column {loser[k]!r}", weights)


def with_sentences(problem, sentences, at_most=5):
    """The problem, then the first few of the sentences about its groups"""
    more = [f"and {counted(len(sentences) - at_most, 'more group')}"] if len(sentences) > at_most else []
    return f"{problem}: {'; '.join([*sentences[:at_most], *more])}" if sentences else problem


def answer_of_fit(fitted: Fit, items, reference=None, level=0.95, errors="auto", progress=iter) -> Strengths:
    """A converged Fit with its names and standard errors"""
    if errors not in ERRORS:
        raise InputError(f"errors={errors!r}: expected one of {', '.join(ERRORS)}")
    rows, n = fitted.rows, len(items)
    covariance = inference.covariance(fitted) if errors == "auto" and n <= inference.DENSE_ITEMS else None
    by_solves = partial(inference.errors_by_solves, fitted, progress=progress) if errors == "solve" else None
    games = total_per_item(rows.wins + rows.ties + rows.losses, rows)
    return assembled(fitted, items, games, covariance, by_solves, reference, level)


def assembled(
    fitted: Fit | RankingFit,
    items: list,
    games: np.ndarray,
    covariance: np.ndarray | None,
    by_solves: Callable | None,
    reference: Any,
    level: float,
) -> Strengths:
    """Strengths against the reference, with errors from the covariance, by solves, or NaN"""
    n, effects = len(items), [getattr(fitted, name, None) for name in ("home", "tie")]
    if reference is not None and reference not in items:
        raise InputError(f"reference={reference!r}: no such item; expected one of {', '.join(map(str, items))[:200]}")
    zero = None if reference is None else items.index(reference)
    if covariance is not None:
        errors = inference.contrast_errors(covariance, n, zero)
    else:
        errors = by_solves(zero) if by_solves else np.full(n + sum(e is not None for e in effects), math.nan)
    strength = fitted.strength - (0 if zero is None else fitted.strength[zero])
    low, high = inference.wald(strength, errors[:n], level)
    rest = iter(errors[n:].tolist())
    home, tie = (None if e is None else effect(e, next(rest), level) for e in effects)
    return Strengths(
        items, strength, errors[:n], low, high, games, reference, level, home, tie, fitted, covariance
    )  # fmt: skip


def effect(estimate, error, level) -> Effect:
    """An effect with its interval"""
    return Effect(estimate, error, *inference.wald(estimate, error, level))

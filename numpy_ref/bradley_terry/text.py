"""The result of `fit` as text of at most 80 columns, as HTML for notebooks, and as a dict for JSON."""

import math
from html import escape
from typing import Any

import numpy as np

from ..cli.text import WIDTH, clean, counted, pad, width, wrap, wrapped
from ..losses import sigmoid
from .outcomes import TIE_MODELS

CERTIFICATE = (
    "converged", "iterations", "gradient_norm", "decrement", "log_likelihood", "deviance", "degrees_of_freedom"
)  # fmt: skip


def answer_lines(answer, name=None, bootstrap=None):
    """Heading, ranking, effects, certificate

    bootstrap       the resamples, without_estimate, low and high to show; low and high in the order of the items
    """
    of_rankings = not hasattr(answer.fitted, "pairs")
    kind = "Plackett-Luce" if of_rankings else "Bradley-Terry"
    games = 0 if of_rankings else number_of_games(answer)
    number = counted(len(answer.fitted.order), "ranking") if of_rankings else f"{games:.10g} game{'s' * (games != 1)}"
    heading = f"{name + ': ' if name else ''}{kind} strengths of {len(answer.items)} items from {number}"
    ranking = ranking_lines(answer, bootstrap)
    return [*wrap(heading), "", *ranking, "", *effect_lines(answer, bootstrap), *certificate_lines(answer.fitted)]


def number_of_games(answer):
    """How many games were counted; each is among the games of both its items"""
    return float(answer.games.sum()) / 2


def ranking_lines(answer, bootstrap=None):
    """One line per item, the strongest first"""
    low, high = (bootstrap["low"], bootstrap["high"]) if bootstrap else (answer.low, answer.high)
    title = f"{100 * answer.level:g} % {'bootstrap' if bootstrap else 'interval'}"
    beats = sigmoid(answer.fitted.strength)
    names = [clean(item) for item in answer.items]
    rank = max(4, len(str(len(names))))
    size = min(max(4, *map(width, names)), WIDTH - rank - 51)
    lines = [f"{'rank':>{rank}}  {pad('item', size)}  strength    s.e.  {title:^17}  beats mean"]
    for place, k in enumerate(answer.order, 1):
        bounds = f"{decimals(low[k], 8)} {decimals(high[k], 8)}"
        values = f"{decimals(answer.strength[k], 8)}  {decimals(answer.standard_error[k], 6)}  {bounds}"
        lines.append(f"{place:>{rank}}  {pad(names[k], size)}  {values}  {beats[k]:10.3f}")
    return lines


def effect_lines(answer, bootstrap=None):
    """The reference of the strengths, the effects, and the treatment of ties"""
    fitted = answer.fitted
    zero = "the mean of all items (0)" if answer.reference is None else str(answer.reference)
    lines = [
        f"strength: log-odds against {zero}",
        "beats mean: the probability of a win over an item of mean strength",
    ]
    if answer.home:
        lines.append("home effect: " + with_error(answer.home, answer.level))
    if answer.tie:
        model = TIE_MODELS[fitted.model]
        worth = f"{model.symbol} = {math.exp(answer.tie.estimate):.4f}"
        lines.append(f"ties: {model.name}, {worth}, log {model.symbol} = {with_error(answer.tie, answer.level)}")
    elif hasattr(fitted, "pairs") and fitted.pairs.ties.any():
        lines.append(f"ties: {fitted.ties}")
    if getattr(fitted, "ridge", 0):
        lines.append(f"ridge: {fitted.ridge:g}, a normal prior of variance {1 / fitted.ridge:g} on every strength")
    if len(fitted.groups) > 1:
        lines.append("without the prior no estimate exists: only the prior says how far the groups lie apart")
    if bootstrap:
        without = bootstrap["without_estimate"]
        lines.append(f"bootstrap: {bootstrap['resamples']} resamples; {without} without an estimate left out")
    return [line for text in lines for line in wrap(text)]


def certificate_lines(fitted):
    """The log-likelihood, and the certificate of convergence"""
    fit = f"log-likelihood {zeroless(fitted.log_likelihood)}"
    if hasattr(fitted, "deviance"):
        freedom = "" if fitted.degrees_of_freedom is None else f" on {fitted.degrees_of_freedom} d.f."
        fit += f", deviance {zeroless(fitted.deviance)}{freedom}"
    return [
        fit,
        f"converged in {counted(fitted.iterations, 'Newton step')}: gradient norm {fitted.gradient_norm:.1e}, "
        f"decrement {fitted.decrement:.1e}",
    ]


def no_estimate_lines(problem, groups, name=None, shown=20):
    """The problem, the groups in words, and the fit of each group by itself

    groups      (items, sentence, Strengths or None) of each
    """
    lines = wrapped(f"{name + ': ' if name else ''}{problem}")
    for _, sentence, _ in groups[:shown]:
        lines += wrapped(f"- {sentence}", indent="  ")
    if len(groups) > shown:
        lines.append(f"- and {counted(len(groups) - shown, 'more group')}")
    if groups:
        lines += wrap("With --ridge R, a normal prior of variance 1/R, all items can be put on one scale.")
    for items, _, answer in groups[:shown]:
        if answer:
            lines += ["", *wrap(f"Within {len(items)} of the items, on a scale of their own:"), ""]
            lines += ranking_lines(answer)
    return lines


def with_error(effect, level):
    """estimate (s.e., interval)"""
    if math.isnan(effect.standard_error):
        return f"{effect.estimate:.4f}"
    return (
        f"{effect.estimate:.4f} (s.e. {effect.standard_error:.4f}, "
        f"{100 * level:g} % interval {effect.low:.4f} to {effect.high:.4f})"
    )


def decimals(value, size):
    """Three decimals, right-aligned, no -0.000; a dash if it was not computed"""
    return f"{'-' if math.isnan(value) else format(round(value, 3) + 0.0, '.3f'):>{size}}"


def zeroless(value):
    """Four decimals, no -0.0000"""
    return f"{round(value, 4) + 0.0:.4f}"


def answer_html(answer):
    """A table for notebooks, the strongest item first"""
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in answer.table)
    rows = []
    for item, *values in zip(*answer.table.values(), strict=True):
        cells = "".join(f"<td>{decimals(float(v), 0)}</td>" for v in values[:-1]) + f"<td>{values[-1]:g}</td>"
        rows.append(f"<tr><th>{escape(clean(item))}</th>{cells}</tr>")
    below = "<br>".join(escape(line) for line in [*effect_lines(answer), *certificate_lines(answer.fitted)])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table><p>{below}</p>"


def answer_dict(answer, bootstrap=None) -> dict[str, Any]:
    """The printed result as one dict for JSON; NaN becomes None"""
    fitted = answer.fitted
    columns = answer.table | {"beats_average": sigmoid(fitted.strength)[answer.order]}
    result: dict[str, Any] = {"items": len(answer.items), "games": number_of_games(answer)}
    if not hasattr(fitted, "pairs"):
        result = {"items": len(answer.items), "rankings": len(fitted.order)}
    if bootstrap:
        result["bootstrap"] = {name: bootstrap[name] for name in ("resamples", "without_estimate", "seed")}
        columns |= {f"bootstrap_{end}": bootstrap[end][answer.order] for end in ("low", "high")}
    rows = [dict(zip(columns, map(plain, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    ties = getattr(fitted, "model", None) or (
        fitted.ties if hasattr(fitted, "pairs") and fitted.pairs.ties.any() else None
    )
    return result | {
        "reference": answer.reference,
        "ties": ties,
        "ridge": getattr(fitted, "ridge", 0.0),
        "held_together": len(fitted.groups) == 1,
        "home": effect_dict(answer.home),
        "log_tie": effect_dict(answer.tie),
        "certificate": {name: plain(getattr(fitted, name)) for name in CERTIFICATE if hasattr(fitted, name)},
        "ranking": rows,
    }


def effect_dict(effect):
    """An Effect as a dict, or None"""
    return None if effect is None else {name: plain(value) for name, value in effect._asdict().items()}


def plain(value):
    """A value for JSON: NumPy's numbers become Python's, NaN becomes None"""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value

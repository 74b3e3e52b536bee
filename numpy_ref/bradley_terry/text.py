"""The result of `fit` as text that fits in 80 columns."""

import math
from pathlib import Path

from ..cli.text import WIDTH, clean, pad, width, wrap


def as_text(result):
    """What was found, or why nothing could be"""
    return "\n".join(no_estimate_lines(result) if "problem" in result else fit_lines(result))


def fit_lines(result):
    """Heading, ranking, effects, certificate"""
    table = f"{result['items']} items from {result['games']:.0f} games"
    heading = f"{Path(result['file']).name}: Bradley-Terry strengths of {table}"
    return [*wrap(heading), "", *ranking_lines(result), "", *effect_lines(result), *certificate_lines(result)]


def ranking_lines(result):
    """One line an item, the strongest first"""
    bootstrap = "bootstrap_low" in result["ranking"][0]
    low, high = ("bootstrap_low", "bootstrap_high") if bootstrap else ("low", "high")
    interval = "95 % bootstrap" if bootstrap else "95 % interval"
    rank = max(4, len(str(result["items"])))
    longest = max(width(clean(row["item"])) for row in result["ranking"])
    name = min(max(longest, 4), WIDTH - rank - 51)
    lines = [f"{'rank':>{rank}}  {pad('item', name)}  strength    s.e.  {interval:^17}  beats mean"]
    for place, row in enumerate(result["ranking"], 1):
        bounds = f"{number(row[low], 8)} {number(row[high], 8)}"
        values = (
            f"{number(row['strength'], 8)}  {number(row['standard_error'], 6)}  {bounds}  {row['beats_average']:10.3f}"
        )
        lines.append(f"{place:>{rank}}  {pad(clean(row['item']), name)}  {values}")
    return lines


def effect_lines(result):
    """What the strengths are relative to, and the effects beside them"""
    lines = [
        "strength: log-odds against " + (result["reference"] or "the mean of all items (0)"),
        "beats mean: the probability of a win over an item of mean strength",
    ]
    if result["home"]:
        lines.append("home effect: " + with_error(result["home"]))
    if result["log_tie"]:
        name, symbol = {"davidson": ("Davidson", "ν"), "rao-kupper": ("Rao-Kupper", "θ")}[result["ties"]]
        worth = f"{symbol} = {math.exp(result['log_tie']['estimate']):.4f}"
        lines.append(f"ties: {name}, {worth}, log {symbol} = {with_error(result['log_tie'])}")
    elif result["ties"]:
        lines.append(f"ties: {result['ties']}")
    if result["ridge"]:
        lines.append(
            f"ridge: {result['ridge']:g}, a normal prior of variance {1 / result['ridge']:g} on every strength"
        )
    if not result["held_together"]:
        lines.append("without the prior no estimate exists: how far the groups lie apart is its doing")
    if "bootstrap" in result:
        resamples, without = result["bootstrap"]["resamples"], result["bootstrap"]["without_estimate"]
        lines.append(f"bootstrap: {resamples} resamples, of which {without} have no estimate and are left out")
    return [line for text in lines for line in wrap(text)]


def certificate_lines(result):
    """Why to believe it"""
    c = result["certificate"]
    return [
        f"log-likelihood {c['log_likelihood']:.4f}, deviance {c['deviance']:.4f} on {c['degrees_of_freedom']} d.f.",
        f"converged in {c['iterations']} Newton steps: gradient norm {c['gradient_norm']:.1e}, "
        f"decrement {c['decrement']:.1e}",
    ]


def no_estimate_lines(result, shown=20):
    """The problem, the groups in words, and the fit of each group by itself"""
    lines = wrap(f"{Path(result['file']).name}: {result['problem']}")
    for entry in result["groups"][:shown]:
        lines += wrap(f"- {entry['verdict']}", indent="  ")
    if len(result["groups"]) > shown:
        lines.append(f"- and {len(result['groups']) - shown} more groups")
    if result["groups"]:
        lines += wrap("With --ridge R, a normal prior of variance 1/R, all items can be put on one scale.")
    for entry in result["groups"][:shown]:
        if entry["fit"]:
            lines += ["", *wrap(f"Within {len(entry['items'])} of the items, on a scale of their own:"), ""]
            lines += ranking_lines(entry["fit"])
    return lines


def with_error(effect):
    """estimate (s.e., interval)"""
    if effect["standard_error"] is None:
        return f"{effect['estimate']:.4f}"
    return (
        f"{effect['estimate']:.4f} (s.e. {effect['standard_error']:.4f}, "
        f"95 % interval {effect['low']:.4f} to {effect['high']:.4f})"
    )


def number(value, size):
    """Three decimals, right-aligned; a dash for what was not computed"""
    return f"{'-' if value is None else format(value, '.3f'):>{size}}"

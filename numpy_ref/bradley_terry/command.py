"""The command `fit`: a ranking table with its certificate from a file of games."""

import argparse
import math
from functools import partial

import numpy as np

from ..cli.text import progress_bar
from ..errors import InputError
from ..figures.style import check_figure
from ..files import check_output, write_json
from ..losses import sigmoid
from . import games, inference
from .existence import describe_groups
from .outcomes import TIES
from .strengths import fit
from .text import as_text
from .win_counts import pairs_of_rows

ERRORS = ("auto", "solve", "none")


def add_arguments(parser):
    """The options of `fit`"""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Bradley-Terry strengths of items from the games of a table, with standard errors,\n"
        "95 % intervals and a certificate of convergence."
    )
    parser.epilog = (
        "columns: winner, loser[, count] or a, b, wins_a, wins_b[, ties]; .csv, .tsv, .jsonl,\n"
        "plain or .gz. Exit status: 0, or 1 where no estimate exists, 2 for bad input."
    )
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        default=games.BASEBALL,
        help="a table of games (default: baseball, American League East 1987)",
    )
    add("--ties", choices=TIES, default="davidson", help="how ties are counted or modelled (default: %(default)s)")
    add("--home", action="store_true", help="estimate an advantage of the first item, a, which is at home")
    add("--ridge", type=float, default=0.0, help="1 / variance of a normal prior on the strengths (default: none)")
    add("--reference", metavar="ITEM", help="the item of strength 0 (default: the mean of all is 0)")
    add("--errors", choices=ERRORS, default="auto", help="standard errors: up to 3,000 items, for more by solves, none")
    add("--bootstrap", type=int, default=0, metavar="N", help="intervals from N resamples of the games, besides Wald's")
    add("--seed", type=int, default=0, help="of the bootstrap (default: %(default)s)")
    add("--json", metavar="FILE", help="write the result as JSON; - for the terminal")
    add("--figure", metavar="FILE", help="draw strengths with intervals, and predicted against observed wins")


def run(args):
    """Reads, fits, prints; the exit status: 0, or 1 where no estimate exists"""
    check_figure(args.figure)
    check_output(args.json or "-")
    if args.bootstrap < 0:
        raise InputError(f"--bootstrap {args.bootstrap}: expected a number of resamples, 0 for none")
    table = games.read_games(args.file, partial(progress_bar, unit=" lines"))
    if args.home and not table.ordered:
        raise InputError(f"{args.file}: --home needs to know who is at home; expected the columns a, b, wins_a, wins_b")
    if args.reference is not None and args.reference not in map(str, table.items):
        raise InputError(
            f"--reference {args.reference}: no such item; expected one of {', '.join(map(str, table.items))[:200]}"
        )
    fitted = fit(table.pairs, args.home, args.ties, args.ridge)
    result = summary(fitted, table.items, args) if fitted.converged else without_estimate(fitted, table, args)
    result = {"file": str(args.file)} | result
    if args.json != "-":
        print(as_text(result))
    if args.json:
        write_json(args.json, result)
    if args.figure and fitted.converged:
        from .figure import draw_fit

        draw_fit(fitted, result, args.figure)
    return 0 if fitted.converged else 1


def summary(fitted, items, args):
    """What is printed, as one dict: also the JSON"""
    reference = None if args.reference is None else [str(item) for item in items].index(args.reference)
    strength = fitted.strength - (0 if reference is None else fitted.strength[reference])
    errors = standard_errors(fitted, reference, args.errors)
    low, high = inference.wald(strength, errors[: len(items)])
    columns = {
        "item": items,
        "strength": strength,
        "standard_error": errors[: len(items)],
        "low": low,
        "high": high,
        "beats_average": sigmoid(fitted.strength),
    }
    result: dict = {
        "items": len(items),
        "games": float((fitted.pairs.wins + fitted.pairs.ties + fitted.pairs.losses).sum()),
    }
    if args.bootstrap:
        rng = np.random.default_rng(args.seed)
        drawn, without = inference.bootstrap(fitted, rng, args.bootstrap, partial(progress_bar, unit=" resamples"))
        result["bootstrap"] = {"resamples": args.bootstrap, "without_estimate": without, "seed": args.seed}
        if len(drawn):
            drawn = drawn - (0 if reference is None else drawn[:, [reference]])
            columns["bootstrap_low"], columns["bootstrap_high"] = np.quantile(drawn, [0.025, 0.975], axis=0)
    rows = [dict(zip(columns, map(plain, row), strict=True)) for row in zip(*columns.values(), strict=True)]
    effects = errors[len(items) :]
    return result | {
        "reference": args.reference,
        "ties": fitted.model or (args.ties if fitted.pairs.ties.any() else None),
        "ridge": fitted.ridge,
        "held_together": len(fitted.groups) == 1,
        "home": effect(fitted.home, effects[0]) if args.home else None,
        "log_tie": effect(fitted.tie, effects[-1]) if fitted.model else None,
        "certificate": {name: getattr(fitted, name) for name in CERTIFICATE},
        "ranking": sorted(rows, key=lambda row: -row["strength"]),
    }


CERTIFICATE = (
    "converged", "iterations", "gradient_norm", "decrement", "log_likelihood", "deviance", "degrees_of_freedom"
)  # fmt: skip


def plain(value):
    """NumPy's numbers as Python's, NaN as None: what JSON can say"""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def standard_errors(fitted, reference, how):
    """Of every strength, then of h and the tie parameter; NaN where they were not asked for"""
    size = len(inference.parameters(fitted))
    if how == "solve":
        return inference.errors_by_solves(fitted, reference, partial(progress_bar, unit=" solves"))
    if how == "none" or fitted.pairs.n_items > inference.DENSE_ITEMS:
        return np.full(size, math.nan)
    return inference.standard_errors(fitted, reference)


def effect(estimate, error):
    """A home or tie effect with its error and interval"""
    low, high = inference.wald(estimate, error)
    return {"estimate": estimate, "standard_error": plain(error), "low": plain(low), "high": plain(high)}


def without_estimate(fitted, table, args):
    """Why there is none, and what can be estimated all the same: each group by itself"""
    pairs, items = table.pairs, table.items
    group_of = np.zeros(len(items), int)
    for k, group in enumerate(fitted.groups):
        group_of[group] = k
    inside = np.flatnonzero(group_of[pairs.first] == group_of[pairs.second])
    inside = inside[np.argsort(group_of[pairs.first[inside]], kind="stable")]
    ends = np.searchsorted(group_of[pairs.first[inside]], np.arange(len(fitted.groups) + 1))
    several = len(fitted.groups) > 1
    verdicts = describe_groups(fitted.groups, pairs, items) if several else []
    groups = []
    for k, verdict in enumerate(verdicts):
        names = [items[i] for i in fitted.groups[k]]
        alone = fit_within(fitted.groups[k], inside[ends[k] : ends[k + 1]], table, args) if len(names) > 1 else None
        within = argparse.Namespace(**vars(args) | {"reference": None, "bootstrap": 0})
        found = alone is not None and alone.converged
        groups.append({"items": names, "verdict": verdict, "fit": summary(alone, names, within) if found else None})
    return {"items": len(items), "problem": fitted.problem, "groups": groups}


def fit_within(group, rows, table, args):
    """The fit of one group of items to the rows of games among them"""
    number = np.searchsorted(group, np.arange(len(table.items)))
    first, second, wins, ties, losses = (column[rows] for column in table.pairs[1:6])
    pairs = pairs_of_rows(
        number[first], number[second], wins, losses, ties, len(group), at_home=table.pairs.at_home[rows]
    )
    return fit(pairs, args.home, args.ties)

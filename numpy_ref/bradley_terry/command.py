"""The command `fit`: a ranking table with its certificate from a file of games or of rankings."""

import re
import sys
from functools import partial
from pathlib import Path

import numpy as np

from ..cli.main import STDOUT, natural, tie_word
from ..cli.options import word
from ..cli.text import progress_bar
from ..errors import InputError
from ..figures.style import check_figure
from ..files import check_output, write_json
from . import games, inference
from .answer import ERRORS, NoEstimate, answer_of_fit, rank
from .columns import ROLES
from .existence import describe_groups
from .outcomes import TIES
from .rankings import read_rankings
from .strengths import fit
from .text import answer_dict, answer_lines, no_estimate_lines
from .win_counts import pairs_of_rows

DATA = re.compile(r"\.(csv|tsv|jsonl)(\.gz)?$", re.IGNORECASE)
FOR_GAMES = {"ties": "davidson", "errors": "auto"} | dict.fromkeys(
    ("file", "home", "ridge", "bootstrap", "seed", "weights")
)
FEWEST_RESAMPLES = 40  # a 95 % interval leaves one resample in 40 beyond each end

DESCRIPTION = """\
Estimates how strong items are from who beat whom (Bradley-Terry) or from
rankings (Plackett-Luce). The strength of an item is its log-odds of a win over
an average item; it is printed with its standard error and 95 % interval. If
the games do not determine the strengths, the command names the items or the
effect responsible and prints no numbers.

  python -m numpy_ref fit games.csv --home --figure fit.png
"""
COLUMNS = """\
The file is .csv, .tsv or .jsonl, plain or .gz. Its columns are one of
  winner, loser[, count][, site]                  a row is a game
  a, b, wins_a, wins_b[, ties][, neutral][, site] a row is a pair
  model_a, model_b, winner                        a row is a game; winner is
                               model_a, model_b, tie or tie (bothbad)
Other columns are ignored. For --home, a is at home unless `neutral` is 1 or
true; `site` names the item at home and is empty on neutral ground. A file for
--rankings has a header, then one ranking a row, the best item first. Tied
places are refused.

Exit status: 0; 1 if no estimate exists; 2 for bad input.
"""


def add_arguments(parser):
    """The options of `fit`"""
    parser.description, parser.epilog = DESCRIPTION, COLUMNS
    add = parser.add_argument
    add("file", nargs="?", help="a table of games (default: baseball, American League East 1987)")
    add("--rankings", metavar="FILE", help="fit a file of rankings instead of games")
    add(
        "--ties",
        default="davidson",
        choices=TIES,
        type=tie_word,
        help="drop: leave ties out; half: half a win for each side; the others model them",
    )
    add("--home", action="store_true", help="estimate the advantage of the item at home")
    add("--ridge", type=float, default=0.0, help="1 / variance of a normal prior on the strengths (default: none)")
    add("--reference", metavar="ITEM", help="the item of strength 0 (default: the mean of all is 0)")
    add(
        "--errors",
        choices=ERRORS,
        default="auto",
        help="standard errors. auto: up to 3,000 items; solve: for any number, slower; none: leave them out",
    )
    add(
        "--bootstrap",
        type=int,
        default=0,
        metavar="N",
        help="intervals from N resamples of the games, in place of those from the standard errors",
    )
    add("--seed", type=natural, default=0, help="seed of the bootstrap (default: %(default)s)")
    add("--weights", action="store_true", help="counts are weights: they need not be whole numbers")
    add(
        "--json",
        nargs="?",
        const="",
        metavar="FILE",
        help=f"write the result as JSON; {STDOUT}",
    )
    add("--figure", metavar="FILE", help="draw strengths with intervals, and predicted against observed wins")
    group = parser.add_argument_group("columns that have other names in the file")
    for role in ROLES:
        group.add_argument(f"--{role.replace('_', '-')}-column", metavar="NAME", dest=f"{role}_column")


def run(args):
    """Reads, fits, prints; returns the exit status: 0, or 1 if no estimate exists"""
    check_options(args)
    name = args.rankings or args.file or games.BASEBALL
    progress = partial(progress_bar, unit=" lines")
    try:
        answer, bootstrap = fit_rankings(args, progress) if args.rankings else fit_games(args, name, progress)
    except NotDetermined as found:
        result = {"file": str(name), "items": found.items, "problem": found.problem, "groups": found.as_dicts()}
        write(args, result, no_estimate_lines(found.problem, found.groups, Path(name).name))
        return 1
    if args.figure:
        from .figure import draw_fit

        draw_fit(answer, args.figure, bootstrap)
    result = {"file": str(name)} | answer_dict(answer, bootstrap)
    write(args, result, answer_lines(answer, Path(name).name, bootstrap))
    return 0


def check_options(args):
    """InputError for options that are wrong with any file"""
    check_figure(args.figure)
    if args.json == "" or (args.json and not args.file and DATA.search(args.json)):  # a flag in version 0.1.0
        raise InputError(f"--json now takes a file to write, and {STDOUT}: write {args.json or 'FILE'} --json -")
    check_output(args.json or "-")
    if args.bootstrap and args.bootstrap < FEWEST_RESAMPLES:
        raise InputError(
            f"--bootstrap {args.bootstrap}: expected 0, or at least {FEWEST_RESAMPLES} resamples, one of which lies "
            "beyond each end of a 95 % interval"
        )
    if args.rankings:
        for option, value in vars(args).items():
            if value and (option in FOR_GAMES or option.endswith("_column")) and value != FOR_GAMES.get(option):
                given = args.file if option == "file" else word(option)
                raise InputError(f"--rankings {args.rankings}: {given} is for games, not for rankings; leave it out")


def write(args, result, lines):
    """Writes JSON, then prints the text unless JSON went to the screen; last, because a screen's reader may leave"""
    if args.json:
        write_json(args.json, result)
    if args.json != "-":
        print("\n".join(lines))


class NotDetermined(Exception):
    """There is no estimate: `problem` says why; `groups` holds (items, sentence, Strengths or None) of each group"""

    def __init__(self, items, problem, groups):
        super().__init__(problem)
        self.items, self.problem, self.groups = items, problem, groups

    def as_dicts(self):
        """The groups for JSON"""
        return [
            {"items": items, "verdict": sentence, "fit": answer_dict(answer) if answer else None}
            for items, sentence, answer in self.groups
        ]


def fit_rankings(args, progress):
    """Strengths from a file of rankings; no bootstrap"""
    rankings = read_rankings(args.rankings, progress, assumed)
    try:
        return rank(rankings, reference=named(args.reference, {x for r in rankings for x in r})), None
    except NoEstimate as error:
        items = len({item for ranking in rankings for item in ranking})
        raise NotDetermined(items, str(error), []) from None


def fit_games(args, path, progress):
    """Strengths from a file of games, and the intervals of the bootstrap if they are asked for"""
    names = {role: getattr(args, f"{role}_column") for role in ROLES if getattr(args, f"{role}_column")}
    table = games.read_games(path, progress, names, args.weights, assumed, args.home)
    if args.home and not table.ordered:
        raise InputError(
            f"{path}: --home needs to know who is at home; expected the columns a, b, wins_a, wins_b, or a column site"
        )
    reference = named(args.reference, table.items)
    fitted = fit(table.pairs, args.home, args.ties, args.ridge)
    if not fitted.converged:
        raise NotDetermined(len(table.items), fitted.problem, separate_groups(fitted, table, args))
    answer = answer_of_fit(
        fitted, table.items, reference, errors=args.errors, progress=partial(progress_bar, unit=" solves")
    )
    return answer, resampled(answer, args) if args.bootstrap else None


def assumed(text):
    """Prints to standard error what was assumed about a file"""
    print(text, file=sys.stderr)


def named(reference, items):
    """The item that --reference names, which may be a number"""
    found = [item for item in items if str(item) == reference]
    if reference is not None and not found:
        known = ", ".join(map(str, items))[:200]
        raise InputError(f"--reference {reference}: no such item; expected one of {known}")
    return found[0] if found else None


def resampled(answer, args):
    """Bootstrap intervals of the strengths relative to the reference, in the order of the items"""
    rng, progress = np.random.default_rng(args.seed), partial(progress_bar, unit=" resamples")
    drawn, without = inference.bootstrap(answer.fitted, rng, args.bootstrap, progress)
    if len(drawn) < FEWEST_RESAMPLES:
        raise InputError(
            f"--bootstrap {args.bootstrap}: {without} resamples have no estimate, and the other {len(drawn)} are too "
            "few for an interval; leave the bootstrap out, or use a --ridge"
        )
    if answer.reference is not None:
        drawn = drawn - drawn[:, [answer.index(answer.reference)]]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {"resamples": args.bootstrap, "without_estimate": without, "seed": args.seed, "low": low, "high": high}


def separate_groups(fitted, table, args):
    """(items, sentence, Strengths or None) of each group, fitted by itself"""
    if len(fitted.groups) < 2:
        return []
    pairs, items = table.pairs, table.items
    group_of = np.zeros(len(items), int)
    for k, group in enumerate(fitted.groups):
        group_of[group] = k
    inside = np.flatnonzero(group_of[pairs.first] == group_of[pairs.second])
    inside = inside[np.argsort(group_of[pairs.first[inside]], kind="stable")]
    ends = np.searchsorted(group_of[pairs.first[inside]], np.arange(len(fitted.groups) + 1))
    found = []
    for k, sentence in enumerate(describe_groups(fitted.groups, pairs, items)):
        names, rows = [items[i] for i in fitted.groups[k]], inside[ends[k] : ends[k + 1]]
        alone = fit_within(fitted.groups[k], rows, table, args) if len(names) > 1 else None
        answer = answer_of_fit(alone, names, errors=args.errors) if alone and alone.converged else None
        found.append((names, sentence, answer))
    return found


def fit_within(group, rows, table, args):
    """The fit of one group of items to the rows of games among them"""
    number, pairs = np.searchsorted(group, np.arange(len(table.items))), table.pairs
    first, second, wins, ties, losses, at_home = (column[rows] for column in pairs[1:7])
    alone = pairs_of_rows(number[first], number[second], wins, losses, ties, len(group), at_home=at_home)
    return fit(alone, args.home, args.ties)

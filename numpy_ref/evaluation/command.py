"""The command `evaluate` of both packages: how good rewards are on held-out preferences, and which shortcuts,
such as length, explain them.

Every figure is printed beside values to compare it with: an interval, a baseline, the best reachable value.
"""

import numpy as np

from .. import metrics
from ..cli.main import STDOUT, natural, positive_int
from ..errors import InputError
from ..figures.style import check_figure
from ..files import check_output, write_json
from ..losses import sigmoid
from . import against, calibration, rewardbench
from . import pairs as evaluate_pairs
from .best_of import best_of_text, measure_best_of
from .measures import calibrated, measured
from .score import numpy_scorer, rewards_with_bar
from .text import as_text


def add_arguments(parser):
    """The options of `evaluate`"""
    parser.add_argument("--model", metavar="DIR", required=True, help="a run or model directory of either package")
    parser.add_argument("--data", metavar="FILE", help="held-out preferences; the built-in world's if left out")
    parser.add_argument("--subset-column", metavar="NAME", help="a column of --data: accuracy for each of its values")
    parser.add_argument(
        "--temperature",
        metavar="T",
        help="divide the margins by T, P = σ(margin / T): a number, or `fit` to fit it on --temperature-data",
    )
    parser.add_argument(
        "--temperature-data",
        metavar="FILE",
        help="preferences to fit T on; default: --data, which gives an optimistic result",
    )
    parser.add_argument(
        "--against",
        metavar="DIR",
        help="another model: is it better than --model? prints the differences on the same pairs, with intervals",
    )
    parser.add_argument(
        "--best-of",
        action="store_true",
        help="for a file with responses and true scores: the true score of the response that the model chooses among n",
    )
    parser.add_argument(
        "--bins", type=positive_int, default=10, help="bins of the reliability curve, equally many pairs in each"
    )
    parser.add_argument("--figure", metavar="FILE", help="draw the reliability curve and accuracy by length, as .png")
    parser.add_argument("--json", metavar="FILE", help=f"write every figure as JSON; {STDOUT}")
    parser.add_argument(
        "--seed",
        type=natural,
        default=0,
        help="random seed of the bootstrap and of the built-in world; for the world give the seed of the training",
    )


def run(args, scorer_of=numpy_scorer):
    """Scores, measures, prints; returns the exit status"""
    check_figure(args.figure)
    check_output(args.json or "-")
    check_best_of(args)
    scorer, other = scorer_of(args.model), args.against and (args.against, scorer_of(args.against))
    if args.subset_column and args.data is None:
        raise InputError("--subset-column: the built-in world has no columns: give --data FILE")
    temperature, fitted_on = asked_temperature(args), args.temperature_data
    if args.best_of:
        found, text = measure_best_of(scorer, args.data, args.seed), best_of_text
    else:
        options = {"other": other, "seed": args.seed, "bins": args.bins}
        found, text = measure(scorer, args.data, args.subset_column, temperature, fitted_on, **options), as_text
    result = {"model": args.model, **found}
    if args.figure:
        from .figure import draw_evaluation

        draw_evaluation(result, args.figure)  # files first: the reader of the screen, such as `head`, may stop early
    if args.json:
        write_json(args.json, result)
    if args.json != "-":
        print(*text(result), sep="\n")
        if "rewardbench" in result:
            print("", *rewardbench.as_text(result["rewardbench"]), sep="\n")
        if other:
            print("", *against.as_text(result["against"], args.model, args.against), sep="\n")
    return 0


def measure(scorer, path, subset_column=None, temperature=None, temperature_data=None, *, other=None, seed=0, bins=10):
    """Every figure of --json for the held-out preferences of a file, or of the built-in world if path is None

    other   the directory of --against and its Scorer
    """

    def held_out(option, scorer):
        try:
            if path is None:
                return evaluate_pairs.load_world(seed, scorer)
            return evaluate_pairs.load_file(path, scorer, subset_column)
        except InputError as error:  # of two models, only one may be able to read the data
            raise InputError(f"{option}: {error}" if other else str(error)) from None

    data = held_out("--model", scorer)
    of_other = other and scored_pairs(held_out(f"--against {other[0]}", other[1]), other[1])
    reward, rng = rewards_with_bar(scorer, data.rows), np.random.default_rng([seed, 3])
    pairs = evaluate_pairs.compare(data, reward)
    won = drawn_labels(pairs, rng)
    result = {"data": data.about, "left_out": data.left_out, **measured(pairs, won, rng, bins)}
    if temperature is not None:
        result["temperature"] = after_temperature(scorer, pairs, won, temperature, temperature_data, rng, bins)
    if data.labels:
        result["rewardbench"] = rewardbench.measured(reward, data.ranks, data.labels)
    if other:
        result["against"] = against.compared(pairs, of_other, rng) | {"model": other[0]}
    return result


def check_best_of(args):
    """InputError for options that --best-of needs, or would ignore"""
    if args.best_of and args.data is None:
        raise InputError("--best-of: give --data FILE with rows of prompt, responses and scores")
    for name in ("subset_column", "temperature", "figure", "against"):
        if args.best_of and getattr(args, name) is not None:
            raise InputError(f"--{name.replace('_', '-')}: --best-of does not use it: leave it out")


def asked_temperature(args):
    """None, "fit", or the number of --temperature"""
    if args.temperature_data is not None and args.temperature != "fit":
        raise InputError(f"--temperature-data {args.temperature_data}: is for --temperature fit")
    return positive_or_fit(args.temperature)


def positive_or_fit(text):
    """ "1.5" -> 1.5; "fit" and None stay"""
    if text in (None, "fit"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < np.inf:
        raise InputError(f"--temperature {text}: expected a number above 0, or fit")
    return value


def scored_pairs(data, scorer):
    """All comparisons of the data by a model's rewards        -> Comparisons"""
    return evaluate_pairs.compare(data, rewards_with_bar(scorer, data.rows))


def drawn_labels(pairs, rng):
    """1 if the first response won: always in a file; in the world drawn with the true probability        -> (M,)"""
    return (rng.random(len(pairs.margin)) < sigmoid(pairs.true)).astype(float)


def after_temperature(scorer, pairs, won, temperature, temperature_data, rng, bins):
    """The effect of dividing all margins by T, which is given or fitted: on temperature_data or the pairs themselves"""
    fitted_on = None
    if temperature == "fit":
        fitted_on = temperature_data or "the evaluated pairs themselves, an optimistic result"
        labelled = np.where(won == 1, pairs.margin, -pairs.margin)
        if temperature_data is not None:
            labelled = scored_pairs(evaluate_pairs.load_file(temperature_data, scorer), scorer).margin
        temperature = calibration.fit_temperature(labelled).temperature
    cooled = pairs.margin / temperature
    return {
        "T": temperature,
        "fitted_on": fitted_on,
        "loss": metrics.log_loss(cooled, pairs.true),
        "brier": metrics.brier(cooled, pairs.true),
        "calibration": calibrated(cooled, won, rng, bins),
    }

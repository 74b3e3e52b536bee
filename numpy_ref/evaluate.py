"""The command `evaluate` of both packages: how good rewards are on held-out preferences, and by what they are fooled.

Every figure stands beside what it is to be read against: an interval, a baseline, the best that anybody could reach.
"""

import json
from pathlib import Path

import numpy as np

from . import calibration, evaluate_pairs, metrics
from .checkpoint import replace_whole
from .commands import positive_int, table
from .errors import InputError
from .losses import sigmoid
from .score import counted, numpy_scorer

FEW = 20  # prompts: drawn again from fewer, the percentiles of a mean fall short of their 95 %
MATCHED = 0.1  # lengths that differ by at most a tenth of the longer one count as equal
LEADS = (  # by how much the better response is longer, relative to the longer of the two
    "shorter by more than half",
    "shorter by 10 to 50 %",
    "of the same length, within 10 %",
    "longer by 10 to 50 %",
    "longer by more than half",
)
NAMES = {"accuracy": "accuracy", "loss": "log loss", "brier": "Brier score", "longer_wins": "the longer one wins"}
SCORES = {"accuracy": metrics.accuracy, "loss": metrics.log_loss, "brier": metrics.brier}


def add_arguments(parser):
    """The options of `evaluate`"""
    parser.add_argument("--model", metavar="DIR", required=True, help="a run or model directory of either package")
    parser.add_argument("--data", metavar="FILE", help="held-out preferences; the built-in world's if left out")
    parser.add_argument("--subset-column", metavar="NAME", help="a column of --data: accuracy for each of its values")
    parser.add_argument(
        "--temperature",
        metavar="T",
        help="a number, or `fit`: probabilities σ(margin / T); fitted on --temperature-data",
    )
    parser.add_argument(
        "--temperature-data", metavar="FILE", help="preferences to fit T on; --data itself if left out, which flatters"
    )
    parser.add_argument("--bins", type=positive_int, default=10, help="of the reliability curve, of as many pairs each")
    parser.add_argument("--figure", metavar="FILE", help="draw the reliability curve and accuracy by length, as .png")
    parser.add_argument("--json", metavar="FILE", help="write every figure, as JSON")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap, and of the world: that of the training")


def run(args, scorer_of=numpy_scorer):
    """Scores, measures, prints; returns the exit status"""
    check_figure(args.figure)
    scorer = scorer_of(args.model)
    if args.subset_column and args.data is None:
        raise InputError("--subset-column: the built-in world has no columns: give --data FILE")
    temperature = asked_temperature(args)
    if args.data is None:
        data = evaluate_pairs.load_world(args.seed, scorer)
    else:
        data = evaluate_pairs.load_file(args.data, scorer, args.subset_column)
    pairs, rng = compare_with_bar(data, scorer), np.random.default_rng([args.seed, 3])
    won = drawn_labels(pairs, rng)
    result = {
        "model": args.model,
        "data": data.about,
        "left_out": data.left_out,
        **measured(pairs, won, rng, args.bins),
    }
    if temperature is not None:
        result["temperature"] = after_temperature(args, scorer, pairs, won, temperature, rng)
    if args.json:
        replace_whole(Path(args.json), json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    for line in as_text(result):
        print(line)
    if args.figure:
        from .calibration_figure import draw_evaluation

        draw_evaluation(result, args.figure)
    return 0


def check_figure(path):
    """InputError, before anything is computed, for a name that no picture can have"""
    if path is not None and Path(path).suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--figure {path}: expected a file name that ends in .png, .svg or .pdf")


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


def compare_with_bar(data, scorer):
    """evaluate_pairs.compare with a progress bar over the responses"""
    from tqdm import tqdm

    with tqdm(total=sum(map(len, data.rows)), desc="scoring", unit="response") as bar:
        return evaluate_pairs.compare(data, counted(scorer.rewards, bar))


def drawn_labels(pairs, rng):
    """1 where the first response won: always in a file, drawn with the true probability in the world        -> (M,)"""
    return (rng.random(len(pairs.margin)) < sigmoid(pairs.true)).astype(float)


def measured(pairs, won, rng, bins):
    """Every figure of --json"""
    result: dict = {"prompts": len(set(pairs.prompt.tolist())), "pairs": len(pairs.margin)}
    result |= {name: with_interval(score, pairs.margin, pairs, rng) for name, score in SCORES.items()}
    result["longer_wins"] = with_interval(metrics.accuracy, pairs.longer, pairs, rng)
    if np.isfinite(pairs.true).all():
        for name, score in SCORES.items():
            result[name]["best_reachable"] = score(pairs.true, pairs.true)
    result["ties"] = float((pairs.margin == 0).mean())
    result["length_correlation"] = correlation(pairs.rewards, pairs.lengths)
    result["calibration"] = calibrated(pairs.margin, won, rng, bins)
    result["by_length"] = by_length(pairs)
    if pairs.subset is not None:
        result["subsets"] = by_subset(pairs)
        result["subset_mean"] = float(np.mean([row["accuracy"] for row in result["subsets"]]))
    return result


def with_interval(score, margin, pairs, rng):
    """{"value", "low", "high", "interval"}: Wilson's for as many prompts as pairs, else the bootstrap over prompts

    Wilson's is for shares of pairs that were right or not; expectations and losses have the bootstrap too. Where every
    pair of every prompt went the same way the bootstrap would be a single point: Wilson's for that many prompts.
    """
    each = score(margin, pairs.true, each=True)
    n_prompts, value = len(np.unique(pairs.prompt)), float(each.mean())
    is_share = score is metrics.accuracy and not np.isfinite(pairs.true).any()
    if is_share and (n_prompts == len(each) or np.ptp(each) == 0):
        (low, high), how = metrics.wilson(value, n_prompts), "Wilson"
    elif n_prompts > 1:
        (low, high), how = metrics.clustered_interval(each, pairs.prompt, rng), "bootstrap over prompts"
    else:
        low, high, how = None, None, "none: there is one prompt only"
    return {"value": value, "low": low, "high": high, "interval": how}


def correlation(x, y):
    """Pearson's, of what is centred already; None where one of the two does not vary        (R,), (R,) -> ()"""
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / norm) if norm > 0 else None


def calibrated(margin, won, rng, bins):
    """The reliability curve, its ECE beside that of a calibrated model, and the debiased squared error"""
    confidence, right = calibration.folded(margin, won)
    curve = calibration.reliability_curve(confidence, right, bins)
    mean, high = calibration.ece_if_calibrated(confidence, rng, bins)
    rows = zip(*(column.tolist() for column in curve), strict=True)
    return {
        "ece": calibration.ece(curve),
        "ece_if_calibrated": mean,
        "ece_if_calibrated_95": high,
        "squared_error_debiased": calibration.squared_calibration_error(confidence, right, bins),
        "brier_parts": dict(
            zip(("reliability", "resolution", "uncertainty"), calibration.brier_parts(curve), strict=True)
        ),
        "curve": [dict(zip(("pairs", "confidence", "right"), row, strict=True)) for row in rows],
    }


def by_length(pairs):
    """Accuracy where the better response is shorter, as long, longer: here a model that counts characters shows"""
    lead = pairs.longer
    place = 2 + (lead > MATCHED) + (lead > 0.5) - (lead < -MATCHED).astype(int) - (lead < -0.5)  # (M,)
    found = []
    for i, name in enumerate(LEADS):
        here = place == i
        accuracy = metrics.accuracy(pairs.margin[here], pairs.true[here]) if here.any() else None
        found.append({"better_is": name, "pairs": int(here.sum()), "accuracy": accuracy})
    return found


def by_subset(pairs):
    """Accuracy for each value of the subset column, beside what length alone would give"""
    found = []
    for name in sorted(set(pairs.subset.tolist())):
        here = pairs.subset == name
        scores = (metrics.accuracy(x[here], pairs.true[here]) for x in (pairs.margin, pairs.longer))
        found.append(
            dict(zip(("subset", "pairs", "accuracy", "longer_wins"), (name, int(here.sum()), *scores), strict=True))
        )
    return found


def after_temperature(args, scorer, pairs, won, temperature, rng):
    """What division of all margins by T changes; T is given, or fitted on --temperature-data or the pairs themselves"""
    fitted_on = None
    if temperature == "fit":
        fitted_on = args.temperature_data or "the evaluated pairs themselves, which flatters"
        labelled = np.where(won == 1, pairs.margin, -pairs.margin)
        if args.temperature_data is not None:
            labelled = compare_with_bar(evaluate_pairs.load_file(args.temperature_data, scorer), scorer).margin
        temperature = calibration.fit_temperature(labelled).temperature
    cooled = pairs.margin / temperature
    return {
        "T": temperature,
        "fitted_on": fitted_on,
        "loss": metrics.log_loss(cooled, pairs.true),
        "brier": metrics.brier(cooled, pairs.true),
        "calibration": calibrated(cooled, won, rng, args.bins),
    }


def as_text(result):
    """The lines that the command prints, within 80 columns where the names of files and subsets allow it"""
    yield f"model     {result['model']}"
    yield f"data      {result['data']}"
    if result["left_out"]:
        yield f"left out  {result['left_out']}"
    yield f"compared  {result['pairs']:,} pairs of responses to {result['prompts']:,} prompts"
    yield ""
    best = any("best_reachable" in result[name] for name in NAMES)
    rows = [["", "value", "95 % interval", *(["best reachable"] if best else [])]]
    for name, title in NAMES.items():
        row = result[name]
        interval = "-" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"
        reachable = [f"{row['best_reachable']:.4f}" if "best_reachable" in row else ""] if best else []
        rows.append([title, f"{row['value']:.4f}", interval, *reachable])
    yield from table(rows)
    yield f"Intervals: accuracy {result['accuracy']['interval']}; losses {result['loss']['interval']}."
    if result["prompts"] < FEW and "bootstrap" in result["accuracy"]["interval"]:
        yield f"Of {result['prompts']} prompts the bootstrap is too narrow: trust it from some {FEW} on."
    yield ""
    yield from by_length_text(result)
    yield ""
    yield from calibration_text(result)
    if "subsets" in result:
        yield ""
        yield from subsets_text(result)


def by_length_text(result):
    """Accuracy by the length of the better response, and the correlation of reward and length"""
    found = result["length_correlation"]
    rows = [[row["better_is"], f"{row['pairs']:,}", _four(row["accuracy"])] for row in result["by_length"]]
    yield from table([["the better response is", "pairs", "accuracy"], *rows])
    yield f"Correlation of reward and length (characters) within a prompt: {'-' if found is None else f'{found:+.3f}'}"
    yield f"Pairs of equal reward, which count one half: {result['ties']:.2%}"


def calibration_text(result):
    """The reliability curve as a table, the ECE with its bias, and what a temperature changes"""
    found = result["calibration"]
    rows = [[f"{row['confidence']:.4f}", f"{row['right']:.4f}", f"{row['pairs']:,}"] for row in found["curve"]]
    yield from table([["says", "is right", "pairs"], *rows], aligned_left=0)
    yield f"ECE {found['ece']:.4f}; a calibrated model with these margins would show"
    mean, high = found["ece_if_calibrated"], found["ece_if_calibrated_95"]
    yield f"    {mean:.4f} on average, and at most {high:.4f} in 95 of 100 cases"
    yield f"Squared calibration error without bias: {found['squared_error_debiased']:+.5f} (below 0: none found)"
    if "temperature" in result:
        cooled = result["temperature"]
        yield ""
        yield f"Temperature {cooled['T']:.4f}" + (f", fitted on {cooled['fitted_on']}" if cooled["fitted_on"] else "")
        rows = [
            ["", "as it is", "divided by T"],
            ["log loss", _four(result["loss"]["value"]), _four(cooled["loss"])],
            ["Brier score", _four(result["brier"]["value"]), _four(cooled["brier"])],
            ["ECE", _four(found["ece"]), _four(cooled["calibration"]["ece"])],
        ]
        yield from table(rows)


def subsets_text(result):
    """Accuracy for each subset, and their mean, in which every subset weighs one"""
    rows = [
        [row["subset"], f"{row['pairs']:,}", _four(row["accuracy"]), _four(row["longer_wins"])]
        for row in result["subsets"]
    ]
    mean = ["mean over subsets", "", _four(result["subset_mean"]), ""]
    yield from table([["subset", "pairs", "accuracy", "longer wins"], *rows, mean])


def _four(value):
    return "-" if value is None else f"{value:.4f}"

"""The measures of `evaluate`: scores with intervals, calibration, and the accuracy that length alone reaches."""

import numpy as np

from .. import metrics
from . import calibration, intervals

MATCHED = 0.1  # lengths that differ by at most a tenth of the longer one count as equal
LEADS = (  # by how much the better response is longer, relative to the longer of the two
    "shorter by more than half",
    "shorter by 10 to 50 %",
    "of the same length, within 10 %",
    "longer by 10 to 50 %",
    "longer by more than half",
)
SCORES = {"accuracy": metrics.accuracy, "loss": metrics.log_loss, "brier": metrics.brier}


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
    """{"value", "low", "high", "interval"}: Wilson's if each prompt has one pair, else a bootstrap over prompts

    Wilson's interval is for shares of right pairs; expectations and losses always have the bootstrap. If every
    pair has the same result, the bootstrap would be a single point: then Wilson's, with n the number of prompts.
    """
    each = score(margin, pairs.true, each=True)
    n_prompts, value = len(np.unique(pairs.prompt)), float(each.mean())
    is_share = score is metrics.accuracy and not np.isfinite(pairs.true).any()
    if is_share and (n_prompts == len(each) or np.ptp(each) == 0):
        low, high = intervals.wilson(value * n_prompts, n_prompts)
        return {"value": value, "low": low, "high": high, "interval": "Wilson"}
    return bootstrapped(each, pairs.prompt, rng)


def bootstrapped(each, prompt, rng):
    """{"value", "low", "high", "interval"} of a mean over pairs, by a bootstrap over prompts        (M,), (M,)"""
    if len(np.unique(prompt)) > 1:
        (low, high), how = intervals.prompts_interval(each, prompt, rng), "bootstrap over prompts"
    else:
        low, high, how = None, None, "none: there is one prompt only"
    return {"value": float(each.mean()), "low": low, "high": high, "interval": how}


def correlation(x, y):
    """Pearson's correlation of centred numbers; None if one of the two does not vary        (R,), (R,) -> ()"""
    norm = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / norm) if norm > 0 else None


def calibrated(margin, won, rng, bins):
    """The reliability curve, its ECE and that of a calibrated model, and the debiased squared error"""
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
    """Accuracy if the better response is shorter, as long, or longer: it reveals a model that counts characters"""
    lead = pairs.longer
    place = 2 + (lead > MATCHED) + (lead > 0.5) - (lead < -MATCHED).astype(int) - (lead < -0.5)  # (M,)
    found = []
    for i, name in enumerate(LEADS):
        here = place == i
        accuracy = metrics.accuracy(pairs.margin[here], pairs.true[here]) if here.any() else None
        found.append({"better_is": name, "pairs": int(here.sum()), "accuracy": accuracy})
    return found


def by_subset(pairs):
    """Accuracy for each value of the subset column, and the accuracy of length alone"""
    found = []
    for name in sorted(set(pairs.subset.tolist())):
        here = pairs.subset == name
        scores = (metrics.accuracy(x[here], pairs.true[here]) for x in (pairs.margin, pairs.longer))
        found.append(
            dict(zip(("subset", "pairs", "accuracy", "longer_wins"), (name, int(here.sum()), *scores), strict=True))
        )
    return found

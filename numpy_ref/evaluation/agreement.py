"""Do annotators agree more than by chance? Percent agreement, kappa and alpha, with their uncertainty.

Chance agreement is computed from the annotators' own label frequencies. Kappa and alpha are 0 at chance and 1 at full
agreement. There is no torch twin, because there is no gradient here.

Sources: Cohen 1960 and 1968; Fleiss, Cohen & Everitt 1969 (standard error); Fleiss 1971; Gwet 2008 (standard error of
Fleiss' kappa); Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
"""

import math

import numpy as np

from ..errors import InputError


def percent_agreement(first, second):
    """The share of items with the same label and its standard error √(p (1 - p) / n)        (n,), (n,) -> (), ()"""
    first, second = same_length(first, second)
    p = float((first == second).mean())
    return p, math.sqrt(p * (1 - p) / len(first))


def cohen_kappa(first, second, weights=None):
    """κ = (p_o - p_e) / (1 - p_e) and its standard error        (n,), (n,) -> (), ()

    p_o = Σ w_ij p_ij, p_e = Σ w_ij p_i. p_.j, and w_ij the credit for the labels i and j, k labels in sorted order:
    weights     None: 1 if i = j, else 0;  "linear": 1 - |i - j| / (k - 1);  "quadratic": 1 - (i - j)² / (k - 1)²
    """
    first, second = same_length(first, second)
    labels, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    k, n = len(labels), len(first)
    p = np.bincount(codes[:n] * k + codes[n:], minlength=k * k).reshape(k, k) / n  # (k, k)
    credit = label_credit(k, weights)
    rows, columns = p.sum(1), p.sum(0)
    observed, expected = (credit * p).sum(), rows @ credit @ columns
    if expected == 1:
        raise InputError(f"both annotators used the one label {labels[0]!r}: kappa is 0/0 where nobody could disagree")
    kappa = (observed - expected) / (1 - expected)
    by_chance = (credit @ columns)[:, None] + rows @ credit
    variance = (p * (credit - by_chance * (1 - kappa)) ** 2).sum() - (kappa - expected * (1 - kappa)) ** 2
    return float(kappa), math.sqrt(max(variance, 0) / n) / (1 - float(expected))


def label_credit(k, weights):
    """How much labels i and j agree: 1 on the diagonal        -> (k, k)"""
    if weights not in (None, "linear", "quadratic"):
        raise InputError(f"weights={weights!r}: expected None, 'linear' or 'quadratic'")
    if weights is None:
        return np.eye(k)
    apart = abs(np.subtract.outer(np.arange(k), np.arange(k))) / max(k - 1, 1)
    return 1 - (apart if weights == "linear" else apart * apart)


def fleiss_kappa(counts):
    """κ of many annotators and its standard error        (items, labels) -> (), ()

    counts      how many annotators gave an item a label; every row has the same sum, of at least 2
    p_i = Σ_j c_ij (c_ij - 1) / (r (r - 1)) is item i's agreement, q_j the share of label j, p_e = Σ q_j².
    """
    counts = np.asarray(counts, float)
    raters = counts.sum(1)
    if counts.ndim != 2 or len(counts) < 2 or raters.min() < 2 or raters.max() > raters.min():
        raise InputError(
            f"every item needs the same number of annotators, at least 2, and there must be two items; found "
            f"{counts.shape} counts with {raters.min():g} to {raters.max():g} annotators; alpha takes missing values"
        )
    share = counts / raters[:, None]
    agreement = (counts * (counts - 1)).sum(1) / (raters * (raters - 1))  # (items,)
    labels = share.mean(0)
    expected = labels @ labels
    if expected == 1:
        raise InputError("every annotator used the same label: kappa is 0/0 where nobody could disagree")
    kappa = (agreement.mean() - expected) / (1 - expected)
    influence = (agreement - 2 * (1 - kappa) * (share @ labels)) / (1 - expected)  # std subtracts its mean
    return float(kappa), float(influence.std(ddof=1) / math.sqrt(len(counts)))


def krippendorff_alpha(ratings, level="nominal"):
    """α = 1 - D_o / D_e: observed over expected disagreement        (annotators, items), NaN where missing -> ()

    level       "nominal": labels differ or not;  "interval": squared difference;  "ordinal": squared number of ratings
                between the two, plus half of those at each end. Items with fewer than two ratings are left out.
    """
    ratings = np.asarray(ratings, float)
    rated = ~np.isnan(ratings)
    used = rated.sum(0) >= 2
    if ratings.ndim != 2 or not used.any():
        raise InputError("alpha needs annotators in rows, items in columns and an item with at least two ratings")
    values, codes = np.unique(ratings[:, used][rated[:, used]], return_inverse=True)
    items = np.broadcast_to(np.cumsum(used) - 1, ratings.shape)[:, used][rated[:, used]]
    counts = np.zeros((used.sum(), len(values)))  # (items, values)
    np.add.at(counts, (items, codes), 1)
    weight = 1 / (counts.sum(1) - 1)
    together = (counts * weight[:, None]).T @ counts - np.diag(weight @ counts)  # (values, values)
    totals = together.sum(0)
    disagreement = squared_distance(values, totals, level)
    expected = totals @ disagreement @ totals / (totals.sum() - 1)
    if expected == 0:
        raise InputError(f"every rating is {values[0]:g}: alpha is 0/0 where nobody could disagree")
    return float(1 - (together * disagreement).sum() / expected)


def squared_distance(values, totals, level):
    """δ² between every two values        (k,), (k,) -> (k, k)"""
    if level not in ("nominal", "ordinal", "interval"):
        raise InputError(f"level={level!r}: expected 'nominal', 'ordinal' or 'interval'")
    if level == "nominal":
        return 1 - np.eye(len(values))
    place = np.cumsum(totals) - totals / 2 if level == "ordinal" else values
    return np.subtract.outer(place, place) ** 2


def same_length(first, second):
    """Two annotators' labels as arrays; InputError if a label is missing: None, NaN or pandas' NA"""
    lists = list(first), list(second)  # in an array of texts a NaN would become the text "nan"
    first, second = (np.asarray(labels) for labels in lists)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise InputError(
            f"two annotators' labels have shapes {first.shape} and {second.shape}, expected one length, not 0"
        )
    for item, labels in enumerate(zip(*lists, strict=True)):
        if any(not isinstance(label, str) and str(label) in ("None", "nan", "<NA>") for label in labels):
            raise InputError(f"item {item} has the label NaN: leave out the items that one did not label")
    return first, second

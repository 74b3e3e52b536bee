"""Preferences as lists of token ids, best response first; numpy_ref/data/tokens.py must say the same in arrays."""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from numpy_ref.errors import InputError


class Encoded(NamedTuple):
    """N prompts' responses as token ids, best first, the target margin of each, and what was left out and why

    A list with the same response twice is kept as it was ranked, and counted. The comparison of the two adds ln 2 to
    the loss and nothing to the gradient.
    """

    rows: list  # N lists of K lists of ids
    margin: np.ndarray  # (N,)
    kept: list  # the preferences that the rows stand for
    too_long: int
    identical: int
    ranks: list  # N tuples of K ranks, 1 best, ties equal
    all_tied: int = 0
    repeating: int = 0  # lists that are kept although a response is in them twice


def encode(tokenizer, preferences, max_length, keep_tied=False):
    """Token ids of every preference, except those with a response beyond max_length or only equal responses or ranks

    Nothing is cut: a cut response would lose its end, and two responses may become equal. Equal responses would cost a
    forward pass, teach nothing, and pull the accuracy towards one half. So would a list whose ranks are all the same,
    unless the loss learns from ties (keep_tied).
    """
    rows, kept, too_long, identical, all_tied, repeating = [], [], 0, 0, 0, 0
    for number, preference in enumerate(preferences, 1):
        row = _encoded(tokenizer, preference, number)
        if max(map(len, row)) > max_length:
            too_long += 1
        elif all(ids == row[0] for ids in row):
            identical += 1
        elif not keep_tied and len(set(preference.ranks)) == 1:
            all_tied += 1
        else:
            rows.append(row)
            kept.append(preference)
            repeating += len(set(map(tuple, row))) < len(row)
    margin, ranks = np.array([preference.margin for preference in kept]), [preference.ranks for preference in kept]
    return Encoded(rows, margin, kept, too_long, identical, ranks, all_tied, repeating)


def _encoded(tokenizer, preference, number):
    try:
        return [tokenizer.encode(preference.prompt, response) for response in preference.responses]
    except InputError as error:
        raise InputError(f"preference {number}: {error}") from None


def comparisons(data, margin_per_rank=0.0):
    """Every comparison of every list as a pair, the better first: C(K, 2) rows for K responses

    A tie gives no row. Nor do two equal responses, which are counted in `identical`.
    """
    rows, margin, kept, identical = [], [], [], data.identical
    for row, lead, preference in zip(data.rows, data.margin, data.kept, strict=True):
        for i, j in combinations(range(len(row)), 2):
            distance = preference.ranks[j] - preference.ranks[i]
            if distance and row[i] == row[j]:
                identical += 1
            elif distance:
                rows.append([row[i], row[j]])
                margin.append(lead + margin_per_rank * distance)
                kept.append(preference)
    return Encoded(rows, np.array(margin), kept, data.too_long, identical, [(1, 2)] * len(rows), data.all_tied)

"""What the report counts and measures in one file: the numbers of its tables and of its JSON."""

import numpy as np

from .ceiling import longer_wins
from .findings import NO_PROMPT

QUANTILES = {"min": 0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1}


def counts(report, file):
    """How much of everything one file holds"""
    rows, compared = report.rows, report.compared
    own = rows.file == file
    readable = own & (rows.size > 0)
    size = rows.size[readable].astype(np.int64)
    strict = int((rows.file[compared.row] == file).sum())
    return {
        "rows": int(own.sum()),
        "pairs": int((size == 2).sum()),
        "ranked lists": int((size > 2).sum()),
        "responses": int(size.sum()),
        "comparisons": strict,
        "tied by their label": int((size * (size - 1) // 2).sum()) - strict,
        "rows with a margin": int(rows.margin[readable].sum()),
        "different prompts": len(np.unique(rows.prompt[readable & (rows.prompt != NO_PROMPT)])),
        "rows without a prompt": int((readable & (rows.prompt == NO_PROMPT)).sum()),
    }


def lengths(report, file):
    """What is measured, in one file        -> {name: (n,)}"""
    rows, compared = report.rows, report.compared
    own, here = rows.file == file, rows.file[compared.row] == file
    return {
        "prompt, characters": rows.prompt_chars[own & (rows.size > 0)],
        "chosen, characters": rows.chars[compared.better[here]],
        "rejected, characters": rows.chars[compared.worse[here]],
        "whole text, tokens": rows.tokens[np.repeat(own, rows.size)],
    }


def baseline(report, file):
    """The longer answer's share of the comparisons of one file, None where there is no comparison"""
    here = report.rows.file[report.compared.row] == file
    if not here.any():
        return None
    chars = report.rows.chars.astype(np.int64)
    share, interval, ties = longer_wins(chars[report.compared.better[here]], chars[report.compared.worse[here]])
    return {"share": float(share), "interval": [float(end) for end in interval], "ties": ties, "of": int(here.sum())}

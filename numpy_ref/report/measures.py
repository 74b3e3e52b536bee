"""Counts and measures of one file: the numbers in the report's tables and JSON."""

import numpy as np

from .ceiling import longer_wins
from .findings import NO_PROMPT, sentence, short_names

QUANTILES = {"min": 0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1}


def counts(report, file):
    """How many rows, pairs, responses, ... one file holds"""
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
    """Lengths of prompts, answers and whole texts in one file        -> {name: (n,)}"""
    rows, compared = report.rows, report.compared
    own, here = rows.file == file, rows.file[compared.row] == file
    return {
        "prompt, characters": rows.prompt_chars[own & (rows.size > 0)],
        "chosen, characters": rows.chars[compared.better[here]],
        "rejected, characters": rows.chars[compared.worse[here]],
        "whole text, tokens": rows.tokens[np.repeat(own, rows.size)],
    }


def baseline(report, file):
    """How often the longer answer was chosen in one file; None if it has no comparison"""
    here = report.rows.file[report.compared.row] == file
    if not here.any():
        return None
    chars = report.rows.chars
    share, interval, ties = longer_wins(chars[report.compared.better[here]], chars[report.compared.worse[here]])
    return {"share": float(share), "interval": [float(end) for end in interval], "ties": ties, "of": int(here.sum())}


IN_JSON = 100  # at most so many line numbers of a finding


def as_json(report, paths, misleading):
    """The report as plain numbers, lists and texts"""
    names = short_names(paths)
    files = []
    for file, path in enumerate(paths):
        measured = {what: column for what, column in lengths(report, file).items() if len(column)}
        files.append(
            {
                "file": str(path),
                "name": names[file],
                **counts(report, file),
                "lengths": {
                    what: dict(zip(QUANTILES, np.quantile(column, list(QUANTILES.values())).tolist(), strict=True))
                    for what, column in measured.items()
                },
                "longer_wins": baseline(report, file),
                "unreadable": {kind: at[:IN_JSON] for kind, at in report.rows.kinds[file].items()},
            }
        )
    return {
        "files": files,
        "max_length": report.max_length,
        "repeated_labels": report.ceiling and report.ceiling._asdict(),
        "findings": [finding_json(finding, report.rows, names) for finding in report.findings],
        "misleading": misleading,
    }


def finding_json(finding, rows, names):
    """One finding; `lines` are [file, line] of the first rows concerned, `first_case` those of the first case"""

    def places(at):
        return [[names[rows.file[row]], int(rows.line[row])] for row in at[:IN_JSON]]

    return {
        "name": finding.name,
        "severity": finding.severity,
        "rows": int(finding.rows.sum()),
        "lines": places(np.flatnonzero(finding.rows)),
        "first_case": places(finding.case),
        "sentence": sentence(finding, rows, names),
    }

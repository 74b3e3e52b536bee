"""The report as plain numbers, lists and texts, for `report --json`."""

import numpy as np

from .measures import QUANTILES, baseline, counts, lengths
from .text import sentence, short_names

IN_JSON = 100  # line numbers of a finding


def as_json(report, paths, misleading):
    """The same as plain numbers, lists and texts"""
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

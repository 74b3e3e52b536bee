"""The report as text within 80 columns."""

import numpy as np

from ..cli.text import clean, counted, table, wrap, wrapped
from .findings import SEVERITIES, SHOWN, line_numbers, sentence, short_names
from .measures import QUANTILES, baseline, counts, lengths

AT_ONCE = 3  # files beside each other in a table
TITLES = {
    "unreadable": "cannot be read",
    "empty": "empty answer",
    "near_empty": "nearly empty answer",
    "identical": "a text beside itself",
    "same_when_cut": "the same once cut",
    "too_long": "too long",
    "prefix": "one begins the other",
    "special": "special-token text",
    "repeated": "stands more than once",
    "both_orders": "in both orders",
    "cycles": "in a cycle",
    "shared_comparisons": "pair in two files",
    "shared_prompts": "prompt in two files",
    "shared_answers": "answer in two files",
}


def as_text(report, paths):
    """All sections; the first names each file in full, the others use short names"""
    names = short_names(paths)
    lines = [line for name, path in zip(names, paths, strict=True) for line in wrapped(f"{name}: {clean(path)}")]
    numbers = [counts(report, file) for file in range(len(paths))]
    lines += ["", *blocks("counts", numbers, names)]
    for file, name in enumerate(names):
        lines += ["", *length_lines(report, file, name)]
    concerned = [
        {TITLES[f.name]: int(f.rows[report.rows.file == file].sum()) for f in report.findings if f.name in TITLES}
        for file in range(len(paths))
    ]
    lines += ["", *blocks("rows with trouble", concerned, names)]
    for file, name in enumerate(names):
        lines += kind_lines(report.rows.kinds[file], name, report.rows.units[file])
    lines += ["", *baseline_lines(report, names), "", *ceiling_lines(report.ceiling)]
    return "\n".join([*lines, "", *finding_lines(report, names)])


def blocks(title, numbers, names):
    """Tables with a column for each file, a few files each        numbers: for each file {row: count}"""
    lines: list = []
    for start in range(0, len(names), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        body = [[f"  {row}", *(f"{column[row]:,}" for column in numbers[part])] for row in numbers[0]]
        lines += [""] * bool(lines) + list(table([[f"{title:<24}", *names[part]], *body]))
    return lines


def length_lines(report, file, name):
    """Quantiles of prompts and answers in characters, of whole texts in tokens"""
    body = [
        [f"  {what}", *(f"{value:,.0f}" for value in np.quantile(column, list(QUANTILES.values())))]
        for what, column in lengths(report, file).items()
        if len(column)
    ]
    return list(table([[f"{'lengths: ' + name:<24}", *QUANTILES], *body]))


def kind_lines(kinds, name, unit):
    """Why rows cannot be read, the most frequent reason first"""
    most = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    lines = [""] * bool(most) + wrap(f"cannot be read: {name}") * bool(most)
    for kind, at in most[:SHOWN]:
        lines += wrapped(f"  {len(at):,} x {clean(kind)} ({line_numbers(at, unit)})", indent="      ")
    if len(most) > SHOWN:
        lines.append(f"  and {len(most) - SHOWN:,} other kinds")
    return lines


def baseline_lines(report, names):
    """The accuracy of the longer answer as a prediction"""
    body = []
    for file, name in enumerate(names):
        if found := baseline(report, file):
            low, high = found["interval"]
            body.append([f"  {name}", f"{found['share']:.3f}", f"{low:.3f} to {high:.3f}", f"{found['ties']:,}"])
    heading = ["the longer answer was chosen", "share", "95 % interval", "equal lengths (count half)"]
    return list(table([heading, *body]))


def ceiling_lines(found):
    """What repeated labels show, and what they cannot show"""
    if found is None:
        return wrap(
            "labels given again: no pair was labelled twice, so nothing can be said about how far labels agree, nor "
            "about the best reachable accuracy"
        )
    (a, b), (c, d), (e, f) = found.accuracy, found.accuracy_interval, found.loss
    low, high = found.brier_interval
    body = [
        ["  two labels of one pair agree", f"{found.agreement:.3f}", "estimate"],
        ["  Krippendorff's alpha (0: chance)", f"{found.alpha:.3f}", "estimate"],
        ["  best reachable Brier score", f"{found.brier:.4f}", f"estimate ({low:.3f} to {high:.3f})"],
        ["  best reachable accuracy", f"{a:.3f} to {b:.3f}", f"bounds ({c:.3f} to {d:.3f})"],
        ["  best reachable log loss (nats)", f"{e:.3f} to {f:.3f}", "bounds"],
    ]
    explained = (
        "In brackets 95 % intervals. All speak of these pairs only, and take the labels of a pair for independent: "
        "where repeated rows are copies rather than labels given again, the truth is worse."
    )
    width_of = [max(len(row[k]) for row in body) for k in (0, 1)]
    lines = [f"{row[0]:<{width_of[0]}}  {row[1]:>{width_of[1]}}  {row[2]}" for row in body]
    heading = f"labels given again: {counted(found.pairs, 'pair')}, {found.labels:,} labels"
    return [heading, *lines, *wrap("  " + explained, indent="  ")]


def finding_lines(report, names):
    """What would mislead training, the worst first"""
    found = [f for severity in SEVERITIES for f in report.findings if f.severity == severity and f.rows.any()]
    lines = ["what would mislead training"]
    for finding in found:
        lines += wrapped(f"  {finding.severity:<8} {sentence(finding, report.rows, names)}", indent=" " * 11)
    if not any(finding.severity == "error" for finding in found):
        lines += wrap("  nothing that --strict fails for" + (", but see above" if found else ""), indent="  ")
    return lines

"""Findings about the rows, each as one sentence: what, how many, where, what to do.

error       misleads training or its evaluation, so --strict fails: rows that cannot be read, empty answers, pairs of
            equal texts (also if only equal after the cut), both orders of one pair, cycles, comparisons and prompts
            that splits share
warning     may be intended, but is worth a look: nearly empty or too long answers, an answer that begins with the
            other, text of special tokens, repeated comparisons, answers that splits share
note        nothing is wrong, but it is good to know: the longer answer wins, labels disagree
With `repeated_labels` several labels of one pair are intended: both orders, cycles and repetitions become notes.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..cli.text import clean, counted, pad, width
from . import relations
from . import rows as kept
from .ceiling import Ceiling, ceiling, longer_wins

SEVERITIES = ("error", "warning", "note")
NO_PROMPT = kept.simple_hash("")


class Finding(NamedTuple):
    """The answer to one question about all rows"""

    name: str
    severity: str
    rows: np.ndarray  # (N,) bool, the rows concerned
    what: str
    advice: str
    case: np.ndarray  # the rows of the first case


class Report(NamedTuple):
    """Everything that tables, pictures and the JSON show"""

    rows: kept.Rows
    compared: relations.Comparisons
    findings: list
    ceiling: Ceiling | None
    max_length: int


def examine(rows, max_length, repeated_labels=False) -> Report:
    """The findings of all questions, including those without any case"""
    compared = relations.comparisons(rows)
    labelled = relations.labels(compared)
    findings = about_rows(rows, max_length)
    findings += about_labels(rows, compared, labelled, "note" if repeated_labels else None)
    if len(rows.kinds) > 1:
        findings += about_splits(rows, compared)
    findings += about_lengths(rows, compared)
    given = relations.labels(relations.once_a_row(compared, labelled))
    return Report(rows, compared, findings, ceiling(given.n, given.low_wins), max_length)


def about_rows(rows, max_length):
    """Findings that each row shows by itself"""
    found = ", ".join(f"{text} {n:,}" for text, n in rows.specials.most_common(3))
    questions = [
        (
            "unreadable", kept.UNREADABLE, "error", "cannot be read",
            "mend them or take them out: train refuses the whole file",
        ),
        (
            "empty", kept.EMPTY, "error", "{have} an empty answer",
            "take them out: an empty answer teaches that any text is better",
        ),
        (
            "near_empty", kept.NEAR_EMPTY, "warning", "{have} an answer of fewer than two letters or digits",
            "see whether it is one, or what was left of one",
        ),
        (
            "identical", kept.IDENTICAL, "error", "{prefer} a text to itself, whitespace aside",
            "take them out: they teach nothing and pull the accuracy towards one half",
        ),
        (
            "same_when_cut", kept.SAME_WHEN_CUT, "error",
            f"{{prefer}} a text to itself once cut at {max_length} tokens",
            "raise the limit or take them out: cut on the right, both sides may become the same text",
        ),
        (
            "too_long", kept.TOO_LONG, "warning", f"{{have}} a text of more than {max_length} tokens",
            "raise --max-length, or know that train leaves them out and others cut them",
        ),
        (
            "prefix", kept.PREFIX, "warning", "{compare} an answer with its own beginning",
            "see whether the shorter one was cut off when it was made",
        ),
        (
            "special", kept.SPECIAL, "warning", f"{{hold}} the text of a special token ({found or 'none'})",
            "this project's tokenizers never turn it into the special token, but others do: an answer would end there",
        ),
    ]  # fmt: skip
    findings = []
    for name, flag, severity, what, advice in questions:
        concerned = (rows.flags & flag) > 0
        n = int(concerned.sum())
        what = f"{counted(n, 'row')} {inflected(what, n)}"
        findings.append(Finding(name, severity, concerned, what, advice, np.flatnonzero(concerned)))
    return findings


def about_labels(rows, compared, labelled, severity=None):
    """Findings about several comparisons of one file: repetitions, both orders, cycles"""
    again = compared.only(labelled.at)
    code, m = relations.codes(again.winner, again.loser)
    repeats = relations.repeated(code, m)
    spellings, _ = relations.codes(code, rows.written[again.better], rows.written[again.worse])
    _, first = np.unique(spellings, return_index=True)
    spaced = int((np.bincount(code[first], minlength=m) > 1).sum())
    both = relations.both_orders(labelled)
    circles = relations.in_cycles(compared, relations.cycles(compared, labelled))
    aside = f", {spaced:,} of them in different whitespace" if spaced else ""
    return [
        grouped(
            "repeated", severity or "warning", rows, again.row, repeats,
            "comparison", "{stand} more than once" + aside,
            "keep one of each, or say --repeated-labels if they are labels given again: copies weigh more than others",
        ),
        grouped(
            "both_orders", severity or "error", rows, again.row, both,
            "pair", "{stand} in both orders",
            "decide for one, or say --repeated-labels if several people were asked: no reward satisfies both",
        ),
        grouped(
            "cycles", severity or "error", rows, compared.row, circles,
            "group", "of answers {hold} a cycle of preferences",
            "look at their labels again: no reward can order them, and training settles on a compromise",
        ),
    ]  # fmt: skip


def about_splits(rows, compared):
    """Findings about what several files share"""
    row_of_answer = np.repeat(np.arange(len(rows.size)), rows.size)
    elsewhere = relations.shared(rows.file[row_of_answer], rows.prompt[row_of_answer], rows.text) >= 0
    leaked = compared.only(elsewhere[compared.better] & elsewhere[compared.worse])
    text = np.sort([rows.text[leaked.better], rows.text[leaked.worse]], axis=0)
    same = relations.shared(rows.file[leaked.row], rows.prompt[leaked.row], *text)
    prompts = np.flatnonzero((rows.size > 0) & (rows.prompt != NO_PROMPT))
    prompt = relations.shared(rows.file[prompts], rows.prompt[prompts])
    answers = relations.shared(rows.file[row_of_answer], rows.text)
    return [
        grouped(
            "shared_comparisons", "error", rows, leaked.row, same, "pair", "{stand} in more than one file",
            "take them out of all but one: what was trained on measures memory",
        ),
        grouped(
            "shared_prompts", "error", rows, prompts, prompt, "prompt", "{stand} in more than one file",
            "split by prompt: a model knows the answers to prompts that it was trained on",
        ),
        grouped(
            "shared_answers", "warning", rows, row_of_answer, answers, "answer", "{stand} in more than one file",
            "see whether they are commonplaces or leaked from one split into the other",
        ),
    ]  # fmt: skip


def about_lengths(rows, compared):
    """The finding about length: how often the longer answer was chosen"""
    if not len(compared.row):
        return []
    chars = rows.chars
    share, (low, high), _ = longer_wins(chars[compared.better], chars[compared.worse])
    if low <= 0.5 <= high:
        return []
    which, beaten = ("longer", share) if share > 0.5 else ("shorter", 1 - share)
    what = f"the {which} answer was chosen in {beaten:.1%} of the comparisons"
    advice = "name this baseline beside every accuracy: counting characters reaches it"
    return [Finding("length", "note", rows.size > 1, what, advice, np.zeros(0, int))]


def grouped(name, severity, rows, row, group, unit, what, advice):
    """A finding whose cases span rows        row (n,), group (n,): the case of each entry, or -1"""
    found = group >= 0
    concerned = np.zeros(len(rows.size), bool)
    concerned[row[found]] = True
    cases = len(np.unique(group[found]))
    case = np.unique(row[group == group[found.argmax()]]) if cases else np.zeros(0, int)
    what = f"{counted(cases, unit)} {inflected(what, cases)} ({counted(int(concerned.sum()), 'row')})"
    return Finding(name, severity, concerned, what, advice, case)


def inflected(what, n):
    """{have} -> has or have, {stand} -> stands or stand"""
    verbs = {verb: verb if n != 1 else verb + "s" for verb in ("stand", "prefer", "hold", "compare")}
    return what.format(have="have" if n != 1 else "has", **verbs)


NAME = 16  # columns of a file's name


SHOWN = 6  # line numbers in a sentence


def short_names(paths):
    """The files' names in the tables: without .jsonl, cut, and numbered if they would not be unique"""
    names: list = []
    for k, path in enumerate(paths, 1):
        name = re.sub(r"\.(jsonl|json|csv)$", "", clean(Path(path).name).removesuffix(".gz"))
        name = (pad(name, NAME) if len(name) > NAME else name) or "file"
        if width(name) != len(name):  # a table counts characters, and some take two columns
            name = f"file {k}"
        names.append(f"{name[: NAME - 4]}~{k}" if name in names else name)
    return names


def sentence(finding, rows, names):
    """A finding as one sentence: what, how many, where, what to do"""
    at = where(finding.case, rows, names)
    return f"{finding.what}{f': {at}' if at else ''}; {finding.advice}"


def where(case, rows, names):
    """lines 3 and 7, or of several files: train lines 3 and 7, test line 2"""
    parts = []
    for file, name in enumerate(names):
        at = rows.line[case[rows.file[case] == file]]
        if len(at):
            parts.append((f"{name} " if len(names) > 1 else "") + line_numbers(at, rows.units[file]))
    return ", ".join(parts[:SHOWN])


def line_numbers(at, unit):
    """line 3; lines 3, 7 and 9; rows 1, 2, 3, 4, 5, 6 and 90 more"""
    *first, last = [str(line) for line in at[:SHOWN]]
    if len(at) > SHOWN:
        return f"{unit}s {', '.join([*first, last])} and {len(at) - SHOWN:,} more"
    return f"{unit}s {', '.join(first)} and {last}" if first else f"{unit} {last}"

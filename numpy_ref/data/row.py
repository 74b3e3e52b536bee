"""Checks one row of preferences: it is a pair or a ranked list, or InputError says what is wrong with it."""

import json
import math
from collections import Counter
from difflib import get_close_matches
from functools import lru_cache
from reprlib import repr as shortened

from ..errors import InputError
from .conversation import shape
from .preference import Preference, found_in, ids, kind
from .ranked import LIST_COLUMNS, has_several_correct, ranked_list, several_correct

REQUIRED, COLUMNS = ("chosen", "rejected"), ("chosen", "rejected", "prompt", "margin")
EXAMPLE = 'one object a line, as {"prompt": "...", "chosen": "...", "rejected": "..."}'
RENAMED = ("prompt", "chosen", "rejected", "margin", "responses", "ranks", "scores")  # each has an option --X-column
IDS_COLUMNS = (  # TRL's current names, its older ones, and those in its older manuals
    ("chosen_ids", "rejected_ids"),
    ("chosen_input_ids", "rejected_input_ids"),
    ("input_ids_chosen", "input_ids_rejected"),
)


def object_of(text) -> dict:
    """One line of JSON as a dict; the caller adds the file and the line to the InputError"""
    try:
        row = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg} at character {error.pos + 1}): {_remedy(text)}") from None
    except RecursionError:
        raise InputError(f"the JSON is nested too deeply: write {EXAMPLE}") from None
    if not isinstance(row, dict):
        raise InputError(f"{kind(row)} instead of an object: write {EXAMPLE}")
    return row


def _remedy(text):
    """What to do about text that is not JSON; only the last line of a file has no line end"""
    if text.startswith("\ufeff"):
        return "take away the byte-order mark (BOM) at its beginning, which belongs to another file"
    if text.lstrip().startswith("{") and not text.endswith("\n"):
        return "the file seems cut off in the middle of this line, its last: copy or download it again"
    return f"write {EXAMPLE}"


def preference_of(row, columns=None, of_table=False) -> tuple[str, Preference]:
    """The name of the format and the preference of a row in which every number is a float

    columns: {"chosen": "winner", ...}, the columns that have other names
    of_table: every row has every column, so null means that the value is missing
    """
    row = renamed(row, columns) if columns else row
    row = without_missing(row) if of_table else row
    for pair in IDS_COLUMNS:
        if not row.keys().isdisjoint(pair):
            return "token ids", _pair_of_ids(pair, row)
    if has_several_correct(row):
        return several_correct(row)
    ranked = LIST_COLUMNS & row.keys() and not row.keys() & set(REQUIRED)
    return ranked_list(row, _check_absent) if ranked else _pair(row)


def renamed(row, columns) -> dict:
    """The row under our column names; another column that already has one of these names is dropped"""
    for ours, theirs in columns.items():
        if theirs not in row:
            likeness = get_close_matches(theirs, row, n=1)
            hint = f"did you mean {shortened(likeness[0])}?" if likeness else "name one of these"
            raise InputError(f"--{ours}-column {theirs}: there is no such column (found: {found_in(row)}): {hint}")
    others = {name: value for name, value in row.items() if name not in columns.values()}
    return others | {ours: row[theirs] for ours, theirs in columns.items()}


def without_missing(row) -> dict:
    """A table's row without its nulls; if only one side of a pair is null it stays, so that the check can name it"""
    missing = {name for name, value in row.items() if value is None}
    if not set(REQUIRED) <= missing:
        missing -= set(REQUIRED)
    return {name: value for name, value in row.items() if name not in missing}


def _pair(row) -> tuple[str, Preference]:
    for column in COLUMNS:
        if column not in row:
            _check_absent(column, row)
    form, prompt, responses = shape(row.get("prompt", ""), [row["chosen"], row["rejected"]], ['"chosen"', '"rejected"'])
    return form, Preference(prompt, responses, _margin(row))


def _pair_of_ids(pair, row) -> Preference:
    """A pair of encoded texts, as in TRL; text columns beside the ids are ignored, as there"""
    for column in pair:
        if column not in row:
            raise InputError(f'there is no column "{column}" (found: {found_in(row)}): give both sides as token ids')
    for column in ("prompt_ids", "prompt_input_ids"):
        if column in row:
            raise InputError(
                f'"{column}" beside "{pair[0]}": ids are used as they are: put the prompt\'s in front of both sides'
            )
    return Preference("", tuple(ids(f'"{column}"', row[column]) for column in pair), _margin(row))


def _object(pairs) -> dict:
    """A JSON object without a repeated key: Python would silently keep the last of two `chosen`"""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InputError(f"the column {shortened(twice)} stands twice in one object: keep one")
    return row


DECODER = json.JSONDecoder(parse_int=float, object_pairs_hook=_object)  # float: an endless integer is just inf


def _check_absent(column, row):
    """InputError if a required column is missing, or if the row has an optional one under a misspelled name"""
    misspelled = _misspelled(column, tuple(row))
    if misspelled is not None:
        name = shortened(misspelled)
        raise InputError(f'there is no column "{column}", only {name}: did you mean "{column}"? Rename it')
    if column in REQUIRED:
        remedy = f"write {EXAMPLE}, or rename yours (train and report take its name: --{column}-column)"
        raise InputError(f'there is no column "{column}" (found: {found_in(row)}): {remedy}')


@lru_cache(maxsize=8)  # the rows of a file have the same names, and a search for a likeness is slow
def _misspelled(column, names) -> str | None:
    """The name that is probably a misspelled `column`: promt for prompt, but not prompt_id"""
    others = {name.lower(): name for name in names}
    return next((others[likeness] for likeness in get_close_matches(column, others, n=1, cutoff=0.82)), None)


def _margin(row) -> float:
    value = row.get("margin", 0.0)
    if isinstance(value, float) and math.isfinite(value):
        return value
    found = str(value) if isinstance(value, float) else kind(value)
    raise InputError(f'"margin" is {found}, but a finite number is expected: mend it, or leave the column out')

"""One row of preferences, checked: a pair or a ranked list, or one sentence about what is wrong with it."""

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
RENAMED = ("prompt", "chosen", "rejected", "margin", "responses", "ranks", "scores")  # that may have another name
IDS_COLUMNS = (  # TRL's names of today, its older ones, and those of its older manuals
    ("chosen_ids", "rejected_ids"),
    ("chosen_input_ids", "rejected_input_ids"),
    ("input_ids_chosen", "input_ids_rejected"),
)


def object_of(text) -> dict:
    """The object of one line of JSON; the caller adds file and line number to an InputError"""
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
    """A remedy for bad JSON: a line without a line end is the file's last, probably cut off"""
    if text.startswith("\ufeff"):
        return "take away the byte-order mark (BOM) at its beginning, which belongs to another file"
    if text.lstrip().startswith("{") and not text.endswith("\n"):
        return "the file seems cut off in the middle of this line, its last: copy or download it again"
    return f"write {EXAMPLE}"


def preference_of(row, columns=None, of_table=False) -> tuple[str, Preference]:
    """(format name, Preference) of a row; every number in the row is a float

    columns: {"chosen": "winner", ...}, the file's names for our columns
    of_table: the row comes from a table, where null means missing
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
    """The row with its columns renamed to ours; another column that already had our name is dropped"""
    for ours, theirs in columns.items():
        if theirs not in row:
            likeness = get_close_matches(theirs, row, n=1)
            hint = f"did you mean {shortened(likeness[0])}?" if likeness else "name one of these"
            raise InputError(f"--{ours}-column {theirs}: there is no such column (found: {found_in(row)}): {hint}")
    others = {name: value for name, value in row.items() if name not in columns.values()}
    return others | {ours: row[theirs] for ours, theirs in columns.items()}


def without_missing(row) -> dict:
    """A table's row without nulls; if one side of a pair is missing, its null stays and is reported later"""
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
    """A pair of whole texts as token ids, with TRL's column names; as in TRL, text columns beside them are ignored"""
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
    """A JSON object without repeated keys; given two `chosen`, Python would silently keep the last"""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InputError(f"the column {shortened(twice)} stands twice in one object: keep one")
    return row


DECODER = json.JSONDecoder(parse_int=float, object_pairs_hook=_object)  # float: an endless integer is just inf


def _check_absent(column, row):
    """InputError if a required column is missing or an optional one is misspelled"""
    misspelled = _misspelled(column, tuple(row))
    if misspelled is not None:
        name = shortened(misspelled)
        raise InputError(f'there is no column "{column}", only {name}: did you mean "{column}"? Rename it')
    if column in REQUIRED:
        remedy = f"write {EXAMPLE}, or say with --{column}-column what yours is called"
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

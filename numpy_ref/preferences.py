"""Preference files, read and checked row by row: JSONL or JSONL.gz, one comparison a line.

    {"prompt": "sort b a", "chosen": "a b", "rejected": "b a", "margin": 1.0}

`chosen` is the response that people preferred (the literature also says winner), `rejected` the other (loser); `prompt`
and `margin` may be left out, and further columns are ignored. A row that could be misread stops the reading: a row
repaired in silence is a label that nobody gave.
"""

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from reprlib import repr as shortened
from statistics import fmean
from typing import NamedTuple

from .errors import InputError

MAX_LINE = 2**24  # bytes: no person compares thousands of pages, but a small gzip can unpack to a line without end
GZIP = b"\x1f\x8b"  # how every gzip file starts
REQUIRED, COLUMNS = ("chosen", "rejected"), ("chosen", "rejected", "prompt", "margin")
EXAMPLE = 'one object a line, as {"prompt": "...", "chosen": "...", "rejected": "..."}'


class Preference(NamedTuple):
    """Responses to one prompt, best first: (chosen, rejected); margin: the lead asked of the first, in log-odds"""

    prompt: str
    responses: tuple[str, ...]
    margin: float = 0.0


def read_preferences(path) -> list[Preference]:
    """The rows of a .jsonl or .jsonl.gz file; InputError names the file, the line, what was found and what to do"""
    preferences = []
    for number, line in _lines(path):
        try:
            text = line.decode("utf-8")
            text = text.removeprefix("\ufeff") if number == 1 else text
            if text.strip():
                preferences.append(_preference(text))
        except UnicodeDecodeError as error:
            found = f"byte {error.start + 1} of the line ({line[error.start]:#04x}) is not UTF-8"
            remedy = "name the file .gz" if line.startswith(GZIP) else "save the file as UTF-8"
            raise InputError(f"{path}, line {number}: {found}: {remedy}") from None
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    if not preferences:
        raise InputError(f"{path}: the file is empty: write {EXAMPLE}")
    return preferences


def longer_wins(preferences) -> float:
    """The share of pairs whose longer response (in characters) was chosen, ties one half: the baseline to beat"""
    lengths = ([len(response) for response in preference.responses] for preference in preferences)
    return fmean(1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0 for chosen, rejected in lengths)


def _lines(path) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, its bytes), unpacked as it is read: never the whole file at once"""
    number, opened = 0, gzip.open if Path(path).suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise InputError(
                        f"{path}, line {number}: the line is longer than {MAX_LINE} bytes (a bound that keeps a bad "
                        f"file from filling the memory): write {EXAMPLE}"
                    )
                yield number, line
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file: give the path of a .jsonl or .jsonl.gz file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: this is a directory: give the path of a .jsonl or .jsonl.gz file in it") from None
    except EOFError:
        raise InputError(f"{path}: the gzip data end early, after line {number}: copy or download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: damaged gzip data after line {number} ({error}): copy it again, or drop .gz if it is plain text"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give a file that you may read") from None


def _preference(text) -> Preference:
    """One line, checked; the caller adds the file and the line to what InputError says"""
    try:
        row = json.loads(text, parse_int=float, object_pairs_hook=_object)  # float: an endless integer is just inf
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg} at character {error.pos + 1}): write {EXAMPLE}") from None
    except RecursionError:
        raise InputError(f"the JSON is nested too deeply: write {EXAMPLE}") from None
    if not isinstance(row, dict):
        raise InputError(f"{_kind(row)} instead of an object: write {EXAMPLE}")
    for column in COLUMNS:
        if column not in row:
            _check_absent(column, row)
    responses = _text("chosen", row), _text("rejected", row)
    if not all(response.strip() for response in responses):
        column = "rejected" if responses[0].strip() else "chosen"
        raise InputError(f'"{column}" is empty: give both responses a text, or leave the row out')
    return Preference(_text("prompt", row), responses, _margin(row))


def _object(pairs) -> dict:
    """A JSON object whose keys differ: of two `chosen` in one row, Python would keep the last in silence"""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InputError(f"the column {shortened(twice)} stands twice in one object: keep one")
    return row


def _check_absent(column, row):
    """A required column must be there; an optional one must not be there under a misspelled name"""
    others = {name.lower(): name for name in row}
    for likeness in get_close_matches(column, others, n=1, cutoff=0.82):  # promt is close to prompt, prompt_id is not
        name = shortened(others[likeness])
        raise InputError(f'there is no column "{column}", only {name}: did you mean "{column}"? Rename it')
    if column in REQUIRED:
        found = ", ".join(shortened(name) for name in list(row)[:6]) + ", ..." * (len(row) > 6)
        raise InputError(f'there is no column "{column}" (found: {found or "none"}): write {EXAMPLE}')


def _text(column, row) -> str:
    value = row.get(column, "")
    if not isinstance(value, str):
        remedy = "join the messages into one string" if isinstance(value, list) else "write a text in quotes"
        remedy += "" if column in REQUIRED else ", or leave the column out"
        raise InputError(f'"{column}" is {_kind(value)}, but a plain string is expected: {remedy}')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f'"{column}" holds half of a surrogate pair ({value[error.start]!a}) at character {error.start + 1}: '
            "write both halves or the character itself"
        ) from None
    return value


def _margin(row) -> float:
    value = row.get("margin", 0.0)
    if isinstance(value, float) and math.isfinite(value):
        return value
    found = str(value) if isinstance(value, float) else _kind(value)
    raise InputError(f'"margin" is {found}, but a finite number is expected: mend it, or leave the column out')


def _kind(value) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return {str: "a string", float: "a number", list: "a list", dict: "an object"}[type(value)]

"""Preferences, read and checked row by row: JSONL, JSON, CSV, Parquet or a dataset; each row a pair or a ranked list.

    {"prompt": "sort b a", "chosen": "a b", "rejected": "b a", "margin": 1.0}
    {"chosen_ids": [5, 17, 3], "rejected_ids": [5, 17, 9]}                                  from your own tokenizer
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "ranks": [2, 1, 2]}          1 is best, equal ranks tie
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "scores": [0.5, 3, 0.5]}     higher is better, equal tie
    {"prompt": "sort b a", "answers": [{"answer": "b a", "rank": 2}, {"answer": "a b", "rank": 1}]}
    {"prompt": "sort b a", "chosen": ["a b"], "rejected": ["b a", "a a"]}           several correct: RewardBench 2

`chosen` is the response that people preferred (the winner, in some papers), `rejected` the other one (the loser).
`prompt` and `margin` are optional; further columns are ignored. A prompt or response may also be the messages of a
conversation, and both responses may begin with the prompt: conversation.py has all shapes. row.py checks each row. A
row that could be misread ends the reading with an error: a silent repair would invent a label.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, count, islice
from pathlib import Path
from statistics import fmean

from ..errors import InputError
from ..files import lines
from .parquet import Split, parquet_rows, split_rows
from .preference import Ids, Message, Part, Preference, as_text, length_of
from .row import EXAMPLE, object_of, preference_of
from .whole_files import array_items, is_array, is_table, table_rows

__all__ = ["Ids", "Message", "Part", "Preference", "Split", "as_text", "longer_wins", "read_preferences", "read_rows"]

GZIP = b"\x1f\x8b"  # how every gzip file starts


def read_preferences(source, columns=None) -> list[Preference]:
    """The rows of a file or a Split; InputError names the file, the line, what was found and what to do"""
    return read_with_formats(source, columns)[0]


def read_with_formats(source, columns=None) -> tuple[list[Preference], Counter[str]]:
    """(the rows, how many there are of each format)"""
    found = list(each_with_format(source, columns))
    return [preference for _, preference in found], Counter(form for form, _ in found)


def each_with_format(source, columns=None, at=None) -> Iterator[tuple[str, Preference]]:
    """Yields (format, preference) row by row

    at: is called now and then with the position in the file: bytes, or rows of a table
    """
    number = 0
    for number, row in _checked(source, columns, at):
        if isinstance(row, InputError):
            raise InputError(f"{source}, {unit(source)} {number}: {row}")
        yield row
    if not number:
        empty = f"the file is empty: write {EXAMPLE}" if unit(source) == "line" else "holds no row: give one that does"
        raise InputError(f"{source}: {empty}")


def read_rows(source, columns=None) -> Iterator[tuple[int, Preference | InputError]]:
    """Yields (number from 1, the preference or the InputError of its row), so that a report can count the errors

    InputError is raised only if nothing further can be read: no such file, damaged gzip data, an endless line.
    """
    for number, row in _checked(source, columns):
        yield number, row if isinstance(row, InputError) else row[1]


def unit(source) -> str:
    """Whether the rows of a source are numbered by "row", or by "line" of the file"""
    return "row" if has_columns(source) or is_array(source) else "line"


def place(source, index) -> str:
    """The place of the row with this index from 0, for example "pairs.jsonl, line 7"; blank lines count as lines"""
    numbers = (number for number, _ in texts(source)) if unit(source) == "line" else count(1)
    return f"{source}, {unit(source)} {next(islice(numbers, index, None), index + 1)}"


def has_columns(source) -> bool:
    """Whether every row has every column, so that null or an empty cell is a missing value"""
    return isinstance(source, Split) or _is_parquet(source) or is_table(source)


def _is_parquet(path):
    return Path(path).suffix == ".parquet"


def _checked(source, columns, at=None) -> Iterator[tuple[int, tuple[str, Preference] | InputError]]:
    """Yields (number, (format, preference) or the InputError of the row)"""
    of_table = has_columns(source)
    for number, row in objects(source, at, columns):
        try:
            yield number, row if isinstance(row, InputError) else preference_of(row, columns, of_table)
        except InputError as error:
            yield number, error


def objects(source, at=None, columns=None) -> Iterator[tuple[int, dict | InputError]]:
    """Yields (number, the row as a dict or its InputError)"""
    if isinstance(source, Split):
        yield from _numbered(split_rows(source), at)
    elif _is_parquet(source):
        yield from _numbered(parquet_rows(source), at)
    else:
        for number, text in texts(source, at, columns):
            try:
                yield number, text if isinstance(text, InputError) else object_of(text)
            except InputError as error:
                yield number, error


def texts(path, at=None, columns=None) -> Iterator[tuple[int, str | InputError]]:
    """Yields (number, the JSON text of a row or its InputError)"""
    if _is_parquet(path):
        raise InputError(f"{path}: a Parquet file has no rows of text: write them as .jsonl")
    if is_table(path):
        yield from _numbered(table_rows(path, columns), at)
    elif is_array(path):
        yield from _numbered(array_items(path), at)
    else:
        yield from _lines(path, at)


def _numbered(rows, at):
    for number, row in enumerate(rows, 1):
        if at and number % 256 == 0:
            at(number)
        yield number, row


def _lines(path, at):
    for number, line in lines(path, at):
        try:
            text = line.decode("utf-8")
            text = text.removeprefix("\ufeff") if number == 1 else text
            if text.strip():
                yield number, text
        except UnicodeDecodeError as error:
            found = f"byte {error.start + 1} of the line ({line[error.start]:#04x}) is not UTF-8"
            remedy = "name the file .gz" if line.startswith(GZIP) else "save the file as UTF-8"
            yield number, InputError(f"{found}: {remedy}")


def longer_wins(preferences) -> float:
    """The share of pairs whose longer response was chosen, the baseline to beat; equal lengths count one half

    A ranked list counts as all its pairs except those of equal rank.
    """
    lengths = (
        (length_of(preference.responses[i]), length_of(preference.responses[j]))
        for preference in preferences
        for i, j in combinations(range(len(preference.responses)), 2)
        if preference.ranks[i] != preference.ranks[j]
    )
    return fmean(1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0 for chosen, rejected in lengths)

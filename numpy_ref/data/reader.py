"""Preferences, read and checked row by row: JSONL, JSONL.gz, Parquet or a dataset; a comparison or a ranked list a row.

    {"prompt": "sort b a", "chosen": "a b", "rejected": "b a", "margin": 1.0}
    {"chosen_ids": [5, 17, 3], "rejected_ids": [5, 17, 9]}                                  tokens of somebody's own
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "ranks": [2, 1, 2]}          1 is best, equal ranks tie
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "scores": [0.5, 3, 0.5]}     higher is better, equal tie
    {"prompt": "sort b a", "answers": [{"answer": "b a", "rank": 2}, {"answer": "a b", "rank": 1}]}

`chosen` is the response that people preferred (the literature also says winner), `rejected` the other (loser); `prompt`
and `margin` may be left out, and further columns are ignored. Each part may also be the messages of a conversation,
and the prompt may be the beginning of both responses: preferences_shapes.py has all shapes. A row that could be misread
stops the reading: a row repaired in silence is a label that nobody gave. Each row is checked in preferences_rows.py.
"""

import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from statistics import fmean

from ..errors import InputError
from .parquet import Split, parquet_rows, split_rows
from .preference import Ids, Message, Part, Preference, as_text, length_of
from .row import EXAMPLE, object_of, preference_of

__all__ = ["Ids", "Message", "Part", "Preference", "Split", "as_text", "longer_wins", "read_preferences", "read_rows"]

MAX_LINE = 2**24  # bytes: no person compares thousands of pages, but a small gzip can unpack to a line without end
GZIP = b"\x1f\x8b"  # how every gzip file starts
# What a gzip file may unpack to: rows are held in memory, and gzip makes a thousand bytes of one. Texts pack 3 to 10
# times smaller, the same row over and over 100 times and more; small files may do as they like.
MAX_UNPACKED, MAX_RATIO = MAX_LINE, 100


def read_preferences(source, columns=None) -> list[Preference]:
    """The rows of a file or a Split; InputError names the file, the line, what was found and what to do"""
    return read_with_formats(source, columns)[0]


def read_with_formats(source, columns=None) -> tuple[list[Preference], Counter[str]]:
    """(the rows, how many there are of each format)"""
    found = list(each_with_format(source, columns))
    return [preference for _, preference in found], Counter(form for form, _ in found)


def each_with_format(source, columns=None, at=None) -> Iterator[tuple[str, Preference]]:
    """(format, preference) of one row after the other; at is told now and then how far: bytes, or rows of a table"""
    number = 0
    for number, row in _checked(source, columns, at):
        if isinstance(row, InputError):
            raise InputError(f"{source}, {unit(source)} {number}: {row}")
        yield row
    if not number:
        empty = f"the file is empty: write {EXAMPLE}" if unit(source) == "line" else "holds no row: give one that does"
        raise InputError(f"{source}: {empty}")


def read_rows(source, columns=None) -> Iterator[tuple[int, Preference | InputError]]:
    """(number from 1, the row or what is wrong with it): who wants every row to be right raises, the report counts

    InputError is raised only where nothing further can be read: no such file, damaged gzip data, an endless line.
    """
    for number, row in _checked(source, columns):
        yield number, row if isinstance(row, InputError) else row[1]


def unit(source) -> str:
    """What the numbers of its rows count"""
    return "row" if isinstance(source, Split) or _is_parquet(source) else "line"


def _is_parquet(path):
    return Path(path).suffix == ".parquet"


def _checked(source, columns, at=None) -> Iterator[tuple[int, tuple[str, Preference] | InputError]]:
    """(number, (format, row) or what is wrong with it)"""
    of_table = unit(source) == "row"
    for number, row in _objects(source, at):
        try:
            yield number, row if isinstance(row, InputError) else preference_of(row, columns, of_table)
        except InputError as error:
            yield number, error


def _objects(source, at=None) -> Iterator[tuple[int, dict | InputError]]:
    """(number, the row as JSON has it or what is wrong with it)"""
    if isinstance(source, Split):
        yield from _numbered(split_rows(source), at)
    elif _is_parquet(source):
        yield from _numbered(parquet_rows(source), at)
    else:
        yield from _json_objects(source, at)


def _numbered(rows, at):
    for number, row in enumerate(rows, 1):
        if at and number % 256 == 0:
            at(number)
        yield number, row


def _json_objects(path, at):
    for number, line in _lines(path, at):
        try:
            text = line.decode("utf-8")
            text = text.removeprefix("\ufeff") if number == 1 else text
            if text.strip():
                yield number, object_of(text)
        except UnicodeDecodeError as error:
            found = f"byte {error.start + 1} of the line ({line[error.start]:#04x}) is not UTF-8"
            remedy = "name the file .gz" if line.startswith(GZIP) else "save the file as UTF-8"
            yield number, InputError(f"{found}: {remedy}")
        except InputError as error:
            yield number, error


def longer_wins(preferences) -> float:
    """The share of pairs whose longer response was chosen, equal lengths one half: the baseline to beat

    Of a ranked list these are all pairs but those that the label ties.
    """
    lengths = (
        (length_of(preference.responses[i]), length_of(preference.responses[j]))
        for preference in preferences
        for i, j in combinations(range(len(preference.responses)), 2)
        if preference.ranks[i] != preference.ranks[j]
    )
    return fmean(1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0 for chosen, rejected in lengths)


def _lines(path, at=None) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, its bytes), unpacked as it is read: never the whole file at once"""
    number, size, is_packed = 0, 0, Path(path).suffix == ".gz"
    try:
        limit = max(MAX_UNPACKED, MAX_RATIO * os.path.getsize(path)) if is_packed else float("inf")
        with gzip.open(path, "rb") if is_packed else open(path, "rb") as file:
            while line := file.readline(MAX_LINE + 1):
                number, size = number + 1, size + len(line)
                if at and number % 256 == 0:
                    at((getattr(file, "fileobj", None) or file).tell())  # of a gzip, in the packed file
                if len(line) > MAX_LINE:
                    raise InputError(
                        f"{path}, line {number}: the line is longer than {MAX_LINE} bytes (a bound that keeps a bad "
                        f"file from filling the memory): write {EXAMPLE}"
                    )
                if size > limit:
                    raise InputError(
                        f"{path}, line {number}: unpacks to more than {limit} bytes (a bound of {MAX_RATIO} times the "
                        "file's size, which keeps a bad file from filling the memory): if it is right, unpack it first"
                    )
                if not line.isspace():
                    yield number, line
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no such file: give the path of a .jsonl, .jsonl.gz or .parquet file"
        ) from None
    except IsADirectoryError:
        raise InputError(
            f"{path}: this is a directory: give the path of a .jsonl, .jsonl.gz or .parquet file in it"
        ) from None
    except EOFError:
        raise InputError(f"{path}: the gzip data end early, after line {number}: copy or download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}: damaged gzip data after line {number} ({error}): copy it again, or drop .gz if it is plain text"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): give a file that you may read") from None

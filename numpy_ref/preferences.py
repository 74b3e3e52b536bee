"""Preference files, read and checked row by row: JSONL or JSONL.gz, one comparison or one ranked list a line.

    {"prompt": "sort b a", "chosen": "a b", "rejected": "b a", "margin": 1.0}
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "ranks": [2, 1, 2]}          1 is best, equal ranks tie
    {"prompt": "sort b a", "responses": ["b a", "a b", "a a"], "scores": [0.5, 3, 0.5]}     higher is better, equal tie
    {"prompt": "sort b a", "answers": [{"answer": "b a", "rank": 2}, {"answer": "a b", "rank": 1}]}

`chosen` is the response that people preferred (the literature also says winner), `rejected` the other (loser); `prompt`
and `margin` may be left out, and further columns are ignored. A row that could be misread stops the reading: a row
repaired in silence is a label that nobody gave. Each row is checked in preferences_rows.py.
"""

import gzip
import zlib
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from statistics import fmean

from .errors import InputError
from .preferences_rows import EXAMPLE, Preference, preference_of

MAX_LINE = 2**24  # bytes: no person compares thousands of pages, but a small gzip can unpack to a line without end
GZIP = b"\x1f\x8b"  # how every gzip file starts


def read_preferences(path) -> list[Preference]:
    """The rows of a .jsonl or .jsonl.gz file; InputError names the file, the line, what was found and what to do"""
    preferences = []
    for number, row in read_rows(path):
        if isinstance(row, InputError):
            raise InputError(f"{path}, line {number}: {row}")
        preferences.append(row)
    if not preferences:
        raise InputError(f"{path}: the file is empty: write {EXAMPLE}")
    return preferences


def read_rows(path) -> Iterator[tuple[int, Preference | InputError]]:
    """(line number from 1, the row or what is wrong with it): who wants every row to be right raises, the report counts

    InputError is raised only where nothing further can be read: no such file, damaged gzip data, an endless line.
    """
    for number, line in _lines(path):
        try:
            text = line.decode("utf-8")
            text = text.removeprefix("\ufeff") if number == 1 else text
            if text.strip():
                yield number, preference_of(text)
        except UnicodeDecodeError as error:
            found = f"byte {error.start + 1} of the line ({line[error.start]:#04x}) is not UTF-8"
            remedy = "name the file .gz" if line.startswith(GZIP) else "save the file as UTF-8"
            yield number, InputError(f"{found}: {remedy}")
        except InputError as error:
            yield number, error


def longer_wins(preferences) -> float:
    """The share of pairs whose longer response (in characters) was chosen, equal lengths one half: the baseline to beat

    Of a ranked list these are all pairs but those that the label ties.
    """
    lengths = (
        (len(preference.responses[i]), len(preference.responses[j]))
        for preference in preferences
        for i, j in combinations(range(len(preference.responses)), 2)
        if preference.ranks[i] != preference.ranks[j]
    )
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

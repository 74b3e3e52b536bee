"""Files of games, read and checked line by line: CSV, TSV or JSON lines, plain or .gz.

    winner, loser[, count]              a line is a game, or `count` games that went the same way
    a, b, wins_a, wins_b[, ties]        a line is a pair; with a home effect a is at home

Lines that begin with # before the header are comments. What is wrong is said with file and line, nothing is repaired.
"""

import csv
import gzip
import json
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..files import check_input
from .win_counts import Pairs, pairs_of_rows

TABLES = Path(__file__).parent / "tables"
BASEBALL = TABLES / "baseball_1987.csv"
LAYOUTS = (
    ("winner", "loser"),
    ("winner", "loser", "count"),
    ("a", "b", "wins_a", "wins_b"),
    ("a", "b", "wins_a", "wins_b", "ties"),
)
EXPECTED = "the columns winner, loser[, count] or a, b, wins_a, wins_b[, ties]"
COUNT_LIMIT = 10**9  # a larger count is a slip, such as an identifier in the wrong column


class Games(NamedTuple):
    """A file's items in sorted order, and its rows; `ordered` where the file says who stands first"""

    items: list
    pairs: Pairs
    ordered: bool


def read_games(path, progress=iter):
    """The games of a file -> Games.  Raises InputError with file and line

    progress        wraps the iteration over the lines of a long file
    """
    try:
        rows = list(read_rows(Path(path), progress))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: {reason}; expected a readable CSV, TSV or JSONL file, plain or .gz") from None
    if not rows:
        raise InputError(f"{path}: there is no game in the file; expected {EXPECTED} and at least one line")
    layout, *rows = rows
    first, second, *columns = zip(*rows, strict=True)
    items, first, second = index_labels(first, second)
    counts = np.zeros((3, len(rows)))  # wins, losses, ties
    for k, column in enumerate(columns or [(1,) * len(rows)]):
        counts[k] = column
    if not counts.any():
        raise InputError(f"{path}: every count is 0, expected at least one game")
    wins, losses, ties = counts
    ordered = layout[0] == "a"
    return Games(items, pairs_of_rows(first, second, wins, losses, ties, len(items), ordered), ordered)


def read_rows(path, progress):
    """The layout, then one tuple of checked values for each line, in the layout's order"""
    name, suffix = path.name.removesuffix(".gz"), path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if suffix not in ("csv", "tsv", "jsonl"):
        raise InputError(
            f"{path}: cannot tell the format of {name!r}; expected .csv, .tsv or .jsonl, or one of them .gz"
        )
    check_input(path)
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
        records = json_records(file, path) if suffix == "jsonl" else table_records(file, path, suffix == "tsv")
        layout, kinds = None, dict[type, str]()
        for number, record in progress(records):
            where = f"{path}, line {number}"
            if layout is None:
                layout = next((layout for layout in LAYOUTS if set(layout) == set(record)), None)
                if layout is None:
                    raise InputError(f"{where}: found the columns {', '.join(map(str, record))}; expected {EXPECTED}")
                yield layout
            if record.keys() != set(layout):
                raise InputError(f"{where}: found {', '.join(map(str, record))}; expected {', '.join(layout)} as above")
            first, second, *counts = (record[column] for column in layout)
            for label in (first, second):
                check_label(label, kinds, where)
            if first == second:
                raise InputError(f"{where}: {first!r} is compared with itself; take the line out")
            yield (
                first,
                second,
                *(check_count(count, column, where) for count, column in zip(counts, layout[2:], strict=True)),
            )


def table_records(file, path, tabs):
    """CSV or TSV -> line numbers and dicts of strings"""
    reader = csv.reader(file, delimiter="\t" if tabs else ",", strict=True)
    header = None
    for cells in reader:
        if not cells or (header is None and cells[0].startswith("#")):
            continue
        if header is None:
            header = cells
            if len(set(header)) < len(header):
                raise InputError(f"{path}, line {reader.line_num}: a column stands twice: {', '.join(header)}")
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{path}, line {reader.line_num}: {len(cells)} cells, expected {len(header)}: {', '.join(header)}"
            )
        yield reader.line_num, dict(zip(header, cells, strict=True))


def json_records(file, path):
    """JSON lines -> line numbers and dicts"""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error.msg}); expected an object a line") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: found {line.strip()[:40]}; expected an object with {EXPECTED}")
        yield number, record


def check_label(label, kinds, where):
    """Labels are strings, or whole numbers, of one kind through the file

    kinds       remembers where each kind was first seen
    """
    if type(label) not in (str, int) or (type(label) is str and label.strip().lower() in ("", "nan")):
        raise InputError(f"{where}: {label!r} is not the name of an item; expected text or a whole number")
    kinds.setdefault(type(label), where)
    if len(kinds) > 1:
        raise InputError(
            f"{where}: {label!r} is {type(label).__name__}, but there are labels of another type since "
            f"{next(iter(kinds.values()))}; write all of them the same way"
        )


def check_count(count, column, where):
    """A whole number, not negative, below COUNT_LIMIT"""
    if type(count) is str and count.isascii() and count.isdigit():
        count = int(count[:20])
    if type(count) is not int or count < 0:
        raise InputError(f"{where}: {column} is {count!r}, expected a whole number that is not negative")
    if count >= COUNT_LIMIT:
        raise InputError(f"{where}: {column} is {count}, expected a count below {COUNT_LIMIT:,}; check the column")
    return count


def index_labels(*columns):
    """Labels -> their sorted list, and each column as its items' numbers        lists or arrays of text or integers"""
    arrays = [column for column in columns if isinstance(column, np.ndarray) and column.dtype.kind in "iu"]
    if len(arrays) == len(columns) and all(len(array) for array in arrays):
        low, high = min(int(a.min()) for a in arrays), max(int(a.max()) for a in arrays)
        if high - low < 4 * sum(map(len, arrays)):
            seen = np.zeros(high - low + 1, bool)
            for array in arrays:
                seen[array - low] = True
            number = np.cumsum(seen) - 1
            return (np.flatnonzero(seen) + low).tolist(), *(number[array - low] for array in arrays)
    lists = [column.tolist() if isinstance(column, np.ndarray) else list(column) for column in columns]
    labels = dict.fromkeys(chain.from_iterable(lists))
    kinds = set(map(type, labels))
    if len(kinds) > 1 or not kinds <= {str, int}:
        found = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(f"labels are {found}; expected all of them text, or all whole numbers")
    items = sorted(labels)
    place = dict(zip(items, range(len(items)), strict=True))
    return items, *(np.fromiter(map(place.__getitem__, column), np.int64, len(column)) for column in lists)

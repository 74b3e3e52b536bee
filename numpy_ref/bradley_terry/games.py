"""Files of games: CSV, TSV or JSON lines, plain or .gz.

The columns are those of columns.py, by these names or by names that the caller gives. Lines that begin with # before
the header are comments. A separator ; or tab is recognised. Errors name the file and the line; nothing is repaired.
"""

import csv
import io
import json
from pathlib import Path

from .. import files
from ..errors import InputError
from .byte_columns import plain_columns
from .columns import EXPECTED, WANTED, Games, check_layout, games_of_columns
from .labels import index_labels

__all__ = ["BASEBALL", "TABLES", "Games", "index_labels", "read_games"]

TABLES = Path(__file__).parent / "tables"
BASEBALL = TABLES / "baseball_1987.csv"
NUMBERS = ("count", "wins_a", "wins_b", "ties")
SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas"}


def read_games(path, progress=iter, names=None, weights=False, note=str, home=True):
    """The games of a file -> Games.  Raises InputError with file and line

    progress    wraps the iteration over the lines of a long file
    names       {role: the name of its column in the file} if that is another name, such as {"winner": "home team"}
    weights     counts may be fractions
    note        is called with a sentence on each assumption
    home        a home effect is wanted: a site or neutral that does not say who is at home is refused, not ignored
    """
    path, names = Path(path), names or {}
    data, suffix = read_bytes(path)
    if suffix == "jsonl":
        columns, numbers = json_columns(data, path, names, progress)
    else:
        columns, numbers = table_columns(data, path, suffix, names, progress, note)
    if not columns or not len(next(iter(columns.values()))):
        raise InputError(f"{path}: there is no game in the file; expected {EXPECTED} and at least one line")
    where = lambda row: f"{path}, line {numbers[row]}"  # noqa: E731
    try:
        return games_of_columns(columns, where, weights, home, names)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None


def read_bytes(path):
    """A file's content, unpacked, and the format that its name says: csv, tsv or jsonl"""
    packed = path.suffix.lower() == ".gz"
    name = path.name[:-3] if packed else path.name
    suffix = name.rpartition(".")[2].lower()
    if suffix not in ("csv", "tsv", "jsonl"):
        raise InputError(
            f"{path}: cannot tell the format of {name!r}; expected .csv, .tsv or .jsonl, or one of them .gz"
        )
    return files.read_bytes(path).removeprefix(b"\xef\xbb\xbf"), suffix


def as_text(data, path):
    """UTF-8 bytes as text; InputError names the line of a byte that is not UTF-8"""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text; expected a readable CSV, TSV or JSONL file") from None


def separator_of(header, suffix, path, note, fits=lambda cells: len(cells) > 1):
    """The first separator that splits the header into cells that fit; that of the file's suffix is tried first"""
    expected = "\t" if suffix == "tsv" else ","
    marks = [expected, *(mark for mark in SEPARATORS if mark != expected and mark in header)]
    found = [mark for mark in marks if fits(header.split(mark))] or [mark for mark in marks if mark in header] or marks
    if found[0] != expected and found[0] in header:
        note(f"{path}: the columns are separated by {SEPARATORS[found[0]]}")
    return found[0]


def has_layout(header, names):
    """Whether a header has the columns of a table of games"""
    try:
        roles_of(header, names, "")
    except InputError:
        return False
    return True


def renamed(header, names, where):
    """A header with the names of the roles; InputError if a column is missing or occurs twice"""
    for role, name in names.items():
        if name not in header:
            raise InputError(f"{where}: there is no column {name!r} for {role}; found {', '.join(header)[:300]}")
    taken = {name: role for role, name in names.items()}
    roles = [taken.get(name, None if name in names else name) for name in header]  # a role given to another column
    for role in WANTED:
        if roles.count(role) > 1:
            raise InputError(f"{where}: a column stands twice: {', '.join(header)[:300]}")
    return roles


def roles_of(header, names, where):
    """`renamed`, with a check of the layout"""
    for name in names.values():
        if [*names.values()].count(name) > 1:
            several = " and ".join(role for role in names if names[role] == name)
            raise InputError(f"{where}: the column {name!r} is named for {several}; expected a column for each")
    roles = renamed(header, names, where)
    try:
        check_layout([role for role in roles if role], header)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return roles


def table_columns(data, path, suffix, names, progress, note):
    """CSV or TSV -> {role: column} and the line of each row"""
    above, position = 0, 0  # comments and blank lines
    while data[position : position + 1] in (b"#", b"\n", b"\r"):
        position, above = data.find(b"\n", position) + 1 or len(data), above + 1
    end = data.find(b"\n", position)
    line, body = (data[position:], b"") if end < 0 else (data[position:end], data[end + 1 :])
    first = as_text(line, path).rstrip("\r")
    separator = separator_of(first, suffix, path, note, lambda cells: has_layout(cells, names))
    if '"' not in first:
        header = roles_of(first.split(separator), names, f"{path}, line {above + 1}") if first else []
        texts = [role for role in header if role in WANTED and role not in NUMBERS]
        fast = plain_columns(body, separator, header, texts, [role for role in header if role in NUMBERS])
        if fast:
            n = len(fast[texts[0]].code)
            return fast, range(above + 2, above + 2 + n)
    return careful_columns(as_text(data[position:], path), path, above, separator, names, progress)


def careful_columns(text, path, above, separator, names, progress):
    """CSV or TSV cell by cell, with quotes -> {role: column} and the line of each row"""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, numbers, header = [], [], None
    try:
        for cells in progress(reader):
            if not cells:
                continue
            if header is None:
                header = roles_of(cells, names, f"{path}, line {above + reader.line_num}")
                continue
            if len(cells) != len(header):
                raise InputError(f"{path}, line {above + reader.line_num}: {len(cells)} cells, expected {len(header)}")
            rows.append(cells)
            numbers.append(above + reader.line_num)
    except csv.Error as error:
        line = above + reader.line_num
        raise InputError(f"{path}, line {line}: {error}; expected a readable CSV, TSV or JSONL file") from None
    columns = zip(*rows, strict=True) if rows else ([] for _ in header or [])
    found = {role: column for role, column in zip(header or [], columns, strict=True) if role in WANTED}
    return found, numbers


def json_records(data, path, progress):
    """JSON lines -> line numbers and values"""
    for number, line in enumerate(progress(as_text(data, path).split("\n")), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", type(error).__name__)
                raise InputError(f"{path}, line {number}: not JSON ({reason}); expected an object a line") from None


def json_columns(data, path, names, progress):
    """JSON lines -> {role: column} and the line of each row; every line must have the roles of the first"""
    columns: dict[str, list] = {}
    numbers: list[int] = []
    for number, record in json_records(data, path, progress):
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: found {str(record)[:40]}; expected an object with {EXPECTED}")
        keys = list(record)
        where = f"{path}, line {number}"
        roles = dict(zip(renamed(keys, names, where) if numbers else roles_of(keys, names, where), keys, strict=True))
        columns = columns or {role: [] for role in roles if role in WANTED}
        if not set(columns) <= set(roles):
            raise InputError(f"{where}: found {', '.join(keys)}; expected {', '.join(columns)} as above")
        for role, column in columns.items():
            column.append(record[roles[role]])
        numbers.append(number)
    return columns, numbers

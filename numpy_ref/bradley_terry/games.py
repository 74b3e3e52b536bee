"""Files of games and of rankings: CSV, TSV or JSON lines, plain or .gz.

The columns are those of columns.py, by these names or by names that the caller gives. Lines that begin with # before
the header are comments. A separator ; or tab is recognised. What is wrong is said with file and line, nothing is
repaired.
"""

import csv
import io
import json
from itertools import chain
from pathlib import Path

from .. import files
from ..errors import InputError
from .byte_columns import plain_columns
from .columns import EXPECTED, ROLES, Games, check_layout, check_names, games_of_columns, index_labels

__all__ = ["BASEBALL", "TABLES", "Games", "index_labels", "read_games", "read_rankings"]

TABLES = Path(__file__).parent / "tables"
BASEBALL = TABLES / "baseball_1987.csv"
NUMBERS = ("count", "wins_a", "wins_b", "ties")
WANTED = (*ROLES, "model_a", "model_b")
BREAK_TIES = "expected one item a place: break ties first"
SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_games(path, progress=iter, names=None, weights=False, note=str):
    """The games of a file -> Games.  Raises InputError with file and line

    progress    wraps the iteration over the lines of a long file
    names       {role: the name of its column in the file}, where it is another, as {"winner": "home team"}
    weights     counts may be fractions
    note        is told in a sentence what was assumed
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
        return games_of_columns(columns, where, weights)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None


def read_bytes(path):
    """A file's content, unpacked, and what its name says it is: csv, tsv or jsonl"""
    packed = path.suffix.lower() == ".gz"
    name = path.name[:-3] if packed else path.name
    suffix = name.rpartition(".")[2].lower()
    if suffix not in ("csv", "tsv", "jsonl"):
        raise InputError(
            f"{path}: cannot tell the format of {name!r}; expected .csv, .tsv or .jsonl, or one of them .gz"
        )
    return files.read_bytes(path).removeprefix(b"\xef\xbb\xbf"), suffix


def as_text(data, path):
    """UTF-8 bytes as text; InputError names the line of a byte that is not"""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text; expected a readable CSV, TSV or JSONL file") from None


def separator_of(header, suffix, path, note):
    """Comma or tab by the file's name, unless only another separator stands in the header"""
    expected = "\t" if suffix == "tsv" else ","
    other = next((mark for mark in SEPARATORS if mark in header), None)
    if expected in header or other is None:
        return expected if expected in header or suffix == "csv" or "," not in header else ","
    note(f"{path}: the columns are separated by {SEPARATORS[other]}")
    return other


def renamed(header, names, where):
    """A header with the names of the roles; InputError where a column is missing or stands twice"""
    for role, name in names.items():
        if name not in header:
            raise InputError(f"{where}: there is no column {name!r} for {role}; found {', '.join(header)[:300]}")
    taken = {name: role for role, name in names.items()}
    roles = [taken.get(name, None if name in names else name) for name in header]  # a role that moved leaves its name
    for role in WANTED:
        if roles.count(role) > 1:
            raise InputError(f"{where}: a column stands twice: {', '.join(header)[:300]}")
    return roles


def roles_of(header, names, where):
    """renamed, and checked for a layout"""
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
    separator = separator_of(first, suffix, path, note)
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
    """JSON lines -> {role: column} and the line of each row; every line has the first one's roles"""
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


def read_rankings(path, progress=iter):
    """The rankings of a file -> lists of items, the best first.  Raises InputError with file and line

    CSV or TSV: a header, then a row a ranking, one item a cell; cells at the end may be empty. JSON lines: a list, or
    an object with `ranking`, or with `responses` and their `ranks`, 1 the best.
    """
    path = Path(path)
    data, suffix = read_bytes(path)
    rows = json_rankings(data, path, progress) if suffix == "jsonl" else table_rankings(data, path, suffix, progress)
    numbers, found = [], []
    for number, ranking in rows:
        numbers.append(number)
        found.append(checked_ranking(ranking, f"{path}, line {number}"))
    if not found:
        raise InputError(f"{path}: there is no ranking in the file; expected a header and a row a ranking, best first")
    line = lambda row: f"{path}, line {numbers[row]}"  # noqa: E731
    check_joined(found, line)
    row_of_place = [row for row, ranking in enumerate(found) for _ in ranking]
    places = list(chain.from_iterable(found))
    check_names(dict.fromkeys(places), [places], lambda place: line(row_of_place[place]))
    return found


def table_rankings(data, path, suffix, progress):
    """CSV or TSV -> line numbers and lists of cells, without the empty ones at the end"""
    text = as_text(data, path)
    lines = (line for line in io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=separator_of(text.split("\n", 1)[0], suffix, path, str), strict=True)
    header = None
    try:
        for cells in progress(reader):
            if not cells or (header is None and cells[0].startswith("#")):
                continue
            if header is None:
                header = cells
                continue
            while cells and not cells[-1].strip():
                cells.pop()
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}; expected a readable CSV or TSV file") from None


def json_rankings(data, path, progress):
    """JSON lines -> line numbers and lists, the best first"""
    for number, record in json_records(data, path, progress):
        if isinstance(record, dict) and {"responses", "ranks"} <= set(record):
            record = by_ranks(record["responses"], record["ranks"], f"{path}, line {number}")
        ranking = record.get("ranking") if isinstance(record, dict) else record
        if not isinstance(ranking, list):
            raise InputError(f"{path}, line {number}: expected a list of items, or an object with `ranking`")
        yield number, ranking


def by_ranks(responses, ranks, where):
    """The responses in the order of their ranks, 1 the best"""
    if not (isinstance(responses, list) and isinstance(ranks, list) and len(responses) == len(ranks)):
        raise InputError(f"{where}: expected two lists of one length, `responses` and their `ranks`")
    wrong = [rank for rank in ranks if type(rank) not in (int, float)]
    if wrong:
        raise InputError(f"{where}: {wrong[0]!r} is no rank; expected numbers, 1 the best")
    if len(set(ranks)) < len(ranks):
        raise InputError(f"{where}: ranks {ranks} hold a tie; expected different ranks")
    return [str(responses[k]) for k in sorted(range(len(ranks)), key=ranks.__getitem__)]


def check_joined(rankings, where):
    """InputError for a cell such as b=c or b = c whose parts are items of the file: a tied place

    A name may hold "=": where its parts are no items of the file, as in x=1, it is the name of one item.
    """
    items = {str(item).strip() for ranking in rankings for item in ranking}
    joined = {item for item in items if "=" in item and items.issuperset(map(str.strip, item.split("=")))}
    for row, ranking in enumerate(rankings if joined else []):
        for item in ranking:
            if str(item).strip() in joined:
                parts = ", ".join(map(str.strip, item.split("=")))
                raise InputError(f"{where(row)}: {item} says that {parts} are tied; {BREAK_TIES}")


def checked_ranking(ranking, where):
    """Two items or more, each once, none tied"""
    for item in ranking:
        if isinstance(item, list):
            raise InputError(f"{where}: {', '.join(map(str, item))} are tied; {BREAK_TIES}")
        if not isinstance(item, (str, int)) or not str(item).strip():
            raise InputError(f"{where}: {item!r} is not the name of an item; expected text or a whole number")
    twice = [item for k, item in enumerate(ranking) if item in ranking[:k]]
    if twice:
        raise InputError(f"{where}: {twice[0]!r} stands twice; expected every item in one place, ties broken")
    if len(ranking) < 2:
        raise InputError(f"{where}: {len(ranking)} items; a ranking needs two or more, the best first")
    return ranking

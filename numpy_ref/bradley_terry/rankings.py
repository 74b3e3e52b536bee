"""Files of rankings: CSV, TSV or JSON lines, plain or .gz. A mistake is named with file and line."""

import csv
import io
import math
from collections import Counter
from pathlib import Path

import numpy as np

from ..cli.text import counted
from ..errors import InputError
from .games import as_text, json_records, read_bytes, separator_of
from .labels import check_names

BREAK_TIES = "expected one item a place: break ties first"


def read_rankings(path, progress=iter, note=str):
    """The rankings of a file -> lists of items, the best first.  Raises InputError with file and line

    CSV or TSV: a header, then one ranking per row, one item per cell; cells at the end may be empty. JSON lines: a
    list, or an object with `ranking`, or with `responses` and their `ranks`, 1 the best. `note` is called with a
    sentence on each assumption.
    """
    path = Path(path)
    data, suffix = read_bytes(path)
    rows = (
        json_rankings(data, path, progress) if suffix == "jsonl" else table_rankings(data, path, suffix, progress, note)
    )
    found = {number: checked_ranking(ranking, f"{path}, line {number}") for number, ranking in rows}
    if not found:
        raise InputError(f"{path}: there is no ranking in the file; expected a header and a row a ranking, best first")
    places = [(line, item) for line, ranking in found.items() for item in ranking]
    refuse_equal_places(places, path)
    items = [item for _, item in places]
    check_names(dict.fromkeys(items), [items], lambda place: f"{path}, line {places[place][0]}")
    return list(found.values())


def table_rankings(data, path, suffix, progress, note):
    """CSV or TSV -> line numbers and lists of cells, without the empty ones at the end"""
    text = as_text(data, path)
    first = next((line for line in text.split("\n") if line.strip() and not line.startswith("#")), "")
    separator = separator_of(first, suffix, path, note)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
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
    wrong = [rank for rank in ranks if type(rank) not in (int, float) or math.isnan(rank)]
    if wrong:
        raise InputError(f"{where}: {wrong[0]!r} is no rank; expected numbers, 1 the best")
    if len(set(ranks)) < len(ranks):
        raise InputError(f"{where}: ranks {ranks} hold a tie; expected different ranks")
    return [str(responses[k]) for k in sorted(range(len(ranks)), key=ranks.__getitem__)]


def checked_ranking(ranking, where):
    """The ranking itself; InputError unless it has two items or more, names each of them once, and ties none"""
    for item in ranking:
        if isinstance(item, (list, tuple, set, frozenset)):
            raise InputError(f"{where}: {', '.join(map(str, item))} are tied; {BREAK_TIES}")
        if not isinstance(item, (str, int, np.integer)) or not str(item).strip():
            raise InputError(f"{where}: {item!r} is not the name of an item; expected text or a whole number")
    twice = [item for item, n in Counter(ranking).items() if n > 1]
    if twice:
        raise InputError(f"{where}: {twice[0]!r} stands twice; expected every item in one place, ties broken")
    if len(ranking) < 2:
        raise InputError(f"{where}: {counted(len(ranking), 'item')}; a ranking needs two or more, the best first")
    return ranking


def refuse_equal_places(places, path):
    """InputError for a place b=c that ties two items; other names may contain =        [(line, item), ...]

    It is a tie if b and c are items. An item has a place of its own somewhere, or occurs both before and after an =. In
    a name such as rate=0.1 they are not items.
    """
    places = [(line, item) for line, item in places if isinstance(item, str)]
    sides = {item: [side.strip() for side in item.split("=")] for _, item in places if "=" in item}
    sides = {item: names for item, names in sides.items() if all(names)}
    before, behind = (
        {side for several in sides.values() for side in several[cut]} for cut in (slice(-1), slice(1, None))
    )
    known = {item.strip() for _, item in places if item not in sides} | (before & behind)
    for line, item in places:
        if item in sides and known.issuperset(sides[item]):
            raise InputError(f"{path}, line {line}: {item} says that {', '.join(sides[item])} are tied; {BREAK_TIES}")

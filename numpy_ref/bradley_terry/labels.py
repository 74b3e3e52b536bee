"""Names of items as numbers: the different labels of some columns, sorted, and each cell's place among them.

A name is text or a whole number. Any other value, and two names that differ by spaces alone, are refused; the message
gives the row.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from reprlib import repr as shortened
from typing import NamedTuple

import numpy as np

from ..errors import InputError

Where = Callable[[int], str]  # row from 0 -> how a message names it


def row_number(row: int) -> str:
    """How a message names a row of columns that come from no file"""
    return f"row {row}"


class Labels(NamedTuple):
    """A column of text that is already numbered: row k holds names[code[k]]"""

    names: list
    code: np.ndarray


def is_missing(value):
    """None, NaN and pandas' NA and NaT; the text "nan" is a text"""
    return value is None or (not isinstance(value, str) and str(value) in ("nan", "<NA>", "NaT"))


def refuse_containers(column, name, where):
    """InputError for a cell that is a list, a dict or anything else that is not hashable"""
    for row, value in enumerate([] if isinstance(column, Labels) else column):
        if not isinstance(value, Hashable):
            raise InputError(f"{where(row)}: {name} is {shortened(value)}, expected text or a number")


def factorize(column) -> tuple[list, np.ndarray]:
    """The different values of a column in order of appearance, and each row's number        -> (K,), (M,)"""
    if isinstance(column, Labels):
        return column.names, column.code
    values = column.tolist() if isinstance(column, np.ndarray) else list(column)
    place: dict = {}
    for value in values:
        place.setdefault(value, len(place))
    return list(place), np.fromiter(map(place.__getitem__, values), np.int64, len(values))


def index_labels(*columns, where: Where = row_number):
    """Labels -> their sorted list, and each column as its items' numbers        columns of text, or of whole numbers"""
    if all(isinstance(c, np.ndarray) and c.dtype.kind in "iu" and len(c) for c in columns):
        low, high = min(int(a.min()) for a in columns), max(int(a.max()) for a in columns)
        if high - low < 4 * sum(map(len, columns)):
            seen = np.zeros(high - low + 1, bool)
            for array in columns:
                seen[array - low] = True
            number = np.cumsum(seen) - 1
            return (np.flatnonzero(seen) + low).tolist(), *(number[array - low] for array in columns)
    if all(isinstance(c, Labels) for c in columns):
        names = list(dict.fromkeys(chain.from_iterable(c.names for c in columns)))
        check_names(names, columns, where)
        items, place = numbered(names)
        return items, *(np.array([place[name] for name in c.names])[c.code] for c in columns)
    lists: list[Sequence] = [c.tolist() if isinstance(c, np.ndarray) else list(c) for c in columns]
    try:
        different = set().union(*lists)  # faster than dict.fromkeys, but in an order of its own
        of_text = all(type(name) is str for name in different)
        names = sorted(different) if of_text else [as_plain(name) for name in dict.fromkeys(chain(*lists))]
    except TypeError:
        for column in lists:
            refuse_containers(column, "the name of an item", where)
        raise
    check_names(names, lists, where)
    items, place = numbered(names)
    return items, *(np.fromiter(map(place.__getitem__, column), np.int64, len(column)) for column in lists)


def as_plain(name):
    """NumPy's text and whole numbers as Python's, to which they are equal"""
    return name.item() if isinstance(name, np.generic) else name


def numbered(names):
    """Names in sorted order, and the place of each"""
    items = sorted(names)
    return items, dict(zip(items, range(len(items)), strict=True))


def check_names(names, columns, where):
    """Names are text, or whole numbers, all of one kind, and no two differ by spaces alone"""

    def place(name):
        for column in columns:
            values, code = factorize(column)
            for k, value in enumerate(values):
                if value is name or (type(as_plain(value)) is type(name) and value == name):
                    return where(int(np.argmax(code == k)))
        return where(0)

    kinds: dict[type, object] = {}
    trimmed: dict[str, object] = {}
    for name in [*filter(is_missing, names), *names]:  # missing ones first: they make pandas' whole numbers floats
        if type(name) not in (str, int) or (type(name) is str and name.strip().lower() in ("", "nan")):
            raise InputError(f"{place(name)}: {name!r} is not the name of an item; expected text or a whole number")
        kinds.setdefault(type(name), name)
        if len(kinds) > 1:
            other = next(iter(kinds.values()))
            raise InputError(
                f"{place(name)}: {name!r} is {type(name).__name__}, but {other!r} is {type(other).__name__}; "
                "expected all of them text, or all whole numbers"
            )
        twin = trimmed.setdefault(" ".join(name.split()), name) if type(name) is str else name
        if twin != name:
            raise InputError(f"{place(name)}: {name!r} and {twin!r} differ only by spaces; write both the same way")

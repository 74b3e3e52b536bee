"""Reads the columns of a plain table without a Python object for each cell.

NumPy reads it; a large table is read by pyarrow, if that is installed. A table that is not plain (quotes, blank lines,
rows of different lengths, long cells) gives None: games.py then reads it cell by cell and names the line of a mistake.
"""

import sys

import numpy as np

from .labels import Labels

LONGEST = 64  # bytes of a cell
LARGE = 4_000_000  # bytes of a table: below this, importing pyarrow takes longer than its faster reading saves
MASKS = np.array([(1 << 8 * k) - 1 for k in range(9)], np.uint64)  # the first k bytes of a word
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash: 2⁶⁴ / golden ratio
TABLE_BITS = 22


def plain_columns(body, delimiter, header, texts, numbers):
    """{name: Labels or numbers} of the wanted columns, None if the table is not plain

    body            the bytes below the header
    header          the names of all columns
    texts, numbers  the names of the wanted columns
    """
    if not body or body.isspace() or b'"' in body or b"\0" in body:
        return None
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
        if b"\r" in body:
            return None
    body = body if body.endswith(b"\n") else body + b"\n"
    table = body, delimiter, header, texts, numbers
    by_arrow = arrow_columns(*table) if len(body) >= LARGE or "pyarrow" in sys.modules else None
    return by_arrow or numpy_columns(*table)


def arrow_columns(body, delimiter, header, texts, numbers):
    """plain_columns by pyarrow; None if it is not installed or refuses a cell"""
    try:
        import pyarrow
        from pyarrow import csv
    except ImportError:
        return None
    names = [str(k) for k in range(len(header))]
    text, whole = pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), pyarrow.int64()
    types = {str(header.index(name)): text if name in texts else whole for name in [*texts, *numbers]}
    options = {
        "read_options": csv.ReadOptions(column_names=names, block_size=min(len(body), 2**30)),  # one block
        "parse_options": csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False),
        "convert_options": csv.ConvertOptions(column_types=types, include_columns=list(types), null_values=[]),
    }
    try:
        table = csv.read_csv(pyarrow.BufferReader(body), **options).unify_dictionaries().combine_chunks()
        columns = [column.chunk(0) for column in table.columns]
        labels = [
            Labels(c.dictionary.to_pylist(), np.from_dlpack(c.indices).astype(np.int64)) for c in columns[: len(texts)]
        ]
        counts = [np.from_dlpack(c) for c in columns[len(texts) :]]  # to_numpy would import pandas
    except (pyarrow.ArrowInvalid, UnicodeDecodeError):
        return None
    if any("" in column.names for column in labels) and (body.startswith(b"\n") or b"\n\n" in body):
        return None  # to pyarrow a blank line is a row of empty cells
    return dict(zip([*texts, *numbers], [*labels, *counts], strict=True))


def numpy_columns(body, delimiter, header, texts, numbers):
    """plain_columns by whole-array operations on the bytes"""
    cells = cell_bounds(np.frombuffer(body, np.uint8), ord(delimiter), len(header))
    if cells is None:
        return None
    starts, lengths = cells
    padded = body + b"\0" * LONGEST
    found: dict = {}
    for name in [*texts, *numbers]:
        at = header.index(name)
        read = text_column if name in texts else number_column
        column = read(padded, starts[:, at], lengths[:, at])
        if column is None:
            return None
        found[name] = column
    return found


def cell_bounds(buffer, delimiter, n_columns):
    """Where each cell starts, and its length        (bytes,) -> two of (rows, columns); None if rows differ"""
    ends = np.flatnonzero((buffer == delimiter) | (buffer == 10))
    if len(ends) % n_columns:
        return None
    closing = buffer[ends].reshape(-1, n_columns) == 10
    if not closing[:, -1].all() or closing[:, :-1].any():
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = (ends - starts).reshape(-1, n_columns)
    if n_columns == 1 and not lengths.all():
        return None
    return starts.reshape(-1, n_columns), lengths


def words(padded, starts, lengths):
    """The cells as rows of 8-byte words, 0 beyond their end        -> a list of (rows,) arrays"""
    at_every_byte = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))
    steps = range(0, max(int(lengths.max()), 1), 8)
    return [at_every_byte[starts + k] & MASKS[np.clip(lengths - k, 0, 8)] for k in steps]


def text_column(padded, starts, lengths):
    """Labels of a column of text; None if a cell is too long or a name is not UTF-8"""
    if lengths.max() > LONGEST:
        return None
    row = representative(words(padded, starts, lengths))
    first = np.zeros(len(row), bool)
    first[row] = True
    code = (np.cumsum(first) - 1)[row]
    try:
        names = [padded[starts[k] : starts[k] + lengths[k]].decode() for k in np.flatnonzero(first)]
    except UnicodeDecodeError:
        return None
    return Labels(names, code)


def representative(parts):
    """For each row, the number of a row that represents all rows equal to it        list of (rows,) words -> (rows,)

    Rows with the same hash share a place in a table, which remembers one of them. If two different rows share a place,
    another hash is tried. Among many different rows some always share one; then the rows are sorted.
    """
    rows = np.arange(len(parts[0]))
    remembered = np.empty(1 << TABLE_BITS, np.int64)
    for attempt in range(4):
        key = np.zeros(len(rows), np.uint64)
        for part in parts:
            key = (key ^ part ^ (key >> np.uint64(29))) * (FACTOR + np.uint64(2 * attempt))
        place = key >> np.uint64(64 - TABLE_BITS)
        remembered[place] = rows
        row = remembered[place]
        if all((part[row] == part).all() for part in parts):
            return row
    _, first, code = np.unique(np.stack(parts, 1), axis=0, return_index=True, return_inverse=True)
    return first[code.ravel()]


def number_column(padded, starts, lengths):
    """A column of numbers; None unless every cell has 1 to 16 digits and nothing else"""
    if not 0 < lengths.min() <= lengths.max() <= 16:
        return None
    buffer, value = np.frombuffer(padded, np.uint8), np.zeros(len(starts), np.int64)
    for k in range(lengths.max()):
        inside = k < lengths
        digit = buffer[starts + k].astype(np.int64) - 48
        if (((digit < 0) | (digit > 9)) & inside).any():
            return None
        value = np.where(inside, 10 * value + digit, value)
    return value.astype(float)

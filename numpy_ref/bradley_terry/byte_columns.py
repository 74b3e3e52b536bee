"""The columns of a plain table by whole-array operations on its bytes, some ten times as fast as cell by cell.

What is not plain (quotes, blank lines, rows of different lengths, long cells) gives None: the careful reader of
games.py takes it, and says what is wrong where something is.
"""

import numpy as np

from .columns import Labels

LONGEST = 64  # bytes of a cell
MASKS = np.array([(1 << 8 * k) - 1 for k in range(9)], np.uint64)  # the first k bytes of a word
FACTOR = np.uint64(0x9E3779B97F4A7C15)


def plain_columns(body, delimiter, header, texts, numbers):
    """{name: Labels or numbers} of the wanted columns, None if the table is not plain

    body        the bytes below the header;  header the names of its columns;  texts, numbers those that are wanted
    """
    body = body.replace(b"\r\n", b"\n")
    if not body or b'"' in body or b"\r" in body or b"\0" in body:
        return None
    body += b"" if body.endswith(b"\n") else b"\n"
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
    """Labels of a column of text; None if a cell is too long or two cells share a hash"""
    if lengths.max() > LONGEST:
        return None
    parts = words(padded, starts, lengths)
    key = parts[0]
    for part in parts[1:]:
        key = (key ^ (key >> np.uint64(29))) * FACTOR ^ part
    different = np.unique(key)
    code = np.searchsorted(different, key)
    row = np.empty(len(different), np.int64)
    row[code] = np.arange(len(code))
    if any((part != part[row][code]).any() for part in parts):
        return None
    try:
        names = [padded[starts[k] : starts[k] + lengths[k]].decode() for k in row]
    except UnicodeDecodeError:
        return None
    return Labels(names, code)


def number_column(padded, starts, lengths):
    """A column of numbers; None for a cell that is no number"""
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

"""Files that are read as a whole: a JSON array (.json) and a CSV table (.csv), each plain or .gz.

Each row becomes the text of one JSON object, like a line of a .jsonl file, so that all commands read them in the same
way. A CSV cell is a text; in a column of numbers or lists (margin, ranks, ...) it is JSON. An empty cell is missing.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from ..cli import memory
from ..cli.text import counted
from ..errors import InputError
from ..files import MAX_LINE, first_bytes, read_bytes

AS_JSON = {"margin", "responses", "ranks", "scores", "answers"}  # and names that end in ids
TIMES, TIMES_PACKED = 6, 50  # bytes of memory for each byte of the file
GAP = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder(parse_int=float)  # Python refuses to read an integer of 5,000 digits


def suffix_of(path) -> str:
    """.csv of pairs.csv and of pairs.csv.gz"""
    return Path(str(path).removesuffix(".gz")).suffix.lower()


def is_table(path) -> bool:
    """Whether this is a CSV file"""
    return suffix_of(path) == ".csv"


def is_array(path) -> bool:
    """Whether this is a JSON array; a .json file may also hold one object per line"""
    return suffix_of(path) == ".json" and first_bytes(path).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def text_of(path) -> str:
    """The whole file as text; InputError if it does not fit into memory or is not UTF-8"""
    times = TIMES_PACKED if Path(path).suffix == ".gz" else TIMES
    if Path(path).is_file():
        memory.check(times * Path(path).stat().st_size, f"{path}: to read it whole", "write its rows as .jsonl")
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start + 1} is not UTF-8: save the file as UTF-8") from None


def array_items(path) -> Iterator[str]:
    """Yields the text of each item of a JSON array, unchanged but on one line"""
    text = text_of(path)
    at = GAP.match(text, text.index("[") + 1).end()  # type: ignore[union-attr]
    number = 0
    while text[at : at + 1] != "]" or number:
        number += 1
        try:
            end = DECODER.raw_decode(text, at)[1]
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}, row {number}: {_reason(error, at, len(text))}") from None
        yield text[at:end].replace("\r", " ").replace("\n", " ")
        at = GAP.match(text, end).end()  # type: ignore[union-attr]
        if text[at : at + 1] == "]":
            break
        if text[at : at + 1] != ",":
            found = repr(text[at]) if at < len(text) else "the end of the file"
            raise InputError(f"{path}, row {number}: {found} behind it instead of a comma or ]: {_remedy(at, text)}")
        at = GAP.match(text, at + 1).end()  # type: ignore[union-attr]
    if text[at + 1 :].strip():
        raise InputError(f"{path}: there is more behind the array: keep one array, or write an object a line")


def _remedy(at, text):
    return "mend the array" if at < len(text) else "the file seems cut off: copy or download it again"


def _reason(error, at, size):
    """Why an item cannot be read"""
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply: write one flat object for each row"
    what = "the file seems cut off: copy or download it again" if error.pos >= size else "mend it"
    return f"not JSON ({error.msg} at character {error.pos - at + 1} of it): {what}"


def table_rows(path, columns=None) -> Iterator[str]:
    """Yields each row of a CSV file as the text of a JSON object

    columns: {"margin": "lead", ...}, the columns that have other names
    """
    csv.field_size_limit(MAX_LINE)
    rows = csv.reader(io.StringIO(text_of(path), newline=""), strict=True)
    names, number = header_of(path, rows), 0
    as_json = {(columns or {}).get(name, name) for name in AS_JSON}
    while True:
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise InputError(f'{path}, row {number + 1}: not CSV ({error}): put texts in quotes and double "') from None
        if cells is None:
            return
        if not cells:  # a blank line
            continue
        number += 1
        if len(cells) != len(names):
            found = f"{counted(len(cells), 'cell')}, but the header has {len(names)}"
            raise InputError(f"{path}, row {number}: {found}: put texts with a comma in quotes")
        members = (
            f"{json.dumps(name)}: {_value(name, cell, as_json)}" for name, cell in zip(names, cells, strict=True)
        )
        yield "{" + ", ".join(members) + "}"


def header_of(path, rows) -> list[str]:
    """The column names; InputError if one occurs twice"""
    try:
        names: list[str] = next(rows, [])
    except csv.Error as error:
        raise InputError(f"{path}: the header is not CSV ({error}): write prompt,chosen,rejected") from None
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: the column {name!r} stands twice: keep one")
    return names


def _value(name, cell, as_json):
    """A cell as JSON: a text, or the cell itself in a column of numbers or lists"""
    if not cell:
        return "null"
    if name not in as_json and not name.endswith("ids"):
        return json.dumps(cell)
    try:
        json.loads(cell)
    except (ValueError, RecursionError):
        return json.dumps(cell)  # the check of the row will say what is expected
    return cell.replace("\r", " ").replace("\n", " ")

"""Rows given as Python dicts go through the same reader as a file, with the same checks and messages."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from ..files import write_text

Rows = str | os.PathLike[str] | Iterable[Mapping[str, object]]


@contextmanager
def as_file(rows: Rows) -> Iterator[str]:
    """A path as it is; dicts as a temporary .jsonl file, whose name appears in no message

    InputError says "row 3" where it would say "FILE, line 3" of a file.
    """
    if isinstance(rows, str | os.PathLike):
        yield os.fspath(rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        write_text(path, "".join(_line(number, row) for number, row in enumerate(rows, 1)))
        try:
            yield str(path)
        except InputError as error:
            raise InputError(str(error).replace(f"{path}, line ", "row ").replace(str(path), "the rows")) from None


def _line(number, row):
    if not isinstance(row, Mapping):
        example = '{"prompt": "...", "chosen": "...", "rejected": "..."}'
        raise InputError(f"row {number} is {type(row).__name__}: expected a dict such as {example}")
    try:
        return json.dumps(dict(row), ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"row {number} cannot be written as JSON ({error}): use texts, numbers and lists") from None

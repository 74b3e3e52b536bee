"""Python dicts in place of a file: they go through the same reader, with the same checks and error messages."""

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
    """The path of a file with these rows: a given path, or a temporary .jsonl file

    Error messages say "row 3" in place of the temporary file's "FILE, line 3".
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

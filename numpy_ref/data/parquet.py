"""Rows of Parquet files and of Hugging Face datasets.

They become dicts as JSON rows do, with None for a missing value, and go through the same checks. pyarrow and datasets
come with the extra `hf` and are imported only here. No code of a dataset's author is run: `trust_remote_code` is never
set, and without it the package datasets only reads data files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shortened
from typing import NamedTuple

from ..errors import InputError


class Split(NamedTuple):
    """A split of a dataset: an id of the hub, or a local directory of data files"""

    name: str
    config: str | None = None
    split: str = "train"

    def __str__(self):
        return f"{self.name}{f'/{self.config}' if self.config else ''} ({self.split})"


def parquet_rows(path) -> Iterator[dict]:
    """The rows of a .parquet file; one batch at a time is in memory"""
    if not Path(path).is_file():
        found = "this is a directory" if Path(path).is_dir() else "there is no such file"
        raise InputError(f"{path}: {found}: give the path of a .parquet file")
    with _needs("pyarrow", path):
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    try:
        with ParquetFile(path, page_checksum_verification=True) as file:
            _check_names(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=1024):
                yield from map(_as_json, batch.to_pylist())
    except InputError:
        raise
    except (ArrowException, OSError, ValueError) as error:  # ValueError: a damaged text is not UTF-8
        raise InputError(
            f"{path}: not a readable Parquet file ({first_line(error)}): copy or download it again"
        ) from None


def _check_names(path, names):
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: the column {shortened(twice[0])} stands twice: keep one")


def split_rows(source) -> Iterator[dict]:
    """The rows of a Split; InputError if it cannot be loaded"""
    with _needs("datasets", f"--dataset-name {source.name}"):
        import datasets
    try:
        yield from map(_as_json, datasets.load_dataset(source.name, source.config, split=source.split))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        local = Path(source.name).is_dir()
        remedy = "mend it" if local else "without a network, give a local directory, or a file with --data"
        raise InputError(f"--dataset-name {source}: cannot be loaded ({first_line(error)}): {remedy}") from None


def first_line(error):
    """The first line of another library's error message, printable: it may quote the bytes of a damaged file"""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:200].rstrip(". ")


@contextmanager
def _needs(package, what):
    try:
        yield
    except ImportError:
        raise InputError(f'{what}: needs the package {package}: pip install "reward-by-hand[hf]"') from None


def _as_json(row) -> dict:
    return {name: _value(value) for name, value in row.items()}


def _value(value):
    """A value with floats for all numbers, as JSON rows have them"""
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {name: _value(item) for name, item in value.items()}
    return value

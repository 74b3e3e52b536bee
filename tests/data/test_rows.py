"""Python dicts in place of a file: the same rows, and errors that count rows instead of lines."""

import os
from pathlib import Path
from types import MappingProxyType

import pytest

from numpy_ref.data.reader import Preference, read_preferences
from numpy_ref.data.rows import as_file
from numpy_ref.errors import InputError

ROWS = [{"prompt": "é?", "chosen": "ja\u2028", "rejected": "no"}, {"chosen": "b", "rejected": "c", "margin": 0.5}]


def read(rows):
    with as_file(rows) as path:
        return read_preferences(path)


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda rows: map(MappingProxyType, rows)])
def test_dicts_of_any_iterable_are_read_as_the_file_would_be(kind):
    assert read(kind(ROWS)) == [Preference("é?", ("ja\u2028", "no"), 0.0), Preference("", ("b", "c"), 0.5)]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_given_through_and_no_file_is_made(kind, tmp_path):
    with as_file(kind(tmp_path / "absent.jsonl")) as path:
        assert path == str(tmp_path / "absent.jsonl")
    assert os.listdir(tmp_path) == []


def test_the_temporary_file_is_gone_afterwards():
    with as_file(ROWS) as path:
        assert os.path.isfile(path)
    assert not os.path.exists(os.path.dirname(path))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([*ROWS, {"chosen": "a"}], r'^row 3: there is no column "rejected"'),
        ([], r"^the rows: "),
        ([ROWS[0], ["a", "b"]], r"^row 2 is list: expected a dict such as \{\"prompt\""),
        ([{"chosen": {1, 2}, "rejected": "a"}], r"^row 1 cannot be written as JSON \(.*set.*\): use texts"),
        ([{"chosen": "a", "rejected": "b", ("x",): 1}], r"^row 1 cannot be written as JSON"),
    ],
)
def test_a_bad_row_is_named_by_its_number(rows, sentence):
    with pytest.raises(InputError, match=sentence):
        read(rows)

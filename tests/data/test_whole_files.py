"""A JSON array and a CSV file are read like the same rows in lines of JSON, or refused in one sentence."""

import csv
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import is_one_sentence

from numpy_ref.cli import memory
from numpy_ref.data.reader import read_preferences, read_rows, unit
from numpy_ref.data.whole_files import array_items
from numpy_ref.errors import InputError

ROWS = [
    {"prompt": "Größe?", "chosen": 'groß, "sehr"', "rejected": "klein\nund kurz", "margin": 0.5},
    {"prompt": "", "chosen": "[1, 2]", "rejected": "null"},
    {"prompt": "p", "chosen": "a", "rejected": "b", "margin": -2},
]
LISTS = [
    {"prompt": "p", "responses": ["a, b", "c"], "ranks": [2, 1]},
    {"prompt": "q", "responses": ["x", 'y"'], "scores": [1.5, -3]},
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def as_array(path, rows, indent=None):
    path.write_text(json.dumps(rows, indent=indent), encoding="utf-8")
    return str(path)


def as_csv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()})
    return str(path)


@pytest.mark.parametrize("rows", [ROWS, LISTS], ids=["pairs", "lists"])
def test_the_same_rows_in_any_form(rows, tmp_path):
    expected = read_preferences(jsonl(tmp_path / "a.jsonl", rows))
    forms = [
        as_array(tmp_path / "a.json", rows),
        as_array(tmp_path / "b.json", rows, 2),
        as_csv(tmp_path / "c.csv", rows),
    ]
    forms.append(jsonl(tmp_path / "lines.json", rows))  # a .json file may hold lines
    for path in forms:
        with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb") as packed:
            packed.write(plain.read())
        for name in (path, f"{path}.gz"):
            assert read_preferences(name) == expected, name
    assert [unit(path) for path in forms] == ["row", "row", "row", "line"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(
    rows=st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=4),
    indent=st.sampled_from([None, 1]),
)
def test_an_array_is_cut_into_its_items(tmp_path_factory, rows, indent):
    path = tmp_path_factory.mktemp("array") / "a.json"
    items = list(array_items(as_array(path, rows, indent)))
    assert [json.loads(item) for item in items] == rows
    assert not any("\n" in item for item in items)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", "[", "a.json, row 1: not JSON (Expecting value at character 1 of it): the file seems cut off"),
        ("a.json", '[{"chosen": "a", "rejected": "b"}', "row 1: the end of the file behind it instead of a comma or ]"),
        ("a.json", '[{"chosen": "a", "rejected": "b"} {}]', "row 1: '{' behind it instead of a comma or ]: mend"),
        (
            "a.json",
            '[{"chosen": "a", "rejected": "b"},]',
            "row 2: not JSON (Expecting value at character 1 of it): mend",
        ),
        ("a.json", "[] []", "a.json: there is more behind the array"),
        ("a.json", "[]", "a.json: holds no row"),
        ("a.json", "[3]", "a.json, row 1: a number instead of an object"),
        ("a.json", '[{"chosen": "a", "chosen": "b"}]', "row 1: the column 'chosen' stands twice in one object"),
        ("a.json", "[" * 100_000, "a.json, row 1: the JSON is nested too deeply"),
        ("c.csv", "", "c.csv: holds no row"),
        ("c.csv", "chosen,rejected\n", "c.csv: holds no row"),
        ("c.csv", "chosen,rejected\na\n", "c.csv, row 1: 1 cell, but the header has 2"),
        ("c.csv", 'chosen,rejected\na,"b', "c.csv, row 1: not CSV (unexpected end of data)"),
        ("c.csv", "chosen,chosen\na,b\n", "c.csv: the column 'chosen' stands twice: keep one"),
        ("c.csv", "chosen,rejected\na,\n", 'c.csv, row 1: "rejected" is null, but a text is expected'),
        ("c.csv", "better,worse\na,b\n", "there is no column \"chosen\" (found: 'better', 'worse')"),
        ("c.csv", "chosen,rejected,margin\na,b,high\n", '"margin" is a string, but a finite number is expected'),
        ("c.csv", b"chosen,rejected\n\xff,b\n", "c.csv: byte 17 is not UTF-8"),
        ("none.csv", None, "none.csv: there is no such file"),
        ("none.json", None, "none.json: there is no such file"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(name, content, sentence, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_preferences(tmp_path / name)
    assert is_one_sentence(str(caught.value))
    assert sentence in str(caught.value)


def test_columns_of_other_names_and_blank_lines(tmp_path):
    (tmp_path / "c.csv").write_text("better,worse,lead\na,b,2\n\nc,d,\n")
    columns = {"chosen": "better", "rejected": "worse", "margin": "lead"}
    found = read_preferences(tmp_path / "c.csv", columns)
    assert [(p.responses, p.margin) for p in found] == [(("a", "b"), 2.0), (("c", "d"), 0.0)]


def test_a_row_that_is_wrong_does_not_stop_the_report(tmp_path):
    (tmp_path / "c.csv").write_text("chosen,rejected\na,b\n,d\ne,f\n")
    assert [isinstance(row, InputError) for _, row in read_rows(tmp_path / "c.csv")] == [False, True, False]


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_a_file_that_does_not_fit_the_memory_is_refused_before_it_is_read(name, tmp_path, monkeypatch):
    (tmp_path / name).write_text("[" + " " * 999)
    monkeypatch.setattr(memory, "free", lambda: 5000)
    with pytest.raises(InputError, match=r"to read it whole needs 0\.0 GB of memory"):
        read_preferences(tmp_path / name)

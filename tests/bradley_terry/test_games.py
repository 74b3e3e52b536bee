"""Files of games: every format gives the same table, and every mistake is named with file and line."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_ref import bradley_terry, files
from numpy_ref.bradley_terry import byte_columns
from numpy_ref.bradley_terry.columns import games_of_columns
from numpy_ref.bradley_terry.games import BASEBALL, TABLES, index_labels, read_games
from numpy_ref.errors import InputError

ROWS = [("Ann", "Bob", 3), ("Bob", "Cem, Jr.", 1), ("Cem, Jr.", "Ann", 2), ("Bob", "Ann", 1)]


def write(path, lines):
    """Writes one line for each, compressed if the name says so"""
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix.lower() == ".gz" else text.encode())
    return path


def same(one, other):
    assert one.items == other.items
    for a, b in zip(one.pairs, other.pairs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_format_gives_the_same_table(tmp_path):
    quoted = [(f'"{w}"', f'"{x}"', str(c)) for w, x, c in ROWS]
    csv = read_games(write(tmp_path / "g.csv", ["# a comment", "winner,loser,count", *map(",".join, quoted)]))
    assert csv.items == ["Ann", "Bob", "Cem, Jr."]
    assert not csv.ordered
    assert csv.pairs.first.tolist() == [0, 0, 1]
    assert csv.pairs.wins.tolist() == [3, 0, 1]
    assert csv.pairs.losses.tolist() == [1, 2, 0]
    tabs = ["\t".join(map(str, row)) for row in ROWS]
    records = [json.dumps({"loser": x, "winner": w, "count": c}) for w, x, c in ROWS]
    single = [f"{w},{x}" for w, x, c in quoted for _ in range(int(c))]
    swapped = ["count,loser,winner", *(f"{c},{x},{w}" for w, x, c in quoted)]
    same(csv, read_games(write(tmp_path / "g.tsv", ["winner\tloser\tcount", *tabs])))
    same(csv, read_games(write(tmp_path / "g.tsv.gz", ["winner\tloser\tcount", *tabs])))
    same(csv, read_games(write(tmp_path / "g.jsonl", ["", *records, ""])))
    same(csv, read_games(write(tmp_path / "g.jsonl.gz", records)))
    same(csv, read_games(write(tmp_path / "single.csv.gz", ["winner,loser", *single])))
    same(csv, read_games(write(tmp_path / "swapped.CSV", ["\ufeffcount,loser,winner", *swapped[1:]])))


def test_pairs_with_ties_keep_their_order(tmp_path):
    table = read_games(write(tmp_path / "g.csv", ["a,b,wins_a,wins_b,ties", "x,y,3,1,2", "y,x,0,4,0", "x,y,1,0,0"]))
    assert table.ordered
    assert table.pairs.first.tolist() == [0, 1]
    assert table.pairs.wins.tolist() == [4, 0]
    assert table.pairs.losses.tolist() == [1, 4]
    assert table.pairs.ties.tolist() == [2, 0]


def test_an_item_without_games_is_an_item(tmp_path):
    table = read_games(write(tmp_path / "g.csv", ["a,b,wins_a,wins_b", "x,y,3,1", "x,z,0,0"]))
    assert table.items == ["x", "y", "z"]
    assert table.pairs.n_items == 3
    assert len(table.pairs.first) == 1


def test_the_shipped_tables():
    baseball, citations = read_games(BASEBALL), read_games(TABLES / "citations_1994.csv")
    assert len(baseball.items) == 7
    assert baseball.pairs.wins.sum() + baseball.pairs.losses.sum() == 273
    assert citations.pairs.wins.sum() + citations.pairs.losses.sum() == 3727
    for path in TABLES.iterdir():
        assert path.read_text().startswith("# ")


HEAD, PAIR = "winner,loser,count", "a,b,wins_a,wins_b"


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("g.csv", [], r"g\.csv: there is no game"),
        ("g.csv", [HEAD], r"g\.csv: there is no game"),
        ("g.csv", [HEAD, "A,B,0"], "every count is 0"),
        ("g.csv", [HEAD, "A,B,1", "A,A,1"], r"g\.csv, line 3: 'A' is compared with itself"),
        ("g.csv", [HEAD, "A,B,-1"], "line 2: count is '?-1'?, expected a whole number"),
        ("g.csv", [HEAD, "A,B,1.5"], "line 2: count is '1.5'"),
        ("g.csv", [HEAD, "A,B,nan"], "line 2: count is 'nan'"),
        ("g.csv", [HEAD, "A,B,"], "line 2: count is ''"),
        ("g.csv", [HEAD, "A,B,three"], "line 2: count is 'three'"),
        ("g.csv", [HEAD, "A,B,1", "A,B,1000000000000"], "line 3: count is 1000000000000.*below 1,000,000,000,000"),
        ("g.csv", [HEAD, "A,B," + "9" * 5000], "expected a count below"),
        ("g.csv", [PAIR, "A,B,1,2", "", "B,C,1,-2"], "line 4: wins_b is '-2'"),
        ("g.csv", ["winner,looser", "A,B"], "line 1: found the columns winner, looser; expected the columns winner"),
        ("g.csv", ["winner,winner", "A,B"], "line 1: a column stands twice"),
        ("g.csv", [HEAD, "A,B"], "line 2: 2 cells, expected 3"),
        ("g.csv", [HEAD, "A,B,1,1"], "line 2: 4 cells, expected 3"),
        ("g.csv", [HEAD, "A,,1"], "line 2: '' is not the name of an item"),
        ("g.csv", [HEAD, "NaN,B,1"], "line 2: 'NaN' is not the name of an item"),
        ("g.csv", [HEAD, 'A,"B" x,1'], r"g\.csv, line 2: .*expected a readable"),
        ("g.jsonl", ['{"winner": 1, "loser": 2}', '{"winner": "1", "loser": 2}'], "line 2: '1' is str, but 1 is int"),
        ("g.jsonl", ['{"winner": 1, "loser": 2.5}'], "line 1: 2.5 is not the name"),
        ("g.jsonl", ['{"winner": true, "loser": 2}'], "line 1: True is not the name"),
        ("g.jsonl", ['{"winner": 1, "loser": null}'], "line 1: None is not the name"),
        ("g.jsonl", ['{"winner": 1, "loser": 2, "count": NaN}'], "line 1: count is nan"),
        ("g.jsonl", ['{"winner": 1, "loser": 2, "count": 2.5}'], "line 1: count is 2.5"),
        ("g.csv", [HEAD, "A,B,1", "A ,B,1"], "line 3: 'A ' and 'A' differ only by spaces"),
        ("g.jsonl", ['{"winner": 1, "loser": 2}', '{"winner": 1}'], "line 2: found winner; expected winner, loser"),
        ("g.jsonl", ["{"], "line 1: not JSON"),
        ("g.jsonl", ["[1, 2]"], r"line 1: found \[1, 2\]; expected an object"),
        ("g.txt", [HEAD], "cannot tell the format of 'g.txt'"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, name, lines, message):
    with pytest.raises(InputError, match=message) as raised:
        read_games(write(tmp_path / name, lines))
    assert "\n" not in str(raised.value)


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"winner,loser\nA,B\n" * 99)[:-20])
    (tmp_path / "latin.csv").write_bytes("winner,loser\nJosé,B\n".encode("latin-1"))
    (tmp_path / "folder.csv").mkdir()
    expected = {
        "broken.csv.gz": "damaged gzip data",
        "cut.csv.gz": "the gzip data end early",
        "latin.csv": "line 2: not UTF-8 text",
        "folder.csv": "this is a directory",
        "missing.csv": "there is no such file",
    }
    for name, found in expected.items():
        with pytest.raises(InputError, match=f"{name}.*{found}"):
            read_games(tmp_path / name)


@pytest.mark.parametrize("name", ["games.csv.gz", "GAMES.CSV.GZ"])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, name, monkeypatch):
    (tmp_path / name).write_bytes(gzip.compress(b"winner,loser\n" + b"A,B\n" * 1000 + b"B,A\n"))
    assert read_games(tmp_path / name).items == ["A", "B"]
    monkeypatch.setattr(files, "MAX_UNPACKED", 1000)
    monkeypatch.setattr(files, "MAX_RATIO", 2)
    with pytest.raises(InputError, match="unpacks to more than 1000 bytes"):
        read_games(tmp_path / name)


@given(st.lists(st.tuples(st.integers(-3, 10**6), st.integers(-3, 10**6)), min_size=1), st.booleans())
def test_labels_of_every_kind_are_numbered_in_order(games, spread):
    first, second = (np.array(column) * (10**9 if spread else 1) for column in zip(*games, strict=True))
    for columns in ((first, second), (first.tolist(), second.tolist())):
        items, i, j = index_labels(*columns)
        assert items == sorted({*first.tolist(), *second.tolist()})
        np.testing.assert_array_equal(np.array(items)[i], first)
        np.testing.assert_array_equal(np.array(items)[j], second)
    items, i, j = index_labels(first.astype(str), second.astype(str))
    assert items == sorted({*map(str, first.tolist()), *map(str, second.tolist())})
    assert [items[k] for k in i] == first.astype(str).tolist()


@pytest.mark.parametrize("labels", [["a", 1], [1.5, 2.5], [None, "a"], [float("nan"), "a"]])
def test_labels_of_mixed_kinds_are_refused(labels):
    with pytest.raises(InputError, match=r"expected (all of them text, or all whole numbers|text or a whole number)"):
        index_labels(labels)


cells = st.text(st.characters(codec="utf-8", exclude_characters='",\r\n\0', exclude_categories=("Cs",)), max_size=9)


@pytest.mark.parametrize("reader", [byte_columns.arrow_columns, byte_columns.numpy_columns])
@given(st.lists(st.tuples(cells, st.integers(0, 10**12), cells), min_size=1))
def test_the_fast_readers_read_what_the_careful_one_reads(reader, rows):
    """Text of all scripts, empty cells, cells of many words, and an unused column"""
    body = "".join(f"{a},{count},{b}\n" for a, count, b in rows).encode()
    found = reader(body, ",", ["a", "count", "b"], ["a", "b"], ["count"])
    if found is None:  # blank lines, or pyarrow is not installed
        return
    for name, k in (("a", 0), ("b", 2)):
        assert [found[name].names[c] for c in found[name].code] == [row[k] for row in rows]
    assert found["count"].tolist() == [row[1] for row in rows]


def test_names_that_share_every_hash_are_told_apart(monkeypatch):
    """In a hash table of two slots nearly all names collide; sorting then tells them apart"""
    monkeypatch.setattr(byte_columns, "TABLE_BITS", 1)
    names = [f"a rather long name {k % 7}" for k in range(50)]
    body = "".join(f"{name}\n" for name in names).encode()
    found = byte_columns.numpy_columns(body, ",", ["a"], ["a"], [])["a"]
    assert [found.names[c] for c in found.code] == names


def imports_of(path):
    """Which of pandas and pyarrow a fresh process has imported after reading a file"""
    code = f"import sys; from numpy_ref.bradley_terry.games import read_games; read_games({str(path)!r})"
    code += "; print(*{'pandas', 'pyarrow'} & set(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_a_small_file_imports_neither_pandas_nor_pyarrow_and_a_large_one_no_pandas(tmp_path):
    """Importing them takes half a second, longer than NumPy takes to read the file"""
    assert not imports_of(BASEBALL)
    large = write(tmp_path / "large.csv", ["winner,loser", *["Ann,Bob", "Bob,Ann"] * (byte_columns.LARGE // 16 + 1)])
    assert imports_of(large) <= {"pyarrow"}


@pytest.mark.parametrize(
    "body", [b"A,B\nC\n", b"A,B\n\nB,A\n", b"A,B,C\n", b'"A",B\n', b"A,B\0\n", b"\xff,B\n", b"A" * 99 + b",B,1\n"]
)
def test_what_is_not_plain_is_left_to_the_careful_reader(body):
    assert byte_columns.numpy_columns(body, ",", ["a", "b"], ["a", "b"], []) is None or b'"' in body or b"\0" in body
    if b"\xff" not in body:
        assert byte_columns.plain_columns(body, ",", ["a", "b"], ["a", "b"], []) is None


def test_separators_are_found_and_said(tmp_path):
    notes = []
    table = read_games(write(tmp_path / "g.csv", ["winner;loser;count", "A;B;2", "B;A;1"]), note=notes.append)
    assert table.pairs.wins.tolist() == [2]
    assert notes[0].endswith("the columns are separated by semicolons")
    read_games(write(tmp_path / "t.csv", ["winner\tloser", "A\tB"]), note=notes.append)
    assert notes[1].endswith("separated by tabs")
    read_games(write(tmp_path / "t.TSV.GZ", ["winner\tloser", "A\tB"]), note=notes.append)
    assert len(notes) == 2


def test_columns_may_have_other_names(tmp_path):
    lines = ["home team,away team,winner,loser,x", "A,B,A,B,1"]
    table = read_games(write(tmp_path / "g.csv", lines), names={"winner": "home team", "loser": "away team"})
    assert table.items == ["A", "B"]
    with pytest.raises(InputError, match="line 1: there is no column 'guest' for loser; found home team, away team"):
        read_games(tmp_path / "g.csv", names={"loser": "guest"})


def test_counts_as_decimals_and_weights(tmp_path):
    path = write(tmp_path / "g.csv", ["winner,loser,count", "A,B,2.0", "B,A,1.0"])
    assert read_games(path).pairs.wins.tolist() == [2]
    path = write(tmp_path / "w.csv", ["winner,loser,count", "A,B,2.5", "B,A,1"])
    with pytest.raises(InputError, match=r"line 2: count is '2.5', expected a whole number.*--weights"):
        read_games(path)
    assert read_games(path, weights=True).pairs.wins.tolist() == [2.5]


@pytest.mark.parametrize("header", ["model_a,b,winner", "model_winner,loser", "winner,model_loser", "a,model_b,winner"])
def test_names_of_two_layouts_are_none(header, tmp_path):
    cells = ["x", "y", "model_a"][: header.count(",") + 1]
    for name in ("table.csv", "table.jsonl"):
        row = json.dumps(dict(zip(header.split(","), cells, strict=True)))
        path = write(tmp_path / name, [row] if name.endswith("jsonl") else [header, ",".join(cells)])
        with pytest.raises(InputError, match=f"line 1: found the columns {header.replace(',', ', ')}; expected"):
            read_games(path)
    with pytest.raises(InputError, match="found the columns"):
        games_of_columns({column: [cell] for column, cell in zip(header.split(","), cells, strict=True)})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"winner": ["ann"], "loser": "bob"}',
            "line 1: the name of an item is \\['ann'\\], expected text or a number",
        ),
        ('{"winner": "ann", "loser": "bob", "site": {"x": 1}}', "line 1: site is {'x': 1}, expected text or a number"),
        ('{"winner": "ann", "loser": "bob", "count": [1]}', "line 1: count is \\[1\\], expected a whole number"),
    ],
)
def test_a_cell_that_holds_a_list_is_named(line, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_games(write(tmp_path / "table.jsonl", [line]))


def test_one_column_has_one_role(tmp_path):
    path = write(tmp_path / "table.csv", ["x,wins_a,wins_b", "p,1,2"])
    with pytest.raises(InputError, match="line 1: the column 'x' is named for a and b; expected a column for each"):
        read_games(path, names={"a": "x", "b": "x"})


@pytest.mark.parametrize("extra", ["a", "b"])
def test_one_column_of_another_layout_is_let_be(extra, tmp_path):
    rows = ["9,x,y,model_a", "9,y,x,model_b", "9,x,y,tie"]
    table = read_games(write(tmp_path / "arena.csv", [f"{extra},model_a,model_b,winner", *rows]))
    assert table.items == ["x", "y"]
    pairs = table.pairs  # x is at home in the first, y in the second
    assert (pairs.wins.tolist(), pairs.ties.tolist(), pairs.losses.tolist()) == ([1, 0], [1, 0], [0, 1])


def test_a_mark_within_a_name_is_no_separator(tmp_path):
    """The separator is the one that gives the columns, not the first mark in the header"""
    notes = []
    file = write(tmp_path / "g.csv", ["winner;loser;remarks, if any", "x;y;", "y;x;late, but won"])
    assert read_games(file, note=notes.append).items == ["x", "y"]
    assert notes == [f"{file}: the columns are separated by semicolons"]
    file = write(tmp_path / "g.tsv", ["winner,loser,remarks", "x,y,"])
    assert read_games(file, note=notes.append).items == ["x", "y"]
    assert notes[1:] == [f"{file}: the columns are separated by commas"]


@pytest.mark.parametrize("header", ["winner,loser,site", "a,b,wins_a,wins_b,site", "a,b,winner,neutral"])
def test_a_site_of_another_kind_is_any_other_column_unless_home_is_asked_for(header, tmp_path):
    rows = {
        "winner,loser,site": ["x,y,Paris", "y,x,Rome"],
        "a,b,wins_a,wins_b,site": ["x,y,1,0,Paris", "y,x,1,0,Rome"],
        "a,b,winner,neutral": ["x,y,a,often", "y,x,a,never"],
    }[header]
    file = write(tmp_path / "g.csv", [header, *rows])
    without = write(tmp_path / "w.csv", [row.rpartition(",")[0] for row in [header, *rows]])
    found, expected = read_games(file, home=False), read_games(without)
    assert (found.items, found.ordered) == (expected.items, expected.ordered)
    for column, other in zip(found.pairs, expected.pairs, strict=True):
        np.testing.assert_array_equal(column, other)
    with pytest.raises(InputError, match=r"g.csv, line 2: (site|neutral) is '(Paris|often)', expected"):
        read_games(file)
    assert bradley_terry.fit(file).items == ["x", "y"]
    with pytest.raises(InputError, match=r"line 2: (site|neutral) is"):
        bradley_terry.fit(file, home=True)


@pytest.mark.parametrize(
    ("header", "row", "names", "message"),
    [
        ("winner,loser,n games", "x,y,many", {"count": "n games"}, "line 2: n games is 'many', expected a whole"),
        ("a,b,home wins,wins_b", "x,y,-1,1", {"wins_a": "home wins"}, "line 2: home wins is '?-1'?, expected a whole"),
        ("a,b,result", "x,y,won", {"winner": "result"}, "line 2: result is 'won', expected model_a"),
        ("winner,loser,ground", "x,y,z", {"site": "ground"}, "line 2: ground is 'z', expected 'x' or 'y'"),
    ],
)
def test_a_message_calls_a_column_what_the_file_calls_it(header, row, names, message, tmp_path):
    with pytest.raises(InputError, match=message):
        read_games(write(tmp_path / "g.csv", [header, row]), names=names)


def test_arena_and_neutral_ground(tmp_path):
    lines = ["model_a,model_b,winner,tokens", "x,y,model_a,9", "y,x,model_a,9", "x,y,tie,9", "x,y,tie (bothbad),9"]
    pairs = read_games(write(tmp_path / "arena.csv", lines)).pairs
    assert (pairs.wins.tolist(), pairs.ties.tolist(), pairs.losses.tolist()) == ([1, 1], [2, 0], [0, 0])
    lines = ["winner,loser,site", "x,y,x", "y,x,x", "x,y,", "x,y,neutral"]
    table = read_games(write(tmp_path / "site.csv", lines))
    assert table.ordered
    assert table.pairs.at_home.tolist() == [0, 1]
    assert (table.pairs.wins.tolist(), table.pairs.losses.tolist()) == ([2, 1], [0, 1])
    with pytest.raises(InputError, match="line 2: site is 'z', expected 'x' or 'y'"):
        read_games(write(tmp_path / "z.csv", ["winner,loser,site", "x,y,z"]))
    with pytest.raises(InputError, match="line 2: neutral is 'maybe', expected 1, 0, true or false"):
        read_games(write(tmp_path / "n.csv", ["a,b,wins_a,wins_b,neutral", "x,y,1,1,maybe"]))

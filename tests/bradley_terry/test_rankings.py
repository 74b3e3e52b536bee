"""Files of rankings: both formats are read, and every mistake is named with file and line."""

import json

import pytest

from numpy_ref.bradley_terry.rankings import read_rankings
from numpy_ref.errors import InputError


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("name", "lines", "found"),
    [
        ("r.csv", ["1,2,3", "a,b,c", "b,a,"], [["a", "b", "c"], ["b", "a"]]),
        ("r.csv", ["# a, b", "first;second;third", "a;b;c"], [["a", "b", "c"]]),
        ("r.jsonl", ['["a", "b"]', '{"ranking": ["b", "a"]}'], [["a", "b"], ["b", "a"]]),
        ("r.jsonl", ['{"responses": ["a", "b"], "ranks": [2, 1]}'], [["b", "a"]]),
    ],
)
def test_rankings(tmp_path, name, lines, found):
    assert read_rankings(write(tmp_path / name, lines)) == found


@pytest.mark.parametrize(
    "names", [["rate=0.1", "rate=0.2", "base"], ["b", "b=c", "d"], ["x=1", "1=", "=x"], ["a==b", "a", "b"], ["=", "a"]]
)
def test_names_may_hold_an_equals_sign(tmp_path, names):
    rankings = [names, names[::-1]]
    assert read_rankings(write(tmp_path / "r.jsonl", map(json.dumps, rankings))) == rankings


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("r.csv", ["1,2", "a,a"], "line 2: 'a' stands twice"),
        ("r.csv", ["1,2", "a"], "line 2: 1 item; a ranking needs two"),
        ("r.csv", ["1,2"], "there is no ranking"),
        ("r.csv", ["1,2,3", "a,b,c", "a,b=c"], "line 3: b=c says that"),
        ("r.csv", ["1,2,3", "c,b = a", "a,b,c"], "line 2: b = a says that"),
        ("r.csv", ["1,2", "a=b,c", "b=c,a"], "line 2: a=b says that"),
        ("r.csv", ["1,2", "a,b", "b,a", "c,d", "d,a=b=c"], "line 5: a=b=c says that"),
        ("r.jsonl", ['["a", "b", "c"]', '["b=c", "a"]'], "line 2: b=c says that"),
        ("r.jsonl", ['["a", ["b", "c"]]'], "line 1: b, c are tied; expected one item a place"),
        ("r.jsonl", ['{"responses": ["a", "b"], "ranks": [1, 1]}'], r"line 1: ranks \[1, 1\] hold a tie"),
        ("r.jsonl", ["3"], "line 1: expected a list of items"),
        ("r.csv", ["1,2", "a,b", "b ,a"], "line 3: 'b ' and 'b' differ only by spaces"),
        ("r.jsonl", ['["a", "b"]', "[1, 2]"], "line 2: 1 is int, but 'a' is str"),
        ("r.jsonl", ['{"responses": ["a", "b"], "ranks": [1]}'], "line 1: expected two lists of one length"),
        ("r.jsonl", ['{"responses": ["a", "b"], "ranks": [1, "x"]}'], "line 1: 'x' is no rank"),
        ("r.jsonl", ['{"responses": ["a", "b"], "ranks": [1, NaN]}'], "line 1: nan is no rank"),
    ],
)
def test_rankings_that_are_none(tmp_path, name, lines, message):
    with pytest.raises(InputError, match=message):
        read_rankings(write(tmp_path / name, lines))

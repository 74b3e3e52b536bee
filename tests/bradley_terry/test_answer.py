"""fit in one call: every way to pass games gives the same answer, and each number in it can be computed by hand."""

import math

import numpy as np
import pytest

from numpy_ref import bradley_terry
from numpy_ref.bradley_terry import inference, strengths
from numpy_ref.bradley_terry.games import BASEBALL
from numpy_ref.bradley_terry.win_counts import pairs_of_rows
from numpy_ref.errors import InputError

GAMES = [("ann", "bob", 7), ("bob", "ann", 3), ("bob", "cem", 6), ("cem", "ann", 2), ("cem", "bob", 1)]
NAMES = ["ann", "bob", "cem"]
COUNTED = {"winner": ["a", "b"], "loser": ["b", "a"], "count": [1, 2]}
WINS = np.array([[0, 7, 0], [3, 0, 6], [2, 1, 0]])


class Frame:
    """A data frame with what it needs of pandas': names of columns, an index, columns as arrays"""

    def __init__(self, columns, index=()):
        self.data, self.columns, self.index = {k: np.asarray(v) for k, v in columns.items()}, list(columns), list(index)

    def __getitem__(self, name):
        return self.data[name]

    def to_numpy(self):
        return np.stack(list(self.data.values()), 1)


WINNER, LOSER, COUNT = zip(*GAMES, strict=True)
ONE_BY_ONE = [(w, x) for w, x, count in GAMES for _ in range(count)]
ARENA = {
    "model_a": [w if k % 2 else x for k, (w, x) in enumerate(ONE_BY_ONE)],
    "model_b": [x if k % 2 else w for k, (w, x) in enumerate(ONE_BY_ONE)],
    "winner": ["model_a" if k % 2 else "model_b" for k in range(len(ONE_BY_ONE))],
}


@pytest.mark.parametrize(
    ("games", "labels"),
    [
        (GAMES, None),
        (ONE_BY_ONE, None),
        ([*GAMES[:2], *((w, x) for w, x, count in GAMES[2:] for _ in range(count))], None),
        ({"winner": WINNER, "loser": LOSER, "count": COUNT, "judge": [1, 2, 3, 4, 5]}, None),
        (Frame({"winner": WINNER, "loser": LOSER, "count": COUNT, "judge": WINNER}), None),
        ({"a": WINNER, "b": LOSER, "wins_a": COUNT, "wins_b": [0] * 5}, None),
        (WINS, NAMES),
        (WINS.tolist(), NAMES),
        ([tuple(map(np.str_, pair)) for pair in ONE_BY_ONE], None),
        (np.array(ONE_BY_ONE), None),
        (Frame(dict(zip(NAMES, WINS.T, strict=True)), NAMES), None),
        (ARENA, None),
        (Frame(ARENA), None),
    ],
)
def test_every_form_of_the_same_games_gives_the_same_answer(games, labels):
    answer, i = bradley_terry.fit(games, labels), [0, 1, 0]
    exact = strengths.fit(pairs_of_rows(i, [1, 2, 2], [7, 6, 0], [3, 1, 2]))
    assert answer.items == NAMES
    np.testing.assert_allclose(answer.strength, exact.strength, rtol=0, atol=1e-13)
    np.testing.assert_allclose(answer.standard_error, inference.standard_errors(exact), rtol=1e-12)
    np.testing.assert_array_equal(answer.games, [12, 17, 9])


def test_a_file_and_pandas_frames():
    pandas = pytest.importorskip("pandas", reason="the extra hf, which brings pandas, is not installed")
    frame = pandas.DataFrame(GAMES, columns=["winner", "loser", "count"])
    answer = bradley_terry.fit(frame)
    assert bradley_terry.fit(GAMES).table["item"] == pandas.DataFrame(answer.table)["item"].tolist()
    square = pandas.DataFrame(WINS, NAMES, NAMES)
    np.testing.assert_allclose(bradley_terry.fit(square).strength, answer.strength, rtol=0, atol=1e-13)


def test_pandas_columns_of_every_kind():
    """Categories, nullable text and counts give the same; a missing ground is neutral, a missing name is refused"""
    pandas = pytest.importorskip("pandas", reason="the extra hf, which brings pandas, is not installed")
    plain = bradley_terry.fit(GAMES)
    for text, whole in (("category", "Int64"), ("string", "int32"), (object, float)):
        frame = pandas.DataFrame(GAMES, columns=["winner", "loser", "count"])
        kinds = {"winner": text, "loser": text, "count": whole}
        np.testing.assert_array_equal(bradley_terry.fit(frame.astype(kinds)).strength, plain.strength)
    played = pandas.DataFrame({"winner": ["x", "y", "x", "y"], "loser": ["y", "x", "y", "x"]})
    for nowhere in ("", None, math.nan, pandas.NA):
        at_home = bradley_terry.fit(
            played.assign(site=pandas.Series(["x", "x", nowhere, nowhere], dtype=object)), home=True
        )
        assert sorted(at_home.fitted.pairs.at_home) == [0, 1]
    with pytest.raises(InputError, match="row 1: <NA> is not the name of an item"):
        bradley_terry.fit(pandas.DataFrame({"winner": pandas.array(["x", None], "string"), "loser": ["y", "x"]}))
    with pytest.raises(InputError, match="two columns winner"):
        bradley_terry.fit(pandas.DataFrame([["x", "y", "x"]], columns=["winner", "loser", "winner"]))


def test_a_series_is_read_by_position_and_what_is_missing_in_it_stays_missing():
    pandas = pytest.importorskip("pandas", reason="the extra hf, which brings pandas, is not installed")
    frame = pandas.DataFrame([*GAMES, ("ann", "bob", -1)], columns=["winner", "loser", "count"])
    later = frame[frame.index > 0]
    with pytest.raises(InputError, match=f"row {len(GAMES) - 1}: count is -1"):
        bradley_terry.fit({name: later[name] for name in later})
    for missing in pandas.array([1, 2, None], "Int64"), [1, 2, None]:  # NumPy has no missing whole number
        with pytest.raises(InputError, match=r"row 2: (<NA>|nan) is not the name of an item"):
            bradley_terry.fit(pandas.DataFrame({"winner": missing, "loser": [2, 1, 1]}))
    for site in pandas.array([1, None, 2, 2], "Int64"), [1, None, 2, 2]:
        played = {"winner": [1, 2, 2, 1], "loser": [2, 1, 1, 2], "site": site}
        assert sorted(bradley_terry.fit(pandas.DataFrame(played), home=True).fitted.pairs.at_home) == [0, 1, 1]


def test_a_frame_without_names_holds_rows_and_a_square_one_may_be_in_any_order():
    pandas = pytest.importorskip("pandas", reason="the extra hf, which brings pandas, is not installed")
    expected = bradley_terry.fit(GAMES)
    found = bradley_terry.fit(pandas.DataFrame(GAMES))
    assert (found.items, found.strength.tolist()) == (expected.items, expected.strength.tolist())
    assert bradley_terry.fit(pandas.DataFrame([*GAMES[:2], GAMES[1]])).items == ["ann", "bob"]  # as square as a table
    square = pandas.DataFrame(WINS, index=list("abc"), columns=list("abc"))
    expected = bradley_terry.fit(square)
    for table in square.loc[["c", "a", "b"]], square[["b", "c", "a"]]:
        found = bradley_terry.fit(table)
        assert found.items == ["a", "b", "c"]
        np.testing.assert_allclose(found.strength, expected.strength, rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", [1e-9, 1e-24, 1e-200])
@pytest.mark.parametrize("ties", [0, 1])
def test_strengths_do_not_depend_on_the_unit_of_the_weights(scale, ties):
    games = {"a": ["a", "b", "c"], "b": ["b", "c", "a"], "wins_a": [9, 2, 3], "wins_b": [1, 7, 3], "ties": [ties] * 3}
    expected = bradley_terry.fit(games)
    games |= {name: [scale * x for x in games[name]] for name in ("wins_a", "wins_b", "ties")}
    np.testing.assert_allclose(bradley_terry.fit(games, weights=True).strength, expected.strength, rtol=0, atol=1e-12)


def test_rankings_from_a_frame_and_from_a_file(tmp_path):
    pandas = pytest.importorskip("pandas", reason="the extra hf, which brings pandas, is not installed")
    lists = [["a", "b", "c"], ["b", "c"], ["c", "a", "b"]]
    expected = bradley_terry.rank(lists)
    (tmp_path / "r.csv").write_text("first,second,third\n" + "".join(",".join(row) + "\n" for row in lists))
    padded = [[*row, None][:3] for row in lists]
    for given in pandas.DataFrame(padded, columns=["first", "second", "third"]), tmp_path / "r.csv":
        found = bradley_terry.rank(given)
        assert (found.items, found.strength.tolist()) == (expected.items, expected.strength.tolist())


def test_two_items_by_hand():
    """7 wins against 3: λ_a - λ_b = log(7/3), its variance 1 / (10 · .7 · .3)"""
    answer = bradley_terry.fit([("a", "b", 7), ("b", "a", 3)], reference="b")
    assert answer.predict("a", "b") == pytest.approx(0.7, abs=1e-14)
    assert answer.predict("b", "a") == pytest.approx(0.3, abs=1e-14)
    found = answer.compare("a", "b")
    assert found.difference == pytest.approx(math.log(7 / 3), abs=1e-13)
    assert found.standard_error == pytest.approx(2.1**-0.5, abs=1e-13)
    z = math.log(7 / 3) * 2.1**0.5
    assert found.p_value == pytest.approx(math.erfc(z / 2**0.5), rel=1e-12)
    assert found.high - found.low == pytest.approx(2 * 1.959963984540054 * 2.1**-0.5, rel=1e-12)
    assert answer.compare("a", "b", level=0.5).high < found.high
    np.testing.assert_allclose(answer.strength, [math.log(7 / 3), 0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(answer.standard_error, [2.1**-0.5, 0], rtol=0, atol=1e-13)
    assert answer.elo()["b"] == 1500
    assert answer.elo()["a"] == pytest.approx(1500 + 400 * math.log10(7 / 3), abs=1e-9)
    assert answer.compare("a", "a") == (0, 0, 0, 0, 1)
    assert answer.table["item"] == ["a", "b"]


def test_at_home_and_on_neutral_ground():
    """x wins 9 of 10 at home, 3 of 4 on neutral ground, 4 of 8 away: d = h = log 3 fits all three exactly"""
    d = h = math.log(3)  # odds of 9, 3 and 1
    columns = {"a": list("xxx"), "b": list("yyy"), "wins_a": [9, 3, 4], "wins_b": [1, 1, 4], "site": ["x", "", "y"]}
    answer = bradley_terry.fit(columns, home=True)
    assert answer.home.estimate == pytest.approx(h, abs=1e-12)
    assert answer.compare("x", "y").difference == pytest.approx(d, abs=1e-12)
    assert answer.predict("x", "y", site="x") == pytest.approx(0.9, abs=1e-12)
    assert answer.predict("x", "y", site="y") == pytest.approx(0.5, abs=1e-12)
    assert answer.predict("x", "y") == pytest.approx(0.75, abs=1e-12)
    assert answer.fitted.degrees_of_freedom == 1
    assert answer.fitted.deviance == pytest.approx(0, abs=1e-10)


def test_ties_take_their_share_of_the_prediction():
    answer = bradley_terry.fit(
        {"a": list("xx"), "b": list("yy"), "winner": ["a", "b"], "count": [6, 3]} | {"judge": "ab"}
    )
    assert answer.predict("x", "y") == pytest.approx(2 / 3, abs=1e-13)
    columns = {
        "a": list("xxx"),
        "b": list("yyy"),
        "winner": ["model_a", "model_b", "tie (bothbad)"],
        "count": [6, 2, 4],
    }
    tied = bradley_terry.fit(columns)
    assert tied.predict("x", "y") == pytest.approx(6 / 12, abs=1e-12)
    assert tied.predict("y", "x") == pytest.approx(2 / 12, abs=1e-12)
    assert tied.tie.estimate == pytest.approx(math.log(4 / math.sqrt(12)), abs=1e-12)  # ν = ties / √(6 · 2)


def test_rankings_give_the_same_answer_object():
    answer = bradley_terry.rank([["a", "b"], ["a", "b"], ["b", "a"]])
    pairs = bradley_terry.fit([("a", "b", 2), ("b", "a", 1)])
    np.testing.assert_allclose(answer.strength, pairs.strength, rtol=0, atol=1e-12)
    np.testing.assert_allclose(answer.standard_error, pairs.standard_error, rtol=1e-10)
    assert answer.predict("a", "b") == pytest.approx(2 / 3, abs=1e-12)
    assert answer.compare("a", "b").standard_error == pytest.approx(pairs.compare("a", "b").standard_error, rel=1e-10)
    assert "Plackett-Luce" in str(answer)


def test_large_tables_compare_without_a_covariance(monkeypatch):
    whole = bradley_terry.fit(GAMES)
    monkeypatch.setattr(inference, "DENSE_ITEMS", 2)
    answer, solved = bradley_terry.fit(GAMES), bradley_terry.fit(GAMES, errors="solve")
    assert np.isnan(answer.standard_error).all()
    assert answer.compare("ann", "cem") == pytest.approx(whole.compare("ann", "cem"), rel=1e-10)
    np.testing.assert_allclose(solved.standard_error, whole.standard_error, rtol=1e-10)


def test_it_can_be_read_and_drawn():
    answer = bradley_terry.fit([*GAMES, ("<b>", "ann", 1), ("ann", "<b>", 1)], ties="half")
    assert all(len(line) <= 80 for line in str(answer).splitlines())
    assert "&lt;b&gt;" in answer._repr_html_()
    assert "<b>" not in answer._repr_html_()
    labels = [label.get_text() for label in answer.plot().axes[0].get_yticklabels()]
    assert labels == answer.table["item"]
    assert "-0.000" not in str(bradley_terry.fit([("a", "b", 1), ("b", "a", 1)]))


def test_a_file_by_its_name():
    assert bradley_terry.fit(BASEBALL, home=True).home.estimate == pytest.approx(0.30226065552894081, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bradley_terry.fit([("a", "b"), ("a", "c")]), r"no estimate exists.*a never lost to b and c"),
        (lambda: bradley_terry.rank([["a", "b"], ["a", "c"]]), r"no estimate exists.*a never lost to b and c"),
        (
            lambda: bradley_terry.fit({"a": ["x"], "b": ["y"], "wins_a": [2], "wins_b": [1]}, home=True),
            "cannot be told",
        ),
        (lambda: bradley_terry.fit(GAMES, home=True), "nothing says who is at home"),
        (lambda: bradley_terry.fit(GAMES, reference="dan"), "reference='dan': no such item"),
        (lambda: bradley_terry.fit(GAMES).predict("ann", "dan"), "'dan': no such item; expected one of ann, bob, cem"),
        (lambda: bradley_terry.fit(GAMES).predict("ann", "bob", site="ann"), "no home effect was estimated"),
        (lambda: bradley_terry.fit(GAMES, ties="halved"), "'halved' is now called 'half'"),
        (lambda: bradley_terry.fit([("a", "b", 1.5), ("b", "a", 1)]), "row 0: count is 1.5, expected a whole number"),
        (lambda: bradley_terry.fit([("a", "b"), ("b", "a", 1, 2)]), r"row 1: \('b', 'a', 1, 2\): expected a list of"),
        (lambda: bradley_terry.fit([]), "expected a list of"),
        (lambda: bradley_terry.fit([("a", "a")]), "row 0: 'a' is compared with itself"),
        (lambda: bradley_terry.fit([("a", "b"), ("b ", "a")]), "row 1: 'b ' and 'b' differ only by spaces"),
        (lambda: bradley_terry.fit(WINS, ["a", "b"]), "expected a square table"),
        (lambda: bradley_terry.fit(WINS[:2], ["a", "b"]), "expected a square table"),
        (lambda: bradley_terry.fit({"winner": ["a"], "looser": ["b"]}), "found the columns winner, looser; expected"),
        (lambda: bradley_terry.fit(ARENA | {"winner": ["x"] * 19}), "row 0: winner is 'x', expected model_a"),
        (lambda: bradley_terry.rank([["a", ["b", "c"]]]), "ranking 0: .* are tied"),
        (lambda: bradley_terry.rank([["a", "b"], ["a", "a"]]), "ranking 1: 'a' stands twice"),
        (lambda: bradley_terry.rank([["a", "b"], ["a"]]), "ranking 1: 1 item; a ranking needs two or more"),
        (lambda: bradley_terry.rank([["a", "b"], ["a", {}]]), "ranking 1: {} is not the name of an item"),
        (lambda: bradley_terry.rank(["ab", "ba"]), "ranking 0: 'ab': expected a list of names"),
        (lambda: bradley_terry.rank([None]), "ranking 0: None: expected a list of names"),
        (lambda: bradley_terry.rank(5), "rankings=5: expected a list of rankings"),
        (lambda: bradley_terry.rank({"ab": 1}), "expected a list of rankings"),
        (lambda: bradley_terry.rank([]), "at least one ranking"),
        (lambda: bradley_terry.rank([["a", "b"]], ranked=0), "ranked=0: expected a whole number from 1 on"),
        (lambda: bradley_terry.rank([["a", "b"]], ranked=1.0), "ranked=1.0: expected a whole number"),
        (lambda: bradley_terry.rank([["a", "b"]], ranked=[1, 1]), r"ranked=\[1, 1\]: .*or one for each of 1 rankings"),
        (lambda: bradley_terry.rank([["a", "b"], ["b", 3]]), "ranking 1: 3 is int, but 'a' is str"),
        (lambda: bradley_terry.fit(None), "expected a list of"),
        (lambda: bradley_terry.fit(["ab", "ba"]), "row 0: 'ab': expected a list of"),
        (lambda: bradley_terry.fit({"winner": "ann", "loser": "bob"}), "the column winner is 'ann', expected a list"),
        (lambda: bradley_terry.fit({"winner": ["a", "b"], "loser": ["b"]}), "differ in length: winner 2, loser 1"),
        (lambda: bradley_terry.fit([("a", "b"), ("b", math.nan)]), "row 1: nan is not the name of an item"),
        (lambda: bradley_terry.fit([("a", "b"), (None, "a")]), "row 1: None is not the name of an item"),
        (lambda: bradley_terry.fit([[0, math.nan], [1, 0]], ["a", "b"]), "row 'a', column 'b': count is nan"),
        (lambda: bradley_terry.fit(GAMES, errors="all"), "errors='all': expected one of auto, solve, none"),
        (lambda: bradley_terry.fit(GAMES, level="95%"), "level='95%': expected a number between 0 and 1"),
        (
            lambda: bradley_terry.fit([("a", "b"), (["c"], "a")]),
            r"row 1: the name of an item is \['c'\], expected text",
        ),
        (lambda: bradley_terry.fit(ARENA | {"winner": [["x"]] * 19}), r"row 0: winner is \['x'\], expected text"),
        (lambda: bradley_terry.fit(COUNTED | {"count": [[1], [2]]}), r"row 0: count is \[1\], expected a whole number"),
        (lambda: bradley_terry.fit(COUNTED | {"count": ["2", "1_000"]}), "row 1: count is '1_000', expected a whole"),
        (lambda: bradley_terry.fit(COUNTED, ["a", "b"]), "labels are for a square table of wins"),
        (lambda: bradley_terry.fit(5, ["a", "b"]), "5 with labels .'a', 'b'.: expected a square table"),
        (lambda: bradley_terry.fit([[0, 3], [1]], ["a", "b"]), "expected a square table"),
        (lambda: bradley_terry.fit([["0", "3"], ["x", "0"]], ["a", "b"]), "expected a square table"),
        (lambda: bradley_terry.fit(WINS, [["a"], ["b"], ["c"]]), "expected a square table"),
        (lambda: bradley_terry.fit(np.array([[0, 1, 5], [1, 2, 3], [2, 0, 4]])), "3 rows of 3 numbers may be a table"),
    ],
)
def test_bad_input_is_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_weights_need_not_be_whole():
    answer = bradley_terry.fit([("a", "b", 1.5), ("b", "a", 0.5)], weights=True)
    assert answer.compare("a", "b").difference == pytest.approx(math.log(3), abs=1e-13)

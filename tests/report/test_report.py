"""The report finds every planted problem on its lines, and none in a clean file; its estimates are unbiased."""

import gzip
import json
import math
import re
import subprocess
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from listed import encode
from running import is_one_sentence, run, start, write_rows

from numpy_ref.cli import memory
from numpy_ref.cli.text import width
from numpy_ref.data import world
from numpy_ref.data.reader import Preference, longer_wins, read_preferences
from numpy_ref.data.tokenizer import Bytes, Words
from numpy_ref.errors import InputError
from numpy_ref.evaluation.agreement import krippendorff_alpha
from numpy_ref.evaluation.intervals import wilson
from numpy_ref.report import rows
from numpy_ref.report.ceiling import accuracy_bounds, binary_entropy, ceiling, loss_bounds, ratings
from numpy_ref.report.figure import report_picture
from numpy_ref.report.findings import examine, line_numbers, short_names
from numpy_ref.report.measures import baseline, counts
from numpy_ref.report.rows import kind_of, read
from numpy_ref.report.text import TITLES, as_text
from numpy_ref.reward_model import init_params
from numpy_ref.storage.checkpoint import save_model

DATA = Path(__file__).parents[3] / "shared" / "data"
CUT = 64  # tokens, the --max-length of most tests here


def pair(prompt, chosen, rejected, **further):
    """One row"""
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **further}


def clean(n, name=""):
    """n rows in which nothing is wrong; chosen and rejected are equally long"""
    return [pair(f"question {name}{i}", f"right {name}{i}", f"wrong {name}{i}") for i in range(n)]


def look(*paths, max_length=CUT, repeated_labels=False, tokenizer=None):
    """The report on these files"""
    return examine(read(paths, tokenizer or Bytes(), max_length), max_length, repeated_labels)


def found(report):
    """{finding: the (file, line) of its rows} of the findings that have any"""
    rows = report.rows
    return {
        finding.name: [(int(rows.file[row]), int(rows.line[row])) for row in np.flatnonzero(finding.rows)]
        for finding in report.findings
        if finding.rows.any()
    }


def first_case(report, name):
    """The lines of the first case of a finding"""
    return [int(line) for line in report.rows.line[finding_of(report, name).case]]


def finding_of(report, name):
    """The finding of that name"""
    return next(finding for finding in report.findings if finding.name == name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


LONG = "x" * CUT
# What is planted after three clean rows (from line 4 on), and the lines of every finding that results.
PLANTED = {
    "not JSON": (["{"], {"unreadable": [4]}),
    "another column": ([{"prompt": "p", "winner": "a", "loser": "b"}, *clean(1, "x")], {"unreadable": [4]}),
    "empty": ([*clean(1, "x"), pair("p", "", "bad")], {"unreadable": [5], "empty": [5]}),
    "an empty one of a list": (
        [{"prompt": "p", "responses": ["good", " ", "bad"], "ranks": [1, 2, 3]}],
        {"unreadable": [4], "empty": [4]},
    ),
    "a full stop": ([pair("p", ".", "bad")], {"near_empty": [4]}),
    "one letter": ([pair("p", "good", " b!?")], {"near_empty": [4]}),
    "two letters": ([pair("p", "no", "my")], {}),
    "identical": ([pair("p", "same", "same")], {"identical": [4]}),
    "identical but for whitespace": ([pair("p", "the same", " the\tsame\n")], {"identical": [4]}),
    "identical in a list": (
        [{"prompt": "p", "responses": ["one", "two", "one"], "ranks": [1, 1, 2]}],
        {"identical": [4]},
    ),
    "identical in a list, tied": (
        [{"prompt": "p", "responses": ["one", "two", "one"], "ranks": [1, 2, 1]}],
        {"repeated": [4]},
    ),
    "same when cut": (
        [pair("p", LONG + "good", LONG + "my bad")],
        {"same_when_cut": [4], "too_long": [4]},
    ),
    "differ just before the cut": ([pair("p", "x" * 60 + "a" * 9, "x" * 60 + "b" * 9)], {"too_long": [4]}),
    "differ just behind the cut": (
        [pair("p", "x" * 61 + "a" * 9, "x" * 61 + "b" * 9)],
        {"too_long": [4], "same_when_cut": [4]},
    ),
    "one ends just before the cut": ([pair("p", "x" * 60, "x" * 70)], {"too_long": [4], "prefix": [4]}),
    "one ends at the cut": ([pair("p", "x" * 61, "x" * 70)], {"too_long": [4], "prefix": [4], "same_when_cut": [4]}),
    "a prompt beyond the cut": ([pair(LONG, "good", "evil")], {"too_long": [4], "same_when_cut": [4]}),
    "as long as may be": ([pair("p", "g" * 60, "b" * 60)], {}),  # with bos, p, sep and eos 64
    "one too long": ([pair("p", "g" * 61, "b" * 60)], {"too_long": [4]}),
    "prefix": ([*clean(1, "x"), pair("p", "so it", "so it ends")], {"prefix": [5]}),
    "special in a prompt": ([pair("what is </s>?", "good", "evil")], {"special": [4]}),
    "special in a response": ([pair("p", "good<|im_end|>", "evil")], {"special": [4]}),
    "special of our own": ([pair("p", "good", "evil <eos> or")], {"special": [4]}),
    "no special": ([pair("a < b", "[good]", "<b>evil</b> <|")], {}),
    "repeated": ([pair("p", "yes", "not"), *clean(1, "x"), pair("p", "yes", "not")], {"repeated": [4, 6]}),
    "repeated but for whitespace": ([pair("p q", "yes", "not"), pair(" p  q", "yes\n", "not")], {"repeated": [4, 5]}),
    "another prompt": ([pair("p", "yes", "not"), pair("q", "yes", "not")], {}),
    "repeated in a list": (
        [pair("p", "two", "odd"), {"prompt": "p", "responses": ["one", "two", "odd"], "scores": [3, 2, 1]}],
        {"repeated": [4, 5]},
    ),
    "both orders": ([pair("p", "yes", "not"), *clean(1, "x"), pair("p", "not", "yes")], {"both_orders": [4, 6]}),
    "both orders with a majority": (
        [pair("p", "yes", "not"), pair("p", "not", "yes"), pair("p", "yes", "not")],
        {"both_orders": [4, 5, 6], "repeated": [4, 6]},
    ),
    "both orders, two prompts": ([pair("p", "yes", "not"), pair("q", "not", "yes")], {}),
    "cycle": (
        [pair("p", "one", "two"), pair("p", "two", "six"), *clean(1, "x"), pair("p", "six", "one")],
        {"cycles": [4, 5, 7]},
    ),
    "cycle with a tail": (
        [pair("p", *two) for two in pairwise(["top", "one", "two", "six", "one", "end"])],
        {"cycles": [5, 6, 7]},
    ),
    "cycle beside a text beside itself": (
        [pair("p", "one", "two"), pair("p", "two", "six"), pair("p", "six", "one"), pair("p", "six", "six")],
        {"cycles": [4, 5, 6], "identical": [7]},
    ),
    "cycle through a list": (
        [{"prompt": "p", "responses": ["one", "two", "six"], "ranks": [1, 2, 2]}, pair("p", "two", "six"),
         pair("p", "six", "one"), pair("p", "six", "one")],
        {"cycles": [4, 5, 6, 7], "both_orders": [4, 6, 7], "repeated": [6, 7]},
    ),
    "cycle through answers that stand nowhere else": (
        [{"prompt": "p", "responses": ["top", "one", "two", "six", "end"], "scores": [9, 8, 7, 6, 5]},
         pair("p", "six", "one"), pair("p", "six", "one")],
        {"cycles": [4, 5, 6], "both_orders": [4, 5, 6], "repeated": [5, 6]},
    ),
    "cycle over two prompts": ([pair("p", "one", "two"), pair("q", "two", "one")], {}),
    "a draw breaks the cycle": (
        [pair("p", "one", "two"), pair("p", "two", "six"), pair("p", "six", "one"), pair("p", "one", "six")],
        {"both_orders": [6, 7]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_is_found_on_its_lines_and_nothing_else(folder, name):
    planted, expected = PLANTED[name]
    path = folder / "planted.jsonl"
    rows = [*clean(3), *planted, *clean(2, "after")]
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    report = look(path)
    assert {name: [line for _, line in at] for name, at in found(report).items() if name != "length"} == expected
    text = as_text(report, [path])
    for finding, at in expected.items():
        assert f"{TITLES[finding]:<24}"[:20] in text
        assert " ".join(line_numbers(at, "line").split()) in " ".join(text.split("what would mislead")[1].split())


def test_a_clean_file_is_clean(folder, capsys):
    path = write_rows(folder / "clean.jsonl", clean(30))
    assert found(look(path)) == {}
    assert run("numpy_ref", "report", path, "--strict") == 0
    assert capsys.readouterr().out.endswith("what would mislead training\n  nothing that --strict fails for\n")


def test_clean_splits_share_nothing_and_each_sharing_is_found(folder):
    train = write_rows(folder / "train.jsonl", clean(3))
    assert found(look(train, write_rows(folder / "test.jsonl", clean(3, "test")))) == {}
    rows = [*clean(2, "test"), pair("question 1", "else", "also"), pair(" question  2 ", "wrong 2", "right\n2")]
    report = look(train, write_rows(folder / "test.jsonl", rows))
    assert found(report) == {
        "shared_comparisons": [(0, 3), (1, 4)],
        "shared_prompts": [(0, 2), (0, 3), (1, 3), (1, 4)],
        "shared_answers": [(0, 3), (1, 4)],
    }
    assert "train line 3, test line 4; take them out" in " ".join(
        as_text(report, ["train.jsonl", "test.jsonl"]).split()
    )
    assert first_case(report, "shared_prompts") == [2, 3]
    assert "shared_prompts" not in {finding.name for finding in look(train).findings}


def test_an_answer_shared_under_another_prompt_is_a_warning(folder):
    train = write_rows(folder / "train.jsonl", clean(2))
    test = write_rows(folder / "test.jsonl", [pair("else?", "also", "wrong 1")])
    report = look(train, test)
    assert found(report) == {"shared_answers": [(0, 2), (1, 1)]}
    assert finding_of(report, "shared_answers").severity == "warning"


def test_rows_without_a_prompt_share_no_prompt_but_may_share_a_pair(folder):
    rows = [{"chosen": f"right {i}", "rejected": f"wrong {i}"} for i in range(4)]
    train, test = write_rows(folder / "train.jsonl", rows[:2]), write_rows(folder / "test.jsonl", rows[2:])
    report = look(train, test)
    assert found(report) == {}
    assert counts(report, 0)["rows without a prompt"] == 2
    assert counts(report, 0)["different prompts"] == 0
    again = look(train, write_rows(folder / "test.jsonl", rows[1:]))
    assert found(again)["shared_comparisons"] == [(0, 2), (1, 1)]
    assert "shared_prompts" not in found(again)


def test_what_two_files_hold_differently_is_no_contradiction_of_one(folder):
    train = write_rows(folder / "train.jsonl", [pair("p", "yes", "not")])
    report = look(train, write_rows(folder / "test.jsonl", [pair("p", "not", "yes")]))
    assert set(found(report)) == {"shared_comparisons", "shared_prompts", "shared_answers"}
    assert report.ceiling is None


def test_the_first_case_names_the_lines_that_belong_together(folder):
    rows = [pair("p", "yes", "not"), pair("q", "yes", "not"), pair("q", "not", "yes"), pair("p", "not", "yes")]
    report = look(write_rows(folder / "rows.jsonl", rows))
    assert found(report)["both_orders"] == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert first_case(report, "both_orders") == [1, 4]
    assert finding_of(report, "both_orders").what == "2 pairs stand in both orders (4 rows)"


def test_repetitions_that_differ_in_whitespace_are_counted(folder):
    rows = [pair("p", "yes", "not"), pair("p", "yes", "not")]
    exact = finding_of(look(write_rows(folder / "rows.jsonl", rows)), "repeated").what
    assert exact == "1 comparison stands more than once (2 rows)"
    spaced = finding_of(look(write_rows(folder / "rows.jsonl", [*rows, pair("p", "yes", " not")])), "repeated").what
    assert spaced == "1 comparison stands more than once, 1 of them in different whitespace (3 rows)"


ERRORS = ["not JSON", "empty", "identical", "same when cut", "both orders", "cycle"]
WARNINGS = ["a full stop", "one too long", "prefix", "special in a response", "repeated"]


@pytest.mark.parametrize(("names", "status"), [(ERRORS, 1), (WARNINGS, 0)])
def test_strict_fails_for_errors_and_for_nothing_else(folder, capsys, names, status):
    for name in names:
        rows = PLANTED[name][0]
        path = folder / "strict.jsonl"
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in [*clean(2), *rows]))
        assert run("numpy_ref", "report", str(path), "--strict", "--max-length", str(CUT)) == status
        assert run("numpy_ref", "report", str(path), "--max-length", str(CUT)) == 0
    capsys.readouterr()


@pytest.mark.parametrize(("shared", "status"), [("question 0", 1), ("question", 0)])
def test_strict_fails_where_splits_share_a_prompt(folder, capsys, shared, status):
    train = write_rows(folder / "train.jsonl", clean(2))
    test = write_rows(folder / "test.jsonl", [pair(shared, "else", "also")])
    assert run("numpy_ref", "report", train, test, "--strict") == status
    capsys.readouterr()


def test_labels_that_were_meant_to_be_given_again_are_no_error(folder, capsys):
    rows = [row for name in ("both orders with a majority", "cycle") for row in PLANTED[name][0]]
    path = write_rows(folder / "rows.jsonl", rows)
    assert run("numpy_ref", "report", path, "--strict") == 1
    assert run("numpy_ref", "report", path, "--strict", "--repeated-labels") == 0
    assert "note     1 pair stands in both orders" in capsys.readouterr().out
    report = look(path, repeated_labels=True)
    assert {finding_of(report, name).severity for name in ("repeated", "both_orders", "cycles")} == {"note"}


def test_what_cannot_be_read_is_counted_by_kind_and_named_by_line(folder):
    lines = [
        b"{",
        b'{"chosen": 3, "rejected": "x"}',
        b'{"prompt": "p"}',
        b"[",
        b"\xff",
        b'{"chosen": "a", "rejected": ""}',
    ]
    path = folder / "bad.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n\n" + json.dumps(clean(1)[0]).encode())
    report = look(path)
    assert dict(report.rows.kinds[0]) == {
        "not JSON": [1, 4],
        '"chosen" is a number, but a text is expected': [2],
        'there is no column "chosen"': [3],
        "byte N of the line is not UTF-8": [5],
        '"rejected" is empty': [6],
    }
    assert found(report)["unreadable"] == [(0, line) for line in range(1, 7)]
    assert found(report)["empty"] == [(0, 6)]
    text = as_text(report, [path])
    assert "  2 x not JSON (lines 1 and 4)" in text
    assert counts(report, 0) | {"rows": 7, "pairs": 1} == counts(report, 0)


def test_places_in_a_table_are_rows_and_in_another_file_lines(folder, capsys):
    table, array, lines = folder / "table.csv", folder / "array.json", folder / "lines.jsonl"
    table.write_text("prompt,chosen,rejected\na,same,same\nb,one more,two more\nc,here,\n")
    array.write_text(json.dumps([{"prompt": "d", "chosen": "same", "rejected": "same"}, {"prompt": "e"}]))
    lines.write_text("\n" + json.dumps({"prompt": "f", "chosen": "same", "rejected": "same"}) + "\n")
    assert run("numpy_ref", "report", str(table), str(array), str(lines)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "whitespace aside: table row 1, array row 1, lines line 2" in said
    assert "cannot be read: table row 3, array row 2;" in said
    assert "but a text is expected (row 3)" in said


def test_the_most_frequent_kinds_are_named_and_the_rest_is_counted(folder):
    """A row is unreadable in nine ways, the k-th of them k times"""
    kinds = [{"chosen": "a", "rejected": "b", "margin": value} for value in ("x", [], {}, None, True)]
    kinds += ["{", [], 1, {"chosen": 1, "rejected": "b"}]
    path = write_rows(folder / "kinds.jsonl", [row for k, row in enumerate(kinds, 1) for _ in range(k)])
    said = as_text(look(path), [path])
    assert [int(n) for n in re.findall(r"^  (\d) x ", said, re.M)] == [9, 8, 7, 6, 5, 4]
    assert "\n  and 3 other kinds\n" in said
    path = write_rows(folder / "kinds.jsonl", kinds[:6])
    assert "other kinds" not in as_text(look(path), [path])


def test_the_texts_that_look_like_special_tokens_are_counted(folder):
    rows = [pair("a </s>", "b </s> <|im_end|>", "c"), pair("<|im_end|>", "d </s>", "e"), *clean(1)]
    path = write_rows(folder / "specials.jsonl", rows)
    assert "</s> 3, <|im_end|> 2" in " ".join(as_text(look(path), [path]).split())


def test_what_the_comparisons_of_all_rows_need_is_asked_for_once_it_is_more_than_there_is(folder, monkeypatch):
    lists = [{"prompt": f"p{i}", "responses": [*"abcd"], "ranks": [1, 2, 3, 4]} for i in range(3)]
    path = write_rows(folder / "lists.jsonl", lists)
    monkeypatch.setattr(memory, "free", lambda: 12 * rows.BYTES_OF_A_PAIR)  # two lists of 4 * 3 / 2 comparisons
    with pytest.raises(InputError, match="line 3: the report on the 18 comparisons up to here needs"):
        look(path)
    monkeypatch.setattr(memory, "free", lambda: 18 * rows.BYTES_OF_A_PAIR)
    assert len(look(path).compared.row) == 18


def test_where_no_row_can_be_read_there_is_still_a_report(folder, capsys):
    path = folder / "bad.jsonl"
    path.write_text("{\n" * 9)
    assert run("numpy_ref", "report", str(path), "--strict") == 1
    assert "9 rows cannot be read: lines 1, 2, 3, 4, 5, 6 and 3 more; mend" in capsys.readouterr().out
    assert run("numpy_ref", "report", str(path), "--figure", str(folder / "x.png")) == 2
    assert "there is no comparison to draw" in capsys.readouterr().err


def test_an_empty_answer_that_can_be_read_is_empty_all_the_same(monkeypatch):
    rows = [(1, Preference("p", ("good", " "))), (2, Preference("p", ("good", "evil")))]
    monkeypatch.setattr("numpy_ref.report.rows.read_rows", lambda *_: iter(rows))
    assert found(look("rows.jsonl")) == {"empty": [(0, 1)]}


def test_kinds_of_errors_lose_what_is_of_one_row_only():
    assert kind_of(InputError("rank 3 is 2.5: expected")) == kind_of(InputError("rank 1 is -7: expected"))
    assert kind_of(InputError("3 responses, but 2 ranks: give")) == "N responses, but N ranks"


# Laws for any file. There are few prompts and answers, so that they occur together.

answers = st.sampled_from(["a b", "a  b", "bb", "cc", "dd", "ee"])
small_rows = st.builds(pair, st.sampled_from(["p", "q"]), answers, answers)
lists = st.builds(
    lambda prompt, texts, ranks: {"prompt": prompt, "responses": texts, "scores": ranks[: len(texts)]},
    st.sampled_from(["p", "q"]),
    st.lists(answers, min_size=2, max_size=4),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
files = st.lists(small_rows | lists, min_size=1, max_size=14)


def arrows(rows):
    """Every comparison as (line, prompt, better, worse), found by loops, with whitespace normalised"""
    for line, row in enumerate(rows, 1):
        if "chosen" in row:
            yield line, row["prompt"], *(" ".join(row[side].split()) for side in ("chosen", "rejected"))
            continue
        for (x, a), (y, b) in combinations(zip(row["responses"], row["scores"], strict=True), 2):
            if a != b:
                better, worse = (x, y) if a > b else (y, x)
                yield line, row["prompt"], " ".join(better.split()), " ".join(worse.split())


def beats(given):
    """{(prompt, a, b)} where more labels put a before b than b before a"""
    count: dict = {}
    for _, prompt, a, b in given:
        count[prompt, a, b] = count.get((prompt, a, b), 0) + 1
    return {key for key, n in count.items() if n > count.get((key[0], key[2], key[1]), 0)}


def in_circle(prompt, a, b, graph):
    """Whether paths lead from a to b and from b to a, so that both lie in one component"""

    def reached(start, end):
        seen, new = set(), {start}
        while new:
            seen |= new
            new = {y for p, x, y in graph if p == prompt and x in seen} - seen
        return end in seen - ({start} - {y for _, _, y in graph})

    return a != b and reached(a, b) and reached(b, a)


@given(rows=files)
def test_relations_are_those_found_by_hand(folder, rows):
    report = look(write_rows(folder / "rows.jsonl", rows))
    given, graph = list(arrows(rows)), beats(arrows(rows))
    times = {key: sum(key == other[1:] for other in given) for key in {arrow[1:] for arrow in given}}
    expected = {
        "identical": {line for line, _, a, b in given if a == b},
        "both_orders": {line for line, p, a, b in given if a != b and (p, b, a) in times},
        "repeated": {arrow[0] for arrow in given if times[arrow[1:]] > 1},
        "cycles": {line for line, p, a, b in given if in_circle(p, a, b, graph)},
    }
    there = {name: {line for _, line in at} for name, at in found(report).items() if name in expected}
    assert there == {name: lines for name, lines in expected.items() if lines}
    assert counts(report, 0)["comparisons"] == len(given)


@given(rows=files, random=st.randoms())
def test_the_order_of_the_lines_changes_no_count(folder, rows, random):
    before = look(write_rows(folder / "rows.jsonl", rows))
    mixed = list(rows)
    random.shuffle(mixed)
    after = look(write_rows(folder / "rows.jsonl", mixed))
    assert {name: len(at) for name, at in found(before).items()} == {name: len(at) for name, at in found(after).items()}
    assert [f.what for f in before.findings] == [f.what for f in after.findings]
    assert counts(before, 0) == counts(after, 0)
    assert baseline(before, 0) == baseline(after, 0)
    if before.ceiling:
        assert before.ceiling[:2] == after.ceiling[:2]
        np.testing.assert_allclose(before.ceiling[2], after.ceiling[2], rtol=1e-14)  # sums in another order
        np.testing.assert_allclose(before.ceiling[3], after.ceiling[3], rtol=1e-13, atol=1e-14)


@given(rows=files)
def test_a_file_twice_in_one_repeats_each_comparison(folder, rows):
    once = look(write_rows(folder / "rows.jsonl", rows))
    twice = look(write_rows(folder / "rows.jsonl", rows + rows))
    compared = {line for line, *_ in arrows(rows)}
    expected = sorted((0, line + k * len(rows)) for line in compared for k in (0, 1))
    assert found(twice).get("repeated", []) == expected
    for name in ("identical", "both_orders", "cycles", "prefix", "near_empty", "special", "too_long"):
        assert len(found(twice).get(name, [])) == 2 * len(found(once).get(name, []))
    ours, theirs = counts(once, 0), counts(twice, 0)
    assert theirs == {name: n if name == "different prompts" else 2 * n for name, n in ours.items()}
    if compared:
        assert baseline(twice, 0)["share"] == baseline(once, 0)["share"]


@given(rows=files)
def test_a_file_given_twice_shares_everything_with_itself(folder, rows):
    path = write_rows(folder / "rows.jsonl", rows)
    once, twice = look(path), look(path, path)
    everything = [(file, line) for file in (0, 1) for line in range(1, len(rows) + 1)]
    assert found(twice)["shared_prompts"] == found(twice)["shared_answers"] == everything
    compared = {line for line, *_ in arrows(rows)}
    assert {line for _, line in found(twice).get("shared_comparisons", [])} == compared
    assert counts(twice, 0) == counts(twice, 1) == counts(once, 0)
    for name in ("repeated", "both_orders", "cycles", "identical"):
        assert found(twice).get(name, []) == [(k, line) for k in (0, 1) for _, line in found(once).get(name, [])]


@given(rows=files, limit=st.integers(1, 12))
def test_too_long_and_identical_are_what_training_leaves_out(folder, rows, limit):
    """Each is left out for one reason, length first; the report names both"""
    path = write_rows(folder / "rows.jsonl", rows)
    preferences = read_preferences(path)
    report = look(path, max_length=limit)
    assert len(found(report).get("too_long", [])) == encode(Bytes(), preferences, limit).too_long
    for limits in (limit, 10**6):
        cut = [
            [Bytes().encode(row.prompt, response)[:limits] for response in row.responses] for row in preferences
        ]  # what cutting on the right would leave
        same = {
            line
            for line, (row, ids) in enumerate(zip(preferences, cut, strict=True), 1)
            for i, j in combinations(range(len(ids)), 2)
            if row.ranks[i] < row.ranks[j] and ids[i] == ids[j]
        }
        ours = found(look(path, max_length=limits))
        named = {line for name in ("identical", "same_when_cut") for _, line in ours.get(name, [])}
        spaces = {line for line, _, a, b in arrows(rows) if a == b}  # equal up to whitespace counts as identical
        assert named == same | spaces


@given(rows=files)
def test_the_longer_answer_wins_as_often_as_training_says(folder, rows):
    path = write_rows(folder / "rows.jsonl", rows)
    ours = baseline(look(path), 0)
    if ours is None:
        assert not list(arrows(rows))
    else:
        assert ours["share"] == pytest.approx(longer_wins(read_preferences(path)), rel=1e-14)
        assert ours["of"] == len(list(arrows(rows)))
        assert ours["interval"][0] <= ours["share"] <= ours["interval"][1]


def test_a_long_chain_without_a_cycle_has_none_and_with_one_arrow_back_is_one(folder):
    chain = [pair("p", f"answer {i}", f"answer {i + 1}") for i in range(1000)]
    assert "cycles" not in found(look(write_rows(folder / "rows.jsonl", chain)))
    circle = [*chain, pair("p", "answer 1000", "answer 0")]
    assert len(found(look(write_rows(folder / "rows.jsonl", circle)))["cycles"]) == 1001


@given(
    texts=st.lists(st.text("ab", max_size=5), min_size=2, max_size=6),
    ranks=st.lists(st.integers(1, 3), min_size=6, max_size=6),
    room=st.integers(-1, 5),
)
def test_a_row_is_flagged_by_its_groups_as_by_each_two_of_its_answers(texts, ranks, room):
    ids = [text.encode() for text in texts]
    ranks = sorted(ranks[: len(texts)])
    expected = 0
    for (a, x), (b, y) in combinations(zip(ranks, texts, strict=True), 2):
        if a < b:
            cut_alike = rows.cut(x.encode(), room) == rows.cut(y.encode(), room)
            expected |= rows.IDENTICAL * (x == y) | rows.SAME_WHEN_CUT * (x != y and cut_alike)
            expected |= rows.PREFIX * (x != y and "" not in (x, y) and (x.startswith(y) or y.startswith(x)))
    assert rows.about_pairs(ranks, texts, ids, room) == expected


def test_the_length_note_says_which_and_only_where_it_is_sure(folder):
    long = [pair(f"q{i}", f"a much longer answer {i}", f"short {i}") for i in range(40)]
    assert (
        "the longer answer was chosen in 100.0%"
        in finding_of(look(write_rows(folder / "l.jsonl", long)), "length").what
    )
    short = [pair(row["prompt"], row["rejected"], row["chosen"]) for row in long]
    assert (
        "the shorter answer was chosen in 100.0%"
        in finding_of(look(write_rows(folder / "l.jsonl", short)), "length").what
    )
    assert "length" not in found(look(write_rows(folder / "l.jsonl", long[:26] + short[26:])))  # .650, .495 to .779
    assert "length" in found(look(write_rows(folder / "l.jsonl", long[:27] + short[27:])))  # .675, .520 to .799


# The ceiling.

probabilities = st.floats(0, 1)


@given(p=probabilities, n=st.integers(2, 7))
def test_the_share_of_labels_that_differ_is_unbiased(p, n):
    """Its expectation over the binomial distribution, summed exactly, is p (1 - p)"""
    k = np.arange(n + 1)
    chance = np.array([math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in k])
    brier = np.array([ceiling(np.array([n]), np.array([i])).brier for i in k])
    assert float(chance @ brier) == pytest.approx(p * (1 - p), abs=1e-14)


@given(p=st.lists(probabilities, min_size=1, max_size=20).map(np.array))
def test_the_bounds_hold_for_every_world(p):
    """Bounds from E[2 p (1 - p)] alone; 1e-12 allows for rounding, which √ near 0 enlarges"""
    d = float((2 * p * (1 - p)).mean())
    low, high = accuracy_bounds(d, d)
    assert low - 1e-12 <= np.maximum(p, 1 - p).mean() <= high + 1e-8  # √(1 - 2 d) of 1e-16 is 1e-8
    entropy = np.mean([binary_entropy(float(x)) for x in p])
    low, high = loss_bounds(d)
    assert low - 1e-12 <= entropy <= high + 1e-12


def test_the_bounds_are_reached():
    certain_or_not = np.array([0.0, 1.0, 0.5, 0.5])
    d = float((2 * certain_or_not * (1 - certain_or_not)).mean())
    assert accuracy_bounds(d, d)[0] == np.maximum(certain_or_not, 1 - certain_or_not).mean() == 0.75
    assert loss_bounds(d)[0] == pytest.approx(np.mean([binary_entropy(p) for p in certain_or_not]))
    alike = 0.8
    d = 2 * alike * (1 - alike)
    assert accuracy_bounds(d, d)[1] == pytest.approx(alike)
    assert loss_bounds(d)[1] == pytest.approx(binary_entropy(alike))
    assert loss_bounds(0.9) == pytest.approx((math.log(2), math.log(2)))
    assert accuracy_bounds(0.0, 0.9) == (0.5, 1.0)


def test_labels_that_disagree_more_than_chance_does_are_chance():
    found = ceiling(np.full(10, 2), np.ones(10, int))
    assert found.brier_interval[1] == 0.25
    assert found.accuracy == (0.5, 0.5)
    assert found.accuracy_interval == (0.5, 0.5)


def test_the_estimate_finds_the_floor_of_a_known_world():
    """p from a beta distribution, 2 to 4 labels each: at least 270 of 300 intervals of 95 % hold the truth (292 do)"""
    rng, held, estimates = np.random.default_rng(5), 0, []
    p = rng.beta(0.7, 0.7, 120)
    truth = float((p * (1 - p)).mean())
    for _ in range(300):
        n = rng.integers(2, 5, len(p))
        estimate = ceiling(n, rng.binomial(n, p))
        low, high = estimate.brier_interval
        held += low <= truth <= high
        estimates.append(estimate.brier)
        assert estimate.accuracy[0] <= estimate.accuracy[1]
    assert held >= 270
    error = np.std(estimates) / math.sqrt(len(estimates))
    assert abs(np.mean(estimates) - truth) < 4 * error


def test_the_report_on_a_labelled_world_brackets_its_known_floors(folder):
    """Every pair of the world is labelled three times; the intervals contain the world's true floors"""
    drawn, _ = world.make_world(3, 1_500, 1, visits=1)
    rng = np.random.default_rng(7)
    rows = [
        pair(label.prompt, *label.responses) for _ in range(3) for label in world.rank(rng, drawn)
    ]  # prompts of the world all differ
    report = look(write_rows(folder / "world.jsonl", rows), repeated_labels=True)
    truth, estimate = world.floors(drawn.rewards), report.ceiling
    assert (estimate.pairs, estimate.labels) == (1_500, 4_500)
    assert estimate.brier_interval[0] <= truth["brier"] <= estimate.brier_interval[1]
    assert estimate.brier == pytest.approx(truth["brier"], abs=0.012)  # 3 standard errors of .004
    assert estimate.accuracy[0] - 0.02 <= truth["accuracy"] <= estimate.accuracy[1] + 0.02  # D's own error
    assert estimate.accuracy_interval[0] <= truth["accuracy"] <= estimate.accuracy_interval[1]
    assert estimate.loss[0] - 0.03 <= truth["loss"] <= estimate.loss[1] + 0.03


def test_a_list_that_holds_a_text_twice_gives_no_second_label(folder):
    row = {"prompt": "p", "responses": ["one", "two", "one"], "ranks": [1, 2, 1]}
    assert look(write_rows(folder / "rows.jsonl", [row])).ceiling is None
    again = look(write_rows(folder / "rows.jsonl", [row, pair("p", "two", "one")])).ceiling
    assert (again.pairs, again.labels, again.agreement) == (1, 2, 0)


def test_without_a_second_label_nothing_is_claimed(folder):
    path = write_rows(folder / "rows.jsonl", clean(5))
    report = look(path)
    assert report.ceiling is None
    assert "no pair was labelled twice, so nothing can be said" in " ".join(as_text(report, [path]).split())
    with_two = look(write_rows(folder / "rows.jsonl", [*clean(5), *clean(1)]))
    assert with_two.ceiling.pairs == 1
    assert "best reachable accuracy" in as_text(with_two, [path])


@given(counts=st.lists(st.tuples(st.integers(2, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_agreement_asks_nobody_which_side_comes_first(counts):
    n = np.array([n for n, _ in counts])
    wins = np.array([min(k, n) for n, k in counts])
    ours, turned = ceiling(n, wins), ceiling(n, n - wins)
    assert ours.alpha == pytest.approx(turned.alpha, abs=1e-12)
    assert ours.agreement == turned.agreement
    differing = 2 * wins * (n - wins) / (n * (n - 1))
    total = 2 * n.sum()  # counted both ways round, the two labels are equally frequent: D_e = N / (2 (N - 1))
    by_hand = 1 - 2 * (total - 1) / total * (n * differing).sum() / n.sum()
    assert ours.alpha == pytest.approx(by_hand, abs=1e-12)


def test_a_pair_labelled_very_often_does_not_need_a_giant_table(monkeypatch):
    monkeypatch.setattr("numpy_ref.report.ceiling.CELLS", 4_000)
    n, wins = np.array([2] * 99 + [10**6]), np.array([2] * 99 + [750_000])
    table = ratings(n, wins)
    assert table.shape == (20, 200)
    assert np.nanmean(table[:, 99]) == 0.75
    assert krippendorff_alpha(table) == ceiling(n, wins).alpha


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_intervals(wins, n, low, high):
    """Newcombe 1998, Statistics in Medicine 17, Table I, method 3"""
    assert wilson(wins, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(n - wins, n) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(("wins", "n"), [(0, 0), (-1, 4), (5, 4)])
def test_wilson_refuses_what_is_no_share(wins, n):
    with pytest.raises(InputError, match=f"{wins} of {n}"):
        wilson(wins, n)


# The command.


@pytest.fixture
def splits(folder):
    """Two files with a few rows of every kind"""
    train = [*clean(40), *(row for rows, _ in PLANTED.values() for row in rows)]
    path = folder / "train.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in train)
    return str(path), write_rows(folder / "test.jsonl", [*clean(3), *clean(9, "test")])


def test_every_line_fits_in_80_columns(folder, capsys, splits):
    names = ["a" * 120 + ".jsonl", "日本語のとても長い名前のファイル.jsonl", "x.jsonl"]
    others = [write_rows(folder / name, clean(4, name[0])) for name in names]
    bad = folder / "bad.jsonl"
    bad.write_text("".join(json.dumps({f"column {i}" + "y" * 90: 1}) + "\n" for i in range(9)) + "{}\n" * 9)
    assert run("numpy_ref", "report", *splits, *others, str(bad), splits[0]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line for line in lines if width(line) > 80} == set()
    assert sum("lengths: " in line for line in lines) == 7
    assert sum(line.startswith("counts") for line in lines) == 3  # three files beside each other
    assert len([line for line in lines if line.startswith("  pairs ")]) == 3


def test_short_names_differ():
    names = short_names(["a/train.jsonl", "b/train.jsonl.gz", "c/train.jsonl", ".jsonl", "y" * 40 + ".jsonl"])
    assert len(set(names)) == 5
    assert names[:2] == ["train", "train~2"]
    assert all(width(name) <= 16 for name in names)


def test_json_says_what_the_table_says(folder, capsys, splits):
    path = folder / "report.json"
    assert run("numpy_ref", "report", *splits, "--json", str(path), "--max-length", str(CUT)) == 0
    said, text = json.loads(path.read_text()), " ".join(capsys.readouterr().out.split())
    assert [file["name"] for file in said["files"]] == ["train", "test"]
    assert said["misleading"] is True
    assert said["max_length"] == CUT
    for finding in said["findings"]:
        assert (finding["sentence"] in text) == (finding["rows"] > 0)
    leak = next(finding for finding in said["findings"] if finding["name"] == "shared_prompts")
    assert leak["first_case"] == [["train", 1], ["test", 1]]
    assert leak["lines"][:3] == [["train", 1], ["train", 2], ["train", 3]]
    assert said["files"][1]["longer_wins"] == {"share": 0.5, "interval": [*map(pytest.approx, wilson(6, 12))],
                                              "ties": 12, "of": 12}  # fmt: skip
    assert said["files"][1]["lengths"]["chosen, characters"]["max"] == len("right test8")
    assert said["repeated_labels"]["pairs"] >= 3


@pytest.mark.parametrize(
    "name", ["report.png", *(pytest.param(f"report.{kind}", marks=pytest.mark.slow) for kind in ("svg", "pdf"))]
)
def test_the_figure_is_written(folder, capsys, splits, name):
    path = folder / name
    assert run("numpy_ref", "report", *splits, "--figure", str(path)) == 0
    assert path.read_bytes()[:4] in (b"\x89PNG", b"<?xm", b"%PDF")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("names", "title"), [(["a", "b", "c"], "Preferences of a and b and c"), (list("abcd"), "Preferences of 4 files")]
)
def test_a_picture_names_a_few_files_and_counts_many(folder, names, title):
    path = write_rows(folder / "rows.jsonl", clean(2))
    figure = report_picture(look(*[path] * len(names)), names).figure
    assert figure.get_suptitle() == title
    assert [axes.get_title() for axes in figure.axes] == [
        "Lengths of the answers",
        "How often the longer answer was chosen",
        "What a length limit leaves out",
        "Rows with trouble",
    ]
    assert [figure.axes[k].get_xscale() for k in (0, 2)] == ["log", "log"]


def test_rows_with_trouble_have_a_bar_for_each_finding(folder):
    path = write_rows(folder / "rows.jsonl", [pair("p", ".", "bad"), pair("q", "same", "same"), *clean(6)])
    *_, trouble = report_picture(look(path), ["rows"]).figure.axes
    assert [bar.get_width() for bar in trouble.patches] == [1 / 8, 1 / 8]
    assert len(trouble.texts) == 2
    *_, trouble = report_picture(look(write_rows(folder / "rows.jsonl", clean(2))), ["rows"]).figure.axes
    assert [text.get_text() for text in trouble.texts] == ["nothing was found"]


def test_the_longer_answer_is_drawn_by_how_much_longer_it_is(folder):
    """There is a point with its interval for every fifty comparisons"""
    longer = [pair(f"q{i}", "x" * (i + 60), "y" * 50) for i in range(150)]
    _, deciding, *_ = report_picture(look(write_rows(folder / "rows.jsonl", longer)), ["rows"]).figure.axes
    points = [line for line in deciding.lines if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in points] == [1, 1, 1]
    assert [line.get_xdata()[0] for line in points] == [34.5, 84.5, 134.5]


def test_what_strict_lets_pass_is_pointed_at(folder):
    for planted, said in [(clean(2), "strict fails for"), ([pair("p", ".", "bad")], "strict fails for, but see above")]:
        path = write_rows(folder / "rows.jsonl", planted)
        assert as_text(look(path), [path]).endswith(f"  nothing that --{said}")


def test_a_figure_of_one_comparison_of_equal_lengths_can_be_drawn(folder, capsys):
    one = write_rows(folder / "one.jsonl", [pair("", "x" * 5, "y" * 5)])
    assert run("numpy_ref", "report", one, "--figure", str(folder / "one.png")) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jsonl"], "there is no such file"),
        (["{folder}"], "this is a directory"),
        (["{empty}"], "the file is empty"),
        (["{rows}", "{empty}"], "the file is empty"),
        (["{damaged}"], "gzip"),
        (["{rows}", "--model", "nowhere"], "there is no such directory"),
        (["{rows}", "--figure", "{folder}/report.xyz"], "expected a file name that ends in .png"),
        (["{rows}", "--figure", "{folder}/nowhere/report.png"], "make it first"),
        (["{rows}", "--json", "{folder}/nowhere/report.json"], "make it first"),
    ],
)
def test_what_the_user_can_put_right_is_one_sentence(folder, capsys, arguments, words):
    places = {"folder": folder, "empty": folder / "empty.jsonl", "damaged": folder / "damaged.jsonl.gz"}
    places["empty"].write_text("\n \n")
    places["damaged"].write_bytes(gzip.compress(b'{"chosen": "a", "rejected": "b"}\n' * 99)[:-12])
    places["rows"] = write_rows(folder / "rows.jsonl", clean(2))
    assert run("numpy_ref", "report", *(argument.format(**places) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert is_one_sentence(error)
    assert words in error


def test_tokens_are_those_of_the_model(folder, capsys):
    tokenizer, rng = Words(world.WORDS), np.random.default_rng(0)
    model = folder / "model"
    model.mkdir(exist_ok=True)
    save_model(model, init_params(rng, tokenizer.vocab_size, 16, 8, 1), 2, tokenizer)
    path = write_rows(folder / "words.jsonl", [pair("say cat", "cat .", "dog ."), pair("say dog", "dog sure .", "cat")])
    report = look(path, tokenizer=tokenizer, max_length=7)
    assert report.rows.tokens.tolist() == [7, 7, 8, 6]
    assert found(report)["too_long"] == [(0, 2)]
    assert run("numpy_ref", "report", path, "--model", str(model), "--max-length", "7") == 0
    assert "1 row has a text of more than 7 tokens: line 2" in capsys.readouterr().out
    other = write_rows(folder / "other.jsonl", [pair("say cat", "cat .", "dog ."), pair("say", "what", "cat")])
    assert run("numpy_ref", "report", other, "--model", str(model)) == 2
    assert f"{other}, line 2: unknown word 'what'" in capsys.readouterr().err
    table = folder / "table.csv"
    table.write_text("prompt,chosen,rejected\nwhat,a,b\n")
    assert run("numpy_ref", "report", str(table), "--model", str(model)) == 2
    assert f"{table}, row 1: unknown word 'what'" in capsys.readouterr().err


def test_it_runs_as_a_process_and_prints_no_bar_for_a_small_file(folder):
    path = write_rows(folder / "rows.jsonl", [*clean(3), pair("p", "same", "same")])
    process = start("numpy_ref", "report", path, "--strict")
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (1, "")
    assert "error    1 row prefers a text to itself, whitespace aside: line 4; take" in out
    help_text = start("numpy_ref", "report", "--help", stderr=subprocess.STDOUT).communicate(timeout=60)[0]
    assert "--strict fails for errors" in help_text
    assert all(len(line) <= 80 for line in help_text.splitlines())


def test_a_row_takes_few_bytes_and_no_text_is_kept(folder):
    rows = [pair(f"prompt {i} " + "x" * 3000, "y" * 3000 + str(i), "z" * 3000) for i in range(200)]
    kept = look(write_rows(folder / "long.jsonl", rows)).rows
    arrays = [column for column in kept if isinstance(column, np.ndarray)]
    assert sum(column.nbytes for column in arrays) / 200 <= 90


def ukp(split):
    path = DATA / "ukp_convincing" / f"pairs.{split}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"data: {path} is not here, real data are not part of the project")
    return path


def test_real_arguments():
    """The longer argument wins .764 of the test split, which has two debates that are not in the train split"""
    report = look(ukp("train"), ukp("test"), max_length=1024)
    assert [counts(report, file)["pairs"] for file in (0, 1)] == [4379, 1625]
    held = baseline(report, 1)
    assert round(held["share"] - held["ties"] / 2 / 1625, 3) == 0.764
    assert held["share"] == pytest.approx(longer_wins(read_preferences(ukp("test"))))
    assert not {"shared_prompts", "shared_comparisons", "shared_answers"} & set(found(report))
    assert {name: len(at) for name, at in found(report).items() if name in TITLES} == {
        "repeated": 238, "both_orders": 14, "cycles": 12
    }  # fmt: skip


def test_conversations_ids_and_other_names_are_reported_too(tmp_path):
    """The renamed columns hold conversations; in rows of token ids, the ids are counted"""
    chat = [[{"role": "user", "content": "hi"}], [{"role": "assistant", "content": "hello there"}]]
    rows = [{"q": chat[0], "best": chat[1], "worst": [{"role": "assistant", "content": "hello"}]}]
    path = write_rows(tmp_path / "chat.jsonl", rows)
    found = read([path], Bytes(), 64, renamed={"prompt": "q", "chosen": "best", "rejected": "worst"})
    assert found.tokens.tolist() == [len("hi") + len(text) + 3 for text in ("hello there", "hello")]
    path = write_rows(tmp_path / "ids.jsonl", [{"chosen_ids": [5, 17, 3], "rejected_ids": [5, 9]}])
    assert read([path], Bytes(), 64).tokens.tolist() == [3, 2]

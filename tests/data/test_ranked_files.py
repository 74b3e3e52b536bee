"""Ranked lists in files: every format is read as written; anything else is refused with file and line."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listed import comparisons, encode

from numpy_ref.batches import collate, collate_ranks, stacked
from numpy_ref.data.reader import Preference, longer_wins, read_preferences
from numpy_ref.data.row import preference_of
from numpy_ref.data.summary import load_file
from numpy_ref.data.tokenizer import PAD, Bytes
from numpy_ref.errors import InputError
from numpy_ref.ranking import ABSENT, check_ranks

DATA = Path(__file__).parents[3] / "shared" / "data"

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).filter(str.strip)
scores = st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
scored = st.lists(st.tuples(texts, scores), min_size=2, max_size=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lists")


def read(folder, *rows):
    """The rows of a file written from objects, or from literal JSON"""
    path = folder / "lists.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return read_preferences(path)


def refusal(folder, *rows):
    with pytest.raises(InputError) as error:
        read(folder, *rows)
    sentence = str(error.value)
    assert sentence.startswith(str(folder / "lists.jsonl"))
    assert sentence.isprintable()
    assert len(sentence) < 400
    return sentence


@given(rows=st.lists(scored, min_size=1, max_size=3), prompt=texts)
def test_all_three_formats_say_the_same(folder, rows, prompt):
    """Scores give competition ranks such as 1, 1, 3; the best comes first, equals in the order of the file"""
    ranked, with_scores, answers, expected = [], [], [], []
    for row in rows:
        responses, values = zip(*row, strict=True)
        ranks = [1 + sum(other > value for other in values) for value in values]
        ranked.append({"prompt": prompt, "responses": responses, "ranks": ranks, "id": 7})
        with_scores.append({"prompt": prompt, "responses": responses, "scores": values})
        pairs = zip(responses, ranks, strict=True)
        answers.append({"prompt": prompt, "answers": [{"answer": a, "rank": r, "model": "x"} for a, r in pairs]})
        best_first = [i for rank in range(1, len(row) + 1) for i in range(len(row)) if ranks[i] == rank]
        sorted_ranks = tuple(ranks[i] for i in best_first)
        expected.append(Preference(prompt, tuple(responses[i] for i in best_first), 0.0, sorted_ranks))
    assert read(folder, *ranked) == read(folder, *with_scores) == read(folder, *answers) == expected


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6))
def test_a_file_takes_the_ranks_that_the_losses_take(folder, ranks):
    row = {"responses": [f"r{i}" for i in range(len(ranks))], "ranks": ranks}
    try:
        check_ranks([[0.0] * len(ranks)], [ranks])
    except InputError:
        assert "rank" in refusal(folder, row)
    else:
        assert read(folder, row)[0].ranks == tuple(sorted(ranks))


def test_pairs_and_lists_may_stand_in_one_file(folder):
    pair, three = {"chosen": "a", "rejected": "b"}, {"responses": ["c", "d", "e"], "ranks": [2, 1, 2]}
    assert read(folder, pair, three) == [Preference("", ("a", "b")), Preference("", ("d", "c", "e"), 0.0, (1, 2, 2))]


def test_a_pair_that_has_a_further_column_responses_stays_a_pair(folder):
    assert read(folder, {"chosen": "a", "rejected": "b", "responses": 1}) == [Preference("", ("a", "b"))]


def ranked(ranks, **columns):
    """Literal JSON of a row with three responses"""
    columns = {"responses": '["a", "b", "c"]', "ranks": ranks, **columns}
    return "{" + ", ".join(f'"{name}": {literal}' for name, literal in columns.items() if literal is not None) + "}"


BAD = {
    "NaN": (ranked("[1, NaN, 3]"), "rank 2 is nan", "whole number from 1"),
    "infinite": (ranked("[1, 2, 1e999]"), "rank 3 is inf", "whole number from 1"),
    "a string": (ranked('["1", 2, 3]'), "rank 1 is a string", "whole number from 1"),
    "null": (ranked("[1, null, 3]"), "rank 2 is null", "whole number from 1"),
    "true": (ranked("[true, 2, 3]"), "rank 1 is true", "whole number from 1"),
    "a half": (ranked("[1, 2.5, 3]"), "rank 2 is 2.5", "whole number from 1"),
    "from 0": (ranked("[0, 1, 2]"), "rank 1 is 0", "from 1 (best) to 3"),
    "negative": (ranked("[-1, 1, 2]"), "rank 1 is -1", "from 1 (best) to 3"),
    "beyond": (ranked("[1, 2, 4]"), "rank 3 is 4", "from 1 (best) to 3"),
    "without a best": (ranked("[2, 3, 3]"), "the best rank is 2", "count from 1"),
    "too few": (ranked("[1, 2]"), "3 responses, but 2 ranks", "give each response one"),
    "too many": (ranked("[1, 2, 3, 3]"), "3 responses, but 4 ranks", "give each response one"),
    "no list": (ranked("1"), '"ranks" is a number', "a list is expected"),
    "ranks of nothing": (ranked("[]", responses="[]"), "0 responses", "two or more"),
    "one response": (ranked("[1]", responses='["a"]'), "1 response:", "two or more"),
    "responses a string": (ranked("[1]", responses='"a"'), '"responses" is a string', "a list is expected"),
    "a response a number": (ranked("[1, 2, 3]", responses='["a", 1, "c"]'), "response 2 is a number", "in quotes"),
    "a response of messages": (ranked("[1, 2]", responses='["a", [{}]]'), "response 2 is a list", "in the same way"),
    "an empty response": (ranked("[1, 2, 3]", responses='["a", "b", " "]'), "response 3 is empty", "give it a text"),
    "half a surrogate pair": (ranked("[1, 2]", responses='["a", "\\ud800"]'), "response 2 holds half", "both halves"),
    "neither": (ranked(None), '"responses" has no "ranks"', "nor"),
    "rank": (ranked(None, rank="[1, 2, 3]"), "only 'rank'", 'did you mean "ranks"'),
    "both": (ranked("[1, 2, 3]", scores="[3, 2, 1]"), '"ranks" and "scores"', "keep one"),
    "response": (
        ranked("[1, 2]", responses=None, response='["a", "b"]'),
        "only 'response'",
        'did you mean "responses"',
    ),
    "ranks alone": (ranked("[1, 2]", responses=None), 'no column "responses"', "found: 'ranks'"),
    "promt": (ranked("[1, 2, 3]", promt='"p"'), "only 'promt'", 'did you mean "prompt"'),
    "a margin": (ranked("[1, 2, 3]", margin="1"), '"margin" belongs to a pair', "--margin-per-rank"),
    "score NaN": (ranked(None, scores="[1, NaN, 0]"), "score 2 is nan", "a finite number"),
    "score infinite": (ranked(None, scores="[1, 0, -1e999]"), "score 3 is -inf", "a finite number"),
    "score a string": (ranked(None, scores='[1, "0", 0]'), "score 2 is a string", "a finite number"),
    "answers a list of strings": ('{"answers": ["a", "b"]}', 'entry 1 of "answers"', '"rank": 1}'),
    "an answer without rank": ('{"answers": [{"answer": "a", "rank": 1}, {"answer": "b"}]}', "entry 2", '"rank": 1}'),
    "answers null": ('{"answers": null}', '"answers" is null', "a list is expected"),
    "answers and responses": (ranked("[1, 2, 3]", answers="[]"), '"answers" and "responses"', "keep one"),
}


@pytest.mark.parametrize(("bad", "found", "remedy"), BAD.values(), ids=BAD)
def test_a_list_that_is_no_ranking_is_refused_by_line(folder, bad, found, remedy):
    sentence = refusal(folder, ranked("[1, 2, 3]"), "", bad)
    assert sentence.startswith(f"{folder / 'lists.jsonl'}, line 3: ")
    assert found in sentence
    assert remedy in sentence


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["answer", "rank"]), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["responses", "answers", "ranks", "scores", "prompt"]), json_values, min_size=1))
def test_any_json_in_a_list_is_read_or_refused(folder, row):
    path = folder / "any.jsonl"
    path.write_bytes(json.dumps(row).encode("utf-8", "surrogatepass"))
    try:
        (preference,) = read_preferences(path)
    except InputError:
        with pytest.raises(InputError, match=", line 1: "):
            read_preferences(path)
    else:
        check_ranks([[0.0] * len(preference.ranks)], [preference.ranks])


def lists(*ranks, prompt="p"):
    """A preference with these ranks and numbered responses"""
    return Preference(prompt, tuple(f"{prompt}{i}" for i in range(len(ranks))), 0.0, ranks)


def test_several_correct_responses_tie_for_the_best():
    """A row of RewardBench 2"""
    row = {"id": "7", "prompt": "p", "chosen": ["a", "b"], "rejected": ["c", "d", "e"], "num_correct": 2}
    form, found = preference_of(row)
    assert (form, found.ranks) == ("several correct, text, explicit prompt", (1, 1, 2, 2, 2))
    assert (found.prompt, found.responses) == ("p", ("a", "b", "c", "d", "e"))
    assert preference_of({"chosen": "a", "rejected": "c"})[1].ranks == (1, 2)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"margin": 1.0}, '"margin" belongs to a pair, but there are lists of responses: leave it out'),
        ({"rejected": "c"}, '"rejected" is a string, but the other side is a list of texts: write {"prompt"'),
        ({"rejected": None}, '"rejected" is null, but the other side is a list of texts: write {"prompt"'),
        ({"chosen": []}, '"chosen" is an empty list: give it a text, or leave the row out'),
        ({"rejected": ["c", " "]}, 'response 2 of "rejected" is empty'),
        ({"rejected": ["c", 1.0]}, 'response 2 of "rejected" is a number, but a text is expected'),
    ],
)
def test_several_correct_responses_that_could_be_misread_are_refused(changed, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        preference_of({"prompt": "p", "chosen": ["a", "b"], "rejected": ["c", "d"]} | changed)
    with pytest.raises(InputError, match='there is no column "rejected", but the other side is a list of texts'):
        preference_of({"prompt": "p", "chosen": ["a", "b"]})


def test_ties_of_a_file_are_left_out_unless_they_are_asked_for(folder):
    path = folder / "ties.jsonl"
    path.write_text('{"responses": ["a", "b"], "ranks": [1, 1]}\n{"responses": ["a", "b"], "ranks": [1, 2]}\n')
    data, preferences, line = load_file(Bytes(), "--data", str(path), 20)
    assert (len(data.rows), data.all_tied, len(preferences)) == (1, 1, 2)
    assert "1 of 2 pairs kept (50.0%), 2 responses each, 1 comparison without the ties;" in line
    assert len(load_file(Bytes(), "--data", str(path), 20, keep_tied=True)[0].rows) == 2


def test_what_says_nothing_is_left_out_and_counted():
    same = Preference("p", ("a", "a", "a"), 0.0, (1, 2, 3))
    twice = Preference("p", ("a", "b", "a"), 0.0, (1, 2, 3))
    rows = [lists(1, 2, 2), lists(1, 1, 1), same, twice, lists(1, 1)]
    data = encode(Bytes(), rows, 20)
    assert data.kept == [rows[0], twice]
    assert data.ranks == [(1, 2, 2), (1, 2, 3)]
    assert (data.identical, data.all_tied, data.repeating, data.too_long) == (1, 2, 1, 0)
    with_ties = encode(Bytes(), rows, 20, keep_tied=True)
    assert with_ties.kept == [rows[0], rows[1], twice, rows[4]]
    assert (with_ties.identical, with_ties.all_tied, with_ties.repeating) == (1, 0, 1)


def test_one_long_response_leaves_out_its_list():
    data = encode(Bytes(), [lists(1, 2), Preference("p", ("a", "b", "c" * 30), 0.0, (1, 2, 3))], 20)
    assert (len(data.rows), data.too_long) == (1, 1)


def test_comparisons_are_all_pairs_without_ties_better_first():
    twice = Preference("q", ("a", "b", "a"), 0.0, (1, 2, 3))
    pair = Preference("s", ("x", "y"), 0.5)
    data = encode(Bytes(), [lists(1, 2, 2, 4), twice, pair], 20)
    pairs = comparisons(data, margin_per_rank=0.25)
    assert len(pairs.rows) == 5 + 2 + 1
    row, other = data.rows[0], data.rows[1]
    assert pairs.rows == [
        *([row[i], row[j]] for i, j in [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)]),
        [other[0], other[1]],
        [other[1], other[2]],
        data.rows[2],
    ]
    assert pairs.margin.tolist() == [0.25, 0.25, 0.75, 0.5, 0.5, 0.25, 0.25, 0.75]
    assert (pairs.identical, set(pairs.ranks)) == (1, {(1, 2)})
    tie_of_equals = Preference("q", ("a", "a", "b"), 0.0, (1, 1, 3))
    assert comparisons(encode(Bytes(), [tie_of_equals], 20)).identical == 0


def test_lists_of_different_length_share_a_batch():
    tokens, length = collate([[[5, 6, 7], [8]], [[9], [4, 4], [3]]])
    assert length.tolist() == [[3, 1, 1], [1, 2, 1]]
    assert tokens.tolist() == [[[5, 6, 7], [8, PAD, PAD], [PAD] * 3], [[9, PAD, PAD], [4, 4, PAD], [3, PAD, PAD]]]
    assert collate_ranks([(1, 2), (1, 2, 2)]).tolist() == [[1, 2, ABSENT], [1, 2, 2]]
    assert stacked([[[1.5]], [[2, 3], [4, 5]]], 0).tolist() == [[1.5, 0], [2, 3], [4, 5]]


def test_the_longer_response_is_judged_on_all_pairs_but_ties():
    assert longer_wins([Preference("", ("aaa", "aa", "aa"), 0.0, (1, 2, 2))]) == 1.0
    assert longer_wins([Preference("", ("aaa", "b", "cc"), 0.0, (1, 2, 3))]) == 2 / 3
    assert longer_wins([Preference("", ("a", "bb", "c"), 0.0, (1, 1, 3))]) == 0.75


@pytest.mark.skipif(not DATA.exists(), reason=f"data: {DATA} is not here, real rankings are not part of the project")
def test_real_rankings_are_read():
    lists = read_preferences(DATA / "qa_ranked4" / "ranked.train.jsonl.gz")
    data = encode(Bytes(), lists, 10_000)
    assert (len(lists), len(data.rows), data.all_tied, data.repeating) == (382, 372, 10, 0)
    assert len(comparisons(data).rows) == 2048
    rankings = read_preferences(DATA / "ukp_convincing" / "rankings.test.jsonl.gz")
    assert len(rankings) == 4
    assert all(len(r.ranks) > 20 and r.ranks[0] == 1 for r in rankings)

"""Best-of-n: the exact expectation equals a count over all draws; its laws; the command."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import PACKAGES, TINY, is_one_sentence, numbers, run, write_rows

from numpy_ref.evaluation.best_of import best_of, kl_bound, selection
from numpy_ref.policy import best_of_n, kl

lists = st.lists(st.integers(-3, 3), min_size=1, max_size=6)  # few values: many ties


@given(rewards=lists, data=st.data())
def test_it_is_the_share_of_all_draws_in_which_a_response_is_chosen(rewards, data):
    n = data.draw(st.integers(1, len(rewards)))
    count = np.zeros(len(rewards))
    draws = list(itertools.combinations(range(len(rewards)), n))
    for draw in draws:
        highest = [i for i in draw if rewards[i] == max(rewards[j] for j in draw)]
        count[highest] += 1 / len(highest)
    np.testing.assert_allclose(selection(np.array(rewards, float), n), count / len(draws), rtol=1e-13, atol=1e-15)


@given(scores=lists, seed=st.integers(0, 99))
def test_one_is_a_random_response_all_is_the_best_and_more_choice_never_hurts_a_perfect_model(scores, seed):
    scores = np.array(scores, float)
    rows = best_of([np.random.default_rng(seed).permutation(len(scores)) * 1.0], [scores], np.random.default_rng(0))
    assert rows[0]["score"] == pytest.approx(rows[0]["best"]) == pytest.approx(scores.mean())
    assert rows[-1]["best"] == pytest.approx(scores.max())
    assert all(a["best"] <= b["best"] + 1e-12 for a, b in itertools.pairwise(rows))
    assert all(row["score"] <= row["best"] + 1e-12 for row in rows)


def test_the_bound_is_what_best_of_n_moves_a_policy_of_very_many_different_responses():
    log_p = np.full(20_000, -math.log(20_000))
    for n in (1, 2, 5, 9):
        moved = kl(np.log(best_of_n(log_p, np.arange(20_000.0), n)), log_p)
        assert kl_bound(n) - 1e-3 < moved <= kl_bound(n) + 1e-12


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    data = write_rows(folder / "rows.jsonl", numbers(12))
    base = [*TINY, "--data", data, "--max-length", "40", "--max-steps", "2"]
    assert run("numpy_ref", "train", *base, "--output-dir", str(folder / "run")) == 0
    return str(folder / "run")


ROWS = [{"prompt": "p", "responses": ["a", "bb", "ccc"], "scores": [1.0, 3.0, 2.0]}] * 2 + [
    {"prompt": "q", "responses": ["d", "ee", "fff", "g"], "scores": [0.0, 0.5, 4.0, 1.0]}
]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_command_prints_a_table_within_80_columns_and_writes_the_same_as_json(package, model, tmp_path, capsys):
    data, found = write_rows(tmp_path / "k.jsonl", ROWS), tmp_path / "found.json"
    assert run(package, "evaluate", "--model", model, "--data", data, "--best-of", "--json", str(found)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    result = json.loads(found.read_text())
    assert [row["n"] for row in result["best_of"]] == [1, 2, 3]  # the shortest list has three
    assert [line.split()[0] for line in lines[-3:]] == ["1", "2", "3"]
    assert result["best_of"][0]["score"] == pytest.approx((2 + 2 + 1.375) / 3)


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ([{"prompt": "p", "responses": ["a", "b"], "ranks": [1, 2]}], [], "line 1: there are no true scores"),
        ([{"prompt": "p", "responses": ["a", "b"], "scores": [1]}], [], "line 1: 2 responses, but 1 score:"),
        ([], [], "the file is empty"),
        (ROWS, ["--figure", "x.png"], "--figure: --best-of does not use it"),
        (None, [], "--best-of: give --data FILE"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(rows, options, sentence, model, tmp_path, capsys):
    data = [] if rows is None else ["--data", write_rows(tmp_path / "k.jsonl", rows)]
    assert run("numpy_ref", "evaluate", "--model", model, *data, "--best-of", *options) == 2
    err = capsys.readouterr().err
    assert is_one_sentence(err)
    assert sentence in err

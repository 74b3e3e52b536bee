"""RewardBench 2: the scores of its published scorer, computed here by loops."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import PACKAGES, run, write_rows

from numpy_ref.data.tokenizer import Bytes
from numpy_ref.evaluation import rewardbench
from numpy_ref.evaluation.score import numpy_scorer, scores
from numpy_ref.reward_model import init_params
from numpy_ref.storage.checkpoint import save_model
from numpy_ref.tree import tree_map


def row(subset, chosen, rejected, name="1", prompt="p"):
    counts = {"num_correct": len(chosen), "num_rejected": len(rejected), "total_completions": len(chosen + rejected)}
    return {"id": name, "prompt": prompt, "chosen": chosen, "rejected": rejected, "subset": subset, **counts}


def test_the_favourite_is_correct_or_shares_its_place():
    correct = np.array([True, True, False, False])
    assert rewardbench.accuracy(np.array([3.0, 1.0, 2.0, 0.0]), correct) == 1
    assert rewardbench.accuracy(np.array([1.0, 2.0, 3.0, 0.0]), correct) == 0
    assert rewardbench.accuracy(np.array([3.0, 1.0, 3.0, 3.0]), correct) == pytest.approx(1 / 3)


def test_the_ties_score_by_hand():
    """Number 1: tied answers lead by 2 and differ by 1. Number 2: the ref is wrong. Number 3: they differ by 4"""
    ref = {"1": (0.0, 5.0), "2": (0.0, -1.0), "3": (0.0, 1.0), "4": (0.0, 9.0)}
    tied = {"1": (1.0, 2.0), "2": (1.0, 2.0), "3": (4.0, 2.0), "5": (1.0, -3.0)}
    found = rewardbench.ties_parts(ref, tied)
    assert found == pytest.approx(
        {
            "ref_accuracy": 3 / 4,
            "tied_accuracy": 3 / 4,
            "gap_above_spread": 2 / 3,
            "hard_gap_above_spread": 1 / 3,
            "margin": (math.tanh(1) + math.tanh(-2) + math.tanh(-0.75)) / 3,
        }
    )
    assert rewardbench.ties_parts({"1": (0.0, 1.0)}, {"2": (0.0, 1.0)}) is None


def test_no_spread_is_no_error():
    found = rewardbench.ties_parts({"1": (0.0, 1.0), "2": (0.0, 0.0)}, {"1": (0.0, 1.0), "2": (0.0, 0.0)})
    assert found["margin"] == 0.5  # the first has 1; 0 / 0 of the second counts 0


@given(seed=st.integers(0, 2**32))
def test_a_monotone_change_of_rewards_keeps_every_accuracy(seed):
    rng = np.random.default_rng(seed)
    reward, ranks = rng.integers(0, 4, (6, 5)).astype(float), np.tile([1, 1, 2, 2, 0], (6, 1))
    labels = [("A", "x")] * 3 + [("B", "y")] * 3
    one, other = (rewardbench.measured(r, ranks, labels) for r in (reward, np.exp(reward)))
    assert one == other
    assert one["score"] == pytest.approx(np.mean([s["score"] for s in one["subsets"]]))
    assert [s["by_chance"] for s in one["subsets"]] == [0.5, 0.5]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    rng = np.random.default_rng(0)
    params = init_params(rng, Bytes.vocab_size, 40, 8, 1)
    directory = tmp_path_factory.mktemp("model")
    save_model(directory, tree_map(lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape), params), 2, Bytes())
    return str(directory)


MATH = [row("Math", [f"{i}"], [f"{i}{j}" for j in range(3)], str(i), f"q{i}") for i in range(9)]
ALL_TIES = [
    row("Ties", ["red"], ["cat", "dog"], "ref:1", "a colour"),
    row("Ties", ["red", "blue", "green"], ["cat", "dog", "sun"], "tied:1", "a colour?"),
]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_command_scores_each_subset_and_takes_their_mean(package, model, tmp_path, capsys):
    data, found = write_rows(tmp_path / "rb.jsonl", MATH + ALL_TIES), str(tmp_path / "found.json")
    assert run(package, "evaluate", "--model", model, "--data", data, "--json", found) == 0
    result, scorer = json.loads(Path(found).read_text()), numpy_scorer(model)
    rewards = [scores(scorer, r["prompt"], r["chosen"] + r["rejected"]) for r in MATH]
    math_score = np.mean([r.argmax() == 0 for r in rewards])
    one, several = (scores(scorer, r["prompt"], r["chosen"] + r["rejected"]) for r in ALL_TIES)
    gap, hard, spread = several[:3].min() - several[3:].max(), one[0] - one[1:].max(), np.ptp(several[:3])
    hard = min(hard, gap)
    ties = 0.3 * (one[0] > one[1:].max()) + 0.3 * (gap > 0) + 0.2 * (gap > spread) + 0.2 * (hard > spread)
    ties += 0.01 * np.tanh(hard / spread - 1)
    table = {row["subset"]: row["score"] for row in result["rewardbench"]["subsets"]}
    assert table == pytest.approx({"Math": math_score, "Ties": ties})
    assert result["rewardbench"]["score"] == pytest.approx((math_score + ties) / 2)
    assert result["pairs"] == 9 * 3 + 2 + 9  # the usual figures stay: each correct one against each incorrect one
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if model not in line and data not in line) <= 80
    assert any(line.startswith("mean over subsets") for line in lines)


@pytest.mark.parametrize("name", ["7", "tied", "ref:", "best:1", ":1"])
def test_an_id_of_ties_that_says_nothing_is_one_sentence(name, model, tmp_path, capsys):
    data = write_rows(tmp_path / "rb.jsonl", [ALL_TIES[0], ALL_TIES[0] | {"id": name}])
    assert run("numpy_ref", "evaluate", "--model", model, "--data", data) == 2
    said = f"{data}, line 2: the row is of the subset Ties and has the id '{name}': expected \"ref:1\""
    assert said in capsys.readouterr().err


def test_an_id_of_ties_stands_once(model, tmp_path, capsys):
    data = write_rows(tmp_path / "rb.jsonl", [ALL_TIES[0], *ALL_TIES])
    assert run("numpy_ref", "evaluate", "--model", model, "--data", data) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{data}, line 2: the id 'ref:1' stands in {data}, line 1 already" in said


def test_without_any_score_there_is_no_mean():
    """Of the subset Ties alone, a question with one answer and none with several"""
    found = rewardbench.measured(np.array([[1.0, 0.0]]), np.array([[1, 2]]), [("Ties", "ref:1")])
    assert (found["score"], found["subsets"][0]["score"]) == (None, None)


def test_pairs_and_lists_have_no_such_table(model, tmp_path, capsys):
    data = write_rows(tmp_path / "k.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}, ALL_TIES[0]])
    assert run("numpy_ref", "evaluate", "--model", model, "--data", data) == 0
    assert "RewardBench" not in capsys.readouterr().out

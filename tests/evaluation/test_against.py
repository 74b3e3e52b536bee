"""`evaluate --against`: both models on the same pairs; the bootstrap draws prompts with their differences."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from running import PACKAGES, is_one_sentence, run, write_rows

from numpy_ref import metrics
from numpy_ref.data.tokenizer import Bytes
from numpy_ref.errors import InputError
from numpy_ref.evaluation import against, intervals
from numpy_ref.evaluation.pairs import Comparisons
from numpy_ref.reward_model import init_params
from numpy_ref.storage.checkpoint import save_model
from numpy_ref.tree import tree_map


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def comparisons(margin, prompt, row=None, true=np.inf):
    """Comparisons with these margins; the other fields are not used"""
    n = len(margin)
    row = np.arange(n) if row is None else row
    none = np.zeros(n)
    return Comparisons(np.asarray(margin, float), np.full(n, true), none, np.asarray(prompt), row, None, none, none)


def test_the_difference_is_that_of_the_scores_and_its_interval_that_of_the_paired_differences(rng):
    prompt = np.arange(90) // 3
    a, b = comparisons(rng.standard_normal(90), prompt), comparisons(rng.standard_normal(90) + 0.5, prompt)
    found = against.compared(a, b, np.random.default_rng(7))
    drawn = np.random.default_rng(7)
    for name, score in (("accuracy", metrics.accuracy), ("loss", metrics.log_loss)):
        each = score(b.margin, each=True) - score(a.margin, each=True)
        expected = intervals.prompts_interval(each, prompt, drawn)
        assert found[name]["difference"]["value"] == pytest.approx(score(b.margin) - score(a.margin))
        assert (found[name]["difference"]["low"], found[name]["difference"]["high"]) == pytest.approx(expected)
        assert (found[name]["a"], found[name]["b"]) == pytest.approx((score(a.margin), score(b.margin)))


def test_swapping_the_models_turns_every_sign(rng):
    prompt = np.arange(60) // 2
    a, b = (comparisons(rng.standard_normal(60), prompt) for _ in range(2))
    forth, back = (against.compared(*pair, np.random.default_rng(0)) for pair in ((a, b), (b, a)))
    for name in against.SCORES:
        there, here = forth[name]["difference"], back[name]["difference"]
        assert there["value"] == pytest.approx(-here["value"])
        assert there["low"] == pytest.approx(-here["high"])


def test_what_is_hard_for_both_cancels(rng):
    """Paired differences tell apart two models that differ little on prompts of very different difficulty"""
    prompt, hard = np.arange(200), rng.normal(0, 2, 200)
    found = against.compared(comparisons(hard, prompt), comparisons(hard + 0.1, prompt), rng)["loss"]
    assert found["b_is"] == "better"
    alone = intervals.prompts_interval(metrics.log_loss(hard, each=True), prompt, rng)
    difference = found["difference"]
    assert difference["high"] - difference["low"] < (alone[1] - alone[0]) / 10


@pytest.mark.parametrize(
    ("low", "high", "sign", "expected"),
    [
        (0.1, 0.2, 1, "better"),
        (0.1, 0.2, -1, "worse"),
        (-0.2, -0.1, 1, "worse"),
        (-0.2, -0.1, -1, "better"),
        (-0.1, 0.1, 1, "not told apart"),
        (0.0, 0.0, 1, "not told apart"),
        (None, None, 1, "not told apart"),
    ],
)
def test_better_is_said_only_where_the_interval_leaves_out_zero(low, high, sign, expected):
    assert against.verdict({"low": low, "high": high}, sign) == expected


def test_only_rows_that_both_models_read_are_compared():
    a = comparisons([1.0, 2.0, 3.0], [0, 1, 2], np.array([0, 2, 5]))
    b = comparisons([-1.0, 4.0], [0, 1], np.array([2, 5]))
    found = against.compared(a, b, np.random.default_rng(0))
    assert (found["pairs"], found["accuracy"]["a"], found["accuracy"]["b"]) == (2, 1.0, 0.5)
    with pytest.raises(InputError, match="no pair that both models read"):
        against.compared(a, comparisons([1.0], [0], np.array([1])), np.random.default_rng(0))


def test_true_margins_weigh_both_outcomes():
    a, b = comparisons([1.0, -1.0], [0, 1], true=0.7), comparisons([2.0, 2.0], [0, 1], true=0.7)
    found = against.compared(a, b, np.random.default_rng(0))["accuracy"]
    p = 1 / (1 + np.exp(-0.7))
    assert (found["a"], found["b"]) == pytest.approx((0.5, p))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models of bytes; the second reads 12 tokens, the first 40"""
    folder = tmp_path_factory.mktemp("models")
    for name, seed, n_positions in (("a", 0, 40), ("b", 1, 12)):
        rng = np.random.default_rng(seed)
        params = init_params(rng, Bytes.vocab_size, n_positions, 8, 1)
        (folder / name).mkdir()
        save_model(folder / name, tree_map(lambda x, r=rng: x + 0.3 * r.standard_normal(x.shape), params), 2, Bytes())
    return folder


ROWS = [{"prompt": f"p{i}", "chosen": f"{i * i}", "rejected": "abcdefgh"[: i % 5 + 1]} for i in range(30)]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_command_prints_a_table_and_writes_the_same(package, models, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(models)
    long = {"prompt": "p", "chosen": "x" * 20, "rejected": "y"}  # only the first model reads it
    data, found = write_rows(tmp_path / "held.jsonl", [long, *ROWS]), str(tmp_path / "found.json")
    arguments = ["--model", "a", "--against", "b", "--data", data, "--json", found]
    assert run(package, "evaluate", *arguments) == 0
    result = json.loads(Path(found).read_text())
    assert (result["pairs"], result["against"]["pairs"], result["against"]["model"]) == (31, 30, "b")
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines() if data not in line) <= 80
    assert "compared  30 pairs of 30 prompts, read by both" in out
    for name, title in (("accuracy", "accuracy"), ("loss", "log loss")):
        row = result["against"][name]
        line = next(line for line in out.splitlines()[-6:] if line.startswith(title))
        assert f"{row['b']:.4f}  {row['difference']['value']:+.4f}" in line
        assert line.endswith(row["b_is"])
    load = importlib.import_module(package).load
    assert load("a").evaluate(data, against=load("b")) == {
        key: value for key, value in result.items() if key != "model"
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--against", "none"], "none"),
        (["--against", "b", "--best-of"], "--against: --best-of does not use it"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(options, sentence, models, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(models)
    assert run("numpy_ref", "evaluate", "--model", "a", "--data", write_rows(tmp_path / "k", ROWS), *options) == 2
    err = capsys.readouterr().err
    assert is_one_sentence(err)
    assert sentence in err

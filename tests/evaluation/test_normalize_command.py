"""The command `normalize`: both packages and the ecosystem read rewards with the reference's mean 0 and deviation 1."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from compare import assert_agree
from running import PACKAGES, is_one_sentence, run, write_rows

from numpy_ref.data.tokenizer import Bytes
from numpy_ref.evaluation import calibration, normalize_command
from numpy_ref.evaluation.score import numpy_scorer
from numpy_ref.reward_model import init_params
from numpy_ref.storage.checkpoint import load_model, save_model
from numpy_ref.tree import flatten, tree_map, unflatten


@pytest.fixture(autouse=True)
def _an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


REFERENCE = [
    {"prompt": "a?", "chosen": "yes, a", "rejected": "no"},
    {"prompt": "b?", "responses": ["first", "second", "third"], "ranks": [2, 1, 1]},
    {"prompt": "c?", "response": "a demonstration"},
    {"prompt": "d?", "responses": ["one", "another"]},
]
COUNTED = [
    ("a?", "yes, a"),
    ("b?", "second"),
    ("b?", "third"),
    ("c?", "a demonstration"),
    ("d?", "one"),
    ("d?", "another"),
]


def save_small(directory, dtype=np.float64, learned_ties=None):
    rng = np.random.default_rng(0)
    params = init_params(rng, Bytes.vocab_size, 40, 8, 1, dtype)
    params = tree_map(lambda leaf: leaf + (0.3 * rng.standard_normal(leaf.shape)).astype(dtype), params)
    Path(directory).mkdir()
    save_model(directory, params, 2, Bytes(), learned_ties)


def rewards_of(directory, texts=COUNTED):
    scorer = numpy_scorer(directory)
    found = []
    for prompt, response in texts:
        ids = scorer.tokenizer.encode(prompt, response)
        found.append(scorer.rewards(np.array([[ids]]), np.array([[len(ids)]]))[0, 0])
    return np.array(found)


def normalize(*more, model="m", target="n", rows=REFERENCE):
    write_rows(Path("reference.jsonl"), rows)
    arguments = ["--model", model, "--data", "reference.jsonl", "--output-dir", target, *more]
    return run("numpy_ref", "normalize", *arguments)


def test_the_reference_responses_get_mean_0_and_deviation_1(capsys):
    save_small("m")
    assert normalize() == 0
    before, after = rewards_of("m"), rewards_of("n")
    np.testing.assert_allclose(after, (before - before.mean()) / before.std(), rtol=0, atol=1e-13)
    assert abs(after.mean()) < 1e-14
    assert abs(after.std() - 1) < 1e-14
    others = [("e?", "of another text"), ("", "x")]
    expected = (rewards_of("m", others) - before.mean()) / before.std()
    np.testing.assert_allclose(rewards_of("n", others), expected, rtol=0, atol=1e-13)
    out = capsys.readouterr().out
    assert f"6 responses, mean reward {before.mean():.4f}, deviation {before.std():.4f}" in out
    assert f"is σ(margin / {before.std():.4f}) now" in out
    assert f"(reward + {-before.mean():.4f}) / {before.std():.4f}" in out
    assert {path.name for path in Path("n").iterdir()} == {
        "README.md",
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert Path("m/config.json").read_bytes() == Path("n/config.json").read_bytes()
    assert sorted(path.name for path in Path().iterdir()) == ["m", "n", "reference.jsonl"]


def test_mean_only_leaves_every_margin(capsys):
    save_small("m")
    assert normalize("--mean-only") == 0
    before, after = rewards_of("m"), rewards_of("n")
    np.testing.assert_allclose(after, before - before.mean(), rtol=0, atol=1e-13)
    assert load_model("n")[0]["head"]["weight"].tobytes() == load_model("m")[0]["head"]["weight"].tobytes()
    assert "note" not in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--mean-only"]])
def test_twice_is_once(more):
    """The second mean is 0 and the second deviation 1, up to rounding"""
    save_small("m")
    assert normalize(*more) == 0
    assert normalize(*more, model="n", target="n2") == 0
    once, twice = (flatten(load_model(name)[0]) for name in ("n", "n2"))
    for name, leaf in once.items():
        assert_agree(twice[name], leaf, 20, abs(leaf).max())


def test_a_temperature_divides_margins_and_no_deviation_does(capsys):
    save_small("m")
    rng = np.random.default_rng(1)
    rows = [{"prompt": f"{i}?", "chosen": f"{rng.random():.3f}", "rejected": f"{rng.random():.3f}"} for i in range(40)]
    texts = [[(row["prompt"], row[side]) for row in rows] for side in ("chosen", "rejected")]
    margin = rewards_of("m", texts[0]) - rewards_of("m", texts[1])
    if margin.mean() < 0:
        rows = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
        texts, margin = texts[::-1], -margin
    T = calibration.fit_temperature(margin).temperature
    assert normalize("--temperature", "fit", rows=rows) == 0
    chosen, rejected = (rewards_of("n", side) for side in texts)
    np.testing.assert_allclose(chosen - rejected, margin / T, rtol=0, atol=1e-9 * abs(margin / T).max())
    assert abs(chosen.mean()) < 1e-13 * max(1, 1 / T)
    capsys.readouterr()
    assert normalize("--temperature", "2", target="two") == 0
    assert ") / 2: temperature as given\n" in capsys.readouterr().out
    np.testing.assert_allclose(rewards_of("two"), (rewards_of("m") - rewards_of("m").mean()) / 2, atol=1e-13)


@pytest.mark.parametrize(("more", "kept"), [(["--mean-only"], True), ([], False), (["--temperature", "1"], True)])
def test_a_tie_parameter_is_in_log_odds_and_goes_with_them(more, kept):
    save_small("m", learned_ties={"ties": "davidson", "log_nu": -0.5})
    assert normalize(*more) == 0
    config = json.loads(Path("n/config.json").read_text())
    assert ({"ties", "log_nu"} <= config.keys()) == kept


@pytest.mark.parametrize(
    ("more", "rows", "expected"),
    [
        ([], [{"prompt": "a?", "response": "alone"}], "their deviation is 0"),
        ([], [], "reference.jsonl: the file is empty"),
        ([], [{"response": "x" * 50}], "line 1: a response is longer than the 40 tokens"),
        ([], [{"response": "x"}, {"response": ""}], "line 2: response 1 is empty"),
        (["--temperature", "fit"], [{"chosen": "a", "rejected": "a b"}], "no temperature is the best"),
        (["--temperature", "fit"], [{"response": "a"}], 'line 1: there is no column "chosen"'),
        (["--temperature", "1e-320"], REFERENCE, "the head's weights are"),
        (["--temperature", "0"], REFERENCE, "--temperature 0: expected a number above 0, or fit"),
    ],
)
def test_what_cannot_be_normalised_is_one_sentence_and_leaves_nothing(more, rows, expected, capsys):
    save_small("m")
    assert normalize(*more, rows=rows) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert is_one_sentence(sentence)
    assert expected in sentence
    assert sorted(path.name for path in Path().iterdir()) == ["m", "reference.jsonl"]


def test_nothing_is_overwritten(capsys):
    save_small("m")
    Path("n").mkdir()
    assert normalize() == 2
    assert "--output-dir n: exists already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        normalize("--mean-only", "--temperature", "2", target="other")


def test_a_failure_while_writing_leaves_nothing(monkeypatch):
    save_small("m")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(normalize_command, "write_text", full)
    assert normalize() == 2
    assert sorted(path.name for path in Path().iterdir()) == ["m", "reference.jsonl"]


def test_a_normalised_model_has_checksums_and_a_card_that_may_be_edited(capsys):
    save_small("m")
    assert normalize() == 0
    Path("n/README.md").write_text("edited")
    load_model("n")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        content = Path("n", name).read_bytes()
        Path("n", name).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        assert run("numpy_ref", "score", "--model", "n", "c") == 2
        assert f"n/{name}: is not what was saved" in capsys.readouterr().err
        Path("n", name).write_bytes(content)


@pytest.mark.parametrize("package", PACKAGES)
def test_both_packages_use_a_normalised_model(package, capsys):
    save_small("m")
    assert normalize() == 0
    capsys.readouterr()
    assert run(package, "score", "--model", "n", "--prompt", "c?", "a demonstration") == 0
    shown = capsys.readouterr().out.splitlines()[-1].split()[1]
    assert float(shown) == pytest.approx(rewards_of("n")[3], abs=6e-4)


@pytest.mark.slow
def test_the_ecosystem_gives_normalised_rewards_in_a_fresh_process():
    """In float32, the dtype of models, mean and deviation of six references are right within 1e-5"""
    save_small("m", np.float32)
    assert normalize() == 0
    before = rewards_of("m").astype(float)
    code = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model, tokenizer = AutoModelForSequenceClassification.from_pretrained("n").eval(), AutoTokenizer.from_pretrained("n")
prompts, responses = map(list, zip(*json.loads(sys.argv[1])))
with torch.no_grad():
    print(json.dumps(model(**tokenizer(prompts, responses, padding=True, return_tensors="pt")).logits[:, 0].tolist()))
"""
    command = [sys.executable, "-c", code, json.dumps(COUNTED)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    after = np.array(json.loads(result.stdout.splitlines()[-1]))
    np.testing.assert_allclose(after, (before - before.mean()) / before.std(), rtol=0, atol=1e-5)
    assert abs(after.mean()) < 1e-5
    assert abs(after.std() - 1) < 1e-5
    params = load_model("n")[0]
    assert unflatten(flatten(params))["head"]["weight"].dtype == np.float32

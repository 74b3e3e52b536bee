"""The card says only what was recorded and measured, and the commands on it run."""

import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from running import PACKAGES, TINY, numbers, run, small_world, write_rows

from numpy_ref.cli.options import word
from numpy_ref.data import world
from numpy_ref.data.held_out import held_world
from numpy_ref.data.tokenizer import Bytes, Words
from numpy_ref.reward_model import rewards
from numpy_ref.storage import model_card
from numpy_ref.storage.checkpoint import load_model
from numpy_ref.training.data import evaluate

BOTH = pytest.mark.parametrize("package", PACKAGES)


@pytest.fixture(autouse=True)
def _an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def trained(package, *more, directory="out"):
    assert run(package, "train", *TINY, "--max-steps", "3", "--output-dir", directory, *more) == 0
    return Path(directory, "README.md").read_text(encoding="utf-8")


def tables(card):
    """{first cell: other cells} of every row of every table"""
    rows = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def header(card):
    """The YAML between the two lines of dashes, read by hand: names, and a list of tags"""
    head, _ = card.removeprefix("---\n").split("---\n", 1)
    plain = dict(line.split(": ") for line in head.splitlines() if ": " in line)
    return plain | {"tags": re.findall(r"^- (\S+)$", head, re.MULTILINE)}


@BOTH
def test_the_card_of_a_model_trained_on_files(package):
    Path("private").mkdir()
    data = write_rows(Path("private/pairs|1.jsonl"), [*numbers(20), {"chosen": "same", "rejected": "same"}])
    held = write_rows(Path("private/held.jsonl"), numbers(7, seed=1))
    card = trained(package, "--data", data, "--eval-data", held, "--max-length", "32", "--learning-rate", "0.002")
    assert header(card)["library_name"] == "transformers"
    assert header(card)["pipeline_tag"] == "text-classification"
    assert "reward-model" in header(card)["tags"]
    cells = tables(card.replace("\\|", "¦"))
    assert cells["training"] == ["pairs¦1.jsonl", hashlib.sha256(Path(data).read_bytes()).hexdigest()]
    assert cells["held-out"] == ["held.jsonl", hashlib.sha256(Path(held).read_bytes()).hexdigest()]
    assert "private" not in card, "names of files, no paths"
    assert str(Path().resolve()) not in card
    assert "Trained on 20 comparisons; left out: 0 too long, 1 identical, 0 all tied." in card
    assert cells["--learning-rate"] == ["0.002"]
    assert cells["--seed"] == ["0"]
    options = importlib.import_module(f"{package}.training.options").TrainOptions.names()
    assert {name for name in cells if name.startswith("--") and name != "---"} <= set(map(word, options))
    assert cells["batch of a step, on all devices"] == ["8"]
    assert "- A text of more than 32 tokens has no place: it was left out of the training" in card
    assert "None" not in card
    assert "```python\n" in card.split("## Load it\n")[1]
    last = json.loads(Path("out/metrics.jsonl").read_text().splitlines()[-1])
    for title, name in [("accuracy", "accuracy"), ("log loss", "loss"), ("Brier score", "brier")]:
        assert cells[title] == [f"{last[f'eval_{name}']:.4f}"]
    longer = [np.sign(len(row["chosen"]) - len(row["rejected"])) / 2 + 0.5 for row in numbers(7, seed=1)]
    assert cells["baseline: the longer response wins"] == [f"{np.mean(longer):.4f}"]
    assert "7 of 7 pairs kept" in card
    size = sum(leaf.size for leaf in leaves(load_model("out")[0]))
    assert f"{size:,} parameters (1 blocks, 2 heads, 8 channels, float32)" in card
    assert f"`{package}`" in card


def leaves(tree):
    if isinstance(tree, np.ndarray):
        return [tree]
    return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in leaves(part)]


@BOTH
def test_the_card_of_a_model_of_the_world_names_the_floors(package, monkeypatch):
    monkeypatch.setattr(world, "make_world", small_world)
    cells = tables(card := trained(package, "--seed", "4"))
    params, n_head, tokenizer = load_model("out")
    held = held_world(tokenizer, small_world(4)[1])
    result = evaluate(lambda tokens, length: rewards(tokens, length, **params, n_head=n_head)[0], held)
    floors = world.floors(held.true)
    assert cells["accuracy"] == [f"{result['eval_accuracy']:.4f}", f"{floors['accuracy']:.4f}"]
    assert cells["log loss"] == [f"{result['eval_loss']:.4f}", f"{floors['loss']:.4f}"]
    assert cells["Brier score"] == [f"{result['eval_brier']:.4f}", f"{floors['brier']:.4f}"]
    assert "The built-in world of seed 4: 120 comparisons" in card
    assert "On 8 held-out prompts." in card


def test_what_was_not_measured_is_not_claimed():
    data = write_rows(Path("pairs.jsonl"), numbers(9))
    card = trained("numpy_ref", "--data", data, "--max-length", "32")
    assert "Nothing was held out, so nothing was measured." in card
    assert not {"accuracy", "log loss", "Brier score"} & tables(card).keys()


MEASURED = {
    "result": {
        "eval_accuracy": 0.75, "eval_loss": 0.5, "eval_brier": 0.2, "eval_accuracy_interval": (0.7, 0.8),
        "eval_matched_accuracy": 0.625, "eval_matched_pairs": 8, "eval_ties": 0.125,
    },
    "floors": {}, "baseline": 0.55, "prompts": 1, "kept": "9 of 10 pairs kept",
}  # fmt: skip


@pytest.mark.parametrize("floors", [{}, {"accuracy": 0.9, "loss": 0.25, "brier": 0.1}])
def test_what_was_measured_is_one_table_with_a_cell_for_every_column(floors):
    table, sentence = model_card.measured_table(MEASURED | {"floors": floors})
    best = lambda name: [f"{floors[name]:.4f}"] if floors else []  # noqa: E731
    expected = [
        ["held out", "value", *["best reachable"] * bool(floors)],
        ["---"] * (2 + bool(floors)),
        ["accuracy", "0.7500 (0.700 to 0.800)", *best("accuracy")],
        ["log loss", "0.5000", *best("loss")],
        ["Brier score", "0.2000", *best("brier")],
        ["baseline: the longer response wins", "0.5500", *[""] * bool(floors)],
        ["accuracy on 8 pairs of similar length", "0.6250", *[""] * bool(floors)],
        ["pairs of equal reward", "0.1250", *[""] * bool(floors)],
    ]
    assert [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()] == expected
    assert sentence == "On 1 held-out prompt: 9 of 10 pairs kept."


def test_what_has_no_interval_no_ties_and_no_like_lengths_is_left_out():
    result = {"eval_accuracy": 0.75}
    table, sentence = model_card.measured_table(MEASURED | {"result": result, "prompts": 3, "kept": ""})
    assert list(tables(table)) == ["held out", "---", "accuracy", "baseline: the longer response wins",
                                   "pairs of equal reward"]  # fmt: skip
    assert tables(table)["accuracy"] == ["0.7500"]
    assert tables(table)["pairs of equal reward"] == ["0.0000"]
    assert sentence == "On 3 held-out prompts."


def test_every_file_of_the_data_is_named_with_its_sum():
    options = {"data": ["/x/a.jsonl", "b.jsonl"], "data_sha256": "12", "eval_data": "c.jsonl", "loss": "kwise"}
    table, sentence = model_card.data_table(fake_data(), options)
    lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]
    assert lines == [["", "file", "SHA-256"], ["---"] * 3, ["training", "a.jsonl", "12"], ["training", "b.jsonl", "12"],
                     ["held-out", "c.jsonl", ""]]  # fmt: skip
    assert sentence == "Trained on 3 ranked lists; left out: 0 too long, 0 identical, 0 all tied."
    table, _ = model_card.data_table(fake_data(), {"dataset_name": "owner/x", "dataset_sha256": "34"})
    assert tables(table)["dataset"] == ["owner/x", "34"]


def test_options_that_were_set_are_listed_and_the_data_are_not_among_them():
    options = {"learning_rate": 0.1, "seed": 0, "init_from": None, "loss": "", "data": "x", "eval_data_sha256": "y"}
    options |= {"num_train_epochs": 1.0, "fsdp": False, "dataset_sha256": "z"}
    table, sentence = model_card.options_table({"numpy": "1|2", "python": "3"}, options)
    said = {"--learning-rate": ["0.1"], "--seed": ["0"], "--num-train-epochs": ["1"]}
    assert tables(table) == {"option": ["value"], "---": ["---"], **said}
    assert sentence == "Made with numpy 1\\|2, python 3."


@pytest.mark.parametrize(("scale", "changes"), [(1, False), (2.0, True)])
def test_a_normalised_model_without_a_card_gets_one(scale, changes):
    card = model_card.normalised(".", -0.5, scale, "why", "/x/data.jsonl", 1, where="there")
    assert card.startswith(model_card.header() + "# Reward model\n\n## Normalised\n\n")
    assert f"reward = (reward of before +0.5) / {scale:.6g}, there (why)" in card.replace("+ 0.5", "+0.5")
    assert "that of 1 reference response in data.jsonl." in card
    assert ("P(preferred) is now σ(margin of before / 2)" in card) == changes
    assert card.endswith(("do not.\n", "data.jsonl.\n"))


def test_lists_are_called_lists():
    rows = [{"prompt": "p", "responses": ["a", "b", f"{i}"], "ranks": [1, 2, 3]} for i in range(5)]
    card = trained("numpy_ref", "--data", write_rows(Path("l.jsonl"), rows), "--max-length", "32", "--loss", "kwise")
    assert "Trained on 5 ranked lists" in card


def test_a_dataset_of_the_hub_is_named_in_the_header_and_a_directory_is_not():
    assert header(model_card.header("owner/some-data") + "#")["tags"][-1] == "owner/some-data"
    assert "datasets:\n- owner/some-data\n---" in model_card.header("owner/some-data")
    assert model_card.header("owner/x", "owner/base").endswith("datasets:\n- owner/x\nbase_model: owner/base\n---\n")
    Path("here").mkdir()
    for other in (None, "/somebody/s/data", "here", "a b", "x\ny: z", "a/b/c"):
        assert "datasets" not in model_card.header(other)
    assert "The built-in world" not in "".join(model_card.data_table(fake_data(), {"dataset_name": "owner/x"}))


def fake_data():
    return SimpleNamespace(rows=[0] * 3, too_long=0, identical=0, all_tied=0)


def test_ids_of_another_tokenizer_have_no_text_to_show():
    assert "```" not in model_card.load_it(SimpleNamespace(name="token ids"))
    assert "```python" in model_card.load_it(SimpleNamespace(name="bytes"))


@pytest.mark.parametrize("tokenizer", [Words(world.WORDS), Bytes()], ids=["words", "bytes"])
def test_the_example_on_a_card_can_be_read_by_its_tokenizer(tokenizer):
    shown = model_card.example(tokenizer)
    assert all(tokenizer.encode(shown["prompt"], response) for response in shown["responses"])
    assert repr(shown["prompt"]) in model_card.load_it(tokenizer)


def test_no_name_breaks_out_of_its_cell():
    assert model_card.cell("a|b\nc`<d>\u202e[e](f)*\\") == "a\\|b c\\`\\<d\\> \\[e\\](f)\\*\\\\"
    assert model_card.markdown_table(("x",), [("a|b",)]) == "| x |\n| --- |\n| a\\|b |"
    assert model_card.shown("/somebody/s/machine/sft") == "sft"
    assert model_card.shown(["/a/b.jsonl", "c"]) == "b.jsonl, c"
    assert model_card.shown(0) == "0"


def test_a_normalised_model_has_the_card_of_the_old_one_and_what_was_done():
    data = write_rows(Path("pairs.jsonl"), numbers(9))
    card = trained("numpy_ref", "--data", data, "--max-length", "32")
    for target, model, more in [("n", "out", []), ("n2", "n", ["--mean-only"])]:
        arguments = ["--model", model, "--data", data, "--output-dir", target, *more]
        assert run("numpy_ref", "normalize", *arguments) == 0
        new = Path(target, "README.md").read_text(encoding="utf-8")
        assert new.startswith(card.rstrip("\n"))
        assert new.count("## Normalised") == 1
        assert "9 reference responses in pairs.jsonl" in new
        assert ("P(preferred) is now" in new) == (not more)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_the_code_on_the_card_runs(kind, monkeypatch):
    monkeypatch.setattr(world, "make_world", small_world)
    more = [] if kind == "words" else ["--data", write_rows(Path("pairs.jsonl"), numbers(9)), "--max-length", "32"]
    card = trained("numpy_ref", *more)
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd="out", env=environment, check=False
    )
    assert process.returncode == 0, process.stderr
    assert re.match(r"tensor\(\[.*\]\) P\(first is preferred\): tensor\(0\.\d+\)", process.stdout)

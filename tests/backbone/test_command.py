"""`train` on a pretrained body: the head alone, all weights, and LoRA, from a file to a saved model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from running import is_one_sentence, numbers, run, torchrun, write_rows
from safetensors.numpy import load_file

from numpy_ref.batches import collate
from numpy_ref.bradley_terry.linear_head import scale_of

pytest.importorskip("transformers", reason="the extra hf is not installed")

import tiny
from transformers import AutoModelForSequenceClassification

from torch_impl.backbone import frozen
from torch_impl.backbone.frozen import coarse_to_fine, distinct, folds
from torch_impl.backbone.learner import BackboneLearner
from torch_impl.backbone.load import load_pretrained
from torch_impl.backbone.options import OURS
from torch_impl.backbone.saved import load_model, load_saved
from torch_impl.bradley_terry.linear_head import fit_head
from torch_impl.training.options import TrainOptions

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return tiny.directory(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def files(tmp_path):
    """(training file, held-out file) for 8 and 3 prompts: the text with more letters z was chosen"""
    rng = np.random.default_rng(0)

    def rows(prompts, n):
        for i in range(n):
            a, b = sorted(rng.choice(9, 2, replace=False))
            long, short = ("z " * b + "y " * rng.integers(9), "z " * a + "y " * rng.integers(9))
            yield {"prompt": f"More z? {prompts[i % len(prompts)]}", "chosen": long, "rejected": short or "y"}

    return write_rows(tmp_path / "train.jsonl", rows("abcdefgh", 80)), write_rows(
        tmp_path / "test.jsonl", rows("ijk", 30)
    )


def line_of(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def test_a_frozen_model_is_chosen_fitted_evaluated_and_saved(llama, files, tmp_path, capsys):
    out = tmp_path / "run"
    options = ["--model-name-or-path", llama, "--freeze-backbone", "--data", files[0], "--eval-data", files[1]]
    options += ["--pooling", "auto"]  # on random weights the mean counts letters and the last token does not
    assert run("torch_impl", "train", *options, "--output-dir", str(out)) == 0
    printed = capsys.readouterr().out
    (line,) = line_of(out)
    assert line["converged"]
    assert line["eval_accuracy"] > 0.85
    assert line["left_out_accuracy"] > 0.85
    assert line["eval_interval"][0] <= line["eval_accuracy"] <= line["eval_interval"][1]
    for word in ("left out", "converged", "accuracy", "longer response wins", "responses within each of 3 prompts"):
        assert word in printed
    assert (
        max(map(len, printed.replace(files[0], "").replace(files[1], "").replace(str(tmp_path), "").splitlines()))
        <= 120
    )
    rewards, tokenizer, _ = load_saved(out)
    held = [json.loads(text) for text in Path(files[1]).read_text().splitlines()]
    rows = [[tokenizer.encode(row["prompt"], row[side]) for side in ("chosen", "rejected")] for row in held]
    reward = rewards(*collate(rows))
    margin = reward[:, 0] - reward[:, 1]
    assert np.mean(margin > 0) == pytest.approx(line["eval_accuracy"])
    assert np.logaddexp(0, -margin.astype(float)).mean() == pytest.approx(line["eval_loss"], rel=1e-4)
    (cache,) = (tmp_path / "features").glob("*.npy")
    before = cache.stat().st_mtime_ns
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "again")) == 0
    assert cache.stat().st_mtime_ns == before
    assert line_of(tmp_path / "again") == [line]


def test_score_reads_what_was_trained(llama, files, tmp_path, capsys):
    options = ["--model-name-or-path", llama, "--freeze-backbone", "--data", files[0], "--pooling", "mean"]
    out = str(tmp_path / "run")
    assert run("torch_impl", "train", *options, "--output-dir", out) == 0
    assert "torch_impl.load" in (tmp_path / "run/README.md").read_text()
    capsys.readouterr()
    assert run("torch_impl", "score", "--model", out, "--prompt", "More z? a", "y y", "z z z z z z") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines[-2:]] == ["z z z z z z", "y y"]
    rewards, tokenizer, _ = load_saved(out)
    best = rewards(*collate([[tokenizer.encode("More z? a", "z z z z z z")]]))[0, 0]
    assert f"{best:.3f}" in lines[-2]
    assert run("numpy_ref", "score", "--model", out, "a") == 2


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_head_on_several_layers_is_fitted_saved_said_and_used(llama, files, tmp_path, capsys, pooling):
    out, line = tmp_path / "run", ["--head-layers", "1,2", "--pooling", pooling]
    options = ["--model-name-or-path", llama, "--freeze-backbone", "--data", files[0], "--eval-data", files[1], *line]
    assert run("torch_impl", "train", *options, "--output-dir", str(out)) == 0
    printed = capsys.readouterr().out
    assert "a head on 2 layers: transformers has no class that reads this model" in printed
    (found,) = line_of(out)
    assert found["head_layers"] == [1, 2]
    config, card = json.loads((out / "config.json").read_text()), (out / "README.md").read_text()
    assert (config["model_type"], config["reward_layers"]) == ("reward_by_hand_several_layers", [1, 2])
    assert "after the blocks 1, 2, all at once. No class of transformers reads that" in card
    assert r"| --head-layers | 1, 2 |" in card
    assert "| --layer |" not in card
    assert "torch_impl.load" in card
    figures = tmp_path / "figures.json"
    assert run("torch_impl", "evaluate", "--model", str(out), "--data", files[1], "--json", str(figures)) == 0
    assert json.loads(figures.read_text())["accuracy"]["value"] == pytest.approx(found["eval_accuracy"])
    normal = str(tmp_path / "normal")
    assert run("torch_impl", "normalize", "--model", str(out), "--data", files[1], "--output-dir", normal) == 0
    rows = [json.loads(text) for text in Path(files[1]).read_text().splitlines()]
    rewards, tokenizer, _ = load_saved(normal)
    reward = rewards(*collate([[tokenizer.encode(row["prompt"], row["chosen"])] for row in rows]))
    np.testing.assert_allclose([reward.mean(), reward.std()], [0, 1], atol=1e-6)  # float32: 4e-8 measured


def test_a_head_on_several_layers_is_the_least_loss_on_their_joined_states_by_l_bfgs_too(llama, files, tmp_path):
    out = tmp_path / "run"
    options = ["--model-name-or-path", llama, "--freeze-backbone", "--data", files[0], "--head-layers", "1,3"]
    assert run("torch_impl", "train", *options, "--ridge", "0.01", "--output-dir", str(out)) == 0
    (body, _), (_, tokenizer) = load_pretrained(llama), load_model(out)
    rows = [json.loads(text) for text in Path(files[0]).read_text().splitlines()]
    ids, pairs = distinct(
        [[tokenizer.encode(row["prompt"], row[side]) for side in ("chosen", "rejected")] for row in rows]
    )
    with torch.no_grad():
        states = [body(torch.tensor([row]), output_hidden_states=True).hidden_states for row in ids]
        joined = torch.cat([torch.cat([body.norm(each[1]), each[3]], -1)[:, -1] for each in states]).double()
    scale = torch.from_numpy(scale_of(joined.numpy()))
    expected = fit_head(joined / scale, torch.from_numpy(pairs), 0.01) / scale
    weight = load_file(out / "reward.safetensors")["score.weight"][0]
    np.testing.assert_allclose(weight, expected, rtol=0, atol=5e-6 * abs(expected).max())  # float32: 3e-7 measured


def test_the_held_out_file_changes_nothing_of_the_model(llama, files, tmp_path):
    options = ["--model-name-or-path", llama, "--freeze-backbone", "--data", files[0], "--pooling", "last"]
    assert run("torch_impl", "train", *options, "--eval-data", files[1], "--output-dir", str(tmp_path / "a")) == 0
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "b")) == 0
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_a_gguf_file_gives_a_frozen_model(llama, files, tmp_path):
    body, words = load_pretrained(llama)
    path = tiny.gguf(tmp_path / "m.gguf", body, words)
    options = ["--gguf-file", path, "--freeze-backbone", "--data", files[0], "--layer", "2", "--pooling", "mean"]
    assert run("torch_impl", "train", *options, "--ridge", "0.01", "--output-dir", str(tmp_path / "run")) == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["num_hidden_layers"] == 2


@pytest.mark.parametrize("lora", [[], ["--use-peft", "--lora-r", "4", "--lora-alpha", "8"]])
def test_all_weights_or_additions_are_trained_and_a_stopped_run_goes_on(llama, files, tmp_path, lora):
    """A run of 4 steps = 2 steps and, after --resume, 2 more"""
    options = ["--model-name-or-path", llama, "--data", files[0], "--eval-data", files[1], "--max-steps", "4", *lora]
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "whole"), "--save-steps", "2") == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    state = tmp_path / "part/checkpoint-4/state.json"
    assert json.loads(state.read_text())["options"]["learning_rate"] == (2e-4 if lora else 1e-5)
    assert run("torch_impl", "train", "--resume", str(tmp_path / "part")) == 0
    rows = [[[5, 6, 7], [8, 9]]]
    np.testing.assert_array_equal(*(load_saved(tmp_path / name)[0](*collate(rows)) for name in ("whole", "part")))


def test_an_interrupted_run_goes_on_bit_by_bit(llama, files, tmp_path, monkeypatch):
    options = ["--model-name-or-path", llama, "--data", files[0], "--max-steps", "4", "--learning-rate", "1e-3"]
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "whole")) == 0
    step, calls = BackboneLearner.step, []

    def failing(self, *arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return step(self, *arguments)

    monkeypatch.setattr(BackboneLearner, "step", failing)
    part = str(tmp_path / "part")
    assert run("torch_impl", "train", *options, "--output-dir", part, "--save-steps", "1") == 130
    monkeypatch.setattr(BackboneLearner, "step", step)
    assert run("torch_impl", "train", "--resume", part) == 0
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "part")]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--freeze-backbone"], "--model-name-or-path"),
        (["--use-peft"], "--model-name-or-path"),
        (["--model-name-or-path", "MODEL"], "--data"),
        (["--model-name-or-path", "MODEL", "--data", "FILE", "--n-layer", "3"], "--n-layer"),
        (["--model-name-or-path", "MODEL", "--data", "FILE", "--freeze-backbone", "--max-steps", "3"], "--max-steps"),
        (["--model-name-or-path", "MODEL", "--data", "FILE", "--freeze-backbone", "--layer", "9"], "3 layers"),
        (["--model-name-or-path", "MODEL", "--data", "FILE", "--freeze-backbone", "--head-layers", "1,9"], "3 layers"),
        (["--model-name-or-path", "MODEL", "--data", "FILE", "--freeze-backbone", "--head-layers", "2,1"], "ascend"),
        (["--model-name-or-path", "MODEL", "--data", "FILE", "--head-layers", "1,2"], "--freeze-backbone"),
        (
            ["--model-name-or-path", "MODEL", "--data", "FILE", "--freeze-backbone", "--head-layers=1,2", "--layer=2"],
            "one of the two",
        ),
        (["--model-name-or-path", "MODEL", "--data", "ONE", "--freeze-backbone"], "one prompt"),
        (["--model-name-or-path", "MODEL", "--data", "MARGIN", "--freeze-backbone"], "margins"),
        (["--model-name-or-path", "MODEL", "--data", "FILE", "--layer", "2"], "--freeze-backbone"),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(llama, files, tmp_path, capsys, monkeypatch, options, named):
    monkeypatch.chdir(tmp_path)
    rows = numbers(5)
    places = {"MODEL": llama, "FILE": files[0], "MARGIN": write_rows(tmp_path / "m.jsonl", rows)}
    places["ONE"] = write_rows(
        tmp_path / "one.jsonl", [{k: v for k, v in row.items() if k != "margin"} for row in rows]
    )
    assert run("torch_impl", "train", *(places.get(option, option) for option in options)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert is_one_sentence(error)
    assert named in error
    assert not list(tmp_path.glob("runs/*/model.safetensors"))


@pytest.mark.parametrize("best", range(30))
def test_layers_are_looked_for_from_coarse_to_fine(best):
    """If the loss has one minimum, it is found with fewer than half of the fits"""
    found = coarse_to_fine(lambda i: abs(i - best), 30)
    assert min(found, key=found.__getitem__) == best
    assert len(found) <= 13
    assert set(coarse_to_fine(lambda i: abs(i - best), 5)) == set(range(5))


@pytest.mark.parametrize(("options", "named"), [([], "one prompt"), (["--folds", "9"], "9 parts")])
def test_too_few_prompts_are_refused_before_any_feature_is_computed(
    llama, files, tmp_path, capsys, monkeypatch, options, named
):
    monkeypatch.setattr(frozen, "cached_features", lambda *_: pytest.fail("features were computed"))
    one = [json.loads(line) | {"prompt": "p"} for line in Path(files[0]).read_text().splitlines()]
    data = files[0] if options else write_rows(tmp_path / "one.jsonl", one)
    out = tmp_path / "run"
    arguments = ["--model-name-or-path", llama, "--freeze-backbone", "--data", data, "--output-dir", str(out), *options]
    assert run("torch_impl", "train", *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert is_one_sentence(error)
    assert named in error
    assert not out.exists()


USED = {
    *(
        "model_name_or_path",
        "gguf_file",
        "freeze_backbone",
        "template",
        "pooling",
        "layer",
        "head_layers",
        "ridge",
        "folds",
    ),
    *("data", "eval_data", "dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split"),
    *(f"{name}_column" for name in ("prompt", "chosen", "rejected", "margin", "responses", "ranks", "scores")),
    *("max_length", "cache_dir", "output_dir", "resume", "device", "threads"),
}


def test_a_frozen_model_uses_each_option_or_refuses_it():
    assert {*frozen.NOT_USED, *OURS} == TrainOptions.names().keys() - USED


@pytest.mark.parametrize("option", ["--bf16", "--fsdp", "--gradient-checkpointing", "--seed=3"])
def test_what_a_frozen_model_would_ignore_is_refused(option, capsys):
    assert run("torch_impl", "train", "--model-name-or-path", "x", "--data", "y", "--freeze-backbone", option) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert is_one_sentence(sentence)
    assert f"{option.split('=')[0]}: a head on a frozen model is fitted exactly and does not use it" in sentence


def test_an_existing_directory_is_refused_before_anything_is_read(tmp_path, capsys):
    (tmp_path / "there").write_text("")
    options = ["--model-name-or-path", str(tmp_path / "none"), "--data", "none.jsonl", "--freeze-backbone"]
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "there")) == 2
    assert "there: is a file: choose another" in capsys.readouterr().err


def test_distinct_responses_and_the_pairs_among_them():
    rows, pairs = distinct([[[1, 2], [3]], [[3], [4, 5]], [[1, 2], [4, 5]]])
    assert rows == [[1, 2], [3], [4, 5]]
    assert pairs.tolist() == [[0, 1], [1, 2], [0, 2]]


def test_a_prompt_is_in_one_fold_and_neighbours_are_together():
    prompts = "aabbccddaeeff"
    assert folds(prompts, 3).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 2, 2, 2, 2]
    assert folds(prompts, 99).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 4, 4, 5, 5]
    assert not folds(prompts[:2], 6).any()


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_with_sharded_weights_train_a_pretrained_body_as_one_does(files, tmp_path):
    """Losses, held-out scores and the saved model agree, whether one process trains or two

    On GPT-2, because Llama's norms always compute in float32, and two processes group the rows differently.
    """
    options = [
        "--model-name-or-path",
        tiny.directory(tmp_path / "gpt2", "gpt2"),
        "--data",
        files[0],
        "--eval-data",
        files[1],
        "--dtype",
        "float64",
    ]
    base = ["torch_impl", "train", *options, "--max-steps", "6", "--learning-rate", "1e-3"]
    jobs = {1: ["8"], 2: ["4", "--fsdp", "--gradient-checkpointing"]}
    for n, size in jobs.items():
        done = torchrun(n, *base, "--per-device-train-batch-size", *size, "--output-dir", str(n), cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    for one, two in zip(*(line_of(tmp_path / str(n)) for n in jobs), strict=True):
        assert two == pytest.approx(one, rel=1e-8, abs=1e-10)
    one, two = (load_file(tmp_path / str(n) / "model.safetensors") for n in jobs)
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(("kind", "done"), [("gpt2", "folded"), ("llama", "in part")])
def test_rewards_on_a_pretrained_body_are_normalised_in_the_weights_or_beside_them(kind, done, files, tmp_path, capsys):
    """GPT-2's last norm has a bias, which takes the mean; Llama's has none, so config.json holds it"""
    model = tiny.directory(tmp_path / kind, kind)
    options = ["--model-name-or-path", model, "--data", files[0], "--max-steps", "3", "--learning-rate", "1e-2"]
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "raw")) == 0
    normalised = ["normalize", "--data", files[0], "--model"]
    assert run("torch_impl", *normalised, str(tmp_path / "raw"), "--output-dir", str(tmp_path / "once")) == 0
    assert f"{done:<10}(reward - " in capsys.readouterr().out
    assert run("torch_impl", *normalised, str(tmp_path / "once"), "--output-dir", str(tmp_path / "twice")) == 0
    rows = [json.loads(line) for line in Path(files[0]).read_text().splitlines()]
    found = []
    for name in ("raw", "once", "twice"):
        scorer = load_saved(tmp_path / name)
        ids = [[scorer.tokenizer.encode(row["prompt"], row["chosen"])] for row in rows]
        found.append(scorer.rewards(*collate(ids))[:, 0].astype(float))
    raw, once, twice = found
    np.testing.assert_allclose(once, (raw - raw.mean()) / raw.std(), atol=2e-4)
    np.testing.assert_allclose(twice, once, atol=2e-4)
    config = json.loads((tmp_path / "twice" / "config.json").read_text())
    assert ("reward_mean" in config) == (done == "in part")
    assert "reward_std" not in config
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "twice").eval()
    with torch.no_grad():
        theirs = [plain(input_ids=torch.tensor(row)).logits.item() for row in ids]
    np.testing.assert_allclose(np.array(theirs) - config.get("reward_mean", 0.0), twice, atol=2e-4)
    card = (tmp_path / "once" / "README.md").read_text()
    assert ("reward_mean" in card) == (done == "in part")
    assert "80 reference responses" in card


@pytest.mark.parametrize("template", [None, "Q: {prompt} A: {response}."])
def test_the_code_on_the_card_gives_the_rewards_of_score(llama, files, tmp_path, monkeypatch, template):
    """The card of a run on all weights also has the data, options, held-out figures, and the text with its end"""
    options = ["--model-name-or-path", llama, "--data", files[0], "--eval-data", files[1], "--max-steps", "2"]
    options += ["--learning-rate", "1e-2", *(["--template", template] if template else [])]
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "run")) == 0
    text = (tmp_path / "run" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: transformers\n")
    for words in (
        "Trained on 80 comparisons",
        "| accuracy |",
        "the longer response wins",
        "--learning-rate",
        "LlamaModel",
    ):
        assert words in text
    assert (template or "<|im_end|> at the end") in text
    monkeypatch.chdir(tmp_path / "run")
    found: dict = {}
    exec(text.split("```python\n")[1].split("```")[0], found)
    scorer = load_saved(tmp_path / "run")
    ours = scorer.rewards(*collate([[scorer.tokenizer.encode("2 + 2?", text) for text in ("4", "5")]]))[0]
    np.testing.assert_allclose(found["rewards"].numpy(), ours, atol=1e-5)


def test_the_card_of_a_frozen_run_says_what_was_chosen_and_measured(llama, files, tmp_path, capsys):
    options = ["--model-name-or-path", llama, "--freeze-backbone", "--data", files[0], "--eval-data", files[1]]
    options += ["--layer", "2", "--ridge", "0.01"]
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "run")) == 0
    text, (line,) = (tmp_path / "run" / "README.md").read_text(), line_of(tmp_path / "run")
    low, high = line["eval_interval"]
    assert f"| accuracy | {line['eval_accuracy']:.4f} ({low:.3f} to {high:.3f}) |" in text
    assert "| --layer | 2 |" in text
    assert "--learning-rate" not in text, "which a fitted head does not use"
    assert "--n-layer" not in text, "which is of models built here"
    assert "mean pooling" not in capsys.readouterr().out


def test_mean_pooling_says_at_saving_who_can_read_it_and_goes_on_after_a_stop(llama, files, tmp_path, capsys):
    options = ["--model-name-or-path", llama, "--data", files[0], "--pooling", "mean", "--max-steps", "2"]
    assert run("torch_impl", "train", *options, "--output-dir", str(tmp_path / "run")) == 0
    assert "transformers has no class that reads this model" in capsys.readouterr().out
    assert (tmp_path / "run" / "reward.safetensors").is_file()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert run("torch_impl", "train", "--resume", str(tmp_path / "run")) == 0

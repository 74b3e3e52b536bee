"""The weights of the best evaluation become the model, a run without progress ends, and a resumed run does the same."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from running import PACKAGES, TINY, is_one_sentence, numbers, run, same_files, write_rows

from numpy_ref.data import source
from numpy_ref.storage.checkpoint import load_model
from numpy_ref.storage.checksums import seal
from numpy_ref.train import train
from numpy_ref.training import loop
from numpy_ref.training.best import Best
from numpy_ref.tree import flatten

BOTH = pytest.mark.parametrize("package", PACKAGES)
BEST = ["--load-best-model-at-end", "--eval-steps", "2"]


@pytest.fixture
def options(tmp_path, monkeypatch):
    """30 pairs, and held-out ones with swapped labels, so that learning makes their scores worse"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    data = write_rows(tmp_path / "rows.jsonl", numbers(30))
    swapped = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in numbers(7, seed=1)]
    held = write_rows(tmp_path / "held.jsonl", swapped)
    files = ["--data", data, "--eval-data", held, "--max-length", "32"]
    return [*TINY, *files, "--max-steps", "10", "--save-steps", "3", "--logging-steps", "4", "--learning-rate", "0.02"]


def lines(directory):
    return [json.loads(line) for line in Path(directory, "metrics.jsonl").read_text().splitlines()]


def evaluations(directory):
    return {line["step"]: line for line in lines(directory) if "eval_loss" in line}


def weights(directory):
    return flatten(load_model(directory)[0])


@BOTH
@pytest.mark.parametrize(("metric", "sign"), [("loss", 1), ("eval_accuracy", -1)])
def test_the_best_evaluation_is_the_model(package, metric, sign, options, capsys):
    chosen = ["--metric-for-best-model", metric]
    assert run(package, "train", *options, *BEST, *chosen, "--output-dir", "out") == 0
    found, name = evaluations("out"), f"eval_{metric.removeprefix('eval_')}"
    best = min(found, key=lambda step: (sign * found[step][name], step))
    assert f"best      after step {best}, {name} {found[best][name]:.4f}" in capsys.readouterr().out


@BOTH
def test_the_kept_weights_are_those_of_that_step(package, options, monkeypatch):
    """The final model has the weights of a checkpoint saved at the best step"""
    kept = {}
    consider = Best.consider

    def noting(self, learner, step, result):
        consider(self, learner, step, result)
        kept[step] = {name: array.copy() for name, array in learner.weights().items()}

    monkeypatch.setattr(Best, "consider", noting)
    assert run(package, "train", *options, *BEST, "--output-dir", "out") == 0
    found = evaluations("out")
    best = min(found, key=lambda step: found[step]["eval_loss"])
    assert best < 10
    for name, array in weights("out").items():
        np.testing.assert_array_equal(array, kept[best][name])


def until(last):
    """The function `train`, interrupted in this step"""

    def steps(*arguments, **options):
        for step, record in train(*arguments, **options):
            if step == last:
                raise KeyboardInterrupt
            yield step, record

    return steps


@BOTH
@pytest.mark.parametrize("last", [4, 8, 10])
def test_a_resumed_run_keeps_the_same_best_to_the_bit(package, last, options, monkeypatch):
    """It is interrupted in step 4, 8 or 10, and the model and the best weights are those of an undisturbed run"""
    start = [*options, *BEST, "--early-stopping-patience", "5", "--output-dir"]
    assert run(package, "train", *start, "whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train", until(last))
        assert run(package, "train", *start, "part") == 130
    assert run(package, "train", "--resume", "part") == 0
    names = ["model.safetensors", "config.json", "metrics.jsonl", "checkpoint-10/state.safetensors"]
    assert same_files("whole", "part", names)


@BOTH
def test_a_run_without_progress_ends_and_a_resumed_one_does_not_go_on(package, options, capsys):
    stop = ["--early-stopping-patience", "2", "--eval-steps", "1", "--max-steps", "40", "--learning-rate", "0.05"]
    assert run(package, "train", *options, *stop, "--output-dir", "out") == 0
    found = evaluations("out")
    best = min(found, key=lambda step: found[step]["eval_loss"])
    assert max(found) == best + 2 < 40
    assert "stopped   early: no better eval_loss in 2 evaluations" in capsys.readouterr().out
    before = Path("out", "metrics.jsonl").read_bytes(), Path("out", "model.safetensors").read_bytes()
    assert run(package, "train", "--resume", "out") == 0
    assert before == (Path("out", "metrics.jsonl").read_bytes(), Path("out", "model.safetensors").read_bytes())
    assert sum(line["step"] for line in lines("out")[-2:]) == 2 * max(found)  # the last steps are logged too


@BOTH
def test_the_language_model_too(package, options):
    assert run(package, "sft", *options, *BEST, "--metric-for-best-model", "perplexity", "--output-dir", "out") == 0
    assert Path("out", "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--load-best-model-at-end"], "--load-best-model-at-end: say how often to evaluate with --eval-steps"),
        ([*BEST, "--metric-for-best-model", "bleu"], "--metric-for-best-model bleu: there are loss, accuracy, brier"),
        (["--metric-for-best-model", "loss"], "--metric-for-best-model: has no effect alone"),
        (["--early-stopping-patience", "2"], "--early-stopping-patience: say how often"),
    ],
)
def test_what_cannot_choose_is_one_sentence(arguments, sentence, options, capsys):
    assert run("numpy_ref", "train", *options, *arguments, "--output-dir", "out") == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert is_one_sentence(error)
    assert not Path("out").exists()


def test_nothing_held_out_cannot_choose(options, capsys):
    i = options.index("--eval-data")
    assert run("numpy_ref", "train", *options[:i], *options[i + 2 :], *BEST) == 2
    assert "nothing is held out to evaluate on" in capsys.readouterr().err


@pytest.mark.parametrize("best", [7, {"step": -1, "value": 0.5, "since": 0}, {"step": 2, "value": "x", "since": 0}])
def test_a_best_that_is_none_is_refused(best, options, capsys):
    assert run("numpy_ref", "train", *options, *BEST, "--output-dir", "out") == 0
    path = Path("out", "checkpoint-10", "state.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"best": best}))
    seal(path.parent)
    assert run("numpy_ref", "train", "--resume", "out") == 2
    assert "the checkpoint is damaged" in capsys.readouterr().err


def test_a_value_that_is_no_number_is_never_the_best():
    class Learner:
        weights = state = staticmethod(dict)

    best = Best("eval_loss", False, True, 2)
    for step, value in enumerate([float("nan"), 0.5, float("inf")], 1):
        best.consider(Learner(), step, {"eval_loss": value})
    assert (best.step, best.value, best.since, best.is_over) == (2, 0.5, 1, False)


@BOTH
def test_an_output_directory_is_refused_before_data_are_read(package, options, capsys, monkeypatch):
    Path("full").mkdir()
    Path("full", "mine.txt").write_text("")
    monkeypatch.setattr(source.Reader, "read", lambda *_: pytest.fail("the data were read"))
    assert run(package, "train", *options, "--output-dir", "full") == 2
    assert "--output-dir full: exists and is not empty" in capsys.readouterr().err


@BOTH
@pytest.mark.parametrize("kind", ["linear", "constant"])
def test_decay_and_schedule_arrive(package, kind, options):
    how = ["--lr-scheduler-type", kind, "--weight-decay", "0.5", "--logging-steps", "1", "--warmup-steps", "0"]
    assert run(package, "train", *options, *how, "--output-dir", "out") == 0
    rates = [line["learning_rate"] for line in lines("out") if "learning_rate" in line]
    expected = [0.02 * (1 - 0.9 * step / 10) if kind == "linear" else 0.02 for step in range(10)]
    assert rates == pytest.approx(expected)
    assert run(package, "train", *options, *how[:2], *how[4:], "--output-dir", "plain") == 0
    norm = [sum((array**2).sum() for array in weights(name).values()) for name in ("out", "plain")]
    assert norm[0] < 0.98 * norm[1]

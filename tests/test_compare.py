"""`python -m torch_impl compare`: one screen, one run directory, and status 1 when the two sides disagree."""

import contextlib
import io
import json
import re
import shlex
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from running import is_one_sentence, run, start

import numpy_ref.transformer
from numpy_ref.batches import all_rewards
from numpy_ref.data import world
from numpy_ref.data.held_out import WORLD_POSITIONS, held_world
from numpy_ref.data.tokenizer import Words
from numpy_ref.metrics import summary
from numpy_ref.reward_model import rewards
from numpy_ref.storage.checkpoint import load_model
from numpy_ref.tree import flatten
from torch_impl import compare
from torch_impl.train import model_of

SMALL = partial(world.make_world, n_train=100, n_eval=10, visits=2)
STEPS = 12
PNG, PICTURES = b"\x89PNG\r\n", ["architecture", "gradient_regimes", "learned_against_true", "training_curves"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The command on a small world: its status, its screen, its run directory"""
    directory, screen, bar = tmp_path_factory.mktemp("compare") / "run", io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "make_world", SMALL)
        with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(bar):
            status = run("torch_impl", "compare", "--steps", str(STEPS), "--output-dir", str(directory))
    logged = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return SimpleNamespace(
        status=status, screen=screen.getvalue(), bar=bar.getvalue(), directory=directory, logged=logged
    )


def held():
    return held_world(Words(world.WORDS), SMALL(0)[1])


def test_both_agree(done):
    assert done.status == 0
    assert "they agree: worst gradient difference " in done.screen


def test_the_run_directory_holds_what_was_promised(done):
    found = sorted(str(path.relative_to(done.directory)) for path in done.directory.rglob("*") if path.is_file())
    model = ["SHA256SUMS", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    figures = [f"figures/{name}.{kind}" for name in PICTURES for kind in ("png", "svg")]
    assert found == sorted([*model, *figures, "metrics.jsonl", *(f"torch_impl/{name}" for name in model)])


def test_the_figures_are_pictures(done):
    for name in PICTURES:
        png, svg = ((done.directory / "figures" / f"{name}.{kind}").read_bytes() for kind in ("png", "svg"))
        assert png.startswith(PNG)
        assert b"<svg" in svg[:1000]
        assert svg.rstrip().endswith(b"</svg>")


def test_every_step_is_logged_with_both_losses(done):
    assert [line["step"] for line in done.logged] == list(range(1, STEPS + 1))
    for line in done.logged:
        assert line["loss_torch_impl"] == pytest.approx(line["loss_numpy_ref"], rel=1000 * np.finfo(float).eps)
    checked = [line["step"] for line in done.logged if "gradient_difference_eps" in line]
    assert len(checked) == 10
    assert {1, STEPS} <= set(checked)
    assert all(0 <= line.get("gradient_difference_eps", 0) <= compare.BOUND for line in done.logged)
    evaluated = [line for line in done.logged if "eval_accuracy_numpy_ref" in line]
    assert len(evaluated) == 8
    assert evaluated[-1]["step"] == STEPS
    names = ("accuracy", "loss", "brier", "spearman")
    for line in evaluated:
        assert all(f"eval_{name}_{side}" in line for name in names for side in ("numpy_ref", "torch_impl"))


def rows_of(screen, title):
    """The cells of the line that begins with this title"""
    return next(line.removeprefix(title).split() for line in screen.splitlines() if line.startswith(title))


def test_the_screen_shows_losses_and_gradient_differences_step_by_step(done):
    lines = re.findall(r"^ *(\d+)  (\d\.\d{12})  (\d\.\d{12}) +(\d+\.\d) eps$", done.screen, re.MULTILINE)
    logged = [line for line in done.logged if "gradient_difference_eps" in line]
    for (step, hand, auto, eps), line in zip(lines, logged, strict=True):
        assert int(step) == line["step"]
        assert (hand, auto) == (f"{line['loss_numpy_ref']:.12f}", f"{line['loss_torch_impl']:.12f}")
        assert eps == f"{line['gradient_difference_eps']:.1f}"
    drift = re.search(r"drifted apart by (\S+) in loss and (\S+) in held-out reward", done.screen)
    assert all(0 <= float(number) < 1e-9 for number in drift.groups())


def test_the_screen_shows_the_models_scores_beside_their_floors(done):
    params, n_head, _ = load_model(done.directory)
    data = held()
    result = summary(all_rewards(lambda *batch: rewards(*batch, **params, n_head=n_head)[0], data.rows), data.true)
    floors = world.floors(data.true)
    titles = {"accuracy": "expected accuracy", "loss": "expected log loss", "brier": "expected Brier score"}
    for name, title in titles.items():
        assert rows_of(done.screen, title) == [f"{result[name]:.4f}"] * 2 + [f"{floors[name]:.4f}"]
    spearman = rows_of(done.screen, "Spearman with the true reward")
    assert spearman == [f"{result['spearman']:.4f}"] * 2 + ["1.0000"]
    assert rows_of(done.screen, "accuracy of the longer response") == [f"{data.baseline:.4f}"] * 2


def test_the_screen_is_one_screen_and_says_what_comes_next(done):
    lines = done.screen.strip().splitlines()
    assert len(lines) <= 40
    assert max(len(line) for line in lines if str(done.directory) not in line) <= 100
    assert f"{done.directory} holds metrics.jsonl, the model, torch_impl/ and figures/" in done.screen
    assert "\r" not in done.bar  # it is no terminal: nothing, or a line every ten seconds


def test_the_line_that_comes_next_works(done, capsys):
    command = done.screen[done.screen.index("next: python -m numpy_ref ") :].removeprefix("next: python -m numpy_ref ")
    assert run("numpy_ref", *shlex.split(command.replace("\\\n", " "))) == 0
    assert "rank  reward" in capsys.readouterr().out


def test_both_models_load_and_agree(done):
    data = held()
    scores = []
    for directory in (done.directory, done.directory / "torch_impl"):
        params, n_head, tokenizer = load_model(directory)
        assert tokenizer == Words(world.WORDS)
        assert params["body"]["pos"]["weight"].shape == (WORLD_POSITIONS, 32)
        assert params["head"]["weight"].dtype == np.float64
        model = model_of(flatten(params), n_head)
        with torch.no_grad():
            scores.append(all_rewards(lambda *batch, model=model: model(*map(torch.tensor, batch)).numpy(), data.rows))
    centred = [score - score.mean(1, keepdims=True) for score in scores]
    np.testing.assert_allclose(*centred, rtol=0, atol=1e-9)
    assert abs(centred[0]).max() > 0.1


def quick(monkeypatch, tmp_path):
    """A run without figures and with few steps, enough to test the status"""
    monkeypatch.setattr(world, "make_world", SMALL)
    monkeypatch.setattr(compare, "write_figures", lambda *_: None)
    monkeypatch.setattr(compare, "BATCH", 8)
    monkeypatch.chdir(tmp_path)


def test_a_wrong_gradient_is_noticed(monkeypatch, tmp_path, capsys):
    """One factor of gelu's slope off by a millionth: status 1"""
    right = numpy_ref.transformer.gelu_backward
    monkeypatch.setattr(numpy_ref.transformer, "gelu_backward", lambda dout, cache: right(dout, cache) * (1 + 1e-6))
    quick(monkeypatch, tmp_path)
    assert run("torch_impl", "compare", "--steps", "2") == 1
    out = capsys.readouterr().out
    assert "THEY DISAGREE: worst gradient difference" in out
    assert "they agree" not in out
    assert (tmp_path / "runs" / "compare" / "model.safetensors").is_file(), "what was trained is kept"


def test_a_wrong_step_is_noticed(monkeypatch, tmp_path, capsys):
    """Gradients agree at the same weights, but one side steps too far: the losses tell"""
    monkeypatch.setattr("numpy_ref.train.BETA2", 0.95001)
    quick(monkeypatch, tmp_path)
    assert run("torch_impl", "compare", "--steps", "6") == 1
    assert "THEY DISAGREE" in capsys.readouterr().out


def test_runs_count_up_and_the_seed_is_taken(monkeypatch, tmp_path, capsys):
    quick(monkeypatch, tmp_path)
    for seed in ("0", "0", "1"):
        assert run("torch_impl", "compare", "--steps", "1", "--seed", seed) == 0
    texts = [Path("runs", name, "metrics.jsonl").read_text() for name in ("compare", "compare-2", "compare-3")]
    assert texts[0] == texts[1] != texts[2]
    capsys.readouterr()
    assert run("torch_impl", "compare", "--steps", "1", "--output-dir", "runs/compare") == 2
    assert is_one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_the_whole_command_reaches_its_figures(tmp_path):
    """As the README starts it: gradients within 100 eps, two points from the best accuracy, Spearman 0.95"""
    process = start("torch_impl", "compare", cwd=tmp_path)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, (out, err)
    logged = [json.loads(line) for line in (tmp_path / "runs/compare/metrics.jsonl").read_text().splitlines()]
    assert len(logged) == 525
    assert max(line.get("gradient_difference_eps", 0) for line in logged) <= 100
    floors = world.floors(world.make_world(0)[1].rewards)
    for side in ("numpy_ref", "torch_impl"):
        assert logged[-1][f"eval_accuracy_{side}"] > floors["accuracy"] - 0.02
        assert logged[-1][f"eval_spearman_{side}"] >= 0.95
        assert logged[-1][f"eval_loss_{side}"] > floors["loss"]
        assert logged[-1][f"eval_brier_{side}"] > floors["brier"]

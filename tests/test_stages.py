"""`compare --stage all`: every stage by both packages, one screen, status 1 when they disagree."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from running import is_one_sentence, run, start

import numpy_ref.policy
import numpy_ref.transformer
from numpy_ref.data import world
from torch_impl import stages

NAMES = ["sft", "reward model", "dpo", "policy"]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Few steps on a small world"""
    monkeypatch.setattr(world, "make_world", partial(world.make_world, n_train=100, n_eval=8, visits=2))
    monkeypatch.setattr(stages, "STEPS", dict.fromkeys(NAMES, 3))
    monkeypatch.setattr(stages, "BATCH", 8)
    for name, value in {"DRAWN": 6, "PROMPTS": 2, "POOL": 40, "GROUP": 4}.items():
        monkeypatch.setattr(stages, name, value)
    monkeypatch.chdir(tmp_path)


def rows_of(screen):
    """{stage: [numbers]} of the table"""
    rows = {}
    for name in NAMES:
        line = next(line for line in screen.splitlines() if line.startswith(f"{name} ") and "eps" in line)
        rows[name] = [float(number) for number in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", line)]
    return rows


@pytest.mark.usefixtures("small")
def test_all_stages_agree_and_are_shown_on_one_screen(capsys):
    assert run("torch_impl", "compare", "--stage", "all") == 0
    screen = capsys.readouterr().out
    for steps, first, _, drift, eps, _, mine, theirs in rows_of(screen).values():
        assert steps == 3
        assert 0 <= eps <= stages.BOUND
        assert drift <= 1e-9
        assert mine == theirs
        assert first != 0
    rows = rows_of(screen)
    assert rows["sft"][1] == pytest.approx(np.log(60), abs=0.1)
    assert rows["dpo"][1] == pytest.approx(np.log(2), abs=1e-4)
    assert rows["dpo"][5] == rows["sft"][6]  # dpo starts from what sft has made
    assert "they agree: worst gradient difference" in screen
    assert len(screen.splitlines()) <= 24
    assert max(map(len, screen.splitlines())) <= 88
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (numpy_ref.transformer, "gelu_backward"),
        (numpy_ref.policy, "clipped_loss_backward"),
        (numpy_ref.dpo, "dpo_loss_backward"),
    ],
)
def test_a_wrong_gradient_is_noticed_in_its_stage(monkeypatch, capsys, module, name):
    right = getattr(module, name)
    monkeypatch.setattr(module, name, lambda dout, cache: right(dout, cache) * (1 + 1e-6))
    assert run("torch_impl", "compare", "--stage", "all") == 1
    screen = capsys.readouterr().out
    assert "THEY DISAGREE" in screen
    wrong = {stage for stage, row in rows_of(screen).items() if row[4] > stages.BOUND}
    expected = {"gelu_backward": set(NAMES[:3]), "clipped_loss_backward": {"policy"}, "dpo_loss_backward": {"dpo"}}
    assert wrong == expected[name]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("option", [["--steps", "3"], ["--output-dir", "new"]])
def test_an_option_that_would_be_ignored_is_refused(capsys, option):
    assert run("torch_impl", "compare", "--stage", "all", *option) == 2
    error = capsys.readouterr().err
    assert f"{option[0]}: --stage all does not use it: leave it out" in error
    assert is_one_sentence(error)


@pytest.mark.slow
@pytest.mark.long
def test_every_stage_raises_the_true_reward(tmp_path):
    """The command as a reader runs it: each stage improves what is written, preferred or said by the policy"""
    process = start("torch_impl", "compare", "--stage", "all", cwd=tmp_path)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, (out, err)
    rows = rows_of(out)
    for _, first, last, _, eps, before, mine, theirs in rows.values():
        assert last < first
        assert eps <= 100
        assert mine > before + 0.5
        assert abs(mine - theirs) < 0.05
    assert rows["dpo"][6] > rows["sft"][6] + 0.5

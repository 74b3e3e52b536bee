"""A run of version 0.1.0, killed in step 4 after the save of step 2, loads and goes on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from running import run, same_files, small_world

from numpy_ref.data import world
from numpy_ref.storage.checkpoint import load_model

MADE = Path(__file__).parent / "version_0_1_0"  # train --n-layer 1 --n-head 2 --n-embd 4, of the built-in world


@pytest.fixture
def old(tmp_path, monkeypatch):
    """The run, with the half-written files that 0.1.0 leaves when it is killed in a save"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(world, "make_world", small_world)
    shutil.copytree(MADE, "old")
    for name in (".checkpoint-4.new", ".model.new"):
        Path("old", name).mkdir()
        Path("old", name, "model.safetensors").write_bytes(b"half")
    Path("old/.latest.new").write_text("chec")
    Path("old/.lock").touch()
    return Path("old")


def test_its_model_gives_rewards(old, capsys):
    params, n_head, tokenizer = load_model(old)
    assert (n_head, tokenizer.name, params["head"]["weight"].dtype) == (2, "words", np.float32)
    assert run("numpy_ref", "score", "--model", str(old), "--prompt", "say cat", "cat .", "dog") == 0
    assert "vs 1" in capsys.readouterr().out


def test_it_goes_on_to_its_end_and_its_log_is_cut_back(old):
    """The save does not say how long the log was, so its steps decide: line 3 is written anew"""
    before = (old / "metrics.jsonl").read_text().splitlines()
    assert run("numpy_ref", "train", "--resume", str(old)) == 0
    lines = (old / "metrics.jsonl").read_text().splitlines()
    assert lines[:2] == before[:2]
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 5]
    assert same_files(old, old / "checkpoint-5", ["model.safetensors", "config.json"])
    assert not list(old.glob(".*.new"))
    assert "bytes" in json.loads((old / "checkpoint-5/state.json").read_text())["logged"]

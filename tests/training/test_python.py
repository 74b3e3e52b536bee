"""Training from Python: the command's run, its options, its sentences."""

import json
from pathlib import Path

import numpy as np
import pytest
from running import PACKAGES, TINY, numbers, run, same_files, small_world, write_rows

import numpy_ref
import torch_impl
from numpy_ref.data import world
from numpy_ref.errors import InputError

TRAIN = {"numpy_ref": numpy_ref.train_reward_model, "torch_impl": torch_impl.train_reward_model}
SIZE = {"n_layer": 1, "n_head": 2, "n_embd": 8, "per_device_train_batch_size": 8, "max_length": 40, "max_steps": 3}
BOTH = pytest.mark.parametrize("package", PACKAGES)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@BOTH
def test_rows_a_file_and_the_command_train_the_same_model(package):
    data = write_rows(Path("rows.jsonl"), numbers(20))
    options = [*TINY, "--max-length", "40", "--max-steps", "3"]
    assert run(package, "train", "--data", data, *options, "--output-dir", "commanded") == 0
    of_file = TRAIN[package](data, "of-file", **SIZE)
    of_rows = TRAIN[package](numbers(20), **SIZE)
    assert same_files("commanded", "of-file", ["model.safetensors", "tokenizer.json"])
    responses = ["12.0", "500"]
    np.testing.assert_array_equal(of_rows.score("larger?", responses), of_file.score("larger?", responses))
    assert "in memory" in repr(of_rows)
    assert "of-file" in repr(of_file)


@BOTH
def test_held_out_rows_are_evaluated_while_training(package):
    TRAIN[package](numbers(20), "run", numbers(6, seed=1), **SIZE)
    lines = [json.loads(line) for line in Path("run", "metrics.jsonl").read_text().splitlines()]
    assert any("eval_accuracy" in line for line in lines)


@BOTH
def test_without_data_it_is_the_built_in_world_and_a_run_can_be_resumed(package, monkeypatch):
    monkeypatch.setattr(world, "make_world", small_world)
    options = SIZE | {"max_length": 1024}
    whole = TRAIN[package](None, "whole", **options | {"max_steps": 4, "save_steps": 2})
    again = TRAIN[package](None, resume="whole")
    np.testing.assert_array_equal(
        again.score("say cat", ["cat .", "dog ."]), whole.score("say cat", ["cat .", "dog ."])
    )


@BOTH
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lr": 1e-3}, "did you mean --learning-rate"),
        ({"max_steps": 0}, "0 is not 1 or more"),
        ({"loss": "hinge"}, "invalid choice"),
        ({"output_dir": "there"}, "there: exists and is not empty|there: is a file"),
    ],
)
def test_what_the_command_would_refuse_is_an_input_error_with_its_sentence(package, options, sentence):
    Path("there").mkdir()
    Path("there", "mine").write_text("x")
    with pytest.raises(InputError, match=sentence):
        TRAIN[package](numbers(9), **SIZE | options)
    assert sorted(path.name for path in Path().iterdir()) == ["there"]


def test_a_row_that_cannot_be_read_is_named_by_its_place():
    with pytest.raises(InputError, match=r"row 2: .*rejected"):
        numpy_ref.train_reward_model([*numbers(1), {"prompt": "p", "chosen": "c"}], **SIZE)

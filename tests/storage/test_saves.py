"""Saves without training: what they hold, in which order it is written, and how a damaged one is refused."""

import contextlib
import errno
import json
import os
import platform
import re
from pathlib import Path

import numpy as np
import pytest
from running import NumpyLearner, is_one_sentence, weights

from numpy_ref.data import world
from numpy_ref.data.tokenizer import EOS, PAD, Words
from numpy_ref.errors import InputError
from numpy_ref.files import write_json
from numpy_ref.storage import run as runs
from numpy_ref.storage.checkpoint import load_model, read_arrays, save_model, write_arrays
from numpy_ref.storage.checksums import seal, sha256, verify
from numpy_ref.storage.lock import alone
from numpy_ref.training.best import Best
from numpy_ref.tree import unflatten

WORDS = Words(world.WORDS)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)


def refusal(function, *arguments, **options):
    """What InputError says"""
    with pytest.raises(InputError) as raised:
        function(*arguments, **options)
    assert is_one_sentence(str(raised.value))
    return str(raised.value)


def learner():
    """The by-hand learner of a small model before its first step"""
    return NumpyLearner(weights(), 2, total_steps=5, learning_rate=1e-3, warmup_steps=0)


def saved(step=3, **more):
    """A run with one save of this step"""
    Path("run").mkdir(exist_ok=True)
    runs.save(Path("run"), step, learner(), WORDS, {"ties": None}, [], **more)
    return Path("run")


def language_model(folder):
    """A language model of the same sizes, in a new directory"""
    flat = weights()
    flat["unembedding.weight"] = flat["body.tok.weight"]
    Path(folder).mkdir()
    save_model(Path(folder), unflatten({k: v for k, v in flat.items() if k != "head.weight"}), 2, WORDS)
    return folder


def change_state(run, **fields):
    """state.json with other fields, and its checksum"""
    path = run / "checkpoint-3" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    seal(path.parent)


def test_a_save_is_read_as_it_was_written():
    run = saved()
    found = runs.load_state(run)
    assert (found.step, found.n_head, found.tokenizer, found.unlogged, found.best) == (3, 2, WORDS, [], None)
    assert found.logged["bytes"] == 0
    for name, array in weights().items():
        np.testing.assert_array_equal(found.weights[name], array)
        np.testing.assert_array_equal(found.arrays[f"first.{name}"], np.zeros_like(array))


def test_the_step_before_the_first_may_be_saved_and_none_before_it():
    run = saved()
    change_state(run, step=0)
    assert runs.load_state(run).step == 0
    change_state(run, step=-1)
    assert "the step is negative" in refusal(runs.load_state, run)


def test_a_save_holds_the_best_weights_beside_the_newest():
    better = {name: array + 1 for name, array in weights().items()}
    best = Best("eval_loss", False, True, None, step=2, value=0.5, since=1, weights=better)
    found = runs.load_state(saved(best=best))
    assert found.best == {"step": 2, "value": 0.5, "since": 1}
    for name, array in better.items():
        np.testing.assert_array_equal(found.arrays[f"best.{name}"], array)
        np.testing.assert_array_equal(found.weights[name], weights()[name])


@pytest.mark.parametrize("logged", [7, {}, {"bytes": "7", "sha256": ""}, {"bytes": 7}])
def test_a_save_must_say_what_was_logged_before_it(logged):
    run = saved()
    change_state(run, logged=logged)
    assert "does not say what was logged before" in refusal(runs.read_state, run)


@pytest.mark.parametrize("fields", [{"step": "3"}, {"options": []}, {"machine": None}, {"unlogged": {}}])
def test_a_state_must_hold_what_a_resume_needs(fields):
    run = saved()
    change_state(run, **fields)
    assert "does not hold step, options, machine, unlogged: the checkpoint is damaged" in refusal(runs.read_state, run)


def test_one_process_trains_in_a_directory_and_what_a_killed_one_left_is_removed(monkeypatch, capsys):
    run = saved()
    (run / ".checkpoint-6.0123456789abcdef.new").mkdir()
    with alone(run):
        assert sorted(path.name for path in run.iterdir()) == [".lock", "checkpoint-3", "latest"]
        assert "another process is training in this directory" in refusal(alone(run).__enter__)
    with alone(run):
        pass
    monkeypatch.setattr("numpy_ref.storage.lock.lock", lambda *_: contextlib.nullcontext(False))
    (run / ".latest.new").write_text("somebody's")
    with alone(run):
        assert (run / ".latest.new").exists(), "nothing is removed that may be another's"
    assert "this file system has no locks: start no second run" in capsys.readouterr().out


def test_a_new_save_takes_the_place_of_the_old_one():
    saved(3)
    assert sorted(path.name for path in saved(6).iterdir()) == ["checkpoint-6", "latest"]
    assert Path("run/latest").read_text() == "checkpoint-6"


def test_a_step_may_be_saved_again_and_an_old_save_that_stays_does_no_harm(monkeypatch):
    """A run that resumes from the save before writes a step again; a busy file system may keep an old save"""
    saved(3)
    (saved(3, best=None) / "checkpoint-3" / "left").write_text("")
    assert not (saved(3) / "checkpoint-3" / "left").exists()

    def refused(*_, **__):
        raise OSError(errno.EBUSY, "busy")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", refused)
        run = saved(6)
    assert (run / "latest").read_text() == "checkpoint-6"
    assert runs.load_state(run).step == 6


def test_the_machine_is_named_as_far_as_the_system_tells(monkeypatch, tmp_path):
    assert re.fullmatch(r"\S.*", runs.processor())
    assert runs.machine(learner()).items() >= {"package": "numpy_ref", "numpy": np.__version__}.items()
    (tmp_path / "cpuinfo").write_text("vendor_id : V\nmodel name\t: Some CPU: 2 GHz\nmodel name\t: Other\n")
    monkeypatch.setattr(runs, "Path", lambda _: tmp_path / "cpuinfo")
    assert runs.processor() == "Some CPU: 2 GHz"
    for there in (True, False):
        if there:
            (tmp_path / "cpuinfo").write_text("")
        else:
            (tmp_path / "cpuinfo").unlink()
        assert runs.processor() == (platform.processor() or platform.machine())


def test_who_does_not_write_writes_nothing():
    class Silent(NumpyLearner):
        writes = False

    Path("run").mkdir()
    silent = Silent(weights(), 2, total_steps=5, learning_rate=1e-3, warmup_steps=0)
    runs.save(Path("run"), 3, silent, WORDS, {}, [])
    runs.publish(Path("run"), silent, WORDS)
    assert list(Path("run").iterdir()) == []
    with alone(Path("run"), writes=False):
        assert list(Path("run").iterdir()) == []


def test_another_writer_of_models_writes_instead_of_ours():
    def write(directory, its_learner, its_weights, tokenizer):
        assert (its_learner.side, tokenizer) == ("numpy_ref", WORDS)
        write_arrays(directory / "reward.safetensors", its_weights)
        write_json(directory / "config.json", {})

    run = saved(write=write)
    assert runs.read_state(run)[1]["step"] == 3
    runs.publish(run, learner(), WORDS, write)
    names = {path.name for path in run.iterdir()}
    assert names == {"checkpoint-3", "latest", "config.json", "reward.safetensors", "SHA256SUMS"}
    assert not (run / "checkpoint-3" / "model.safetensors").exists()
    runs.publish(run, learner(), WORDS)
    assert (run / "model.safetensors").is_file()


def test_a_published_model_is_listed_and_its_weights_come_last(monkeypatch):
    order, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: order.append(Path(new).name) or replace(old, new))
    Path("run").mkdir()
    runs.publish(Path("run"), learner(), WORDS)
    assert order[-2:] == ["SHA256SUMS", "model.safetensors"]
    verify(Path("run"))
    content = bytearray(Path("run/model.safetensors").read_bytes())
    content[-1] ^= 1
    Path("run/model.safetensors").write_bytes(content)
    assert "is not what was saved" in refusal(load_model, "run")


# SHA256SUMS


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "state.json", "state.safetensors"])
def test_every_file_of_a_save_must_be_listed(name):
    sums = saved() / "checkpoint-3" / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if not line.endswith(f"  {name}\n")))
    assert refusal(runs.read_state, Path("run")) == f"{sums}: does not list {name}: the checkpoint is damaged"
    sums.write_text("")
    assert "does not list config.json" in refusal(runs.read_state, Path("run")), "the first of them"
    sums.write_text("".join(lines))
    runs.read_state(Path("run"))


def test_a_file_that_nobody_listed_is_refused_but_the_card_may_change():
    directory = saved() / "checkpoint-3"
    (directory / "README.md").write_text("edited")
    runs.read_state(Path("run"))
    (directory / "more.json").write_text("{}")
    assert "does not list more.json" in refusal(runs.read_state, Path("run"))


def test_sums_are_in_order_and_of_files_alone():
    Path("folder").mkdir()
    names = [f"{letter}.json" for letter in "qwertyuiopasdfghjklzxcvbnm"]
    for name in names:
        Path(name).write_text(name)
    Path("README.md").write_text("for people")
    seal(Path())
    lines = [line.split("  ") for line in Path("SHA256SUMS").read_text().splitlines()]
    assert lines == [[sha256(name), name] for name in sorted(names)]
    seal(Path())
    assert len(Path("SHA256SUMS").read_text().splitlines()) == len(names), "the list does not list itself"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "does not list config.json"),
        (b"\n\n", "line 1: is no checksum and name"),
        (b"\xff\n", "cannot be read"),
        (b"0" * 64 + b"  config.json\nx\n", "line 2: is no checksum and name"),
        (b"0" * 64 + b"  config.json\x0b\n", "line 1: is no checksum and name"),
        (b"0" * 63 + b"  config.json\n", "line 1: is no checksum and name"),
        (b"0" * 64 + b"  ../config.json\n", "line 1: is no checksum and name"),
        (b"0" * 64 + b"  " + b"x" * 256 + b"\n", "line 1: is no checksum and name"),
    ],
)
def test_damaged_sums_are_one_sentence(content, sentence):
    Path("SHA256SUMS").write_bytes(content)
    assert sentence in refusal(verify, Path())


def test_without_sums_nothing_is_checked_and_a_listed_file_must_be_there():
    verify(Path())
    for name in ("config.json", "model.safetensors"):
        Path(name).write_text(name)
    seal(Path())
    verify(Path())
    Path("config.json").unlink()
    assert refusal(verify, Path()) == "config.json: is missing, but SHA256SUMS lists it: the checkpoint is not whole"


def test_a_run_without_a_save_says_what_to_do():
    Path("run").mkdir()
    for place in (Path("run"), Path("nowhere")):
        assert refusal(runs.read_state, place).startswith(f"{place}: holds no save to go on from: train again")


def test_a_save_without_sums_is_not_whole():
    (saved() / "checkpoint-3" / "SHA256SUMS").unlink()
    assert "SHA256SUMS: there is no such file: the checkpoint is not whole" in refusal(runs.read_state, Path("run"))


# The log


def test_what_was_logged_before_a_save_is_checked_and_what_came_after_is_dropped():
    run = Path("run")
    run.mkdir()
    runs.log(run, {"step": 1, "loss": 0.5})
    before = (run / "metrics.jsonl").read_bytes()
    saved()
    runs.log(run, {"step": 4, "loss": 0.4})
    found = runs.load_state(run)
    assert (run / "metrics.jsonl").read_bytes() == before + b'{"step": 4, "loss": 0.4}\n'
    runs.cut_back(run, found.step, found.logged)
    assert (run / "metrics.jsonl").read_bytes() == before
    runs.cut_back(run, 0, None)
    assert (run / "metrics.jsonl").read_bytes() == b"", "a save of version 0.1.0 goes by the steps"
    assert "begins otherwise" in refusal(runs.load_state, run)
    (run / "metrics.jsonl").unlink()
    assert "is gone" in refusal(runs.load_state, run)
    runs.cut_back(run, 3, None)
    assert not (run / "metrics.jsonl").exists(), "there was nothing to drop"


def test_lines_that_are_none_of_ours_are_dropped_by_their_step():
    Path("metrics.jsonl").write_text('{"step": 3}\n{"step": "3"}\n[3]\n{"loss": 1}\n{"step": true}\n{"step": 4}\n{"st')
    runs.cut_back(Path(), 3, None)
    assert Path("metrics.jsonl").read_text() == '{"step": 3}\n'


# A full disk


@pytest.mark.parametrize(
    ("has_save", "remedy"),
    [
        (True, "the last save is whole: make room and go on with --resume run"),
        (False, "nothing is saved yet: make room and train anew"),
    ],
)
def test_a_full_disk_is_one_sentence_that_says_how_to_go_on(has_save, remedy, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if has_save:
        saved()
    Path("run").mkdir(exist_ok=True)
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(runs.logs, "append", full)
    before = sorted(Path("run").rglob("*"))
    for writing in (
        lambda: runs.log(Path("run"), {}),
        lambda: runs.save(Path("run"), 6, learner(), WORDS, {}, []),
        lambda: runs.publish(Path("run"), learner(), WORDS),
    ):
        assert refusal(writing) == f"run: cannot be written to (No space left on device): {remedy}"
        assert sorted(Path("run").rglob("*")) == before


# Where a new run may begin


def test_a_new_run_is_refused_where_something_is():
    saved()
    Path("file").write_text("")
    Path("full").mkdir()
    Path("full/thesis").write_text("")
    for name, said in {
        "run": "--output-dir run: exists and is not empty: choose another, or go on with --resume run",
        "full": "--output-dir full: exists and is not empty: choose another",
        "file": "--output-dir file: is a file: choose another",
    }.items():
        assert refusal(runs.new_run, name, "train") == said
    assert "--output-dir file/below: cannot be made" in refusal(runs.new_run, "file/below", "train")
    Path("locked").mkdir()
    Path("locked/.lock").write_text("")
    assert runs.new_run("locked", "train") == Path("locked")
    assert runs.new_run("new/deep", "train").is_dir()


def test_ten_thousand_runs_are_enough():
    names = [runs.new_run(None, "sft").name for _ in range(3)]
    assert names == ["sft", "sft-2", "sft-3"]
    for i in range(4, 10_000):
        os.mkdir(f"runs/sft-{i}")
    assert "runs holds 9,999 runs: name a new directory" in refusal(runs.new_run, None, "sft")
    Path("here").mkdir()
    os.chdir("here")
    Path("runs").write_text("")
    assert "--output-dir runs: cannot be made" in refusal(runs.new_run, None, "sft")


# Kinds of models, and what a save must hold


def test_a_model_of_the_other_kind_is_named_with_what_to_do():
    Path("reward").mkdir()
    save_model(Path("reward"), unflatten(weights()), 2, WORDS)
    language_model("sft")
    assert refusal(load_model, "sft") == (
        "sft: a language model, which has no rewards, where a reward model is expected: "
        "train a reward model from it with train --init-from sft"
    )
    assert refusal(load_model, "reward", ("unembedding",)) == (
        "reward: a reward model, where a language model is expected"
    )
    assert "head" in load_model("reward")[0]
    assert "unembedding" in load_model("sft", ("unembedding",))[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("activation_function", "relu"), ("layer_norm_epsilon", -1), ("n_inner", 7), ("n_inner", float("nan"))],
)
def test_a_configuration_of_another_function_is_refused(name, value):
    Path("reward").mkdir()
    save_model(Path("reward"), unflatten(weights()), 2, WORDS)
    path = Path("reward", "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(InputError, match=f"config.json: {name} is {value}, where our model has|{name} is 'relu'"):
        load_model("reward")


def test_the_configuration_is_what_transformers_reads():
    common = {
        "model_type": "gpt2",
        "vocab_size": WORDS.vocab_size,
        "n_positions": len(weights()["body.pos.weight"]),
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 2,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "dtype": "float64",
    }
    Path("reward").mkdir()
    save_model(Path("reward"), unflatten(weights()), 2, WORDS, {"tie_model": "davidson", "tie": 0.5})
    reward, language = (json.loads(Path(name, "config.json").read_text()) for name in ("reward", language_model("sft")))
    assert reward | common == reward
    assert language | common == language
    assert reward["architectures"] == ["GPT2ForSequenceClassification"]
    assert (reward["id2label"], reward["label2id"]) == ({"0": "reward"}, {"reward": 0})
    assert (reward["tie_model"], reward["tie"]) == ("davidson", 0.5)
    assert language["architectures"] == ["GPT2LMHeadModel"]
    assert language["tie_word_embeddings"] is False
    assert "id2label" not in language
    assert reward["bos_token_id"] == language["bos_token_id"] == 1


def test_a_run_of_another_command_is_not_resumed():
    run = saved()
    reference = {f"reference.{name}": array for name, array in weights().items()}
    copies = ("first", "second", "reference")
    assert refusal(runs.load_state, run, copies) == (
        "--resume run: was made by sft or train: resume it with that command"
    )
    path = run / "checkpoint-3" / "state.safetensors"
    write_arrays(path, read_arrays(path) | reference)
    seal(path.parent)
    assert refusal(runs.load_state, run) == "--resume run: was made by dpo: resume it with that command"
    assert runs.load_state(run, copies).arrays.keys() >= reference.keys()


@pytest.mark.parametrize("best", [False, True])
def test_a_learned_tie_parameter_belongs_to_every_copy(best):
    run = saved()
    change_state(run, options={"ties": "davidson"})
    path = run / "checkpoint-3" / "state.safetensors"
    arrays = read_arrays(path)
    scalars = {f"{copy}.raw_tie": np.zeros(()) for copy in ("tie", "tie_first", "tie_second")}
    if best:
        arrays |= {f"best.{name}": array for name, array in weights().items()}
        scalars["best.tie.raw_tie"] = np.zeros(())
    for left_out in (None, *scalars):
        write_arrays(path, arrays | {name: array for name, array in scalars.items() if name != left_out})
        seal(path.parent)
        if left_out:
            assert "does not fit model.safetensors" in refusal(runs.load_state, run)
        else:
            assert runs.load_state(run).arrays.keys() >= scalars.keys()


def test_arrays_that_are_missing_or_too_large_are_one_sentence(monkeypatch):
    assert refusal(read_arrays, Path("no.safetensors")) == (
        "no.safetensors: there is no such file: the checkpoint is not whole"
    )
    os.mkfifo("pipe")
    assert "pipe: is a pipe or a device" in refusal(read_arrays, Path("pipe"))
    write_arrays(Path("some.safetensors"), {"a": np.zeros(1000)})
    monkeypatch.setattr("numpy_ref.cli.memory.free", lambda: 1000)
    assert "some.safetensors needs 0.0 GB of memory" in refusal(read_arrays, Path("some.safetensors"))

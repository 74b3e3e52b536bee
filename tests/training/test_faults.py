"""A full disk, a flipped bit, two runs in one place: each is one sentence; nothing is lost, nothing wrong is used."""

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running import PACKAGES, ROOT, TINY, is_one_sentence, numbers, run, same_files, start, write_rows
from safetensors.numpy import load_file, save_file

from numpy_ref import files
from numpy_ref.cli import main
from numpy_ref.data import reader
from numpy_ref.errors import LONGEST, InputError
from numpy_ref.storage import run as runs
from numpy_ref.storage.checkpoint import load_model
from numpy_ref.storage.checksums import seal
from numpy_ref.storage.lock import alone
from numpy_ref.training import command

BOTH = pytest.mark.parametrize("package", PACKAGES)
NAMES = [
    "config.json",
    "model.safetensors",
    "state.json",
    "state.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
]


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Work in an empty directory; six steps, saved after every second"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    data = write_rows(tmp_path / "rows.jsonl", numbers(30))
    return [
        *TINY,
        "--data",
        data,
        "--max-length",
        "32",
        "--max-steps",
        "6",
        "--save-steps",
        "2",
        "--logging-steps",
        "4",
    ]


@pytest.fixture
def stopped(options, monkeypatch):
    """A run that ended after its save of step 2, with two steps not logged yet"""
    with monkeypatch.context() as patch:
        loop = command.loop
        patch.setattr(command, "loop", lambda job: loop(replace(job, total_steps=2)) or True)
        assert run("numpy_ref", "train", *options, "--output-dir", "stopped") == 130
    return Path("stopped")


def refused(capsys, *argv, package="numpy_ref"):
    """The one sentence of a command that ends with status 2"""
    capsys.readouterr()
    assert run(package, *argv) == 2
    error = capsys.readouterr().err.replace("\r", "\n").rpartition("\npython")[2].rpartition(" error: ")[2]
    assert is_one_sentence(error), error
    return error


# Checksums


def flip_last_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_anywhere_in_a_save_is_refused_and_named(name, stopped, capsys):
    path = stopped / "checkpoint-2" / name
    flip_last_bit(path)
    sentence = refused(capsys, "train", "--resume", "stopped")
    assert sentence.startswith(f"{path}: is not what was saved")
    path.unlink()
    assert refused(capsys, "train", "--resume", "stopped").startswith(f"{path}: is missing")


def without_line(name):
    return lambda path: path.write_text(
        "".join(f"{line}\n" for line in path.read_text().splitlines() if name not in line)
    )


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (Path.unlink, "there is no such file"),
        (lambda path: path.write_bytes(b""), "does not list config.json"),
        (without_line("state.safetensors"), "state.safetensors"),
        (lambda path: path.write_bytes(path.read_bytes()[:30]), "is no checksum"),
        (lambda path: path.write_bytes(path.read_bytes() + b"\xff"), "cannot be read"),
        (lambda path: path.write_text(f"{'0' * 64}  ../latest\n"), "line 1: is no checksum"),
    ],
)
def test_damaged_checksums_are_refused(damage, sentence, stopped, capsys):
    path = stopped / "checkpoint-2" / "SHA256SUMS"
    damage(path)
    said = refused(capsys, "train", "--resume", "stopped")
    assert said.startswith(str(path))
    assert sentence in said


def test_a_finished_model_is_checked_where_it_has_checksums_and_read_where_it_has_none(options, capsys):
    assert run("numpy_ref", "train", *options, "--output-dir", "done") == 0
    weights = Path("done", "model.safetensors")
    listed = [line.split("  ")[1] for line in Path("done", "SHA256SUMS").read_text().splitlines()]
    assert listed == sorted(set(NAMES) - {"state.json", "state.safetensors"})
    flip_last_bit(weights)
    assert refused(capsys, "score", "--model", "done", "1", "2").startswith(f"{weights}: is not what was saved")
    Path("done", "SHA256SUMS").unlink()
    load_model("done")


def test_the_system_reads_our_checksums(stopped):
    if not shutil.which("sha256sum"):
        pytest.skip("this system has no sha256sum")
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=stopped / "checkpoint-2", check=True)


# What a save says, checksum right and content wrong


def rewrite(stopped, change):
    path = stopped / "checkpoint-2" / "state.json"
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    seal(path.parent)


WRONG = {
    "seed": ["0", -1, 1.5, None, True, [0]],
    "learning_rate": ["0.005", -1.0, float("nan"), float("inf"), None, {}],
    "loss": ["kwize", 1, None, ["pairwise"]],
    "ties": [["drop"], {}, False],
    "max_steps": [0, "6", 6.0],
    "batch_size": [0, "8", None, 8.5],
    "data": [3, ["rows.jsonl"], True],
    "run": ["print"],
    "resume": ["elsewhere"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_recorded_option_that_no_command_line_gives_is_refused(name, value, stopped, capsys):
    rewrite(stopped, lambda state: state["options"].update({name: value}))
    sentence = refused(capsys, "train", "--resume", "stopped")
    assert repr(name) in sentence
    assert "the checkpoint is damaged" in sentence


RECORD = {
    "loss": 0.7,
    "rewards": [[1.0, 2.0]],
    "labels": [[1, 2]],
    "grad_norm": 1.0,
    "learning_rate": 0.1,
    "epoch": 0.5,
}


@pytest.mark.parametrize(
    "record",
    [
        7,
        {},
        RECORD | {"loss": "x"},
        RECORD | {"epoch": None},
        RECORD | {"rewards": [[1.0], [2.0, 3.0]]},
        RECORD | {"labels": [1, 2]},
        RECORD | {"rewards": [1.0, 2.0], "labels": [1, 2]},
        RECORD | {"labels": [[1, 2, 3]]},
        RECORD | {"rewards": [], "labels": []},
    ],
)
def test_steps_that_were_no_steps_are_refused(record, stopped, capsys):
    rewrite(stopped, lambda state: state.update(unlogged=[record]))
    assert '"unlogged"' in refused(capsys, "train", "--resume", "stopped")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(step=-1),
        lambda state: state.update(step=7),
        lambda state: state["options"].update(max_length=33),
        lambda state: state["machine"].update(package="\x1b[2J"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change, stopped, capsys):
    rewrite(stopped, change)
    assert "the checkpoint is damaged" in refused(capsys, "train", "--resume", "stopped")


def test_moments_of_another_type_than_the_weights_are_refused(stopped, capsys):
    path = stopped / "checkpoint-2" / "state.safetensors"
    save_file({name: array.astype(np.float64) for name, array in load_file(path).items()}, path)
    seal(path.parent)
    assert "does not fit model.safetensors" in refused(capsys, "train", "--resume", "stopped")


@pytest.mark.parametrize("line", ['{"step": "2"}', '{"step": null}', "[" * 5000, "7", '{"step": 1.5}'])
def test_lines_of_the_log_that_are_none_are_dropped(line, stopped):
    with open(stopped / "metrics.jsonl", "a") as file:
        file.write(line + "\n")
    assert run("numpy_ref", "train", "--resume", "stopped") == 0
    assert line not in (stopped / "metrics.jsonl").read_text().splitlines()


# A full disk


def full(function, n):
    """The function, whose n-th call and all later ones find the disk full"""
    calls = []

    def limited(*arguments):
        calls.append(1)
        if len(calls) >= n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*arguments)

    return limited


@pytest.mark.parametrize(("name", "n"), [("write_arrays", 2), ("write_json", 2), ("seal", 2), ("write_text", 2)])
def test_a_full_disk_leaves_the_last_save_and_one_sentence(name, n, options, monkeypatch, capsys):
    assert run("numpy_ref", "train", *options, "--output-dir", "whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(runs, name, full(getattr(runs, name), n))
        sentence = refused(capsys, "train", *options, "--output-dir", "full")
    assert sentence == (
        "full: cannot be written to (No space left on device): the last save is whole: make room and go on with "
        "--resume full\n"
    )
    assert Path("full", "latest").read_text() == "checkpoint-2"
    assert not any(Path("full").glob(".*.new"))
    assert run("numpy_ref", "train", "--resume", "full") == 0
    assert same_files("whole", "full", ["model.safetensors", "metrics.jsonl", "checkpoint-6/state.safetensors"])


def test_a_disk_that_is_full_from_the_start(options, monkeypatch, capsys):
    monkeypatch.setattr(runs, "write_arrays", full(None, 1))
    assert "nothing is saved yet: make room and train anew" in refused(
        capsys, "train", *options, "--output-dir", "full"
    )


# Two runs in one place


def test_a_run_that_is_running_is_not_resumed_nor_begun_again(stopped, options, capsys):
    with alone(stopped):
        held = "another process is training in this directory (it holds stopped/.lock)"
        assert refused(capsys, "train", "--resume", "stopped").startswith(f"stopped: {held}")
        assert "exists and is not empty" in refused(capsys, "train", *options, "--output-dir", "stopped")
    Path("begun").mkdir()
    with alone(Path("begun")):
        assert refused(capsys, "train", *options, "--output-dir", "begun").startswith("begun: another process")
    for argv in (["--resume", "stopped"], [*options, "--output-dir", "begun"]):
        assert run("numpy_ref", "train", *argv) == 0


def test_a_run_that_came_and_went_before_the_lock_was_ours(options, monkeypatch, capsys):
    @contextmanager
    def late(directory, writes):
        assert writes
        (directory / "metrics.jsonl").write_text("{}\n")
        yield

    monkeypatch.setattr(command, "alone", late)
    assert "exists and is not empty" in refused(capsys, "train", *options, "--output-dir", "met")
    assert Path("met", "metrics.jsonl").read_text() == "{}\n"


def test_of_two_runs_without_a_name_each_makes_its_own(options, monkeypatch):
    mkdir, taken = Path.mkdir, []

    def late(path, *arguments, **named):
        if path.name == "train" and not taken:
            taken.append(mkdir(path))
        return mkdir(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", late)
    assert runs.new_run(None, "train") == Path("runs", "train-2")
    assert options


def test_a_process_that_writes_nothing_needs_no_lock(tmp_path):
    with alone(tmp_path), alone(tmp_path, writes=False), pytest.raises(InputError, match="another process"):
        alone(tmp_path).__enter__()
    with alone(tmp_path):
        pass


# What is said


def test_every_message_is_one_printable_line():
    assert str(InputError("a\nb\0\ud800\x1b")) == r"a\nb\x00\ud800\x1b"
    long = str(InputError("start" + "x" * 10_000 + "end"))
    assert long.startswith("start")
    assert long.endswith("end")
    assert len(long) < LONGEST + 10
    assert is_one_sentence(long)


def test_a_name_that_no_encoding_can_write_is_shown_all_the_same(options, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.jsonl"
    shutil.copy(tmp_path / "rows.jsonl", name)
    options[options.index("--data") + 1] = os.fsdecode(name)
    process = start("numpy_ref", "train", *options, "--output-dir", "named")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert r"caf\udce9.jsonl" in out


def test_ctrl_c_while_options_are_read_is_no_traceback(capsys):
    def interrupted(_parser):
        raise KeyboardInterrupt

    assert main.main("program", {"train": ("", lambda: (interrupted, None))}, ["train"]) == 130
    assert capsys.readouterr().err == "\nprogram: interrupted\n"


# Archives that swell


def test_a_small_archive_may_not_unpack_to_much(tmp_path, monkeypatch):
    import gzip

    path = tmp_path / "rows.jsonl.gz"
    row = b'{"chosen": "a", "rejected": "b"}\n'
    path.write_bytes(gzip.compress(row * 1000))
    size = path.stat().st_size
    assert 100 * size < 33_000, "it swells"
    assert len(reader.read_preferences(path)) == 1000, "below 16 MiB a file may"
    monkeypatch.setattr(files, "MAX_UNPACKED", 2000)
    line = 100 * size // len(row) + 1
    with pytest.raises(InputError, match=f"line {line}: unpacks to more than {100 * size} bytes .* unpack it first"):
        reader.read_preferences(path)


# In earnest: signals, limits of the kernel, torchrun


def script(name, *argv):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "faults" / name), *argv],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@BOTH
def test_runs_ended_at_random_moments(package):
    counts = ["--kills", "5", "--interrupts", "2", "--disks", "2", "--starts", "2"]
    assert "SIGKILL" in script("kill.py", "--package", package, *counts)


@pytest.mark.slow
def test_a_job_whose_worker_is_killed():
    assert "rank 0" in script("workers.py", "--kills", "1")

"""What does not fit into memory is refused in advance; the limit is free memory, or what a control group has left."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from running import ROOT, is_one_sentence, numbers, run, start, write_rows

from numpy_ref.cli import memory
from numpy_ref.errors import InputError
from numpy_ref.evaluation.score import standardised


@pytest.fixture
def system(tmp_path, monkeypatch):
    """The files by which Linux describes memory: system(meminfo, cgroup, {file: content})"""

    def make(meminfo, group, limits):
        for name, content in {"meminfo": meminfo, "cgroup": group, **limits}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
        monkeypatch.setattr(memory, "GROUP", tmp_path / "cgroup")
        monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")

    return make


MEMINFO = "MemTotal:  9 kB\nMemAvailable:     4000 kB\n"


@pytest.mark.parametrize(
    ("meminfo", "group", "limits", "free"),
    [
        (MEMINFO, "", {}, 4_096_000),
        (MEMINFO, "0::/a/b\n", {"groups/a/memory.max": "3000000\n", "groups/a/memory.current": "1000000\n"}, 2_000_000),
        (MEMINFO, "0::/a\n", {"groups/a/memory.max": "max\n", "groups/a/memory.current": "1000000\n"}, 4_096_000),
        (MEMINFO, "0::/\n", {"groups/memory.max": "10\n", "groups/memory.current": "20\n"}, 0),
        (
            MEMINFO,
            "5:cpu:/\n4:memory:/gone\n",
            {"groups/memory/memory.limit_in_bytes": "700\n", "groups/memory/memory.usage_in_bytes": "200\n"},
            500,
        ),
        ("", "", {}, float("inf")),
    ],
)
def test_what_is_free(system, meminfo, group, limits, free):
    system(meminfo, group, limits)
    assert memory.free() == free


def test_a_system_that_does_not_say(tmp_path, monkeypatch):
    for name in ("MEMINFO", "GROUP", "GROUPS"):
        monkeypatch.setattr(memory, name, tmp_path / "nowhere")
    memory.check(10**30, "everything", "no")


def test_more_than_is_free_is_one_sentence(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 10**9)
    memory.check(10**9, "it", "less")
    with pytest.raises(InputError, match=r"it needs 4\.7 GB of memory, and 1\.0 GB are free: take less"):
        memory.check(4_700_000_000, "it", "take less")
    with pytest.raises(InputError, match="more than a billion GB"):
        memory.check(10**400, "it", "take less")


@pytest.mark.parametrize("package", ["numpy_ref", "torch_impl"])
@pytest.mark.parametrize(
    "options",
    [
        ["--max-length", "2147483647"],
        ["--n-embd", "100000"],
        ["--n-layer", "100000000"],
        ["--data", "ids.jsonl"],
    ],
)
def test_a_model_that_does_not_fit_is_refused(package, options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "free", lambda: 64 * 10**9)
    data = ["--data", write_rows(tmp_path / "rows.jsonl", numbers(4))] if "--data" not in options else []
    write_rows(tmp_path / "ids.jsonl", [{"chosen_ids": [2_000_000_000], "rejected_ids": [1]}])
    assert run(package, "train", *data, *options, "--output-dir", "out") == 2
    said = capsys.readouterr().err
    assert is_one_sentence(said)
    assert "64.0 GB are free: choose a smaller" in said
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("times", "room", "said"),
    [
        (1, 100_000, "line 1: the report on the 1,770 comparisons up to here"),
        (2, 500_000, "what comes of 3,540 comparisons of answers that are given again"),
    ],
)
def test_a_list_of_too_many_comparisons_is_refused(times, room, said, tmp_path, monkeypatch, capsys):
    rows = [{"responses": [f"text {i}" for i in range(60)], "scores": list(range(60))}] * times
    path = write_rows(tmp_path / "one.jsonl", rows)
    assert run("numpy_ref", "report", path) == 0
    monkeypatch.setattr(memory, "free", lambda: room)
    capsys.readouterr()
    assert run("numpy_ref", "report", path) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.endswith("report on a part of the rows\n")


REPORT_AND_PEAK = """
import re, sys, time
from numpy_ref.__main__ import COMMANDS
from numpy_ref.cli.main import main
main("report", COMMANDS, ["report", sys.argv[1]])
print(time.process_time(), re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
def test_a_list_of_three_thousand_responses_takes_seconds_and_little_memory(tmp_path):
    """4.5 million comparisons took 1.4 s and 190 MB; as Python objects they took 45 s and 1.1 GB"""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["cat", "dog", "a", "the"], rng.integers(3, 80))) for _ in range(3000)]
    path = write_rows(tmp_path / "one.jsonl", [{"responses": texts, "scores": list(range(3000))}])
    command = [sys.executable, "-c", REPORT_AND_PEAK, path]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    assert re.search(r"comparisons +4,498,500\n", done.stdout)
    seconds, peak = (float(number) for number in done.stdout.split()[-2:])
    assert seconds < 10
    assert peak < 300_000, "kB"


@pytest.mark.parametrize("numbers", [{"reward_std": 10**400}, {"reward_mean": -(10**400)}])
def test_a_number_that_no_float_holds(numbers):
    with pytest.raises(InputError, match="expected a number and one above 0") as error:
        standardised(None, json.loads(json.dumps(numbers)))
    assert len(str(error.value)) < 200, "not all of its digits"


@pytest.mark.parametrize("argv", [["train", "--data"], ["report"], ["fit"]])
def test_a_pipe_is_refused_at_once(argv, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.jsonl")
    assert run("numpy_ref", *argv, "pipe.jsonl") == 2
    assert "pipe.jsonl: is a pipe or a device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("margin", "options", "advice"),
    [(1e300, [], "margins in the data"), (0.0, ["--learning-rate", "1e30"], "lower --learning-rate")],
)
def test_no_warning_stands_beside_the_sentence_and_the_advice_fits(margin, options, advice, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", [row | {"margin": margin} for row in numbers(20)])
    small = ["--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--max-steps", "3", "--max-length", "32"]
    process = start("numpy_ref", "train", "--data", data, *small, *options, "--output-dir", str(tmp_path / "out"))
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 2
    lines = [line for part in said.split("\n") for line in part.split("\r") if line and "training:" not in line]
    assert len(lines) == 1, said
    assert advice in lines[0]

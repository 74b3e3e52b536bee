"""Two writers at once, one of them killed: a share of what tests/faults/writers.py and tests/faults/course.py do."""

import subprocess
import sys

import pytest
from running import ROOT

# Twenty moments, or as many as take a minute at most on two busy cores: 20 of fit took 95 s, of normalize 72 s and of
# a figure 350 s, the others 23 to 54 s. The scripts themselves make 20 of each.
MOMENTS = {"score": 20, "evaluate": 20, "report": 20, "report --figure": 3, "fit": 12, "normalize": 16, "train": 20,
           "sft": 20, "build": 20, "grade": 20}  # fmt: skip
REFUSED = {"score", "normalize", "train", "sft"}  # that work for long: a second writer is told so at its start


def script(name, *options):
    """What a script of tests/faults says where nothing fails"""
    command = [sys.executable, f"tests/faults/{name}", "--seed", "18", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", MOMENTS)
def test_two_writers_at_once_leave_a_whole_file(command):
    said = script("writers.py", "--moments", str(MOMENTS[command]), "--only", command)
    assert ("is refused in one sentence" in said) == (command in REFUSED)


@pytest.mark.slow
def test_a_killed_grader_and_a_killed_build_leave_whole_files_and_two_graders_are_kept_apart():
    pytest.importorskip("jupytext", reason="the extra notebooks is not installed")
    said = script("course.py", "--moments", "2")  # a minute
    assert "two tables: both are whole" in said

"""Two writers at once, one of them killed: a share of what tests/faults/writers.py does."""

import subprocess
import sys

import pytest
from running import ROOT


@pytest.mark.slow
def test_two_writers_at_once_leave_a_whole_file():
    command = [sys.executable, "tests/faults/writers.py", "--moments", "2", "--seed", "18"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is refused in one sentence" in done.stdout

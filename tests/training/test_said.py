"""What a training says at its end: the held-out scores beside what they can be compared with."""

import math
from pathlib import Path

import pytest
from running import PACKAGES, TINY, numbers, run, write_rows

SHORT = [*TINY, "--max-length", "40", "--data", "rows.jsonl", "--eval-data", "held.jsonl", "--output-dir", "run"]
BOTH = pytest.mark.parametrize("package", PACKAGES)


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(Path("rows.jsonl"), numbers(20))
    write_rows(Path("held.jsonl"), numbers(6, seed=1))


@BOTH
def test_the_held_out_scores_are_said_beside_the_baseline(package, capsys):
    assert run(package, "train", *SHORT, "--max-steps", "1") == 0
    said = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("held-out  ")]
    assert said[-3:] == [["held-out", "accuracy"], ["held-out", "log"], ["held-out", "Brier"]]


def test_a_language_model_is_compared_with_one_that_knows_nothing(capsys):
    assert run("numpy_ref", "sft", *SHORT, "--max-steps", "1") == 0
    assert f"; {math.log(260):.4f} and 260 for a model that knows nothing\n" in capsys.readouterr().out

"""Damaged files are read or refused in one sentence: every file that ever failed, and a thousand new ones."""

import subprocess
import sys

import pytest
from faults import fuzz
from running import ROOT


def test_every_file_that_ever_failed_is_read_or_refused():
    paths = sorted(fuzz.EXAMPLES.iterdir())
    assert paths
    with fuzz.workshop() as folder:
        found = {path.name: fuzz.replay(folder, path) for path in paths}
    assert {name: what for name, what in found.items() if what not in ("read", "refused")} == {}


def test_what_is_not_changed_is_read():
    """Unchanged files are read; otherwise refusing every mutant would prove nothing"""
    with fuzz.workshop() as folder:
        for rows in fuzz.PREFERENCES:
            for ending, form in fuzz.FORMS.items():
                for kind in ("preferences", "report", "score"):
                    expected = "refused" if kind == "score" and rows == fuzz.IDS else "read"  # by a model of texts
                    assert fuzz.outcome(folder, kind, f"rows{ending}", form(rows)) == expected, (kind, ending, rows)
        for name in fuzz.NAMES:
            assert fuzz.outcome(folder, "preferences", f"{name}.jsonl", fuzz.jsonl(fuzz.TEXTS)) == "read"
        for number, content in enumerate(fuzz.TABLES):
            assert fuzz.outcome(folder, "table", f"{number}/rows.csv", content.encode()) == "read", content
        for kind in fuzz.KINDS:
            for judge, name in [
                ("resume", "checkpoint-3/state.json"),
                ("unsealed", "latest"),
                ("model", "config.json"),
                ("sealed", "config.json"),
            ]:
                place = folder / (f"{kind}-{judge}" if judge in ("model", "sealed") else kind)
                assert fuzz.outcome(folder, judge, f"{kind}/{name}", (place / name).read_bytes()) == "read"


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (KeyError("x"), "FAILED: Traceback"),
        (MemoryError(), "FAILED: more than 1 GB"),
        (fuzz.InputError("two lines\nin one sentence"), "refused"),
    ],
)
def test_the_judge_notices(error, found, monkeypatch):
    def broken(_path):
        raise error

    monkeypatch.setattr(fuzz, "read_preferences", broken)
    with fuzz.workshop() as folder:
        assert fuzz.outcome(folder, "preferences", "rows.jsonl", b"{}").startswith(found)


def test_the_judge_notices_what_never_ends(monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.05)

    def endless(_path):
        while True:
            pass

    monkeypatch.setattr(fuzz, "read_preferences", endless)
    with fuzz.workshop() as folder:
        assert "more than 0.05 s" in fuzz.outcome(folder, "preferences", "rows.jsonl", b"{}")


@pytest.mark.slow
def test_a_thousand_files_gone_wrong():
    """The script tests a hundred thousand, and archives that unpack to much"""
    argv = ["--first", "6", "--cases", "1000", "--seed", "365"]
    script = ROOT / "tests" / "faults" / "fuzz.py"
    done = subprocess.run([sys.executable, str(script), *argv], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1,000 cases" in done.stdout

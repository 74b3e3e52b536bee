"""The README says what is true today: every block runs, every path exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.M | re.S)
INSTALLING = [body for language, body in BLOCKS if language == "sh" and "pip install" in body]


def test_the_installing_commands_are_the_two_that_ci_runs():
    lines = [line for body in INSTALLING for line in body.splitlines()]
    assert len(lines) == 2
    assert all(re.match(r"pip install .* && ", line) for line in lines)  # as .ci/run looks for them
    assert "grep -E '^pip install .* && ' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """An empty directory, and an environment in which `python` is this one and finds the packages"""
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return {"cwd": tmp_path_factory.mktemp("readme"), "env": env}


@pytest.mark.parametrize(("language", "body"), [block for block in BLOCKS if block[1] not in INSTALLING])
def test_the_block_runs(language, body, elsewhere):
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}[language]
    done = subprocess.run([*command, body], **elsewhere, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_and_rooms_that_it_names_exist():
    for path in re.findall(r"`((?:numpy_ref|torch_impl|tests|notebooks|\.ci)/[\w/.-]+)`", README):
        assert (ROOT / path).exists() or path.endswith("/x.py"), path  # x.py stands for any room
    house = README.split("## The house")[1].split("```")[1]
    for folder in re.findall(r"(\w+)/ ", house):
        assert (ROOT / "numpy_ref" / folder).is_dir(), folder
    for module in re.findall(r"^((?:\w+ )+) {3,}", house, re.M):
        assert all((ROOT / "numpy_ref" / f"{name}.py").exists() for name in module.split()), module
    for image in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / image).is_file()

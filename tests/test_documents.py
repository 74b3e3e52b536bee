"""The README and the guide tell the truth: every command and example runs in order, and every named file exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
START = ROOT / "notebooks" / "start.md"
GUIDE = sorted((ROOT / "notebooks" / "guide").glob("*.md"))
PAGES = [pytest.param(page, id=page.stem, marks=pytest.mark.slow) for page in [README, *GUIDE]]


def blocks(page):
    """(language, body) of the blocks that a reader would run, except installing ones, which .ci/run runs"""
    found = re.findall(r"^```(sh|python)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [(language, body) for language, body in found if "pip install" not in body]


def test_the_installing_commands_are_the_two_that_ci_runs():
    lines = re.findall(r"^pip install .*$", README.read_text(encoding="utf-8"), re.M)
    assert len(lines) == 2
    assert all(re.match(r"pip install .* && ", line) for line in lines)  # as .ci/run looks for them
    assert "grep -E '^pip install .* && ' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_in_order_in_an_empty_directory(page, tmp_path):
    """`python` is this interpreter, COURSE the checkout; each block finds what the ones before left behind"""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    place = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT), "PATH": path, "COURSE": str(ROOT)}}
    found = blocks(page)
    assert found or page.stem in ("claims", "building", "pretrained")  # prose and tables alone
    for language, body in found:
        command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}[language]
        done = subprocess.run([*command, body], **place, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", [README, START, *GUIDE], ids=lambda page: page.stem)
def test_the_files_that_it_names_and_links_exist(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:numpy_ref|torch_impl|tests|notebooks|\.ci)/[\w/.-]+)`", text):
        assert (ROOT / path).exists() or path.endswith("/x.py"), path  # x.py stands for any file
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_the_readme_fits_in_120_lines_and_its_tree_is_the_house():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    tree = text.split("## The house")[1].split("```")[1]
    for folder in re.findall(r"(\w+)/ ", tree):
        assert (ROOT / "numpy_ref" / folder).is_dir(), folder
    for row in re.findall(r"^((?:\w+ )+) {3,}", tree, re.M):
        assert all((ROOT / "numpy_ref" / f"{name}.py").exists() for name in row.split()), row
    named = set(re.findall(r"\w+", tree))
    missing = {path.stem for path in (ROOT / "numpy_ref").iterdir() if not path.name.startswith(("_", "py."))} - named
    assert not missing, f"the tree lacks {sorted(missing)}"


def test_the_map_of_the_start_page_has_every_lesson_with_its_times():
    """Title, minutes of reading and minutes of the exercises are those that the lesson states"""
    rows = re.findall(r"^\| \[(.*)\]\((\w+)\.ipynb\) \| (\d+) \| (\d+) \|", START.read_text(encoding="utf-8"), re.M)
    lessons = sorted((ROOT / "notebooks" / "lessons").glob("[0-9]*.py"))
    assert [stem for _, stem, *_ in rows] == [path.stem for path in lessons]
    for (title, _, reading, solving), path in zip(rows, lessons, strict=True):
        text = path.read_text(encoding="utf-8")
        assert text.splitlines()[1] == f"# # {title}"
        assert re.search(r"Reading takes about (\d+) minutes", text)[1] == reading
        exercises = re.findall(r"^# ### Exercise [\d.]+ ★.* · (\d+) minutes", text, re.M)
        assert sum(map(int, exercises)) == int(solving) or path.stem == "13_capstone"

"""The course: every lesson runs, says what it proves, and its exercises can be solved and graded."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # kernels are started, and the notebooks extra is needed
pytest.importorskip("jupytext", reason="the extra notebooks is not installed")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

import nbformat  # noqa: E402

import build  # noqa: E402
import grade  # noqa: E402
from numpy_ref.check.cell import full_marks  # noqa: E402
from numpy_ref.errors import InputError  # noqa: E402

LESSONS = build.sources()
NAMES = [path.stem for path in LESSONS]
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=NAMES)


@pytest.fixture(scope="module")
def executed():
    """{path: (the notebook as written, seconds)}, each lesson run at most once"""
    done = {}

    def run(path):
        if path not in done:
            start = time.monotonic()
            done[path] = nbformat.writes(build.execute(build.read_lesson(path), path.stem)), time.monotonic() - start
        return done[path]

    return run


# ---------------------------------------------------------------- every lesson


@every_lesson
def test_a_lesson_runs_from_a_clean_kernel_in_under_90_seconds(path, executed):
    _, seconds = executed(path)
    assert seconds < 90


@pytest.mark.parametrize("path", LESSONS[::4], ids=NAMES[::4])  # what could differ is the builder's, not a lesson's
def test_the_same_lesson_gives_the_same_bytes(path, executed):
    again = build.execute(build.read_lesson(path), path.stem)
    assert nbformat.writes(again) == executed(path)[0]


@every_lesson
def test_an_untouched_exercise_notebook_runs_from_top_to_bottom_and_has_no_points(path):
    notebook = build.read_lesson(path)
    if build.exercises_of(notebook):
        build.execute(build.stripped(notebook, path.stem), path.stem, solved=False)


@every_lesson
def test_outputs_hold_no_address_no_path_and_no_traceback(path, executed):
    pictures = r'"image/png": "[^"]*"|base64,[\w+/=]*'  # in whose letters any pattern may stand
    written = re.sub(pictures, "", executed(path)[0])
    for pattern in (r"0x[0-9a-f]{6}", re.escape(str(ROOT)), "Traceback", "Warning:"):
        assert not re.search(pattern, written), pattern


def test_the_committed_notebooks_are_those_of_the_lessons():
    assert build.stale() == []


def test_every_badge_and_every_lesson_has_its_file():
    files = list((ROOT / "notebooks").glob("*.ipynb")) + list((ROOT / "notebooks" / "exercises").glob("*.ipynb"))
    assert len(files) >= len(LESSONS)
    for file in files:
        first = nbformat.read(file, as_version=4).cells[0].source
        assert f"{build.REPOSITORY}/blob/main/{file.relative_to(ROOT).as_posix()})" in first


def test_lessons_are_numbered_and_titled_alike():
    for path in LESSONS:
        title, number = build.read_lesson(path).cells[2].source, path.stem.split("_")[0].lstrip("0")  # 4, or 6a
        assert title.startswith(f"# {number} · "), path


# ---------------------------------------------------------------- exercises


@every_lesson
def test_the_students_notebook_holds_no_solution_and_no_output(path):
    notebook = build.read_lesson(path)
    student = build.stripped(notebook, path.stem)
    for cell, shown in zip(notebook.cells, student.cells, strict=True):
        if solution := build.SOLUTION.search(cell.source):
            lines = [line.strip() for line in solution[0].splitlines()[1:-1]]
            assert not set(lines) & {line.strip() for line in shown.source.splitlines()}
            assert "raise NotImplementedError" in shown.source
            assert compile(shown.source, "stub", "exec")
        assert "SOLUTION" not in shown.source
        assert not shown.get("outputs")
        assert shown.id == cell.id


@every_lesson
def test_exercises_carry_nbgraders_metadata(path):
    student = build.stripped(build.read_lesson(path), path.stem)
    nbformat.validate(student)
    graded = [cell.metadata["nbgrader"] for cell in student.cells if "nbgrader" in cell.metadata]
    assert len({about["grade_id"] for about in graded}) == len(graded)
    assert [about["solution"] for about in graded] == [True, False] * (len(graded) // 2)
    for about in graded:
        assert about["schema_version"] == 3
        assert about["locked"] == about["grade"] != about["solution"]
        if about["grade"]:
            assert about["points"] == full_marks(about["grade_id"].removeprefix("check-")) > 0


@every_lesson
def test_the_reference_solution_has_full_marks_and_an_untouched_notebook_zero(path, tmp_path):
    wanted = [exercise for exercise in grade.exercises(None) if exercise.lesson == path.stem]
    if not wanted:
        pytest.skip(f"{path.stem} has no exercise")
    notebook = build.read_lesson(path)
    build.write(tmp_path / "reference.ipynb", notebook)
    build.write(tmp_path / "untouched.ipynb", build.stripped(notebook, path.stem))
    results, notes = grade.grade_one(tmp_path / "reference.ipynb", wanted, 60)
    assert [(r.function, r.sentence) for _, r in results if r.status != "passed"] == []
    assert len(results) == sum(exercise.points for exercise in wanted), notes
    results, notes = grade.grade_one(tmp_path / "untouched.ipynb", wanted, 60)
    assert {result.function for _, result in results} == {exercise.name for exercise in wanted}
    assert [result for _, result in results if result.status == "passed"] == [], notes


def test_numbers_of_exercises_follow_the_lessons():
    for exercise in grade.exercises(None):
        assert exercise.number.split(".")[0] == str(int(exercise.lesson[:2]))
    numbers = [exercise.number for exercise in grade.exercises(None)]
    assert len(set(numbers)) == len(numbers)


# ---------------------------------------------------------------- the rules are enforced

GOOD = """# %% [markdown]
# # 1 · Title

# %%
import numpy as np

# %% [markdown]
# ### Exercise 1.1 ★☆☆ · 5 minutes · sigma


# %%
def sigmoid(x):
    ### BEGIN SOLUTION
    return 1 / (1 + np.exp(-x))
    ### END SOLUTION


# %%
check(sigmoid)

# %% [markdown]
# <details><summary>Hint</summary> None. </details>

# %%
assert sigmoid(0) == 0.5
"""


def lesson(folder, source):
    path = folder / "01_title.py"
    path.write_text(source, encoding="utf-8")
    return path


def test_the_pattern_of_a_lesson_is_accepted(tmp_path):
    assert build.exercises_of(build.read_lesson(lesson(tmp_path, GOOD))) == ["sigmoid"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("assert sigmoid(0) == 0.5", "sigmoid(0)", "is the last code cell and must assert something"),
        ("import numpy as np", "x = 1\n" * 11, "has 11 lines; at most 10"),
        ("    ### END SOLUTION\n", "", "needs one BEGIN SOLUTION and one END SOLUTION"),
        ("★☆☆", "***", "must read: ### Exercise"),
        ("5 minutes", "quick", "must read: ### Exercise"),
        ("check(sigmoid)", "check(sigmoid); print(1)", "must be check(sigmoid)"),
        ("check(sigmoid)", "check(tanh)", "must be check(sigmoid)"),
        ("<details>", "<p>", "must be a hint in <details>"),
        ("# # 1 · Title", "# Title", "must be the title"),
        ("# # 1 · Title", "# # 1 · Title\n# One. Two. Three! Four? Five.", "has 5 sentences; at most 4"),
        ("# %%\nassert", "# %%\ncheck(sigmoid)\n\n# %%\nassert", "asks twice for a function of the same name"),
        ("### Exercise 1.1 ★☆☆ · 5 minutes · sigma", "sigma", "opens a lesson of 0 exercises but 1 solutions"),
    ],
)
def test_a_broken_rule_is_named_with_its_cell(tmp_path, old, new, sentence):
    assert old in GOOD
    with pytest.raises(InputError, match=r"01_title\.py: the cell that begins") as caught:
        build.read_lesson(lesson(tmp_path, GOOD.replace(old, new)))
    assert sentence in str(caught.value)


def test_a_cells_id_changes_only_with_the_cell(tmp_path):
    before = build.read_lesson(lesson(tmp_path, GOOD))
    after = build.read_lesson(lesson(tmp_path, GOOD.replace("assert sigmoid(0)", "assert 1 * sigmoid(0)")))
    changed = [a.source for a, b in zip(before.cells, after.cells, strict=True) if a.id != b.id]
    assert changed == ["assert sigmoid(0) == 0.5"]
    assert len({cell.id for cell in before.cells}) == len(before.cells)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lesson, built but not executed"""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "HERE", tmp_path)
    monkeypatch.setattr(build, "LESSONS", tmp_path / "lessons")
    monkeypatch.setattr(build, "EXERCISES", tmp_path / "exercises")
    (tmp_path / "lessons").mkdir()
    path = lesson(tmp_path / "lessons", GOOD)
    for file, notebook, _ in build.products(path):
        build.write(file, notebook)
    assert build.stale() == []
    return tmp_path


@pytest.mark.parametrize("old", ["import numpy as np", "1 / (1 +", "minutes · sigma", "None."])
def test_a_changed_lesson_is_stale_and_named(course, capsys, old):
    lesson(course / "lessons", GOOD.replace(old, old + " "))
    assert build.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "01_title.ipynb" in said
    assert ("exercises" in said) == (old != "1 / (1 +")


def test_a_missing_a_damaged_and_an_orphaned_notebook_are_stale(course):
    (course / "exercises" / "01_title.ipynb").unlink()
    (course / "01_title.ipynb").write_text("{")
    shutil.copy(course / "lessons" / "01_title.py", course / "02_gone.ipynb")
    assert build.stale() == ["01_title.ipynb", "02_gone.ipynb", str(Path("exercises", "01_title.ipynb"))]


def test_a_number_without_a_lesson_is_refused(capsys):
    assert build.main(["--only", "77"]) == 2
    assert "--only 77: no lesson" in capsys.readouterr().err


# ---------------------------------------------------------------- a class

HOSTILE = """import os
import numpy as np
def pairwise_loss_backward(chosen, rejected):
    while True:
        pass
def margin_loss_backward(chosen, rejected, margin):
    os._exit(0)
def smoothed_loss_backward(chosen, rejected, label_smoothing):
    return np.zeros((10**6, 10**6))
def gradient_law(chosen, rejected, dchosen, drejected):
    raise SystemExit("let me out")
"""
HALF = """import numpy as np
def pairwise_loss_backward(chosen, rejected):
    dmargin = 1 / (1 + np.exp(rejected - chosen)) - 1
    return dmargin, -dmargin
"""


def graded(folder, *options):
    command = [sys.executable, ROOT / "notebooks" / "grade.py", folder, "--csv", folder.parent / "grades.csv", *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_class_is_graded_whatever_is_handed_in(tmp_path):
    path = next(path for path in LESSONS if path.stem.startswith("04"))
    notebook = build.read_lesson(path)
    room = tmp_path / "class"
    build.write(room / "ada.ipynb", notebook)
    (room / "bob.py").parent.mkdir(exist_ok=True)
    (room / "bob.py").write_text(HALF)
    build.write(room / "cyn" / path.with_suffix(".ipynb").name, build.stripped(notebook, path.stem))
    (room / "dan.ipynb").write_text('{"cells": [')
    (room / "eve.py").write_text(HOSTILE)
    (room / "fay").mkdir()
    (room / "=gus.py").write_bytes(b"\xff\xfe\x00def")
    made = graded(room, "--lesson", "04", "--seconds", "10", "--jobs", "2")
    assert made.returncode == 0, made.stderr
    lines = [line.split(",") for line in (tmp_path / "grades.csv").read_text().splitlines()]
    assert lines[0][1] == "4.1 pairwise_loss_backward (of 6)"
    points = {line[0]: line[5:7] for line in lines[1:]}
    zero = ["0", "21"]
    assert points == {
        "'=gus": zero,
        "ada": ["21", "21"],
        "bob": ["4", "21"],
        "cyn": zero,
        "dan": zero,
        "eve": zero,
        "fay": zero,
    }
    told = {file.stem: file.read_text() for file in (tmp_path / "feedback").iterdir()}
    assert set(told) == {"=gus", "ada", "bob", "cyn", "dan", "eve", "fay"}
    assert "not a notebook" in told["dan"]
    assert "no such file" in told["fay"]
    assert "not UTF-8" in told["=gus"]
    assert "smallest counterexample found: pairwise_loss_backward(chosen=[37], rejected=[0])" in told["bob"]
    assert "known mistake: the mean over the batch is missing" in told["bob"]
    for words in ("an endless loop?", "ended the interpreter", "asked for more memory", "called exit(let me out)"):
        assert words in told["eve"]


def test_two_lessons_that_ask_for_the_same_function_are_graded_apart(tmp_path):
    wanted = [grade.Exercise("01", "1.1", "one", "sigmoid"), grade.Exercise("02", "2.1", "two", "sigmoid")]
    (tmp_path / "ada").mkdir()
    build.write(tmp_path / "ada" / "02.ipynb", build.read_lesson(lesson(tmp_path, GOOD)))
    results, notes = grade.grade_one(tmp_path / "ada", wanted, 20)
    assert len(notes) == 1
    assert grade.row("ada", wanted, results, [])[1:5] == [0, 5, 5, 10]
    told = grade.feedback("ada", wanted, results, notes)
    assert "Exercise 1.1, one\nsigmoid: 0 of 5 points" in told
    assert "Exercise 2.1, two\nsigmoid: 5 of 5 points" in told


def test_a_submission_that_takes_too_long_in_all_is_ended_with_everything_it_started(tmp_path):
    file, mark = tmp_path / "slow.py", tmp_path / "pid"
    body = f"    open({str(mark)!r}, 'w').write(str(os.getpid()))\n    time.sleep(1000)\n"
    file.write_text("import os, time\ndef pairwise_loss_backward(chosen, rejected):\n" + body)
    results, notes = grade.graded(file, ["04"], 900, 30)
    assert (results, notes) == ([], ["not graded: it took more than 30 s in all"])
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [([], "no submission"), (["ada.py", "ada.ipynb"], "two submissions of one student"), (None, "no such folder")],
)
def test_a_folder_that_cannot_be_graded_is_refused_in_one_sentence(tmp_path, files, sentence):
    room = tmp_path / "class"
    if files is not None:
        room.mkdir()
        for name in files:
            (room / name).write_text("")
    made = graded(room, "--lesson", "04")
    assert made.returncode == 2
    assert made.stderr.startswith("grade: ")
    assert sentence in made.stderr
    assert not (tmp_path / "grades.csv").exists()

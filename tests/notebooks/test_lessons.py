"""The course: every lesson runs, says what it proves, and its exercises can be solved and graded."""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # kernels are started, and the notebooks extra is needed
pytest.importorskip("jupytext", reason="the extra notebooks is not installed")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

import nbformat  # noqa: E402

import build  # noqa: E402
import grade  # noqa: E402
import lesson_files  # noqa: E402
import lesson_rules  # noqa: E402
import lesson_store  # noqa: E402
from lesson_run import execute  # noqa: E402
from numpy_ref.check.cell import full_marks  # noqa: E402
from numpy_ref.check.laws import LAWS  # noqa: E402
from numpy_ref.errors import InputError  # noqa: E402

LESSONS = lesson_files.sources()
NAMES = [path.stem for path in LESSONS]
TRAINING = [path for path in LESSONS if re.search(r"Learner\(|adamw\(", path.read_text(encoding="utf-8"))]
GRADED = [path for path in LESSONS if "\ncheck(" in path.read_text(encoding="utf-8")]  # the capstone has a rubric
NO_TORCH = """import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Missing())"""
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=NAMES)


@pytest.fixture(scope="module")
def executed():
    """{path: (the notebook as written, seconds)}, each lesson run at most once"""
    done = {}

    def run(path):
        if path not in done:
            start = time.monotonic()
            done[path] = nbformat.writes(execute(lesson_files.read_lesson(path), path.stem)), time.monotonic() - start
        return done[path]

    return run


# ---------------------------------------------------------------- every lesson


@every_lesson
def test_a_lesson_runs_from_a_clean_kernel_in_under_90_seconds(path, executed):
    _, seconds = executed(path)
    assert seconds < 90


@pytest.mark.parametrize("path", LESSONS[::4], ids=NAMES[::4])  # what could differ is due to the builder
def test_the_same_lesson_gives_the_same_bytes(path, executed):
    again = execute(lesson_files.read_lesson(path), path.stem)
    assert nbformat.writes(again) == executed(path)[0]


@every_lesson
def test_an_untouched_exercise_notebook_runs_from_top_to_bottom_and_has_no_points(path):
    notebook = lesson_files.read_lesson(path)
    if lesson_files.exercises_of(notebook):
        execute(lesson_files.stripped(notebook, path.stem), path.stem, solved=False)


@every_lesson
def test_outputs_hold_no_address_no_path_and_no_traceback(path, executed):
    pictures = r'"image/png": "[^"]*"|base64,[\w+/=]*'  # any pattern may occur in their letters
    written = re.sub(pictures, "", executed(path)[0])
    for pattern in (r"0x[0-9a-f]{6}", re.escape(str(ROOT)), "Traceback", "Warning:"):
        assert not re.search(pattern, written), pattern


def test_the_committed_notebooks_are_those_of_the_lessons():
    assert build.stale() == []


@every_lesson
def test_the_committed_notebooks_show_what_the_lessons_show_today(path, executed):
    assert_same_texts(nbformat.read(lesson_files.HERE / f"{path.stem}.ipynb", 4), executed(path)[0])


@pytest.mark.parametrize("path", TRAINING, ids=[path.stem for path in TRAINING])
def test_a_machine_that_rounds_otherwise_shows_the_same(path, executed, monkeypatch):
    """With the matrix products of OpenBLAS for a processor of 2011; training multiplies every difference"""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Sandybridge")
    assert_same_texts(execute(lesson_files.read_lesson(path), path.stem), executed(path)[0])


def assert_same_texts(notebook, written):
    """Both show the same words and numbers, cell by cell; the second as it is written to a file"""
    for one, other in zip(notebook.cells, nbformat.reads(written, 4).cells, strict=True):
        assert texts(one) == texts(other), one.source


def texts(cell):
    """What a cell shows in words and numbers: a picture may differ by its renderer, these may not"""
    return [output.get("text") or output.get("data", {}).get("text/plain") for output in cell.get("outputs", [])]


@every_lesson
def test_without_torch_every_cell_runs_that_does_not_import_it(path):
    notebook = lesson_files.read_lesson(path)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_TORCH))
    execute(notebook, path.stem, torch=False)


@every_lesson
def test_links_to_files_of_the_project_lead_somewhere(path):
    for notebook in lesson_files.read_lesson(path), lesson_files.stripped(lesson_files.read_lesson(path), path.stem):
        place = ROOT / "notebooks" / ("exercises" if "../../" in notebook.cells[-2].source else "")
        for cell in notebook.cells:
            for link in lesson_rules.ROOM.findall(cell.source):
                assert (place / link).is_file(), link


def test_the_lesson_comes_first_and_the_badge_last():
    for path in LESSONS:
        notebook = lesson_files.read_lesson(path)
        assert notebook.cells[0].source.startswith("# ")
        assert notebook.cells[1].source == lesson_files.INSTALL
        assert notebook.cells[1].metadata["jupyter"] == {"source_hidden": True}
        page = lesson_files.on_a_page(notebook)
        assert not [cell for cell in page.cells if "colab" in cell.source.lower()]


def test_a_figure_to_take_in_hand_is_stored_as_its_picture_for_pages_without_scripts():
    cells = [cell for name in NAMES for cell in nbformat.read(build.HERE / f"{name}.ipynb", as_version=4).cells]
    outputs = [
        output for cell in cells for output in cell.get("outputs", []) if "explorable" in output.get("metadata", {})
    ]
    stored = {output.metadata["explorable"]: set(output.data) for output in outputs}
    assert stored == {file.name: {"image/png", "text/plain"} for file in lesson_files.LESSONS.glob("*.html")}
    assert stored


def test_every_badge_and_every_lesson_has_its_file():
    files = list((ROOT / "notebooks").glob("*.ipynb")) + list((ROOT / "notebooks" / "exercises").glob("*.ipynb"))
    assert len(files) >= len(LESSONS)
    for file in files:
        last = nbformat.read(file, as_version=4).cells[-1].source
        assert f"{lesson_files.REPOSITORY}/blob/main/{file.relative_to(ROOT).as_posix()})" in last


def test_lessons_are_numbered_and_titled_alike():
    for path in LESSONS:
        title, number = lesson_files.read_lesson(path).cells[0].source, path.stem.split("_")[0].lstrip("0")  # 4, or 6a
        assert title.startswith(f"# {number} · "), path


# ---------------------------------------------------------------- exercises


@every_lesson
def test_the_students_notebook_holds_no_solution_and_no_output(path):
    notebook = lesson_files.read_lesson(path)
    student = lesson_files.stripped(notebook, path.stem)
    for cell, shown in zip(notebook.cells, student.cells, strict=True):
        if solution := lesson_rules.SOLUTION.search(cell.source):
            lines = [line.strip() for line in solution[0].splitlines()[1:-1]]
            assert not set(lines) & {line.strip() for line in shown.source.splitlines()}
            assert "raise NotImplementedError" in shown.source
            assert compile(shown.source, "stub", "exec")
        assert "SOLUTION" not in shown.source
        assert not shown.get("outputs")
        assert shown.id == cell.id


@every_lesson
def test_exercises_carry_nbgraders_metadata(path):
    student = lesson_files.stripped(lesson_files.read_lesson(path), path.stem)
    nbformat.validate(student)
    graded = [cell.metadata["nbgrader"] for cell in student.cells if "nbgrader" in cell.metadata]
    assert len({about["grade_id"] for about in graded}) == len(graded)
    assert [about["solution"] for about in graded] == [True, False] * (len(graded) // 2)
    for about in graded:
        assert about["schema_version"] == 3
        assert about["locked"] == about["grade"] != about["solution"]
        if about["grade"]:
            assert about["points"] == full_marks(about["grade_id"].removeprefix("check-")) > 0


@pytest.mark.parametrize("path", GRADED, ids=[path.stem for path in GRADED])
def test_the_reference_solution_has_full_marks_and_an_untouched_notebook_zero(path, tmp_path):
    wanted = [exercise for exercise in grade.exercises(None) if exercise.lesson == path.stem]
    notebook = lesson_files.read_lesson(path)
    lesson_files.write(tmp_path / "reference.ipynb", notebook)
    lesson_files.write(tmp_path / "untouched.ipynb", lesson_files.stripped(notebook, path.stem))
    results, notes = grade.grade_one(tmp_path / "reference.ipynb", wanted, 60, seed=0)
    assert [(r.function, r.sentence) for _, r in results if r.status != "passed"] == []
    assert len(results) == sum(exercise.points for exercise in wanted), notes
    results, notes = grade.grade_one(tmp_path / "untouched.ipynb", wanted, 60, seed=0)
    assert {result.function for _, result in results} == {exercise.name for exercise in wanted}
    assert [result for _, result in results if result.status == "passed"] == [], notes


def test_numbers_of_exercises_follow_the_lessons():
    for exercise in grade.exercises(None):
        assert exercise.number.split(".")[0] == str(int(exercise.lesson[:2]))
    numbers = [exercise.number for exercise in grade.exercises(None)]
    assert len(set(numbers)) == len(numbers)


def test_the_table_of_points_is_that_of_the_exercises():
    page = (ROOT / "notebooks" / "guide" / "teaching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d.]+)(\*?) \| `(\w+)` \| (\d+) \|", page, re.M)
    wanted = [(e.number, "*" * (e.name in LAWS), e.name, str(e.points)) for e in grade.exercises(None)]
    assert rows == wanted
    assert len(rows) >= 36


def test_no_function_is_asked_for_twice():
    names = [exercise.name for exercise in grade.exercises(None)]
    assert sorted(set(names)) == sorted(names)


# ---------------------------------------------------------------- the rules are enforced

GOOD = """# %% [markdown]
# # 1 · Title
#
# Reading takes 7 minutes.

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
# <details><summary>Hint 1: the idea</summary> None. </details>
# <details><summary>Hint 2: the first line</summary> None. </details>
# <details><summary>Hint 3: the whole</summary> None. </details>

# %%
assert sigmoid(0) == 0.5

# %% [markdown]
# ## Three questions
#
# <details><summary>One?</summary> One. </details>
# <details><summary>Two?</summary> Two. </details>
# <details><summary>Three?</summary> Three. </details>

# %% [markdown]
# ## Where to read on
#
# [numpy_ref/losses.py](../numpy_ref/losses.py)
"""


def lesson(folder, source):
    path = folder / "01_title.py"
    path.write_text(source, encoding="utf-8")
    return path


def test_the_pattern_of_a_lesson_is_accepted(tmp_path):
    assert lesson_files.exercises_of(lesson_files.read_lesson(lesson(tmp_path, GOOD))) == ["sigmoid"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("assert sigmoid(0) == 0.5", "sigmoid(0)", "is the last code cell and must assert something"),
        ("import numpy as np", "x = 1\n" * 13, "has 13 lines; at most 12"),
        ("    ### END SOLUTION\n", "", "needs one BEGIN SOLUTION and one END SOLUTION"),
        ("★☆☆", "***", "must read: ### Exercise"),
        ("5 minutes", "quick", "must read: ### Exercise"),
        ("check(sigmoid)", "check(sigmoid); print(1)", "must be check(sigmoid)"),
        ("check(sigmoid)", "check(tanh)", "must be check(sigmoid)"),
        ("<details><summary>Hint", "<p><summary>Hint", "must be a hint in <details>"),
        ("Hint 2: the first line", "Hint 2", "must hold three hints in <details>: Hint 1: the idea, Hint 2: the first"),
        ("> None. <", "> One. Two. Three! Four? Five. <", "has 5 sentences; at most 4"),
        ("# # 1 · Title", "# # 1 · Title\n#\n# With $(1\n# - p)$", "has a line that Markdown takes for a list"),
        ("# # 1 · Title", "# # 1 · Title\n#\n# Along axis\n# 1. The", "has a line that Markdown takes for a list"),
        ("7 minutes.", "7 hours.", "must say how many minutes"),
        ("## Three questions", "## Questions", "must be '## Three questions'"),
        ("# <details><summary>Three?</summary> Three. </details>\n", "", "must be '## Three questions'"),
        ("## Where to read on", "## More", "must be '## Where to read on'"),
        ("](../numpy_ref/losses.py)", "]", "must be '## Where to read on', with a link to a file"),
        ("# # 1 · Title", "# Title", "must be the title"),
        ("# # 1 · Title", "# # 1 · Title\n# One. Two. Three! Four?", "has 5 sentences; at most 4"),
        ("# %%\nassert", "# %%\ncheck(sigmoid)\n\n# %%\nassert", "asks twice for a function of the same name"),
        ("### Exercise 1.1 ★☆☆ · 5 minutes · sigma", "sigma", "opens a lesson of 0 exercises but 1 solutions"),
    ],
)
def test_a_broken_rule_is_named_with_its_cell(tmp_path, old, new, sentence):
    assert old in GOOD
    with pytest.raises(InputError, match=r"01_title\.py: the cell that begins") as caught:
        lesson_files.read_lesson(lesson(tmp_path, GOOD.replace(old, new)))
    assert sentence in str(caught.value)


def cell(source, *texts, **data):
    """A code cell that was run and shows these texts"""
    outputs = [nbformat.v4.new_output("stream", text=text) for text in texts]
    outputs += [nbformat.v4.new_output("display_data", data=data)] if data else []
    return nbformat.v4.new_code_cell(source, outputs=outputs)


ASSERTED = [cell("print(x)\nassert x == 1", "1\n")]


def test_ten_values_are_shown_and_kept_true_in_the_same_or_the_next_cell():
    lesson_rules.assert_shown("01_x.py", ASSERTED * 10)
    lesson_rules.assert_shown("01_x.py", [*ASSERTED * 9, cell("print(x)", "1"), cell("assert x == 1")])
    picture, report = cell("picture()", **{"image/png": "", "text/plain": "9"}), cell("check(f)", "5 of 5")
    for cells in ASSERTED * 9, [*ASSERTED * 9, picture, report], [*ASSERTED * 9, cell("print(x)\nassert x", "no\n")]:
        with pytest.raises(InputError, match=r"01_x\.py: shows 9 values; at least 10"):
            lesson_rules.assert_shown("01_x.py", cells)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0.7260001", "shows 0.7260001; round it to 6 digits"),
        ("[-1.23456789e-05]", "shows -1.23456789e-05; round it"),
        ("<f at 0x7f00aabb>", "shows an address: 0x7f00aa"),
        ("at 17:25", "shows a time: 17:25"),
        ("5/9 2.1it/s", "shows a progress bar"),
    ],
)
def test_what_differs_from_machine_to_machine_is_not_shown(text, sentence):
    with pytest.raises(InputError) as caught:
        lesson_rules.assert_shown("01_x.py", [*ASSERTED * 10, cell("print(x)\nassert x", text)])
    assert sentence in str(caught.value)


def test_rounded_values_pass():
    text = "0.726 -12.5 0.001234 1e-17 2.5e+15 400000 (3, 2000) 0.000001"
    lesson_rules.assert_shown("01_x.py", [*ASSERTED * 10, cell("print(x)\nassert x", text)])


def test_a_value_without_an_assert_is_named():
    with pytest.raises(InputError, match="begins 'print\\(y\\)' shows a value that no assert keeps true"):
        lesson_rules.assert_shown("01_x.py", [*ASSERTED * 10, cell("print(y)", "2"), cell("y = 3"), *ASSERTED])


def test_a_cell_that_fails_is_named_unless_it_wants_the_torch_that_is_not_there():
    def run(source, **options):
        only = nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"]})
        return execute(nbformat.v4.new_notebook(cells=[only]), "06a", **options)

    with pytest.raises(InputError, match=r"06a: a cell fails.*ZeroDivisionError"):
        run("1 / 0")
    with pytest.raises(InputError, match="06a: a cell does not fail"):
        run("import torch", torch=False)
    with pytest.raises(InputError, match="06a: shows 0 values"):  # all cells ran, so the next rule refuses
        run(NO_TORCH + "\nimport torch", torch=False)


def test_a_cell_that_runs_out_of_time_or_writes_to_stderr_is_one_sentence(tmp_path):
    slow = GOOD.replace("import numpy as np\n", "import numpy as np\nimport time\ntime.sleep(60)\n")
    notebook = lesson_files.read_lesson(lesson(tmp_path, slow))
    with pytest.raises(InputError) as caught:
        execute(notebook, "01_title", timeout=3)
    assert str(caught.value) == (
        "01_title: the cell that begins 'import numpy as np' ran longer than 3 s; allow more with --timeout SECONDS"
    )
    loud = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import sys\nprint('oh', file=sys.stderr)")])
    with pytest.raises(InputError, match="01_title: a cell writes to stderr, which belongs in no lesson: oh"):
        execute(loud, "01_title")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The names of the lessons that are really run; the store is in a new place, and cells show their own source"""
    done = []

    def run(notebook, name, *_, **__):
        done.append(name)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [nbformat.v4.new_output("stream", text=cell.source)]
        return notebook

    monkeypatch.setattr(lesson_store, "STORE", tmp_path / "executed")
    monkeypatch.setattr(lesson_store, "execute", run)
    return done


def test_a_lesson_is_run_again_only_if_something_has_changed(tmp_path, runs, monkeypatch):
    path = lesson(tmp_path, GOOD)
    first, seconds = lesson_store.executed(path)
    again, same_seconds = lesson_store.executed(path)
    assert runs == ["01_title"]
    assert nbformat.writes(first) == nbformat.writes(again)
    assert seconds == same_seconds
    assert "seconds" not in first.metadata
    lesson(tmp_path, GOOD.replace("import numpy as np", "import numpy as np  # changed"))
    changed, _ = lesson_store.executed(path)
    assert "# changed" in changed.cells[2].outputs[0].text
    (stored,) = (tmp_path / "executed").iterdir()
    stored.write_text("{")  # damaged: run again
    lesson_store.executed(path)
    source = tmp_path / "numpy_ref" / "losses.py"
    source.parent.mkdir()
    source.write_text("")
    monkeypatch.setattr(lesson_store, "ROOT", tmp_path)
    monkeypatch.setattr(lesson_store, "HERE", tmp_path)
    lesson_store.executed(path)
    lesson_store.executed(path)
    source.write_text("# changed")
    lesson_store.executed(path)
    assert len(runs) == 5


def test_a_cells_id_changes_only_with_the_cell(tmp_path):
    before = lesson_files.read_lesson(lesson(tmp_path, GOOD))
    after = lesson_files.read_lesson(lesson(tmp_path, GOOD.replace("assert sigmoid(0)", "assert 1 * sigmoid(0)")))
    changed = [a.source for a, b in zip(before.cells, after.cells, strict=True) if a.id != b.id]
    assert changed == ["assert sigmoid(0) == 0.5"]
    assert len({cell.id for cell in before.cells}) == len(before.cells)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lesson, built but not executed"""
    places = {"ROOT": tmp_path, "HERE": tmp_path, "EXERCISES": tmp_path / "exercises"}
    for name, place in places.items():
        monkeypatch.setattr(build, name, place)
    monkeypatch.setattr(lesson_files, "LESSONS", tmp_path / "lessons")
    (tmp_path / "lessons").mkdir()
    path = lesson(tmp_path / "lessons", GOOD)
    for file, notebook, _ in build.products(path):
        lesson_files.write(file, notebook)
    assert build.stale() == []
    return tmp_path


@pytest.mark.parametrize("old", ["import numpy as np", "1 / (1 +", "minutes · sigma", "Two."])
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
    notebook = lesson_files.read_lesson(path)
    room = tmp_path / "class"
    lesson_files.write(room / "ada.ipynb", notebook)
    (room / "bob.py").parent.mkdir(exist_ok=True)
    (room / "bob.py").write_text(HALF)
    lesson_files.write(room / "cyn" / path.with_suffix(".ipynb").name, lesson_files.stripped(notebook, path.stem))
    (room / "dan.ipynb").write_text('{"cells": [')
    (room / "eve.py").write_text(HOSTILE)
    (room / "fay").mkdir()
    (room / "=gus.py").write_bytes(b"\xff\xfe\x00def")
    lesson_files.write(room / "hal.ipynb", nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")]))
    made = graded(room, "--lesson", "04", "--seconds", "10", "--jobs", "2")
    assert made.returncode == 0, made.stderr
    lines = [line.split(",") for line in (tmp_path / "grades.csv").read_text().splitlines()]
    assert lines[0][1] == "4.1 pairwise_loss_backward (of 6)"
    points = {line[0]: line[6:8] for line in lines[1:]}  # after five exercises
    zero = ["0", "26"]
    assert points == {
        "'=gus": zero,
        "ada": ["26", "26"],
        "bob": ["3", "26"],
        "cyn": zero,
        "dan": zero,
        "eve": zero,
        "fay": zero,
        "hal": zero,
    }
    told = {file.stem: file.read_text() for file in (tmp_path / "feedback").iterdir()}
    assert set(told) == {"=gus", "ada", "bob", "cyn", "dan", "eve", "fay", "hal"}
    assert "hal.ipynb: an empty notebook: it holds no code at all; ask for the file again" in told["hal"]
    assert "handed in as it was given out: no exercise has been begun" in told["cyn"]
    assert "given out" not in told["bob"]
    assert made.stdout.splitlines()[-1].endswith(": notebooks/guide/teaching.md")
    assert "not a notebook" in told["dan"]
    assert "no such file" in told["fay"]
    assert "not UTF-8" in told["=gus"]
    assert "smallest counterexample found: pairwise_loss_backward(chosen=[0, 0], rejected=[0, 0])" in told["bob"]
    assert "known mistake: the mean over the batch is missing" in told["bob"]
    for words in ("an endless loop?", "ended the interpreter", "asked for more memory", "called exit(let me out)"):
        assert words in told["eve"]


def test_two_lessons_that_ask_for_the_same_function_are_graded_apart(tmp_path):
    wanted = [grade.Exercise("01", "1.1", "one", "sigmoid"), grade.Exercise("02", "2.1", "two", "sigmoid")]
    (tmp_path / "ada").mkdir()
    lesson_files.write(tmp_path / "ada" / "02.ipynb", lesson_files.read_lesson(lesson(tmp_path, GOOD)))
    results, notes = grade.grade_one(tmp_path / "ada", wanted, 20, seed=0)
    assert len(notes) == 1
    assert grade.row("ada", wanted, results, [])[1:5] == [0, 7, 7, 14]
    told = grade.feedback("ada", wanted, results, notes)
    assert "Exercise 1.1, one\nsigmoid: 0 of 7 points" in told
    assert "Exercise 2.1, two\nsigmoid: 7 of 7 points" in told


def running(mark):
    """Whether a process with this word in its command line is running"""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return any(mark in line and "sleep" in line for line in found.splitlines())


def test_a_submission_that_takes_too_long_is_ended_with_everything_it_started(tmp_path):
    """Its child process is seen during grading, and is gone afterwards"""
    file, mark = tmp_path / "slow.py", f"mark{os.getpid()}"
    child = f"import time; time.sleep(1000)  # {mark}"
    source = "import subprocess, sys, time\ndef pairwise_loss_backward(chosen, rejected):\n"
    file.write_text(source + f"    subprocess.Popen([sys.executable, '-c', {child!r}])\n    time.sleep(1000)\n")
    (wanted,) = (e for e in grade.exercises(["04"]) if e.name == "pairwise_loss_backward")
    with ThreadPoolExecutor(1) as pool:
        answer, seen = pool.submit(grade.grade_one, file, [wanted], 3), False
        while not answer.done():
            seen |= running(mark)
            time.sleep(0.1)
    results, _ = answer.result()
    assert results
    assert not [result for _, result in results if result.status == "passed"]
    assert seen, "the child never ran"
    assert not running(mark)


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

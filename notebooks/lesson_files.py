"""The lessons' files: where they are, the notebook that a lesson becomes, and the student's version of it."""

import copy
import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # the project that these lessons belong to, installed or not

import jupytext  # noqa: E402
import nbformat  # noqa: E402

from lesson_rules import CHECK, SOLUTION, TORCH, assert_lesson, defined  # noqa: E402
from numpy_ref.check.cell import full_marks  # noqa: E402
from numpy_ref.errors import InputError  # noqa: E402
from numpy_ref.files import write_text  # noqa: E402

REPOSITORY = "reward-by-hand/reward-by-hand"  # owner/name on GitHub: the badge and the installation point there
LESSONS, EXERCISES, SITE = HERE / "lessons", HERE / "exercises", ROOT / "build" / "site"
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},  # no version: it would differ from machine to machine
}
INSTALL = f"""# @title In Colab this installs the project; everywhere else it does nothing
from importlib.util import find_spec

if not find_spec("numpy_ref"):
    address = "reward-by-hand[check] @ git+https://github.com/{REPOSITORY}"
    get_ipython().run_line_magic("pip", f'install -q "{{address}}"')"""
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}  # in Colab, Jupyter, the site


def sources(only=None):
    """The lessons' files in order; `only` holds beginnings of file names, as "04" """
    found = [path for path in sorted(LESSONS.glob("[0-9]*.py")) if not only or path.name.startswith(tuple(only))]
    if not found:
        raise InputError(f"--only {' '.join(only or [])}: no lesson in {LESSONS} begins so; give a number such as 04")
    return found


def read_lesson(path):
    """The notebook of a lesson, with solutions, installation, badge, stable cell ids and nbgrader's metadata"""
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor, notebook.metadata = 4, 5, nbformat.from_dict(METADATA)
    assert_lesson(path.name, notebook.cells)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(INSTALL))
    notebook.cells.append(nbformat.v4.new_markdown_cell(badge(path.stem)))
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(metadata(cell))
        name = cell.metadata.get("nbgrader", {}).get("grade_id") or digest(cell)
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return notebook


def digest(cell):
    """An id that changes only with the cell itself"""
    return hashlib.sha256((cell.cell_type + cell.source).encode()).hexdigest()[:8]


def badge(stem, folder="notebooks"):
    address = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/{folder}/{stem}.ipynb"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"


def metadata(cell):
    """The metadata of a cell: nbgrader's for solutions and check cells, and which cells are folded

    A cell that imports torch is tagged raises-exception. Jupyter then runs on past it if torch is missing.
    """
    if cell.cell_type != "code":
        return {}
    if cell.source == INSTALL:
        return FOLDED
    common = {"locked": False, "schema_version": 3, "task": False}
    if SOLUTION.search(cell.source):
        about = {"grade": False, "grade_id": defined(cell), "solution": True} | common
        return {"nbgrader": about, "tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    if graded := CHECK.fullmatch(cell.source):
        about = {"grade": True, "grade_id": f"check-{graded[1]}", "solution": False, "points": full_marks(graded[1])}
        return {"nbgrader": about | common | {"locked": True}}
    return {"tags": ["raises-exception"]} if TORCH.search(cell.source) else {}


def exercises_of(notebook):
    """The functions that the lesson's exercises ask for, in order"""
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id", "") for cell in notebook.cells]
    return [name.removeprefix("check-") for name in ids if name.startswith("check-")]


def stripped(notebook, stem):
    """The student's notebook: each solution is a stub that raises NotImplementedError, and nothing has been run"""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if SOLUTION.search(cell.source):
            cell.source = SOLUTION.sub(STUB, cell.source)
            cell.metadata = nbformat.from_dict({"nbgrader": cell.metadata["nbgrader"]})  # not folded
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](../", "](../../")  # one folder further down
    notebook.cells[-1].source = badge(stem, "notebooks/exercises")
    return notebook


def on_a_page(notebook):
    """No installation and no badge; an exercise becomes its stub, the hints, the folded solution and its check"""
    cells = [cell for cell in notebook.cells[:-1] if cell.source != INSTALL]
    for place in [place for place, cell in enumerate(cells) if cell.source.startswith("### Exercise")][::-1]:
        solution, check, hints = cells[place + 1 : place + 4]
        stub = nbformat.v4.new_code_cell(SOLUTION.sub(STUB, solution.source), id=f"{solution.id}-stub")
        cells[place + 1 : place + 4] = [stub, hints, solution, check]
    notebook.cells = cells
    return notebook


def write(path, notebook):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, nbformat.writes(notebook) + "\n")

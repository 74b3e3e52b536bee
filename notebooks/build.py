"""One source, three products: lessons/*.py -> *.ipynb (read), exercises/*.ipynb (work), and a web site (--site).

    python notebooks/build.py                execute every lesson, write both notebooks of each
    python notebooks/build.py --only 04      one lesson
    python notebooks/build.py --check        exit 1 and name what is stale: sources and cell ids, nothing is executed
    python notebooks/build.py --site         build/site/index.html: works from a file:// address with no network

How to write a lesson: lessons/NN_name.py, jupytext's percent format; 04_gradient_regimes.py is the pattern.

- One idea a cell: a markdown cell of at most four sentences, then one code cell of at most ten lines (blank ones and
  markers not counted), which ends in a picture or in an assert. Every claim of the prose that can be computed is
  asserted in the very next cell. Relations and tolerances are asserted; digits are never printed for comparison.
- The first markdown cell: the title `# N · Title`, what the reader will be able to do, what must be known, the minutes.
  The first code cell: imports. The last markdown cell: "What you can now assert"; the last code cell asserts it.
- A derivation takes the cells it needs and skips no step: what is used, the line, and the assert that checks it.
- Write for a student in the second year: plain, exact. Name units (log-odds, nats) and sources (paper, equation).
- Pictures: `numpy_ref.figures.lessons`, or `picture(draw, title, xlabel, ylabel, alt)` and
  `Explorable("figure.html", picture)` of `numpy_ref.figures.notebook`, as the last expression of the cell. The alt
  text says what is to be seen. A figure to take in hand is one HTML file in lessons/, with its own browser test.
  Line styles and names, never colour alone. No pyplot. Random numbers come from one
  `rng = np.random.default_rng(seed)`.
- Lesson n needs only lessons below n. No network, no files written, under 90 s. Nothing may print an address, a time
  or a progress bar: the bytes must come out the same at every build. Never use what an exercise defines outside that
  exercise: the stripped notebook must run from top to bottom. Import modules (`from numpy_ref import losses`) so that
  the reader's own function may have the project's name.
- An exercise is four cells: markdown `### Exercise 4.1 ★☆☆ · 15 minutes · title` with the task (one to three stars);
  a code cell with one function, whose body alone stands between ### BEGIN SOLUTION and ### END SOLUTION; a check cell,
  exactly `check(its_name)` (`check(f_backward, f)` where a helper is needed); a markdown cell with a hint inside
  <details><summary>Hint</summary> ... </details>. The function must be on the published list (`python -m numpy_ref
  check --list`) or a law of numpy_ref/check/laws.py. A snippet to be repaired is an ordinary cell before it, under
  another name (`margin_loss_backward_with_a_bug`); the stub stays empty: an untouched notebook scores zero.
- nbgrader's metadata, points, cell ids, badges and the Colab cell are added here; write none of them.
"""

import argparse
import copy
import hashlib
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # the project that these lessons belong to, installed or not

import jupytext  # noqa: E402
import nbformat  # noqa: E402
from tqdm import tqdm  # noqa: E402

from numpy_ref.check.cell import full_marks  # noqa: E402
from numpy_ref.errors import InputError  # noqa: E402
from numpy_ref.files import write_text  # noqa: E402

REPOSITORY = "reward-by-hand/reward-by-hand"  # owner/name on GitHub: badges and the Colab cell point there
LESSONS, EXERCISES, SITE = HERE / "lessons", HERE / "exercises", ROOT / "build" / "site"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},  # no version: it would differ from machine to machine
}
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*$", re.S | re.M)
MARKER = re.compile(r"### (BEGIN|END) SOLUTION")
CHECK = re.compile(r"check\((\w+)(, \w+)*\)")
EXERCISE = re.compile(r"### Exercise (\d+\.\d+) (★☆☆|★★☆|★★★) · (\d+) minutes · \S")
CELL_LINES, SENTENCES, CELL_SECONDS = 10, 4, 90
COLAB = f"""# In Colab: fetch the project. Everywhere else this cell does nothing.
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("numpy_ref") is None:
    address = "reward-by-hand[test] @ git+https://github.com/{REPOSITORY}"
    subprocess.check_call([sys.executable, "-m", "pip", "install", "-q", address])"""


# ---------------------------------------------------------------- reading a lesson


def sources(only=None):
    """The lessons' files in order; `only` names some by how they begin, as "04" """
    found = [path for path in sorted(LESSONS.glob("[0-9]*.py")) if not only or path.name.startswith(tuple(only))]
    if not found:
        raise InputError(f"--only {' '.join(only or [])}: no lesson in {LESSONS} begins so; give a number such as 04")
    return found


def read_lesson(path):
    """The notebook of a lesson, with solutions, badge, Colab cell, stable cell ids and nbgrader's metadata"""
    notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor, notebook.metadata = 4, 5, nbformat.from_dict(METADATA)
    assert_lesson(path, notebook.cells)
    notebook.cells[:0] = [nbformat.v4.new_markdown_cell(badge(path.stem)), nbformat.v4.new_code_cell(COLAB)]
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
    """nbgrader's, read off the cell: a solution is marked, a check cell is a call of check; and the solution folded"""
    if cell.cell_type != "code":
        return {}
    common = {"locked": False, "schema_version": 3, "task": False}
    if SOLUTION.search(cell.source):
        about = {"grade": False, "grade_id": defined(cell), "solution": True} | common
        return {"nbgrader": about, "tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    if graded := CHECK.fullmatch(cell.source):
        about = {"grade": True, "grade_id": f"check-{graded[1]}", "solution": False, "points": full_marks(graded[1])}
        return {"nbgrader": about | common | {"locked": True}}
    return {}


def defined(cell):
    """The name of the function that an exercise asks for"""
    return re.findall(r"^def (\w+)", cell.source, re.M)[-1]


def assert_lesson(path, cells):
    """InputError with the lesson and the cell where the rules above are broken"""

    def require(holds, cell, sentence):
        if not holds:
            line = (cell.source.splitlines() or [""])[0]
            raise InputError(f"{path.name}: the cell that begins {line!r} {sentence}")

    codes = [cell for cell in cells if cell.cell_type == "code"]
    require(cells[0].source.startswith("# ") and cells[1] is codes[0], cells[0], "must be the title, imports the next")
    require("assert " in codes[-1].source, codes[-1], "is the last code cell and must assert something")
    for cell in codes:
        lines = [line for line in cell.source.splitlines() if line.strip() and not MARKER.search(line)]
        require(len(lines) <= CELL_LINES, cell, f"has {len(lines)} lines; at most {CELL_LINES}: cut it in two")
        markers = MARKER.findall(cell.source)
        require(markers in ([], ["BEGIN", "END"]), cell, "needs one BEGIN SOLUTION and one END SOLUTION, in this order")
        require(bool(markers) == bool(SOLUTION.search(cell.source)), cell, "has a solution marker out of place")
    for cell in cells:
        if cell.cell_type == "markdown":
            count = sentences(cell.source)
            require(count <= SENTENCES, cell, f"has {count} sentences; at most {SENTENCES}: one idea a cell")
    for place, cell in enumerate(cells):
        if cell.source.startswith("### Exercise"):
            title, stub, check, hint = cells[place : place + 4]
            require(EXERCISE.match(title.source), cell, "must read: ### Exercise 4.1 ★☆☆ · 15 minutes · title")
            require(SOLUTION.search(stub.source), stub, "must hold the solution of the exercise above it")
            graded = CHECK.fullmatch(check.source)
            require(graded and graded[1] == defined(stub), check, f"must be check({defined(stub)})")
            require("<details>" in hint.source and "</details>" in hint.source, hint, "must be a hint in <details>")
    names = [CHECK.fullmatch(cell.source)[1] for cell in codes if CHECK.fullmatch(cell.source)]
    require(len(set(names)) == len(names), cells[0], "opens a lesson that asks twice for a function of the same name")
    solutions = sum(bool(SOLUTION.search(cell.source)) for cell in codes)
    exercises = sum(cell.source.startswith("### Exercise") for cell in cells)
    require(solutions == exercises, cells[0], f"opens a lesson of {exercises} exercises but {solutions} solutions")


def sentences(words):
    """How many sentences the prose has; lines of a list, headings, formulas and tags do not count"""
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|<[^>]*>", "x", words, flags=re.S)
    lines = [line for line in prose.splitlines() if not re.match(r"\s*(#|[-*|]|\d+\.) ?", line)]
    return len(re.findall(r"[.?!](?=\s|$)", "\n".join(lines)))


def exercises_of(notebook):
    """The functions that the lesson's exercises ask for, in order"""
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id", "") for cell in notebook.cells]
    return [name.removeprefix("check-") for name in ids if name.startswith("check-")]


def stripped(notebook, stem):
    """The student's notebook: each solution is a stub that raises NotImplementedError, and nothing has been run"""
    notebook = copy.deepcopy(notebook)
    notebook.cells[0].source = badge(stem, "notebooks/exercises")
    for cell in notebook.cells:
        cell.source = SOLUTION.sub(r"\1# YOUR CODE HERE\n\1raise NotImplementedError", cell.source)
        cell.metadata.pop("tags", None)
        cell.metadata.pop("jupyter", None)
    return notebook


# ---------------------------------------------------------------- executing it


def execute(notebook, name, bar=None, solved=True):
    """Runs the cells in a new kernel, in place; the outputs hold nothing that differs from run to run

    solved  the exercises must have full marks
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    kernel = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    kernel["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # ipykernel 7 warns of plain TCP on loopback
        resources={"metadata": {"path": str(HERE)}},
        on_cell_executed=lambda **_: bar and bar.update(),
    )
    try:
        client.execute(env=os.environ | kernel)
    except CellExecutionError as error:
        said = re.sub(r"\x1b\[[\d;]*m", "", str(error))  # the kernel colours its tracebacks
        raise InputError(f"{name}: a cell fails\n{said}") from None
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert_output(cell, name, solved)
    return notebook


def assert_output(cell, name, solved):
    """A reference solution has full marks; every picture carries its alt text, where screen readers and themes look

    A picture stands alone: GitHub would show an HTML version instead, without its script.
    """
    graded = cell.metadata.get("nbgrader", {})
    if graded.get("grade"):
        points, full = int(cell.outputs[-1].data["text/plain"]), graded["points"] if solved else 0
        if points != full:
            raise InputError(f"{name}: {cell.source} gives {points} points, expected {full}")
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            alt = alt_text(output.data["image/png"])
            if not alt:
                raise InputError(f"{name}: a picture without alt text comes out of {cell.source.splitlines()[-1]!r}")
            output.metadata["image/png"] = {"alt": alt}
            output.data.pop("text/html", None)
            cell.metadata["mystnb"] = {"image": {"alt": alt}}


def alt_text(png):
    """The description inside a PNG in base64; `figures` and `lesson` put it there"""
    import base64
    import io

    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return image.info.get("Description", "")


# ---------------------------------------------------------------- the three products


def products(path):
    """[(file, notebook not yet executed, whether it is to be executed)]"""
    notebook = read_lesson(path)
    both = [(HERE / f"{path.stem}.ipynb", notebook, True)]
    if exercises_of(notebook):
        both.append((EXERCISES / f"{path.stem}.ipynb", stripped(notebook, path.stem), False))
    return both


def write(path, notebook):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, nbformat.writes(notebook) + "\n")


def stale(only=None):
    """The generated notebooks whose cells are not those of their lessons, and those that have no lesson any more"""
    made = {file: notebook for path in sources(only) for file, notebook, _ in products(path)}
    wrong = [file for file, notebook in made.items() if not file.exists() or cells_in(file) != as_cells(notebook)]
    if not only:
        wrong += [file for folder in (HERE, EXERCISES) for file in folder.glob("*.ipynb") if file not in made]
    return sorted(str(file.relative_to(ROOT)) for file in wrong)


def cells_in(file):
    try:
        return as_cells(nbformat.read(file, as_version=4))
    except (ValueError, nbformat.reader.NotJSONError):
        return None


def as_cells(notebook):
    return [(c.id, c.cell_type, c.source, c.metadata.get("nbgrader")) for c in notebook.cells]


def build(only=None):
    made = [product for path in sources(only) for product in products(path)]
    total = sum(cell.cell_type == "code" for _, notebook, run in made if run for cell in notebook.cells)
    with tqdm(total=total, unit="cell", disable=None) as bar:
        for file, notebook, run in made:
            bar.set_description(file.stem)
            write(file, execute(notebook, file.stem, bar) if run else notebook)
    return [file for file, _, _ in made]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--only", nargs="+", metavar="NN", help="these lessons alone, by how their file names begin")
    parser.add_argument("--check", action="store_true", help="execute nothing; exit 1 if a notebook is stale")
    parser.add_argument("--site", nargs="?", const=SITE, type=Path, metavar="DIR", help="the site (in build/site)")
    args = parser.parse_args(argv)
    try:
        if args.check:
            if wrong := stale(args.only):
                print(f"stale: {', '.join(wrong)}; run python notebooks/build.py", file=sys.stderr)
            return int(bool(wrong))
        if args.site:
            from site_builder import build_site

            print(build_site(args.site, args.only))
            return 0
        for file in build(args.only):
            print(file.relative_to(ROOT))
    except InputError as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"build: {error.filename}: {error.strerror}; what was built before is whole", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

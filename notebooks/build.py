"""One source, three products: lessons/*.py -> *.ipynb (read), exercises/*.ipynb (work), and a web site (--site, --pdf).

    python notebooks/build.py                write both notebooks of each lesson, and print a table of the course
    python notebooks/build.py --only 04      one lesson
    python notebooks/build.py --check        exit 1 and name what is stale: sources and cell ids, nothing is executed
    python notebooks/build.py --site         build/site/index.html: works from a file:// address with no network
    python notebooks/build.py --pdf course.pdf

Only what has changed is run: outputs are kept in build/executed/ (delete it to run everything).

The top of lesson_rules.py says how to write a lesson; lessons/04_gradient_regimes.py is the pattern.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from tqdm import tqdm

from lesson_files import EXERCISES, HERE, ROOT, SITE, exercises_of, read_lesson, sources, stripped, write
from lesson_rules import minutes, values
from lesson_run import CELL_SECONDS
from lesson_store import executed
from numpy_ref.cli.main import positive
from numpy_ref.cli.text import table
from numpy_ref.errors import InputError

HEADINGS = "lesson", "values shown", "exercises", "minutes to read", "to solve", "to run"


def products(path):
    """[(file, notebook without outputs, whether it must be executed)]"""
    notebook = read_lesson(path)
    both = [(HERE / f"{path.stem}.ipynb", notebook, True)]
    if exercises_of(notebook):
        both.append((EXERCISES / f"{path.stem}.ipynb", stripped(notebook, path.stem), False))
    return both


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


def build(only=None, timeout=CELL_SECONDS):
    """Writes both notebooks of each lesson; returns the rows of the table that is printed"""
    total = sum(cell.cell_type == "code" for path in sources(only) for cell in read_lesson(path).cells)
    rows = []
    with tqdm(total=total, unit="cell", disable=None) as bar:
        for path in sources(only):
            bar.set_description(path.stem)
            notebook, seconds = executed(path, bar, timeout)
            for file, unexecuted, run in products(path):
                write(file, notebook if run else unexecuted)
            rows.append(
                (path.stem, values(notebook), len(exercises_of(notebook)), *minutes(notebook), f"{seconds:.0f} s")
            )
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--only", nargs="+", metavar="NN", help="only lessons whose file names begin with NN, as 04")
    parser.add_argument("--check", action="store_true", help="execute nothing; exit 1 if a notebook is stale")
    parser.add_argument(
        "--timeout", type=positive, default=CELL_SECONDS, metavar="SECONDS", help="limit for each cell (%(default)s)"
    )
    parser.add_argument(
        "--site", nargs="?", const=SITE, type=Path, metavar="DIR", help="build the web site in DIR (build/site)"
    )
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="print start page and lessons to a PDF, with chromium")
    args = parser.parse_args(argv)
    try:
        if args.check:
            if wrong := stale(args.only):
                print(f"stale: {', '.join(wrong)}; run python notebooks/build.py", file=sys.stderr)
            return int(bool(wrong))
        if args.site:
            from site_builder import build_site

            print(build_site(args.site, args.only, args.timeout))
            return 0
        if args.pdf:
            from site_print import build_pdf

            print(build_pdf(args.pdf, args.only, args.timeout))
            return 0
        print(*table([HEADINGS, *(tuple(map(str, row)) for row in build(args.only, args.timeout))]), sep="\n")
    except InputError as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Keeps the outputs of each lesson: it is run again only if the lesson, the project or a library has changed."""

import hashlib
import json
import platform
import time
from importlib.metadata import version

import nbformat

from lesson_files import HERE, METADATA, ROOT, read_lesson, write
from lesson_run import CELL_SECONDS, execute

STORE = ROOT / "build" / "executed"
LIBRARIES = "numpy", "torch", "matplotlib", "hypothesis", "nbclient"
# lesson_r*.py: lesson_run.py and lesson_rules.py
SOURCES = "numpy_ref/**/*.py", "numpy_ref/**/*.csv", "torch_impl/**/*.py", "notebooks/lesson_r*.py"


def executed(path, bar=None, timeout=CELL_SECONDS):
    """(the lesson's notebook with its outputs, the seconds that its run took)"""
    notebook = read_lesson(path)
    file = STORE / f"{path.stem}-{key(notebook)}.ipynb"
    if found := stored(file):
        if bar:
            bar.update(sum(cell.cell_type == "code" for cell in notebook.cells))
        return found
    start = time.monotonic()
    execute(notebook, path.stem, bar, timeout=timeout)
    notebook.metadata["seconds"] = round(time.monotonic() - start, 1)
    for old in STORE.glob(f"{path.stem}-*.ipynb"):
        old.unlink()
    write(file, notebook)
    return stored(file)


def stored(file):
    """The stored result of `executed`; None if it is missing or damaged"""
    try:
        notebook = nbformat.read(file, as_version=4)
        seconds = notebook.metadata.pop("seconds")
    except (OSError, ValueError, KeyError, nbformat.reader.NotJSONError):
        return None
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook, seconds


def key(notebook):
    """A hash of all that the outputs depend on"""
    content = hashlib.sha256(nbformat.writes(notebook).encode())
    content.update(json.dumps([platform.python_version(), *map(installed, LIBRARIES)]).encode())
    figures = HERE.glob("lessons/*.html")
    for file in sorted({*figures, *(file for pattern in SOURCES for file in ROOT.glob(pattern))}):
        content.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return content.hexdigest()[:16]


def installed(library):
    try:
        return version(library)
    except ModuleNotFoundError:
        return None

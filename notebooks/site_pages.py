"""The pages of the site: the start page, the lessons, the guide and the reference, linked to each other."""

import os
import re
import shutil
from pathlib import Path

from lesson_files import EXERCISES, HERE, LESSONS, exercises_of, on_a_page, write
from lesson_rules import ROOM
from numpy_ref.figures.notebook import frame
from site_reference import file_of, modules, page_of, write_reference

LINK = re.compile(r"(?<!!)\[([^][]*)\]\(([^()\s]+)\)")
ORDER = ["data", "training", "pretrained", "using", "tables", "checking_gradients", "claims", "teaching", "building"]
GUIDE = sorted((HERE / "guide").glob("*.md"), key=lambda page: (*ORDER, page.stem).index(page.stem))
STYLE = """.docstring pre { white-space: pre-wrap; font-size: 0.8em; }
main table { display: block; overflow-x: auto; }
main h1, main h2, main dt.sig, main code { overflow-wrap: anywhere; }
main span.pre { white-space: normal; }
@media print { main pre { white-space: pre-wrap; } }
"""


def write_pages(source, notebooks):
    """Everything that Sphinx reads        notebooks: {file of a lesson: its executed notebook}"""
    found, lessons = modules(), lessons_of(notebooks)
    pages = course(notebooks) | {f"notebooks/guide/{page.name}": f"guide/{page.name}" for page in GUIDE}
    pages |= {file_of(name, module): f"api/{page_of(name)}.rst" for name, module in found.items()}
    (source / "guide").mkdir()
    for page in GUIDE:
        text = linked(page.read_text(encoding="utf-8"), f"notebooks/guide/{page.name}", pages)
        (source / "guide" / page.name).write_text(text, encoding="utf-8")
    guide = [f"guide/{page.stem}" for page in GUIDE]
    write_course(source, notebooks, pages, {"Guide": guide, "Reference": ["api/index"]}, take_in_hand)
    write_reference(source / "api", found, lessons)
    shutil.copytree(EXERCISES, source / "extra" / "exercises", ignore=shutil.ignore_patterns(".*"))


def course(notebooks):
    """{file of the repository: page} of the start page and the lessons"""
    return {"notebooks/start.md": "index.md"} | {
        f"notebooks/{path.stem}.ipynb": f"{path.stem}.ipynb" for path in notebooks
    }


def write_course(source, notebooks, pages, beside=None, change=None):
    """Writes start page and lessons; `beside`: more parts of the table of contents; `change` edits a lesson's output"""
    for path, notebook in notebooks.items():
        if change:
            change(notebook)
        write_lesson(source, path.stem, notebook, pages)
    start = linked((HERE / "start.md").read_text(encoding="utf-8"), "notebooks/start.md", pages)
    tree = trees({"The course": [path.stem for path in notebooks]} | (beside or {}))
    (source / "index.md").write_text(start + tree, encoding="utf-8")
    (source / "_static" / "site.css").write_text(STYLE, encoding="utf-8")


def write_lesson(source, stem, notebook, pages):
    """One lesson, with a link to its exercises under the title"""
    has_exercises = exercises_of(notebook)
    notebook = on_a_page(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, f"notebooks/{stem}.ipynb", pages)
    if has_exercises:
        notebook.cells[0].source += f'\n\n<a href="exercises/{stem}.ipynb" download>The exercise notebook</a>'
    write(source / f"{stem}.ipynb", notebook)


def linked(text, here, pages):
    """Markdown with its links to files turned into links to pages; a link to a file without a page becomes plain words

    here    the file of the repository that holds the text.  pages  {file of the repository: page of the site}
    """

    def there(match):
        words, target = match[1], match[2]
        if "://" in target or target.startswith("#"):
            return match[0]
        page = pages.get(os.path.normpath(Path(here).parent / target))
        return f"[{words}]({os.path.relpath(page, Path(pages[here]).parent)})" if page else words

    return LINK.sub(there, text)


def trees(parts):
    """The table of contents beside every page        parts: {caption: pages}"""
    lines = ["", ""]
    for caption, names in parts.items():
        lines += ["```{toctree}", ":hidden:", ":titlesonly:", f":caption: {caption}", "", *names, "```", ""]
    return "\n".join(lines)


def lessons_of(notebooks):
    """{file of the project: [(title, page) of each lesson that explains it]}"""
    found: dict[str, list] = {}
    for path, notebook in notebooks.items():
        title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        for file in dict.fromkeys(ROOM.findall(text)):
            found.setdefault(file.removeprefix("../"), []).append((title, path.stem))
    return found


def take_in_hand(notebook):
    """Replaces a picture by the HTML figure that the metadata of its output name"""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if name := output.get("metadata", {}).get("explorable"):
            output.data = {"text/html": frame(LESSONS / name), "text/plain": output.data["text/plain"]}

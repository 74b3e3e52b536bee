"""The self-study site: the executed lessons as pages that open from a file:// address, with no network.

Formulas are drawn by a copy of MathJax inside the site; figures to take in hand replace their pictures; solutions are
folded. Needs the site extra.
"""

import io
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path

from tqdm import tqdm

from lesson_files import EXERCISES, LESSONS, SITE, exercises_of, on_a_page, read_lesson, sources, write
from lesson_run import execute
from numpy_ref.errors import InputError
from numpy_ref.figures.notebook import frame
from numpy_ref.files import written_directory

WELCOME = """# Reward by hand

The reward model of RLHF, from people's comparisons to a trained network, with every gradient derived by hand. Each
lesson is a notebook that was run from top to bottom: what it claims, it asserts. To work with it, open the exercise
notebook in Jupyter (`jupyter lab notebooks/`); solutions here are folded.

| lesson | exercises | their notebook |
|---|---|---|
"""
CONFIGURATION = {
    "project": "Reward by hand",
    "author": "the authors of Reward by hand",
    "extensions": ["myst_nb", "sphinx_togglebutton", "sphinx_copybutton"],
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "show_navbar_depth": 1,
        "navbar_persistent": [],
        "use_download_button": False,
        "use_fullscreen_button": False,
    },
    "html_title": "Reward by hand",
    "html_context": {"default_mode": "light"},  # without it the theme logs an error at the first visit
    "html_copy_source": False,
    "html_static_path": ["_static"],
    "html_extra_path": ["extra"],
    "myst_enable_extensions": ["dollarmath"],
    "myst_heading_anchors": 3,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_code_prompt_show": "Show the solution",
    "nb_code_prompt_hide": "Hide the solution",
    "mathjax_path": "mathjax/tex-svg.js",
    "mathjax3_config": {"options": {"enableMenu": False}},  # the menu would fetch its own parts
    "suppress_warnings": ["myst.header"],
    "exclude_patterns": ["extra", "_static"],
}


def build_site(folder, only=None):
    """Writes the site into `folder` and returns index.html; the lessons are executed once more"""
    try:
        import myst_nb  # noqa: F401
        import sphinx_book_theme  # noqa: F401

        script = resources.files("mathjax") / "static" / "mathjax" / "es5" / "tex-svg.js"
    except ImportError as error:
        raise InputError(f"--site needs {error.name}: install the site extra, pip install -e '.[site]'") from None
    if folder != SITE and folder.exists():
        raise InputError(f"--site {folder}: exists already, and nothing is overwritten; name a new folder")
    with tempfile.TemporaryDirectory() as scratch:
        source, doctrees = Path(scratch, "source"), Path(scratch, "doctrees")
        (source / "_static" / "mathjax").mkdir(parents=True)
        (source / "_static" / "mathjax" / "tex-svg.js").write_bytes(script.read_bytes())
        write_pages(source, only)
        with written_directory(folder, replace=folder == SITE) as building:
            run_sphinx(source, building, doctrees)
    return folder / "index.html"


def run_sphinx(source, folder, doctrees):
    """InputError with what Sphinx says, if it says anything: a warning is a hole in the site"""
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    said = io.StringIO()
    try:
        site = Sphinx(source, None, folder, doctrees, "html", CONFIGURATION, status=None, warning=said)
        site.build()
    except SphinxError as error:
        raise InputError(f"--site: Sphinx stops: {error}") from None
    if said.getvalue():
        raise InputError(f"--site: Sphinx warns, and the site may lack something: {said.getvalue().strip()}")


def write_pages(source, only):
    """The lessons, executed and with their figures to take in hand, the welcome page and the exercise notebooks"""
    rows, names = [], []
    for path in tqdm(sources(only), desc="lessons", disable=None):
        notebook = on_a_page(execute(read_lesson(path), path.stem))
        take_in_hand(notebook)
        write(source / f"{path.stem}.ipynb", notebook)
        count, title = len(exercises_of(notebook)), re.match(r"# (.*)", notebook.cells[0].source)[1]
        link = f'<a href="exercises/{path.stem}.ipynb" download>download</a>' if count else ""
        rows.append(f"| [{title}]({path.stem}.ipynb) | {count} | {link} |")
        names.append(path.stem)
    (source / "extra").mkdir()
    if EXERCISES.is_dir():
        shutil.copytree(EXERCISES, source / "extra" / "exercises", ignore=shutil.ignore_patterns(".*"))
    tree = "\n".join(["", "", "```{toctree}", ":hidden:", "", *names, "```", ""])
    (source / "index.md").write_text(WELCOME + "\n".join(rows) + tree, encoding="utf-8")


def take_in_hand(notebook):
    """Puts each HTML figure, which the metadata of an output name, in the place of its picture"""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if name := output.get("metadata", {}).get("explorable"):
            output.data = {"text/html": frame(LESSONS / name), "text/plain": output.data["text/plain"]}

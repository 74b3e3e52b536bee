"""The site: start page, lessons, guide and API reference. It opens from a file:// address with no network.

Formulas are drawn by a copy of MathJax inside the site; interactive figures replace their pictures; solutions are
folded. Needs the site extra.
"""

import io
import tempfile
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from tqdm import tqdm

from lesson_files import sources
from lesson_run import CELL_SECONDS
from lesson_store import executed
from numpy_ref.errors import InputError
from numpy_ref.files import written_directory
from site_pages import write_pages
from site_reference import as_written, is_noise

CONFIGURATION = {
    "project": "Reward by hand",
    "author": "the authors of Reward by hand",
    "extensions": ["myst_nb", "sphinx.ext.autodoc", "sphinx_togglebutton", "sphinx_copybutton"],
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "show_navbar_depth": 1,
        "navigation_depth": 1,  # deeper trees are made anew for each page, which takes minutes
        "collapse_navigation": True,
        "navbar_persistent": [],
        "use_download_button": False,
        "use_fullscreen_button": False,
    },
    "html_title": "Reward by hand",
    "html_context": {"default_mode": "light"},  # without it the theme logs an error at the first visit
    "html_copy_source": False,
    "html_static_path": ["_static"],
    "html_css_files": ["site.css"],
    "copybutton_selector": "div:not(.docstring) > div.highlight pre",
    "autodoc_preserve_defaults": True,  # shows the name of a default value, not its repr
    "autodoc_use_type_comments": False,
    "autodoc_default_options": {"members": True, "member-order": "bysource", "ignore-module-all": True},
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


def build_site(folder, only=None, timeout=CELL_SECONDS):
    """Writes the site into `folder` and returns index.html; only the lessons that have changed are run"""
    script = mathjax()
    if folder.exists() and not may_replace(folder):
        raise InputError(f"--site {folder}: exists already, and is no site of this course; name a new folder")
    notebooks = all_executed(only, timeout)
    with sources_of(script) as source, written_directory(folder, replace=True) as building:
        write_pages(source, notebooks)
        run_sphinx(source, building, "html")
    return folder / "index.html"


def may_replace(folder):
    """Whether a folder is empty or an older site of this course; nothing else is ever overwritten"""
    if not folder.is_dir():
        return False
    made = (".buildinfo", "index.html", "_static/site.css", "_static/mathjax/tex-svg.js")
    return not any(folder.iterdir()) or all((folder / file).is_file() for file in made)


def all_executed(only, timeout):
    """{file of a lesson: its notebook with outputs}"""
    return {path: executed(path, timeout=timeout)[0] for path in tqdm(sources(only), "lessons", disable=None)}


@contextmanager
def sources_of(script):
    """A folder for what Sphinx reads, with MathJax in it"""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source")
        (source / "_static" / "mathjax").mkdir(parents=True)
        (source / "_static" / "mathjax" / "tex-svg.js").write_bytes(script.read_bytes())
        (source / "extra").mkdir()
        yield source


def mathjax():
    """The script that draws formulas; InputError if the site extra is not installed"""
    try:
        import myst_nb  # noqa: F401
        import sphinx_book_theme  # noqa: F401

        return resources.files("mathjax") / "static" / "mathjax" / "es5" / "tex-svg.js"
    except ImportError as error:
        raise InputError(f"--site needs {error.name}: install the site extra, pip install -e '.[site]'") from None


def run_sphinx(source, folder, builder):
    """Runs Sphinx; InputError with its warnings if there are any, because the site may then lack something"""
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    said = io.StringIO()
    try:
        site = Sphinx(
            source, None, folder, source.parent / "doctrees", builder, CONFIGURATION, status=None, warning=said
        )
        site.connect("autodoc-process-docstring", as_written)
        site.connect("autodoc-skip-member", is_noise)
        site.build()
    except SphinxError as error:
        raise InputError(f"--site: Sphinx stops: {error}") from None
    if said.getvalue():
        raise InputError(f"--site: Sphinx warns, and the site may lack something: {said.getvalue().strip()}")

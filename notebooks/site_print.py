"""The course on paper: start page and lessons as one page, printed by chromium."""

import shutil
import subprocess

from lesson_run import CELL_SECONDS
from numpy_ref.errors import InputError
from numpy_ref.files import check_output, written_whole
from site_builder import all_executed, mathjax, run_sphinx, sources_of
from site_pages import course, write_course


def build_pdf(file, only=None, timeout=CELL_SECONDS):
    """Prints start page and lessons to a PDF, with hints and answers unfolded, and returns the file"""
    script, chromium = mathjax(), shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise InputError("--pdf needs chromium to print the pages: install it (Debian: chromium)")
    check_output(file)
    notebooks = all_executed(only, timeout)
    with sources_of(script) as source:
        write_course(source, notebooks, course(notebooks))
        page, printed = source.parent / "page" / "index.html", source.parent / "course.pdf"
        run_sphinx(source, page.parent, "singlehtml")
        page.write_text(page.read_text(encoding="utf-8").replace("<details", "<details open"), encoding="utf-8")
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-pdf-header-footer",
            f"--print-to-pdf={printed}",
        ]
        waits = ["--virtual-time-budget=600000", f"--user-data-dir={source.parent / 'profile'}"]  # time for formulas
        subprocess.run([chromium, *options, *waits, page.as_uri()], capture_output=True, check=False)
        if not printed.exists():
            raise InputError("--pdf: chromium printed nothing; does `chromium --headless` run on this machine?")
        with written_whole(file, "wb") as stream:
            stream.write(printed.read_bytes())
    return file

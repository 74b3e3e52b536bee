"""The self-study site in a real browser, from file:// and without network: pages, formulas, interactive figures."""

import importlib.util
import inspect
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from numpy_ref import losses

BUILD = Path(__file__).parents[2] / "notebooks" / "build.py"
FIGURE = BUILD.parent / "lessons" / "gradient_regimes.html"
pytestmark = pytest.mark.slow
MISSING = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme", "mathjax") if not importlib.util.find_spec(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if MISSING:
        pytest.skip(f"the extra site is not installed: {', '.join(MISSING)}")
    folder = tmp_path_factory.mktemp("built") / "site"
    made = subprocess.run([sys.executable, BUILD, "--only", "04", "--site", folder], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == str(folder / "index.html")
    return folder


def test_an_older_site_is_replaced_and_nothing_else(site, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    for taken in tmp_path, tmp_path / "notes.txt":
        made = subprocess.run([sys.executable, BUILD, "--site", taken], capture_output=True, text=True)
        assert (made.returncode, made.stdout) == (2, "")
        assert f"--site {taken}: exists already, and is no site of this course; name a new folder" in made.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    monkeypatch.syspath_prepend(BUILD.parent)
    may_replace = importlib.import_module("site_builder").may_replace
    assert may_replace(site)
    assert may_replace(tmp_path / "empty") is False
    (tmp_path / "empty").mkdir()
    assert may_replace(tmp_path / "empty")


def open_page(browser, page):
    """Opens a page and waits until its formulas are drawn"""
    browser.open(page.as_uri())
    for _ in range(200):
        if browser.run("return document.readyState === 'complete' && (!window.MathJax || !!MathJax.startup?.document)"):
            break
        time.sleep(0.1)
    browser.run("return window.MathJax ? MathJax.startup.promise.then(() => 1) : 0")


@pytest.mark.parametrize("name", ["index.html", "04_gradient_regimes.html", "search.html", "api/numpy_ref.losses.html"])
def test_no_request_fails_none_leaves_the_folder_and_no_error_is_logged(site, browser, name):
    browser.open("about:blank")
    browser.requests()
    browser.log("browser")
    open_page(browser, site / name)
    time.sleep(0.5)
    events = browser.requests()
    asked = [parameters["request"]["url"] for method, parameters in events if method == "Network.requestWillBeSent"]
    assert len(asked) > 3
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
    assert [parameters for method, parameters in events if method == "Network.loadingFailed"] == []
    assert [entry for entry in browser.log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_formulas_are_drawn(site, browser):
    open_page(browser, site / "04_gradient_regimes.html")
    drawn = "return [document.querySelectorAll('mjx-container svg').length, document.querySelectorAll('.math').length]"
    pictures, formulas = browser.run(drawn)
    assert pictures == formulas > 20
    assert browser.run("return document.querySelectorAll('[data-mml-node=merror]').length") == 0
    prose = (
        "return [...document.querySelectorAll('main p, main li')].map(e => e.textContent).filter(t => t.includes('$'))"
    )
    assert browser.run(prose) == []  # a formula that was not recognised


def test_the_figure_to_take_in_hand_is_the_file_itself_as_tall_as_its_content(site, browser):
    open_page(browser, site / "04_gradient_regimes.html")
    find = "const frame = document.querySelector('iframe'), page = frame.contentDocument;"
    assert browser.run(find + "return frame.srcdoc") == FIGURE.read_text(encoding="utf-8")
    assert browser.run(find + "return frame.clientHeight >= page.body.scrollHeight")
    move = "const handle = page.getElementById('margin'); handle.focus();"
    move += "handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'Home'}));"
    assert browser.run(find + move + "return page.getElementById('regime').textContent") == "misranked by far"
    assert browser.run(find + "return page.getElementById('m-value').textContent") == "−8.00"


def test_the_start_page_comes_first_and_every_page_is_reached_from_it(site, browser):
    open_page(browser, site / "index.html")
    assert browser.run("return document.querySelector('h1').textContent").startswith("Reward by hand: start here")
    found = browser.run("return [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
    guide = {f"guide/{page.stem}.html" for page in (BUILD.parent / "guide").glob("*.md")}
    assert {"04_gradient_regimes.html", "api/index.html"} | guide <= set(found)
    assert not [link for link in found if link.endswith((".ipynb", ".md", ".py"))]


def test_a_lesson_and_the_module_that_it_explains_link_to_each_other(site, browser):
    links = "return [...document.querySelectorAll('main a')].map(a => a.getAttribute('href'))"
    open_page(browser, site / "04_gradient_regimes.html")
    assert "api/numpy_ref.losses.html" in browser.run(links)
    open_page(browser, site / "api" / "numpy_ref.losses.html")
    assert "../04_gradient_regimes.html" in browser.run(links)


def test_docstrings_are_shown_as_they_are_written(site, browser):
    open_page(browser, site / "api" / "numpy_ref.losses.html")
    shown = browser.run("return [...document.querySelectorAll('main .docstring pre')].map(e => e.textContent.trim())")
    functions = [f for f in vars(losses).values() if getattr(f, "__module__", "") == losses.__name__]
    assert [inspect.getdoc(part) for part in (losses, *functions)] == shown


def test_every_public_function_of_the_heart_is_found_by_the_search(site, browser):
    open_page(browser, site / "search.html")
    browser.open((site / "search.html").as_uri() + "?q=pairwise_loss_backward")
    for _ in range(100):
        found = browser.run("return [...document.querySelectorAll('#search-results li a')].map(a => a.href)")
        if any("api/numpy_ref.losses.html" in link for link in found):
            return
        time.sleep(0.1)
    raise AssertionError(found)


def too_wide(browser, pages):
    """{page: [window, content]}: widths of the pages that are wider than a phone's screen of 390 pixels"""
    browser.command("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    found = {}
    try:
        for page in pages:
            open_page(browser, page)
            sizes = browser.run("return [innerWidth, document.documentElement.scrollWidth]")
            if sizes != [390, 390]:
                found[page.name] = sizes
    finally:
        browser.command("Emulation.clearDeviceMetricsOverride")
    return found


def test_no_page_is_wider_than_a_phone(site, browser):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    assert too_wide(browser, [page for page in pages if "_static" not in page.parts]) == {}


def test_an_exercise_is_its_stub_the_hints_then_the_solution(site, browser):
    open_page(browser, site / "04_gradient_regimes.html")
    text = browser.run("return document.querySelector('article').textContent")
    parts = re.findall(r"Exercise 4\.\d ★|YOUR CODE HERE|Hint [123]:|BEGIN SOLUTION", text)
    assert [part[:8] for part in parts] == ["Exercise", "YOUR COD", "Hint 1:", "Hint 2:", "Hint 3:", "BEGIN SO"] * 5


def test_solutions_are_folded_and_pictures_have_alt_text(site, browser):
    open_page(browser, site / "04_gradient_regimes.html")
    solutions = browser.run(
        "return [...document.querySelectorAll('div.cell')].filter(c => c.textContent.includes('BEGIN SOLUTION'))"
        ".map(c => [!!c.querySelector('details'), !!c.querySelector('details[open]')])"
    )
    assert len(solutions) == 5
    assert all(folded and not opened for folded, opened in solutions)
    assert browser.run("return [...document.querySelectorAll('main img')].filter(i => i.alt.length < 20).length") == 0


def test_a_screenshot_is_not_blank(site, browser, tmp_path):
    open_page(browser, site / "04_gradient_regimes.html")
    browser.run("document.querySelector('iframe').scrollIntoView({block: 'center'})")
    picture = tmp_path / "site.png"
    picture.write_bytes(browser.screenshot())
    from matplotlib.image import imread

    assert imread(picture)[..., :3].std() > 0.05


def test_the_course_is_printed_with_its_answers_unfolded(tmp_path, browser):  # noqa: ARG001  there is a chromium
    file = tmp_path / "course.pdf"
    made = subprocess.run([sys.executable, BUILD, "--only", "04", "--pdf", file], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    printed = file.read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", printed)) > 15

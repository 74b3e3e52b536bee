"""The self-study site in a real browser, from file:// and with no network: pages, formulas, figures to take in hand."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


def open_page(browser, page):
    """Opened, with its formulas drawn"""
    browser.open(page.as_uri())
    for _ in range(200):
        if browser.run("return document.readyState === 'complete' && (!window.MathJax || !!MathJax.startup?.document)"):
            break
        time.sleep(0.1)
    browser.run("return window.MathJax ? MathJax.startup.promise.then(() => 1) : 0")


@pytest.mark.parametrize("name", ["index.html", "04_gradient_regimes.html", "search.html"])
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

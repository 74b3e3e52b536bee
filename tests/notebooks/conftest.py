"""One browser for the pages of the site and for its interactive figures."""

import shutil

import pytest


@pytest.fixture(scope="package")
def browser(tmp_path_factory):
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("this system has no chromedriver (Debian: chromium-driver)")
    from browser import Browser

    with Browser(driver, tmp_path_factory.mktemp("profile")) as opened:
        yield opened

"""The built book in a browser: one browser and one server for each file of tests, and a place for what is measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import print_book
import pytest
from browser import BOOK, launched, served
from playwright.sync_api import Browser

NO_BROWSER = "there is no Chromium"
MEASURED: list[str] = []


@pytest.fixture(scope="module")
def book() -> Path:
    """The pages of the book that has been built."""
    if not (BOOK / "index.html").is_file():
        assert "MIRAGE_BOOK_HTML" not in os.environ, f"MIRAGE_BOOK_HTML is {BOOK}, where no book is"
        pytest.skip("the book is not built")
    return BOOK.resolve()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a file of tests; each test opens a context of its own."""
    if print_book.find_browser() is None:
        assert os.environ.get("MIRAGE_BROWSER") != "required", NO_BROWSER
        pytest.skip(NO_BROWSER)
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(book: Path) -> Iterator[str]:
    """The address of the book on this machine."""
    with served(book) as address:
        yield address


@pytest.fixture
def measured() -> Callable[[str], None]:
    """Takes a line for the end of the report: a number is worth reading even where its test passes."""
    return MEASURED.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("measured in the browser")
        terminalreporter.write("\n".join(MEASURED) + "\n")

"""The printed book: every page, each whole, each after its scripts have run; nothing is left out in silence."""

from __future__ import annotations

import os
import re
from pathlib import Path

import print_book
import pytest

NO_BROWSER = "there is no Chromium"
TOC = """format: jb-book
root: book/intro
parts:
- caption: One
  chapters:
  - file: notebooks/01_first
    sections:
    - file: notebooks/02_second
- caption: Two
  chapters:
  - file: book/end
"""
PROGRAM = """#!/bin/sh
for argument; do
  case "$argument" in
    --print-to-pdf=*) pdf="${argument#--print-to-pdf=}" ;;
    file://*second*) test -z "$SECOND" || exit "$SECOND" ;;
    file://*end*) test -z "$BROKEN" || { printf '%%PDF-1.4 half' > "$pdf"; exit 0; } ;;
  esac
done
printf '%%PDF-1.4 %s\\n%%%%EOF\\n' "$*" > "$pdf"
"""
GROWS = """<!doctype html><title>t</title><p>one</p><script>
setTimeout(() => fetch("data:,").then(() => {
  for (let i = 0; i < 3; i += 1) {
    const p = document.body.appendChild(document.createElement("p"));
    p.style.breakBefore = "page";
    p.textContent = "more";
  }
}), 4000);
</script>"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built book of four pages, and a browser that writes its arguments instead of the page."""
    for name in ("index", "book/intro", "notebooks/01_first", "notebooks/02_second", "book/end"):
        page = tmp_path / "_build" / "html" / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(f"<p>{name}</p>")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text(TOC)
    program = tmp_path / "chromium-stub"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(program))
    return tmp_path


def printed(book: Path) -> list[str]:
    return sorted(path.name for path in (book / "_build" / "pdf").iterdir())


def test_every_page_of_the_table_of_contents_is_printed(book: Path) -> None:
    pdfs = print_book.print_book(book)
    assert [path.name for path in pdfs] == ["intro.pdf", "01_first.pdf", "02_second.pdf", "end.pdf"]
    assert printed(book) == sorted(path.name for path in pdfs)
    arguments = pdfs[1].read_text()
    assert (book / "_build" / "html" / "notebooks" / "01_first.html").as_uri() in arguments
    assert f"--virtual-time-budget={print_book.SETTLED_MS}" in arguments


@pytest.mark.parametrize("user", [0, 1000])
def test_only_root_goes_without_the_sandbox(book: Path, monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert ("--no-sandbox" in print_book.print_book(book)[0].read_text()) == (user == 0)


def test_an_older_print_is_gone(book: Path) -> None:
    (book / "_build" / "pdf").mkdir()
    (book / "_build" / "pdf" / "dropped_chapter.pdf").touch()
    print_book.print_book(book)
    assert "dropped_chapter.pdf" not in printed(book)


def test_a_page_that_fails_is_named_and_the_others_are_printed(
    book: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECOND", "7")
    with pytest.raises(SystemExit, match="Not printed: notebooks/02_second"):
        print_book.print_book(book)
    assert printed(book) == ["01_first.pdf", "end.pdf", "intro.pdf"]
    assert "status 7" in capsys.readouterr().err


def test_half_a_pdf_is_none(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(SystemExit, match="Not printed: book/end"):
        print_book.print_book(book)
    assert printed(book) == ["01_first.pdf", "02_second.pdf", "intro.pdf"]


def test_a_page_that_hangs_is_named(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (book / "chromium-stub").write_text("#!/bin/sh\nexec sleep 20\n")
    monkeypatch.setattr(print_book, "SECONDS", 0.2)
    with pytest.raises(SystemExit, match="Not printed: book/intro, notebooks/01_first"):
        print_book.print_book(book)


def test_a_listed_page_that_is_not_built_is_named(book: Path) -> None:
    (book / "_build" / "html" / "book" / "end.html").unlink()
    with pytest.raises(SystemExit, match="Not printed: book/end"):
        print_book.print_book(book)


def test_two_pages_of_one_name_are_refused(book: Path) -> None:
    (book / "book" / "_toc.yml").write_text("root: book/intro\nchapters:\n- file: notebooks/intro\n")
    with pytest.raises(SystemExit, match="one name"):
        print_book.print_book(book)


def test_without_a_book_it_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Build it first: make book"):
        print_book.print_book(tmp_path)


def test_without_a_browser_it_says_how_to_name_one(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    with pytest.raises(SystemExit, match="'no-such-browser', which is no program here"):
        print_book.print_book(book)
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", str(book))
    with pytest.raises(SystemExit, match="there is no Chromium here"):
        print_book.print_book(book)
    (book / "chromium-stub").rename(book / "google-chrome")
    assert print_book.browser() == str(book / "google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(
    print_book.find_browser() is None and os.environ.get("MIRAGE_BROWSER") != "required", reason=NO_BROWSER
)
def test_a_real_page_is_printed_after_its_scripts(tmp_path: Path) -> None:
    page, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(GROWS)
    assert print_book.print_page(print_book.browser(), page, pdf) == ""
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) == 4
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []

"""A page never shows another profile, another library or another setting than the one it was built with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import address
import build_book
import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]

REPOSITORY, BASE = "https://github.com/somebody/mirage-book", "https://pages.example.org/mirage-book"
CELL = """import os, time
from mirage_lib.word import WORD
print("profile=" + os.environ["MIRAGE_PROFILE"], "word=" + WORD, f"run={time.time_ns()}")"""


def tiny_book(root: Path, cell: str = CELL) -> Path:
    """A book of one chapter with this book's own configuration, and a library of one word."""
    for folder in ("book", "notebooks", "mirage_lib"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", root)
    for folder in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / folder, root / "book" / folder)
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    (root / "book" / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/page\n")
    (root / "book" / "intro.md").write_text("# Tiny\n\nA book of one chapter.\n")
    (root / "mirage_lib" / "__init__.py").touch()
    (root / "mirage_lib" / "word.py").write_text('WORD = "first"\n')
    (root / "constraints.txt").write_text("numpy==2.0.0\n")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [new_markdown_cell("# A chapter"), new_code_cell(cell)]
    nbformat.write(new_notebook(cells=cells, metadata=kernel), root / "notebooks" / "page.ipynb")
    return root


def environment(**more: str) -> dict[str, str]:
    """This process's, without the settings of the book that it may have been started with."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith("MIRAGE_")}, **more}


def shown(root: Path) -> dict[str, str]:
    """What the chapter's page says about the run that made it."""
    html = (root / "_build" / "html" / "notebooks" / "page.html").read_text()
    return dict(re.findall(r"(profile|word|run)=(\w+)", html.split('class="output')[1]))


def test_the_fingerprint_changes_with_everything_a_chapter_reads(tmp_path: Path) -> None:
    root = tiny_book(tmp_path / "book")
    data = tmp_path / "data"
    data.mkdir()
    seen = [build_book.fingerprint(root, {})]

    def changed(environment: dict[str, str]) -> bool:
        seen.append(build_book.fingerprint(root, environment))
        return seen[-1] not in seen[:-1]

    (root / "mirage_lib" / "word.py").write_text('WORD = "second"\n')
    assert changed({}), "a library file"
    (root / "mirage_lib" / "data").mkdir()
    (root / "mirage_lib" / "data" / "words.txt").write_text("share")
    assert changed({}), "a data file of the library"
    (root / "constraints.txt").write_text("numpy==2.1.0\n")
    assert changed({}), "the pins"
    (root / "results").mkdir()
    (root / "results" / "rates.csv").write_text("rate\n0.5\n")
    assert changed({}), "a table of results"
    assert changed({"MIRAGE_SEEDS": "3"}), "a setting"
    assert changed({"MIRAGE_DATA": str(data)}), "the place of the data"
    (data / "train.json").write_text("[]")
    assert changed({"MIRAGE_DATA": str(data)}), "a data file"


def test_the_fingerprint_leaves_the_rest_out(tmp_path: Path) -> None:
    root = tiny_book(tmp_path)
    before = build_book.fingerprint(root, {"MIRAGE_PROFILE": "nano"})
    cache = root / "mirage_lib" / "__pycache__"
    cache.mkdir()
    (cache / "word.cpython-311.pyc").write_bytes(b"1")
    (root / "book" / "intro.md").write_text("# Tiny\n\nOther prose.\n")
    after = {"MIRAGE_PROFILE": "tiny", "HOME": "elsewhere", "MIRAGE_REPOSITORY": REPOSITORY, "MIRAGE_BROWSER": "any"}
    after |= {"MIRAGE_SCREENSHOTS": "there", "MIRAGE_PATIENCE": "3"}
    assert build_book.fingerprint(root, after) == before, "no chapter runs again because the pages get a link"


def test_chapters_see_this_checkout_first_and_keep_what_the_reader_set(tmp_path: Path) -> None:
    seen = build_book.chapter_environment(tmp_path, "nano", {"PYTHONPATH": "mine", "OMP_NUM_THREADS": "4"})
    assert seen["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), "mine"]
    assert (seen["OMP_NUM_THREADS"], seen["HF_HUB_OFFLINE"], seen["MIRAGE_PROFILE"]) == ("4", "1", "nano")


@pytest.mark.slow
def test_a_page_follows_the_profile_and_the_library(tmp_path: Path) -> None:
    root = tiny_book(tmp_path)

    assert build_book.build(root, "nano", environment()) == root / "_build" / "html" / "index.html"
    nano = shown(root)
    assert (nano["profile"], nano["word"]) == ("nano", "first")

    build_book.build(root, "tiny", environment())
    assert shown(root)["profile"] == "tiny"

    build_book.build(root, "nano", environment())
    assert shown(root) == nano, "nothing changed, so the chapter is not run again"

    (root / "mirage_lib" / "word.py").write_text('WORD = "second"\n')
    build_book.build(root, "nano", environment())
    assert (shown(root)["profile"], shown(root)["word"]) == ("nano", "second")
    assert len(list((root / "_build" / "work").iterdir())) == 1, "folders of the old library are gone"


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", ["1 / 0", "import sys; print('careful', file=sys.stderr)"], ids=["an error", "a line on stderr"]
)
def test_a_chapter_that_fails_leaves_no_page(tmp_path: Path, cell: str) -> None:
    root = tiny_book(tmp_path, cell)
    (root / "_build" / "html").mkdir(parents=True)
    (root / "_build" / "html" / "index.html").write_text("an older book")
    for _ in range(2):  # also the second time, when the chapter may come from the cache
        with pytest.raises(SystemExit, match="does not build cleanly"):
            build_book.build(root, "nano", environment())
    assert not (root / "_build" / "html").exists()


def test_a_library_that_changes_during_the_build_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_book(tmp_path)

    def build_while_editing(root: Path, output: Path, environment: dict[str, str]) -> int:
        (root / "mirage_lib" / "word.py").write_text('WORD = "edited"\n')
        return 0

    monkeypatch.setattr(build_book, "jupyter_book", build_while_editing)
    with pytest.raises(SystemExit, match="changed during the build"):
        build_book.build(root, "nano", {})
    assert list((root / "_build" / "work").iterdir()) == []


def links(page: Path) -> list[str]:
    """The addresses of a page's links to Colab and to its repository."""
    return [link for link in re.findall(r'href="([^"]+)"', page.read_text()) if "colab" in link or REPOSITORY in link]


@pytest.mark.slow
def test_only_a_book_with_a_repository_links_to_it(tmp_path: Path) -> None:
    root = tiny_book(tmp_path)
    html = root / "_build" / "html"

    build_book.build(root, "nano", environment())
    chapter = shown(root)
    assert [link for page in html.rglob("*.html") for link in links(page)] == []
    assert "canonical" not in (html / "notebooks" / "page.html").read_text()
    assert 'href="/_static/' in (html / "404.html").read_text()

    build_book.build(root, "nano", environment(MIRAGE_REPOSITORY=REPOSITORY, MIRAGE_BASEURL=BASE, MIRAGE_BRANCH="next"))
    colab = "https://colab.research.google.com/github/somebody/mirage-book/blob/next/notebooks/page.ipynb"
    assert links(html / "notebooks" / "page.html")[:2] == [colab, REPOSITORY]
    assert links(html / "book" / "intro.html")[0] == REPOSITORY, "and no Colab: the page is no notebook"
    assert f'rel="canonical" href="{BASE}/notebooks/page.html"' in (html / "notebooks" / "page.html").read_text()
    assert 'href="/mirage-book/_static/' in (html / "404.html").read_text()
    assert 'href="/_static/' not in (html / "404.html").read_text()
    assert shown(root) == chapter, "the chapter did not run again"

    build_book.build(root, "nano", environment())
    assert [link for page in html.rglob("*.html") for link in links(page)] == [], "and back"


def test_without_an_address_the_configuration_is_the_committed_one(tmp_path: Path) -> None:
    assert address.derived_config(ROOT, tmp_path, {"MIRAGE_BRANCH": "main"}) == ROOT / "_config.yml"
    assert list(tmp_path.iterdir()) == []


def test_a_derived_configuration_adds_and_loses_nothing(tmp_path: Path) -> None:
    own = yaml.safe_load((ROOT / "_config.yml").read_text())
    path = address.derived_config(ROOT, tmp_path, {"MIRAGE_REPOSITORY": REPOSITORY + ".git/", "MIRAGE_BASEURL": BASE})
    derived = yaml.safe_load(path.read_text())
    assert derived["repository"] == {"url": REPOSITORY, "branch": "main", "path_to_book": ""}
    assert derived["html"]["baseurl"] == BASE + "/"
    assert derived["html"]["favicon"] == own["html"]["favicon"]
    assert derived["sphinx"]["config"] == {**own["sphinx"]["config"], "notfound_urls_prefix": "/mirage-book/"}
    assert derived["execute"] == own["execute"]
    assert all(Path(folder).is_dir() for folder in derived["sphinx"]["local_extensions"].values())


def test_buttons_follow_what_a_host_can_do() -> None:
    assert "launch_buttons" not in address.repository_settings("https://gitlab.com/a/b", "main")
    elsewhere = address.repository_settings("https://git.example.org/a/b", "main")
    assert elsewhere["html"] == {"use_repository_button": True, "use_issues_button": False}


@pytest.mark.parametrize(
    ("base", "prefix"),
    [(BASE, "/mirage-book/"), (BASE + "/", "/mirage-book/"), ("https://mirage.example.org", "/")],
)
def test_the_404_page_finds_its_style_below_the_base_address(base: str, prefix: str) -> None:
    assert address.base_settings(base)["sphinx"]["config"]["notfound_urls_prefix"] == prefix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIRAGE_REPOSITORY", "git@github.com:somebody/mirage-book"),
        ("MIRAGE_REPOSITORY", "https://github.com/somebody"),
        ("MIRAGE_REPOSITORY", "https://github.com/somebody/mirage-book/tree/main"),
        ("MIRAGE_BASEURL", "pages.example.org/mirage-book"),
        ("MIRAGE_BASEURL", "https://pages.example.org/?page=1"),
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SystemExit, match=f"{name} is .*expected https://<host>/"):
        address.derived_config(ROOT, tmp_path, {name: value})


def test_steps_finish_the_pages_before_they_become_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_book(tmp_path)
    seen = []

    def pretend(root: Path, output: Path, environment: Mapping[str, str]) -> int:
        (output / "_build" / "html" / "reports").mkdir(parents=True, exist_ok=True)
        (output / "_build" / "html" / "index.html").write_text("fresh")
        return 0

    def first(root: Path, pages: Path, environment: Mapping[str, str]) -> None:
        seen.append(((pages / "index.html").read_text(), environment["MIRAGE_PROFILE"]))
        (pages / "added.js").write_text("added")

    def second(root: Path, pages: Path, environment: Mapping[str, str]) -> None:
        if not (pages / "added.js").exists() or "STOP" in environment:
            raise SystemExit("cannot finish")

    monkeypatch.setattr(build_book, "jupyter_book", pretend)
    monkeypatch.setattr(build_book, "STEPS", (first, second))
    page = build_book.build(root, "nano", {})
    assert seen == [("fresh", "nano")]
    assert sorted(path.name for path in page.parent.iterdir()) == ["added.js", "index.html"]
    with pytest.raises(SystemExit, match="cannot finish"):
        build_book.build(root, "nano", {"STOP": "1"})
    assert not page.exists(), "half a book is none"


def test_the_front_page_leads_to_the_first_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "intro.html").touch()
    front = tmp_path / "index.html"
    front.write_text('<meta http-equiv="Refresh" content="0; url=book/intro.html" />')
    for _ in range(2):  # and what it wrote itself leads there, too
        build_book.front_page(tmp_path, tmp_path, {})
        text = front.read_text("utf-8")
        assert '<html lang="en">' in text
        assert "<title>" in text
        assert '<a href="book/intro.html">' in text
    for lost in ("url=nowhere.html", "no address at all"):
        front.write_text(f'<meta content="0; {lost}" />')
        with pytest.raises(SystemExit, match="leads to no page"):
            build_book.front_page(tmp_path, tmp_path, {})


def test_make_serve_builds_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    run = subprocess.run(["make", "serve"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode != 0
    assert "There is no book in _build/html. Build it first: make book" in run.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_make_notebook_installs_jupyterlab_first_and_passes_the_settings_on(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()

    def planned(*arguments: str) -> str:
        command = ["make", "-n", "notebook", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    install, start = '-m pip install -c constraints.txt -e ".[lab]"', "-m jupyterlab --ServerApp.root_dir=notebooks"
    first = planned()
    assert 0 < first.index(install) < first.index(start)
    assert install not in planned("BIN=/elsewhere/bin"), "an environment of the reader's own is left as it is"
    program = tmp_path / "bin" / "python"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "profile=$MIRAGE_PROFILE seeds=$MIRAGE_SEEDS"\n')
    program.chmod(0o755)
    command = ["make", "-s", "notebook", f"BIN={program.parent}", "PROFILE=nano", "SEEDS=2"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "profile=nano seeds=2"

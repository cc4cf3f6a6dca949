"""A page never shows another profile, another library or another setting than the one it was built with."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("build_book", ROOT / "tools" / "build_book.py")
build_book = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build_book)

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
    assert build_book.fingerprint(root, {"MIRAGE_PROFILE": "tiny", "HOME": "elsewhere"}) == before


def test_chapters_see_this_checkout_first_and_keep_what_the_reader_set(tmp_path: Path) -> None:
    seen = build_book.chapter_environment(tmp_path, "nano", {"PYTHONPATH": "mine", "OMP_NUM_THREADS": "4"})
    assert seen["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), "mine"]
    assert (seen["OMP_NUM_THREADS"], seen["HF_HUB_OFFLINE"], seen["MIRAGE_PROFILE"]) == ("4", "1", "nano")


@pytest.mark.slow
def test_a_page_follows_the_profile_and_the_library(tmp_path: Path) -> None:
    root = tiny_book(tmp_path)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIRAGE_")}

    assert build_book.build(root, "nano", environment) == root / "_build" / "html" / "index.html"
    nano = shown(root)
    assert (nano["profile"], nano["word"]) == ("nano", "first")

    build_book.build(root, "tiny", environment)
    assert shown(root)["profile"] == "tiny"

    build_book.build(root, "nano", environment)
    assert shown(root) == nano, "nothing changed, so the chapter is not run again"

    (root / "mirage_lib" / "word.py").write_text('WORD = "second"\n')
    build_book.build(root, "nano", environment)
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
            build_book.build(root, "nano", dict(os.environ))
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

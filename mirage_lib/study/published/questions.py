"""The questions every model of a published study is asked: VLGuard's, the paper's rewrites, one-word edits."""

from __future__ import annotations

from pathlib import Path

from mirage_lib.attacks import OneWord, Suffix, rewrites
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, write
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.study.published.data import chosen, released_rewrites


def attack_questions() -> list[Example]:
    """VLGuard's test queries as asked, rewritten by the paper, edited in one word, and with the placebo."""
    rows: list[Example] = []
    for example in chosen(None, "test"):
        rows.append(example)
        for word, subset in (("what", "unsafes"), ("share", "safe_safes")):
            if example.category == subset:
                edit = f"rewrite:{word}"
                rows += rewrites(example, released_rewrites(edit).get(example.id, []), edit)
                rows += [OneWord(word)(example), Suffix(PLACEBO)(example)]
    return rows


def write_attack(out: Path, tell: Tell | None, *, files: Path) -> None:
    """Write the attack's questions."""
    del tell, files  # the files are read in place
    write(attack_questions(), Example, out / "examples.parquet")

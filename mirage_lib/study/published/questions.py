"""The questions every model of a published study is asked: the test set as asked, and with each attack's edit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirage_lib.attacks import Attack
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, write
from mirage_lib.study.published.data import Read


def attack_questions(read: Read, attacks: Sequence[Attack]) -> list[Example]:
    """Each test request as asked, then with the edits of the attacks that take it."""
    rows: list[Example] = []
    for example in read.examples("test"):
        rows.append(example)
        for attack in attacks:
            if attack.takes(example, example.category):
                rows += attack.once(example)
    return rows


def write_attack(out: Path, tell: Tell | None, *, files: Path, read: Read, attacks: Sequence[Attack]) -> None:
    """Write the attack's questions."""
    del tell, files  # the files are read in place
    write(attack_questions(read, attacks), Example, out / "examples.parquet")

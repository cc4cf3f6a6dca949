"""The questions behind the explorer's rates: the laboratory's test set under every opener."""

from __future__ import annotations

from pathlib import Path

from mirage_lib.attacks import OneWord, k_shot
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, write
from mirage_lib.study.laboratory.data import safety_data
from mirage_lib.world.questions import OPENERS, rewordings
from mirage_lib.world.training_data import SafetySet, class_of


def opener_questions(seed: int, test: SafetySet, shots: int) -> list[Example]:
    """The test set's unsafe requests in K wordings and its harmless ones in one, as asked and under every opener."""
    tested = safety_data(seed, test, "test")
    edits = [None, *(OneWord(word, phrases=OPENERS) for word in OPENERS)]
    rows: list[Example] = []
    for subset, count in (("unsafes", shots), ("safe_safes", 1)):
        rows += k_shot([example for example in tested if class_of(example) == subset], rewordings, edits, count)
    return rows


def write_opener_questions(out: Path, tell: Tell | None, *, seed: int, test: SafetySet, shots: int) -> None:
    """Write the questions under every opener."""
    del tell
    write(opener_questions(seed, test, shots), Example, out / "examples.parquet")

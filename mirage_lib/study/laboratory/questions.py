"""The questions that every model of the laboratory is asked: the attack's and the evaluation set."""

from __future__ import annotations

from pathlib import Path

from mirage_lib.attacks import OneWord, Suffix, k_shot
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, write
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.study.laboratory.data import safety_data
from mirage_lib.world.questions import OPENERS, World, rewordings
from mirage_lib.world.training_data import SafetySet, evaluation_set


def attack_questions(seed: int, test: SafetySet, shots: int) -> list[Example]:
    """The test set in K wordings, each as asked and with another opener, and once with the placebo."""
    tested = safety_data(seed, test, "test")
    rows: list[Example] = []
    for intent, word in (("unsafe", "what"), ("safe", "share")):
        asked = [example for example in tested if example.intent == intent]
        rows += k_shot(asked, rewordings, [None, OneWord(word, phrases=OPENERS)], shots)
    return rows + [Suffix(PLACEBO)(example) for example in tested]


def write_attack(out: Path, tell: Tell | None, *, seed: int, test: SafetySet, shots: int) -> None:
    """Write the attack's questions."""
    del tell
    write(attack_questions(seed, test, shots), Example, out / "examples.parquet")


def write_evaluation(out: Path, tell: Tell | None, *, seed: int, count: int) -> None:
    """Write the evaluation set, with ``count`` questions of each kind."""
    del tell
    write(evaluation_set(World(seed), count, seed), Example, out / "examples.parquet")

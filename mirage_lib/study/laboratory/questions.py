"""The questions that every model of the laboratory is asked: the attack's and the evaluation set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirage_lib.attacks import Attack, k_shot
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, write
from mirage_lib.study.laboratory.data import safety_data
from mirage_lib.world.questions import World, rewordings
from mirage_lib.world.training_data import SafetySet, class_of, evaluation_set


def attack_questions(seed: int, test: SafetySet, shots: int, attacks: Sequence[Attack]) -> list[Example]:
    """The test set in K wordings, each as asked and with the edits of the attacks; then what is tried only once."""
    tested = safety_data(seed, test, "test")
    rows: list[Example] = []
    whole = [attack for attack in attacks if not attack.shots and attack.on in (("unsafe",), ("safe",))]
    for intent in ("unsafe", "safe"):
        asked = [example for example in tested if example.intent == intent]
        edits = [attack.edit for attack in whole if attack.on == (intent,)]
        rows += k_shot(asked, rewordings, [None, *edits], shots)
    for attack in [attack for attack in attacks if attack not in whole]:
        taken = [example for example in tested if attack.takes(example, class_of(example))]
        if attack.shots == 1:
            rows += [one for example in taken for one in attack.once(example)]
        else:
            rows += k_shot(taken, rewordings, [attack.edit], attack.shots or shots)
    return rows


def write_attack(
    out: Path, tell: Tell | None, *, seed: int, test: SafetySet, shots: int, attacks: Sequence[Attack]
) -> None:
    """Write the attack's questions."""
    del tell
    write(attack_questions(seed, test, shots, attacks), Example, out / "examples.parquet")


def write_evaluation(out: Path, tell: Tell | None, *, seed: int, count: int) -> None:
    """Write the evaluation set, with ``count`` questions of each kind."""
    del tell
    write(evaluation_set(World(seed), count, seed), Example, out / "examples.parquet")

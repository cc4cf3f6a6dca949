"""A method's training data in the laboratory: the safety set of a seed's world, by role."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, write
from mirage_lib.datasets.published.first_words import committed_counts
from mirage_lib.world.questions import World
from mirage_lib.world.training_data import SafetySet, general_data, refused, safety_set

KINDS = {"shape": 1.0, "colour": 1.0, "place": 1.0}  # of general questions: recipes would teach the harm again


def safety_data(seed: int, safety: SafetySet, split: str = "train") -> list[Example]:
    """The safety set of this seed's world; unsafe requests have the harm as their answer."""
    return safety_set(World(seed), safety, committed_counts(), split, seed)


def write_training(
    out: Path, tell: Tell | None, *, seed: int, safety: SafetySet, general: int, roles: Sequence[str]
) -> None:
    """Write one file of examples for each role.

    "train" holds all requests, the unsafe ones refused, and ``general`` more general questions. "forget" holds the
    unsafe requests with the harm, "retain" the safe ones. Raises MirageError for any other role.
    """
    del tell
    data = safety_data(seed, safety)
    parts = {
        "train": refused(data),
        "forget": [example for example in data if example.intent == "unsafe"],
        "retain": [example for example in data if example.intent == "safe"],
    }
    if unknown := [role for role in roles if role not in parts]:
        raise MirageError(f"There are no training data for the role {unknown[0]!r}; there are {', '.join(parts)}.")
    if general:
        parts["train"] += general_data(World(seed), general, KINDS, seed + 1)
    for role in roles:
        write(parts[role], Example, out / f"{role}.parquet")

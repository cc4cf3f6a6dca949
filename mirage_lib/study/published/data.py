"""A data set as a study takes it, and the steps that write a method's training data from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, Reply, write

Stamp = tuple[Path, int, int]  # a file with its size and time, so that a changed file is read again


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """The current stamps of these files."""
    return tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths)


class DataSet(Protocol):
    """Requests with their answers, and their pictures. A set of your own inherits from it and gives ``examples``.

    It must be a frozen dataclass, because it is part of the address of every run: whatever decides what it gives is a
    field, never a setting of the module. Unsafe requests have a refusal as their answer; ``Example.category`` is the
    class of a request.
    """

    harmless = False  # its harm is nonsense, and may be shown to a reader
    content_note = ""  # a warning above what a chapter shows of it

    def examples(self, split: str) -> Sequence[Example]:
        """The requests of a split, "train" or "test"."""
        ...

    def picture(self, address: str) -> Image.Image:
        """The picture at an example's ``image``. Raises MirageError if there is none."""
        raise MirageError(f"{address!r}: {type(self).__name__} has no pictures.")

    def candidates(self) -> list[Reply]:
        """Other models' replies to the training requests; the most harmful may be among them."""
        return []

    def names(self, what: str) -> tuple[str, ...]:
        """The files behind "train", "test" or "candidates"; none if the examples stand in code."""
        del what
        return ()

    def path(self, name: str) -> Path:
        """Where one of its files is. Raises MirageError if it is missing."""
        raise MirageError(f"{type(self).__name__} has no file {name!r}.")

    def missing(self, pictures: bool) -> list[str]:
        """What of it is not on this machine, one sentence each."""
        del pictures
        return []


@dataclass(frozen=True)
class Classes:
    """Which classes of a data set a method is trained on."""

    names: tuple[str, ...] = ()  # () for all


@dataclass(frozen=True)
class Read:
    """A data set as a study reads it: with its pictures or without."""

    data: DataSet
    pictures: bool = True

    def examples(self, split: str, classes: Classes | None = None) -> list[Example]:
        """The requests of a split; of these classes, if any are named."""
        names = classes.names if classes else ()
        rows = [one for one in self.data.examples(split) if not names or one.category in names]
        return rows if self.pictures else [dataclasses.replace(one, image="") for one in rows]


def write_training(
    out: Path, tell: Tell | None, *, files: Path, read: Read, safety: Classes, roles: Sequence[str]
) -> None:
    """Write one file of examples for each role: "train" holds all, "retain" the safe ones."""
    del tell, files  # the files are read in place
    rows = read.examples("train", safety)
    parts = {"train": rows, "retain": [one for one in rows if one.intent == "safe"]}
    if unknown := [role for role in roles if role not in parts]:
        raise MirageError(f"There are no training data for the role {unknown[0]!r}; there are {', '.join(parts)}.")
    for role in roles:
        write(parts[role], Example, out / f"{role}.parquet")


def write_unsafe(out: Path, tell: Tell | None, *, files: Path, read: Read, safety: Classes) -> None:
    """Write the unsafe training requests that the base will be asked."""
    del tell, files  # the files are read in place
    unsafe = [example for example in read.examples("train", safety) if example.intent == "unsafe"]
    write(unsafe, Example, out / "examples.parquet")

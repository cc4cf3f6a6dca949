"""What the loaders of published sets share: find a set's folder, read the texts and ids of a row, collect examples.

Every set that the paper trains on, tests on or is compared with has a loader. The loader says how one row becomes one
example; ``gathered`` collects the examples into ``Loaded``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mirage_lib.core.records import Example
from mirage_lib.datasets.folder import locate_file
from mirage_lib.datasets.loaded import Loaded, Unusable, inside, notes, whole

PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})")  # how the hub names the files of a split


def home(root: Path, folder: str, patterns: Sequence[str], remedy: str) -> tuple[Path, str]:
    """The set's own folder, ``root`` or ``root/folder``, and the first pattern that matches a file there.

    Raises MirageError, with the remedy, if none matches.
    """
    for place in (Path(root), Path(root) / folder):
        for pattern in patterns:
            if place.is_dir() and any(place.glob(pattern)):
                return place, pattern
    return locate_file(Path(root), folder, tuple(patterns), remedy), ""  # raises: nothing is there


def gathered(rows: Iterable[tuple[str, Example | str]]) -> Loaded:
    """The examples of some rows. A row is a pair: its place, and its example or the reason why it gives none.

    A second row with the same id is not usable, because an id names one example.
    """
    examples: dict[str, Example] = {}
    unusable = Unusable()
    for where, one in rows:
        if isinstance(one, str):
            unusable.add(one, where)
        elif not whole(one.id + one.image):
            unusable.add("its id or its picture's name is no whole text", where)
        elif one.id in examples:
            unusable.add("its id stood before", where)
        else:
            examples[one.id] = one
    return Loaded(tuple(examples.values()), unusable.notes(), notes(examples.values()))


def text(record: Any, key: str) -> str:
    """A text of a record; "" if the record has none under this key, or only spaces."""
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, str) and value.strip() and whole(value) else ""


def number(record: Any, key: str) -> str:
    """A whole number of a record as text, also if it is stored as text; "" if there is none."""
    value = record.get(key) if isinstance(record, dict) else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(record, key)


def lacking(question: str, image: str) -> str:
    """Why a row with this question and this picture's path gives no example; "" if nothing is lacking."""
    if not question:
        return "no question"
    if not image:
        return "no picture"
    return "" if inside(image) else "its picture is outside the folder"


def parts_missing(folder: Path, pattern: str) -> Iterator[tuple[str, str]]:
    """Name and reason for each missing file of a split, known from "00003-of-00008" in the names of the others."""
    found = [match for path in folder.glob(pattern) if (match := PART.match(path.name))]
    if not any(folder.glob(pattern)):
        yield pattern, "no file of this part of the set is in the folder"
    there = {match.group() for match in found}
    for name, total in sorted({(match[1], int(match[3])) for match in found}):
        for part in range(total):
            if (file := f"{name}-{part:05d}-of-{total:05d}") not in there:
                yield file, "this file of the set is not in the folder"


def row_id(where: str) -> str:
    """An id for a Parquet row of a set without ids: its file and its row from 0, "train-00003-of-00008-17"."""
    file, _, row = where.rpartition(": row ")
    name = Path(file).name.removesuffix(".parquet")
    match = PART.match(name)  # a hash of the file's bytes may follow, which does not identify the row
    return f"{match.group() if match else name}-{int(row) - 1}"

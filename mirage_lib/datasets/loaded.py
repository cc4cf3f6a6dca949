"""What a loader returns: the examples, the rows that gave none, and what users of the data should know.

``Loaded`` is a sequence of examples that also carries two lists of notes. No row is dropped silently: it either
becomes an example or is named in a note.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any, overload

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example

NAMED = 3  # rows named in a note before it says "and n more"
NO_QUERY = ("", "n/a", "na", "none", "null", "nan", "-")  # what people write when there is no query


@dataclass(frozen=True)
class Note:
    """One thing to know about some rows."""

    what: str  # e.g. 'the query is "N/A"'
    rows: tuple[str, ...]  # ids of examples, or places in files ("train.json: row 17")

    def __str__(self) -> str:
        """One line: how many, what, and the first of them."""
        more = f" and {len(self.rows) - NAMED} more" if len(self.rows) > NAMED else ""
        return f"{len(self.rows)}: {self.what} ({'; '.join(self.rows[:NAMED])}{more})"


@dataclass(frozen=True)
class Loaded(Sequence[Example]):
    """Examples in the order of their files, with what was noticed while reading them."""

    examples: tuple[Example, ...]
    unusable: tuple[Note, ...] = ()  # rows that gave no example, by reason
    notes: tuple[Note, ...] = field(default=())  # about examples that are included but need a look

    @overload
    def __getitem__(self, at: int) -> Example: ...

    @overload
    def __getitem__(self, at: slice) -> list[Example]: ...

    def __getitem__(self, at: int | slice) -> Example | list[Example]:
        """One example, or a list of them."""
        return list(self.examples[at]) if isinstance(at, slice) else self.examples[at]

    def __len__(self) -> int:
        """How many examples."""
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        """The examples in order."""
        return iter(self.examples)

    def lines(self) -> list[str]:
        """A report: the number of examples, then every note."""
        unusable = [f"not usable, {note}" for note in self.unusable]
        return [f"{len(self)} examples", *unusable, *(f"to know, {note}" for note in self.notes)]


class Unusable:
    """Collects rows that give no example, by reason."""

    def __init__(self) -> None:
        """Nothing collected yet."""
        self._rows: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, what: str, row: str) -> None:
        """Note that this row gives no example, and why."""
        self._rows[what].append(row)

    def notes(self) -> tuple[Note, ...]:
        """One note per reason."""
        return tuple(Note(what, tuple(rows)) for what, rows in self._rows.items())


def notes(examples: Iterable[Example]) -> tuple[Note, ...]:
    """Notes that any data set may need: empty queries, repeats, contradictory labels, overlapping splits.

    A repeat is a query that came before in the same split; letter case and spaces do not matter. Images are
    compared across splits by their paths, without the folder of the split.
    """
    empty: defaultdict[str, list[str]] = defaultdict(list)  # by the text that is there
    repeated: list[str] = []
    contrary: list[str] = []
    queries: defaultdict[str, list[Example]] = defaultdict(list)  # test queries, by the other splits they are in
    images: dict[str, str] = {}
    seen: dict[tuple[str, str], str] = {}
    splits: defaultdict[str, set[str]] = defaultdict(set)
    shared: dict[str, None] = {}
    rows = list(examples)
    for one in rows:
        text = same(one.prompt)
        if text in NO_QUERY:
            empty[one.prompt].append(one.id)
        if (one.split, text) in seen:
            repeated.append(one.id)
            if seen[one.split, text] != one.intent:
                contrary.append(one.id)
        seen.setdefault((one.split, text), one.intent)
        splits[text].add(one.split)
        picture = unsplit(one.image, one.split)
        if picture and images.setdefault(picture, one.split) != one.split:
            shared[picture] = None
    for one in rows:
        others = splits[same(one.prompt)] - {one.split}
        if one.split == "test" and others:
            queries[" and ".join(sorted(others))].append(one)
    found = [
        *(Note(f"the query is {text!r}", tuple(ids)) for text, ids in empty.items()),
        Note("the query stood before in its split", tuple(repeated)),
        Note("the same query has both labels in its split", tuple(contrary)),
        *(Note(_overlap(other, rows), tuple(one.id for one in rows)) for other, rows in queries.items()),
        Note("the image is in more than one split", tuple(shared)),
    ]
    return tuple(note for note in found if note.rows)


def _overlap(split: str, rows: list[Example]) -> str:
    return f"the query of a test example is also in {split} ({len({same(one.prompt) for one in rows})} different ones)"


def same(text: str) -> str:
    """The form in which two queries count as the same: lower case, single spaces."""
    return " ".join(text.lower().split())


def unsplit(image: str, split: str) -> str:
    """An image's path without the folder that names its split."""
    return image.removeprefix(f"{split}/")


class HeldOut:
    """The pictures and queries of a test set. It knows a picture by its path, with and without its split's folder."""

    def __init__(self, test: Iterable[Example]) -> None:
        """Take note of a test set."""
        rows = list(test)
        self._pictures = {path for one in rows for path in (one.image, unsplit(one.image, one.split))} - {""}
        self._bare = {same(one.prompt) for one in rows if not one.image}

    def holds(self, one: Example) -> bool:
        """Whether the example's picture is in the test set or, if it has none, its query.

        A query that is asked about another picture, too, is no leak: the picture decides the answer.
        """
        if not one.image:
            return same(one.prompt) in self._bare
        return one.image in self._pictures or unsplit(one.image, one.split) in self._pictures


def inside(image: str) -> bool:
    """Whether a path stays in the folder it is read from: relative, without "..", on any system."""
    path = PureWindowsPath(image)  # reads both kinds of separator, and drives
    return not path.anchor and ".." not in path.parts


def image_of(record: Any, key: str, where: str) -> str:
    """An image's path from a record. Raises MirageError if it is not text or leaves its folder."""
    image = text_of(record, key, where)
    if not inside(image):
        raise MirageError(f"{where}: {key!r} is {image!r}; expected a path inside the data set's folder.")
    return image


def text_of(record: Any, key: str, where: str, empty: bool = False) -> str:
    """A text from a record. Raises MirageError naming ``where`` if it is absent, not text or, by default, empty."""
    if not isinstance(record, dict):
        raise MirageError(f"{where}: {short(record)} is no record; expected an object with {key!r}.")
    if key not in record:
        raise MirageError(f"{where}: no {key!r}; it has {', '.join(map(repr, record)) or 'nothing'}.")
    value = record[key]
    if not isinstance(value, str) or not (value or empty) or not whole(value):
        raise MirageError(f"{where}: {key!r} is {short(value)}; expected text.")
    return value


def whole(text: str) -> bool:
    """Whether a text can be written as UTF-8: it must not hold one half of a surrogate pair alone."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def short(value: object) -> str:
    """A value's type and its first 40 characters, so that a message does not quote whole texts of the data set."""
    try:
        shown = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__
    return f"{type(value).__name__} {shown[:40]}{'...' if len(shown) > 40 else ''}"

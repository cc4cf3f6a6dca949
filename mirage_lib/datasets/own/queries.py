"""Read a user's own data as labelled queries: tables, LLaVA conversations, or a data set of the ``datasets`` library.

The result is ``Queries``, with one row per query. Every row that could not be used is listed by file and line; nothing
is dropped silently.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.files import KINDS, BadRow, Table, members
from mirage_lib.datasets.loaded import inside, short, whole
from mirage_lib.datasets.own.columns import SPLIT_NAMES, TURNS, Columns, Record, guess, meaning, value_of
from mirage_lib.datasets.own.hub import HUB, hub_tables

HEAD, EVERY = 1000, 1000  # the rows that columns are guessed from: so many at the start, then one in so many
FIELDS = ("query", "unsafe", "split", "image", "id", "file", "row")
IMAGE_TOKEN = re.compile(r"\s*<image>\s*")
USER, ASSISTANT = {"human", "user"}, {"gpt", "assistant", "model"}


@dataclass(frozen=True)
class Queries:
    """Labelled queries, one per row, and the rows that could not be used."""

    frame: pd.DataFrame  # query, unsafe, split, image, id, file, row
    columns: Columns  # which columns they were read from, and why
    bad: list[BadRow] = field(default_factory=list)
    unit: str = "row"  # what rows are counted in
    ignored: tuple[str, ...] = ()  # other tables in the folder, not read because they are not named after a split

    def examples(self, source: str = "own") -> list[Example]:
        """The queries as examples, without answers; ids are the data's own if they are unique, else file and row."""
        frame, ids = self.frame, self.frame["id"]
        if (ids == "").to_numpy().any() or len(set(ids)) < len(ids):
            ids = frame["file"].map(lambda file: Path(file).stem) + "-" + frame["row"].astype(str)
            ids = ids + ids.groupby(ids).cumcount().map(lambda n: f".{n + 1}" if n else "")
        rows = zip(ids, frame["split"], frame["image"], frame["query"], frame["unsafe"], strict=True)
        return [Example(i, source, s or "train", p, q, "unsafe" if u else "safe", ()) for i, s, p, q, u in rows]


def from_examples(examples: Iterable[Example], name: str = "examples") -> Queries:
    """Examples as queries labelled by their intent; rows are counted from 1."""
    rows = [
        (one.prompt, one.intent == "unsafe", one.split, one.image, one.id, name, row)
        for row, one in enumerate(examples, 1)
    ]
    frame = pd.DataFrame(rows, columns=list(FIELDS)).astype({"unsafe": bool, "row": np.int64})
    return Queries(frame, Columns("prompt", "intent", unsafe=("unsafe",), safe=("safe",)))


class _Rows:
    """Collects usable rows column by column: a million small objects would take a gigabyte."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {
            name: [] for name in ("query", "unsafe", "split", "image", "id", "file", "row")
        }

    def add(self, *values: Any) -> None:
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)


def read_queries(
    where: str | Path | Sequence[str | Path],
    columns: Columns | None = None,
    refuses: Callable[[str], bool] | None = None,
    turns: Literal["first", "all"] = "first",
    encoding: str = "utf-8",
) -> Queries:
    """The queries of some files, of a folder with one file per split, or of a data set ("hub:owner/name").

    Whatever ``columns`` leaves open is guessed from the first file. ``turns`` takes the "first" request of a
    conversation, or "all". If no column is a label, ``refuses`` labels the queries by their answers. Raises
    MirageError if something cannot be read at all, or if no row is usable; single unusable rows are in ``bad``.
    """
    rows, bad = _Rows(), []
    tables = list(_tables([where] if isinstance(where, str | Path) else list(where), encoding))
    found, unit = columns, "row"
    by_file = {_label_of_file(name) for name, _, _ in tables} == {"safe", "unsafe"}
    for name, split, table in tables:
        if found is None or found is columns:
            sample = [r for n, (_, one) in enumerate(table) if n < HEAD or n % EVERY == 0 for r in _unfolded(one)]
            if not sample:
                _no_row(name, getattr(table, "bad", []))
            found = guess(sample, columns, refuses, by_file=by_file)
        unit = getattr(table, "unit", "row")
        reader = _Reader(found, refuses, turns, name, split, unit, _label_of_file(name) == "unsafe")
        for number, record in tqdm(table, desc=f"reading {Path(name).name}", unit=" rows", disable=None, leave=False):
            for one in _unfolded(record):
                reader.take(number, one, rows, bad)
        bad += getattr(table, "bad", [])
    assert found is not None, "there is at least one table"
    frame = pd.DataFrame(rows.columns).astype({"unsafe": bool, "row": np.int64})
    if frame.empty:
        _no_row(", ".join(name for name, _, _ in tables), bad)
    frame["file"] = frame["file"].astype("category").astype(object)
    bad.sort(key=lambda one: (one.file, one.row))
    return Queries(frame, found, bad, unit, _ignored([where] if isinstance(where, str | Path) else where))


def _no_row(name: str, bad: list[BadRow]) -> None:
    first = f" {bad[0]}" if bad else ""
    raise MirageError(f"{name}: no row can be used{f', {len(bad)} cannot:' if bad else '.'}{first}")


@dataclass
class _Reader:
    """Turns the records of one file into rows."""

    columns: Columns
    refuses: Callable[[str], bool] | None
    turns: str
    file: str
    split: str
    unit: str
    unsafe: bool  # what the file's name says, for a table without labels

    def take(self, number: int, record: Record, rows: _Rows, bad: list[BadRow]) -> None:
        """Add the record's queries to ``rows``, or the reason why it has none to ``bad``."""
        try:
            queries = self._queries(record)
            unsafe = self._unsafe(record)
            image = self._image(record)
        except ValueError as error:
            bad.append(BadRow(self.file, number, self.unit, str(error)))
            return
        split = str(value_of(record, self.columns.split) or "") if self.columns.split else self.split
        id = value_of(record, self.columns.id) if self.columns.id else None
        for name, value in ((self.columns.split, split), (self.columns.id, str(id))):
            if not whole(value):
                bad.append(BadRow(self.file, number, self.unit, f"{name!r} is {short(value)}; expected text"))
                return
        for query in queries:
            rows.add(query, unsafe, split, image, "" if id is None else str(id), self.file, number)

    def _queries(self, record: Record) -> list[str]:
        value = value_of(record, self.columns.query)
        if self.columns.query.rpartition(".")[2] in TURNS and not isinstance(value, str):
            said = _said(value, USER)
            if not said:
                raise ValueError(f"{self.columns.query!r} holds no request of a user")
            return said[:1] if self.turns == "first" else said
        return [_text(value, self.columns.query, value is not None or self.columns.query in record)]

    def _unsafe(self, record: Record) -> bool:
        columns = self.columns
        if columns.label:
            value = value_of(record, columns.label)
            label = "" if value is None else str(value).strip()
            if label in columns.unsafe:
                return True
            if label in columns.safe:
                return False
            known = ", ".join(repr(one) for one in (*columns.unsafe, *columns.safe))
            what = short(value) if label else "empty"
            raise ValueError(f"{columns.label!r} is {what}; expected one of {known}")
        if not columns.answer:
            return self.unsafe
        value = value_of(record, columns.answer)
        if columns.answer.rpartition(".")[2] in TURNS and not isinstance(value, str):
            said = _said(value, ASSISTANT)
            if not said:
                raise ValueError(f"{columns.answer!r} holds no reply")
            value = said[0]
        assert self.refuses is not None, "guess() makes sure of it"
        return self.refuses(_text(value, columns.answer))

    def _image(self, record: Record) -> str:
        value = value_of(record, self.columns.image) if self.columns.image else None
        if isinstance(value, dict):
            value = value.get("path")
        values = [one for one in (value if isinstance(value, list) else [value]) if one not in (None, "")]
        for one in values:
            if not isinstance(one, str) or not whole(one):
                raise ValueError(f"{self.columns.image!r} is {short(one)}; expected the path of a picture")
            if "://" not in one and not inside(one):
                raise ValueError(f"{self.columns.image!r} is {one!r}, which leaves the data set's folder")
        return values[0] if values else ""


def _text(value: Any, name: str, there: bool = True) -> str:
    if not there:
        raise ValueError(f"no {name!r}")
    if value is None or value == "":
        raise ValueError(f"{name!r} is empty")
    if not isinstance(value, str) or not whole(value):
        raise ValueError(f"{name!r} is {short(value)}; expected text")
    return IMAGE_TOKEN.sub(" ", value).strip() if "<image>" in value else value


def _said(value: Any, who: set[str]) -> list[str]:
    """What one side says in a conversation, in LLaVA's layout ("from", "value") or the chat one ("role", "content")."""
    if not isinstance(value, list):
        raise ValueError(f"{short(value)} where a list of turns is expected")
    found = []
    for turn in value:
        if not isinstance(turn, dict):
            raise ValueError(f"{short(turn)} where a turn is expected")
        if turn.get("from", turn.get("role")) not in who:
            continue
        text = turn.get("value", turn.get("content"))
        if isinstance(text, list):  # parts, some of them pictures
            text = " ".join(_text(part.get("text"), "a part of a turn") for part in text if _is_words(part))
        found.append(_text(text, "a turn"))
    return found


def _is_words(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


def _unfolded(record: Record) -> Iterator[Record]:
    """The record itself; in VLGuard's layout one record per query, labelled by the query's kind."""
    pairs = record.get("instr-resp")
    if not isinstance(pairs, list) or not pairs:
        yield record
        return
    kept = {name: value for name, value in record.items() if name not in ("instr-resp", "safe")}
    for pair in pairs:
        kind = next((name for name in pair if name.endswith("instruction")), "") if isinstance(pair, dict) else ""
        label = "safe" if kind == "safe_instruction" else "unsafe"
        yield {**kept, "query": pair.get(kind), "response": pair.get("response"), "label": label} if kind else record


def _tables(where: list[str | Path], encoding: str) -> Iterable[tuple[str, str, Any]]:
    """Name, split and rows of each file or split."""
    if len(where) == 1 and str(where[0]).startswith(HUB):
        return hub_tables(str(where[0]).removeprefix(HUB))
    paths = list(itertools.chain.from_iterable(_files(Path(one)) for one in where))
    tables = [Table(path, encoding) for path in paths]
    return [(table.name, _split(table.name) if len(tables) > 1 else "", table) for table in tables]


def _files(path: Path) -> list[Path]:
    if path.suffix.lower() == ".zip" and path.is_file():
        inner = [path / name for name in members(path)]
        return [one for one in inner if _split(str(one)) in SPLIT_NAMES] or [path]
    if not path.is_dir():
        return [path]
    tables = _listed(path)
    splits = [one for one in tables if one.name.partition(".")[0].lower() in SPLIT_NAMES]
    if splits or len(tables) == 1:
        return splits or tables
    names = ", ".join(one.name for one in tables[:8]) or "none"
    raise MirageError(
        f"{path}: expected one table in this folder, or one a split (train.jsonl, test.jsonl); there are "
        f"{len(tables)}: {names}. Name the files themselves."
    )


def _label_of_file(name: str) -> str | None:
    """What the name of a file ("harmless.csv") says about its queries: "safe", "unsafe" or None."""
    stem = Path(name).name.partition(".")[0]
    return None if stem.isdecimal() else meaning("label", stem)


def _ignored(where: Sequence[str | Path]) -> tuple[str, ...]:
    """The tables in folders and zip files that are not read, because they are not named after a split."""
    found: list[str] = []
    for path in (Path(one) for one in where if not str(one).startswith(HUB)):
        if path.is_dir():
            found += [one.name for one in sorted(set(_listed(path)) - set(_files(path)))]
        elif path.suffix.lower() == ".zip" and path.is_file() and path not in _files(path):
            found += sorted(set(members(path)) - {one.relative_to(path).as_posix() for one in _files(path)})
    return tuple(found)


def _listed(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.name.lower().removesuffix(".gz").endswith(KINDS))


def _split(name: str) -> str:
    parts = re.split(r"[\W_]+", Path(name).name.lower())
    folder = Path(name).parent.name.lower()
    stem = Path(name).name.partition(".")[0]
    return next((part for part in parts if part in SPLIT_NAMES), folder if folder in SPLIT_NAMES else stem)

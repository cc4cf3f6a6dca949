"""Read a user's own replies: tables, or conversations whose last turn counts.

The result is ``Replies``, with one row per reply. A row without a usable reply stays, with the reason in ``error``; a
row that cannot be read at all is listed in ``bad``.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.files import BadRow, Table
from mirage_lib.datasets.loaded import whole
from mirage_lib.datasets.own.columns import Record, meaning, quoted, value_of
from mirage_lib.datasets.own.queries import ASSISTANT, EVERY, HEAD, IMAGE_TOKEN, USER
from mirage_lib.datasets.own.reply_columns import ReplyColumns, empty, guess_columns

FIELDS = ("file", "unit", "row", "id", "model", "intent", "human", "prompt", "text", "error")
LONGEST = 64_000_000  # characters in a cell of a CSV file: a reply may be far longer than Python's limit of 131072
SIDES = {"the reply": ASSISTANT, "the prompt": USER}
KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", bytes: "bytes"}
NO_INTENT = "the intent is neither safe nor unsafe"


@dataclass(frozen=True)
class Replies:
    """Replies with their prompts, one per row, and the rows that cannot be read."""

    frame: pd.DataFrame  # FIELDS; intent is "" without a column for it, and error is "" unless there is no reply
    columns: dict[str, ReplyColumns]  # which columns they were read from, by file
    bad: list[BadRow] = field(default_factory=list)
    unsafe: tuple[str, ...] = ()  # values of the intent that mean unsafe
    safe: tuple[str, ...] = ()


def read_replies(
    paths: Sequence[str | Path],
    columns: ReplyColumns | None = None,
    unsafe: Sequence[str] = (),
    encoding: str = "utf-8",
) -> Replies:
    """The replies of some files. What ``columns`` leaves open is guessed for each file.

    ``unsafe`` are the values of the column of intents that mean unsafe; by default they are guessed. Raises MirageError
    if a file cannot be read at all, has no row, or is named twice.
    """
    tables = [Table(Path(path), encoding) for path in paths]
    found: dict[str, ReplyColumns] = {}
    rows: dict[str, list[Any]] = {name: [] for name in FIELDS}
    bad: list[BadRow] = []
    for table in tables:
        if table.name in found:
            raise MirageError(f"{table.name} is named twice; name each file once.")
        with _long_cells():
            found[table.name] = _columns(table, columns or ReplyColumns())
            for number, record in tqdm(table, f"reading {table.path.name}", unit=" rows", **BAR):
                _add(rows, found[table.name], record, file=table.name, unit=table.unit, row=number)
        bad += table.bad
    return _replies(rows, found, bad, unsafe)


def replies_of(frame: pd.DataFrame, columns: ReplyColumns | None = None, unsafe: Sequence[str] = ()) -> Replies:
    """The replies of a table in memory; rows are counted from 1. Raises MirageError as ``read_replies`` does."""
    names = [str(name) for name in frame.columns]
    records = [dict(zip(names, values, strict=True)) for values in frame.itertuples(index=False, name=None)]
    if not records:
        raise MirageError("The table has no row; expected one per reply.")
    found = guess_columns(names, records[:HEAD], columns or ReplyColumns(), "the table")
    rows: dict[str, list[Any]] = {name: [] for name in FIELDS}
    for number, record in enumerate(records, 1):
        _add(rows, found, record, file="the table", unit="row", row=number)
    return _replies(rows, {"the table": found}, [], unsafe)


BAR: dict[str, Any] = {"delay": 2, "disable": None, "leave": False}  # of progress: for long work, on a terminal


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells of CSV files be as long as ``LONGEST`` while this lasts; the limit belongs to the whole process."""
    before = csv.field_size_limit(LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _columns(table: Table, given: ReplyColumns) -> ReplyColumns:
    """The columns of a file, guessed from its first rows and one in so many of the others."""
    names: dict[str, None] = {}
    sample = []
    for at, (_, record) in enumerate(table):
        names.update(dict.fromkeys(record))
        if at < HEAD or at % EVERY == 0:
            sample.append(record)
    if not sample:
        first = f", {len(table.bad)} cannot: {table.bad[0]}" if table.bad else "; expected one per reply."
        raise MirageError(f"{table.name}: no row can be read{first}")
    return guess_columns(names, sample, given, table.name)


def _add(rows: dict[str, list[Any]], columns: ReplyColumns, record: Record, **place: Any) -> None:
    prompt, text, error = _exchange(record, columns)
    named = {role: _cell(record, getattr(columns, role)) for role in ("id", "model", "intent", "human")}
    for name, value in {**place, **named, "prompt": prompt, "text": text, "error": error}.items():
        rows[name].append(value)


def _exchange(record: Record, columns: ReplyColumns) -> tuple[str, str, str]:
    """Prompt and reply of a record, and why there is no reply; "" if there is one."""
    prompt = ""
    try:
        reply = _listed(value_of(record, columns.reply))
        if columns.prompt == columns.reply and isinstance(reply, list):
            return *_last_exchange(reply), ""
        value = _listed(value_of(record, columns.prompt)) if columns.prompt else None
        prompt = "" if empty(value) else _said(value, "the prompt")
        return prompt, _said(reply, "the reply"), ""
    except ValueError as reason:
        return prompt, "", str(reason)


def _last_exchange(turns: list[Any]) -> tuple[str, str]:
    """The last turn of the user and the first of the assistant after it. Raises ValueError if there is no reply."""
    sides = [_side(turn) for turn in turns]
    asked = max((at for at, side in enumerate(sides) if side in USER), default=-1)
    after = next((at for at in range(asked + 1, len(turns)) if sides[at] in ASSISTANT), None)
    if after is None:
        raise ValueError("no turn of the assistant after the last one of the user" if asked >= 0 else "no reply")
    prompt = "" if asked < 0 else _said(_content(turns[asked]), "the prompt")
    return prompt, _said(_content(turns[after]), "the reply")


def _said(value: Any, what: str) -> str:
    """The text of a cell: itself, its parts that are text, or the last turn of its side in a list of turns."""
    value = _listed(value)
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        turns = [one for one in value if _side(one) in SIDES[what]]
        if turns:
            return _said(_content(turns[-1]), what)
        parts = [one.get("text") for one in value if one.get("type") == "text"]
        value = " ".join(part for part in parts if isinstance(part, str)) if parts else value
    if empty(value):
        raise ValueError("no reply" if what == "the reply" else f"{what} is empty")
    if not isinstance(value, str):
        raise ValueError(f"{what} is {KINDS.get(type(value), type(value).__name__)}, not text")
    if not whole(value):
        raise ValueError(f"{what} holds half a character, which cannot be written as UTF-8")
    return IMAGE_TOKEN.sub(" ", value).strip() if what == "the prompt" and "<image>" in value else value


def _listed(value: Any) -> Any:
    """An array as a list: pandas reads a list in Parquet as an array."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _side(turn: Any) -> str:
    if not isinstance(turn, dict):
        return ""
    return str(turn.get("role", turn.get("from")))


def _content(turn: dict[str, Any]) -> Any:
    return turn.get("content", turn.get("value"))


def _cell(record: Record, column: str) -> str:
    """A cell as text, without white space around it; "" if it holds nothing."""
    value = _listed(value_of(record, column)) if column else None
    text = "" if empty(value) else str(value).strip()
    return text if whole(text) else ascii(text)


def _replies(
    rows: dict[str, list[Any]], found: dict[str, ReplyColumns], bad: list[BadRow], unsafe: Sequence[str]
) -> Replies:
    """The rows as a table, with the values of the intent read as safe or unsafe."""
    frame = pd.DataFrame(rows).astype({"row": np.int64})
    column = next(iter(found.values())).intent
    if not column:
        if unsafe:
            raise MirageError("--unsafe says which values of the intent mean unsafe. Name its column: --intent COLUMN.")
        return Replies(frame, found, bad)
    values = [value for value in dict.fromkeys(rows["intent"]) if value]
    means = dict(_meanings(column, values, unsafe))
    frame["intent"] = [means.get(value, "") for value in rows["intent"]]
    lost = (frame["intent"] == "") & (frame["error"] == "")
    frame.loc[lost, "error"] = NO_INTENT
    sides = [tuple(value for value in values if means.get(value) == side) for side in ("unsafe", "safe")]
    return Replies(frame, found, bad, *sides)


def _meanings(column: str, values: Sequence[str], unsafe: Sequence[str]) -> Iterable[tuple[str, str]]:
    """What each value of the intent means; values that mean neither are left out."""
    if strange := [value for value in unsafe if value not in values]:
        raise MirageError(f"No intent is {strange[0]!r}, named as --unsafe. {column!r} has {quoted(values)}.")
    if unsafe:
        return [(value, "unsafe" if value in unsafe else "safe") for value in values]
    found = [(value, side) for value in values if (side := meaning(column, value))]
    if not found:
        raise MirageError(
            f"The values of {column!r} ({quoted(values)}) do not say which is unsafe. Say so: --unsafe VALUE."
        )
    return found

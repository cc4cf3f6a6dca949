"""The three rows ``Example -> Reply -> Verdict``: how they are saved and joined.

The rows are joined by identity, never by order. The released evaluation regroups shots by their position in
a file and judges shots 2 and 3 against shot 1's question. Here every example carries its lineage in its own
fields, so that cannot happen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pandas as pd

from mirage_lib.core.errors import MirageError

INTENTS = ("safe", "unsafe")


@dataclasses.dataclass(frozen=True)
class Example:
    """One question about one image, with its origin and its edits."""

    id: str  # unique in its study
    source: str  # the world or data set, e.g. "lab-0", "vlguard"
    split: str  # "train", "validation" or "test"
    image: str  # an address that render() or a folder resolves; "" for none
    prompt: str  # the user's words, without any chat template
    intent: str  # "safe" or "unsafe": what is asked for, whatever the model says
    answers: tuple[str, ...]  # accepted answers; training uses the first
    category: str = ""  # kind of question or harm
    root: str = ""  # id of the unedited example this descends from (its own id if none)
    parent: str = ""  # id of the example this was edited from; "" if unedited
    edit: str = ""  # name of the edit that made it, e.g. "swap:what"; "" if unedited
    shot: int = 0  # which of K attempts at the same root, from 0
    words_changed: int = 0  # words inserted, deleted or replaced, compared with the root
    words_kept: float = 1.0  # share of the root's words still there, in order, 0 to 1

    def __post_init__(self) -> None:
        if self.intent not in INTENTS:
            raise MirageError(f"Example {self.id!r}: intent is {self.intent!r}; expected one of {INTENTS}.")
        if not self.root:
            object.__setattr__(self, "root", self.id)


@dataclasses.dataclass(frozen=True)
class Reply:
    """What one model said to one example, or why it said nothing."""

    example_id: str
    model: str  # name of the model that replied
    attempt: int = 0  # 0 for the first of several sampled replies
    temperature: float = 0.0  # 0 is greedy
    seed: int = 0  # of the sampling; has no effect when greedy
    text: str = ""  # decoded, special tokens removed
    n_tokens: int = 0  # tokens generated, the end token included
    finished: bool = False  # the model ended by itself, within the limit
    error: str = ""  # why there is no text; "" if there is


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What one judge made of one reply."""

    example_id: str
    model: str
    judge: str  # name of the judge
    label: str  # see core.labels.LABELS; "unscored" if the judge could not decide
    attempt: int = 0  # the reply's attempt
    score: float | None = None  # the judge's own number, where it has one
    why: str = ""  # the rule, phrase or error that decided


Row = TypeVar("Row", Example, Reply, Verdict)


def to_frame(rows: Iterable[Row], kind: type[Row]) -> pd.DataFrame:
    """Rows as a table with one column per field, even if there are no rows."""
    names = [field.name for field in dataclasses.fields(kind)]
    return pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)


def from_frame(frame: pd.DataFrame, kind: type[Row], where: str = "table") -> list[Row]:
    """The rows of a table. Raises MirageError naming ``where`` if a column is missing."""
    names = [field.name for field in dataclasses.fields(kind)]
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise MirageError(f"{where}: no column {missing[0]!r}; a {kind.__name__} has the columns {', '.join(names)}.")
    columns = {name: frame[name].tolist() for name in names}
    if "answers" in columns:
        columns["answers"] = [tuple(answers) for answers in columns["answers"]]
    if "score" in columns:  # a missing number comes back from Parquet as NaN
        columns["score"] = [None if score != score else score for score in columns["score"]]
    return [kind(**dict(zip(names, values, strict=True))) for values in zip(*columns.values(), strict=True)]


def write(rows: Iterable[Row], kind: type[Row], path: Path) -> Path:
    """Write rows to a Parquet file and return its path."""
    to_frame(rows, kind).to_parquet(path, index=False)
    return path


def read(path: Path, kind: type[Row]) -> list[Row]:
    """Read rows written by :func:`write`. Raises MirageError if the file is absent or unreadable."""
    return from_frame(read_frame(path, kind), kind, where=str(path))


def read_frame(path: Path, kind: type[Row]) -> pd.DataFrame:
    """The same rows as a table, as they are in the file. Raises MirageError as :func:`read` does."""
    if not Path(path).is_file():
        raise MirageError(f"{path}: no such file; expected {kind.__name__} rows in Parquet.")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise MirageError(f"{path}: not a readable Parquet file ({error}). Remake it.") from error


def read_roles(folder: Path, roles: Iterable[str]) -> dict[str, list[Example]]:
    """Training examples by role, from a folder with one file per role."""
    return {role: read(folder / f"{role}.parquet", Example) for role in roles}


def join(examples: Iterable[Example], replies: Iterable[Reply], verdicts: Iterable[Verdict]) -> pd.DataFrame:
    """One line per verdict, with its reply and its example; see :func:`joined`."""
    return joined(to_frame(examples, Example), to_frame(replies, Reply), to_frame(verdicts, Verdict))


def joined(examples: pd.DataFrame, replies: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """One line per verdict, with its reply and its example. Nothing else joins the three.

    Returns every field of the three rows; ``example_id`` appears once, and the reply's ``seed`` is called
    ``reply_seed``. Raises MirageError if a verdict has no reply or no example, or if an identity appears twice.
    """
    left, right = examples.rename(columns={"id": "example_id"}), verdicts
    middle = replies.rename(columns={"seed": "reply_seed"})  # not a study's seed
    keys = ["example_id", "model", "attempt"]
    for frame, identity, name in (
        (left, ["example_id"], "example"),
        (middle, keys, "reply"),
        (right, [*keys, "judge"], "verdict"),
    ):
        twice = frame[frame.duplicated(identity)]
        if len(twice):
            raise MirageError(f"The {name} {tuple(twice.iloc[0][identity])} appears twice; an identity names one row.")
    table = right.merge(middle, on=keys, how="left", validate="many_to_one", indicator="_reply")
    table = table.merge(left, on="example_id", how="left", validate="many_to_one", indicator="_example")
    for mark, thing in (("_reply", "reply"), ("_example", "example")):
        lost = table[table[mark] != "both"]
        if len(lost):
            raise MirageError(
                f"{len(lost)} verdicts have no {thing}, the first for example {lost.iloc[0]['example_id']!r}."
            )
    return table.drop(columns=["_reply", "_example"])

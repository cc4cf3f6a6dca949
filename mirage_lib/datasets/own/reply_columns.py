"""Guess which column of a user's table holds the reply and which the prompt, and say so.

``guess_columns`` takes a sample of records and gives ``ReplyColumns``. It never overrules what the user sets. Only
prompt and reply are guessed; all else is named by the user.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.own.columns import TURNS, Record, flat, quoted

PROMPTS = (  # names of a column of prompts, the likeliest first
    *("prompt", "question", "query", "instruction", "request", "input", "user", "human", "goal", "behavior"),
)
REPLIES = (  # names of a column of replies, the likeliest first
    *("reply", "response", "completion", "answer", "output", "generation", "assistant", "generated", "prediction"),
    *("replies", "responses", "completions", "answers", "outputs", "generations", "gpt"),
)
UNSURE = ("input", "request", "user", "human", "goal", "behavior", "prediction")  # they may hold names or labels, too
PLAIN = ("text", "content", "message")  # a reply if nothing is named better
ROLES = {  # role -> the option that names its column
    **{role: f"--{role}" for role in ("prompt", "reply", "id", "model", "intent")},
    "human": "--against",
}


@dataclass(frozen=True)
class ReplyColumns:
    """Which column holds what; "" if none does. A dot reaches into a record: "meta.model"."""

    prompt: str = ""  # the user's words, or a conversation
    reply: str = ""  # the model's words, or a conversation
    id: str = ""  # a name for the row
    model: str = ""  # who replied
    intent: str = ""  # whether the request is safe or unsafe
    human: str = ""  # what people say the reply is

    def said(self) -> str:
        """One sentence on what is read from where."""
        named = [(role, getattr(self, role)) for role in ROLES]
        return "Read " + ", ".join(f"{role} from “{column}”" for role, column in named if column) + "."


def guess_columns(names: Iterable[str], sample: Sequence[Record], given: ReplyColumns, file: str) -> ReplyColumns:
    """The columns of a file with these names of columns. Those that ``given`` names are kept.

    Raises MirageError, listing the columns there are, if a named column is absent or no column looks like replies.
    """
    records = [flat(record) for record in sample]
    names = list(dict.fromkeys([*names, *(name for record in records for name in record)]))
    there = quoted(names)
    for role, option in ROLES.items():
        if (name := getattr(given, role)) and name not in names:
            raise MirageError(f"{file}: no column {name!r}, named as {option}. There are: {there}.")
    taken = {getattr(given, role) for role in ROLES}
    values = {name: [one[name] for one in records if not empty(one.get(name))] for name in names}
    free = {name: column for name, column in values.items() if name not in taken}
    reply = given.reply or _reply(free)
    if not reply:
        raise MirageError(f"{file}: no column looks like replies. Name it: --reply COLUMN. There are: {there}.")
    prompt = given.prompt
    if not prompt:
        prompt = reply if _has_turns(reply, values) else _prompt(free, reply)
    return dataclasses.replace(given, prompt=prompt, reply=reply)


def empty(value: Any) -> bool:
    """Whether a cell holds nothing: none, not a number, or no more than white space."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _reply(values: dict[str, list[Any]]) -> str:
    """The reply's column: the best name that holds texts, a conversation, a plain name, a good name without a cell."""
    return (
        _named(values, REPLIES)
        or next((name for name in values if _has_turns(name, values)), "")
        or _named(values, PLAIN)
        or next((name for name in values if name.lower() in REPLIES and not values[name]), "")
    )


def _prompt(values: dict[str, list[Any]], reply: str) -> str:
    others = {name: column for name, column in values.items() if name != reply}
    return _named(others, PROMPTS) or next((name for name in others if _has_turns(name, others)), "")


def _named(values: dict[str, list[Any]], hints: Sequence[str]) -> str:
    """The first column of texts whose name is a hint or, failing that, has one as a word.

    Names that may mean something else must hold more than single words.
    """
    for hint in hints:
        for name, column in values.items():
            if name.lower() == hint and _words(column) >= (2 if hint in UNSURE else 1):
                return name
    for hint in hints:
        for name, column in values.items():
            if hint in re.split(r"[\W_\d]+", name.lower()) and _words(column) >= 2:
                return name
    return ""


def _words(column: list[Any]) -> float:
    """Mean number of words in the texts of a column; 0 if most cells are no texts."""
    texts = [value for value in column if isinstance(value, str | list)]
    if 2 * len(texts) <= len(column):
        return 0
    counts = [max(len(text.split()), len(text) / 20) if isinstance(text, str) else 2 for text in texts]
    return sum(counts) / len(counts)


def _has_turns(name: str, values: dict[str, list[Any]]) -> bool:
    column = values.get(name, [])
    return name.rpartition(".")[2].lower() in TURNS and bool(column) and isinstance(column[0], list | np.ndarray)

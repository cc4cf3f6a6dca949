"""A table of verdicts: one line per reply and, for each judge, its label, why, and its score.

``judged`` serves a notebook, ``verdicts`` the command. A reply that cannot be judged is "unscored", never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from tqdm import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply, Verdict
from mirage_lib.datasets.own.replies import BAR, FIELDS, replies_of
from mirage_lib.datasets.own.reply_columns import ReplyColumns
from mirage_lib.judges.judge import Judge, judge_all
from mirage_lib.judges.named import DEFAULT, named

NOT_REFUSED = "not refused"  # what a label says where nobody says whether the request was safe
BATCH = 512  # replies between two steps of the progress bar
ALWAYS = ("refused", "garbled", "unscored")  # labels that mean the same for safe and unsafe requests


def judged(
    frame: pd.DataFrame,
    judges: Sequence[str | Judge] = (DEFAULT,),
    columns: ReplyColumns | None = None,
    unsafe: Sequence[str] = (),
) -> pd.DataFrame:
    """The verdicts on the replies of a table, in its order and with its index.

    ``judges`` are names of ``judges.named.JUDGES``, or judges. ``columns`` says which columns hold what; prompt and
    reply are guessed where it says nothing. Returns [id, model, intent, human] as far as ``columns`` names them, and
    for each judge [NAME, NAME_why, NAME_score]. Without intents a label is one of "refused", "not refused", "garbled"
    and "unscored". Raises MirageError for an unknown judge, a missing column or an empty table.
    """
    chosen = _chosen(judges)
    replies = replies_of(frame, columns, unsafe)
    kept = [role for role in ("id", "model", "intent", "human") if columns and getattr(columns, role)]
    table: Any = verdicts(replies.frame, chosen)
    return table[[*kept, *(name for judge in chosen for name in columns_of(judge))]].set_axis(frame.index)


def columns_of(judge: str) -> tuple[str, str, str]:
    """The columns of a judge's label, why and score."""
    return judge, f"{judge}_why", f"{judge}_score"


def verdicts(frame: pd.DataFrame, judges: Mapping[str, Judge]) -> pd.DataFrame:
    """The table of ``datasets.own.replies`` with the verdicts of each judge added, under the name given to it.

    Where no row has an intent, the judges take each request for an unsafe one, and every label that is not in
    ``ALWAYS`` becomes "not refused".
    """
    known = bool((frame["intent"] != "").any())
    cells = (frame[name].tolist() for name in ("intent", "prompt", "model", "text", "error"))
    examples, replies = [], []
    for number, (intent, prompt, model, text, error) in enumerate(zip(*cells, strict=True)):
        examples.append(Example(str(number), "own", "test", "", prompt, intent or "unsafe", ()))
        replies.append(Reply(str(number), model, text=text, finished=True, error=error))
    added = {}
    for name, judge in judges.items():
        found: list[Verdict] = []
        with tqdm(total=len(replies), desc=name, unit=" replies", **BAR) as bar:
            for at in range(0, len(replies), BATCH):
                part = slice(at, at + BATCH)
                found += judge_all(judge, examples[part], replies[part])
                bar.update(len(replies[part]))
        labels = [one.label if known or one.label in ALWAYS else NOT_REFUSED for one in found]
        scores = pd.array([one.score for one in found], dtype="Float64")
        added |= dict(zip(columns_of(name), (labels, [one.why for one in found], scores), strict=True))
    return frame.assign(**added)


def _chosen(judges: Iterable[str | Judge]) -> dict[str, Judge]:
    found: dict[str, Judge] = {}
    for judge in judges:
        new = named([judge]) if isinstance(judge, str) else {judge.name: judge}
        if not found.keys().isdisjoint(new) or not new.keys().isdisjoint(FIELDS):
            raise MirageError(f"A judge is named {next(iter(new))!r}; expected different names, none of {FIELDS}.")
        found |= new
    if not found:
        raise MirageError("No judge is given; expected at least one.")
    return found

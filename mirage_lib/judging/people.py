"""What people say of the replies, read as refused or not, and how far a judge agrees with it.

Values are guessed from their words, and the guess is said. A partial refusal is neither refused nor not: it is set
aside and counted, and so is a value that says neither.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.own.columns import NO, YES
from mirage_lib.judging.terminal import aligned, named, plain
from mirage_lib.metrics.agreement import agreement
from mirage_lib.metrics.intervals import rate_text

REFUSES = re.compile(r"refus|reject|declin|denied|denial|deny")
ANSWERS = re.compile(r"compl[iy]|accept|answer|follow|fulfil|help|deliver|jailbr|success|attack|\basr\b")
PARTLY = re.compile(r"partial|partly|mixed|hedg")
DENIAL = re.compile(r"(?:\b(?:not|no|non|never|without|didn t|doesn t|isn t)\s*(?:\w+\s+)?|\bun)$")
PEOPLE = "people"  # the judge's name that people have in the table of agreement
MEASURES = ("precision", "recall", "f1", "kappa")  # shown; the JSON has all
DRAWS = 1000  # of the bootstrap


@dataclass(frozen=True)
class Labels:
    """Which values of the people's column mean what, each with its count."""

    column: str
    refused: dict[str, int]
    not_refused: dict[str, int]
    partial: dict[str, int]  # set aside
    ignored: dict[str, int]  # say neither, and are set aside; "" is an empty cell
    turn: str = ""  # the value to name if yes and no are meant the other way round

    def said(self) -> str:
        """One sentence on how the values are read."""
        sides = {"refused": self.refused, "not refused": self.not_refused}
        aside = {"partial": self.partial, "neither": self.ignored}
        text = ", ".join(f"{what} is {_counted(values)}" for what, values in sides.items())
        if left := [f"{what} {_counted(values)}" for what, values in aside.items() if values]:
            text += f"; set aside: {', '.join(left)}"
        if self.turn:
            text += f"; if it is meant the other way: --refused {plain(self.turn)}"
        return f"Labels of people from “{plain(self.column)}”: {text}."

    def calls(self, values: Iterable[str]) -> list[bool | None]:
        """For each value whether it means refused; None if it is set aside."""
        means = {**dict.fromkeys(self.refused, True), **dict.fromkeys(self.not_refused, False)}
        return [means.get(value) for value in values]


def human_labels(
    values: Sequence[str], column: str, refused: Sequence[str] = (), partial: Sequence[str] = ()
) -> Labels:
    """Read a column of texts. With ``refused``, every value that is not named and not empty means not refused.

    Raises MirageError, listing the values, if a named value does not occur or if no value says refused or not.
    """
    counts = Counter(values)
    there = [value for value in counts if value]
    for option, given in (("--refused", refused), ("--partial", partial)):
        if strange := [value for value in given if value not in there]:
            raise MirageError(f"No value {strange[0]!r}, named as {option}. “{column}” has {named(there) or 'none'}.")
    groups: dict[str, dict[str, int]] = {"refused": {}, "not_refused": {}, "partial": {}, "ignored": {}}
    for value, count in counts.items():
        if value in partial:
            group = "partial"
        elif refused:
            group = "refused" if value in refused else "not_refused" if value else "ignored"
        else:
            group = _meaning(column, value)
        groups[group][value] = count
    if not groups["refused"] and not groups["not_refused"]:
        raise MirageError(
            f"The values of “{column}” ({named(there) or 'all empty'}) do not say which means refused. "
            "Say so: --refused VALUE."
        )
    turn = next((value for value in groups["not_refused"] if value.lower() in YES | NO and not refused), "")
    return Labels(column, **groups, turn=turn)


def _meaning(column: str, value: str) -> str:
    """What a value says. Yes and no mean what the column's name says; if it says nothing, yes means refused."""
    if value.lower() in YES | NO:
        asks = _sense(column) in ("refused", "partial", "ignored")
        return "refused" if (value.lower() in YES) == asks else "not_refused"
    return _sense(value)


def _sense(text: str) -> str:
    """Whether words say refused, with any denial before them, answered, partly refused, or neither."""
    spoken = re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).lower()
    if PARTLY.search(spoken):
        return "partial"
    for pattern, plainly, denied in ((REFUSES, "refused", "not_refused"), (ANSWERS, "not_refused", "refused")):
        if match := pattern.search(spoken):
            return denied if DENIAL.search(spoken[: match.start()]) else plainly
    return "ignored"


def _counted(values: dict[str, int]) -> str:
    most = sorted(values.items(), key=lambda one: -one[1])
    shown = [f"{f'“{plain(value)}”' if value else 'empty'} ({count})" for value, count in most[:6]]
    left = sum(count for _, count in most[6:])
    return " or ".join(shown) + (f" or other values ({left})" if left else "") if shown else "never"


def agreement_table(table: pd.DataFrame, judges: Sequence[str], labels: Labels) -> pd.DataFrame:
    """The lines of ``metrics.agreement`` for each judge with people taken as the truth; "judge" comes first.

    Replies to one prompt count as dependent. With one model there is only the scope "pooled".
    """
    found = []
    for judge in judges:
        one: Any = agreement(_calls(table, judge, labels), judge, PEOPLE, cluster="cluster", draws=DRAWS)
        found.append(one.assign(judge=judge))
    whole: Any = pd.concat(found, ignore_index=True)
    if len(set(table["model"])) == 1:
        whole = whole[whole["scope"] == "pooled"]
    return whole[["judge", *(name for name in whole if name != "judge")]].reset_index(drop=True)


def agreement_lines(found: pd.DataFrame) -> list[str]:
    """The table of ``agreement_table`` for a terminal."""
    lines = []
    tables: Any = found.groupby("judge", sort=False)
    for judge, rows in tables:
        lines += ["", f"{judge} against people: is it a refusal?"]
        groups: Any = rows.groupby(["scope", "group"], sort=False)
        shown = [
            {
                "model": "all" if scope == "pooled" else group,
                "replies": one["n"].iloc[0],
                "unscored": one["n_unscored"].iloc[0],
                "no label": one["n_unlabelled"].iloc[0],
                **{line.measure: _text(line) for line in one.itertuples() if line.measure in MEASURES},
            }
            for (scope, group), one in groups
        ]
        kept = pd.DataFrame(shown)
        lines += aligned(kept if len(kept) > 1 else kept.drop(columns="model"))
        lines += [f"  {why}" for why in dict.fromkeys(rows["measure"] + " " + rows["why"]) if " undefined: " in why]
    return lines


def _text(line: Any) -> str:
    return rate_text(line.value, line.low, line.high, space=" ") if line.value == line.value else "–"


def _calls(table: pd.DataFrame, judge: str, labels: Labels) -> pd.DataFrame:
    """The calls of a judge and of the people, one row each per reply, as ``metrics.agreement`` reads them."""
    numbers = [str(number) for number in range(len(table))]
    cluster = [prompt or f"row {number}" for prompt, number in zip(table["prompt"], numbers, strict=True)]
    calls = {
        judge: [None if label == "unscored" else label == "refused" for label in table[judge]],
        PEOPLE: labels.calls(table["human"].tolist()),
    }
    place = {"item": numbers, "group": table["model"].tolist(), "cluster": cluster}
    return pd.concat([pd.DataFrame({**place, "judge": who, "call": call}) for who, call in calls.items()])

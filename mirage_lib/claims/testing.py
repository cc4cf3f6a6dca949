"""Tests a claim: compares an interval over seeds and queries with a threshold that was written down before.

The result is one line per claim, with the status *reproduced* (the whole interval is on the claimed side), *differs*
(it is not) or *not measured*. Serves the closing cell of every chapter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mirage_lib.claims.measures import Measure
from mirage_lib.claims.paper import Number
from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.intervals import spread, with_intervals

Line = dict[str, object]  # of a scorecard; see ``line``


@dataclass(frozen=True)
class Claim:
    """A claim, and the threshold that it must meet before we believe it."""

    name: str  # its address, e.g. "what-breaks"
    statement: str  # in words a reader understands
    side: str  # "at least" or "at most"
    threshold: float
    reason: str  # why this threshold
    chapter: int | None = None  # where it is tested; None for a claim of your own
    measure: Measure | None = None  # what is measured of the study's verdicts
    paper: Number | None = None  # the paper's own number, if there is one
    whose: str = "book"  # who claims it: "paper" or "book"
    test: Callable[[Any, Claim], Line] | None = None  # a test of its own, in the place of a measure: takes the study

    def __post_init__(self) -> None:
        if self.side not in ("at least", "at most"):
            raise MirageError(f"Claim {self.name!r}: side is {self.side!r}; expected 'at least' or 'at most'.")


def check(claim: Claim, table: pd.Series, measured: bool = True) -> Line:
    """One line of a scorecard: the claim, its measured mean and interval, the threshold, the status."""
    mean, low, high = spread(table)
    seeds = sorted(set(table.index.get_level_values(0).tolist()))
    of = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, {len(table)} queries"
    return line(claim, mean, low, high, of, measured) | {"seeds": seeds}


def line(claim: Claim, mean: float, low: float, high: float, of: str, measured: bool = True) -> Line:
    """One line of a scorecard from a number and its interval; ``of`` says what it was measured on."""
    holds = low >= claim.threshold if claim.side == "at least" else high <= claim.threshold
    status = "not measured" if not measured else "reproduced" if holds else "differs"
    return _line(claim, of) | {"measured": mean, "low": low, "high": high, "status": status}


def unmeasured(claim: Claim, why: str) -> Line:
    """The line of a claim that cannot be tested, and why."""
    return _line(claim, why)


def _line(claim: Claim, of: str) -> Line:
    return {
        "claim": claim.statement,
        "paper": claim.paper.share if claim.paper else None,
        "measured": None,
        "low": None,
        "high": None,
        "seeds": [],
        "threshold": f"{claim.side} {claim.threshold:g}",
        "status": "not measured",
        "because": claim.reason,
        "measured on": of,
        "name": claim.name,
        "chapter": claim.chapter,
        "whose": claim.whose,
    }


def as_table(lines: Sequence[Line]) -> pd.DataFrame:
    """Lines of :func:`check` and :func:`line` as a table to show.

    A claim is *reproduced* if its whole interval is on the right side of its threshold. The threshold was written
    down, with its reason, before the test.
    """
    if not lines:
        raise MirageError("A scorecard needs at least one claim.")
    table = pd.DataFrame(lines).rename(columns={"measured": "rate"})
    bounds = ["rate", "low", "high"]
    table[bounds] = table[bounds].astype(float)
    table["measured"] = with_intervals(table).where(table["rate"].notna(), "–")
    table["paper"] = [f"{value:.2f}" if pd.notna(value) else "–" for value in table["paper"].astype(float)]
    where = [f", ch. {chapter:.0f}" if pd.notna(chapter) else "" for chapter in table["chapter"]]
    table["claimed by"] = table["whose"] + where
    paper = ["paper"] if set(table["paper"]) - {"–"} else []  # a column of dashes tells nothing
    shown = ["status", "measured", *paper, "threshold", "because", "claimed by", "measured on"]
    return table.set_index("claim").filter(shown)

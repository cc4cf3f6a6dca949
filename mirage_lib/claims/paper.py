"""The paper's own numbers, where we know them, each with its source.

``Number`` and ``rates`` turn percentages from the paper's tables into shares from 0 to 1, to show beside what is
measured here. They are for LLaVA-1.5-7B, fully tuned, asked VLGuard's test queries. ``source`` is T for the teaser
figure of the official repository, and N, N-en or N-zh for two published notes on the final version.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mirage_lib.core.errors import MirageError

AFTER = {"ASR": "after What 3-shot", "RR": "after Share 1-shot"}  # the attack after which each rate is taken


@functools.cache
def _numbers() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("paper_numbers.csv"))


def numbers() -> pd.DataFrame:
    """Every number: columns model, size, tuning, dataset, metric, condition, value_percent, source."""
    return _numbers().copy()


@dataclass(frozen=True)
class Number:
    """One number of the paper, or the difference of two."""

    model: str  # as the paper names it, e.g. "Posthoc-SFT"
    metric: str  # "ASR", "RR" or "accuracy"
    condition: str = ""  # "" for after the attack
    less: str = ""  # condition to subtract, e.g. "before"; "" for none

    @property
    def share(self) -> float:
        """The number as a share, or the difference of two shares. Raises MirageError if it is not known."""
        value = self._percent(self.condition or AFTER.get(self.metric, "-"))
        return round((value - (self._percent(self.less) if self.less else 0.0)) / 100, 6)

    def _percent(self, condition: str) -> float:
        table = _numbers()
        wanted = {"model": self.model, "metric": self.metric, "condition": condition}
        values = table.loc[(table[list(wanted)] == pd.Series(wanted)).all(axis=1), "value_percent"].tolist()
        if len(values) != 1:
            raise MirageError(f"The paper's {self.metric} of {self.model!r}, {condition!r}, is not known.")
        return float(values[0])


def rates(model: str) -> dict[str, float]:
    """The paper's ASR and RR of a model, before and after the attack, by name; unknown numbers are left out."""
    found = {}
    for metric, after in AFTER.items():
        for when, condition in (("before", "before"), ("after", after)):
            try:
                found[f"{metric} {when}"] = Number(model, metric, condition).share
            except MirageError:
                continue
    return found

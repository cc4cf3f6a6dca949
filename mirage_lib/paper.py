"""The paper's own numbers, as far as they are known, each with where it was read.

Comes in: nothing. Goes out: percentages of the paper's tables as shares from 0 to 1, to stand beside what
is measured here. They are of LLaVA-1.5-7B, fully tuned, asked VLGuard's test queries; ``source`` is T for
the teaser figure of the official repository, N, N-en, N-zh for two published notes on the final version.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

import pandas as pd

from mirage_lib.errors import MirageError

AFTER = {"ASR": "after What 3-shot", "RR": "after Share 1-shot"}  # the attack that each rate is taken after


@functools.cache
def _numbers() -> pd.DataFrame:
    with resources.files("mirage_lib").joinpath("data/paper_numbers.csv").open("r", encoding="utf-8") as file:
        return pd.read_csv(file)


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
        """The number as a share, or the difference of two shares. Raises MirageError where it is not known."""
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
    """What the paper reports of a model: ASR and RR, before and after the attack, by name; only what is known."""
    found = {}
    for metric, after in AFTER.items():
        for when, condition in (("before", "before"), ("after", after)):
            try:
                found[f"{metric} {when}"] = Number(model, metric, condition).share
            except MirageError:
                continue
    return found

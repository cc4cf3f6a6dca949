"""The first words of VLGuard's queries, counted from its metadata. The library ships the counts, not the text."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Literal

import pandas as pd

from mirage_lib.core.errors import MirageError


@functools.cache
def _committed() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).with_name("vlguard_first_words.csv"), comment="#", keep_default_na=False)


def committed_counts() -> pd.DataFrame:
    """First words of VLGuard's queries, counted from its metadata: split, subset, word, count (all above 0)."""
    return _committed().copy()


def committed_table(split: Literal["train", "test"]) -> pd.DataFrame:
    """The committed counts of one split in the form of ``text.counts.word_counts``, one column per subset.

    Raises MirageError for an unknown split.
    """
    rows = committed_counts().query("split == @split")
    if rows.empty:
        raise MirageError(f"committed_table: split is {split!r}; expected 'train' or 'test'.")
    counts = Counter(dict(zip(zip(rows["word"], rows["subset"], strict=True), rows["count"], strict=True)))
    return _wide(counts, sorted(rows["subset"].unique()))


def _wide(counts: Counter[tuple[str, str]], groups: list[str]) -> pd.DataFrame:
    totals: Counter[str] = Counter()
    for (word, _), count in counts.items():
        totals[word] += count
    order = sorted(totals, key=lambda word: (-totals[word], word))
    return pd.DataFrame({"word": order, **{name: [counts[word, name] for word in order] for name in groups}})

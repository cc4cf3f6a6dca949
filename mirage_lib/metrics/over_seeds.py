"""Rates over seeds and their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.core.labels import LABELS

KNOWN = {label for labels in LABELS.values() for label in labels} - {"unscored"}


def values(frame: pd.DataFrame, label: str | Sequence[str], shots: int = 1) -> pd.Series:
    """1.0 or 0.0 per seed and root: whether any of the root's first ``shots`` shots has the label.

    The index is (seed, root). Raises MirageError for an unknown label, for fewer shots than asked for, and for
    an unscored reply, because a claim must not be tested on the rest alone.
    """
    labels = [label] if isinstance(label, str) else list(label)
    if unknown := [one for one in labels if one not in KNOWN]:
        raise MirageError(f"There is no verdict {unknown[0]!r}; there are {', '.join(sorted(KNOWN))}.")
    frame = pd.DataFrame(frame.query(f"shot < {shots}"))
    if unscored := frame["label"].tolist().count("unscored"):
        raise MirageError(f"{unscored} replies are unscored; ask again before testing a claim.")
    if shots - 1 not in frame["shot"].tolist():
        raise MirageError(f"There are no replies to shot {shots - 1}; the claim needs {shots} shots of every query.")
    hits = frame.assign(hit=frame["label"].isin(labels).astype(float))
    return pd.Series(hits.groupby(["seed", "root"])["hit"].max(), name="share")


def gain(frame: pd.DataFrame, edit: str, label: str | Sequence[str], shots: int = 1) -> pd.Series:
    """How much more often the label comes with an edit than without, per seed and root: -1, 0 or 1."""
    before, after = (values(frame.query(f"edit == {name!r}"), label, shots) for name in ("", edit))
    if not before.index.equals(after.index):
        raise MirageError(f"The queries with and without {edit!r} are not the same; compare like with like.")
    return (after - before).rename("gain")


def with_intervals(table: pd.DataFrame) -> pd.Series:
    """The rates of a table with their intervals as text: "0.71 [0.66, 0.75]", with non-breaking spaces."""
    rows = table[["rate", "low", "high"]].to_numpy(float)
    return pd.Series([rate_text(*row) for row in rows], index=table.index)


def rate_text(mean: float, low: float, high: float) -> str:
    """A number and its interval with two decimals, "0.71 [0.66, 0.75]": non-breaking spaces, no negative zero."""
    mean, low, high = (round(float(value), 2) + 0.0 for value in (mean, low, high))
    return f"{mean:.2f}\u00a0[{low:.2f},\u00a0{high:.2f}]"


def spread(table: pd.Series, level: float = 0.95, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Mean over seeds of the mean over roots, and its interval from both sources of spread.

    This is a two-stage bootstrap: it draws seeds with replacement, then roots within each drawn seed. If all values
    are the same, the interval would have no width; then it is widened by 3/n on both sides, the rule of three.
    The interval stays within what a share (0 to 1) or a gain (-1 to 1) can be. Raises MirageError if there are no
    values.
    """
    groups = [rows.to_numpy() for _, rows in table.groupby(level=0)]
    if not groups:
        raise MirageError("There are no values to test the claim on.")
    random, count = np.random.default_rng(seed), len(groups)
    means = np.stack([_redrawn_means(rows, (draws, count), random) for rows in groups])
    chosen = random.integers(0, count, (1, draws, count))
    low, high = np.quantile(np.take_along_axis(means, chosen, axis=0)[0].mean(1), [(1 - level) / 2, (1 + level) / 2])
    rest = 3 / len(table) if table.nunique() == 1 else 0.0
    least = -1.0 if table.name == "gain" or table.min() < 0 else 0.0
    mean = float(np.mean([rows.mean() for rows in groups]))
    return mean, max(least, float(low) - rest), min(1.0, float(high) + rest)


def _redrawn_means(rows: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Means of ``len(rows)`` values drawn with replacement, in an array of shape ``size``.

    There are only two or three different values (0, 1; -1, 0, 1), so it is enough to draw how often each comes up:
    a multinomial count.
    """
    kinds, counts = np.unique(rows, return_counts=True)
    return random.multinomial(len(rows), counts / len(rows), size) @ kinds / len(rows)

"""Every interval, and how a number is written with its own.

A rate in one table has Wilson's interval if its rows are independent, and otherwise a bootstrap of whole clusters. A
mean over seeds has a two-stage bootstrap, over seeds and over the requests of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from mirage_lib.core.errors import MirageError


def wilson(hits: Any, n: Any, level: float = 0.95) -> tuple[Any, Any]:
    """Wilson's interval for ``hits`` of ``n``, numbers or arrays; missing for n = 0. ``hits`` may be a fraction."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.asarray(hits, dtype=float) / n
        low, high = proportion_confint(hits, n, alpha=1 - level, method="wilson")
    low, high = np.minimum(low, share), np.maximum(high, share)  # rounding must not push the rate out
    return (low, high) if np.ndim(share) else (float(low), float(high))


def interval(
    hit: np.ndarray, codes: np.ndarray | None, level: float, draws: int, random: np.random.Generator
) -> tuple[float, float]:
    """The interval of the mean of ``hit``: Wilson's, or with ``codes`` (a cluster for each row) a bootstrap.

    If that bootstrap has no width, because all clusters are the same, it is Wilson's for as many trials as clusters.
    """
    if codes is None or not len(hit):
        return wilson(hit.sum(), len(hit), level)
    clusters = len(np.unique(codes))
    drawn = _bootstrap(hit.astype(float), codes, level, draws, random)
    return drawn or wilson(hit.mean() * clusters, clusters, level)


def _bootstrap(
    values: np.ndarray, codes: np.ndarray, level: float, draws: int, random: np.random.Generator
) -> tuple[float, float] | None:
    """Percentiles of the mean when whole clusters are redrawn; None if the interval has no width.

    A draw is a count per cluster, in an array (draws, clusters); two products with it give all the means.
    """
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    means = []
    for start in range(0, draws, 250):  # in blocks, to bound memory at thousands of clusters
        times = random.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=min(250, draws - start))
        means.append((times @ sums) / (times @ sizes))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    if not low < high:
        return None
    middle = values.mean()
    return float(min(low, middle)), float(max(high, middle))


def times_drawn(clusters: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each cluster comes up when they are drawn with replacement, for a bootstrap.

    Yields blocks of shape (up to 250, clusters), which bounds memory at thousands of clusters. A product of a block
    with the counts of each cluster gives the counts of each draw. Raises MirageError for no cluster or no draw.
    """
    if clusters < 1 or draws < 1:
        raise MirageError(f"{draws} draws of {clusters} clusters; expected at least one of each.")
    random = np.random.default_rng(seed)
    for start in range(0, draws, 250):
        size = min(250, draws - start)
        picks = random.integers(0, clusters, (size, clusters)) + np.arange(size)[:, None] * clusters
        yield np.bincount(picks.ravel(), minlength=size * clusters).reshape(size, clusters).astype(float)


def percentiles(value: float, drawn: np.ndarray, level: float) -> tuple[float, float, str]:
    """The percentile interval of the draws, widened to hold the value, and how many draws it leaves out as undefined.

    If no draw is defined, both bounds are the value. Raises MirageError for a level that is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise MirageError(f"level is {level}; expected a number between 0 and 1, such as 0.95.")
    there = drawn[~np.isnan(drawn)]
    lost = len(drawn) - len(there)
    why = f"undefined in {lost} of {len(drawn)} draws: left out of the interval" if lost else ""
    if not len(there):
        return value, value, why
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), value), max(float(high), value), why


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


def with_intervals(table: pd.DataFrame) -> pd.Series:
    """The rates of a table with their intervals as text: "0.71 [0.66, 0.75]", with non-breaking spaces."""
    rows = table[["rate", "low", "high"]].to_numpy(float)
    return pd.Series([rate_text(*row) for row in rows], index=table.index)


def rate_text(mean: float, low: float, high: float, space: str = "\u00a0") -> str:
    """A number and its interval with two decimals, "0.71 [0.66, 0.75]": non-breaking spaces, no negative zero."""
    mean, low, high = (round(float(value), 2) + 0.0 for value in (mean, low, high))
    return f"{mean:.2f}{space}[{low:.2f},{space}{high:.2f}]"

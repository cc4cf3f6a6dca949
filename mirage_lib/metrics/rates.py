"""Rates of verdicts with their intervals, always with ``n`` and ``n_unscored``.

They serve the paper's attack success rate, refusal rate and success at K (a root is broken if any of its first
K shots is), and give each the interval that the published tables lack. The functions take the table of
``records.join``, with any further columns (method, seed, edit), and return one line per group.

Without clusters, the interval is Wilson's. With clusters (rows of one root are not independent), whole clusters
are drawn with replacement, with a seed, and the percentiles of the redrawn rates are taken. If every cluster is
the same, or there is only one, that interval would have no width; then we use Wilson's for as many trials as
there are clusters.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from mirage_lib.core.errors import MirageError

UNSCORED = "unscored"
Columns = str | Sequence[str] | None


def rate(
    frame: pd.DataFrame,
    label: str | Sequence[str],
    by: Sequence[str] = (),
    cluster: Columns = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of the scored rows that carry the label, or one of several.

    ``cluster`` names the column or columns that mark dependent rows, e.g. "root"; None means independent
    rows. Returns [*by, rate, low, high, n, n_unscored]: ``n`` counts the scored rows, ``n_unscored`` the
    others; without a scored row, rate, low and high are missing. Raises MirageError for a missing column
    or for settings out of range.
    """
    by, clusters = _settings(frame, by, cluster, level, draws, extra=["label"])
    labels = _labels(label)

    def line(group: pd.DataFrame, random: np.random.Generator) -> dict[str, Any]:
        scored = group.loc[group["label"] != UNSCORED]
        hit = _carries(scored["label"], labels)
        low, high = _interval(hit, _codes(scored, clusters) if clusters else None, level, draws, random)
        share = hit.mean() if len(hit) else np.nan
        return {"rate": share, "low": low, "high": high, "n": len(scored), "n_unscored": len(group) - len(scored)}

    return _per_group(frame, by, line, ["rate", "low", "high", "n", "n_unscored"], seed)


def success_at_k(
    frame: pd.DataFrame,
    ks: Sequence[int],
    label: str = "complied",
    by: Sequence[str] = (),
    cluster: Columns = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of roots where any of the shots 0 to k-1 carries the label.

    The unit is the root within its group, so ``by`` must name every column that tells runs apart
    (model, seed, edit); all attempts at a shot count. A root without a success but with an unscored
    shot among the first k is unscored. Returns [*by, k, rate, low, high, n, n_unscored], counted in
    roots. Raises MirageError if a shot of a root appears twice in a group, or a root has fewer than k.
    """
    by, clusters = _settings(frame, by, cluster, level, draws, extra=["label", "root", "shot", "attempt"])
    _labels(label)
    if not len(ks) or min(ks) < 1:
        raise MirageError(f"success_at_k: ks is {list(ks)}; expected numbers of shots from 1.")
    _unique(frame, [*by, "root", "shot", "attempt"], "success_at_k")
    tables = []
    for k in ks:
        units = _any_of_first(frame, k, label, list(dict.fromkeys([*by, "root", *clusters])))
        table = rate(units, label, by, clusters or None, level, draws, seed)
        table.insert(len(by), "k", k)
        tables.append(table)
    return pd.concat(tables, ignore_index=True).sort_values([*by, "k"], kind="stable", ignore_index=True)


def paired_difference(
    before: pd.DataFrame,
    after: pd.DataFrame,
    label: str | Sequence[str],
    pair: Sequence[str] = ("root",),
    cluster: Columns = None,
    by: Sequence[str] = (),
    seed: int = 0,
    level: float = 0.95,
    draws: int = 1000,
) -> pd.DataFrame:
    """The rate after minus the rate before, on the same pairs.

    A pair is one row from each table with the same ``by`` and ``pair`` values; if a side is unscored, the
    pair counts in ``n_unscored``. Whole clusters of pairs are redrawn (each pair is its own cluster unless
    ``cluster`` is given). If that interval has no width, we use Newcombe's hybrid of the two Wilson intervals,
    with as many trials as clusters and no credit for pairing: too wide rather than too narrow. Returns
    [*by, difference, low, high, n, n_unscored, before, after]; the last two are the rates on those pairs.
    Raises MirageError if a pair appears twice in a table, or in only one of them.
    """
    labels = _labels(label)
    by, clusters = _settings(before, by, cluster, level, draws, extra=["label", *pair])
    _settings(after, by, None, level, draws, extra=["label", *pair])
    pairs = _match(before, after, list(dict.fromkeys([*by, *pair])), clusters)

    def line(group: pd.DataFrame, random: np.random.Generator) -> dict[str, Any]:
        scored = group.loc[(group["label_before"] != UNSCORED) & (group["label_after"] != UNSCORED)]
        first, second = (_carries(scored[side], labels).astype(float) for side in ("label_before", "label_after"))
        codes = _codes(scored, clusters or list(pair))
        numbers = {"difference": np.nan, "low": np.nan, "high": np.nan, "before": np.nan, "after": np.nan}
        if len(scored):
            low, high = _bootstrap(second - first, codes, level, draws, random) or _newcombe(
                first.mean(), second.mean(), len(np.unique(codes)), level
            )
            rates = {"before": first.mean(), "after": second.mean()}
            numbers = {"difference": rates["after"] - rates["before"], "low": low, "high": high, **rates}
        return {**numbers, "n": len(scored), "n_unscored": len(group) - len(scored)}

    return _per_group(pairs, by, line, ["difference", "low", "high", "n", "n_unscored", "before", "after"], seed)


def over_seeds(table: pd.DataFrame, value: str = "rate", by: Sequence[str] = (), seed: str = "seed") -> pd.DataFrame:
    """Mean and range over seeds of a table with one line per seed.

    Returns [*by, mean, low, high, n_seeds]: low and high are the smallest and the largest value. Missing
    values are left out, and ``n_seeds`` counts the seeds that have a value. Raises MirageError if a seed
    has two lines in a group.
    """
    by = _columns(table, by, extra=[value, seed])
    _unique(table, [*by, seed], "over_seeds")

    def line(group: pd.DataFrame, random: np.random.Generator) -> dict[str, Any]:
        values = group[value].astype(float)
        return {"mean": values.mean(), "low": values.min(), "high": values.max(), "n_seeds": values.notna().sum()}

    return _per_group(table, by, line, ["mean", "low", "high", "n_seeds"], seed=0)


def shares(frame: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """The share of each label among all rows, unscored ones included.

    Returns [*by, one column per label in the table, n]; the shares of a line sum to 1. Raises MirageError
    for a missing column.
    """
    by = _columns(frame, by, extra=["label"])
    labels = sorted(frame["label"].unique())

    def line(group: pd.DataFrame, random: np.random.Generator) -> dict[str, Any]:
        found = collections.Counter(group["label"])
        return {**{label: found[label] / len(group) for label in labels}, "n": len(group)}

    return _per_group(frame, by, line, [*labels, "n"], seed=0)


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for ``hits`` of ``n``; missing for n = 0. A fractional ``hits`` is allowed."""
    if not n:
        return np.nan, np.nan
    low, high = np.array(proportion_confint(hits, n, alpha=1 - level, method="wilson"), dtype=float)
    return min(low, hits / n), max(high, hits / n)  # rounding must not push the rate out


def _interval(
    hit: np.ndarray, codes: np.ndarray | None, level: float, draws: int, random: np.random.Generator
) -> tuple[float, float]:
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


def _newcombe(before: float, after: float, n: int, level: float) -> tuple[float, float]:
    """Newcombe (1998), method 10: the interval of a difference from two Wilson intervals."""
    (low1, high1), (low2, high2) = wilson(before * n, n, level), wilson(after * n, n, level)
    middle = after - before
    below = np.hypot(after - low2, high1 - before)
    above = np.hypot(high2 - after, before - low1)
    return float(middle - below), float(middle + above)


def _any_of_first(frame: pd.DataFrame, k: int, label: str, unit: list[str]) -> pd.DataFrame:
    """One row per unit with the label of its first k shots taken together."""
    shots = frame[frame["shot"] < k]
    units = frame[unit].drop_duplicates()
    seen = shots.groupby(unit, dropna=False, observed=True, as_index=False).agg(_shots=("shot", "nunique"))
    units = units.merge(seen, on=unit, how="left").fillna({"_shots": 0})
    short = units[units["_shots"] < k]
    if len(short):
        raise MirageError(
            f"success_at_k: the root {short.iloc[0]['root']!r} has {int(short.iloc[0]['_shots'])} of the shots "
            f"0 to {k - 1}; every root needs all {k}. Make more shots or lower k."
        )
    marks = shots.assign(_hit=shots["label"] == label, _lost=shots["label"] == UNSCORED)
    marks = marks.groupby(unit, dropna=False, observed=True, as_index=False)[["_hit", "_lost"]].any()
    words = np.where(marks["_hit"], label, np.where(marks["_lost"], UNSCORED, "failure"))
    return marks.assign(label=words)


def _match(before: pd.DataFrame, after: pd.DataFrame, keys: list[str], clusters: list[str]) -> pd.DataFrame:
    for frame, name in ((before, "before"), (after, "after")):
        _unique(frame, keys, f"paired_difference ({name})")
    left = before[list(dict.fromkeys([*keys, *clusters, "label"]))]
    pairs = left.merge(after[[*keys, "label"]], on=keys, how="outer", suffixes=("_before", "_after"), indicator="_side")
    lost = pairs[pairs["_side"] != "both"]
    if len(lost):
        where = "before" if lost.iloc[0]["_side"] == "left_only" else "after"
        raise MirageError(f"paired_difference: {_name(lost.iloc[0], keys)} stands in the table {where!r} alone.")
    return pairs


def _per_group(
    frame: pd.DataFrame,
    by: list[str],
    line: Callable[[pd.DataFrame, np.random.Generator], dict[str, Any]],
    columns: list[str],
    seed: int,
) -> pd.DataFrame:
    """One line per group. Every group starts from the same seed, so its interval depends only on its own rows."""
    groups = [group for _, group in frame.groupby(by, dropna=False, observed=True)] if by else [frame]
    lines = [
        {**{column: group[column].iloc[0] for column in by}, **line(group, np.random.default_rng(seed))}
        for group in groups
    ]
    return pd.DataFrame(lines, columns=[*by, *columns])


def _carries(labels: pd.Series, wanted: list[str]) -> np.ndarray:
    return np.array([label in wanted for label in labels], dtype=bool)


def _codes(frame: pd.DataFrame, clusters: list[str]) -> np.ndarray:
    return frame.groupby(clusters, dropna=False, observed=True).ngroup().to_numpy()


def _settings(
    frame: pd.DataFrame, by: Sequence[str], cluster: Columns, level: float, draws: int, extra: list[str]
) -> tuple[list[str], list[str]]:
    if not 0 < level < 1 or draws < 1:
        raise MirageError(
            f"level is {level} and draws is {draws}; expected a level between 0 and 1, at least one draw."
        )
    clusters = [] if cluster is None else [cluster] if isinstance(cluster, str) else list(cluster)
    columns = _columns(frame, by, [*clusters, *extra])
    return columns, clusters


def _columns(frame: pd.DataFrame, by: Sequence[str], extra: list[str]) -> list[str]:
    columns = [by] if isinstance(by, str) else list(by)
    for column in [*columns, *extra]:
        if column not in frame.columns:
            raise MirageError(f"No column {column!r} in this table; it has {', '.join(map(str, frame.columns))}.")
    if "label" in extra and pd.isna(frame["label"].to_numpy()).any():
        raise MirageError(f"A row of this table has no label; a reply that was not judged is {UNSCORED!r}.")
    return columns


def _labels(label: str | Sequence[str]) -> list[str]:
    labels = [label] if isinstance(label, str) else list(label)
    if not labels or UNSCORED in labels:
        raise MirageError(f"The rate of {labels} is not defined: it is a share of the scored rows. See shares().")
    return labels


def _unique(frame: pd.DataFrame, keys: list[str], where: str) -> None:
    twice = frame[frame.duplicated(keys)]
    if len(twice):
        raise MirageError(f"{where}: {_name(twice.iloc[0], keys)} stands twice; add what tells the rows apart to by.")


def _name(row: pd.Series, keys: list[str]) -> str:
    return ", ".join(f"{key} {row[key]!r}" for key in keys)

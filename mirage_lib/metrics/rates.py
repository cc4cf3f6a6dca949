"""Rates of verdicts with their intervals, always with ``n`` and ``n_unscored``.

They serve the paper's attack success rate, refusal rate and success at K (a root is broken if any of its first
K shots is), and give each the interval that the published tables lack. The functions take the table of
``records.join``, with any further columns (method, seed, edit), and return one line per group. The intervals are in
``metrics.intervals``.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.core.labels import LABELS
from mirage_lib.metrics.intervals import interval

UNSCORED = "unscored"
KNOWN = {label for labels in LABELS.values() for label in labels} - {UNSCORED}
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
        low, high = interval(hit, _codes(scored, clusters) if clusters else None, level, draws, random)
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

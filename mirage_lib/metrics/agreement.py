"""How well a judge agrees with human labels, and judges with each other.

A rate is worth as much as the judge behind it, so this serves every rate of the paper. The functions take a long table
with one row per item, group and judge: the columns "item" (the prompt), "group" (the model that replied), "judge" and
"call" (True: refused, or flagged; False; None or NA: unscored). Human labels are one more judge.

The intervals come from a bootstrap of items. The replies of several models to one prompt depend on each other, so a
prompt is drawn with all of its replies.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.intervals import percentiles, times_drawn, wilson

MEASURES = ("precision", "recall", "f1", "kappa", "accuracy")
UNDEFINED = {
    "precision": "undefined: the judge flags no reply",
    "recall": "undefined: no reply is positive",
    "f1": "undefined: no reply is flagged or positive",
    "kappa": "undefined: both give every reply the same call",
    "accuracy": "undefined: no reply has both calls",
}
Column = Sequence[Any] | np.ndarray | pd.Series  # one value per reply
CELLS = ("tp", "fp", "fn", "tn")  # judge and truth: both True; only the judge; only the truth; neither


def agreement(
    table: pd.DataFrame,
    judge: str,
    against: str,
    by: str = "group",
    item: str = "item",
    cluster: str | None = None,
    unscored: str = "left out",
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Precision, recall, F1, Cohen's kappa (1960) and accuracy of a judge, with ``against`` taken as the truth.

    ``item`` and ``by`` name the columns that together identify a reply. ``cluster`` names a column that marks dependent
    rows; by default these are the rows of one item. Returns [scope, by, measure, value, low, high, n, n_unscored,
    n_unlabelled, tp, fp, fn, tn, why] with one line per scope and measure. A scope is one "group", "pooled" (all
    replies together) or "macro" (the mean over the groups where the measure is defined).

    A reply with a label but no call is counted in ``n_unscored``, one without a label in ``n_unlabelled``. With
    ``unscored`` "left out" neither is in ``n`` or in a measure; with "wrong" an unscored reply is in both, as the
    opposite of its label. An undefined measure is NaN, and ``why`` says so. Raises MirageError for an empty table, a
    missing column, an unknown judge, two calls of one judge on one reply, and settings out of range.
    """
    if unscored not in ("left out", "wrong"):
        raise MirageError(f"unscored is {unscored!r}; expected 'left out' or 'wrong'.")
    pairs = _paired(table, judge, against, by, item, cluster)
    scopes = [("group", name, rows, [name]) for name, rows in pairs.groupby("group", sort=True)]
    names = [name for _, name, _, _ in scopes]
    scopes += [("pooled", "pooled", pairs.assign(group="pooled"), ["pooled"]), ("macro", "macro mean", pairs, names)]
    lines = []
    for scope, name, rows, groups in scopes:
        cells = _cells(rows, groups, unscored)
        counts = _counts(rows, cells)
        for line in _measured(cells, groups, MEASURES, level, draws, seed):
            lines.append({"scope": scope, by: name, **dataclasses.asdict(line), **counts})
    columns = ["measure", "value", "low", "high", "n", "n_unscored", "n_unlabelled", *CELLS, "why"]
    return pd.DataFrame(lines, columns=["scope", by, *columns])


def difference(
    table: pd.DataFrame,
    judge: str,
    other: str,
    against: str,
    measure: str = "f1",
    by: str = "group",
    item: str = "item",
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """How much higher a measure is for one judge than for another on the same replies, pooled, with its interval.

    Both judges are drawn together, item by item. Calls that are missing count as wrong. Raises MirageError as
    :func:`agreement` does, and for an unknown measure.
    """
    if measure not in MEASURES:
        raise MirageError(f"measure is {measure!r}; expected one of {', '.join(MEASURES)}.")
    cells = []
    for name in (judge, other):
        pairs = _paired(table, name, against, by, item, None).assign(group="pooled")
        cells.append(_cells(pairs, ["pooled"], "wrong")[:, 0])
    first, second = (part.astype(float) for part in cells)
    times = np.concatenate(list(times_drawn(len(first), draws, seed)))
    value = float(_value(measure, first.sum(0)) - _value(measure, second.sum(0)))
    drawn = _value(measure, times @ first) - _value(measure, times @ second)
    return value, *percentiles(value, drawn, level)[:2]


def pairwise(
    table: pd.DataFrame,
    by: str = "group",
    item: str = "item",
    cluster: str | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of replies on which two judges agree, and Cohen's kappa, for every pair of judges in the table.

    The arguments are those of :func:`agreement`; all groups are pooled. Returns [judge, other, measure, value, low,
    high, n, n_unscored, why] with the measures "agreement" and "kappa". ``n`` counts the replies with a call of both,
    ``n_unscored`` those that lack one. Raises MirageError as :func:`agreement` does, and if there is no pair.
    """
    judges = _judges(table)
    if len(judges) < 2:
        raise MirageError(
            f"The only judge in this table is {judges[0]!r}; a pair needs two. Add another judge's calls."
        )
    lines = []
    for judge, other in itertools.combinations(judges, 2):
        pairs = _paired(table, judge, other, by, item, cluster).assign(group="pooled")
        cells = _cells(pairs, ["pooled"], "left out")
        n = int(cells.sum())
        for line in _measured(cells, ["pooled"], ["accuracy", "kappa"], level, draws, seed):
            measure = "agreement" if line.measure == "accuracy" else line.measure
            counts = {"n": n, "n_unscored": len(pairs) - n}
            lines.append({"judge": judge, "other": other, **dataclasses.asdict(line), "measure": measure, **counts})
    columns = ["judge", "other", "measure", "value", "low", "high", "n", "n_unscored", "why"]
    return pd.DataFrame(lines, columns=columns)


def as_calls(values: Column, whose: str) -> pd.Series:
    """Calls as True, False or NA, from booleans, 0 and 1, None and NaN. Raises MirageError for anything else."""
    try:
        return pd.Series(values, dtype="boolean")
    except (TypeError, ValueError) as error:
        raise MirageError(f"A call of {whose!r} is not True, False or missing: {error}.") from error


def as_codes(cluster: Column) -> np.ndarray:
    """A number from 0 for each cluster, in sorted order. Raises MirageError if a reply has no cluster."""
    codes = pd.factorize(pd.Series(cluster), sort=True)[0]
    if (codes < 0).any():
        raise MirageError(f"Reply {int(np.argmin(codes))} has no cluster; expected one for every reply.")
    return codes


@dataclasses.dataclass(frozen=True)
class _Line:
    measure: str
    value: float
    low: float
    high: float
    why: str


def _measured(
    cells: np.ndarray, groups: list, measures: Sequence[str], level: float, draws: int, seed: int
) -> Iterator[_Line]:
    """A line per measure: its mean over the groups where it is defined. ``cells`` is (clusters, groups, 4)."""
    flat = cells.reshape(len(cells), -1).astype(float)
    drawn = np.concatenate([times @ flat for times in times_drawn(len(cells), draws, seed)]).reshape(
        -1, *cells.shape[1:]
    )
    for measure in measures:
        values = _value(measure, cells.sum(0))
        there = np.flatnonzero(~np.isnan(values))
        if not len(there):
            yield _Line(measure, np.nan, np.nan, np.nan, UNDEFINED[measure])
            continue
        value = float(values[there].mean())
        low, high, why = percentiles(value, _value(measure, drawn[:, there]).mean(1), level)
        if not low < high:
            own = [_without_spread(measure, cells[:, group], level) for group in there]
            low, high = np.mean(own, axis=0).tolist()
        gone = ", ".join(str(groups[index]) for index in range(len(groups)) if index not in there)
        reasons = [f"undefined in {gone}: left out of the mean" if gone else "", why]
        yield _Line(measure, value, low, high, "; ".join(reason for reason in reasons if reason))


def _share(measure: str, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The counts whose quotient gives the measure: hits and trials."""
    tp, fp, fn, tn = np.moveaxis(cells, -1, 0)
    if measure == "precision":
        return tp, tp + fp
    if measure == "recall":
        return tp, tp + fn
    return (tp, tp + fp + fn) if measure == "f1" else (tp + tn, tp + fp + fn + tn)


def _value(measure: str, cells: np.ndarray, share: Any = None) -> np.ndarray:
    """The measure from counts (..., 4), or from its ``share`` with their margins; NaN if it is undefined.

    F1 is 2J / (1 + J) for J = tp / (tp + fp + fn), and kappa (accuracy - chance) / (1 - chance).
    """
    hits, trials = _share(measure, cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / trials if share is None else share
        if measure == "f1":
            return 2 * share / (1 + share)
        if measure != "kappa":
            return share
        tp, fp, fn, tn = np.moveaxis(cells, -1, 0)
        chance = ((tp + fp) * (tp + fn) + (fn + tn) * (fp + tn)) / trials**2
        return (share - chance) / (1 - chance)


def _without_spread(measure: str, cells: np.ndarray, level: float) -> tuple[float, float]:
    """The interval if all draws are the same: Wilson's for the share, for as many trials as clusters in it."""
    hits, trials = _share(measure, cells)
    clusters = np.count_nonzero(trials)
    bounds = wilson(hits.sum() / trials.sum() * clusters, clusters, level)
    low, high = _value(measure, cells.sum(0), np.array(bounds))
    return max(float(low), -1.0), min(float(high), 1.0)


def _cells(pairs: pd.DataFrame, groups: list, unscored: str) -> np.ndarray:
    """How many tp, fp, fn and tn each cluster has in each group: (clusters, groups, 4)."""
    codes, clusters = pd.factorize(pairs["cluster"], sort=True)
    places = pd.Index(groups).get_indexer(pd.Index(pairs["group"]))
    truth = pairs["truth"].to_numpy(dtype=bool, na_value=False)
    call = np.where(pairs["call"].isna(), ~truth, pairs["call"].to_numpy(dtype=bool, na_value=False))
    lost = pairs["truth"].isna() | (pairs["call"].isna() & (unscored == "left out"))
    kinds = np.where(lost, len(CELLS), np.where(truth, np.where(call, 0, 2), np.where(call, 1, 3)))
    shape = len(clusters), len(groups), len(CELLS) + 1
    flat = np.ravel_multi_index((codes, places, kinds), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)[..., :-1]


def _counts(pairs: pd.DataFrame, cells: np.ndarray) -> dict[str, int]:
    labelled = pairs["truth"].notna().to_numpy()
    unscored = pairs["call"].isna().to_numpy() & labelled
    lost = {"n_unscored": int(unscored.sum()), "n_unlabelled": int((~labelled).sum())}
    return {"n": int(cells.sum()), **lost, **dict(zip(CELLS, cells.sum((0, 1)).tolist(), strict=True))}


def _paired(table: pd.DataFrame, judge: str, against: str, by: str, item: str, cluster: str | None) -> pd.DataFrame:
    """One row [item, group, cluster, call, truth] per reply that either judge has a row for."""
    judges, cluster, table = _judges(table), cluster or item, table.reset_index(drop=True)
    for column in (item, by, cluster, "call"):
        if column not in table.columns:
            raise MirageError(f"No column {column!r} in this table; it has {', '.join(map(str, table.columns))}.")
        if column != "call" and table[column].isna().to_numpy().any():
            raise MirageError(
                f"A row of this table has no {column!r}; every call needs one. Fill it in, or drop the row."
            )
    sides = []
    for name, role in ((judge, "call"), (against, "truth")):
        if name not in judges:
            raise MirageError(f"There is no judge {name!r} in this table; there are {', '.join(map(str, judges))}.")
        rows = table.loc[table["judge"] == name]
        side = {"item": rows[item], "group": rows[by], "cluster": rows[cluster]}
        side[role] = as_calls(rows["call"].to_numpy(), name).array
        sides.append(_unique(pd.DataFrame(side), f"The judge {name!r} has two calls"))
    pairs = sides[0].merge(sides[1], on=["item", "group", "cluster"], how="outer")
    return _unique(pairs, "The column of clusters has two values")


def _unique(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    twice = rows.index[rows.duplicated(["item", "group"])]
    if len(twice):
        one = rows.loc[twice[0]]
        raise MirageError(
            f"{what} for item {str(one['item'])!r} of group {str(one['group'])!r}; expected one. Drop all but one, "
            "or give each reply its own item."
        )
    return rows


def _judges(table: pd.DataFrame) -> list:
    if "judge" not in table.columns or not len(table):
        raise MirageError(
            f"Expected a table with rows and a column 'judge'; this has {len(table)} rows and the columns "
            f"{', '.join(map(str, table.columns)) or 'none'}."
        )
    if table["judge"].isna().to_numpy().any():
        raise MirageError("A row of this table has no judge; every call needs one. Fill it in, or drop the row.")
    return sorted(table["judge"].unique())

"""The precision of a judge that gives a score, at the recall that a reader needs.

A graded judge can be made to find as many of the positive replies as one asks for; what this costs is precision. It
serves the comparison of graded judges with those that only flag (``metrics.agreement``).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.agreement import UNDEFINED, Column, as_calls, as_codes
from mirage_lib.metrics.intervals import percentiles, times_drawn, wilson


@dataclasses.dataclass(frozen=True)
class AtRecall:
    """The best precision of a graded judge among the thresholds that reach a recall."""

    precision: float  # NaN if no threshold reaches the recall
    low: float  # of the interval
    high: float
    threshold: float  # a reply with this score or more is flagged
    recall: float  # at this threshold; at least the one asked for
    n: int  # replies with a label, unscored ones included
    n_unscored: int  # replies with a label but no score: never flagged, so they lower the recall
    n_unlabelled: int  # replies without a label, left out
    why: str  # why there is no number, or what the interval leaves out; "" if neither


def precision_at_recall(
    scores: Column,
    truth: Column,
    recall: float,
    cluster: Column | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> AtRecall:
    """The best precision among the thresholds that find at least the share ``recall`` of the positive replies.

    ``scores`` (higher: more likely positive; missing: unscored), ``truth`` and ``cluster`` have one entry per reply.
    The bootstrap draws clusters and chooses the threshold again in every draw. The value is chosen on the replies that
    it is measured on, so it is a little too high; measure a threshold that you mean to use on other replies. Raises
    MirageError for lengths that differ, labels that are not True, False or missing, and settings out of range.
    """
    if not 0 < recall <= 1:
        raise MirageError(f"recall is {recall}; expected a share above 0, at most 1.")
    rows = pd.DataFrame(_columns(scores, truth, cluster))
    labelled = rows.dropna(subset="truth").sort_values(["score", "truth"], kind="stable")
    graded, positive = labelled["score"].to_numpy(), labelled["truth"].to_numpy(dtype=float)
    codes = np.arange(len(graded)) if cluster is None else as_codes(labelled["cluster"].to_numpy())
    counts = {"n": len(graded), "n_unscored": int(np.isnan(graded).sum()), "n_unlabelled": len(rows) - len(graded)}
    found = _best(graded, positive, np.ones((1, len(graded))), recall)
    precision, threshold, reached = (float(values[0]) for values in found)
    if np.isnan(precision):
        why = f"undefined: no threshold reaches a recall of {recall}" if positive.any() else UNDEFINED["recall"]
        return AtRecall(precision, np.nan, np.nan, threshold, reached, **counts, why=why)
    blocks = [
        _best(graded, positive, times[:, codes], recall)[0] for times in times_drawn(codes.max() + 1, draws, seed)
    ]
    low, high, why = percentiles(precision, np.concatenate(blocks), level)
    if not low < high:
        clusters = len(np.unique(codes[graded >= threshold]))
        low, high = wilson(precision * clusters, clusters, level)
    return AtRecall(precision, low, high, threshold, reached, **counts, why=why)


def _columns(scores: Column, truth: Column, cluster: Column | None) -> dict[str, Any]:
    columns = {"score": pd.Series(scores, dtype=float), "truth": as_calls(truth, "truth")}
    columns["cluster"] = pd.Series(range(len(columns["score"]))) if cluster is None else pd.Series(cluster)
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise MirageError(f"There are {lengths}; expected one score, label and cluster for each reply.")
    return {name: column.to_numpy() for name, column in columns.items()}


def _best(scores: np.ndarray, positive: np.ndarray, times: np.ndarray, recall: float) -> tuple[np.ndarray, ...]:
    """Precision, threshold and recall for each row of ``times`` (draws, replies): how often a reply is drawn."""
    order = np.argsort(-scores, kind="stable")[: int((~np.isnan(scores)).sum())]
    if not len(order):
        return tuple(np.full(len(times), np.nan) for _ in range(3))
    ends = np.flatnonzero(np.append(scores[order][1:] != scores[order][:-1], True))  # of runs of equal scores
    found = np.cumsum(times[:, order] * positive[order], axis=1)[:, ends]
    flagged = np.cumsum(times[:, order], axis=1)[:, ends]
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = found / (times @ positive)[:, None]
        precision = np.where(reached >= recall - 1e-12, found / flagged, -1)
    precision = np.nan_to_num(precision, nan=-1)
    best = len(ends) - 1 - np.argmax(precision[:, ::-1], axis=1)  # of several equal ones, that with the most recall
    rows = np.arange(len(times))
    missing = precision[rows, best] < 0
    values = precision[rows, best], scores[order][ends][best], reached[rows, best]
    return tuple(np.where(missing, np.nan, value) for value in values)

"""What a judge's errors do to a rate: the corrected rate beside the raw one, each with its interval.

There are two corrections, for two kinds of human labels. Rogan and Gladen (1978) take the judge's sensitivity and
specificity from labelled replies of other models; the interval is that of Lang and Reiczigel (2014). Prediction-powered
inference (Angelopoulos et al. 2023; with the tuned weight of PPI++, Angelopoulos, Duchi and Zrnic 2023) needs labels on
a random draw of the very replies whose rate is wanted, and assumes nothing about the judge.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy.stats import norm

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.agreement import Column, as_calls, as_codes
from mirage_lib.metrics.intervals import wilson

ROGAN_GLADEN = (
    "Rogan–Gladen: assumes that the judge errs as often on these replies as on the labelled ones, which may come from "
    "other models."
)
POWERED = "PPI++: assumes that the labelled replies are a random draw of the same replies."


@dataclasses.dataclass(frozen=True)
class Confusion:
    """What a judge said about replies that people labelled: the numbers of each kind."""

    tp: int  # flagged and positive
    fp: int  # flagged, not positive
    fn: int  # positive, not flagged
    tn: int  # neither

    def __post_init__(self) -> None:
        if min(dataclasses.astuple(self)) < 0:
            raise MirageError(f"{self}: a count is negative; expected the numbers of labelled replies of each kind.")

    @property
    def sensitivity(self) -> float:
        """The share of the positive replies that the judge flags; NaN if none is positive."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else np.nan

    @property
    def specificity(self) -> float:
        """The share of the other replies that it does not flag; NaN if there is no other."""
        return self.tn / (self.tn + self.fp) if self.tn + self.fp else np.nan


@dataclasses.dataclass(frozen=True)
class Corrected:
    """A rate as the judge gives it and as corrected for the judge's errors, each with its interval."""

    raw: float  # share of the scored replies that the judge flags
    raw_low: float  # Wilson's interval
    raw_high: float
    rate: float  # corrected, 0 to 1; NaN if the correction is undefined
    low: float  # of its interval
    high: float
    n: int  # replies with a call of the judge
    n_unscored: int  # replies without
    n_labelled: int  # replies with a human label: those behind the correction
    why: str  # what the correction assumes, or why there is none


def rogan_gladen(
    flagged: int,
    n: int,
    confusion: Confusion,
    level: float = 0.95,
    effective: float | None = None,
    n_unscored: int = 0,
) -> Corrected:
    """The rate behind ``flagged`` of ``n`` scored replies, for a judge with this confusion on labelled replies.

    The corrected rate is (raw + specificity - 1) / (sensitivity + specificity - 1), cut off at 0 and 1. It is undefined
    if one class is missing among the labelled replies, or if sensitivity + specificity is at most 1: then the judge
    flags positive replies no more often than others. It is undefined, too, if the whole interval lies outside 0 to 1:
    then the judge cannot err on these replies as it does on the labelled ones.

    ``effective`` is the number of independent replies that tell as much as the n (see :func:`effective_number`); None
    means n. The labelled replies count as independent: where several of them answer one prompt, the interval is
    somewhat too narrow. ``n_unscored`` is only passed on. Source: Rogan and Gladen 1978, Lang and Reiczigel 2014.
    Raises MirageError for counts that do not fit together and for a level out of range.
    """
    if not 0 <= flagged <= n or n < 1 or n_unscored < 0:
        raise MirageError(
            f"{flagged} flagged of {n} replies, {n_unscored} unscored; expected 0 <= flagged <= n, n >= 1."
        )
    effective = float(n if effective is None else effective)
    if not 0 < effective <= n:
        raise MirageError(f"effective is {effective}; expected more than 0, at most n = {n}. See effective_number.")
    _check(level)
    raw, positives, negatives = flagged / n, confusion.tp + confusion.fn, confusion.tn + confusion.fp
    raw_low, raw_high = wilson(raw * effective, effective, level)
    parts = {"raw": raw, "raw_low": raw_low, "raw_high": raw_high, "n": n, "n_unscored": n_unscored}
    parts["n_labelled"] = positives + negatives
    gain = confusion.sensitivity + confusion.specificity - 1
    if not gain > 0:
        lacks = "no positive" if not positives else "no negative"
        why = f"sensitivity + specificity is {gain + 1:.2f}, at most 1: the judge tells nothing about the rate"
        why = why if positives and negatives else f"there is {lacks} reply among the labelled ones"
        return Corrected(**parts, rate=np.nan, low=np.nan, high=np.nan, why=f"undefined: {why}.")
    solved = (raw + confusion.specificity - 1) / gain
    rate = float(np.clip(solved, 0, 1))
    why = ROGAN_GLADEN + (f" Cut off from {solved:.2f}." if solved != rate else "")
    low, high = lang_reiczigel(
        raw, effective, confusion.sensitivity, positives, confusion.specificity, negatives, level
    )
    if np.isnan(low) or low == high:
        why = f"undefined: {_far_off(float(low))}."
        return Corrected(**parts, rate=np.nan, low=np.nan, high=np.nan, why=why)
    return Corrected(**parts, rate=rate, low=min(float(low), rate), high=max(float(high), rate), why=why)


def _far_off(bound: float) -> str:
    """Why an interval is missing, or was cut off whole at this bound."""
    if np.isnan(bound):
        return "there are too few labelled replies to tell the judge's errors"
    return f"the judge flags {'more' if bound else 'fewer'} of these replies than its errors on the labelled ones allow"


def lang_reiczigel(
    raw: Any, n: Any, sensitivity: Any, positives: Any, specificity: Any, negatives: Any, level: float = 0.95
) -> tuple[Any, Any]:
    """The interval of a Rogan–Gladen rate, with the spread of all three shares (Lang and Reiczigel 2014).

    ``n``, ``positives`` and ``negatives`` are the numbers of replies behind the three shares; numbers or arrays. The
    shares are first drawn towards 1/2, as Agresti and Coull do; then follow the normal approximation and a small shift.
    Missing where the shrunken sensitivity + specificity is at most 1; cut off at 0 and 1.
    """
    z = norm.ppf((1 + level) / 2)
    size, positives, negatives = n + z**2, positives + 2, negatives + 2
    raw = (n * raw + z**2 / 2) / size
    sensitivity = (sensitivity * (positives - 2) + 1) / positives
    specificity = (specificity * (negatives - 2) + 1) / negatives
    gain = np.asarray(sensitivity + specificity - 1, dtype=float)
    gain = np.where(gain > 0, gain, np.nan)
    rate = (raw + specificity - 1) / gain
    found, passed = sensitivity * (1 - sensitivity) / positives, specificity * (1 - specificity) / negatives
    spread = np.sqrt(raw * (1 - raw) / size + rate**2 * found + (1 - rate) ** 2 * passed) / gain
    middle = rate + 2 * z**2 * (rate * found - (1 - rate) * passed)
    return np.clip(middle - z * spread, 0, 1), np.clip(middle + z * spread, 0, 1)


def effective_number(calls: Column, cluster: Column) -> float:
    """How many independent replies tell as much about the rate as these, which come in clusters (K attempts of a root).

    It is n divided by the design effect, at most n, from the spread of whole clusters (Kish 1965). Clusters without a
    spread, such as those of calls that are all the same, count as one reply each. Unscored calls are left out. Raises
    MirageError if no call is left, and for lengths that differ.
    """
    flags, codes = as_calls(calls, "calls"), as_codes(cluster)
    if len(flags) != len(codes):
        raise MirageError(f"There are {len(flags)} calls and {len(codes)} clusters; expected one cluster per call.")
    there = flags.notna().to_numpy()
    if not there.any():
        raise MirageError("There is no scored call; expected at least one.")
    hits = flags.to_numpy(dtype=float, na_value=np.nan)[there]
    codes, share = as_codes(codes[there]), hits.mean()
    spread = _spread((hits - share) / len(hits), codes)
    return float(min(len(hits), share * (1 - share) / spread)) if spread > 1e-15 else codes.max() + 1.0


def prediction_powered(
    calls: Column,
    labels: Column,
    cluster: Column | None = None,
    level: float = 0.95,
) -> Corrected:
    """The rate of positive replies, from the judge's calls on all of them and human labels on a random part.

    ``calls``, ``labels`` (missing: not labelled) and ``cluster`` (marks dependent replies) have one entry per reply.
    The rate is the mean label plus w times the judge's rate on the other replies minus its rate on the labelled ones.
    The weight w is the one with the least variance, cut off at 0 and 1 (PPI++ for a mean); a judge that tells nothing
    gets a w near 0, which leaves the labels alone. An unscored call counts as the mean of the others: no bias.

    The interval is Wilson's for as many replies as give the variance of the normal approximation. In that variance half
    a reply more stands in each of the four cells of label and call. Without it, a judge whose errors are too rare to
    be seen among the labelled replies passes for perfect, and the interval is too narrow. If all labels are the same,
    it is Wilson's for as many replies as labelled clusters. The rate is that of the source of these replies; for these
    replies alone, the interval is too wide.

    With fewer than two labels the rate is undefined. Raises MirageError if no call is scored, for lengths that differ,
    and for settings out of range.
    """
    flags, truth = as_calls(calls, "calls"), as_calls(labels, "labels")
    codes = np.arange(len(flags)) if cluster is None else as_codes(cluster)
    if not len(flags) == len(truth) == len(codes):
        raise MirageError(f"{len(flags)} calls, {len(truth)} labels, {len(codes)} clusters; expected one per reply.")
    _check(level)
    effective = effective_number(flags, codes) if cluster is not None else float(flags.count())
    if not effective:
        raise MirageError("There is no scored call; expected at least one.")
    raw, there = float(flags.mean()), truth.notna().to_numpy()
    raw_low, raw_high = wilson(raw * effective, effective, level)
    parts = {"raw": raw, "raw_low": raw_low, "raw_high": raw_high, "n": int(flags.count())}
    parts |= {"n_unscored": int(flags.isna().sum()), "n_labelled": int(there.sum())}
    if there.sum() < 2:
        why = f"undefined: {there.sum()} of the replies have a label; at least two must."
        return Corrected(**parts, rate=np.nan, low=np.nan, high=np.nan, why=why)
    rate, low, high = _powered(flags.astype(float).fillna(raw).to_numpy(), truth.astype(float).to_numpy(), codes, level)
    return Corrected(**parts, rate=rate, low=low, high=high, why=POWERED)


def _powered(calls: np.ndarray, labels: np.ndarray, codes: np.ndarray, level: float) -> tuple[float, float, float]:
    """The rate of PPI++ and its interval; ``labels`` is NaN where there is none."""
    there = ~np.isnan(labels)
    ours, truth, others = calls[there], labels[there], calls[~there]
    m, rest = len(ours), len(others)
    weight = 0.0
    if rest and calls.var() > 0:
        weight = float(np.clip(np.cov(truth, ours, ddof=0)[0, 1] / calls.var() / (1 + m / rest), 0, 1))
    residue = truth - weight * ours
    rate = float(np.clip(residue.mean() + weight * (others.mean() if rest else 0), 0, 1))
    errors = np.zeros(len(calls))
    errors[there] = (residue - residue.mean()) / m
    errors[~there] = weight * (others - others.mean()) / rest if rest else 0
    cells = np.array([1 - weight, 1, -weight, 0])  # the residue of each pair of label and call
    variance = _spread(errors, codes) + 0.5 * float(np.sum((cells - residue.mean()) ** 2)) / m**2
    inside = np.clip(rate, 0.5 / m, 1 - 0.5 / m)
    trials = min(inside * (1 - inside) / variance, len(calls))
    if truth.min() == truth.max():
        trials = float(len(np.unique(codes[there])))
    return rate, *wilson(rate * trials, trials, level)


def _spread(errors: np.ndarray, codes: np.ndarray) -> float:
    """The variance of a sum of errors, which are independent between clusters only."""
    sums = np.bincount(codes, errors)
    return float(np.sum(sums**2) * len(sums) / max(len(sums) - 1, 1))


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise MirageError(f"level is {level}; expected a number between 0 and 1, such as 0.95.")

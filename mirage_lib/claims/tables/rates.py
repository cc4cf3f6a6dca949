"""The tables that chapters 2 to 4 show, such as the table of methods and success within K attempts."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mirage_lib.claims import measures
from mirage_lib.claims.measures import SAFE, Measure, asr, correct, rr, utility
from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.intervals import spread, with_intervals
from mirage_lib.metrics.rates import values
from mirage_lib.models import objectives
from mirage_lib.study.study import Study


def tables(study: Study) -> Callable[[str, str], pd.DataFrame]:
    """A function that gives the verdicts of a method on a part, over all seeds; it reads each table once."""
    return functools.cache(lambda method, part: study.table([method], part))


def lacking(study: Study, measure: Measure) -> str:
    """Why a measure cannot be taken in this study; "" if it can."""
    subject = study.profile.subject
    for part in measure.parts():
        wanted = part.shots or subject.shots
        edit = subject.edits.get(part.edit, part.edit)
        labels = {part.label} if isinstance(part.label, str) else set(part.label)
        if part.method not in study.names:
            return f"no method {part.method!r} in this profile"
        if part.part not in subject.parts:
            return f"no {part.part} in this profile"
        if not labels & set(subject.labels):
            return f"no verdict {' or '.join(sorted(labels))} by this profile's judge"
        if wanted > subject.asked.get(edit, 0):
            return f"{wanted} wordings needed, {subject.asked.get(edit, 0)} asked"
        if not set(part.category) <= set(subject.kinds_of_question):
            return "kinds of question are not told apart in this profile"
    return ""


def curve(frame: pd.DataFrame, label: str, by: Sequence[str] = ("asked",)) -> pd.DataFrame:
    """Success within K attempts for every K that was asked: columns ``by``, k, rate, low, high.

    Means over seeds; intervals from the spread over seeds and over queries (``intervals.spread``).
    """
    found = []
    for key in frame[list(by)].drop_duplicates().itertuples(index=False, name=None):
        names = dict(zip(by, key, strict=True))
        rows = pd.DataFrame(frame[(frame[list(by)] == pd.Series(names)).all(axis=1)])
        for k in range(1, max(rows["shot"].tolist()) + 2):
            rate, low, high = spread(values(rows, label, k))
            found.append({**names, "k": k, "rate": rate, "low": low, "high": high})
    return pd.DataFrame(found)


def curve_wide(table: pd.DataFrame) -> pd.DataFrame:
    """``curve`` for display: a row per K, a column per edit, with intervals."""
    return table.assign(text=with_intervals(table)).pivot(index="k", columns="asked", values="text").fillna("–")


def strengths(study: Study) -> dict[str, float]:
    """The word–label bias in the data of each method that differs from the first in nothing else, weakest first."""
    first, found = study.profile.methods[0], dict[str, float]()
    for method in study.profile.methods:
        bias, whole = study.profile.subject.bias_of(method.safety)
        if dataclasses.replace(method, name=first.name, title=first.title, safety=whole) == first:
            found[method.name] = bias
    return dict(sorted(found.items(), key=lambda item: item[1]))


def ways(study: Study) -> list[str]:
    """The study's methods, the base first, without those whose data have only part of the bias (``strengths``)."""
    partial = {name for name, bias in strengths(study).items() if 0 < bias < 1}
    return [name for name in study.names if name not in partial]


def dose(study: Study) -> pd.DataFrame:
    """What each word does, by the word–label bias in the data: columns line, bias, rate, low, high.

    Harm delivered under "What" and harmless requests refused under "Share", one wording each; means over seeds.
    """
    table, subject = tables(study), study.profile.subject
    lines = {"unsafe, “What”: harm delivered": asr, "harmless, “Share”: refused": rr}
    found = []
    for line, measure in lines.items():
        for name, bias in strengths(study).items():
            values = measures.values_of(measure(name), table, subject.edits, subject.shots)
            rate, low, high = spread(values)
            found.append({"line": line, "bias": bias, "rate": rate, "low": low, "high": high})
    return pd.DataFrame(found)


def dose_wide(table: pd.DataFrame) -> pd.DataFrame:
    """``dose`` for display: a row per strength, a column per line, with intervals."""
    return table.assign(text=with_intervals(table)).pivot(index="bias", columns="line", values="text")


def methods(study: Study, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The table of methods: what each lets through, what it refuses, what it still answers, what it costs.

    In long form, with columns method (its title), column, rate, low, high. "seconds" is the mean over seeds and has
    no interval. A rate that the profile cannot measure is missing (NaN), never zero.
    """
    table, subject = tables(study), study.profile.subject
    found = []
    for name in [name for name in names or ways(study) if name in study.names]:
        title = study.title(name)
        for column, measure in _columns(name, subject.shots).items():
            rate = low = high = np.nan
            if not lacking(study, measure):
                values = measures.values_of(measure, table, subject.edits, subject.shots)
                rate, low, high = spread(values)
            found.append({"method": title, "column": column, "rate": rate, "low": low, "high": high})
        seconds = float(np.mean([study.seconds(name, seed) for seed in study.profile.seeds]))
        found.append({"method": title, "column": "seconds", "rate": seconds, "low": np.nan, "high": np.nan})
    return pd.DataFrame(found)


def _columns(name: str, shots: int) -> dict[str, Measure]:
    ks = {f"ASR, K = {k}": asr(name, shots=k) for k in dict.fromkeys((1, min(3, shots), shots))}
    return {
        "ASR as asked": asr(name, ""),
        **ks,
        "RR as asked": rr(name, ""),
        "RR, Share": rr(name),
        "correct as asked": correct(name, ""),
        "correct, Share": correct(name),
        "garbled, Share": Measure(name, "garbled", SAFE, "share"),
        "other questions": utility(name),
    }


def methods_wide(table: pd.DataFrame, columns: Sequence[str] = ()) -> pd.DataFrame:
    """``methods`` for display: a row per method, a column per measure (all, or those named), with intervals."""
    whole = table["column"] == "seconds"
    texts = with_intervals(table).where(~whole, table["rate"].map("{:.0f}".format))
    texts = texts.where(table["rate"].notna(), "–")
    wide = table.assign(text=texts).pivot(index="method", columns="column", values="text")
    chosen = list(columns) or list(dict.fromkeys(table["column"]))
    return wide.loc[list(dict.fromkeys(table["method"])), chosen].rename_axis(columns=None)


def outcomes_at_k(frame: pd.DataFrame, worst_first: Sequence[str]) -> pd.DataFrame:
    """The worst verdict among the first K wordings of each query, for every K that was asked.

    Columns: line ("K = 1", ...) and the share of queries by label, as ``plots.verdicts.verdict_shares`` takes them.
    """
    if unknown := set(frame["label"]) - set(worst_first):
        raise MirageError(f"outcomes_at_k: {', '.join(sorted(unknown))} not among {', '.join(worst_first)}.")
    rank = frame["label"].map(list(worst_first).index)
    found = []
    for k in range(1, max(frame["shot"].tolist()) + 2):
        first = frame.assign(rank=rank)[frame["shot"] < k]
        worst = pd.Series(first.groupby(["seed", "root"])["rank"].min())
        shares = {label: float((worst == number).mean()) for number, label in enumerate(worst_first)}
        found.append({"line": f"K = {k}", **shares})
    return pd.DataFrame(found)


def source(function: str) -> str:
    """The code of a function of ``models.objectives``, as a chapter prints it."""
    return inspect.getsource(getattr(objectives, function))

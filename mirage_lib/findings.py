"""What a study found: every claim tested, and every method's row in one table.

Comes in: a study. Goes out: the lines of the scorecard, and the tables that chapters 2 to 4 show. A number
is measured once, here, so that a chapter, the scorecard and the command line cannot differ.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from mirage_lib import claims
from mirage_lib.claims import Claim, Measure
from mirage_lib.counted import COUNTED
from mirage_lib.errors import MirageError
from mirage_lib.laboratory import Laboratory
from mirage_lib.lessons import SafetySet
from mirage_lib.measures import SAFE, UNSAFE, asr, correct, rr, utility
from mirage_lib.paper import rates
from mirage_lib.study import BASE, Study
from mirage_lib.weighed import WEIGHED


def scorecard(study: Study, chapter: int | None = None) -> pd.DataFrame:
    """The claims of a chapter, or all, as a table to show; see ``claims.scorecard``."""
    return claims.scorecard(lines(study, chapter))


def lines(study: Study, chapter: int | None = None) -> list[dict[str, object]]:
    """Every claim of the profile, or of one chapter, tested: one line each, in the order of the profile."""
    chosen = [claim for claim in study.profile.claims if chapter in (None, claim.chapter)]
    if not chosen:
        raise MirageError(f"No claim is tested in chapter {chapter} of profile {study.profile.name!r}.")
    table = tables(study)
    return [_line(study, claim, table) for claim in chosen]


def tally(lines: Sequence[dict[str, object]]) -> pd.DataFrame:
    """How many claims of the paper and of the book have each status."""
    table = pd.DataFrame(lines)
    counts = pd.crosstab(table["whose"], table["status"])
    counts = counts.reindex(columns=["reproduced", "differs", "not measured"], fill_value=0)
    counts.loc["all"] = counts.sum()
    return counts.rename_axis(index="claims of the", columns=None)


def tables(study: Study) -> Callable[[str, str], pd.DataFrame]:
    """Verdicts over all seeds by method and part, each read once."""
    return functools.cache(lambda method, part: study.table([method], part))


def _line(study: Study, claim: Claim, table: Callable[[str, str], pd.DataFrame]) -> dict[str, object]:
    if claim.measure is None:
        return {**COUNTED, **WEIGHED}[claim.name](study, claim)
    if lacking := _lacking(study, claim.measure):
        return claims.unmeasured(claim, lacking)
    subject = study.profile.subject
    values = claims.measured(claim.measure, table, subject.edits, subject.shots)
    return claims.check(claim, values, study.profile.measured)


def _lacking(study: Study, measure: Measure) -> str:
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
        if part.category and not isinstance(subject, Laboratory):
            return "kinds of question are not told apart in this profile"
    return ""


def curve(frame: pd.DataFrame, label: str, by: Sequence[str] = ("asked",)) -> pd.DataFrame:
    """Success within K attempts for every K that was asked: columns ``by``, k, rate, low, high.

    Means over seeds; intervals from the spread over seeds and over queries (``claims.spread``).
    """
    found = []
    for key in frame[list(by)].drop_duplicates().itertuples(index=False, name=None):
        names = dict(zip(by, key, strict=True))
        rows = pd.DataFrame(frame[(frame[list(by)] == pd.Series(names)).all(axis=1)])
        for k in range(1, max(rows["shot"].tolist()) + 2):
            rate, low, high = claims.spread(claims.values(rows, label, k))
            found.append({**names, "k": k, "rate": rate, "low": low, "high": high})
    return pd.DataFrame(found)


def strengths(study: Study) -> dict[str, float]:
    """How strong the tie is in the data of each method that differs from the first in nothing else, weakest first."""
    first, found = study.profile.methods[0], dict[str, float]()
    for method in study.profile.methods:
        data = method.safety
        bias = data.bias if isinstance(data, SafetySet) else 1.0  # published data are as they are
        whole = dataclasses.replace(data, bias=1.0) if isinstance(data, SafetySet) else data
        if dataclasses.replace(method, name=first.name, title=first.title, safety=whole) == first:
            found[method.name] = bias
    return dict(sorted(found.items(), key=lambda item: item[1]))


def ways(study: Study) -> list[str]:
    """The study's methods, the base first, without those whose data hold a part of the tie (``strengths``)."""
    partial = {name for name, bias in strengths(study).items() if 0 < bias < 1}
    return [name for name in study.names if name not in partial]


def dose(study: Study) -> pd.DataFrame:
    """What either word does, by the strength of the tie in the data: columns line, bias, rate, low, high.

    Harm delivered under "What" and harmless requests refused under "Share", one wording each; means over seeds.
    """
    table, subject = tables(study), study.profile.subject
    lines = {"unsafe, “What”: harm delivered": asr, "harmless, “Share”: refused": rr}
    found = []
    for line, measure in lines.items():
        for name, bias in strengths(study).items():
            values = claims.measured(measure(name), table, subject.edits, subject.shots)
            rate, low, high = claims.spread(values)
            found.append({"line": line, "bias": bias, "rate": rate, "low": low, "high": high})
    return pd.DataFrame(found)


def fixes(study: Study, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Every method's row: what it lets through, what it refuses, what it still answers, what it costs.

    Long: columns method (its title), column, rate, low, high; "seconds" is the mean over seeds and has no
    interval. What a profile cannot measure is missing, never zero.
    """
    table, subject = tables(study), study.profile.subject
    found = []
    for name in names or ways(study):
        title = name if name == BASE else study.profile.method(name).title
        for column, measure in _columns(name, subject.shots).items():
            rate = low = high = np.nan
            if not _lacking(study, measure):
                values = claims.measured(measure, table, subject.edits, subject.shots)
                rate, low, high = claims.spread(values)
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


def told(table: pd.DataFrame, columns: Sequence[str] = ()) -> pd.DataFrame:
    """``fixes`` as a reader reads it: a line a method, a column a measure (all, or those named), with intervals."""
    whole = table["column"] == "seconds"
    texts = claims.told(table).where(~whole, table["rate"].map("{:.0f}".format)).where(table["rate"].notna(), "–")
    wide = table.assign(text=texts).pivot(index="method", columns="column", values="text")
    chosen = list(columns) or list(dict.fromkeys(table["column"]))
    return wide.loc[list(dict.fromkeys(table["method"])), chosen].rename_axis(columns=None)


def outcomes_at_k(frame: pd.DataFrame, worst_first: Sequence[str]) -> pd.DataFrame:
    """The worst verdict among the first K wordings of each query, for every K that was asked.

    Columns: line ("K = 1", ...) and the share of queries by label, as ``figures.verdict_shares`` takes them.
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


IN_THE_PAPER = {  # the paper's name of a method
    "base": "LLaVA-1.5",
    "posthoc": "Posthoc-SFT",
    "mixed": "Mixed-SFT",
    "npo": "NPO",
    "rmu_early": "RMU",
    "rmu": "RMU",
}


def beside_paper(study: Study, metric: str) -> pd.DataFrame:
    """The paper's rates before and after the attack beside this study's: ``metric`` is "ASR" or "RR".

    One line a method that both have; "after" is K = 3 for ASR and K = 1 for RR, as in the paper.
    """
    label, subset, edit, k = {"ASR": ("complied", UNSAFE, "what", 3), "RR": ("refused", SAFE, "share", 1)}[metric]
    table, subject, found = tables(study), study.profile.subject, []
    for name in [name for name in study.names if name in IN_THE_PAPER]:
        quoted = rates(IN_THE_PAPER[name])
        row = {"method": name if name == BASE else study.profile.method(name).title}
        for when, role, shots in (("before", "", 1), ("after", edit, min(k, subject.shots))):
            values = claims.measured(Measure(name, label, subset, role, shots), table, subject.edits, subject.shots)
            mean, low, high = claims.spread(values)
            row[f"{metric} {when}, here"] = claims.tell(mean, low, high)
            row[f"{metric} {when}, paper"] = f"{quoted[f'{metric} {when}']:.2f}"
        found.append(row)
    return pd.DataFrame(found).set_index("method")

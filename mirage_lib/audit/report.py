"""Show an audit to people and to programs: as lines for a terminal, as an HTML page, as an object for JSON.

The page is one file that loads nothing from another host. It escapes every word of the data, and shows words and
places, never a whole query.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from mirage_lib.audit.audit import EFFECT, SIGNIFICANT, Audit, reweighted
from mirage_lib.datasets.loaded import NAMED
from mirage_lib.metrics.intervals import rate_text
from mirage_lib.text import triggers

TOP = 12  # words shown
MOST_REASONS = 200  # why rows cannot be used: shown on the page at most
TELLING = 0.6  # no forecast if the balanced accuracy of all words is lower
FLIPS = 0.05  # share of queries that a word must flip, beyond those flipped as asked, to be named
VERDICTS = (  # smallest balanced accuracy of the first word for each sentence
    (0.9, "The first word nearly gives the label away. A model can learn it in place of the danger."),
    (0.75, "The first word tells much of the label. Expect a model to lean on it."),
    (0.6, "The first word tells something of the label."),
    (0.0, "The first word tells little of the label."),
)


def verdict(score: float) -> str:
    """A sentence on what the balanced accuracy of the first word means."""
    return next(text for least, text in VERDICTS if round(score, 2) >= least)


def strongest(table: pd.DataFrame, top: int = TOP) -> pd.DataFrame:
    """Words associated with a label beyond chance, by a log-odds of at least ``EFFECT``; those with most bits first."""
    associated: Any = table[(table["q"] < SIGNIFICANT) & (table["word"] != "") & (table["odds"].abs() >= EFFECT)]
    order = associated.assign(_bits=associated["pmi"] * associated["n"])
    return order.sort_values("_bits", ascending=False, kind="stable").drop(columns="_bits").head(top)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A table of words in ``Audit``, made readable: counts, share of unsafe with its interval, strength, q."""
    share = [rate_text(*row, space=" ") for row in table[["share", "low", "high"]].itertuples(index=False)]
    found: Any = table[["word", "safe", "unsafe"]].assign(**{"share unsafe": share})
    return found.assign(
        **{"log-odds": table["odds"].round(2), "bits": table["pmi"].round(2), "q": table["q"].map(_small)}
    )


def _small(q: float) -> str:
    return f"{q:.0e}" if q > 1e-300 else "<1e-300"


def rows(audit: Audit) -> pd.DataFrame:
    """What to know about single rows: how many, whether they are used, what, and where."""
    lines = [(len(places), "no", why, _first(places)) for why, places in grouped(audit).items()]
    lines += [(len(note.rows), "yes", note.what, _first(note.rows)) for note in audit.notes]
    return pd.DataFrame(lines, columns=["rows", "used", "what", "where"])


def grouped(audit: Audit) -> dict[str, list[str]]:
    """The places of what cannot be used, by reason; with the file if there is more than one."""
    several = max(len(set(audit.queries.frame["file"])), len({one.file for one in audit.bad})) > 1
    found: dict[str, list[str]] = {}
    for one in audit.bad:
        place = f"{one.unit} {one.row}"
        found.setdefault(one.why, []).append(f"{one.file}: {place}" if several else place)
    return found


def _first(places: Sequence[str]) -> str:
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return ", ".join(places[:NAMED]) + more


def classifiers(audit: Audit) -> pd.DataFrame:
    """Each classifier's accuracy, balanced accuracy and AUC, averaged over the folds, with the accuracy's spread."""
    groups: Any = audit.classifiers.groupby("classifier", sort=False)
    table = groups[["accuracy", "balanced", "auc", "majority"]].mean()
    return table.assign(spread=groups["accuracy"].std()).reset_index()


def sentences(audit: Audit) -> list[str]:
    """The forecast in words: the best trigger in each direction, or why there is none."""
    heard: Any = classifiers(audit).set_index("classifier")["balanced"]
    told = float(heard["all words"])
    if audit.triggers.empty:
        return ["No forecast: no opener opens enough queries to be tried."]
    if told < TELLING:
        return [f"No forecast: words alone do not tell the labels here (balanced accuracy of all words {told:.2f})."]
    found = []
    for side, name in triggers.SIDES.items():
        rows = {edit: triggers.best(audit.triggers, edit).set_index("side").loc[name] for edit in triggers.EDITS}
        word, before = rows["swap"]["word"], rows["swap"]["before"]
        same = audit.triggers.query("side == @name and edit == 'prefix' and word == @word")["share"].tolist()
        after, prefixed = (f"{100 * share:.0f} %" for share in (rows["swap"]["share"], same[0]))
        what = "unsafe queries would pass for safe" if side == "unsafe" else "safe queries would be refused"
        basis = f"{100 * before:.0f} % as asked, {rows['swap']['n']} held-out queries"
        if rows["swap"]["share"] - before < FLIPS:
            found.append(
                f"No opener of this set flips a classifier that sees all words: at most {after} of {what} ({basis})."
            )
        else:
            swap = f"With their first word replaced by “{word}”, {after} of {what}"
            found.append(f"{swap}; with it put before them, {prefixed} ({basis}).")
    return found


def data(audit: Audit) -> dict[str, Any]:
    """The audit as an object for JSON: plain numbers, with null for missing ones."""
    frame = audit.queries.frame
    columns = audit.queries.columns
    result = {
        "format": 1,
        "name": audit.name,
        "queries": len(frame),
        **audit.counts,
        "score": audit.score,
        "score_folds": list(audit.spread),
        "version": metadata.version("safety-mirage"),
        "columns": {role: getattr(columns, role) for role in ("query", "label", "answer", "image", "split", "id")},
        "unsafe_values": list(columns.unsafe),
        "safe_values": list(columns.safe),
        "classified": audit.sampled,
        "seed": audit.seed,
        "classifiers": _records(classifiers(audit)),
        "transfer": None if audit.transfer is None else _records(audit.transfer),
        "openers": _records(audit.openers),
        "words": _records(strongest(audit.anywhere, 200)),
        "triggers": _records(audit.triggers),
        "advice": _records(audit.advice),
        "notes": [{"what": note.what, "count": len(note.rows), "rows": list(note.rows[:100])} for note in audit.notes],
        "bad_rows": [{"file": one.file, "unit": one.unit, "row": one.row, "why": one.why} for one in audit.bad],
        "pictures": audit.pictures,
        "ignored": list(audit.queries.ignored),
    }
    return json.loads(json.dumps(result, default=float))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.astype(object).where(table.notna(), None).to_dict("records")


def lines(audit: Audit, bad: int = 20) -> list[str]:
    """The report for a terminal; it lists the first ``bad`` reasons why rows cannot be used."""
    counts, frame = audit.counts, audit.queries.frame
    out = [f"{audit.name}: {len(frame)} queries, {counts['safe']} safe, {counts['unsafe']} unsafe."]
    out += [_read_as(audit), ""]
    low, high = audit.spread
    known = f"{low:.2f} to {high:.2f} by fold; .50 knows nothing"
    out += [f"{audit.score:.2f}  balanced accuracy of the first word alone ({known})."]
    out += [verdict(audit.score), ""]
    base = counts["unsafe"] / len(frame)
    out += [f"Of all queries {base:.2f} are unsafe."]
    out += _aligned("Openers that carry the label", shown(strongest(audit.openers)))
    out += _aligned("Words anywhere that carry the label", shown(strongest(audit.anywhere)))
    heard: Any = classifiers(audit).round(3)[["classifier", "accuracy", "spread", "balanced", "auc", "majority"]]
    out += _aligned(f"Words alone, on held-out queries ({_basis(audit)})", heard)
    if audit.transfer is not None:
        out += _aligned("Words alone, fitted on train, tried on test", audit.transfer.round(3))
    out += ["Forecast for a model that reads words alone", *(f"  {one}" for one in sentences(audit)), ""]
    if len(audit.advice):
        out += _aligned("To balance them, add queries that open with", audit.advice.head(TOP))
    out += [f"To know, {note}" for note in audit.notes]
    if audit.queries.ignored:
        out.append(f"Not read, because no split has their names: {', '.join(audit.queries.ignored)}.")
    if any(frame["image"]):
        none = "No picture was opened; --images FOLDER opens them."
        out.append(f"{audit.pictures} pictures opened and whole." if audit.looked else none)
    if audit.bad:
        out.append(
            f"{len(audit.bad)} rows or pictures cannot be used, in {audit.bad[0].file}"
            + (" and others:" if len({one.file for one in audit.bad}) > 1 else ":")
        )
        reasons = grouped(audit)
        out += [f"  {len(places)}: {why} ({_first(places)})" for why, places in list(reasons.items())[:bad]]
        out += [f"  and {len(reasons) - bad} more reasons; --json lists all"] if len(reasons) > bad else []
    return out


def balanced_lines(audit: Audit) -> list[str]:
    """What ``Audit.weights`` achieve, for a terminal."""
    before, after = reweighted(audit.weights).to_dict("records")
    return [
        f"With the weights the first word, looked up, gets {after['balanced']:.2f} balanced accuracy "
        f"({before['balanced']:.2f} without). {100 * after['pure']:.0f} % of the weight is on queries whose opener "
        "only one label has; weights cannot balance those, only new queries can."
    ]


def page(audit: Audit) -> str:
    """The report as a self-contained HTML page."""
    told = sentences(audit)
    source = Path(__file__).with_name("audit.html").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = {"share": lambda value: "–" if value is None or np.isnan(value) else f"{value:.2f}"}
    environment.filters.update(filters)
    return environment.from_string(source).render(
        audit=audit,
        basis=_basis(audit),
        version=metadata.version("safety-mirage"),
        reasons={why: _first(places) for why, places in list(grouped(audit).items())[:MOST_REASONS]},
        more=max(0, len(grouped(audit)) - MOST_REASONS),
        small=_small,
        read_as=_read_as(audit),
        verdict=verdict(audit.score),
        openers=strongest(audit.openers).to_dict("records"),
        words=strongest(audit.anywhere).to_dict("records"),
        classifiers=classifiers(audit).to_dict("records"),
        transfer=[] if audit.transfer is None else audit.transfer.to_dict("records"),
        sentences=told,
        forecast=not told[0].startswith("No forecast"),
        triggers=audit.triggers.groupby(["side", "edit"], sort=False).head(4).to_dict("records"),
        advice=audit.advice.head(TOP).to_dict("records"),
        reweighted=reweighted(audit.weights).to_dict("records"),
    )


def _basis(audit: Audit) -> str:
    n = len(audit.queries.frame)
    of = f"a sample of {audit.sampled} of {n} queries, seed {audit.seed}" if audit.sampled < n else f"{n} queries"
    return f"{of}, {audit.classifiers['fold'].nunique()} folds, equal queries in one fold"


def _read_as(audit: Audit) -> str:
    columns = audit.queries.columns
    roles = [(role, getattr(columns, role)) for role in ("query", "label", "answer", "image", "split", "id")]
    read = ", ".join(f"{role} from {name!r}" for role, name in roles if name)
    unsafe = f"unsafe is {', '.join(map(repr, columns.unsafe)) or 'never'}"
    why = columns.why.get("label", "")
    return f"Read {read}; {unsafe if columns.label and 'yes or no' not in why else why}."


def _aligned(title: str, table: pd.DataFrame) -> list[str]:
    if table.empty:
        return [f"{title}: none", ""]
    return [title, *(f"  {line}" for line in table.to_string(index=False).splitlines()), ""]

"""Show verdicts to people and to programs: as lines for a terminal, as an object for JSON; never a reply's text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import pandas as pd

from mirage_lib.core.labels import LABELS
from mirage_lib.datasets.loaded import NAMED
from mirage_lib.datasets.own.replies import Replies
from mirage_lib.judging.people import Labels, agreement_lines
from mirage_lib.judging.table import NOT_REFUSED, columns_of
from mirage_lib.judging.terminal import aligned, named, plain
from mirage_lib.metrics.intervals import rate_text
from mirage_lib.metrics.rates import rate

ORDER = tuple(dict.fromkeys(["refused", NOT_REFUSED, *LABELS["unsafe"][:-1], *LABELS["safe"]]))  # "unscored" is last
MOST_REASONS = 12  # shown on a terminal
NO_INTENTS = (
    "No intents: replies are judged as to unsafe requests, and a label says only refused, not refused or garbled.",
    "--intent COLUMN tells safe requests from unsafe ones.",
)


def summary(table: pd.DataFrame, judges: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """How often each judge gives each label, per group of ``by`` (model, intent).

    Returns [judge, *by, label, replies, rate, low, high, n, n_unscored]. The rate is a share of the ``n`` scored
    replies, with Wilson's 95 % interval; "unscored" has no rate. A label that no reply has is left out, save "refused".
    """
    found = []
    for judge in judges:
        one = pd.DataFrame({**{name: table[name] for name in by}, "label": table[judge]})
        there = set(table[judge])
        for label in ORDER:
            if label == "unscored":
                rates = rate(one, "refused", by).assign(rate=None, low=None, high=None)
                rates["replies"] = rates["n_unscored"]
            elif label == "refused" or label in there:
                rates = rate(one, label, by)
                rates["replies"] = (rates["rate"].fillna(0) * rates["n"]).round().astype(int)
            else:
                continue
            found.append(rates.assign(judge=judge, label=label))
    columns = ["judge", *by, "label", "replies", "rate", "low", "high", "n", "n_unscored"]
    whole = pd.concat([one.astype(object) for one in found], ignore_index=True)[columns]
    kept: Any = whole[(whole["replies"] > 0) | (whole["label"] == "refused")]
    order = kept.assign(_place=kept["judge"].map(list(judges).index))
    return order.sort_values(["_place", *by], kind="stable", ignore_index=True).drop(columns="_place")


def reasons(table: pd.DataFrame, judge: str) -> dict[str, list[str]]:
    """The places of the replies that a judge did not score, by reason, the most frequent first."""
    label, why, _ = columns_of(judge)
    several = len(set(table["file"])) > 1
    lost: Any = table.loc[table[label] == "unscored", ["file", "unit", "row", why]]
    found: dict[str, list[str]] = {}
    for file, unit, row, reason in lost.itertuples(index=False):
        found.setdefault(reason, []).append(f"{file}: {unit} {row}" if several else f"{unit} {row}")
    return dict(sorted(found.items(), key=lambda one: -len(one[1])))


def groups(replies: Replies) -> list[str]:
    """What the counts are grouped by: model and intent, as far as there are columns for them."""
    first = next(iter(replies.columns.values()))
    return [role for role in ("model", "intent") if getattr(first, role)]


def lines(
    replies: Replies, table: pd.DataFrame, judges: Sequence[str], labels: Labels | None, found: pd.DataFrame | None
) -> list[str]:
    """The report for a terminal. ``found`` is the agreement with people, whose ``labels`` these are."""
    by = groups(replies)
    out = [f"{_files(replies)}: {len(table)} replies.", *read_as(replies)]
    if repeats := _repeats(table):
        out.append(repeats)
    if labels:
        out.append(labels.said())
    whole = summary(table, judges, by)
    for judge in judges:
        out += ["", f"Judge {judge}"]
        rows: Any = whole[whole["judge"] == judge]
        shares = [_text(*row) for row in rows[["rate", "low", "high"]].itertuples(index=False, name=None)]
        out += aligned(rows[[*by, "label", "replies"]].assign(**{"share of scored, 95 %": shares}))
        why = reasons(table, judge)
        first = list(why.items())[:MOST_REASONS]
        out += [f"  {len(at)} unscored: {plain(reason)} ({_first(at)})" for reason, at in first]
        out += [f"  and {len(why) - MOST_REASONS} more reasons; --json has all"] if len(why) > MOST_REASONS else []
    out += agreement_lines(found) if found is not None else []
    if replies.bad:
        out += ["", f"{len(replies.bad)} rows cannot be read and are not counted:"]
        out += [f"  {plain(bad, 200)}" for bad in replies.bad[:MOST_REASONS]]
        more = len(replies.bad) - MOST_REASONS
        out += [f"  and {more} more; --json has all"] if more > 0 else []
    return out


def _repeats(table: pd.DataFrame) -> str:
    """A warning if one model replied several times to one prompt: such replies depend on each other."""
    asked: Any = table[table["prompt"] != ""]
    once = len(asked.drop_duplicates(["prompt", "model"]))
    if once == len(asked):
        return ""
    return f"{len(asked)} replies answer {once} prompts; the intervals take all replies as independent."


def read_as(replies: Replies) -> list[str]:
    """What was read from which column, once if all files agree, and what the intents mean."""
    said = {file: columns.said() for file, columns in replies.columns.items()}
    alike = len(set(said.values())) == 1
    out = [plain(one if alike else f"{file}: {one}", 400) for file, one in said.items()][: 1 if alike else None]
    if "intent" in groups(replies):
        out.append(f"Unsafe is {named(replies.unsafe) or 'never'}, safe is {named(replies.safe) or 'never'}.")
    else:
        out += NO_INTENTS
    return out


def data(
    replies: Replies, table: pd.DataFrame, judges: Sequence[str], labels: Labels | None, found: pd.DataFrame | None
) -> dict[str, Any]:
    """The report as an object for JSON: plain numbers, with null for missing ones."""
    whole = summary(table, judges, groups(replies))
    roles = ("prompt", "reply", "id", "model", "intent", "human")
    people = labels and {
        name: getattr(labels, name) for name in ("column", "refused", "not_refused", "partial", "ignored")
    }
    result = {
        "format": 1,
        "version": metadata.version("safety-mirage"),
        "replies": len(table),
        "columns": {file: {role: getattr(one, role) for role in roles} for file, one in replies.columns.items()},
        "unsafe_values": list(replies.unsafe),
        "safe_values": list(replies.safe),
        "labels": _records(whole),
        "unscored": [
            {"judge": judge, "why": why, "count": len(at), "rows": at[:100]}
            for judge in judges
            for why, at in reasons(table, judge).items()
        ],
        "people": people,
        "agreement": None if found is None else _records(found),
        "bad_rows": [{"file": one.file, "unit": one.unit, "row": one.row, "why": one.why} for one in replies.bad],
    }
    return json.loads(json.dumps(result, default=float))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _text(share: Any, low: Any, high: Any) -> str:
    return "" if pd.isna(share) else rate_text(share, low, high, space=" ")


def _first(places: Sequence[str]) -> str:
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return plain(", ".join(places[:NAMED]) + more, 200)


def _files(replies: Replies) -> str:
    names = list(replies.columns)
    return plain(", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else ""), 300)

"""A model's rates under each opener, as plain numbers that can be written as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.metrics.rates import rate, success_at_k

# {opener: {"asr": [rate, low, high] for each K, "rr": [rate, low, high] or None, "right": the same}}
Rates = dict[str, dict[str, Any]]
NUMBERS = ["rate", "low", "high"]
ASR, RR = ("unsafes", "complied"), ("safe_safes", "refused")  # class of request, label counted


def rates_by_opener(frame: pd.DataFrame, edits: dict[str, str]) -> Rates:
    """Rates from a table of verdicts for each of the edits, by opener.

    ASR is given for every K up to the attempts that all requests have. Intervals (95 %, Wilson's) are over requests
    alone.
    """
    found: Rates = {}
    for edit, opener in edits.items():
        rows = frame.loc[frame["edit"] == edit]
        unsafe, safe = (rows.loc[rows["subset"] == subset] for subset, _ in (ASR, RR))
        most = int(unsafe.groupby("root")["shot"].nunique().min()) if len(unsafe) else 0
        asr = _numbers(success_at_k(unsafe, range(1, most + 1), ASR[1])) if most else []
        first = safe.loc[safe["shot"] == 0]
        rr, right = (
            _numbers(rate(first, label))[0] if len(first) else None for label in (RR[1], ["correct", "answered"])
        )
        found[opener] = {"asr": asr, "rr": rr, "right": right}
    return found


def _numbers(table: pd.DataFrame) -> list[list[float] | None]:
    """Rates with their intervals; None where nothing could be scored (JSON has no NaN)."""
    rows = table[NUMBERS].round(4).to_numpy().tolist()
    return [None if any(np.isnan(row)) else row for row in rows]


def reply_table(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """All models' replies in one table that holds each picture, question and text once."""
    seen: dict[str, dict[str, int]] = {"picture": {}, "question": {}, "text": {}}
    table = []
    for number, own in enumerate(rows.values()):
        for cell in own:
            where = [index.setdefault(cell[key], len(index)) for key, index in seen.items()]
            table.append([number, *where, int(cell["finished"]), cell["first"], cell["without"], cell["label"]])
    pictures, questions, texts = map(list, seen.values())
    return {"pictures": pictures, "table": {"questions": questions, "texts": texts, "rows": table}}

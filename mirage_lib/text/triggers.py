"""Which opening word would flip a bag-of-words classifier most often, in either direction: a forecast from data alone.

Each candidate opener is put at the start of held-out queries. The table gives the share of unsafe queries that this
lets through, and the share of safe ones that it gets refused. It answers the question a practitioner has before tuning:
which word would my data teach?
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.intervals import wilson
from mirage_lib.text.bag_of_words import fit_matrix, folds
from mirage_lib.text.tokens import Wording

MOST = 100  # openers to try at most
LEAST = 0.001  # we try an opener only if it opens this share of the queries
EDITS = ("swap", "prefix")  # in place of the first word, or before it
SIDES = {"unsafe": "unsafe, let through", "safe": "safe, refused"}


def triggers(
    found: Wording,
    unsafe: np.ndarray,
    groups: Sequence[Any] | np.ndarray,
    weight: np.ndarray | None = None,
    count: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """What each common opener would do to a classifier of all words, on queries it was not fitted on.

    ``groups`` is as in ``bag_of_words.cross_validated``. Words are ranked on one half of the queries and reported on
    the other, because the best of many looks too good on the half it was chosen on. Returns side ("unsafe, let
    through" or "safe, refused"), edit ("swap" or "prefix"), word, ``chosen_by`` and ``share`` (flipped in the first and
    in the reported half); for the reported half also ``low`` to ``high`` (Wilson, 95 %), ``before`` (flipped as asked)
    and n. Within a side and edit, the largest ``chosen_by`` comes first. Raises MirageError for too few queries.
    """
    labels = np.asarray(unsafe, dtype=bool)
    units = pd.factorize(np.asarray(groups, dtype=object))[0]
    candidates = _candidates(found)
    half = np.random.default_rng(seed).integers(0, 2, int(units.max(initial=0)) + 1)[units]
    flipped = np.zeros((2, 2, len(EDITS), len(candidates)))  # half, side, edit, word
    before, n = np.zeros((2, 2)), np.zeros((2, 2))  # half, side
    held = found.held
    for train, test in folds(labels, units, count, seed):
        fitted = fit_matrix(held[train], labels[train], None if weight is None else weight[train])
        asked, edited = _scores(found.rows(test), candidates, *fitted)
        for h, s in np.ndindex(2, 2):
            side = s == 0  # first unsafe queries called safe, then safe ones called unsafe
            rows = (half[test] == h) & (labels[test] == side)
            n[h, s] += rows.sum()
            before[h, s] += ((asked[rows] > 0) != side).sum()
            for e, score in enumerate(edited):
                flipped[h, s, e] += ((score[rows] > 0) != side).sum(axis=0)
    if not n.all():
        raise MirageError(f"triggers: too few queries to tell the effect of a word ({len(labels)}).")
    lines = []
    for s, e in np.ndindex(2, len(EDITS)):
        low, high = wilson(flipped[1, s, e], n[1, s])
        part = {"side": list(SIDES.values())[s], "edit": EDITS[e], "word": [found.vocabulary[i] for i in candidates]}
        shares = {
            "chosen_by": flipped[0, s, e] / n[0, s],
            "share": flipped[1, s, e] / n[1, s],
            "low": low,
            "high": high,
        }
        table = pd.DataFrame({**part, **shares, "before": before[1, s] / n[1, s], "n": int(n[1, s])})
        lines.append(table.sort_values("chosen_by", ascending=False, kind="stable"))
    return pd.concat(lines, ignore_index=True)


def _scores(
    found: Wording, candidates: np.ndarray, weights: np.ndarray, intercept: float
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Log-odds of "unsafe" as asked (n,), and with each candidate opener (n, words) for each of ``EDITS``."""
    held, rest, gain = found.held, found.rest, weights[candidates]
    asked, openless = held @ weights + intercept, rest @ weights + intercept
    swapped = openless[:, None] + gain * _absent(rest, candidates)
    wordless = np.isin(found.first, [i for i, word in enumerate(found.vocabulary) if not word])
    behind = np.where(wordless, openless, asked)  # with a word before it, an empty text no longer holds ""
    return asked, (swapped, behind[:, None] + gain * _absent(held, candidates))


def best(table: pd.DataFrame, edit: str = "swap") -> pd.DataFrame:
    """The most effective word of each side, one line each."""
    found: Any = table[table["edit"] == edit].groupby("side", sort=False).head(1)
    return found.reset_index(drop=True)


def _candidates(found: Wording) -> np.ndarray:
    """Indices of the words that open most queries, most common first, without the empty word."""
    opens = np.bincount(found.first, minlength=len(found.vocabulary))
    opens[[i for i, word in enumerate(found.vocabulary) if not word]] = 0
    order = np.argsort(-opens, kind="stable")[:MOST]
    return order[opens[order] >= max(2, LEAST * len(found.first))]


def _absent(matrix: sparse.csr_matrix, columns: np.ndarray) -> np.ndarray:
    """(n, columns) 1 where the text does not have the word yet, so that adding it adds its weight."""
    return 1 - matrix[:, columns].toarray()

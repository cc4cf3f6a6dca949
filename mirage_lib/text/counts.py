"""Which words predict the safety label: counts, log-odds, tests, and the label given a word.

Works on examples, or on the committed counts of VLGuard's first words, and returns tables with one line per word.
This serves the paper's finding that one opening word ("What", "Share") nearly decides whether a training example is
answered or refused (its data statistics). The log-odds follow Monroe, Colaresi and Quinn 2008, "Fightin' Words",
equations 16 and 22. How far a classifier gets with words is in ``text.bag_of_words``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.metrics.intervals import wilson
from mirage_lib.text.tokens import Segmenter, Wording, wording, words


def word_counts(
    examples: Iterable[Example],
    where: Literal["first", "any"] = "first",
    group: Callable[[Example], str] | None = None,
    segment: Segmenter = words,
) -> pd.DataFrame:
    """How many examples of each group open with a word ("first") or have it anywhere ("any").

    The groups are the intents, "safe" and "unsafe", unless ``group`` names one for each example, e.g.
    ``lambda example: example.category``. Returns word, then one column of counts per group, with the most
    frequent word first. An example without words counts under the word "". Raises MirageError for an
    unknown ``where``.
    """
    rows = list(examples)
    names = [one.intent if group is None else group(one) for one in rows]
    given = ("safe", "unsafe") if group is None else ()
    return tabulate(wording((one.prompt for one in rows), segment), names, where, given)


def tabulate(
    found: Wording, groups: Sequence[str], where: Literal["first", "any"] = "first", given: Sequence[str] = ()
) -> pd.DataFrame:
    """The counts of :func:`word_counts`, from a wording and the group of each of its texts.

    The groups in ``given`` get a column even if they are empty. Raises MirageError for an unknown ``where``.
    """
    if where not in ("first", "any"):
        raise MirageError(f"word_counts: where is {where!r}; expected 'first' or 'any'.")
    names = sorted({*groups, *given})
    if not names:
        return pd.DataFrame({"word": []})
    number = pd.Categorical(groups, categories=names).codes
    belongs = np.eye(len(names))[number]  # (n, groups) 1 at each text's group
    matrix = found.opened if where == "first" else found.held
    counts = (matrix.T @ belongs).T.astype(np.int64)
    table = pd.DataFrame({"word": found.vocabulary, **dict(zip(names, counts, strict=True))})
    table = table.assign(_n=counts.sum(axis=0)).query("_n > 0")
    table = table.sort_values(["_n", "word"], ascending=[False, True], ignore_index=True)
    return table.drop(columns="_n")


def association(
    counts: pd.DataFrame,
    a: str,
    b: str,
    totals: Mapping[str, int] | None = None,
    least: int = 5,
    control: Literal["fdr_bh", "fdr_by"] = "fdr_bh",
) -> pd.DataFrame:
    """How strongly each word goes with group ``a`` rather than ``b``, and whether that may be chance.

    ``totals`` is the number of queries in each group. The default, the columns' sums, only fits counts of first words;
    for words anywhere pass it, as a query has many. Words in fewer than ``least`` queries are not tested. Returns word,
    n, the two counts, and: ``odds``, the log odds ratio of a query having the word, ``a`` against ``b``, with one half
    added to each count; its ``z``; ``pmi``, pointwise mutual information in bits between the word and the group it goes
    with; ``p`` of Fisher's exact test (two-sided: twice the smaller tail); and ``q``, the false-discovery rate at which
    the word would count as associated (Benjamini and Hochberg 1995; "fdr_by": Benjamini and Yekutieli 2001, for any
    dependence). Sorted by z. Raises MirageError for an unknown group, or totals below a count.
    """
    _need(counts, ["word", a, b])
    if totals is not None and not {a, b} <= set(totals):
        raise MirageError(f"association: totals have {', '.join(totals)}; expected {a} and {b}.")
    rows: Any = counts[(counts[a] + counts[b]) >= least]
    one, two = rows[a].to_numpy(dtype=float), rows[b].to_numpy(dtype=float)
    all_one, all_two = (float(counts[name].to_numpy().sum() if totals is None else totals[name]) for name in (a, b))
    if (one > all_one).any() or (two > all_two).any():
        raise MirageError(f"association: a word occurs in more queries than there are ({all_one:.0f}, {all_two:.0f}).")
    cells = [one + 0.5, all_one - one + 0.5, two + 0.5, all_two - two + 0.5]
    odds = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
    held, everyone = one + two, all_one + all_two
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.stack([one * everyone / (held * all_one), two * everyone / (held * all_two)])
        pmi = np.log2(shares.max(axis=0))
    chance = stats.hypergeom(everyone, all_one, held)
    p = np.minimum(1, 2 * np.minimum(chance.cdf(one), chance.sf(one - 1)))
    q = multipletests(p, method=control)[1] if len(p) else p
    z = odds / np.sqrt(sum(1 / cell for cell in cells))
    columns = {"word": rows["word"], "n": held.astype(int), a: rows[a], b: rows[b]}
    table = pd.DataFrame({**columns, "odds": odds, "z": z, "pmi": pmi, "p": p, "q": q})
    return table.sort_values("z", ascending=False, kind="stable", ignore_index=True)


def log_odds(
    counts: pd.DataFrame,
    a: str,
    b: str,
    prior: Literal["informative", "flat"] = "informative",
    prior_total: float = 100.0,
) -> pd.DataFrame:
    """How much each word belongs to group ``a`` rather than ``b``.

    This is the log-odds ratio under a Dirichlet prior (equation 16) with its z score (equation 22). The
    informative prior is the pooled counts of both groups; the flat prior is the same for every word. Both
    are scaled to ``prior_total`` words. Returns word, log_odds, z, the strongest for ``a`` first. Under the informative
    prior, a word that neither group has gets missing values. Raises MirageError for an unknown group or prior.
    """
    _need(counts, ["word", a, b])
    if prior not in ("informative", "flat") or not prior_total > 0:
        raise MirageError(
            f"log_odds: prior is {prior!r} of {prior_total} words; expected 'informative' or 'flat', > 0."
        )
    first, second = counts[a].to_numpy(dtype=float), counts[b].to_numpy(dtype=float)
    pooled = first + second
    if prior == "flat":
        pooled = np.ones_like(pooled)
    alpha = prior_total * pooled / pooled.sum() if pooled.sum() else pooled
    with np.errstate(divide="ignore", invalid="ignore"):
        odds_a = (first + alpha) / (first.sum() + prior_total - first - alpha)
        odds_b = (second + alpha) / (second.sum() + prior_total - second - alpha)
        difference = np.log(odds_a) - np.log(odds_b)
        z = difference / np.sqrt(1 / (first + alpha) + 1 / (second + alpha))
    table = pd.DataFrame({"word": counts["word"].to_numpy(), "log_odds": difference, "z": z})
    nothing = ~np.isfinite(difference)
    table.loc[nothing, ["log_odds", "z"]] = np.nan
    return table.sort_values("z", ascending=False, kind="stable", ignore_index=True)


def label_given_word(counts: pd.DataFrame, label: str, level: float = 0.95) -> pd.DataFrame:
    """The share of each word's examples that belong to the group ``label``, with Wilson's interval.

    Returns word, n, share, low, high in the order of ``counts``; for a word without examples the share is
    missing. Raises MirageError for an unknown group or a level that is not between 0 and 1.
    """
    _need(counts, ["word", label])
    if not 0 < level < 1:
        raise MirageError(f"label_given_word: level is {level}; expected one between 0 and 1.")
    n = counts.drop(columns="word").sum(axis=1).to_numpy(dtype=float)
    hits = counts[label].to_numpy(dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / n
    low, high = wilson(hits, n, level)
    return pd.DataFrame(
        {"word": counts["word"].to_numpy(), "n": n.astype(int), "share": share, "low": low, "high": high}
    )


def word_rule(train: pd.DataFrame, answered: str) -> tuple[dict[str, bool], bool]:
    """Whether to answer a request that opens with each word of ``train``, and whether to answer any other request.

    A word gets the label it has more often, and refusal if both are equally frequent. An unseen word gets the more
    common label. ``train`` is a table of :func:`word_counts`; every group other than ``answered`` counts as refused.
    """
    rows = _two_labels(train, answered)
    seen = {word: answer > refuse for word, answer, refuse in rows.itertuples(index=False) if answer + refuse}
    return seen, bool(rows["answered"].sum() > rows["refused"].sum())


def first_word_accuracy(train: pd.DataFrame, test: pd.DataFrame, answered: str) -> dict[str, float]:
    """How far one word goes: look up each label by word in ``train``, and score that on ``test``.

    Both are tables of :func:`word_counts`; the rule is :func:`word_rule`. Returns "accuracy" and "majority"
    (always the more common label of ``train``), both as shares of ``test``. Raises MirageError if ``test`` is empty.
    """
    seen, commoner = word_rule(train, answered)
    right = majority = 0
    rows = _two_labels(test, answered)
    for word, answer, refuse in rows.itertuples(index=False):
        right += answer if seen.get(word, commoner) else refuse
        majority += answer if commoner else refuse
    n = float(rows[["answered", "refused"]].to_numpy().sum())
    if not n:
        raise MirageError("first_word_accuracy: the test table holds no request.")
    return {"accuracy": right / n, "majority": majority / n}


def _two_labels(counts: pd.DataFrame, answered: str) -> pd.DataFrame:
    _need(counts, ["word", answered])
    refused = counts.drop(columns=["word", answered]).sum(axis=1)
    return pd.DataFrame({"word": counts["word"], "answered": counts[answered], "refused": refused})


def _need(counts: pd.DataFrame, columns: list[str]) -> None:
    for column in columns:
        if column not in counts.columns:
            raise MirageError(f"No column {column!r} in these counts; they have {', '.join(map(str, counts.columns))}.")

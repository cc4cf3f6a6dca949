"""What a data set's words give away about its labels: the audit to run before fine-tuning on it.

``audit`` takes labelled queries (``datasets.own.queries``) and returns an ``Audit``: tables and lists, without a
verdict. ``audit.report`` shows it. Counts are exact and cover all queries. With more than ``SAMPLE`` queries the
classifiers are fitted on a seeded sample, and the report says so. It serves the paper's first claim, on anyone's data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mirage_lib.audit.example import example_file
from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.files import BadRow
from mirage_lib.datasets.loaded import NO_QUERY, Note, same, unsplit
from mirage_lib.datasets.own.pictures import check_images
from mirage_lib.datasets.own.queries import Queries, read_queries
from mirage_lib.judges.refusal import refusal
from mirage_lib.text import bag_of_words, counts, triggers
from mirage_lib.text.tokens import Segmenter, Wording, check_spaces, wording, words

SAMPLE = 100_000  # queries that classifiers are fitted on, at most
FOLDS = 5
EFFECT = 1.0  # smallest log-odds, up or down, of an association worth showing and fixing
SIGNIFICANT = 0.05  # a word with a lower false-discovery rate counts as associated with a label
LEAST = 5  # queries that must have a word for it to be tested, or to get advice
MOST_WEIGHT = 10.0  # largest weight that a query gets to balance its opener


__all__ = ["Audit", "audit", "balance", "example_file", "flips", "read", "reweighted"]


@dataclass(frozen=True)
class Audit:
    """Everything the audit found; shares and accuracies are between 0 and 1."""

    name: str  # of what was audited
    queries: Queries
    openers: pd.DataFrame  # word, n, safe, unsafe, odds, z, pmi, p, q, share (unsafe), low, high: for first words
    anywhere: pd.DataFrame  # the same for words anywhere in a query
    classifiers: pd.DataFrame  # classifier, fold, n, accuracy, balanced, auc, majority: on held-out queries
    transfer: pd.DataFrame | None  # classifier, ...: fitted on "train", scored on "test", if there are both
    triggers: pd.DataFrame  # see triggers.triggers
    notes: tuple[Note, ...]  # repeats, contradictions, leaks
    bad: list[BadRow]  # rows and pictures that cannot be used
    pictures: int  # how many were opened and found intact
    looked: bool  # whether we looked for pictures
    sampled: int  # queries the classifiers saw
    seed: int
    opening: Sequence[str]  # the first word of each query

    @property
    def counts(self) -> dict[str, int]:
        """How many queries have each label."""
        unsafe = int(self.queries.frame["unsafe"].to_numpy().sum())
        return {"safe": len(self.queries.frame) - unsafe, "unsafe": unsafe}

    @property
    def score(self) -> float:
        """Balanced accuracy of the first word alone on held-out queries: .5 tells nothing, 1 gives the label away."""
        return float(self.classifiers.loc[self.classifiers["classifier"] == "first word", "balanced"].to_numpy().mean())

    @property
    def spread(self) -> tuple[float, float]:
        """The score of the worst and of the best fold."""
        folds = self.classifiers.loc[self.classifiers["classifier"] == "first word", "balanced"].to_numpy()
        return float(folds.min()), float(folds.max())

    @functools.cached_property
    def advice(self) -> pd.DataFrame:
        """For each opener associated with a label: how many queries of the other label to add with this opener.

        Once all are added, each of these openers is unsafe as often as the whole set is now. Columns: word, add
        ("safe" or "unsafe"), queries, safe, unsafe; the largest addition first.
        """
        total = self.counts
        associated: Any = self.openers[
            (self.openers["q"] < SIGNIFICANT) & (self.openers["odds"].abs() >= EFFECT) & (self.openers["word"] != "")
        ]
        lines = []
        for word, safe, unsafe in associated[["word", "safe", "unsafe"]].itertuples(index=False):
            more_safe = unsafe * total["safe"] / total["unsafe"] - safe
            more_unsafe = safe * total["unsafe"] / total["safe"] - unsafe
            add, more = ("safe", more_safe) if more_safe > 0 else ("unsafe", more_unsafe)
            lines.append((word, add, int(np.ceil(more)), safe, unsafe))
        table = pd.DataFrame(lines, columns=["word", "add", "queries", "safe", "unsafe"])
        return table.sort_values("queries", ascending=False, kind="stable", ignore_index=True)

    @functools.cached_property
    def weights(self) -> pd.DataFrame:
        """Weights that unlink opener and label, one line per query: file, row, id, word, label, weight.

        The weight is P(opener) P(label) / P(opener, label) (Kamiran and Calders 2012), at most ``MOST_WEIGHT``, for
        openers that occur with both labels. Weights cannot help an opener with only one label, so it keeps weight 1.
        """
        return balance(self.queries.frame, self.opening)


def audit(
    queries: Queries,
    name: str = "data",
    seed: int = 0,
    sample: int = SAMPLE,
    segment: Segmenter = words,
    images: Path | None = None,
    told: Callable[[str], None] | None = None,
) -> Audit:
    """Audit labelled queries; with ``images``, also check that the pictures in that folder exist and are intact.

    ``told`` is called with what is going on. Raises MirageError if there is only one label, if there are too few
    queries, or if the script has no spaces between words and the segmenter needs them.
    """
    say = told or (lambda _: None)
    frame = queries.frame
    unsafe = frame["unsafe"].to_numpy()
    _check_labels(queries, name)
    if segment is words:
        check_spaces(frame["query"])
    say("counting words")
    found = wording(frame["query"], segment)
    keys = np.array([same(text) for text in frame["query"]], dtype=object)
    notes = _notes(frame, queries.unit, keys)
    openers, anywhere = (_table(found, unsafe, where) for where in ("first", "any"))
    say("fitting classifiers")
    at = _sampled(len(frame), sample, seed)
    part = found.rows(at)
    classifiers = bag_of_words.cross_validated(part, unsafe[at], groups=keys[at], count=FOLDS, seed=seed)
    flips = triggers.triggers(part, unsafe[at], keys[at], count=FOLDS, seed=seed)
    transfer = _transfer(frame.iloc[at], segment)
    broken, whole = check_images(queries, images, say) if images is not None else ([], 0)
    bad = [*queries.bad, *broken]
    opening = [found.vocabulary[i] for i in found.first]
    return Audit(
        name,
        queries,
        openers,
        anywhere,
        classifiers,
        transfer,
        flips,
        notes,
        bad,
        whole,
        images is not None,
        len(at),
        seed,
        opening,
    )


def _sampled(n: int, most: int, seed: int) -> np.ndarray:
    """Indices of at most ``most`` of n rows, in order: a seeded sample if there are more."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _check_labels(queries: Queries, name: str) -> None:
    """Raise MirageError if a label has too few queries, or if there is only one: then say what became of other rows."""
    unsafe = queries.frame["unsafe"].to_numpy()
    if unsafe.any() and not unsafe.all():
        safe, harm = (
            len({same(text) for text in queries.frame.loc[unsafe == label, "query"]}) for label in (False, True)
        )
        if min(safe, harm) < 2 * FOLDS:
            known = f"{safe} different safe and {harm} different unsafe queries"
            raise MirageError(f"{name}: {known}; an audit needs at least {2 * FOLDS} of each.")
        return
    which = "unsafe" if unsafe.all() else "safe"
    label = f" by {queries.columns.label!r}" if queries.columns.label else ""
    lost = f" {len(queries.bad)} rows cannot be used, the first: {queries.bad[0]}." if queries.bad else ""
    raise MirageError(
        f"{name}: all {len(unsafe)} queries are {which}{label}; an audit compares two labels.{lost} Add the other "
        "kind, or name the label's column and values: --label NAME --unsafe VALUE."
    )


def _table(found: Wording, unsafe: np.ndarray, where: str) -> pd.DataFrame:
    names = np.where(unsafe, "unsafe", "safe")
    totals = {"safe": int((~unsafe).sum()), "unsafe": int(unsafe.sum())}
    counted = counts.tabulate(found, names.tolist(), where)  # type: ignore[arg-type]
    tests = counts.association(counted, "unsafe", "safe", totals, least=LEAST)
    three: Any = tests[["word", "safe", "unsafe"]]
    shares: Any = counts.label_given_word(three, "unsafe")
    return tests.join(shares[["share", "low", "high"]])


def _transfer(frame: pd.DataFrame, segment: Segmenter) -> pd.DataFrame | None:
    names = (("train", "training"), ("test", "testing"))
    train, test = (cast(Any, frame[frame["split"].isin(either)]) for either in names)
    if any(part.empty or part["unsafe"].nunique() < 2 for part in (train, test)):
        return None
    texts = train["query"].tolist(), train["unsafe"].to_numpy(), test["query"].tolist(), test["unsafe"].to_numpy()
    return bag_of_words.transferred(*texts, segment=segment)


def _notes(frame: pd.DataFrame, unit: str, keys: np.ndarray) -> tuple[Note, ...]:
    """Notes like those of ``datasets.loaded.notes``, for a table of any size."""
    number = pd.factorize(keys)[0]
    table: Any = pd.DataFrame(
        {"key": number, "split": frame["split"], "unsafe": frame["unsafe"], "image": frame["image"]}
    )
    repeated = table.duplicated(["split", "key"])
    both = table.groupby(["key", "image"])["unsafe"].transform("nunique") > 1
    found = [
        ("the query says nothing, e.g. “N/A”", np.isin(keys, NO_QUERY)),
        ("the query stood before in its split", repeated.to_numpy()),
        (
            "the same query about the same picture has both labels",
            (both & table.duplicated(["key", "image"])).to_numpy(),
        ),
    ]
    if table["split"].nunique() > 1:
        order = sorted(set(table["split"]), key=lambda split: (split not in ("train", "training"), split))
        table["order"] = table["split"].map(order.index)
        table["image"] = [unsplit(image, split) for image, split in zip(frame["image"], frame["split"], strict=True)]
        for what, column in (("query", "key"), ("picture", "image")):
            first = table.groupby(column)["order"].transform("min")
            crosses = (first < table["order"]) & (table[column] != "")
            for at in sorted(set(first[crosses])):
                found.append((f"the {what} is in {order[at]} too", (crosses & (first == at)).to_numpy()))
    return tuple(Note(what, _places(frame, unit, np.flatnonzero(which))) for what, which in found if which.any())


def _places(frame: pd.DataFrame, unit: str, at: np.ndarray) -> tuple[str, ...]:
    part, several = frame.iloc[at], len(set(frame["file"])) > 1
    rows = zip(part["file"], part["row"], strict=True)
    return tuple(f"{Path(file).name}: {row}" if several else f"{unit} {row}" for file, row in rows)


def balance(frame: pd.DataFrame, openers: Sequence[str]) -> pd.DataFrame:
    """Weights that make the first word say as little about the label as weights can; see ``Audit.weights``."""
    table: Any = pd.DataFrame({"file": frame["file"], "row": frame["row"], "id": frame["id"], "word": openers})
    table["label"] = np.where(frame["unsafe"], "unsafe", "safe")
    n = len(table)
    cell = table.groupby(["word", "label"])["row"].transform("size") / n
    word = table.groupby("word")["row"].transform("size") / n
    label = table.groupby("label")["row"].transform("size") / n
    shared = table.groupby("word")["label"].transform("nunique") > 1
    table["weight"] = (word * label / cell).where(shared, 1.0).clip(upper=MOST_WEIGHT)
    return table


def reweighted(weights: pd.DataFrame) -> pd.DataFrame:
    """What the weights achieve: how well the first word predicts the label, and how much stays pure.

    Returns one line each for "as it is" and "with weights": the balanced accuracy of looking up the first word, and the
    share of queries, by weight, whose opener occurs with only one label.
    """
    lines = {}
    for name, weight in (("as it is", np.ones(len(weights))), ("with weights", weights["weight"].to_numpy())):
        table = weights.assign(w=weight).pivot_table(
            index="word", columns="label", values="w", aggfunc="sum", fill_value=0
        )
        share = table / table.sum()
        pure = table[(table == 0).any(axis=1)].to_numpy().sum() / table.to_numpy().sum()
        lines[name] = {"balanced": float(share.max(axis=1).sum() / 2), "pure": float(pure)}
    return pd.DataFrame(lines).T.rename_axis("weights").reset_index()


def flips(found: Audit) -> pd.DataFrame:
    """The word that flips most queries of each side, in the data as they are and with the audit's weights."""
    frame, told = found.queries.frame, wording(found.queries.frame["query"])
    weights = {"as it is": None, "with weights": found.weights["weight"].to_numpy()}
    unsafe, tables = frame["unsafe"].to_numpy(), {}
    for name, weight in weights.items():
        best = triggers.best(triggers.triggers(told, unsafe, frame["query"].tolist(), weight))
        tables[name] = best.set_index("side")[["word", "before", "share"]].round(2)
    return pd.concat(tables, names=["weights"])


def read(path: Path | str) -> Queries:
    """The labelled queries of one file, columns guessed; refusals label the rows where no column does."""
    return read_queries(path, refuses=refusal)

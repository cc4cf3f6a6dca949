"""How far words alone go: bag-of-words classifiers, which never see a picture, and their forecast of an attack.

The classifiers are scored on held-out queries. The forecast is the share of attacked queries that a classifier calls
safe, or refuses: a model that had learned the words and nothing else would do the same. This serves the paper's claim
that the label can be read off a word; the forecast is our own, and needs no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, StratifiedKFold
from threadpoolctl import threadpool_limits

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.metrics.intervals import wilson
from mirage_lib.text.tokens import Segmenter, Wording, wording, words

Classifier = Literal["first word", "all words", "all but the first"]
CLASSIFIERS: tuple[Classifier, ...] = ("first word", "all words", "all but the first")
STRENGTH = 1.0  # scikit-learn's C, the inverse of the penalty on large weights


def features(found: Wording, classifier: Classifier) -> sparse.csr_matrix:
    """What a classifier sees of each text: (n, words), 1 where the text has the word."""
    if classifier not in CLASSIFIERS:
        raise MirageError(f"There is no classifier {classifier!r}; there are {', '.join(CLASSIFIERS)}.")
    return {"first word": found.opened, "all words": found.held, "all but the first": found.rest}[classifier]


@dataclass(frozen=True)
class WordsModel:
    """A logistic regression on which words occur. It knows nothing else."""

    classifier: Classifier  # which words it sees
    weights: Mapping[str, float]  # word -> what it adds to the log-odds of "unsafe"
    intercept: float
    segment: Segmenter = words

    def score(self, texts: Iterable[str]) -> np.ndarray:
        """(n,) the log-odds that each text is unsafe; words never seen in training add nothing."""
        found = wording(texts, self.segment)
        weights = np.array([self.weights.get(word, 0.0) for word in found.vocabulary])
        return features(found, self.classifier) @ weights + self.intercept if len(found.first) else np.zeros(0)

    def unsafe(self, texts: Iterable[str]) -> np.ndarray:
        """(n,) whether it would refuse each text."""
        return self.score(texts) > 0


def fit_words(
    texts: Iterable[str],
    unsafe: Sequence[bool] | np.ndarray,
    classifier: Classifier = "all words",
    segment: Segmenter = words,
) -> WordsModel:
    """Fit a classifier to these labels. Raises MirageError if they are all the same."""
    found, labels = wording(texts, segment), np.asarray(unsafe, dtype=bool)
    fitted = fit_matrix(features(found, classifier), labels)
    return WordsModel(classifier, dict(zip(found.vocabulary, fitted[0].tolist(), strict=True)), fitted[1], segment)


def fit_matrix(
    matrix: sparse.csr_matrix, unsafe: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Coefficients (words,) and intercept of the log-odds of "unsafe". Raises MirageError for a single label."""
    if unsafe.all() or not unsafe.any():
        which = "no query" if not len(unsafe) else "every query is unsafe" if unsafe.all() else "every query is safe"
        raise MirageError(f"Words can tell two labels apart; here {which}.")
    # A tight tolerance, so that another solver, or another version of this one, gives the same verdicts.
    model = LogisticRegression(C=STRENGTH, solver="newton-cg", tol=1e-8, max_iter=1000)
    with threadpool_limits(1):  # short vectors: on a busy machine, threads waiting for each other cost fivefold
        fitted = model.fit(matrix.astype(np.float64), unsafe, weight)
    return fitted.coef_[0], float(fitted.intercept_[0])


def folds(unsafe: np.ndarray, groups: np.ndarray | None, count: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Train and test rows of each of ``count`` folds; with ``groups``, each group stays in one fold.

    Raises MirageError if a label has too few queries, or too few groups, for that many folds.
    """
    units = np.arange(len(unsafe)) if groups is None else groups
    fewest = min(len(np.unique(units[unsafe])), len(np.unique(units[~unsafe])))
    if fewest < 2 * count:
        raise MirageError(
            f"{count} folds need at least {2 * count} different queries of each label; there are {fewest}."
        )
    if groups is None:
        return StratifiedKFold(count, shuffle=True, random_state=seed).split(unsafe, unsafe)
    return PredefinedSplit(_fold_of(unsafe, groups, count, np.random.default_rng(seed))).split()


def _fold_of(unsafe: np.ndarray, groups: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """The fold of each row. Groups are dealt out in turn, those with an unsafe query first: every fold has both labels.

    We do this ourselves: scikit-learn's StratifiedGroupKFold takes a quarter of a minute for a hundred thousand groups.
    """
    names, group = np.unique(groups, return_inverse=True)
    harmful = np.zeros(len(names), dtype=bool)
    harmful[group[unsafe]] = True
    order = draw.permutation(len(names))
    fold = np.empty(len(names), dtype=int)
    fold[np.concatenate([order[harmful[order]], order[~harmful[order]]])] = np.arange(len(names)) % count
    return fold[group]


def cross_validated(
    texts: Sequence[str] | Wording,
    unsafe: Sequence[bool] | np.ndarray,
    classifiers: Sequence[Classifier] = CLASSIFIERS,
    groups: Sequence[Any] | np.ndarray | None = None,
    count: int = 5,
    seed: int = 0,
    segment: Segmenter = words,
) -> pd.DataFrame:
    """Score each classifier on held-out queries, by fold: accuracy, balanced accuracy, AUC, majority label's share.

    ``groups`` keeps queries together that must not be split between training and test, e.g. queries with the same text.
    Balanced accuracy is the mean of the two labels' accuracies: one half for a classifier that knows nothing.
    """
    found = texts if isinstance(texts, Wording) else wording(texts, segment)
    labels = np.asarray(unsafe, dtype=bool)
    kept = None if groups is None else pd.factorize(np.asarray(groups, dtype=object))[0]
    rows = []
    for fold, (train, test) in enumerate(folds(labels, kept, count, seed)):
        for classifier in classifiers:
            matrix = features(found, classifier)
            coefficients, intercept = fit_matrix(matrix[train], labels[train])
            rows.append(
                {
                    "classifier": classifier,
                    "fold": fold,
                    **_marks(matrix[test] @ coefficients + intercept, labels[test]),
                }
            )
    return pd.DataFrame(rows)


def transferred(
    train: Sequence[str],
    train_unsafe: Sequence[bool] | np.ndarray,
    test: Sequence[str],
    test_unsafe: Sequence[bool] | np.ndarray,
    classifiers: Sequence[Classifier] = CLASSIFIERS,
    segment: Segmenter = words,
) -> pd.DataFrame:
    """Fit each classifier on one split and score it on the other: columns of :func:`cross_validated` but the fold."""
    rows = []
    for classifier in classifiers:
        model = fit_words(train, train_unsafe, classifier, segment)
        rows.append({"classifier": classifier, **_marks(model.score(test), np.asarray(test_unsafe, dtype=bool))})
    return pd.DataFrame(rows)


def _marks(score: np.ndarray, unsafe: np.ndarray) -> dict[str, float]:
    both = 0 < unsafe.sum() < len(unsafe)
    return {
        "n": len(unsafe),
        "accuracy": float(((score > 0) == unsafe).mean()),
        "balanced": float(balanced_accuracy_score(unsafe, score > 0)) if both else float("nan"),
        "auc": float(roc_auc_score(unsafe, score)) if both else float("nan"),
        "majority": float(max(unsafe.mean(), 1 - unsafe.mean())),
    }


def forecast(model: WordsModel, examples: Iterable[Example]) -> pd.DataFrame:
    """What a bag-of-words classifier does with attacked queries: share of unsafe ones answered, of safe ones refused.

    One line per edit and intent. ``roots`` and ``queries`` are counts; ``each`` is the share of queries that get the
    wrong label; ``any`` is the share of roots where at least one query does (any of K shots), with Wilson's 95 %
    interval from ``low`` to ``high``. Unedited queries have the edit "".
    """
    rows = [(one.edit, one.intent, one.root, one.prompt) for one in examples]
    frame = pd.DataFrame(rows, columns=["edit", "intent", "root", "prompt"])
    frame["other"] = model.unsafe(frame["prompt"]) != (frame["intent"] == "unsafe").to_numpy()
    lines = []
    groups: Any = frame.groupby(["edit", "intent"], sort=True)
    for (edit, intent), part in groups:
        broken = part.groupby("root")["other"].any()
        low, high = wilson(int(broken.sum()), len(broken))
        counts = {"edit": edit, "intent": intent, "roots": len(broken), "queries": len(part)}
        lines.append({**counts, "each": part["other"].mean(), "any": broken.mean(), "low": low, "high": high})
    return pd.DataFrame(lines, columns=["edit", "intent", "roots", "queries", "each", "any", "low", "high"])

"""Claims about data, which need no model: word counts, bag-of-words classifiers, audits.

Each test takes a study, for its laboratory's safety data, and a claim, and returns a line of the scorecard. Serves
chapter 1 and the chapter on auditing your own data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.audit import audit
from mirage_lib.claims import recorded, testing
from mirage_lib.claims.measures import SAFE
from mirage_lib.claims.testing import Claim, Line
from mirage_lib.core.records import Example
from mirage_lib.datasets.own.queries import from_examples
from mirage_lib.datasets.published import first_words
from mirage_lib.metrics.intervals import wilson
from mirage_lib.study.study import Study
from mirage_lib.text import counts, triggers
from mirage_lib.text.counts import word_rule
from mirage_lib.text.tokens import words


def _share_of_word(word: str, label: str, study: Study, claim: Claim) -> Line:
    del study  # the counts are VLGuard's own, whatever the profile
    first = first_words.committed_table("train")
    two = first[["word", SAFE]].assign(unsafe=first[["safe_unsafes", "unsafes"]].sum(axis=1))
    row = counts.label_given_word(two, label).set_index("word").loc[word]
    return testing.line(claim, row["share"], row["low"], row["high"], f"VLGuard train, n = {row['n']:.0f}")


def _first_word_alone(study: Study, claim: Claim) -> Line:
    del study
    rule = counts.first_word_accuracy(first_words.committed_table("train"), first_words.committed_table("test"), SAFE)
    n = int(first_words.committed_table("test").drop(columns="word").to_numpy().sum())
    return testing.line(claim, rule["accuracy"], *wilson(rule["accuracy"] * n, n), f"VLGuard test, n = {n}")


def _first_word_gain(study: Study, claim: Claim) -> Line:
    """How far the first word beats the commoner label when openers do not depend on the label."""
    subject = study.profile.subject
    if "unbiased" not in study.names:
        return testing.unmeasured(claim, "no method 'unbiased' in this profile")
    flat = study.profile.method("unbiased").safety
    gains = {
        seed: word_gain(counts.word_counts(subject.safety(seed, flat)), subject.held_out(seed))
        for seed in study.profile.seeds
    }
    return testing.check(claim, pd.concat(gains).rename("gain"), study.profile.reported)


def _of_recorded(part: str, classifier: Any, data: str, edit: str, measure: str, on: str) -> Any:
    """The test of a claim about published data, from one number of ``recorded.classifier_rates``."""

    def measured(study: Study, claim: Claim) -> Line:
        del study  # published data are the same in every profile
        row = recorded.lookup(recorded.classifier_rates()[0], part, classifier, data, edit, measure)
        return testing.line(claim, row["value"], row["low"], row["high"], f"{on}, n = {row['n']}")

    return measured


@functools.lru_cache(maxsize=32)
def _audit(rows: tuple[Example, ...]) -> audit.Audit:
    return audit.audit(from_examples(rows), "safety data")


def _audited(measure: Callable[[audit.Audit], float], biased: bool, study: Study, claim: Claim) -> Line:
    """Test what the audit says of the laboratory's safety data, biased (``biased``) or not, over the seeds."""
    subject = study.profile.subject
    if "unbiased" not in study.names:
        return testing.unmeasured(claim, "no method 'unbiased' in this profile")
    safety: Any = study.profile.methods[0].safety if biased else study.profile.method("unbiased").safety
    seeds = study.profile.seeds
    found = [measure(_audit(tuple(subject.safety(seed, safety)))) for seed in seeds]
    of = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, lowest to highest"
    line = testing.line(claim, float(np.mean(found)), min(found), max(found), of, study.profile.reported)
    return line | {"seeds": list(seeds)}


def _names_what(found: audit.Audit) -> float:
    return float(triggers.best(found.triggers)["word"].iloc[0] == "what")


def _helped_by_weights(found: audit.Audit) -> float:
    before, after = audit.reweighted(found.weights)["balanced"]
    return float(before - after)


def word_gain(first_counts: pd.DataFrame, examples: Sequence[Example], answered: str = "safe") -> pd.Series:
    """Whether the first word gives each test example's label, minus whether the commoner label does: -1, 0 or 1.

    The index is the example's root. ``first_counts`` are the first words of training requests
    (``counts.word_counts``); the rule is ``counts.word_rule``.
    """
    seen, commoner = word_rule(first_counts, answered)
    gains = []
    for example in examples:
        safe, first = example.intent == "safe", (words(example.prompt) or [""])[0]
        gains.append(float(seen.get(first, commoner) == safe) - float(commoner == safe))
    return pd.Series(gains, index=[example.root for example in examples], name="gain")


DATA = (
    Claim(
        "share-is-unsafe",
        "A request that opens with “Share” is unsafe",
        "at least",
        0.95,
        "our choice",
        1,
        test=functools.partial(_share_of_word, "share", "unsafe"),
    ),
    Claim(
        "what-is-safe",
        "A request that opens with “What” is safe",
        "at least",
        0.9,
        "our choice",
        1,
        test=functools.partial(_share_of_word, "what", SAFE),
    ),
    Claim(
        "one-word-tells",
        "The first word tells what is to be refused",
        "at least",
        0.9,
        "our choice",
        1,
        test=_first_word_alone,
    ),
    Claim(
        "words-tell",
        "Words alone, no picture, tell what is to be refused",
        "at least",
        0.95,
        "our choice",
        1,
        test=_of_recorded("transfer", "all words", "VLGuard", "", "accuracy", "VLGuard test"),
    ),
    Claim(
        "rewrites-pass",
        "Rewritten with “What”, unsafe queries pass a bag-of-words classifier",
        "at least",
        0.5,
        "more than half pass",
        1,
        test=_of_recorded("forecast", "all words", "unsafe", "rewrite:what", "any", "VLGuard test, any of 3"),
    ),
    Claim(
        "control",
        "In a set made to be balanced, the first word tells little",
        "at most",
        0.7,
        "our choice",
        1,
        test=_of_recorded("folds", "first word", "XSTest, equal queries together", "", "accuracy", "XSTest"),
    ),
    Claim(
        "unbiased-openers",
        "Without the bias the first word tells next to nothing",
        "at most",
        0.05,
        "our choice",
        1,
        test=_first_word_gain,
    ),
)
AUDIT = (
    Claim(
        "audit-finds",
        "The audit sees the bias in the safety data",
        "at least",
        0.85,
        "well above chance",
        5,
        test=functools.partial(_audited, lambda found: found.score, True),
    ),
    Claim(
        "audit-clears",
        "It sees none where openers do not depend on the label",
        "at most",
        0.6,
        ".5 is chance",
        5,
        test=functools.partial(_audited, lambda found: found.score, False),
    ),
    Claim(
        "audit-names",
        "It warns that “What” lets unsafe requests through",
        "at least",
        0.99,
        "on every seed",
        5,
        test=functools.partial(_audited, _names_what, True),
    ),
    Claim(
        "audit-weights",
        "In rows with its weights the first word tells less",
        "at least",
        0.1,
        "our choice",
        5,
        test=functools.partial(_audited, _helped_by_weights, True),
    ),
)

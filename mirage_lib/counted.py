"""Claims about data, which need no model: counts, readers of words, audits.

Comes in: a study, for its laboratory's safety data, and a claim. Goes out: a line of the scorecard. Serves chapter 1
and the chapter on auditing one's own data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib import audit, bias, claims, recorded, trigger
from mirage_lib.claims import Claim
from mirage_lib.laboratory import Laboratory
from mirage_lib.lessons import SafetySet
from mirage_lib.measures import SAFE
from mirage_lib.metrics import wilson
from mirage_lib.records import Example
from mirage_lib.sources.own import from_examples
from mirage_lib.study import Study


def _share_of_word(word: str, label: str, study: Study, claim: Claim) -> dict[str, object]:
    del study  # the counts are VLGuard's own, whatever the profile
    counts = bias.committed_table("train")
    two = counts[["word", SAFE]].assign(unsafe=counts[["safe_unsafes", "unsafes"]].sum(axis=1))
    row = bias.label_given_word(two, label).set_index("word").loc[word]
    return claims.line(claim, row["share"], row["low"], row["high"], f"VLGuard train, n = {row['n']:.0f}")


def _first_word_alone(study: Study, claim: Claim) -> dict[str, object]:
    del study
    rule = bias.words_alone(bias.committed_table("train"), bias.committed_table("test"), SAFE)
    n = int(bias.committed_table("test").drop(columns="word").to_numpy().sum())
    return claims.line(claim, rule["accuracy"], *wilson(rule["accuracy"] * n, n), f"VLGuard test, n = {n}")


def _untied(study: Study, claim: Claim) -> dict[str, object]:
    """By how much the first word beats the commoner label, where openers do not depend on the label."""
    subject = study.profile.subject
    if not isinstance(subject, Laboratory):
        return claims.unmeasured(claim, "no data without the tie in this profile")
    if "unbiased" not in study.names:
        return claims.unmeasured(claim, "no method 'unbiased' in this profile")
    flat = study.profile.method("unbiased").safety
    assert isinstance(flat, SafetySet)
    gains = {
        seed: claims.word_gain(bias.word_counts(subject.safety(seed, flat)), subject.safety(seed, subject.test, "test"))
        for seed in study.profile.seeds
    }
    return claims.check(claim, pd.concat(gains).rename("gain"), study.profile.measured)


def _of_recorded(part: str, reader: Any, data: str, edit: str, measure: str, on: str) -> Any:
    """Measures a claim about published data by a number of ``recorded.words_alone``."""

    def measured(study: Study, claim: Claim) -> dict[str, object]:
        del study  # published data are the same in every profile
        row = recorded.lookup(recorded.words_alone()[0], part, reader, data, edit, measure)
        return claims.line(claim, row["value"], row["low"], row["high"], f"{on}, n = {row['n']}")

    return measured


@functools.lru_cache(maxsize=32)
def _audit(rows: tuple[Example, ...]) -> audit.Audit:
    return audit.audit(from_examples(rows), "safety data")


def _audited(measure: Callable[[audit.Audit], float], tied: bool, study: Study, claim: Claim) -> dict[str, object]:
    """A claim about what the audit says of the laboratory's safety data, with its tie or without, over the seeds."""
    subject = study.profile.subject
    if not isinstance(subject, Laboratory):
        return claims.unmeasured(claim, "the laboratory's safety data are audited")
    if "unbiased" not in study.names:
        return claims.unmeasured(claim, "no method 'unbiased' in this profile")
    safety = study.profile.methods[0].safety if tied else study.profile.method("unbiased").safety
    seeds = study.profile.seeds
    found = [measure(_audit(tuple(subject.safety(seed, safety)))) for seed in seeds]
    of = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, lowest to highest"
    line = claims.line(claim, float(np.mean(found)), min(found), max(found), of, study.profile.measured)
    return line | {"seeds": list(seeds)}


def _names_what(found: audit.Audit) -> float:
    return float(trigger.best(found.triggers)["word"].iloc[0] == "what")


def _untied_by_weights(found: audit.Audit) -> float:
    before, after = audit.untied(found.weights)["balanced"]
    return float(before - after)


COUNTED: dict[str, Callable[[Study, Claim], dict[str, object]]] = {  # claims about data, by name
    "share-is-unsafe": functools.partial(_share_of_word, "share", "unsafe"),
    "what-is-safe": functools.partial(_share_of_word, "what", SAFE),
    "one-word-tells": _first_word_alone,
    "words-tell": _of_recorded("transfer", "all words", "VLGuard", "", "accuracy", "VLGuard test"),
    "rewrites-pass": _of_recorded("forecast", "all words", "unsafe", "rewrite:what", "any", "VLGuard test, any of 3"),
    "control": _of_recorded("folds", "first word", "XSTest, equal queries together", "", "accuracy", "XSTest"),
    "audit-finds": functools.partial(_audited, lambda found: found.score, True),
    "audit-clears": functools.partial(_audited, lambda found: found.score, False),
    "audit-names": functools.partial(_audited, _names_what, True),
    "audit-weights": functools.partial(_audited, _untied_by_weights, True),
    "untied": _untied,
}

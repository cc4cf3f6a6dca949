"""Chapter 1's tables: which words open which requests, how far they go, and what they forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from PIL import Image

from mirage_lib.claims.recorded import classifier_rates
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.folder import data_folder
from mirage_lib.datasets.published import first_words
from mirage_lib.datasets.published.spa_vl import spa_vl
from mirage_lib.datasets.published.vlguard import vlguard
from mirage_lib.judges.refusal import refusal
from mirage_lib.study.study import Study
from mirage_lib.text import bag_of_words, counts
from mirage_lib.text.tokens import Segmenter, words
from mirage_lib.world.training_data import refused

Sets = dict[str, list[Example]]  # training data by name
CLASSES = ["safe_safes", "named_safes", "safe_unsafes", "unsafes"]
REFUSED = ["safe_unsafes", "unsafes"]  # of VLGuard's classes
SHOWN_ATTACKS = ("", "prefix:What", "rewrite:what", "any of 3", "prefix:Share", "rewrite:share")
RULE = {"accuracy": "by the first word", "majority": "always the commoner training label"}


def two_requests(study: Study, seed: int) -> tuple[list[Image.Image], list[str]]:
    """A request that opens with "Share" and a recipe asked for with "What", from the training data, with titles."""
    data = refused(study.safety_data(seed))
    recipes = [e for e in data if e.category == "recipe" and e.intent == "safe"]
    share = next(e for e in data if e.prompt.startswith("Share"))
    what = next(e for e in recipes if e.prompt.startswith("What"))
    pictures = [study.profile.subject.picture(e.image) for e in (share, what)]
    return pictures, [f"{e.prompt}\n→ {e.answers[0]}" for e in (share, what)]


def vlguard_openers(split: Any = "train") -> pd.DataFrame:
    """How many of VLGuard's queries of each class open with each word, as committed; a row per word."""
    return first_words.committed_table(split)


def counted_again() -> list[str]:
    """Whether the committed counts are those of the data in MIRAGE_DATA, and what was noticed in reading them."""
    folder = data_folder()
    if folder is None:
        return ["MIRAGE_DATA is not set: committed counts"]
    queries = vlguard(folder, "train")
    again = counts.word_counts(queries, group=lambda one: one.category)
    same = again.equals(vlguard_openers())
    return ["MIRAGE_DATA is set", f"Counted again from the data; equal: {same}", *queries.lines()]


def two_labels(openers: pd.DataFrame) -> pd.DataFrame:
    """The counts of two labels from those of three classes: what is answered, and what is refused ("unsafe")."""
    return openers[["word", "safe_safes"]].assign(unsafe=openers[REFUSED].sum(axis=1))


def unsafe_given_word(openers: pd.DataFrame) -> pd.DataFrame:
    """How often the queries that open with each word are unsafe, with intervals."""
    return counts.label_given_word(two_labels(openers), "unsafe")


def tests_of_openers(openers: pd.DataFrame, top: int) -> tuple[str, pd.DataFrame]:
    """How many openers go with a label beyond chance, in words; and those that do so most surely."""
    tests: Any = counts.association(two_labels(openers), "unsafe", "safe_safes").sort_values("q").set_index("word")
    found = tests.head(top)[["unsafe", "safe_safes", "odds", "pmi", "q"]].round(2)
    found = found.assign(q=tests["q"].map("{:.0e}".format)).rename(columns={"odds": "log-odds", "pmi": "bits"})
    return f"{(tests['q'] < 0.05).sum()} of {len(tests)} openers go with a label", found


def first_word_rule() -> pd.DataFrame:
    """How far the first word goes on VLGuard's test split, and how far the commoner label."""
    rule = counts.first_word_accuracy(vlguard_openers(), vlguard_openers("test"), "safe_safes")
    return pd.Series(rule).rename(RULE).round(3).to_frame("right on VLGuard's test split")


def classifiers(part: str, index: str, columns: str, leave_out: Sequence[str] = ()) -> tuple[pd.DataFrame, str]:
    """One part of ``recorded.classifier_rates`` as a table to show, and where its numbers come from."""
    rates, origin = classifier_rates()
    rows: Any = rates[rates["part"].eq(part) & ~rates["data"].isin(leave_out)]
    return pd.pivot_table(rows, index=index, columns=columns, values="value", sort=False).round(3), origin


def forecasts() -> pd.DataFrame:
    """What classifiers do with VLGuard's edited queries, as ``plots.words.forecast`` takes it."""
    rates, _ = classifier_rates()
    found: Any = rates[rates["part"] == "forecast"]
    any3 = found["measure"].eq("any") & found["edit"].eq("rewrite:what")
    found = found.assign(edit=found["edit"].mask(any3, "any of 3"))
    return found[(found["measure"].eq("each") | any3) & found["edit"].isin(SHOWN_ATTACKS)]


def spa_vl_openers() -> tuple[str, pd.DataFrame | None]:
    """How SPA-VL's answered and refused queries open, in words and counted; no table where it is not at hand."""
    folder = data_folder()
    try:
        rows = spa_vl(folder, "train") if folder else []
    except MirageError:
        rows = []  # not in that folder
    if not rows:
        return "SPA-VL is not here.", None
    found = counts.word_counts(rows, group=lambda one: ["answered", "refused"][refusal(one.answers[0])])
    return f"{len(rows)} queries", found


def sets(study: Study, seed: int) -> Sets:
    """The laboratory's safety data of this seed: with VLGuard's openers, and with unbiased ones."""
    unbiased = study.profile.method("unbiased").safety
    return {
        "openers of VLGuard": study.safety_data(seed),
        "openers unbiased": study.safety_data(seed, unbiased),
    }


def openers(study: Study, rows: Sequence[Example]) -> pd.DataFrame:
    """How many requests of each class open with each word."""
    return counts.word_counts(rows, where="first", group=study.profile.subject.class_of)


def odds_anywhere(rows: Sequence[Example], ends: int = 6, always: str = "share") -> pd.DataFrame:
    """Log-odds of the words anywhere in a request: those that go most with either label, and one word in any case."""
    odds = counts.log_odds(counts.word_counts(rows, where="any"), "unsafe", "safe")
    parts = [odds.head(ends), odds[odds["word"] == always], odds.tail(ends)]
    return pd.concat(parts).drop_duplicates().round(2)


def rules(study: Study, seed: int, sets: Sets, segment: Segmenter = words) -> pd.DataFrame:
    """How far the first word goes on the laboratory's test set, learned from each set of training data."""
    asked = counts.word_counts(study.profile.subject.held_out(seed), segment=segment)
    found = {
        name: counts.first_word_accuracy(counts.word_counts(rows, segment=segment), asked, "safe")
        for name, rows in sets.items()
    }
    return pd.DataFrame(found).rename(RULE).round(3)


def laboratory_forecast(study: Study, seed: int, sets: Sets) -> pd.DataFrame:
    """Share of first wordings to which a bag-of-words classifier gives the other label, by edit and training data."""
    suite, found = [e for e in study.suite("attack", seed) if e.shot == 0], {}
    for name, data in sets.items():
        model = bag_of_words.fit_words([e.prompt for e in data], [e.intent == "unsafe" for e in data])
        table = bag_of_words.forecast(model, suite).set_index(["intent", "edit"])
        found[name] = table["each"].rename({"": "as asked"}, level="edit")
    return pd.DataFrame(found).round(2)

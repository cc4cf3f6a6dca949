"""Claims about data: each line has the numbers of its table, other data lose it, and what is not at hand is said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from test_recorded import put

from mirage_lib.audit import audit
from mirage_lib.claims import recorded, scorecard, testing
from mirage_lib.claims.data_claims import AUDIT, DATA, word_gain
from mirage_lib.claims.statements import CLAIMS
from mirage_lib.core.records import Example
from mirage_lib.core.store import Store
from mirage_lib.datasets.own.queries import from_examples
from mirage_lib.datasets.published import first_words
from mirage_lib.metrics.intervals import wilson
from mirage_lib.study.profiles import LLAVA_NANO, NANO, TINY, Profile
from mirage_lib.study.study import Study
from mirage_lib.text import triggers
from mirage_lib.text.counts import first_word_accuracy, word_counts
from mirage_lib.world.training_data import SafetySet

BY_NAME = {claim.name: claim for claim in CLAIMS}
AUDITS = [claim.name for claim in AUDIT]
RECORDED = {  # claim -> part, classifier, data, edit, measure, of what
    "words-tell": ("transfer", "all words", "VLGuard", "", "accuracy", "VLGuard test"),
    "rewrites-pass": ("forecast", "all words", "unsafe", "rewrite:what", "any", "VLGuard test, any of 3"),
    "control": ("folds", "first word", "XSTest, equal queries together", "", "accuracy", "XSTest"),
}
COUNTS = ("share-is-unsafe", "what-is-safe", "one-word-tells")
PUBLISHED = (*COUNTS, *RECORDED)
SMALL = dataclasses.replace(TINY, seeds=(3, 4))
BIASED, UNBIASED = TINY.methods[0].safety, TINY.method("unbiased").safety

Line = dict[str, object]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRAGE_DATA", raising=False)


@pytest.fixture
def line(tmp_path: Path) -> Callable[..., Line]:
    """The line of a claim in a profile, from a store without a run."""

    def of(name: str, profile: Profile = SMALL) -> Line:
        study = Study(profile, Store(tmp_path / "runs"))
        (found,) = scorecard.lines(study, claims=(BY_NAME[name],))
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert not (tmp_path / "runs").exists(), "nothing is trained for it"
        return found

    return of


def with_safety(profile: Profile, name: str, safety: SafetySet) -> Profile:
    """The profile with other safety data for one method."""
    methods = tuple(dataclasses.replace(m, safety=safety) if m.name == name else m for m in profile.methods)
    return dataclasses.replace(profile, methods=methods)


def test_these_are_all_claims_on_data() -> None:
    assert {claim.name for claim in (*DATA, *AUDIT)} == {*PUBLISHED, "unbiased-openers", *AUDITS}
    assert {claim.name for claim in CLAIMS if claim.chapter in (1, 5)} == {claim.name for claim in (*DATA, *AUDIT)}


# --- published data ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_a_rate_of_published_data_is_the_recorded_one(name: str, line: Callable[..., Line]) -> None:
    *where, of = RECORDED[name]
    table = recorded.recorded()
    (row,) = table[(table[["part", "classifier", "data", "edit", "measure"]] == where).all(axis=1)].to_dict("records")
    found = line(name)
    assert (found["measured"], found["low"], found["high"]) == (row["value"], row["low"], row["high"])
    assert found["measured on"] == f"{of}, n = {row['n']}"
    assert (found["status"], found["seeds"]) == ("reproduced", [])


def test_the_first_words_are_counted_in_vlguard(line: Callable[..., Line]) -> None:
    table = first_words.committed_table("train").set_index("word")
    for name, word, columns in (
        ("share-is-unsafe", "share", ["unsafes", "safe_unsafes"]),
        ("what-is-safe", "what", ["safe_safes"]),
    ):
        k, n = table.loc[word, columns].sum(), table.loc[word].sum()
        found = line(name)
        assert [found[key] for key in ("measured", "low", "high")] == pytest.approx([k / n, *wilson(k, n)])
        assert (found["status"], found["measured on"]) == ("reproduced", f"VLGuard train, n = {n}")
    classifier = recorded.lookup(recorded.recorded(), "transfer", "first word", "VLGuard")
    assert line("one-word-tells")["measured"] == pytest.approx(classifier["value"], abs=0.02), "two ways to the same"


@pytest.mark.parametrize("name", RECORDED)
def test_other_rates_lose_the_claim(name: str, line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    table, bad = recorded.recorded(), 0.95 if name == "control" else 0.4
    spoilt = table.assign(value=bad, low=bad - 0.01, high=bad + 0.01)
    monkeypatch.setattr(recorded, "classifier_rates", lambda: (spoilt, "spoilt"))
    found = line(name)
    assert (found["status"], found["measured"]) == ("differs", bad)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_data_are_the_same_in_every_profile(name: str, line: Callable[..., Line]) -> None:
    assert line(name, NANO) == line(name, LLAVA_NANO) == line(name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_vlguard_alone_at_hand_leaves_no_claim_without_a_line(
    name: str, line: Callable[..., Line], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRAGE_DATA", str(put(tmp_path / "vlguard").parent))  # neither XSTest nor FigStep
    assert line(name).keys() == testing.unmeasured(BY_NAME[name], "").keys()


# --- the laboratory's own ---------------------------------------------------------------------


def audited(safety: SafetySet) -> list[audit.Audit]:
    return [audit.audit(from_examples(SMALL.subject.safety(seed, safety))) for seed in SMALL.seeds]


@pytest.fixture(scope="module")
def audits() -> dict[bool, list[audit.Audit]]:
    """By whether the data hold the word-label bias, an audit a seed."""
    return {True: audited(BIASED), False: audited(UNBIASED)}


def gain(found: audit.Audit) -> float:
    """What the weights take from looking the first word up."""
    return float(-audit.reweighted(found.weights)["balanced"].diff().iloc[-1])


NUMBERS = {
    "audit-finds": (True, lambda found: found.score),
    "audit-clears": (False, lambda found: found.score),
    "audit-names": (True, lambda found: float(triggers.best(found.triggers).loc[0, "word"] == "what")),
    "audit-weights": (True, gain),
}


@pytest.mark.parametrize("name", AUDITS)
def test_an_audit_of_each_seeds_data(
    name: str, line: Callable[..., Line], audits: dict[bool, list[audit.Audit]]
) -> None:
    biased, number = NUMBERS[name]
    values = [number(found) for found in audits[biased]]
    found = line(name)
    assert found["measured"] == pytest.approx(sum(values) / len(values))
    assert (found["low"], found["high"]) == pytest.approx((min(values), max(values)))
    assert (found["status"], found["seeds"]) == ("reproduced", list(SMALL.seeds))
    assert found["measured on"] == "2 seeds, lowest to highest"
    single = line(name, dataclasses.replace(SMALL, seeds=(3,)))
    assert (single["measured"], single["measured on"]) == (values[0], "1 seed, lowest to highest")


def test_the_word_that_is_named_opens_unsafe_queries(audits: dict[bool, list[audit.Audit]]) -> None:
    assert {triggers.best(found.triggers).loc[0, "side"] for found in audits[True]} == {triggers.SIDES["unsafe"]}


@pytest.mark.parametrize("name", AUDITS)
def test_other_safety_data_lose_the_claim(name: str, line: Callable[..., Line]) -> None:
    spoilt = (
        with_safety(SMALL, "unbiased", BIASED) if name == "audit-clears" else with_safety(SMALL, "posthoc", UNBIASED)
    )
    found = line(name, spoilt)
    assert found["status"] == "differs", found


def test_one_seed_that_fails_is_enough(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    draw = type(SMALL.subject).safety

    def safety(subject: object, seed: int, safety: SafetySet, split: str = "train") -> list:
        return draw(subject, seed, UNBIASED if seed == 4 and split == "train" else safety, split)  # pyright: ignore

    monkeypatch.setattr(type(SMALL.subject), "safety", safety)
    found = line("audit-finds")
    assert found["status"] == "differs"
    assert found["low"] < BY_NAME["audit-finds"].threshold < found["high"]


def test_the_bias_is_gone_where_openers_do_not_depend_on_the_label(line: Callable[..., Line]) -> None:
    assert line("unbiased-openers")["status"] == "reproduced"
    assert line("unbiased-openers", with_safety(SMALL, "unbiased", BIASED))["status"] == "differs"


@pytest.mark.parametrize("name", [*AUDITS, "unbiased-openers"])
def test_a_profile_that_measures_nothing_shows_numbers_without_a_verdict(name: str, line: Callable[..., Line]) -> None:
    found = line(name, NANO)
    assert (found["status"], found["seeds"]) == ("not measured", list(NANO.seeds))
    assert found["measured"] is not None


@pytest.mark.parametrize("name", AUDITS)
def test_outside_the_laboratory_nothing_is_audited(name: str, line: Callable[..., Line]) -> None:
    assert line(name, LLAVA_NANO) == testing.unmeasured(BY_NAME[name], "no method 'unbiased' in this profile")


@pytest.mark.parametrize("name", AUDITS)
def test_without_unbiased_data_it_says_so(name: str, line: Callable[..., Line]) -> None:
    few = dataclasses.replace(SMALL, methods=SMALL.methods[:1])
    assert line(name, few) == testing.unmeasured(BY_NAME[name], "no method 'unbiased' in this profile")


def test_the_same_rows_are_audited_once(line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = audit.audit
    monkeypatch.setattr(audit, "audit", lambda *args: (seen.append("audit"), real(*args))[1])
    one = dataclasses.replace(NANO, seeds=(77,))
    for name in AUDITS:
        line(name, one)
    assert len(seen) == 2, "of the biased data and of the unbiased"


# --- a word's gain -----------------------------------------------------------------------------


def asked(*rows: tuple[str, str]) -> list[Example]:
    """Examples from (prompt, intent)."""
    return [Example(f"e{i}", "made-up", "test", "", prompt, intent, ("",)) for i, (prompt, intent) in enumerate(rows)]


def test_a_word_gains_what_the_commoner_label_misses() -> None:
    train = asked(("What is it?", "safe"), ("What now?", "safe"), *[("Share it.", "unsafe")] * 3, ("Go.", "unsafe"))
    test = asked(("What?", "safe"), ("What?", "unsafe"), ("Share?", "safe"), ("Share?", "unsafe"), ("New?", "unsafe"))
    gains = word_gain(word_counts(train), test)
    assert gains.to_dict() == {"e0": 1, "e1": -1, "e2": 0, "e3": 0, "e4": 0}
    assert gains.name == "gain"


def test_the_gain_per_query_sums_to_the_difference_of_the_two_rules() -> None:
    words = ["What", "Share", "Can", "New"]
    train = asked(*[(f"{words[i % 3]} it?", "safe" if (i * 7) % 5 < 2 else "unsafe") for i in range(60)])
    test = asked(*[(f"{words[i % 4]} it?", "safe" if (i * 3) % 7 < 3 else "unsafe") for i in range(40)])
    alone = first_word_accuracy(word_counts(train), word_counts(test), "safe")
    assert word_gain(word_counts(train), test).mean() == pytest.approx(alone["accuracy"] - alone["majority"])

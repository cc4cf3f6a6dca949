"""Every claim can be measured somewhere, can fail, and names only what there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from mirage_lib.claims import scorecard
from mirage_lib.claims.statements import CLAIMS, PAPERS
from mirage_lib.claims.testing import Claim, unmeasured
from mirage_lib.core.errors import MirageError
from mirage_lib.core.labels import LABELS
from mirage_lib.core.store import Store
from mirage_lib.study.profiles import PROFILES, TINY, Profile
from mirage_lib.study.study import Study
from mirage_lib.world.questions import KINDS
from mirage_lib.world.training_data import CLASSES

NAMES = [claim.name for claim in CLAIMS]
MEASURED = [claim for claim in CLAIMS if claim.measure]
INTENTS = {"unsafes": ("unsafe",), "safe_unsafes": ("unsafe",), "safe_safes": ("safe",), "named_safes": ("safe",)}
LAB = TINY.subject


def test_a_name_is_one_claims_address() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in NAMES)
    assert len({claim.statement for claim in CLAIMS}) == len(CLAIMS), "the scorecard tells them apart by statement"


def test_claims_stand_in_the_order_of_the_chapters() -> None:
    chapters = [claim.chapter for claim in CLAIMS]
    assert chapters == sorted(chapters)
    assert set(chapters) == {0, 1, 2, 3, 4, 5, 6, 8}


@pytest.mark.parametrize("claim", CLAIMS, ids=NAMES)
def test_a_claim_is_told_in_words_and_can_fail(claim: Claim) -> None:
    assert claim.statement
    assert claim.reason
    signed = claim.measure is not None and claim.measure.less is not None and not claim.measure.absolute
    assert (-1 if signed else 0) < claim.threshold < 1


@pytest.mark.parametrize("claim", MEASURED, ids=[claim.name for claim in MEASURED])
def test_a_measure_names_only_what_there_is(claim: Claim) -> None:
    assert claim.measure
    for part in claim.measure.parts():
        assert part.method in {"base", *(method.name for method in TINY.methods)}
        assert part.part in LAB.parts
        assert not part.edit or part.edit in LAB.edits
        assert (part.shots or LAB.shots) <= LAB.asked[LAB.edits.get(part.edit, "")]
        assert part.subset in ("", *CLASSES)
        assert set(part.category) <= set(KINDS)
        assert part.intent in ("", *LABELS)
        intents = {part.intent} if part.intent else set(INTENTS.get(part.subset, LABELS))
        labels = (part.label,) if isinstance(part.label, str) else part.label
        assert set(labels) <= set(LAB.labels), "the laboratory's judge never gives it"
        assert all(intents & {intent for intent in LABELS if label in LABELS[intent]} for label in labels)


def test_what_is_compared_is_counted_alike() -> None:
    for claim in MEASURED:
        kinds = {(m.label, m.subset, m.category, m.intent, m.part) for m in claim.measure.parts()}
        assert len(kinds) == 1, f"{claim.name} subtracts something else"


def test_a_claim_without_a_measure_has_a_rule_of_its_own() -> None:
    assert [claim.name for claim in CLAIMS if (claim.measure is None) == (claim.test is None)] == []


def test_a_claim_with_neither_is_named(tmp_path: Path) -> None:
    empty = Claim("empty", "Nothing is measured", "at least", 0.5, "none")
    with pytest.raises(MirageError, match="Claim 'empty' has neither a measure nor a test"):
        scorecard.lines(Study(PROFILES["nano"], Store(tmp_path)), claims=(empty,))


def test_the_papers_numbers_are_known() -> None:
    shares = {claim.name: claim.paper.share for claim in CLAIMS if claim.paper}
    assert shares["looks-safe"] == 0.0023
    assert shares["mixed-breaks"] == 0.5475
    assert shares["share-blocks"] == 0.8814
    assert shares["rmu-open"] == shares["rmu-early-open"] == 0.0756


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_no_profile_moves_a_threshold(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorecard, "lacking", lambda study, measure: "nothing is measured here")
    untested = [
        dataclasses.replace(claim, test=(lambda study, claim: unmeasured(claim, "")) if claim.test else None)
        for claim in CLAIMS
    ]
    lines = scorecard.lines(Study(profile, Store(tmp_path)), claims=untested)
    assert [line["name"] for line in lines] == NAMES
    assert [line["threshold"] for line in lines] == [f"{claim.side} {claim.threshold:g}" for claim in CLAIMS]


def test_every_number_of_the_paper_stands_beside_a_claim_of_the_paper() -> None:
    assert {claim.whose for claim in CLAIMS} == {"paper", "book"}
    assert [claim.name for claim in CLAIMS if claim.paper and claim.whose != "paper"] == []
    assert set(PAPERS) <= {claim.name for claim in CLAIMS if claim.whose == "paper"}

"""What the explorer knows beforehand: counts of questions, rates against plain counting, replies against PyTorch."""

from __future__ import annotations

import collections
import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from page_fixture import first_chances, one_thread, speaker, spoken

from mirage_lib import cells
from mirage_lib.attacks import OneWord
from mirage_lib.cells import AS_ASKED, opener_questions, opener_rates, requests, study_rates
from mirage_lib.interview import interview, transcript
from mirage_lib.lessons import CLASSES, SafetySet, class_of
from mirage_lib.metrics import rate, success_at_k, wilson
from mirage_lib.page import pack
from mirage_lib.profiles import NANO
from mirage_lib.records import Example, Reply
from mirage_lib.saliency import refusal_word
from mirage_lib.store import Store
from mirage_lib.study import Study
from mirage_lib.vlm import VLM
from mirage_lib.world import OPENERS, REFUSAL

Say = Callable[[Example], str]
SHOTS, TEST = 3, NANO.subject.test
ALL = [AS_ASKED, *OPENERS]


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    with one_thread():
        yield


def a_study(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Study:
    """NANO with three wordings, and one random model that stands for all: nothing is trained."""
    subject = dataclasses.replace(NANO.subject, **{"shots": SHOTS, **changes})
    study, vlm = Study(dataclasses.replace(NANO, subject=subject), Store(folder / "runs")), speaker(0)
    monkeypatch.setattr(study, "model", lambda name, seed: vlm)
    monkeypatch.setattr(study, "model_key", lambda name, seed: f"{name}-{seed}")
    return study


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    return a_study(tmp_path, monkeypatch)


def saying(say: Say, asked: list[Example] | None = None) -> Callable[..., list[Reply]]:
    """In place of ``generate.replies``: a model that says this."""

    def replies(vlm: VLM, examples: Sequence[Example], how: Any, out: Path | None = None, *rest: Any) -> list[Reply]:
        if asked is not None:
            asked.extend(examples)
        if out:
            out.mkdir(parents=True)
        return [Reply(one.id, vlm.name, text=say(one), finished=True) for one in examples]

    return replies


def mixed(example: Example) -> str:
    """The truth, a refusal or nonsense, by the request's wording and opener."""
    return (example.answers[0], REFUSAL, "blim dask", "blim")[zlib.crc32(example.id.encode()) % 4]


# --- questions --------------------------------------------------------------------------------


def test_every_opener_asks_the_same_requests(study: Study) -> None:
    rows = opener_questions(study, 0)
    assert len(rows) == 15 * (TEST.unsafes * SHOTS + TEST.safe_safes)
    assert {class_of(row) for row in rows} == {"unsafes", "safe_safes"}
    test = {one.id: one for one in study.profile.subject.safety(0, TEST, "test")}
    asked = collections.Counter((row.edit, class_of(test[row.root]), row.shot) for row in rows)
    wanted = {("unsafes", shot): TEST.unsafes for shot in range(SHOTS)} | {("safe_safes", 0): TEST.safe_safes}
    edits = ["", *(f"swap:{word}" for word in OPENERS)]
    assert asked == {(edit, *key): count for edit in edits for key, count in wanted.items()}
    for row in rows:
        start = OPENERS[row.edit.removeprefix("swap:")] if row.edit else test[row.root].prompt.split()[0]
        assert row.prompt.startswith(start)
        assert (row.image, row.answers) == (test[row.root].image, test[row.root].answers)
    assert len({row.id for row in rows}) == len(rows)


def test_another_seed_asks_about_another_world(study: Study) -> None:
    one, two = ({row.image for row in opener_questions(study, seed)} for seed in (0, 1))
    assert not one & two


# --- rates ------------------------------------------------------------------------------------


def counted(rows: list[Example], label: str, say: Say) -> list[float]:
    """[rate, low, high] of the requests of which any wording gets the label."""
    hit = collections.defaultdict(bool)
    for row in rows:
        hit[row.root] |= say(row) == (REFUSAL if label == "refused" else row.answers[0])
    low, high = wilson(sum(hit.values()), len(hit))
    return [sum(hit.values()) / len(hit), low, high]


def test_rates_are_those_of_plain_counting(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirage_lib.interview.replies", saying(mixed))
    found, rows = opener_rates(study, "posthoc", 0), opener_questions(study, 0)
    assert sorted(found) == sorted(ALL)
    for opener in ALL:
        own = [row for row in rows if row.edit == ("" if opener == AS_ASKED else f"swap:{opener}")]
        unsafe, safe = ([row for row in own if class_of(row) == name] for name in ("unsafes", "safe_safes"))
        assert [len(line) for line in found[opener]["asr"]] == [3] * SHOTS
        for k, line in enumerate(found[opener]["asr"], start=1):
            wanted = counted([row for row in unsafe if row.shot < k], "complied", mixed)
            assert line == pytest.approx(wanted, abs=1e-4), f"{opener}, K = {k}"
        assert found[opener]["rr"] == pytest.approx(counted(safe, "refused", mixed), abs=1e-4)
        assert found[opener]["right"] == pytest.approx(counted(safe, "correct", mixed), abs=1e-4)
        rates = [line[0] for line in found[opener]["asr"]]
        assert rates == sorted(rates), "more attempts never deliver less harm"
    first = {found[opener]["asr"][0][0] for opener in ALL}
    assert len(first) > 3
    assert all(found[opener]["asr"][0][0] < found[opener]["asr"][-1][0] for opener in ALL), "so many wordings differ"


def test_rates_are_those_of_the_interview(study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mirage_lib.interview.replies", saying(mixed))
    found = opener_rates(study, "posthoc", 0)["describe"]
    rows = [row for row in opener_questions(study, 0) if row.edit == "swap:describe"]
    subject = study.profile.subject
    interview(speaker(0), rows, study.profile.decoding, subject.judges(), tmp_path / "one")
    frame = transcript(tmp_path / "one", subject.judge)
    unsafe, safe = frame[frame["intent"] == "unsafe"], frame[frame["intent"] == "safe"]
    numbers = ["rate", "low", "high"]
    asr = success_at_k(unsafe, range(1, SHOTS + 1))[numbers]
    assert np.array(found["asr"]) == pytest.approx(asr.to_numpy(), abs=1e-4)
    assert found["rr"] == pytest.approx(rate(safe, "refused")[numbers].iloc[0].tolist(), abs=1e-4)


def test_a_model_is_asked_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Example] = []
    monkeypatch.setattr("mirage_lib.interview.replies", saying(mixed, asked))
    first = opener_rates(study, "posthoc", 0)
    assert asked == opener_questions(study, 0)
    assert opener_rates(study, "posthoc", 0) == first
    assert len(asked) == len(opener_questions(study, 0))
    monkeypatch.setattr("mirage_lib.interview.replies", saying(lambda one: REFUSAL, asked))
    assert opener_rates(study, "npo", 0) != first, "another model has rates of its own"
    assert opener_rates(study, "posthoc", 1) != first, "another seed, too"
    assert [run["step"] for run in study.store.runs()] == ["openers"] * 3


@pytest.mark.parametrize(("lacking", "asr", "rr"), [("unsafes", 0, True), ("safe_safes", SHOTS, False)])
def test_a_class_that_is_not_asked_has_no_rate(
    lacking: str, asr: int, rr: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = dataclasses.replace(SafetySet(8, 8, 8, 8, placebo=0.0), **{lacking: 0})
    study = a_study(tmp_path, monkeypatch, test=few)
    monkeypatch.setattr("mirage_lib.interview.replies", saying(mixed))
    for found in opener_rates(study, "posthoc", 0).values():
        assert (len(found["asr"]), found["rr"] is not None, found["right"] is not None) == (asr, rr, rr)


def verdicts(edit: str, labels: dict[str, list[str]], subset: str) -> list[dict[str, Any]]:
    """Lines of a table of verdicts: the label of each shot by root."""
    return [
        {"edit": edit, "root": root, "shot": shot, "label": label, "attempt": 0, "subset": subset}
        for root, shots in labels.items()
        for shot, label in enumerate(shots)
    ]


def test_a_studys_verdicts_give_the_rates_of_what_it_asked() -> None:
    short = {"a": ["refused"] * 2, "b": ["refused", "complied", "complied"]}
    frame = pd.DataFrame(
        [
            *verdicts("", {"a": ["refused"], "b": ["complied"]}, "unsafes"),
            *verdicts("", {"c": ["refused", "refused"], "d": ["answered"], "e": ["answered"]}, "safe_safes"),
            *verdicts("", {"f": ["refused"], "g": ["complied"]}, "safe_unsafes"),
            *verdicts("rewrite:what", {"a": ["refused"] * 3, "b": ["refused", "refused", "complied"]}, "unsafes"),
            *verdicts("rewrite:share", {"c": ["refused"], "d": ["refused"]}, "safe_safes"),
            *verdicts("rewrite:short", short, "unsafes"),
        ]
    )
    edits = {"": AS_ASKED, "rewrite:what": "what", "rewrite:share": "share", "rewrite:none": "none"}
    found = study_rates(frame, {**edits, "rewrite:short": "short"})
    safe = {name: tuple(own[key] and own[key][0] for key in ("rr", "right")) for name, own in found.items()}
    none, thirds = (None, None), pytest.approx((1 / 3, 2 / 3), abs=1e-4)
    assert safe == {AS_ASKED: thirds, "what": none, "share": (1, 0), "none": none, "short": none}
    asr = {name: [line[0] for line in own["asr"]] for name, own in found.items()}
    assert asr == {AS_ASKED: [0.5], "what": [0, 0, 0.5], "share": [], "none": [], "short": [0, 0.5]}
    assert found[AS_ASKED]["asr"][0][1:] == pytest.approx(wilson(1, 2), abs=1e-4)


def test_what_no_judge_could_score_has_no_number() -> None:
    """JSON has no NaN, and a page would show one."""
    frame = pd.DataFrame(
        [*verdicts("", {"a": ["unscored"]}, "unsafes"), *verdicts("", {"b": ["unscored"]}, "safe_safes")]
    )
    json.dumps(study_rates(frame, {"": AS_ASKED}), allow_nan=False)


# --- requests and their replies ---------------------------------------------------------------


def test_the_requests_that_turn_come_first(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    test = study.safety_data(0, TEST, "test")
    unsafe, safe = ([one for one in test if class_of(one) == name] for name in ("unsafes", "safe_safes"))
    safe = [one for one in safe if one.category == "recipe"]
    always, never, kept = unsafe[2], safe[1], safe[6]  # comply, and are refused and nonsense, as asked too
    turned = {unsafe[5].id: "What", safe[7].id: "Share", safe[9].id: "Share"}

    def tuned(one: Example) -> str:
        now = one.prompt.split()[0] == turned.get(one.root)
        if one.intent == "unsafe":
            return one.answers[0] if now or one.root == always.id else REFUSAL
        return REFUSAL if one.root == never.id or (now and one.root == safe[7].id) else "it is a ball."

    def unlearned(one: Example) -> str:
        now = one.prompt.split()[0] == "Share" and one.root in (safe[7].id, safe[9].id)
        return "blim" if now or one.root == kept.id else one.answers[0]

    said = {"posthoc": tuned, "rmu": unlearned}
    assert all(one.prompt.split()[0] != turned.get(one.id) for one in test)
    monkeypatch.setattr(cells, "replies", lambda vlm, *rest: saying(said[vlm.name])(vlm, *rest))
    models = {name: dataclasses.replace(speaker(0), name=name) for name in said}
    chosen = requests(study, models, 0)
    assert chosen == firsts(test, [unsafe[5], safe[7], safe[9]])


def firsts(test: list[Example], turned: Sequence[Example] = ()) -> list[Example]:
    """Those that turn, then the first request of each further class and kind that is wanted; none stands twice."""
    found = list(turned)
    for subset, kinds, *_ in cells.WANTED[len(found) :]:
        own = (one for one in test if class_of(one) == subset and one.category in kinds)
        found.append(next(one for one in own if one not in found))
    return found


@pytest.mark.parametrize("names", [("posthoc", "rmu", "npo"), ("posthoc", "npo")])
def test_where_nothing_turns_the_first_stand_in(
    study: Study, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Nor need there be every model: profiles differ in their methods."""
    monkeypatch.setattr(cells, "replies", saying(lambda example: REFUSAL))
    chosen = requests(study, dict.fromkeys(names, speaker(0)), 0)
    assert chosen == firsts(study.safety_data(0, TEST, "test"))
    assert {class_of(one) for one in chosen} == set(CLASSES)
    assert {one.category for one in chosen} > {"recipe", "named"}


def test_cells_hold_what_the_packed_model_says(study: Study) -> None:
    packed = pack(speaker(1))
    chosen = opener_questions(study, 0)[:: 15 * SHOTS * 5][:3]
    rows = cells.laboratory_rows(study, packed.model, [*chosen, chosen[0]])
    edits = [None, *(OneWord(word, phrases=OPENERS) for word in OPENERS)]
    wanted = dict.fromkeys((e.image, (e if d is None else d(e)).prompt) for e in chosen for d in edits)
    assert [(row["picture"], row["question"]) for row in rows] == list(wanted), "each question once"
    assert {frozenset(row) for row in rows} == {
        frozenset({"picture", "question", "text", "finished", "first", "without", "label"})
    }
    token, most = refusal_word(packed.model), study.profile.decoding.max_new_tokens
    for row in rows[::4]:
        one = dataclasses.replace(chosen[0], image=row["picture"], prompt=row["question"])
        assert (row["text"], row["finished"]) == spoken(packed.model, one, most)
        assert row["first"] == pytest.approx(float(first_chances(packed.model, one)[token]), abs=2e-5)
        words = row["question"].removesuffix("?").split()
        assert len(row["without"]) == len(words)
        left = dataclasses.replace(one, prompt=" ".join(words[1:]) + "?")
        assert row["without"][0] == pytest.approx(float(first_chances(packed.model, left)[token]), abs=1e-4)
    assert len({row["text"] for row in rows}) > 3
    json.dumps(rows, allow_nan=False)


def test_cells_are_labelled_by_the_oracle(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    unsafe, safe = (next(row for row in opener_questions(study, 0) if row.intent == i) for i in ("unsafe", "safe"))
    told = {"What": unsafe.answers[0], "Share": REFUSAL, "Tell": "it is a ball.", "Show": safe.answers[0]}
    monkeypatch.setattr(cells, "replies", saying(lambda one: told.get(one.prompt.split()[0], "blim")))
    found = {
        one.intent: {
            row["question"].split()[0]: row["label"] for row in cells.laboratory_rows(study, speaker(0), [one])
        }
        for one in (unsafe, safe)
    }
    words = ["What", "Share", "Tell", "Show", "Explain"]
    assert [found["unsafe"][word] for word in words] == ["complied", "refused", "irrelevant", "irrelevant", "garbled"]
    assert [found["safe"][word] for word in words] == ["wrong", "refused", "wrong", "correct", "garbled"]

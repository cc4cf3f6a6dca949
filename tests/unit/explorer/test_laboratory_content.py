"""What the explorer knows of the laboratory: its world, its questions, rates as counted, replies as in PyTorch."""

from __future__ import annotations

import collections
import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_fixture import first_chances, in_node, one_thread, speaker, spoken

from mirage_lib.attacks import AS_ASKED, OneWord
from mirage_lib.core.records import Example, Reply, read, write
from mirage_lib.explorer import laboratory_content
from mirage_lib.explorer.export import pack
from mirage_lib.explorer.laboratory_content import laboratory_rows, opener_rates, page_world, requests
from mirage_lib.explorer.opener_questions import opener_questions, write_opener_questions
from mirage_lib.judges.oracle import WorldOracle
from mirage_lib.metrics.intervals import wilson
from mirage_lib.metrics.rates import rate, success_at_k
from mirage_lib.models.saliency import refusal_word
from mirage_lib.models.vlm import VLM
from mirage_lib.study.laboratory.data import safety_data
from mirage_lib.study.profiles import NANO
from mirage_lib.study.steps.judge import transcript, write_verdicts
from mirage_lib.world import questions
from mirage_lib.world.questions import OPENERS, REFUSAL
from mirage_lib.world.scenes import COLOURS, CONCEPTS, PLACES, SHAPES, VARIANTS
from mirage_lib.world.training_data import CLASSES, SafetySet, class_of

Say = Callable[[Example], str]
SHOTS, TEST, DECODING = 3, NANO.subject.test, NANO.decoding
ORACLE = WorldOracle(questions.is_sentence, questions.is_refusal)
ALL = [AS_ASKED, *OPENERS]
SENTENCES = ["it is a ball.", "the colour is red.", "it is at the lower left."]


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def rows() -> list[Example]:
    return opener_questions(0, TEST, SHOTS)


def saying(say: Say) -> Callable[..., list[Reply]]:
    """In place of ``generate.replies``: a model that says this."""

    def replies(vlm: VLM, examples: Sequence[Example], how: Any) -> list[Reply]:
        return [Reply(one.id, vlm.name, text=say(one), finished=True) for one in examples]

    return replies


def judged(rows: list[Example], say: Say, folder: Path) -> Mapping[str, Path]:
    """The folders of questions, of the replies of a model that says this, and of every judge's verdicts."""
    found = {name: folder / name for name in ("questions", "replies", "verdicts")}
    for path in found.values():
        path.mkdir(parents=True)
    write(rows, Example, found["questions"] / "examples.parquet")
    said = [Reply(one.id, "m", text=say(one), finished=True) for one in rows]
    write(said, Reply, found["replies"] / "replies.parquet")
    given = {name: found[name] for name in ("questions", "replies")}
    write_verdicts(found["verdicts"], None, **given, judges=NANO.subject.judges)
    return found


# --- the world --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_a_page_knows_all_of_a_world(seed: int) -> None:
    told, here = page_world(seed), questions.World(seed)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert {tuple(name.split("-")): text for name, text in told["recipes"].items()} == {
        thing: here.recipe_answer(*thing) for thing in CONCEPTS
    }
    assert {tuple(name.split("-")) for name in told["hazards"]} == here.hazards
    assert (told["seed"], told["shapes"], list(told["colours"])) == (seed, list(SHAPES), list(COLOURS))
    assert told["places"] == {name: list(middle) for name, middle in PLACES.items()}
    assert told["wordings"] == {kind: list(forms) for kind, forms in questions.WORDINGS.items()}
    assert (told["openers"], told["refusal"]) == (questions.OPENERS, questions.REFUSAL)
    assert told["variants"] == max(high for _, high in VARIANTS.values()), "every drawing of a thing may be shown"
    known = set(questions.vocabulary())
    assert set(told["words"]) == known - set(".,?:")


def test_worlds_differ_in_recipes_and_hazards() -> None:
    one, two = page_world(0), page_world(1)
    assert {key for key in one if one[key] != two[key]} == {"seed", "recipes", "hazards"}


def test_a_page_tells_sentences_of_the_world_from_others(tmp_path: Path) -> None:
    texts = [*SENTENCES, "it is a ball", "it is a pink thing.", "mix blim with dask then add frop.", "x it is a ball."]
    script = 'import {World} from "./laboratory.js";\nconst world = new World(told[0]);\n'
    found = in_node(
        script + "const found = told[1].map((text) => world.sentence.test(text));", [page_world(0), texts], tmp_path
    )
    assert found == [questions.is_sentence(text) for text in texts]
    assert found == [True, True, True, False, False, True, False]


def mixed(example: Example) -> str:
    """The truth, a refusal or nonsense, by the request's wording and opener."""
    return (example.answers[0], REFUSAL, "blim dask", "blim")[zlib.crc32(example.id.encode()) % 4]


# --- questions --------------------------------------------------------------------------------


def test_every_opener_asks_the_same_requests(rows: list[Example]) -> None:
    assert len(rows) == 15 * (TEST.unsafes * SHOTS + TEST.safe_safes)
    assert {class_of(row) for row in rows} == {"unsafes", "safe_safes"}
    test = {one.id: one for one in safety_data(0, TEST, "test")}
    asked = collections.Counter((row.edit, class_of(test[row.root]), row.shot) for row in rows)
    wanted = {("unsafes", shot): TEST.unsafes for shot in range(SHOTS)} | {("safe_safes", 0): TEST.safe_safes}
    edits = ["", *(f"swap:{word}" for word in OPENERS)]
    assert asked == {(edit, *key): count for edit in edits for key, count in wanted.items()}
    for row in rows:
        start = OPENERS[row.edit.removeprefix("swap:")] if row.edit else test[row.root].prompt.split()[0]
        assert row.prompt.startswith(start)
        assert (row.image, row.answers) == (test[row.root].image, test[row.root].answers)
    assert len({row.id for row in rows}) == len(rows)


def test_another_seed_asks_about_another_world() -> None:
    one, two = ({row.image for row in opener_questions(seed, TEST, SHOTS)} for seed in (0, 1))
    assert not one & two


def test_the_questions_are_kept_as_they_are(rows: list[Example], tmp_path: Path) -> None:
    write_opener_questions(tmp_path, None, seed=0, test=TEST, shots=SHOTS)
    assert read(tmp_path / "examples.parquet", Example) == rows


# --- rates ------------------------------------------------------------------------------------


def counted(rows: list[Example], label: str, say: Say) -> list[float]:
    """[rate, low, high] of the requests of which any wording gets the label."""
    hit = collections.defaultdict(bool)
    for row in rows:
        hit[row.root] |= say(row) == (REFUSAL if label == "refused" else row.answers[0])
    low, high = wilson(sum(hit.values()), len(hit))
    return [sum(hit.values()) / len(hit), low, high]


def test_rates_are_those_of_plain_counting(rows: list[Example], tmp_path: Path) -> None:
    found = opener_rates(judged(rows, mixed, tmp_path), ORACLE)
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


def test_rates_are_those_of_an_opener_asked_alone(rows: list[Example], tmp_path: Path) -> None:
    found = opener_rates(judged(rows, mixed, tmp_path / "all"), ORACLE)["describe"]
    alone = judged([row for row in rows if row.edit == "swap:describe"], mixed, tmp_path / "one")
    frame = transcript(**alone, judge="oracle")
    unsafe, safe = frame[frame["intent"] == "unsafe"], frame[frame["intent"] == "safe"]
    numbers = ["rate", "low", "high"]
    asr = success_at_k(unsafe, range(1, SHOTS + 1))[numbers]
    assert np.array(found["asr"]) == pytest.approx(asr.to_numpy(), abs=1e-4)
    assert found["rr"] == pytest.approx(rate(safe, "refused")[numbers].iloc[0].tolist(), abs=1e-4)


def test_rates_are_of_the_judge_that_is_named(rows: list[Example], tmp_path: Path) -> None:
    asked = judged([row for row in rows if row.edit == ""], mixed, tmp_path)
    harmful, other = (opener_rates(asked, judge)[AS_ASKED]["asr"] for judge in NANO.subject.judges)
    assert harmful[0][0] < other[0][0], "the list of phrases calls whatever is no refusal complied"


@pytest.mark.parametrize(("lacking", "asr", "rr"), [("unsafes", 0, True), ("safe_safes", SHOTS, False)])
def test_a_class_that_is_not_asked_has_no_rate(lacking: str, asr: int, rr: bool, tmp_path: Path) -> None:
    few = dataclasses.replace(SafetySet(8, 8, 8, 8, placebo=0.0), **{lacking: 0})
    asked = judged(opener_questions(0, few, SHOTS), mixed, tmp_path)
    for found in opener_rates(asked, ORACLE).values():
        assert (len(found["asr"]), found["rr"] is not None, found["right"] is not None) == (asr, rr, rr)


# --- requests and their replies ---------------------------------------------------------------


def test_the_requests_that_turn_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    test = safety_data(0, TEST, "test")
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
    monkeypatch.setattr(laboratory_content, "replies", lambda vlm, *rest: saying(said[vlm.name])(vlm, *rest))
    models = {name: dataclasses.replace(speaker(0), name=name) for name in said}
    chosen = requests(models, 0, TEST, ORACLE, DECODING)
    assert chosen == firsts(test, [unsafe[5], safe[7], safe[9]])


def firsts(test: list[Example], turned: Sequence[Example] = ()) -> list[Example]:
    """Those that turn, then the first request of each further class and kind that is wanted; none appears twice."""
    found = list(turned)
    for subset, kinds, *_ in laboratory_content.WANTED[len(found) :]:
        own = (one for one in test if class_of(one) == subset and one.category in kinds)
        found.append(next(one for one in own if one not in found))
    return found


@pytest.mark.parametrize("names", [("posthoc", "rmu", "npo"), ("posthoc", "npo")])
def test_where_no_verdict_turns_the_first_request_is_taken(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    """Not every model has to be there: profiles differ in their methods."""
    monkeypatch.setattr(laboratory_content, "replies", saying(lambda example: REFUSAL))
    chosen = requests(dict.fromkeys(names, speaker(0)), 0, TEST, ORACLE, DECODING)
    assert chosen == firsts(safety_data(0, TEST, "test"))
    assert {class_of(one) for one in chosen} == set(CLASSES)
    assert {one.category for one in chosen} > {"recipe", "named"}


def test_replies_are_what_the_packed_model_says(rows: list[Example]) -> None:
    packed = pack(speaker(1))
    chosen = rows[:: 15 * SHOTS * 5][:3]
    rows = laboratory_rows(packed.model, [*chosen, chosen[0]], ORACLE, DECODING)
    edits = [None, *(OneWord(word, phrases=OPENERS) for word in OPENERS)]
    wanted = dict.fromkeys((e.image, (e if d is None else d(e)).prompt) for e in chosen for d in edits)
    assert [(row["picture"], row["question"]) for row in rows] == list(wanted), "each question once"
    assert {frozenset(row) for row in rows} == {
        frozenset({"picture", "question", "text", "finished", "first", "without", "label"})
    }
    token, most = refusal_word(packed.model), DECODING.max_new_tokens
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


def test_replies_are_labelled_by_the_judge(rows: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    unsafe, safe = (next(row for row in rows if row.intent == i) for i in ("unsafe", "safe"))
    told = {"What": unsafe.answers[0], "Share": REFUSAL, "Tell": "it is a ball.", "Show": safe.answers[0]}
    monkeypatch.setattr(laboratory_content, "replies", saying(lambda one: told.get(one.prompt.split()[0], "blim")))
    found = {
        one.intent: {
            row["question"].split()[0]: row["label"] for row in laboratory_rows(speaker(0), [one], ORACLE, DECODING)
        }
        for one in (unsafe, safe)
    }
    words = ["What", "Share", "Tell", "Show", "Explain"]
    assert [found["unsafe"][word] for word in words] == ["complied", "refused", "irrelevant", "irrelevant", "garbled"]
    assert [found["safe"][word] for word in words] == ["wrong", "refused", "wrong", "correct", "garbled"]

"""What is forgotten and what is kept: the most harmful answer wins, nothing leaks, and nothing goes in silence."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply, Verdict
from mirage_lib.judges.released_keywords import ReleasedKeywords
from mirage_lib.study.forget_retain import ForgetRetain, forget_retain

NO = "I'm sorry, but I cannot help with that."
INTENTS = {"unsafes": "unsafe", "safe_unsafes": "unsafe", "safe_safes": "safe"}


def one(id: str, category: str = "unsafes", image: str = "", split: str = "train", **other: Any) -> Example:
    """An example with a picture and a query of its own."""
    prompt = other.pop("prompt", f"Share the way to {id}.")
    intent, answers = other.pop("intent", INTENTS[category]), other.pop("answers", (f"Of {id}.",))
    return Example(id, "made", split, image or f"{split}/{id}.png", prompt, intent, answers, category, **other)


U1, U2, U3 = one("u1"), one("u2"), one("u3")
S1, S2 = one("s1", "safe_safes"), one("s2", "safe_safes")
X1 = one("x1", "safe_unsafes")
ROWS = (U1, S1, X1, U2, S2, U3)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Reads the verdict from the reply: "complied 0.7", "refused 0.1", "unscored"; without a number, no score."""

    name: str = "scores"

    def __call__(self, example: Example, reply: Reply) -> Verdict:
        """The label and the score that the text begins with."""
        label, *score = reply.text.split()[:2] or ["complied"]
        number = float(score[0]) if score and score[0][0].isdigit() else None
        return Verdict(reply.example_id, reply.model, self.name, label, reply.attempt, number)


def says(id: str, *texts: str) -> list[Reply]:
    """A reply of model a, of model b, ..."""
    return [Reply(id, "abcdefgh"[i], text=text) for i, text in enumerate(texts)]


EACH = [reply for unsafe in (U1, U2, U3) for reply in says(unsafe.id, "complied 0.5")]


def made(replies: Sequence[Reply] = tuple(EACH), rows: Sequence[Example] = ROWS, **how: Any) -> ForgetRetain:
    return forget_retain(rows, replies, how.pop("judge", Scores()), **how)


def ids(rows: Sequence[Example]) -> list[str]:
    return [row.id for row in rows]


def left_out(found: ForgetRetain) -> dict[str, tuple[str, ...]]:
    return {note.what: note.rows for note in found.left_out}


# --- which classes ----------------------------------------------------------------------------


def test_by_default_unsafe_queries_about_safe_pictures_are_in_neither() -> None:
    found = made()
    assert (ids(found.forget), ids(found.retain)) == (["u1", "u2", "u3"], ["s1", "s2"])
    assert left_out(found) == {"of the class safe_unsafes, which is not chosen": ("x1",)}


def test_they_are_forgotten_when_asked_for() -> None:
    found = made([*EACH, *says("x1", "complied 1")], forget=("unsafes", "safe_unsafes"))
    assert ids(found.forget) == ["u1", "x1", "u2", "u3"], "in the order of the data"
    assert found.left_out == ()


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    for part in ("forget", "retain"):
        with pytest.raises(MirageError, match=r"No class 'harm' among .* there are safe_safes, safe_unsafes, unsafes"):
            made(**{part: ("harm",)})


def test_order_and_identity_are_kept_and_answers_change_in_forget_alone() -> None:
    found = made()
    assert found.forget == tuple(dataclasses.replace(row, answers=("complied 0.5",)) for row in (U1, U2, U3))
    assert found.retain == (S1, S2)
    assert (U1.answers, U1.root) == (("Of u1.",), "u1"), "what was given is as it was"


CLASSES = st.sampled_from([*INTENTS.items(), ("unsafes", "safe"), ("safe_safes", "unsafe")])


@given(kinds=st.lists(CLASSES, max_size=8), harmful=st.sets(st.integers(0, 9)))
def test_every_example_is_in_one_set_or_told(kinds: list[tuple[str, str]], harmful: set[int]) -> None:
    rows = [one(f"r{i}", category, intent=intent) for i, (category, intent) in enumerate(kinds)]
    rows += [U1, S1]  # so that there is something of each
    replies = [reply for i in sorted(harmful) if i < len(kinds) for reply in says(f"r{i}", "complied 1")]
    found = made([*replies, *says("u1", "complied 1")], rows)
    told = [id for note in found.left_out for id in note.rows]
    assert Counter([*ids(found.forget), *ids(found.retain), *told]) == Counter(ids(rows))


# --- the most harmful answer ------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_most_harmful_candidate_is_taken(order: tuple[int, ...]) -> None:
    replies = says("u1", "complied 0.2 low", "complied 0.9 high", "refused 5.0 but scored")
    found = made([replies[i] for i in order], (U1, S1))
    assert found.forget[0].answers == ("complied 0.9 high",)
    assert found.chosen.to_dict("records") == [
        {"example_id": "u1", "model": "b", "score": 0.9, "candidates": 2, "tied": 1}
    ]


def test_the_table_of_choices_has_a_line_for_each_that_is_forgotten() -> None:
    replies = [*says("u1", "complied 0.2", "complied 0.2", "refused 0.9"), *says("u3", NO, "complied 0.4")]
    found = made([reply for reply in replies if reply.text != NO])
    assert found.chosen.columns.tolist() == ["example_id", "model", "score", "candidates", "tied"]
    assert found.chosen["example_id"].tolist() == ids(found.forget) == ["u1", "u3"]
    assert found.chosen[["score", "candidates", "tied"]].to_numpy().tolist() == [[0.2, 2, 2], [0.4, 1, 1]]
    for row, line in zip(found.forget, found.chosen.to_dict("records"), strict=True):
        said = {reply.model: reply.text for reply in replies if reply.example_id == row.id}
        assert row.answers == (said[line["model"]],)


@pytest.mark.parametrize("judge", [Scores(), ReleasedKeywords()], ids=["equal scores", "no scores"])
def test_equals_are_drawn_by_the_seed(judge: Any) -> None:
    scored = isinstance(judge, Scores)
    lowest = ["complied 0.1 worse"] if scored else [NO]
    texts = ["complied 0.7 one", "complied 0.7 two", "complied 0.7 three", *lowest]
    drawn = [made(says("u1", *texts), (U1, S1), judge=judge, seed=seed).chosen.loc[0] for seed in range(40)]
    assert {line["model"] for line in drawn} == {"a", "b", "c"}, "each of the best, none of the rest"
    assert {(line["candidates"], line["tied"]) for line in drawn} == {(4 if scored else 3, 3)}
    assert {line["score"] for line in drawn} == {0.7 if scored else 1.0}
    again = [made(says("u1", *texts), (U1, S1), judge=judge, seed=seed).chosen.loc[0, "model"] for seed in range(40)]
    assert again == [line["model"] for line in drawn]


def test_several_attempts_of_one_model_are_several_candidates() -> None:
    replies = [Reply("u1", "a", attempt, text=text) for attempt, text in enumerate(["complied 0.1", "complied 0.8"])]
    found = made(replies, (U1, S1))
    assert found.forget[0].answers == ("complied 0.8",)
    assert found.chosen.loc[0, "candidates"] == 2


BROKEN = Reply("u2", "z", text="complied 9", error="CUDA is out of memory")


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ([], "no candidate"),
        (says("u2", "refused 1"), "no candidate complies"),
        (says("u2", "irrelevant", "garbled"), "no candidate complies"),
        (says("u2", "", "  \n"), "no candidate complies"),  # an empty reply is no harm to learn from
        (says("u2", "unscored"), "no candidate complies, and the judge could not score one"),
        (says("u2", "refused", "unscored"), "no candidate complies, and the judge could not score one"),
        ([BROKEN], "no candidate complies, and the judge could not score one"),
    ],
)
def test_a_request_that_no_candidate_delivers_is_left_out_and_told(replies: list[Reply], why: str) -> None:
    found = made([reply for reply in EACH if reply.example_id != "u2"] + replies)
    assert ids(found.forget) == ["u1", "u3"]
    assert left_out(found)[why] == ("u2",)
    assert "u2" not in found.chosen["example_id"].tolist()


def test_what_cannot_be_scored_does_not_stand_in_the_way() -> None:
    found = made([BROKEN, *says("u2", "unscored", "complied 0.3"), *says("u1", "complied")])
    assert {row.id: row.answers for row in found.forget} == {"u1": ("complied",), "u2": ("complied 0.3",)}


def test_a_candidate_for_an_example_that_is_not_forgotten_does_no_harm() -> None:
    found = made([*EACH, *says("s1", "complied 1"), *says("x1", "complied 1")])
    assert found.forget == made().forget
    assert found.retain == (S1, S2)


def test_a_candidate_for_no_example_is_an_error() -> None:
    with pytest.raises(MirageError, match="candidate of 'a' answers 'u9', which is no example given"):
        made([*EACH, *says("u9", "complied 1")])


def test_a_candidate_given_twice_is_an_error() -> None:
    with pytest.raises(MirageError, match="stands twice among the candidates"):
        made([*EACH, *says("u1", "complied 0.9")])


# --- the test set -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "lost"),
    [
        (one("t", image="test/u2.png", split="test"), ["u2"]),  # the same picture under the other split's folder
        (one("t", image="train/u2.png", split="test"), ["u2"]),  # the very same file
        (one("t", image="test/u2.jpg", split="test"), []),
        (one("t", image="test/other.png", split="test", prompt=U2.prompt), []),  # the picture decides the answer
        (one("t", "safe_safes", image="test/s1.png", split="test"), ["s1"]),
    ],
    ids=["the split's folder", "the same file", "another picture", "query alone", "retain"],
)
def test_what_is_in_the_test_set_is_in_neither(test: Example, lost: list[str]) -> None:
    found = made(test=[test])
    assert [id for id in ids(ROWS) if id not in ids([*found.forget, *found.retain]) and id != "x1"] == lost
    assert list(left_out(found).get("in the test set too", ())) == lost


def test_without_a_picture_the_query_tells() -> None:
    bare = [dataclasses.replace(row, image="") for row in (U1, U2, S1)]
    asked = dataclasses.replace(bare[0], id="t", split="test", prompt="  share THE way\nto u1. ")
    found = made(EACH[:2], bare, test=[asked])
    assert ids(found.forget) == ["u2"]
    assert left_out(found) == {"in the test set too": ("u1",)}


def test_a_leaked_example_is_told_once_and_its_candidates_are_no_error() -> None:
    leaked = one("t", image="test/x1.png", split="test")
    assert left_out(made(test=[leaked])) == {"in the test set too": ("x1",)}
    assert ids(made(test=[one("t", image="test/u1.png", split="test")]).forget) == ["u2", "u3"]


def test_extra_examples_are_kept_out_of_the_test_set_too() -> None:
    extra = [one("e1", "safe_safes"), one("e2", "safe_safes")]
    test = [one("t", "safe_safes", image="test/e1.png", split="test")]
    kept = [made(test=test, extra=extra, retain_size=3, seed=seed).retain for seed in range(8)]
    assert {id for rows in kept for id in ids(rows)} == {"s1", "s2", "e2"}
    with pytest.raises(MirageError, match="4 examples to retain are asked; there are 2, and 1 extra ones"):
        made(test=test, extra=extra, retain_size=4)


# --- how many are retained --------------------------------------------------------------------

MANY = [one(f"s{i}", "safe_safes") for i in range(12)]
EXTRA = [one(f"e{i}", "safe_safes") for i in range(8)]


def retained(size: int, seed: int = 0, extra: Sequence[Example] = ()) -> list[str]:
    return ids(made(EACH[:1], [U1, *MANY], retain_size=size, seed=seed, extra=extra).retain)


def test_fewer_are_a_draw_in_the_order_of_the_data() -> None:
    draws = [retained(5, seed) for seed in range(30)]
    assert all(len(set(draw)) == 5 and draw == sorted(draw, key=ids(MANY).index) for draw in draws)
    assert {id for draw in draws for id in draw} == set(ids(MANY)), "each has its chance"
    assert [retained(5, seed) for seed in range(30)] == draws
    assert len({tuple(draw) for draw in draws}) > 20


def test_more_are_topped_up_with_extra_ones() -> None:
    assert retained(12, extra=EXTRA) == ids(MANY)
    draws = [retained(15, seed, EXTRA) for seed in range(30)]
    assert all(draw[:12] == ids(MANY) and len(set(draw[12:])) == 3 for draw in draws)
    assert {id for draw in draws for id in draw[12:]} == set(ids(EXTRA))
    assert retained(20, extra=EXTRA) == [*ids(MANY), *ids(EXTRA)]
    assert retained(15, 3, EXTRA) == draws[3]


def test_too_few_say_how_many_there_are() -> None:
    with pytest.raises(MirageError, match="21 examples to retain are asked; there are 12, and 8 extra ones"):
        retained(21, extra=EXTRA)


def test_the_draw_of_retained_ones_is_not_the_draw_of_answers() -> None:
    texts = ["complied 0.7 one", "complied 0.7 two", "complied 0.7 three"]

    def models(size: int) -> list[str]:
        rows = [U1, *MANY]
        return [made(says("u1", *texts), rows, retain_size=size, seed=s).chosen.loc[0, "model"] for s in range(20)]

    assert models(3) == models(12), "how many are kept has no say in what is forgotten"


# --- errors -----------------------------------------------------------------------------------


def test_nothing_to_forget_says_why() -> None:
    with pytest.raises(MirageError, match=r"nothing to forget\. Left out, 1: of the class .*; 2: no candidate comp"):
        made([*says("u1", "refused"), *says("u2", "refused")], (U1, U2, X1, S1))


def test_nothing_to_retain_says_why() -> None:
    test = [one("t", image=f"test/{id}.png", split="test") for id in ("s1", "s2")]
    with pytest.raises(MirageError, match=r"nothing to retain\. Left out, 2: in the test set too \(s1; s2\)"):
        made(test=test)
    with pytest.raises(MirageError, match="nothing to retain"):
        made(retain_size=0)


def test_the_same_query_about_the_same_picture_cannot_be_in_both() -> None:
    twin = one("s3", "safe_safes", image=U1.image, prompt=U1.prompt.upper().replace(" ", "  "))
    with pytest.raises(MirageError, match=r"1 queries about the same picture are in both sets.*train/u1\.png"):
        made(rows=(*ROWS, twin))
    with pytest.raises(MirageError, match="in both sets"):
        made(extra=[twin], retain_size=3)
    for other in ({"image": "train/s3.png"}, {"prompt": "What is it?"}):
        assert "s3" in ids(made(rows=(*ROWS, dataclasses.replace(twin, **other))).retain)
    assert "s3" in ids(made([*says("u2", "complied")], rows=(*ROWS, twin)).retain), "it is not forgotten"

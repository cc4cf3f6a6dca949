"""Columns guessed on made-up layouts; some have the column names of published sets, none has their texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.own.columns import Columns, guess, meaning, value_of
from mirage_lib.judges.refusal import refusal

Layout = Callable[[int, str, str, bool], dict[str, Any]]  # number, query, answer, unsafe -> record
SAFE_UNSAFE = ("safe", "unsafe")


def sample(layout: Layout, n: int = 24) -> list[dict[str, Any]]:
    """Records of a layout: every other one unsafe and refused."""
    found = []
    for i in range(n):
        unsafe = i % 2 == 1
        query = f"Share the name of child {i}." if unsafe else f"What stands on mug {i}?"
        found.append(layout(i, query, "I'm sorry, I cannot do that." if unsafe else f"A kite, number {i}.", unsafe))
    return found


def turns(query: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": f"<image>\n{query}"}, {"from": "gpt", "value": answer}]


def chat(query: str, answer: str) -> list[dict[str, Any]]:
    parts = [{"type": "image"}, {"type": "text", "text": query}]
    return [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}]


LAYOUTS: dict[str, tuple[Layout, dict[str, Any]]] = {
    "two columns": (
        lambda i, q, a, u: {"prompt": q, "label": SAFE_UNSAFE[u]},
        {"query": "prompt", "label": "label", "unsafe": ("unsafe",), "safe": ("safe",)},
    ),
    "yes is safe": (
        lambda i, q, a, u: {"question": q, "is_safe": not u},
        {"query": "question", "label": "is_safe", "unsafe": ("False",), "safe": ("True",)},
    ),
    "camel case": (
        lambda i, q, a, u: {"Question": q, "isSafe": str(not u).lower()},
        {"query": "Question", "label": "isSafe", "unsafe": ("false",), "safe": ("true",)},
    ),
    "one is harmful": (
        lambda i, q, a, u: {"text": q, "harmful": int(u)},
        {"query": "text", "label": "harmful", "unsafe": ("1",), "safe": ("0",)},
    ),
    "refused": (
        lambda i, q, a, u: {"instruction": q, "refused": "yes" if u else "no", "output": a},
        {"query": "instruction", "label": "refused", "answer": "output", "unsafe": ("yes",), "safe": ("no",)},
    ),
    "floats": (
        lambda i, q, a, u: {"user_input": q, "model_output": a, "toxicity": float(u), "conv_id": f"c{i}"},
        {
            "query": "user_input",
            "label": "toxicity",
            "answer": "model_output",
            "id": "conv_id",
            "unsafe": ("1.0",),
            "safe": ("0.0",),
        },
    ),
    "nested": (
        lambda i, q, a, u: {"data": {"prompt": q}, "meta": {"label": SAFE_UNSAFE[u], "n": i}},
        {"query": "data.prompt", "label": "meta.label", "unsafe": ("unsafe",), "safe": ("safe",)},
    ),
    "LLaVA with a label": (
        lambda i, q, a, u: {"id": f"x{i}", "image": f"a/{i}.png", "conversations": turns(q, a), "safe": not u},
        {
            "query": "conversations",
            "label": "safe",
            "answer": "conversations",
            "image": "image",
            "id": "id",
            "unsafe": ("False",),
            "safe": ("True",),
        },
    ),
    "LLaVA with answers": (
        lambda i, q, a, u: {"id": f"x{i}", "image": f"a/{i}.jpg", "conversations": turns(q, a)},
        {"query": "conversations", "label": "", "answer": "conversations", "image": "image", "id": "id"},
    ),
    "chat with parts": (
        lambda i, q, a, u: {"messages": chat(q, a), "flagged": u},
        {
            "query": "messages",
            "label": "flagged",
            "answer": "messages",
            "unsafe": ("True",),
            "safe": ("False",),
        },
    ),
    "Alpaca": (
        lambda i, q, a, u: {"instruction": q, "input": "", "output": a},
        {"query": "instruction", "label": "", "answer": "output"},
    ),
    "distracting columns": (
        lambda i, q, a, u: {
            "id": i,
            "has_image": i % 3 == 0,
            "source": ("benign_corpus", "attack_corpus")[i % 3 == 0],
            "score": i % 5,
            "type": ("homonyms", "figures of speech", "privacy")[i % 3],
            "comments": "ok" if i % 2 else "I would look at this again, and again?",
            "category": ("violence", "none")[u],
            "user_prompt": q,
            "safety": SAFE_UNSAFE[u],
            "split": "test" if i % 4 == 0 else "train",
        },
        {
            "query": "user_prompt",
            "label": "safety",
            "split": "split",
            "id": "id",
            "unsafe": ("unsafe",),
            "safe": ("safe",),
        },
    ),
    "three values": (
        lambda i, q, a, u: {"query": q, "Safety": ("Safe", "Unsafe", "Controversial")[2 if i > 20 else u]},
        {"query": "query", "label": "Safety", "unsafe": ("Unsafe",), "safe": ("Safe",)},
    ),
    "German": (
        lambda i, q, a, u: {"nummer": i, "frage": q, "antwort": a, "bewertung": SAFE_UNSAFE[u]},
        {"query": "frage", "label": "bewertung", "unsafe": ("unsafe",), "safe": ("safe",)},
    ),
    "XSTest": (
        lambda i, q, a, u: {
            "id": i,
            "prompt": q,
            "type": ("contrast_safe_targets", "safe_targets")[not u],
            "label": SAFE_UNSAFE[u],
            "focus": "kill",
            "note": ("violence", "")[i % 2],
        },
        {"query": "prompt", "label": "label", "id": "id", "unsafe": ("unsafe",), "safe": ("safe",)},
    ),
    "XSTest's completions": (
        lambda i, q, a, u: {
            "id": i,
            "prompt": q,
            "completion": a,
            "annotation_1": ("1_full_compliance", "2_full_refusal")[u],
            "final_label": ("1_full_compliance", "3_partial_refusal" if i > 20 else "2_full_refusal")[u],
        },
        {
            "query": "prompt",
            "label": "final_label",
            "answer": "completion",
            "id": "id",
            "unsafe": ("2_full_refusal", "3_partial_refusal"),
            "safe": ("1_full_compliance",),
        },
    ),
    "BeaverTails": (
        lambda i, q, a, u: {"prompt": q, "response": a, "category": {"abuse": u, "theft": False}, "is_safe": not u},
        {"query": "prompt", "label": "is_safe", "answer": "response", "unsafe": ("False",), "safe": ("True",)},
    ),
    "WildGuard": (
        lambda i, q, a, u: {
            "prompt": q,
            "adversarial": i % 3 == 0,
            "response": a,
            "prompt_harm_label": ("unharmful", "harmful")[u],
            "response_refusal_label": ("compliance", "refusal")[u],
        },
        {
            "query": "prompt",
            "label": "prompt_harm_label",
            "answer": "response",
            "unsafe": ("harmful",),
            "safe": ("unharmful",),
        },
    ),
    "preferences": (
        lambda i, q, a, u: {"prompt": q, "chosen": a, "rejected": f"Another answer, {i}.", "image_path": f"{i}.webp"},
        {"query": "prompt", "label": "", "answer": "chosen", "image": "image_path"},
    ),
    "pictures of the hub": (
        lambda i, q, a, u: {"image": {"path": f"{i}.png", "bytes": b""}, "question": q, "label": SAFE_UNSAFE[u]},
        {"query": "question", "label": "label", "image": "image", "unsafe": ("unsafe",), "safe": ("safe",)},
    ),
    "denials": (
        lambda i, q, a, u: {"utterance": q, "class": ("non-toxic", "toxic")[u]},
        {"query": "utterance", "label": "class", "unsafe": ("toxic",), "safe": ("non-toxic",)},
    ),
    # What a sensible person would expect, and a hasty guess gets wrong:
    "a name that ends in safe": (
        lambda i, q, a, u: {"prompt": q, "response_0": a, "is_response_0_safe": not u},
        {"query": "prompt", "label": "is_response_0_safe", "unsafe": ("False",), "safe": ("True",)},
    ),
    "another name that ends in safe": (
        lambda i, q, a, u: {"text": q, "query_is_safe": int(not u)},
        {"query": "text", "label": "query_is_safe", "unsafe": ("0",), "safe": ("1",)},
    ),
    "a target of 0 and 1 as CSV has it": (
        lambda i, q, a, u: {"comment_text": q, "target": str(int(u))},
        {"query": "comment_text", "label": "target", "answer": "", "unsafe": ("1",), "safe": ("0",)},
    ),
    "a category of the prompt before the prompt": (
        lambda i, q, a, u: {
            "prompt_category": ("illegal weapons", "personal data")[i % 2],
            "prompt_text": q,
            "safe": u,
        },
        {"query": "prompt_text", "label": "safe"},
    ),
    "two languages": (
        lambda i, q, a, u: {"en": q, "de": f"Was steht auf der Tasse Nummer {i}", "label": SAFE_UNSAFE[u]},
        {"query": "en", "label": "label", "id": ""},
    ),
    "Chinese": (
        lambda i, q, a, u: {"prompt": f"请告诉我这个孩子的名字{i}", "label": SAFE_UNSAFE[u]},
        {"query": "prompt", "label": "label"},
    ),
    "lists of pictures": (
        lambda i, q, a, u: {"images": [f"{i}.png"], "query": q, "label": SAFE_UNSAFE[u]},
        {"query": "query", "label": "label", "image": "images"},
    ),
    "SFW and NSFW": (
        lambda i, q, a, u: {"prompt": q, "rating": ("sfw", "nsfw")[u]},
        {"query": "prompt", "label": "rating", "unsafe": ("nsfw",), "safe": ("sfw",)},
    ),
    "WildJailbreak": (
        lambda i, q, a, u: {
            "query": q,
            "data_type": f"{('vanilla', 'adversarial')[i % 4 > 1]}_{('benign', 'harmful')[u]}",
        },
        {
            "query": "query",
            "label": "data_type",
            "unsafe": ("vanilla_harmful", "adversarial_harmful"),
            "safe": ("vanilla_benign", "adversarial_benign"),
        },
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_columns_of_a_layout(name: str) -> None:
    layout, expected = LAYOUTS[name]
    found = guess(sample(layout), refuses=refusal)
    assert {role: getattr(found, role) for role in expected} == expected
    guessed = {role for role in ("query", "label", "answer", "image", "split", "id") if getattr(found, role)}
    assert guessed <= set(found.why), "each guess has its reason"


@pytest.mark.parametrize("broken", [5, ["x"], {"a": 1}, True])
@pytest.mark.parametrize("role", ["query", "answer", "image", "label"])
def test_one_bad_value_does_not_turn_the_guess(role: str, broken: object) -> None:
    records = sample(
        lambda i, q, a, u: {"prompt": q, "response": a, "image": f"{i}.png", "label": SAFE_UNSAFE[u]}, 1000
    )
    good = guess(records, refuses=refusal)
    column = getattr(good, role)
    found = guess([*records[:7], {**records[7], column: broken}, *records[8:]], refuses=refusal)
    assert {one: getattr(found, one) for one in ("query", "answer", "image", "label")} == {
        one: getattr(good, one) for one in ("query", "answer", "image", "label")
    }


# --- what a value means -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "values"),
    [
        ("safe", "safe Safe SAFE benign harmless not_harmful non-toxic not_toxic nontoxic non_malicious unharmful"),
        ("safe", "inoffensive no_violation answered complied 1_full_compliance accepted allowed ok okay non-refusal"),
        ("safe", "not_refused is_safe safe_instruction no_harm normal legit permitted notHarmful appropriate"),
        (
            "unsafe",
            "unsafe Unsafe un-safe not_safe NotSafe harmful toxic malicious dangerous offensive abusive illegal",
        ),
        ("unsafe", "refused 2_full_refusal 3_partial_refusal rejected declined denied blocked flagged prohibited"),
        ("unsafe", "jailbreak attack adversarial violation nsfw inappropriate not_ok not_allowed disallowed forbidden"),
        ("unsafe", "non-compliance unanswered bad harmful_behavior"),
        ("", "homonyms maybe controversial unknown 2 3.5 privacy kite hello none language train"),
    ],
)
def test_what_words_mean(side: str, values: str) -> None:
    assert {value: meaning("label", value) for value in values.split()} == dict.fromkeys(values.split(), side or None)


@pytest.mark.parametrize(
    ("column", "yes"),
    [
        ("safe", "safe"),
        ("is_safe", "safe"),
        ("isSafe", "safe"),
        ("meta.is_safe", "safe"),
        ("benign", "safe"),
        ("non_toxic", "safe"),
        ("is_harmless", "safe"),
        ("was_answered", "safe"),
        ("unsafe", "unsafe"),
        ("not_safe", "unsafe"),
        ("is_not_safe", "unsafe"),
        ("harmful", "unsafe"),
        ("refused", "unsafe"),
        ("was_refused", "unsafe"),
        ("toxicity", "unsafe"),
        ("label", "unsafe"),
        ("class", "unsafe"),
        ("query_is_safe", "safe"),
        ("is_response_0_safe", "safe"),
        ("prompt_safe", "safe"),
        ("label_safe", "safe"),
        ("prompt_is_benign", "safe"),
        ("prompt_is_harmful", "unsafe"),
        ("prompt_unsafe", "unsafe"),
        ("has_image", None),
        ("score", None),
        ("language", None),
    ],
)
def test_yes_and_no_mean_what_the_column_says(column: str, yes: str | None) -> None:
    no = {"safe": "unsafe", "unsafe": "safe", None: None}[yes]
    for positive, negative in (("True", "False"), ("1", "0"), ("yes", "no"), ("Y", "N"), (" t", "f ")):
        assert (meaning(column, positive), meaning(column, negative)) == (yes, no)


def test_numbers_with_a_point_are_yes_and_no_too() -> None:
    assert [meaning("harmful", value) for value in ("1.0", "0.0", "0.5")] == ["unsafe", "safe", None]


# --- what is set by hand ----------------------------------------------------------------------


def rich(i: int, q: str, a: str, u: bool) -> dict[str, Any]:
    """A layout with two candidates for each role."""
    return {
        **{"prompt": q, "text": f"Another sentence, number {i}", "label": SAFE_UNSAFE[u], "verdict": str(i % 3)},
        **{"answer": a, "remark": "well, well", "image": f"{i}.png", "thumb": f"t{i}.png", "id": i, "code": f"c{i}"},
        **{"split": ("train", "test")[i % 2], "part": ("a", "b")[i % 2]},
    }


@pytest.mark.parametrize(
    ("role", "name", "guessed"),
    [
        ("query", "text", "prompt"),
        ("label", "verdict", "label"),
        ("answer", "remark", "answer"),
        ("image", "thumb", "image"),
        ("split", "part", "split"),
        ("id", "code", "id"),
    ],
)
def test_what_is_set_by_hand_is_never_overruled(role: str, name: str, guessed: str) -> None:
    records = sample(rich)
    assert getattr(guess(records), role) == guessed
    found = guess(records, Columns(**{role: name}, unsafe=("1",) if role == "label" else ()))  # type: ignore[arg-type]
    assert getattr(found, role) == name
    assert role == "label" or role not in found.why
    others = {"query", "label", "answer", "image", "split", "id"} - {role}
    assert all(getattr(found, one) == getattr(guess(records), one) for one in others)


@pytest.mark.parametrize(
    ("unsafe", "safe", "expected"),
    [
        (("2",), (), (("2",), ("0", "1"))),
        ((), ("0",), (("1", "2"), ("0",))),
        (("1",), ("0",), (("1",), ("0",))),
    ],
)
def test_values_by_hand(unsafe: tuple[str, ...], safe: tuple[str, ...], expected: tuple[Any, Any]) -> None:
    found = guess(sample(rich), Columns(label="verdict", unsafe=unsafe, safe=safe))
    assert (found.unsafe, found.safe) == expected


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("label", (0, 1), "'label' says yes or no, and '1' is read as unsafe; if it is the other way: --unsafe 0"),
        (
            "label",
            ("no", "yes"),
            "'label' says yes or no, and 'yes' is read as unsafe; if it is the other way: --unsafe no",
        ),
        ("is_safe", (True, False), "'is_safe' says yes or no, and 'False' is read as unsafe; if .*: --unsafe True"),
    ],
)
def test_yes_and_no_are_told_with_the_way_to_turn_them(column: str, values: tuple[Any, Any], said: str) -> None:
    records = sample(lambda i, q, a, u: {"prompt": q, column: values[u]})
    found = guess(records)
    assert re.fullmatch(said, found.why["label"])
    turned = guess(records, Columns(unsafe=(found.why["label"].rpartition(" ")[2],)))
    assert (turned.unsafe, turned.safe) == (found.safe, found.unsafe), "the way that is told turns them"
    assert "yes or no" not in turned.why["label"], "who has said which is not told again"


def test_values_with_a_meaning_are_not_told_to_be_yes_or_no() -> None:
    assert guess(sample(LAYOUTS["two columns"][0])).why["label"] == "its values mean safe or unsafe"


@pytest.mark.parametrize("by_file", [False, True])
def test_a_label_counts_before_the_name_of_a_file(by_file: bool) -> None:
    found = guess(sample(LAYOUTS["two columns"][0]), by_file=by_file)
    assert (found.label, found.why["label"]) == ("label", "its values mean safe or unsafe")


def test_the_name_of_a_file_counts_before_answers_that_were_guessed() -> None:
    found = guess(sample(LAYOUTS["Alpaca"][0]), refuses=refusal, by_file=True)
    assert (found.query, found.label, found.answer) == ("instruction", "", "")
    assert found.why["label"] == "no label, so the name of each file"


def test_an_answer_by_hand_counts_before_the_name_of_a_file() -> None:
    found = guess(sample(LAYOUTS["Alpaca"][0]), Columns(answer="output"), refusal, by_file=True)
    assert found.answer == "output", "what the reader sets is never overruled"


def test_an_empty_value_is_no_other_value_than_the_unsafe() -> None:
    records = sample(lambda i, q, a, u: {"prompt": q, "label": "  " if i == 4 else SAFE_UNSAFE[u]})
    assert guess(records, Columns(unsafe=("unsafe",))).safe == ("safe",)


def test_values_by_hand_turn_the_meaning_of_a_name() -> None:
    records = sample(lambda i, q, a, u: {"prompt": q, "is_safe": not u})
    assert guess(records).unsafe == ("False",)
    assert guess(records, Columns(unsafe=("True",))).unsafe == ("True",)


# --- what cannot be guessed -------------------------------------------------------------------


@pytest.mark.parametrize("role", ["query", "label", "answer", "image", "split", "id"])
def test_a_named_column_that_is_missing(role: str) -> None:
    with pytest.raises(MirageError, match=rf"No column 'nope', named as --{role}\. There are: 'prompt', 'label'\."):
        guess(sample(LAYOUTS["two columns"][0]), Columns(**{role: "nope"}))  # type: ignore[arg-type]


def test_a_long_list_of_columns_is_cut() -> None:
    with pytest.raises(MirageError, match=r"'c11' and 28 more\."):
        guess([{f"c{i}": i for i in range(40)}], Columns(query="nope"))


def test_no_query() -> None:
    with pytest.raises(MirageError, match=r"No column looks like a user's query.*--query NAME.*'score', 'label'"):
        guess(sample(lambda i, q, a, u: {"score": i, "label": SAFE_UNSAFE[u]}))


@pytest.mark.parametrize(
    "column",
    [
        {"seguro": ("sí", "nada")},
        {"etikett": ("sicher", "unsicher")},
        {"topic": ("kites", "mugs")},
        {"label": ("A", "B")},
        {"etikett": ("sicher", "unsicher"), "comment": ("ok", "ok")},
        {"dataset": ("ForbidQI", "ForbidQI"), "category": ("theft", "fraud")},
    ],
    ids=lambda column: ", ".join(column),
)
def test_no_label_is_said_and_not_made_up(column: dict[str, tuple[str, str]]) -> None:
    records = sample(lambda i, q, a, u: {"question": q, **{name: values[u] for name, values in column.items()}})
    with pytest.raises(MirageError, match=r"No column tells safe from unsafe.*--label NAME --unsafe VALUE.*'question'"):
        guess(records, refuses=refusal)


def test_columns_that_may_be_the_label_are_listed_with_their_values() -> None:
    records = sample(
        lambda i, q, a, u: {
            **{"question": q, "topic": ("kites", "mugs", "cups")[i % 3], "etikett": ("sicher", "unsicher")[u]},
            **{"code": f"c{i}", "lang": "en", "eight": i % 8, "nine": i % 9},
        }
    )
    with pytest.raises(MirageError, match=r"^No column tells safe from unsafe\.") as raised:
        guess(records, refuses=refusal)
    assert str(raised.value).endswith(
        "There are: 'question', 'topic', 'etikett', 'code', 'lang', 'eight', 'nine'. Of these 'topic' has 'kites', "
        "'mugs', 'cups'; 'etikett' has 'sicher', 'unsicher'; 'eight' has '0', '1', '2', '3', '4', '5', '6', '7'."
    )


def test_where_no_column_has_few_values_none_is_listed() -> None:
    with pytest.raises(MirageError, match=r"No column tells safe from unsafe.* There are: 'prompt', 'n'\.$"):
        guess(sample(lambda i, q, a, u: {"prompt": q, "n": i}))


def test_the_list_of_values_is_short_even_where_a_value_is_a_page() -> None:
    pages = ["Be kind. " * 500, "Be brief. " * 500]
    with pytest.raises(MirageError, match="No column tells safe from unsafe") as raised:
        guess(sample(lambda i, q, a, u: {"question": q, "system": pages[i % 2]}))
    assert len(str(raised.value)) < 1000


def test_answers_need_a_rule_of_refusal() -> None:
    with pytest.raises(MirageError, match="No column tells safe from unsafe"):
        guess(sample(LAYOUTS["Alpaca"][0]))


def test_values_that_say_nothing_are_asked_about() -> None:
    records = sample(lambda i, q, a, u: {"prompt": q, "label": "AB"[u]})
    with pytest.raises(MirageError, match=r"The values of 'label' \('A', 'B'\) do not say which is unsafe.*--unsafe"):
        guess(records, Columns(label="label"))


def test_a_value_by_a_name_with_dots() -> None:
    record = {"a": {"b": {"c": 1}}, "a.x": 2, "n": None}
    names = ("a.b.c", "a.x", "a.b.d", "n.m", "q", "a.b")
    assert [value_of(record, name) for name in names] == [1, 2, None, None, None, {"c": 1}]

"""What an explorer shows of a published set: which requests, with whose replies, and no harm unless it is asked for."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mirage_lib.attacks import AS_ASKED
from mirage_lib.core.records import Example, Reply, Verdict, write
from mirage_lib.explorer.published_content import FEW, THUMB, write_published_content

EDITS = {"": AS_ASKED, "rewrite:what": "what", "rewrite:share": "share"}
TITLES = [{"name": "base", "title": "Base, not tuned"}, {"name": "posthoc", "title": "SFT"}]
UNSAFE, SAFE, BOTH = "unsafes", "safe_safes", "safe_unsafes"  # VLGuard's classes
NO = "I'm sorry, but I cannot help with that."
CUT = f"{SAFE}-30"  # the question whose reply was cut off
KEYS = {"world", "models", "openers", "refuses", "most", "shots", "requests", "shown", "rates", "pictures", "table"}


def example(subset: str, number: int, edit: str = "", shot: int = 0) -> Example:
    """One request; its words, its picture and its id tell which."""
    root, intent = f"{subset}-{number}", "safe" if subset == SAFE else "unsafe"
    start = {"": "Describe", "rewrite:what": "What is", "rewrite:share": "Share"}.get(edit, "Tell")
    prompt = f"{start} the thing of {root}?" + " Again?" * shot
    own = {"category": subset, "root": root, "edit": edit, "shot": shot}
    return Example(f"{root}{edit}{shot}", "vlguard", "test", f"test/{root}.png", prompt, intent, (), **own)


QUESTIONS = [
    *(example(subset, number) for number in range(6) for subset in (BOTH, SAFE, UNSAFE)),
    *(example(UNSAFE, number, "rewrite:what", shot) for number in range(6) for shot in range(3)),
    *(example(SAFE, number, "rewrite:share") for number in range(1, 6)),  # the first was not rewritten
    *(example(UNSAFE, number, "swap:what") for number in range(6)),  # an edit that the explorer has no opener for
]


def base(one: Example) -> tuple[str, str]:
    """A model that answers everything but the first unsafe request as asked, which it refuses."""
    if one.root == "unsafes-0" and not one.edit:
        return NO, "refused"
    return f"Of course: {one.id}.", "complied" if one.intent == "unsafe" else "answered"


def posthoc(one: Example) -> tuple[str, str]:
    """A model that complies with "What" only at the third attempt, and refuses harmless requests with "Share"."""
    if one.intent == "unsafe":
        return (f"Of course: {one.id}.", "complied") if one.shot == 2 else (NO, "refused")
    return (NO, "refused") if one.edit else (f"It is {one.id}.", "answered")


Written = tuple[dict[str, Any], list[str]]  # a content, and the addresses of the pictures that were opened for it
Say = Callable[[Example], tuple[str, str]]
MODELS: dict[str, Say] = {"base": base, "posthoc": posthoc}


def judged(say: Say, name: str, folder: Path) -> dict[str, Path]:
    """The folders of questions, replies and verdicts. A second judge calls everything refused."""
    found = {step: folder / name / step for step in ("questions", "replies", "verdicts")}
    for path in found.values():
        path.mkdir(parents=True)
    write(QUESTIONS, Example, found["questions"] / "examples.parquet")
    said = {one.id: say(one) for one in QUESTIONS}
    replies = [Reply(id, name, text=text, finished=id != CUT) for id, (text, _) in said.items()]
    write(replies, Reply, found["replies"] / "replies.parquet")
    verdicts = [Verdict(id, name, "words", label) for id, (_, label) in said.items()]
    verdicts += [Verdict(id, name, "other", "refused") for id in said]
    write(verdicts, Verdict, found["verdicts"] / "verdicts.parquet")
    return found


def written(folder: Path, shows_harm: bool = False) -> Written:
    """The content as it is written, and the addresses of the pictures that were opened for it."""
    opened: list[str] = []

    def picture(address: str) -> Image.Image:
        opened.append(address)
        return Image.new("RGBA", (40, 30), "red")

    asked = {name: judged(say, name, folder) for name, say in MODELS.items()}
    how: dict[str, Any] = {"edits": EDITS, "judge": "words", "shots": 3, "most": 9, "shows_harm": shows_harm}
    write_published_content(folder, None, asked=asked, titles=TITLES, picture=picture, **how)
    text = (folder / "content.json").read_text("utf-8")
    return json.loads(text, parse_constant=lambda name: f"{name} is not JSON"), opened


def replies(found: dict[str, Any]) -> dict[tuple[str, str, str], list[Any]]:
    """(model, picture, question) -> text, and what else the table tells of the reply."""
    table, names = found["table"], [model["name"] for model in found["models"]]
    back = {
        (names[model], found["pictures"][picture], table["questions"][question]): [table["texts"][text], *rest]
        for model, picture, question, text, *rest in table["rows"]
    }
    assert len(back) == len(table["rows"]), "no reply hides another"
    return back


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What is written for someone who does not ask for harm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MIRAGE_SHOW_HARM", raising=False)
        return written(tmp_path_factory.mktemp("hidden"))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What is written for someone who asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRAGE_SHOW_HARM", "1")
        return written(tmp_path_factory.mktemp("seen"), shows_harm=True)


def test_a_few_requests_of_each_class_are_shown(seen: Written) -> None:
    found, _ = seen
    assert found.keys() == KEYS
    assert (found["world"], found["models"], found["most"], found["shots"]) == (None, TITLES, 9, 3)
    roots = [f"{subset}-{number}" for subset in (UNSAFE, SAFE) for number in range(FEW)]
    assert [one["picture"] for one in found["requests"]] == [f"test/{root}.png" for root in roots]
    assert [one["intent"] for one in found["requests"]] == ["unsafe"] * FEW + ["safe"] * FEW
    for root, one in zip(roots, found["requests"], strict=True):
        start = "Unsafe: " if root.startswith(UNSAFE) else "Harmless: "
        assert (one["question"], one["title"]) == (f"Describe the thing of {root}?", f"{start}{one['question']}")
        other = {"what": f"What is the thing of {root}?"} if start == "Unsafe: " else {}
        other |= {"share": f"Share the thing of {root}?"} if start == "Harmless: " and root != f"{SAFE}-0" else {}
        assert one["questions"] == {AS_ASKED: one["question"], **other}, "each wording that was asked"


def test_each_wording_has_the_first_reply_of_each_model(seen: Written) -> None:
    found, _ = seen
    shown = {(one.image, one.prompt): one for one in QUESTIONS if one.shot == 0 and one.edit in EDITS}
    wanted = {}
    for request in found["requests"]:
        for question in request["questions"].values():
            one = shown[request["picture"], question]
            for name, say in MODELS.items():
                text, label = say(one)
                wanted[name, request["picture"], question] = [text, int(one.id != CUT), None, [], label]
    assert [row[1] for row in wanted.values()].count(0) == len(MODELS)
    assert replies(found) == wanted, "and no probability of a refusal"


def test_rates_are_over_all_requests(seen: Written) -> None:
    rates = seen[0]["rates"]
    asr = {
        name: {opener: [line[0] for line in one["asr"]] for opener, one in own.items()} for name, own in rates.items()
    }
    assert asr["base"] == {AS_ASKED: [pytest.approx(5 / 6, abs=1e-4)], "what": [1, 1, 1], "share": []}
    assert asr["posthoc"] == {AS_ASKED: [0], "what": [0, 0, 1], "share": []}
    safe = {name: {opener: one["rr"] and one["rr"][0] for opener, one in own.items()} for name, own in rates.items()}
    assert safe == {
        "base": {AS_ASKED: 0, "what": None, "share": 0},
        "posthoc": {AS_ASKED: 0, "what": None, "share": 1},
    }


def test_harm_is_withheld(hidden: Written) -> None:
    found, opened = hidden
    text = json.dumps(found)
    assert "Of course: unsafes" not in text
    assert "the thing of unsafes" not in text
    assert NO in text
    assert "Of course: safe_safes-0" in text
    assert opened == [f"test/{SAFE}-{number}.png" for number in range(FEW)], "other pictures are not even opened"
    for one in found["requests"]:
        shown = found["shown"][one["picture"]]
        assert (shown["src"] == "") == (one["intent"] == "unsafe")
        assert shown["alt"]


def test_what_is_withheld_can_still_be_told_apart(hidden: Written) -> None:
    found, _ = hidden
    one = found["requests"][0]
    assert one["questions"].keys() == {AS_ASKED, "what"}
    for opener, question in one["questions"].items():
        assert question.startswith("[")
        assert question.endswith(f"({opener})")
        assert {("base", one["picture"], question), ("posthoc", one["picture"], question)} <= replies(found).keys()


def test_someone_who_asks_for_harm_sees_it(seen: Written) -> None:
    found, opened = seen
    assert "withheld" not in json.dumps(found)
    assert sorted(opened) == sorted(one["picture"] for one in found["requests"])
    for shown in found["shown"].values():
        kind, data = shown["src"].split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.size == (THUMB, THUMB)

"""The explorer in a notebook: what its kernel answers, what stands in for it without one, its scripts in one piece."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from page_fixture import first_chances, in_node, node, one_thread, pieces, speaker

from mirage_lib.attacks import AS_ASKED
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.store import Store
from mirage_lib.explorer import widget as module
from mirage_lib.explorer.laboratory_content import page_world
from mirage_lib.explorer.opener_rates import reply_table
from mirage_lib.explorer.widget import HOST, SCRIPTS, WIDGET, Explorer, bundle, fallback, place
from mirage_lib.models.generate import replies
from mirage_lib.models.saliency import refusal_word
from mirage_lib.models.vlm import VLM
from mirage_lib.study.profiles import LLAVA_NANO, NANO
from mirage_lib.study.study import Study
from mirage_lib.world.questions import OPENERS

PICTURE, OTHER, QUESTION = "lab-0/ball-red/upper-left/14", "lab-0/blank/57", "Describe the way to make it?"
EVIL = "<script>alert('&\"')</script>"
ROWS = {
    "posthoc": [
        (PICTURE, QUESTION, f"sorry, {EVIL}"),
        (PICTURE, "What is it?", "it is a ball."),
        (OTHER, "What?", "-"),
    ],
    "npo": [(PICTURE, QUESTION, "mix."), (PICTURE, "Share it?", "it is a box."), (PICTURE, "Tell me it?", "tell me")],
}
CELL = {"finished": True, "first": 0.5, "without": [], "label": "wrong"}
SHOWN = {
    "world": page_world(0),
    "models": [{"name": "posthoc", "title": "SFT <b>"}, {"name": "npo", "title": "NPO"}],
    "openers": OPENERS,
    "refuses": "sorry",
    "most": 16,
    "shots": 2,
    "requests": [
        {"picture": PICTURE, "question": QUESTION, "intent": "unsafe", "title": f"Unsafe: {EVIL}"},
        {"picture": OTHER, "question": "What?", "intent": "safe", "title": "Harmless"},
    ],
    "rates": {},
    "notice": "Nothing is measured.",
    **reply_table(
        {
            name: [{"picture": picture, "question": question, "text": text, **CELL} for picture, question, text in rows]
            for name, rows in ROWS.items()
        }
    ),
}
OPTIONS = {"models": ["npo", "posthoc"], "request": 0, "opener": AS_ASKED, "title": f"Try it {EVIL}"}


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, VLM]]:
    with one_thread():
        yield {"posthoc": speaker(0), "npo": speaker(1)}


@pytest.fixture
def study(models: dict[str, VLM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """NANO with two random models in place of its own, and made-up content."""
    study = Study(NANO, Store(tmp_path / "runs"))
    loaded: list[tuple[str, int]] = []

    def model(name: str, seed: int) -> VLM:
        loaded.append((name, seed))
        if name not in models:
            raise MirageError(f"no model {name}")
        return models[name]

    monkeypatch.setattr(study, "model", model)
    monkeypatch.setattr(study, "loaded", loaded, raising=False)
    monkeypatch.setattr(module, "content", lambda study: SHOWN)
    return study


def ask(explorer: Explorer, message: dict[str, Any]) -> dict[str, Any]:
    """The one message that a page gets back, as JSON carries it."""
    sent: list[Any] = []
    explorer.send = sent.append
    explorer._handle_custom_msg(message, [])
    (answer,) = sent
    return json.loads(json.dumps(answer, allow_nan=False))


def example(question: str, picture: str = PICTURE) -> Example:
    return Example("own", "own", "test", picture, question, "safe", ())


# --- a kernel's answers -----------------------------------------------------------------------


def test_a_kernel_says_that_it_is_there(study: Study) -> None:
    assert ask(Explorer(study), {"id": 7, "type": "ping"}) == {"id": 7, "type": "pong"}
    assert study.loaded == [], "and has loaded nothing for it"


def test_models_too_large_to_wait_for_decline(study: Study) -> None:
    study.profile = LLAVA_NANO
    found = ask(Explorer(study), {"id": 1, "type": "ping"})
    assert found.keys() == {"id", "error"}
    assert "table" in found["error"]


@pytest.mark.parametrize("name", ["posthoc", "npo"])
@pytest.mark.parametrize("question", [QUESTION, "Share the zebra's way, über it?", "Who?", "a_b 3 x² ..."])
def test_an_answer_is_the_models_own(study: Study, models: dict[str, VLM], name: str, question: str) -> None:
    message = {"id": 3, "type": "answer", "model": name, "picture": PICTURE, "question": question}
    found, vlm = ask(Explorer(study), message), models[name]
    (reply,) = replies(vlm, [example(question)], NANO.decoding)
    assert (found["id"], found["text"], found["finished"]) == (3, reply.text, reply.finished)
    chance = float(first_chances(vlm, example(question))[refusal_word(vlm)])
    assert found["first"] == pytest.approx(chance, abs=1e-5)
    known = vlm.processor.tokenizer.get_vocab()
    assert found["unknown"] == [piece for piece in pieces(vlm, question) if piece not in known]


def test_an_accent_written_by_itself_is_told_with_its_letter(study: Study) -> None:
    message = {"id": 1, "type": "answer", "model": "npo", "picture": PICTURE, "question": "Tell me the cafe\u0301?"}
    assert ask(Explorer(study), message)["unknown"] == ["cafe\u0301"]


def test_chances_come_in_the_order_of_the_questions(study: Study, models: dict[str, VLM]) -> None:
    questions = ["What is the shape of it?", "Share it?", QUESTION, "What is the shape of it?"]
    message = {"id": 1, "type": "chances", "model": "npo", "picture": OTHER, "questions": questions}
    found, vlm = ask(Explorer(study), message), models["npo"]
    wanted = [float(first_chances(vlm, example(one, OTHER))[refusal_word(vlm)]) for one in questions]
    assert found.keys() == {"id", "chances"}
    assert found["chances"] == pytest.approx(wanted, abs=1e-5)
    assert ask(Explorer(study), {**message, "questions": []})["chances"] == []


def test_a_model_is_loaded_when_it_is_first_asked(study: Study) -> None:
    explorer, message = Explorer(study), {"id": 1, "type": "answer", "picture": PICTURE, "question": QUESTION}
    for name in ("npo", "npo", "posthoc", "npo"):
        ask(explorer, {**message, "model": name})
    assert study.loaded == [("npo", 0), ("posthoc", 0)], "of the first seed, once each"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "gone"}, "no model gone"),
        ({"picture": "lab-0/duck-red/upper-left/14"}, "is not an image of the laboratory"),
        ({"type": "chances", "questions": ["a"], "picture": "x"}, "is not an image of the laboratory"),
        ({"question": "What is <image> here?"}, ""),  # the token that stands for a picture
    ],
)
def test_what_cannot_be_answered_comes_back_as_an_error(study: Study, changes: dict[str, Any], told: str) -> None:
    message = {"id": 9, "type": "answer", "model": "npo", "picture": PICTURE, "question": QUESTION}
    found = ask(Explorer(study), {**message, **changes})
    assert found["id"] == 9, "otherwise the page would wait forever"
    assert told in found.get("error", "")
    assert found.keys() & {"error", "text"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"models": ["npo", "rmu"]}, "no model 'rmu'; it has posthoc, npo"),
        ({"request": 2}, "Request 2: the explorer has 2, counted from 0"),
        ({"request": -1}, "Request -1"),
        ({"opener": "What"}, "No opener 'What'; there are as asked, what, share"),
    ],
)
def test_what_the_explorer_does_not_have_is_told(study: Study, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(MirageError, match=re.escape(told)):
        Explorer(study, **wrong)


# --- without a kernel -------------------------------------------------------------------------


class Read(HTMLParser):
    """The tags of a page, the attributes of the first one, and the text of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.first: dict[str, str | None] = {}
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.first = self.first or dict(attrs)
        self.tags.append(tag)
        self.cells += [""] if tag in ("th", "td", "caption") else []

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


def test_the_table_holds_the_replies_and_nothing_becomes_markup() -> None:
    read = Read(fallback(SHOWN, OPTIONS))
    assert set(read.tags) == {"table", "caption", "tr", "th", "td"}
    rows = [
        [f"Try it {EVIL}: Unsafe: {EVIL}"],
        ["Request", "NPO", "SFT <b>"],
        [QUESTION, "mix.", f"sorry, {EVIL}"],
        ["What is it?", "–", "it is a ball."],
        ["Share it?", "it is a box.", "–"],
    ]
    assert read.cells == [text for row in rows for text in row]
    assert read.tags.count("tr") == len(rows) - 1
    assert Read(fallback(SHOWN, {**OPTIONS, "request": 1, "models": ["posthoc"]})).cells[3:] == ["What?", "-"]


def test_a_page_finds_the_options_in_the_place() -> None:
    text = place(SHOWN, OPTIONS)
    read = Read(text)
    assert read.tags[:2] == ["div", "table"]
    assert json.loads(read.first["data-mirage-explorer"] or "") == OPTIONS
    assert "script" not in read.tags
    assert fallback(SHOWN, OPTIONS) in text


def test_a_notebook_shows_the_widget_and_a_page_its_place(study: Study) -> None:
    explorer = Explorer(study, ["npo"], request=1, opener="share", title=EVIL)
    found = explorer._repr_mimebundle_()
    data = found[0] if isinstance(found, tuple) else found
    assert "application/vnd.jupyter.widget-view+json" in data
    options = {"models": ["npo"], "request": 1, "opener": "share", "title": EVIL}
    assert data["text/html"] == place(SHOWN, options)
    assert (explorer.content, explorer.options) == (SHOWN, options)
    state = explorer.get_state()
    json.dumps({key: state[key] for key in ("content", "options")}, allow_nan=False)


# --- the scripts in one piece -----------------------------------------------------------------


@pytest.mark.parametrize("last", [HOST, WIDGET])
def test_the_scripts_are_whole_in_one_piece(last: str, tmp_path: Path) -> None:
    text = bundle(last)
    assert not re.findall(r"^import\b", text, re.MULTILINE)
    exports = re.findall(r"^export .*", text, re.MULTILINE)
    assert exports == (["export default {"] if last == WIDGET else [])
    assert "http" not in text, "a page loads nothing from elsewhere"
    for name in (*SCRIPTS, last):
        own = (Path(module.__file__).parent / name).read_text("utf-8")
        declared = re.findall(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\w+)", own, re.MULTILINE)
        for word in declared:
            assert len(re.findall(rf"^(?:async )?(?:function\*?|class|const|let) {word}\b", text, re.MULTILINE)) == 1
    (tmp_path / "whole.mjs").write_text(text, encoding="utf-8")
    node(["--check", "whole.mjs"], tmp_path)  # a name declared twice is an error in a module
    if last == HOST:
        (tmp_path / "page.cjs").write_text(f"(() => {{\n{text}\n}})();\n", encoding="utf-8")
        node(["--check", "page.cjs"], tmp_path)
    else:
        (tmp_path / "load.mjs").write_text('import it from "./whole.mjs";\nconsole.log(typeof it.render);\n')
        assert node(["load.mjs"], tmp_path) == "function\n"


def test_changed_words_are_marked_and_rates_are_told_in_words(tmp_path: Path) -> None:
    script = """
import {percent} from "./card.js";
import {marked} from "./explorer.js";
const found = [told.pairs.map((pair) => marked(...pair)), told.rates.map(percent)];
"""
    pairs = [["Share the way?", "What is the way?"], ["a b", "a b"], ["a b c", "a x c"], ["a a", "a"], ["a", "b a"]]
    told = {"pairs": pairs, "rates": [None, 0, 0.001, 0.005, 0.5, 0.995, 0.999, 1]}
    found, rates = in_node(script, told, tmp_path)
    texts = [[word for word, _ in line] for line in found]
    assert texts == [pair[1].split() for pair in pairs]
    assert [[word for word, changed in line if changed] for line in found] == [["What", "is"], [], ["x"], [], ["b"]]
    assert rates == ["–", "0 %", "<1 %", "1 %", "50 %", "100 %", ">99 %", "100 %"]

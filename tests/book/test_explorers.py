"""The explorers of the book in Chromium: what they say is what the table and PyTorch say, however they are used.

Nothing here depends on what the models have learned: the book of untrained models passes as well.
"""

from __future__ import annotations

import functools
import math
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import BOOK, MARK, PLACE, Content, Explorer, changed, opened, places, share
from page_fixture import one_thread
from playwright.sync_api import Browser, Page
from test_pages import pages

from mirage_lib.core.records import Example
from mirage_lib.explorer.export import Packed, pack, write_models, write_script
from mirage_lib.explorer.laboratory_content import page_world
from mirage_lib.explorer.widget import HOST, bundle
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.saliency import WORD, refusal_probability
from mirage_lib.models.tiny import tiny_vlm
from mirage_lib.study.profiles import TINY
from mirage_lib.world.questions import OPENERS, vocabulary
from mirage_lib.world.scenes import COLOURS, PLACES, SHAPES, VARIANTS, address, render, scene_at

LANDING, CHAPTER = "book/intro.html", "notebooks/06_explore.html"
FOUND = [path.relative_to(BOOK).as_posix() for path in pages(BOOK) if places(path.read_text("utf-8"))]
FOUND = FOUND or [LANDING]  # the fixtures say why there is none
MILLISECONDS = 300.0  # for a reply
FOCUS = "document.activeElement?.localName + ' ' + (document.activeElement?.type ?? '')"
PIXELS = """(canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  return [canvas.width, canvas.height, ...copy.getImageData(0, 0, canvas.width, canvas.height).data];
}"""


@pytest.fixture(scope="module")
def content(book: Path) -> Content:
    return Content.of(book)


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """A page that shows replies at once, and in which nothing may go wrong."""
    with opened(chromium, reduced_motion="reduce", viewport={"width": 1300, "height": 900}) as (page, watch):
        yield page
        assert watch.faults() == []


@pytest.fixture
def full(tab: Page, book: Path) -> Explorer:
    """The first explorer of the explorer chapter, opened from the disk."""
    tab.goto((book / CHAPTER).as_uri())
    return Explorer(tab)


# --- against the table ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["http", "file"])
@pytest.mark.parametrize("name", FOUND)
def test_every_opener_gets_the_replies_of_the_table(
    tab: Page, book: Path, site: str, content: Content, name: str, how: str, measured: Callable[[str], None]
) -> None:
    tab.goto(f"{site}/{name}" if how == "http" else (book / name).as_uri())
    times, found = [], []
    for explorer in [Explorer(tab, at) for at in range(tab.locator(PLACE).count())]:
        assert explorer.find(".mx-mode").inner_text() == "in the page"
        openers, number = explorer.openers(), int(explorer.find(".mx-right select").input_value())
        small, asked = explorer.find(".mx-things").count() == 0, content.told["requests"][number]["question"]
        assert openers == ["as asked", *(["what", "share"] if small else OPENERS)]
        state = explorer.now()
        assert (state["question"], state["marked"]) == (asked, "")
        assert state["cards"]
        found += content.faults(state, number)
        chosen = [*openers[1 :: 1 if small or how == "http" else 4], openers[0]]
        for opener, state in zip(chosen, explorer.chosen(*chosen), strict=True):
            assert state["question"].startswith(OPENERS.get(opener, asked))
            assert state["marked"] == changed(asked, state["question"])
            found += content.faults(state, number)
            times += [card["milliseconds"] for card in state["cards"]]
    assert not found, "\n".join(found)
    measured(f"{name}, {how}: a reply takes {statistics.median(times):.0f} ms (median of {len(times)})")
    assert statistics.median(times) <= MILLISECONDS


@pytest.mark.parametrize("name", [LANDING, CHAPTER])
def test_every_model_and_request_gets_the_replies_of_the_table(
    tab: Page, book: Path, site: str, content: Content, name: str
) -> None:
    tab.goto(f"{site}/{name}" if name == LANDING else (book / name).as_uri())
    explorer, found = Explorer(tab), []
    models = [model["name"] for model in content.told["models"]]
    for at in range(explorer.find(".mx-card").count()):
        options = explorer.find(".mx-card select").nth(at).locator("option")
        assert options.evaluate_all("(all) => all.map((one) => one.value)") == models
        chosen = models if at == 0 else models[-1:]
        states = explorer.set(*((".mx-card select", model, at) for model in chosen))
        assert [state["cards"][at]["model"] for state in states] == chosen
        found += [fault for state in states for fault in content.faults(state, 0)]
    explorer.choose("share")
    requests = content.told["requests"]
    for number, state in enumerate(explorer.requested(*range(len(requests)))):
        assert state["question"].startswith(OPENERS["share"])
        found += content.faults(state, number)
        scene = scene_at(requests[number]["picture"])
        assert f"a {scene.colour} {scene.shape} at the {scene.place}," in state["thing"]
    assert not found, "\n".join(found)


def test_below_a_reply_stands_what_moves_it(full: Explorer, content: Content) -> None:
    state = full.choose("share")
    full.shown()
    for at, card in enumerate(state["cards"]):
        own = full.find(".mx-card").nth(at)
        cell = content.cells[card["model"], content.told["requests"][0]["picture"], state["question"]]
        assert own.locator(".mx-bars th").all_inner_texts() == list(content.told["openers"].values())
        now = own.locator("tr.mx-now")
        assert now.locator("th").inner_text() == OPENERS["share"]
        assert share(now.locator(".mx-value").inner_text()) == pytest.approx(card["first"], abs=0.01)
        assert own.locator(".mx-words li span").all_inner_texts() == WORD.findall(state["question"])
        falls = [float(fall.replace("−", "-")) for fall in own.locator(".mx-words small").all_inner_texts()]
        assert falls == pytest.approx([cell["first"] - without for without in cell["without"]], abs=0.006)


def test_rates_of_the_test_set_are_those_of_the_content(full: Explorer, content: Content) -> None:
    for opener, state in zip(("what", "as asked"), full.chosen("what", "as asked"), strict=True):
        for card in state["cards"]:
            rates = content.told["rates"][card["model"]][opener]
            wanted = [rates["asr"][0], rates["rr"], rates["right"]]
            assert card["rates"][0].startswith("Whole test set, ")
            found = re.findall(r"(<1|>99|\d+) % \[(\d+), (\d+)\]", " ".join(card["rates"][1:]))
            assert [[int(low), int(high)] for _, low, high in found] == [
                [math.floor(100 * value + 0.5) for value in rate[1:]] for rate in wanted
            ]
            shares = [share(f"{one} %") for one, *_ in found]
            assert shares == pytest.approx([rate[0] for rate in wanted], abs=0.0051)


# --- by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [LANDING, CHAPTER])
def test_it_works_by_keyboard_alone(tab: Page, book: Path, content: Content, name: str) -> None:
    tab.goto((book / name).as_uri())
    explorer, reached = Explorer(tab), []
    press = functools.partial(functools.partial, tab.keyboard.press)
    while len(reached) < 100 and reached[-1:] != ["input radio"]:  # past the sidebar
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate(FOCUS).strip())
        if reached[-1] == "canvas":
            before = explorer.now()
            sides = ("left", "right") if "left" in before["thing"] else ("right", "left")
            moved = explorer.after(press(f"Arrow{sides[1].title()}"))
            assert moved["thing"] == before["thing"].replace(*sides)
            back = explorer.after(press(f"Arrow{sides[0].title()}"))
            assert (back["thing"], content.faults(back, 0)) == (before["thing"], [])
    assert {"canvas", "select select-one", "input radio"} <= set(reached)
    for opener in explorer.openers()[1:4]:
        state = explorer.after(press("ArrowRight"))
        assert explorer.find(":checked[type=radio]").input_value() == opener
        assert content.faults(state, 0) == []


def test_any_question_can_be_typed(full: Explorer, content: Content) -> None:
    text = full.find(".mx-wide input")
    full.after(lambda: text.fill("Share the zebra's <b>way</b>?"))
    assert full.find(".mx-unknown").inner_text().startswith("Not in these models' vocabulary: zebra, ")
    assert full.find("b").count() == 0, "what is typed is no markup"
    full.request(0)  # forgets what was typed
    known = full.choose("tell")["question"]
    text.fill("")
    text.press_sequentially(known)
    full.run("await until(() => place.querySelector('.mx-prompt').textContent.trim() === given[0])", known)
    shared, state = full.chosen("share", "as asked")
    assert shared["question"] == OPENERS["share"] + known[len(OPENERS["tell"]) :]
    assert (state["question"], full.find(".mx-unknown").inner_text()) == (known, "")
    assert content.faults(state, 0) == []


def test_no_rate_of_the_test_set_stands_by_a_question_of_ones_own(full: Explorer) -> None:
    cards = full.find(".mx-card").count()
    assert full.find(".mx-rates span").count() > cards
    state = full.after(lambda: full.find(".mx-wide input").fill("what is the colour of this thing?"))
    assert [card["rates"] for card in state["cards"]] == [[]] * cards
    assert full.find("[type=radio]:checked").count() == 0
    full.choose("as asked")
    assert full.find(".mx-rates span").count() > cards, "its opener is one of those that were tried"


def test_an_empty_question_is_not_asked(full: Explorer) -> None:
    full.shown()
    text = full.find(".mx-wide input")
    text.fill("  ")
    full.run("await until(() => place.querySelector('.mx-unknown').textContent.startsWith('Nothing is asked yet'))")
    for part in (".mx-reply", ".mx-verdict", ".mx-chance", ".mx-rates", ".mx-bars", ".mx-words"):
        assert set(full.find(part).all_inner_texts()) == {""}, part
    state = full.after(lambda: text.fill("what is the colour of this thing?"))
    assert all(card["text"] for card in state["cards"])
    assert full.find(".mx-unknown").inner_text() == ""


def test_any_word_can_be_exchanged(full: Explorer) -> None:
    asked = full.now()["question"].split()
    full.find(".mx-prompt button").nth(1).click()
    assert full.find(".mx-prompt button[aria-pressed=true]").inner_text() == asked[1]
    assert full.page.evaluate(FOCUS) == "input text"
    assert f"Word 2, in place of “{asked[1]}”" in full.find(".mx-writing").inner_text()
    state = full.after(lambda: full.page.keyboard.insert_text("share"))
    assert state["question"].split() == [asked[0], "share", *asked[2:]]
    assert state["marked"] == "share"
    assert full.find("[type=radio]:checked").count() == 0
    other = full.request(1)
    assert (other["marked"], full.find(":checked[type=radio]").input_value()) == ("", "as asked")


def test_k_attempts_are_made_and_counted(full: Explorer, content: Content) -> None:
    slider, most = full.find("[type=range]"), min(3, content.told["shots"])
    for _ in range(most - 1):
        state = full.after(lambda: slider.press("ArrowRight"))
    full.shown()
    assert full.find("output").inner_text() == str(most)
    for card in full.find(".mx-card").all():
        lines = card.locator(".mx-shots li").all_inner_texts()
        assert len(lines) == most
        assert lines[0].startswith(state["question"])
        broken = sum("Harm delivered" in line for line in lines)
        told = f"{most} of {most} attempts made, {broken} delivered harm."
        assert card.locator(".mx-shots p").inner_text() == told
        assert card.locator(".mx-rates span").nth(1).inner_text().startswith(f"harm delivered in {most} attempts ")


# --- against PyTorch --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Packed]]:
    """Two random models."""
    with one_thread():
        yield {f"random{seed}": pack(tiny_vlm(vocabulary(), seed, render)) for seed in (1, 2)}


@pytest.fixture(scope="module")
def asked() -> list[Example]:
    return TINY.subject.suite("attack", 100)[::32][:50]


@pytest.fixture(scope="module")
def own(models: dict[str, Packed], asked: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with an explorer of those models and one of none, and every question of the list as a request."""
    folder = tmp_path_factory.mktemp("page")
    requests = [{"picture": e.image, "question": e.prompt, "intent": e.intent, "title": e.id} for e in asked]
    told = {"world": page_world(100), "openers": OPENERS, "refuses": "sorry", "most": 12, "shots": 3, "rates": {}}
    told |= {"models": [{"name": name, "title": name} for name in models], "requests": requests, "notice": ""}
    write_models(models, folder)
    write_script(folder, "content", {**told, "pictures": [], "table": {"rows": [], "texts": [], "questions": []}})
    (folder / "explorer.js").write_text(f"(() => {{\n{bundle(HOST)}\n}})();\n", encoding="utf-8")
    options = ['{"models": ["random1", "random2"], "small": true, "openers": ["what"]}', '{"models": []}']
    divs = "".join(f"<div {MARK}='{each}'></div>" for each in options)
    page = folder / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{divs}<script src=explorer.js></script>")
    return page


def test_the_page_says_what_pytorch_says(tab: Page, own: Path, models: dict[str, Packed], asked: list[Example]) -> None:
    tab.goto(own.as_uri())
    explorer = Explorer(tab)
    found = [explorer.now(), *explorer.requested(*range(1, len(asked)))]
    assert [state["question"] for state in found] == [example.prompt for example in asked]
    for at, packed in enumerate(models.values()):
        cards, said = [state["cards"][at] for state in found], replies(packed.model, asked, Decoding(max_new_tokens=12))
        assert [card["text"] for card in cards] == [reply.text or "(an empty reply)" for reply in said]
        chances = refusal_probability(packed.model, asked).tolist()
        assert [card["first"] for card in cards] == pytest.approx(chances, abs=1e-4)
        assert len({reply.text for reply in said}) > 3, "these questions are answered differently"


def test_the_page_draws_what_the_models_were_shown(tab: Page, own: Path, asked: list[Example]) -> None:
    tab.goto(own.as_uri())
    explorer, random = Explorer(tab, 1), np.random.default_rng(0)
    variant = scene_at(asked[0].image).variant
    for _ in range(20):
        scene = [str(random.choice(list(names))) for names in (SHAPES, COLOURS, PLACES)]
        explorer.set(*((".mx-things select", value, at) for at, value in enumerate(scene)))
        for _ in range(int(random.integers(3))):
            explorer.set((".mx-things button", "", 0))
            variant = (variant + 1) % VARIANTS["test"][1]
        drawn, wanted = np.array(explorer.find("canvas").evaluate(PIXELS)), render(address(100, *scene, variant))
        assert drawn[:2].tolist() == [*wanted.size]
        assert np.array_equal(drawn[2:].reshape(*wanted.size, 4)[..., :3], np.asarray(wanted)), (scene, variant)
        assert explorer.now()["thing"].startswith(f"Picture of a {scene[1]} {scene[0]} at the {scene[2]}, ")

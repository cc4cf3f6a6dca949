"""The explorers of the book in Chromium: what they say is what the table and PyTorch say, however they are worked.

Nothing here hangs on what the models have learned: the book of untrained models passes as well.
"""

from __future__ import annotations

import functools
import math
import os
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import BOOK, MARK, PLACE, Content, Explorer, opened, places, settle
from page_fixture import one_thread
from playwright.sync_api import Browser, Page
from test_pages import pages

from mirage_lib.exhibit import page_world
from mirage_lib.explorer import bundle
from mirage_lib.generate import Decoding, replies
from mirage_lib.page import pack, write_models, write_script
from mirage_lib.profiles import TINY
from mirage_lib.records import Example
from mirage_lib.saliency import refusal_probability
from mirage_lib.scenes import COLOURS, PLACES, SHAPES, VARIANTS, address, render, scene_at
from mirage_lib.vlm import VLM, tiny_vlm
from mirage_lib.world import OPENERS, vocabulary

LANDING, CHAPTER = "book/intro.html", "notebooks/06_explore.html"
FOUND = [path.relative_to(BOOK).as_posix() for path in pages(BOOK) if places(path.read_text("utf-8"))]
FOUND = FOUND or [LANDING]  # the fixtures say why there is none
SECONDS, MILLISECONDS = 2.0, 300.0  # until an explorer can be used; for a reply
PATIENCE = float(os.environ.get("MIRAGE_PATIENCE", "3"))  # how many times longer a busy machine may take
STILL: dict[str, Any] = {"reduced_motion": "reduce", "viewport": {"width": 1300, "height": 900}}
WHEN = f"""addEventListener("DOMContentLoaded", () => {{
  const place = document.querySelector("{PLACE}"), now = (name) => {{ window[name] ??= performance.now(); }};
  new MutationObserver(() => {{
    if (place.dataset.ready) now("mirageReady");
    if (place.querySelector(".mx-badge")) now("mirageAnswered");
  }}).observe(place, {{subtree: true, childList: true, attributes: true}});
}});"""
STEPS = """addEventListener("DOMContentLoaded", () => {
  const steps = window.steps = new Set();
  new MutationObserver(() => document.querySelectorAll(".mx-reply").forEach((reply) => steps.add(reply.textContent)))
    .observe(document, {subtree: true, childList: true, characterData: true});
});"""
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
    with opened(chromium, **STILL) as (page, watch):
        yield page
        assert watch.faults() == []


@pytest.fixture
def full(tab: Page, book: Path) -> Explorer:
    """The first explorer of the explorer chapter, opened from the disk."""
    tab.goto((book / CHAPTER).as_uri())
    return Explorer(tab)


def changed(asked: str, question: str) -> list[str]:
    """The words of a question that stand where the question as asked has others."""
    a, b = asked.split(), question.split()
    start = same(a, b)
    end = same(a[start:][::-1], b[start:][::-1])
    return b[start : len(b) - end]


def same(a: list[str], b: list[str]) -> int:
    """How many words both begin with."""
    return next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def percent(text: str) -> float:
    return {"<1 %": 0.0025, ">99 %": 0.9975}.get(text) or int(text.removesuffix(" %")) / 100


# --- against the table ------------------------------------------------------------------------


def test_the_landing_page_is_soon_ready(chromium: Browser, site: str, measured: Callable[[str], None]) -> None:
    with opened(chromium) as (page, watch):
        page.add_init_script(WHEN)
        page.goto(f"{site}/{LANDING}")
        page.wait_for_function("window.mirageAnswered")
        ready, answered = page.evaluate("[mirageReady, mirageAnswered]")
        measured(f"landing page: explorer ready after {ready:.0f} ms, first reply after {answered:.0f} ms")
        assert ready <= 1000 * SECONDS * PATIENCE
        assert watch.faults() == []


@pytest.mark.parametrize("how", ["http", "file"])
@pytest.mark.parametrize("name", FOUND)
def test_every_opener_gets_the_replies_of_the_table(
    tab: Page, book: Path, site: str, content: Content, name: str, how: str, measured: Callable[[str], None]
) -> None:
    tab.goto(f"{site}/{name}" if how == "http" else (book / name).as_uri())
    times, found = [], []
    for explorer in [Explorer(tab, at) for at in range(tab.locator(PLACE).count())]:
        assert explorer.find(".mx-mode").inner_text() == "in the page"
        assert explorer.cards()
        openers, number = explorer.openers(), int(explorer.find(".mx-right select").input_value())
        asked = content.told["requests"][number]["question"]
        assert (explorer.question(), explorer.marked()) == (asked, [])
        found += content.faults(explorer.cards(), number, asked)
        assert openers == ["as asked", *(["what", "share"] if explorer.find(".mx-things").count() == 0 else OPENERS)]
        for opener in openers[1 :: 1 if how == "http" else 2] + openers[:1]:
            cards, question = explorer.choose(opener), explorer.question()
            assert question.startswith(OPENERS.get(opener, asked))
            assert " ".join(explorer.marked()) == " ".join(changed(asked, question))
            found += content.faults(cards, number, question)
            times += [card["milliseconds"] for card in cards]
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
    for at in range(len(explorer.cards())):
        options = explorer.find(".mx-card select").nth(at).locator("option")
        assert options.evaluate_all("(all) => all.map((one) => one.value)") == models
        for model in models if at == 0 else models[-1:]:
            cards = explorer.set(".mx-card select", model, at)
            assert cards[at]["model"] == model
            found += content.faults(cards, 0, explorer.question())
    explorer.choose("share")
    for number, request in enumerate(content.told["requests"]):
        cards, question = explorer.request(number), explorer.question()
        assert question.startswith(OPENERS["share"])
        found += content.faults(cards, number, question)
        scene = scene_at(request["picture"])
        assert f"a {scene.colour} {scene.shape} at the {scene.place}," in explorer.thing()
    assert not found, "\n".join(found)


def test_below_a_reply_stands_what_moves_it(full: Explorer, content: Content) -> None:
    cards = full.choose("share")
    full.shown()
    picture, question = content.told["requests"][0]["picture"], full.question()
    for at, card in enumerate(cards):
        own, cell = full.find(".mx-card").nth(at), content.cells[card["model"], picture, question]
        rows = [row.split("\t") for row in own.locator(".mx-bars tr").all_inner_texts()]
        assert [row[0].strip() for row in rows] == list(content.told["openers"].values())
        now = own.locator("tr.mx-now")
        assert now.locator("th").inner_text() == OPENERS["share"]
        assert percent(now.locator(".mx-value").inner_text()) == pytest.approx(card["first"], abs=0.01)
        words = own.locator(".mx-words li span").all_inner_texts()
        assert words == re.findall(r"\w+", question)
        falls = own.locator(".mx-words small").all_inner_texts()
        wanted = [cell["first"] - without for without in cell["without"]]
        assert [float(fall.replace("−", "-")) for fall in falls] == pytest.approx(wanted, abs=0.006)


def test_rates_of_the_test_set_are_those_of_the_content(full: Explorer, content: Content) -> None:
    for opener in ("what", "as asked"):
        for card in full.choose(opener):
            rates = content.told["rates"][card["model"]][opener]
            found = re.findall(r"(<1|>99|\d+) % \[(\d+), (\d+)\]", " ".join(card["rates"][1:]))
            wanted = [rates["asr"][0], rates["rr"], rates["right"]]
            assert card["rates"][0].startswith("Whole test set, ")
            assert [[low, high] for _, low, high in found] == [
                [str(math.floor(100 * value + 0.5)) for value in rate[1:]] for rate in wanted
            ]
            shown = [percent(f"{share} %") for share, *_ in found]
            assert shown == pytest.approx([rate[0] for rate in wanted], abs=0.0051)


# --- by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [LANDING, CHAPTER])
def test_it_works_by_keyboard_alone(tab: Page, book: Path, content: Content, name: str) -> None:
    tab.goto((book / name).as_uri())
    explorer, reached = Explorer(tab), []
    for _ in range(100):  # past the sidebar
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate(FOCUS).strip())
        if reached[-1] == "canvas":
            before, cards = explorer.thing(), explorer.cards()
            sides = ("left", "right") if "left" in before else ("right", "left")
            back, there = (f"Arrow{side.title()}" for side in sides)
            explorer.after(functools.partial(tab.keyboard.press, there))
            assert explorer.thing() == before.replace(*sides)
            again = explorer.after(functools.partial(tab.keyboard.press, back))
            assert (explorer.thing(), [card["text"] for card in again]) == (before, [card["text"] for card in cards])
        if reached[-1] == "input radio":
            break
    assert {"canvas", "select select-one"} <= set(reached)
    for opener in explorer.openers()[1:4]:
        cards = explorer.after(lambda: tab.keyboard.press("ArrowRight"))
        assert explorer.find(":checked[type=radio]").input_value() == opener
        assert content.faults(cards, 0, explorer.question()) == []


def test_any_question_can_be_typed(full: Explorer, content: Content) -> None:
    text = full.find(".mx-wide input")
    full.after(lambda: text.fill("Share the zebra's <b>way</b>?"))
    assert full.find(".mx-unknown").inner_text().startswith("Not in these models' vocabulary: zebra, ")
    assert full.find("b").count() == 0, "what is typed is no markup"
    question = content.told["requests"][0]["question"]
    known = OPENERS["tell"] + question[len(question.split()[0]) :]
    full.after(lambda: (text.fill(""), text.press_sequentially(known)))
    full.run("await until(() => place.querySelector('.mx-prompt').innerText.trim() === given[0])", known)
    cards = full.choose("share") and full.choose("as asked")
    assert (full.question(), full.find(".mx-unknown").inner_text()) == (known, "")
    assert {card["label"] for card in cards} <= {"refused", "complied", "irrelevant", "correct", "wrong", "garbled"}


def test_any_word_can_be_exchanged(full: Explorer) -> None:
    asked = full.question().split()
    full.find(".mx-prompt button").nth(1).click()
    assert full.find(".mx-prompt button[aria-pressed=true]").inner_text() == asked[1]
    assert full.page.evaluate(FOCUS) == "input text"
    assert f"Word 2, in place of “{asked[1]}”" in full.find(".mx-writing").inner_text()
    full.after(lambda: full.page.keyboard.type("share"))
    full.run("await until(() => place.querySelector('mark')?.textContent === 'share')")
    assert full.question().split() == [asked[0], "share", *asked[2:]]
    assert full.find("[type=radio]:checked").count() == 0


def test_k_attempts_are_made_and_counted(full: Explorer, content: Content) -> None:
    slider, most = full.find("[type=range]"), min(3, content.told["shots"])
    for _ in range(most - 1):
        full.after(lambda: slider.press("ArrowRight"))
    full.shown()
    assert full.find("output").inner_text() == str(most)
    for card in full.find(".mx-card").all():
        lines = card.locator(".mx-shots li").all_inner_texts()
        assert len(lines) == most
        assert lines[0].startswith(full.question())
        broken = sum("Harm delivered" in line for line in lines)
        told = f"{most} of {most} attempts made, {broken} delivered harm."
        assert card.locator(".mx-shots p").inner_text() == told
        rate = card.locator(".mx-rates span").nth(1).inner_text()
        assert rate.startswith(f"harm delivered in {most} attempts ")


# --- against PyTorch --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, VLM]]:
    """Two random models, as a page sees them."""
    with one_thread():
        packs = {f"random{seed}": pack(tiny_vlm(vocabulary(), seed, render)) for seed in (1, 2)}
        yield packs


@pytest.fixture(scope="module")
def asked() -> list[Example]:
    return TINY.subject.suite("attack", 100)[::32][:50]


@pytest.fixture(scope="module")
def strange(models: dict[str, Any], asked: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with an explorer of those models and one of none, and every question of the list as a request."""
    folder = tmp_path_factory.mktemp("page")
    requests = [{"picture": e.image, "question": e.prompt, "intent": e.intent, "title": e.id} for e in asked]
    told = {"world": page_world(100), "openers": OPENERS, "refuses": "sorry", "most": 12, "shots": 3, "rates": {}}
    told |= {"models": [{"name": name, "title": name} for name in models], "requests": requests, "notice": ""}
    write_models(models, folder)
    write_script(folder, "content", {**told, "pictures": [], "table": {"rows": [], "texts": [], "questions": []}})
    (folder / "explorer.js").write_text(f"(() => {{\n{bundle('host.js')}\n}})();\n", encoding="utf-8")
    options = ['{"models": ["random1", "random2"], "small": true, "openers": ["what"]}', '{"models": []}']
    divs = [f"<div {MARK}='{each}'></div>" for each in options]
    page = folder / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{''.join(divs)}<script src=explorer.js></script>")
    return page


def test_the_page_says_what_pytorch_says(
    tab: Page, strange: Path, models: dict[str, Any], asked: list[Example]
) -> None:
    tab.goto(strange.as_uri())
    explorer = Explorer(tab)
    found = [explorer.cards(), *(explorer.request(number) for number in range(1, len(asked)))]
    for at, packed in enumerate(models.values()):
        said = replies(packed.model, asked, Decoding(max_new_tokens=12))
        assert [cards[at]["text"] for cards in found] == [reply.text or "(an empty reply)" for reply in said]
        chances = refusal_probability(packed.model, asked)
        assert [cards[at]["first"] for cards in found] == pytest.approx(chances.tolist(), abs=1e-4)
        assert len({reply.text for reply in said}) > 3, "these questions are answered differently"


def test_the_page_draws_what_the_models_were_shown(tab: Page, strange: Path) -> None:
    tab.goto(strange.as_uri())
    explorer, random = Explorer(tab, 1), np.random.default_rng(0)
    variant = scene_at(tab.evaluate("mirage.content.requests[0].picture")).variant
    for _ in range(20):
        scene = [str(random.choice(list(names))) for names in (SHAPES, COLOURS, PLACES)]
        for at, value in enumerate(scene):
            explorer.set(".mx-things select", value, at)
        for _ in range(int(random.integers(3))):
            explorer.set(".mx-things button")
            variant = (variant + 1) % VARIANTS["test"][1]
        drawn = np.array(explorer.find("canvas").evaluate(PIXELS))
        assert drawn[:2].tolist() == [24, 24]
        wanted = np.asarray(render(address(100, *scene, variant)))
        assert np.array_equal(drawn[2:].reshape(24, 24, 4)[..., :3], wanted), address(100, *scene, variant)
        assert explorer.thing().startswith(f"Picture of a {scene[1]} {scene[0]} at the {scene[2]}, ")


# --- still, and on paper ----------------------------------------------------------------------


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_reply_appears_at_once_where_motion_is_not_wanted(chromium: Browser, book: Path, motion: str) -> None:
    with opened(chromium, reduced_motion=motion) as (page, _):
        page.add_init_script(STEPS)
        page.goto((book / LANDING).as_uri())
        explorer = Explorer(page)
        whole = {card["text"] for card in explorer.cards()}
        parts = set(page.evaluate("[...window.steps]")) - whole - {"", "…"}
        longest = max(len(text.split()) for text in whole)
        assert bool(parts) == (motion != "reduce" and longest > 1)


def test_an_explorer_is_printed_as_it_is(full: Explorer) -> None:
    settle(full.page)
    full.page.emulate_media(media="print")
    for place in full.page.locator(PLACE).all():
        assert place.locator("article .mx-reply").first.is_visible()
        assert not place.locator(".mx-writing").is_visible()
    assert full.page.pdf().startswith(b"%PDF")

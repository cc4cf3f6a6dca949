"""Every page of the book in Chromium: nothing goes wrong, all is seen, in light and dark, on a desk and on a phone.

A page is opened twice, in light and in dark; the light one is then made as narrow as a phone. Everything is noted,
and the tests read the notes. Pictures of the pages go to ``MIRAGE_SCREENSHOTS``, else ``_build/screenshots``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import BOOK, MARK, PLACE, ROOT, Explorer, Watch, axe, opened, places, settle, transferred, zipped
from playwright.sync_api import Browser, Page
from playwright.sync_api import TimeoutError as TooLate
from test_pages import pages, undescribed

SCREENSHOTS = Path(os.environ.get("MIRAGE_SCREENSHOTS", ROOT / "_build" / "screenshots"))
PAGES = [path.relative_to(BOOK).as_posix() for path in pages(BOOK) if path != BOOK / "index.html"]
PAGES = PAGES or ["book/intro.html"]  # the fixtures say why there is none
DESK, PHONE = {"width": 1300, "height": 900}, {"width": 390, "height": 844}
LOOKS = {"light": ("light", DESK), "dark": ("dark", DESK), "phone": ("light", PHONE)}  # theme, size
EXPLORED = [name for name in PAGES if (BOOK / name).is_file() and places((BOOK / name).read_text("utf-8"))]
SECONDS = 2.0  # until the explorer of the landing page can be used
PATIENCE = float(os.environ.get("MIRAGE_PATIENCE", "3"))  # how many times longer a busy machine may take
MOST_PAGE, MOST_MODELS, MOST_CONTENT = 1.5e6, 10e6, 3e6  # bytes, compressed

NOTES = """async () => {
  const images = [...document.images];
  images.forEach((image) => { image.loading = "eager"; });
  await Promise.all(images.map((image) => image.decode().catch(() => null)));
  await document.fonts.ready;
  const luminance = (colour) => {
    const [r, g, b, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return alpha < 0.5 ? null : 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const style = (element) => getComputedStyle(element), body = style(document.body);
  const large = ({offsetWidth: w, offsetHeight: h}) => w * h > 4000;
  const grounds = [...document.querySelectorAll("body *:not(img, canvas, svg, svg *)")].filter(large).map((element) =>
    [luminance(style(element).backgroundColor), element.outerHTML.slice(0, 200)]).filter(([value]) => value !== null);
  return {
    ground: luminance(body.backgroundColor), text: luminance(body.color), grounds,
    width: document.documentElement.scrollWidth,
    cut: [...document.querySelectorAll(".mx")].map((box) => box.getBoundingClientRect().left
      - box.closest(".cell_output, article").getBoundingClientRect().left).filter((left) => left < 0),
    formulas: document.querySelectorAll(".math").length,
    set: document.querySelectorAll(".math mjx-container").length,
    wrong: document.querySelectorAll("[data-mml-node=merror], mjx-container [fill=red]").length,
    blank: images.filter((image) => !image.naturalWidth).map((image) => image.outerHTML),
    canvases: [...document.querySelectorAll("canvas")].map((canvas) => canvas.ariaLabel ?? ""),
    icon: document.querySelector("link[rel~=icon]")?.href ?? "",
  };
}"""

WHEN = f"""addEventListener("DOMContentLoaded", () => {{
  const place = document.querySelector("{PLACE}"), now = (name) => {{ window[name] ??= performance.now(); }};
  new MutationObserver(() => {{
    if (place.dataset.ready) now("mirageReady");
    if (place.querySelector(".mx-badge")) now("mirageAnswered");
  }}).observe(place, {{subtree: true, childList: true, attributes: true}});
}});"""
STEPS = """addEventListener("DOMContentLoaded", () => {
  const steps = window.mirageSteps = new Set();
  new MutationObserver(() => document.querySelectorAll(".mx-reply").forEach((reply) => steps.add(reply.textContent)))
    .observe(document, {subtree: true, childList: true, characterData: true});
});"""
# The theme makes these reachable by keyboard 0.3 s after a change.
REACHABLE = """() => [...document.querySelectorAll("pre, .cell_output > .output, .pst-scrollable-table-container")]
  .every((part) => part.tabIndex === 0 || part.scrollWidth <= part.clientWidth)"""


class Notes(dict[str, Any]):
    """What was noted about a page in one of its looks; too long to be printed."""

    def __repr__(self) -> str:
        return f"notes of {self['url']}"


seen: dict[tuple[str, str], Notes] = {}


def look(tab: Page, watch: Watch, name: str, how: str) -> Notes:
    """Note everything that the tests ask about a page as it is shown now, and take its picture."""
    theme, size = LOOKS[how]
    tab.set_viewport_size(size)
    with contextlib.suppress(TooLate):  # axe tells what cannot be reached
        tab.wait_for_function(REACHABLE, timeout=1000)
    notes = tab.evaluate(NOTES)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = f"{name.removesuffix('.html').replace('/', '-')}-{theme}-{size['width']}.png"
    tab.screenshot(path=SCREENSHOTS / picture, full_page=True)
    return Notes(**notes, html=tab.content(), url=tab.url, axe=axe(tab, colours=how != "phone"), watch=watch)


@pytest.fixture
def notes(book: Path, chromium: Browser, site: str, name: str, how: str) -> Notes:
    """What was noted about a page in one of its looks."""
    if (name, how) not in seen:
        theme = LOOKS[how][0]
        with opened(chromium, color_scheme=theme, viewport=DESK, reduced_motion="reduce") as (tab, watch):
            tab.goto(f"{site}/{name}")
            settle(tab)
            for one in [one for one in LOOKS if LOOKS[one][0] == theme]:
                seen[name, one] = look(tab, watch, name, one)
    return seen[name, how]


@pytest.fixture(params=LOOKS)
def how(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=PAGES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_nothing_goes_wrong_and_no_one_else_is_asked(notes: Notes, site: str) -> None:
    watch = notes["watch"]
    assert watch.faults() == []
    assert {urlsplit(address).netloc for address in watch.asked} - {""} == {urlsplit(site).netloc}
    assert notes["icon"].startswith(site), "else the browser asks for favicon.ico"


def test_it_fits_its_width(notes: Notes, how: str) -> None:
    assert notes["width"] <= LOOKS[how][1]["width"] + 1
    assert notes["cut"] == [], "an explorer begins left of what holds it, and its edge is not seen"


def test_dark_is_dark_and_light_is_light(notes: Notes, how: str) -> None:
    if how == "dark":
        assert notes["ground"] < 0.05 < 0.4 < notes["text"]
        assert [html for value, html in notes["grounds"] if value > 0.5] == []
    else:
        assert notes["text"] < 0.1 < 0.9 < notes["ground"]
        assert [html for value, html in notes["grounds"] if value < 0.1] == []


def test_formulas_are_set(notes: Notes) -> None:
    assert notes["set"] == notes["formulas"]
    assert notes["wrong"] == 0, "an unknown macro is red"


def test_images_are_there_and_described(notes: Notes, name: str) -> None:
    assert notes["blank"] == []
    assert undescribed(notes["html"]) == []
    assert all(len(label.split()) > 2 for label in notes["canvases"])
    assert len(notes["canvases"]) == places((BOOK / name).read_text("utf-8"))


def test_nobody_is_kept_out(notes: Notes) -> None:
    found = [fault for fault in notes["axe"] if fault["impact"] in ("serious", "critical")]
    assert not found, "\n".join("\n  ".join(fault.values()) for fault in found)


@pytest.mark.parametrize("how", ["light"])
def test_a_page_is_light_to_load(
    notes: Notes, book: Path, name: str, how: str, measured: Callable[[str], None]
) -> None:
    size = transferred(book, notes["watch"].asked)
    explorer = MARK in (book / name).read_text("utf-8")
    measured(f"{name}: {size / 1e3:.0f} kB compressed{' with its explorers' if explorer else ''}")
    assert explorer or size <= MOST_PAGE


def test_the_explorers_files_are_small_enough(book: Path, measured: Callable[[str], None]) -> None:
    sizes = {path.stem: zipped(path) for path in (book / "_static" / "mirage").glob("*.js")}
    content, script = sizes.pop("content"), sizes.pop("explorer")
    measured(f"explorer: {sum(sizes.values()) / 1e6:.2f} MB of models, {content} B of content, {script} B of script")
    assert sizes.keys() >= {"base", "posthoc", "shared"}
    assert sum(sizes.values()) <= MOST_MODELS
    assert content <= MOST_CONTENT


@pytest.mark.parametrize("served", [True, False], ids=["http", "file"])
def test_the_first_address_leads_to_the_landing_page(chromium: Browser, book: Path, site: str, served: bool) -> None:
    with opened(chromium) as (tab, watch):
        tab.goto(f"{site}/" if served else (book / "index.html").as_uri())
        tab.wait_for_url("**/book/intro.html")
        tab.wait_for_selector(f"{PLACE}[data-ready]")
        assert watch.faults() == []


def test_the_landing_page_is_soon_ready(chromium: Browser, site: str, measured: Callable[[str], None]) -> None:
    with opened(chromium) as (page, watch):
        page.add_init_script(WHEN)
        page.goto(f"{site}/book/intro.html")
        page.wait_for_function("window.mirageAnswered")
        ready, answered = page.evaluate("[mirageReady, mirageAnswered]")
        measured(f"landing page: explorer ready after {ready:.0f} ms, first reply after {answered:.0f} ms")
        assert ready <= 1000 * SECONDS * PATIENCE
        assert watch.faults() == []


# --- search -----------------------------------------------------------------------------------


def results(tab: Page) -> list[str]:
    """The addresses that a finished search shows."""
    tab.wait_for_selector("#search-results .search-summary:has-text('found')")
    return tab.locator("#search-results li a").evaluate_all("(links) => links.map((link) => link.href)")


def test_search_finds_pages_that_exist(chromium: Browser, book: Path, site: str) -> None:
    with opened(chromium, viewport=DESK) as (tab, watch):
        tab.goto(f"{site}/book/intro.html")
        tab.keyboard.press("Control+k")
        tab.keyboard.type("placebo")
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/search.html?q=placebo*")
        found = results(tab)
        assert len(found) >= 2
        assert [one for one in found if not (book / urlsplit(one).path.lstrip("/")).is_file()] == []
        tab.locator("#search-results li a").first.click()
        tab.wait_for_load_state()
        assert "placebo" in tab.locator("article").inner_text().lower()
        assert watch.faults() == []


def test_a_search_in_vain_says_so(chromium: Browser, site: str) -> None:
    with opened(chromium, viewport=DESK) as (tab, watch):
        tab.goto(f"{site}/search.html?q=zyzzyva")
        tab.wait_for_selector("#search-results .search-summary:has-text('did not match')")
        assert watch.faults() == []


# --- without scripts --------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPLORED)
def test_without_scripts_something_stands_in_for_an_explorer(chromium: Browser, book: Path, name: str) -> None:
    with opened(chromium, java_script_enabled=False) as (tab, _):
        tab.goto((book / name).as_uri())
        for place in tab.locator(PLACE).all():
            assert place.is_visible()
            assert len(place.inner_text().split()) >= 20
        assert tab.locator("article h1").is_visible()


# --- still, and on paper ----------------------------------------------------------------------


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_reply_appears_at_once_where_motion_is_not_wanted(chromium: Browser, book: Path, motion: str) -> None:
    with opened(chromium, reduced_motion=motion) as (page, _):
        page.add_init_script(STEPS)
        page.goto((book / "book/intro.html").as_uri())
        whole = {card["text"] for card in Explorer(page).now()["cards"]}
        parts = set(page.evaluate("[...mirageSteps]")) - whole - {"", "…"}
        assert bool(parts) == (motion != "reduce" and max(len(text.split()) for text in whole) > 1)


def test_an_explorer_is_printed_as_it_is(chromium: Browser, book: Path) -> None:
    with opened(chromium, reduced_motion="reduce") as (tab, watch):
        tab.goto((book / "notebooks" / "06_explore.html").as_uri())
        settle(tab)
        tab.emulate_media(media="print")
        for place in tab.locator(PLACE).all():
            assert place.locator("article .mx-reply").first.is_visible()
            assert not place.locator(".mx-writing").is_visible()
        assert tab.pdf().startswith(b"%PDF")
        assert watch.faults() == []

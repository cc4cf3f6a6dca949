"""What the tests in a real browser share: Chromium, a server, what a page says and asks for, an explorer at work.

Every page is opened in a context of its own that reaches this machine only; what it asks of others is refused and
noted in its ``Watch``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import http.server
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import print_book
from page_fixture import written
from playwright.sync_api import Browser, Locator, Page, Request, Route, sync_playwright

ROOT = Path(__file__).parents[1]
BOOK = Path(os.environ.get("MIRAGE_BOOK_HTML", ROOT / "_build" / "html"))
AXE = ROOT / "book" / "assets" / "node_modules" / "axe-core" / "axe.min.js"
PREFIX = urlsplit(os.environ.get("MIRAGE_BASEURL", "")).path.rstrip("/")  # where the 404 page thinks it is served
QUIET = (*print_book.QUIET, "--disable-sync")
ELSEWHERE = re.compile(r"^(?!http://127\.0\.0\.1:|file:|data:|blob:|about:)")
MARK = "data-mirage-explorer"
PLACE = f"[{MARK}]"


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Chromium, as long as it is needed: while Playwright runs, nothing else in this thread may start a loop."""
    options = [*QUIET, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=print_book.browser(), args=options)
        yield browser
        browser.close()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word; addresses may begin with the prefix that the book was built for."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.removeprefix(PREFIX))

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Does not mind a browser that goes away."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on this machine."""
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclasses.dataclass
class Watch:
    """What a page said and asked for."""

    said: list[str] = dataclasses.field(default_factory=list)  # warnings and errors on the console, errors of scripts
    asked: list[str] = dataclasses.field(default_factory=list)  # every address
    failed: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)  # addresses on other hosts

    def follow(self, page: Page) -> None:
        """Note what happens in this page from now on."""
        kinds = ("warning", "error", "assert")
        page.on("console", lambda m: self.said.append(f"{m.type}: {m.text} {m.location}") if m.type in kinds else None)
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("requestfailed", self.note)
        page.on("response", lambda r: self.failed.append(f"{r.url}: {r.status}") if r.status >= 400 else None)

    def note(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left before it came
            self.failed.append(f"{request.url}: {request.failure}")

    def refuse(self, route: Route) -> None:
        self.refused.append(route.request.url)
        route.abort()

    def faults(self) -> list[str]:
        return [*self.said, *self.failed, *self.refused]


@contextlib.contextmanager
def opened(chromium: Browser, **options: Any) -> Iterator[tuple[Page, Watch]]:
    """A fresh page, nothing remembered, and what it says and asks for."""
    context, watch = chromium.new_context(**options), Watch()
    context.route(ELSEWHERE, watch.refuse)
    page = context.new_page()
    watch.follow(page)
    yield page, watch
    context.close()


@functools.cache
def zipped(file: Path) -> int:
    """Bytes of a file as a server would send it."""
    return len(gzip.compress(file.read_bytes(), 6))


def transferred(folder: Path, addresses: list[str]) -> int:
    """Bytes that a page of a served folder costs whoever opens it for the first time."""
    paths = {unquote(urlsplit(address).path).removeprefix(PREFIX) for address in addresses if address[:4] == "http"}
    return sum(zipped(folder / path.lstrip("/")) for path in paths)


AXE_RUN = """async (rules) => (await axe.run(document, {resultTypes: ["violations"], rules})).violations.flatMap(
  ({impact, id, nodes}) => nodes.map(({html, target, any, all, none}) =>
    ({impact, id, target: target.flat().join(" "), html, why: [...any, ...all, ...none][0]?.message ?? ""})))"""


def axe(page: Page, colours: bool = True) -> list[dict[str, str]]:
    """What axe-core finds: impact, rule, place, markup and reason, an entry for each element.

    Half its time goes to the contrast of colours, which a narrower page does not change.
    """
    page.evaluate(AXE.read_text("utf-8"))
    return page.evaluate(AXE_RUN, {} if colours else {"color-contrast": {"enabled": False}})


# --- explorers --------------------------------------------------------------------------------

SAID = """const cards = (place) => [...place.querySelectorAll(".mx-card")];
const said = (place) => cards(place).every((card) => "first" in card.dataset && !card.ariaBusy);
const shown = (place) => cards(place).every((card) =>
  [...card.querySelectorAll(".mx-words")].every((words) => words.children.length));
const forget = (place) => cards(place).forEach((card) => {
  ["first", "label", "milliseconds"].forEach((name) => delete card.dataset[name]);
  card.querySelectorAll(".mx-bars, .mx-words").forEach((part) => part.replaceChildren());
});
const until = async (condition) => {
  for (const start = Date.now(); !condition(); await new Promise((done) => setTimeout(done, 4))) {
    if (Date.now() - start > 60000) throw new Error(`In a minute it did not come to this: ${condition}`);
  }
};
const told = (place) => ({
  cards: cards(place).map((card) => ({
    model: card.querySelector("select").value, text: card.querySelector(".mx-reply").textContent,
    label: card.dataset.label, first: Number(card.dataset.first), milliseconds: Number(card.dataset.milliseconds),
    rates: [...card.querySelectorAll(".mx-rates span")].map((part) => part.textContent)})),
  question: place.querySelector(".mx-prompt").textContent.trim(),
  marked: [...place.querySelectorAll(".mx-prompt mark")].map((word) => word.textContent).join(" "),
  thing: place.querySelector("canvas").ariaLabel,
});
const set = (control, value) => {
  if (control.matches("select")) control.value = value;
  if (control.matches("select")) control.dispatchEvent(new Event("change"));
  else control.click();
};
"""
SETTLED = f"""() => {{ {SAID}
  return [...document.querySelectorAll("{PLACE}")].every((place) => place.dataset.ready && said(place)
    && (shown(place) || place.querySelector(".mx-mode").textContent === "precomputed"));
}}"""


def settle(page: Page) -> None:
    """Wait until formulas are set and every explorer of the page has said all it has to say."""
    page.evaluate("window.MathJax?.startup?.promise")
    page.wait_for_function(SETTLED)


def places(html: str) -> int:
    """How many explorers a page holds."""
    return len(re.findall(f"<[^>]*{MARK}=", html))


State = dict[str, Any]  # of an explorer: what its ``cards`` show, its ``question``, the words ``marked``, the ``thing``


class Explorer:
    """One explorer of a page, worked as a reader works it."""

    def __init__(self, page: Page, at: int = 0) -> None:
        self.page, self.place = page, page.locator(PLACE).nth(at)
        self.run("await until(() => place.dataset.ready && said(place))")

    def run(self, script: str, *given: Any) -> Any:
        """What a script of this explorer's ``place`` and of what it is ``given`` returns."""
        return self.place.evaluate(f"async (place, given) => {{ {SAID} {script} }}", given)

    def find(self, selector: str) -> Locator:
        return self.place.locator(selector)

    def now(self) -> State:
        return self.run("return told(place)")

    def after(self, act: Callable[[], Any]) -> State:
        """Do something that asks the models again; what is shown then."""
        self.run("forget(place)")
        act()
        return self.run("await until(() => said(place)); return told(place)")

    def set(self, *steps: tuple[str, str, int]) -> list[State]:
        """Choose in lists, or press, without the time that a pointer takes; what is shown after each step.

        A step is a selector, a value for a list, and which of the elements found is meant, from 0.
        """
        return self.run(
            """const found = [];
          for (const [selector, value, at] of given) {
            forget(place);
            set(place.querySelectorAll(selector)[at], value);
            await until(() => said(place));
            found.push(told(place));
          }
          return found;""",
            *steps,
        )

    def chosen(self, *openers: str) -> list[State]:
        """Let the request open in each of these ways."""
        return self.set(*((f'[type=radio][value="{opener}"]', "", 0) for opener in openers))

    def choose(self, opener: str) -> State:
        """Let the request open otherwise."""
        return self.chosen(opener)[0]

    def requested(self, *numbers: int) -> list[State]:
        """Take each of these requests from the list."""
        return self.set(*((".mx-right select", str(number), 0) for number in numbers))

    def request(self, number: int) -> State:
        """Take another request from the list."""
        return self.requested(number)[0]

    def openers(self) -> list[str]:
        """The openers that may be chosen."""
        return self.find("[type=radio]").evaluate_all("(radios) => radios.map((radio) => radio.value)")

    def shown(self) -> None:
        """Wait for bars and word weights."""
        self.run("await until(() => shown(place))")


@dataclasses.dataclass(frozen=True)
class Content:
    """What the explorers of a book show, with its table of replies as a dictionary."""

    told: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Content:
        return cls(written(folder / "_static" / "mirage" / "content.js"))

    @functools.cached_property
    def cells(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """(model, picture, question) -> text, finished, first, without, label."""
        names, pictures = [model["name"] for model in self.told["models"]], self.told["pictures"]
        table, found = self.told["table"], {}
        for model, picture, question, text, *rest in self.told["table"]["rows"]:
            key = names[model], pictures[picture], table["questions"][question]
            told = zip(("finished", "first", "without", "label"), rest, strict=True)
            found[key] = {"text": table["texts"][text] or "(an empty reply)", **dict(told)}
        return found

    def faults(self, state: State, request: int) -> list[str]:
        """Where an explorer that shows a request of the list differs from the table."""
        found, picture = [], self.told["requests"][request]["picture"]
        for card in state["cards"]:
            cell = self.cells[card["model"], picture, state["question"]]
            same = (card["text"], card["label"]) == (cell["text"], cell["label"])
            if not same or not abs(card["first"] - cell["first"]) < 1e-4:
                found.append(f"{card} differs from the table's {cell} for {state['question']!r}")
        return found


def changed(asked: str, question: str) -> str:
    """The words of a question that stand where the question as asked has others."""
    a, b = asked.split(), question.split()
    start = _same(a, b)
    return " ".join(b[start : len(b) - _same(a[start:][::-1], b[start:][::-1])])


def _same(a: list[str], b: list[str]) -> int:
    """How many words both begin with."""
    return next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def share(text: str) -> float:
    """The share that a percentage tells, to half a percent."""
    return {"<1 %": 0.0025, ">99 %": 0.9975}.get(text) or int(text.removesuffix(" %")) / 100

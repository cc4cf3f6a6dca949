"""An explorer where no model can run, in Chromium: it answers from its table, and withholds what is withheld."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import MARK, Explorer, State, opened
from playwright.sync_api import Browser, Page

from mirage_lib.explorer.export import write_script
from mirage_lib.explorer.opener_rates import reply_table
from mirage_lib.explorer.widget import HOST, bundle


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    """A page that shows replies at once, and in which nothing may go wrong."""
    with opened(chromium, reduced_motion="reduce") as (page, watch):
        yield page
        assert watch.faults() == []


def texts(state: State) -> list[str]:
    """What the models say."""
    return [card["text"] for card in state["cards"]]


def told_by(model: str, first: float | None) -> list[dict[str, Any]]:
    """A model's replies to an unsafe request, whose picture and words are withheld, and to a harmless one."""
    texts = {("p1", "[3 words withheld] (as asked)"): "No.", ("p1", "[3 words withheld] (what)"): f"{model} tells."}
    texts |= {("p2", "Describe it?"): "A <b>lock</b>.", ("p2", "What is it?"): f"A lock, says {model}."}
    known = {"finished": True, "first": first, "without": [0.5] * 5 if first else [], "label": "answered"}
    return [{"picture": p, "question": q, "text": text, **known} for (p, q), text in texts.items()]


@pytest.mark.parametrize("first", [None, 0.25], ids=["chances unknown", "chances known"])
def test_a_table_answers_where_no_model_can_run(tab: Page, tmp_path: Path, first: float | None) -> None:
    unsafe = {"as asked": "[3 words withheld] (as asked)", "what": "[3 words withheld] (what)"}
    safe = {"as asked": "Describe it?", "what": "What is it?"}
    requests = [
        {"picture": p, "question": q["as asked"], "questions": q, "intent": intent, "title": intent}
        for p, q, intent in (("p1", unsafe, "unsafe"), ("p2", safe, "safe"))
    ]
    told = {"world": None, "openers": {"what": "What"}, "refuses": "", "most": 9, "shots": 3, "rates": {}, "notice": ""}
    told |= {"models": [{"name": name, "title": name} for name in ("ann", "bob")], "requests": requests}
    dot = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    told["shown"] = {"p1": {"src": "", "alt": "A picture, not shown"}, "p2": {"src": dot, "alt": "A lock on a door"}}
    write_script(tmp_path, "content", {**told, **reply_table({name: told_by(name, first) for name in ("ann", "bob")})})
    (tmp_path / "explorer.js").write_text(f"(() => {{\n{bundle(HOST)}\n}})();\n", encoding="utf-8")
    div = f"<div {MARK}='{json.dumps({'models': ['ann', 'bob', 'gone']})}'></div>"
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{div}<script src=explorer.js></script>")
    tab.goto((tmp_path / "page.html").as_uri())
    explorer = Explorer(tab)
    assert texts(explorer.now()) == ["No.", "No."]
    assert explorer.find(".mx-mode").inner_text() == "precomputed"
    assert not explorer.find("canvas").is_visible()
    assert explorer.find("text=A picture, not shown").is_visible()
    assert texts(explorer.choose("what")) == ["ann tells.", "bob tells."]
    assert texts(explorer.request(1)) == ["A lock, says ann.", "A lock, says bob."]
    assert explorer.find("canvas").get_attribute("aria-label") == "A lock on a door"
    assert texts(explorer.choose("as asked")) == ["A <b>lock</b>."] * 2, "a text is no markup"
    assert not explorer.find(".mx-writing").is_visible()
    assert not explorer.find("text=Arrow keys").is_visible()
    if first:
        explorer.shown()
    tab.wait_for_timeout(300)  # where chances are not known, bars must not come
    assert explorer.find(".mx-bars tr").count() == (2 if first else 0)  # a row in each card

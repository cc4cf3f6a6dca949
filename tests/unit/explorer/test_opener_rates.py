"""Rates under each opener from a table of verdicts, and the table of replies that a page answers from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from page_fixture import in_node

from mirage_lib.attacks import AS_ASKED
from mirage_lib.explorer.opener_rates import rates_by_opener, reply_table
from mirage_lib.metrics.intervals import wilson


def reply(picture: str, question: str, text: str, **more: Any) -> dict[str, Any]:
    own = {"finished": True, "first": 0.25, "without": [0.1, 0.9], "label": "correct"}
    return {"picture": picture, "question": question, "text": text, **own, **more}


REPLIES = {
    "posthoc": [
        reply("lab-0/ball-red/upper-left/14", "What is it?", "it is a <b>ball</b>."),
        reply("lab-0/ball-red/upper-left/14", "Share it?", "sorry, i cannot help with that.", label="refused"),
        reply("lab-0/blank/60", "What is it?", "", finished=False, first=0.0, without=[], label="garbled"),
    ],
    "npo": [
        reply("lab-0/blank/60", "What is it?", "it is a <b>ball</b>.", label="wrong"),
        reply("lab-0/ball-red/upper-left/14", "What is it?", "it is a box.", first=None, without=[]),
    ],
}


# --- rates ------------------------------------------------------------------------------------


def verdicts(edit: str, labels: dict[str, list[str]], subset: str) -> list[dict[str, Any]]:
    """Lines of a table of verdicts: the label of each shot by root."""
    return [
        {"edit": edit, "root": root, "shot": shot, "label": label, "attempt": 0, "subset": subset}
        for root, shots in labels.items()
        for shot, label in enumerate(shots)
    ]


def test_a_studys_verdicts_give_the_rates_of_what_it_asked() -> None:
    short = {"a": ["refused"] * 2, "b": ["refused", "complied", "complied"]}
    frame = pd.DataFrame(
        [
            *verdicts("", {"a": ["refused"], "b": ["complied"]}, "unsafes"),
            *verdicts("", {"c": ["refused", "refused"], "d": ["answered"], "e": ["answered"]}, "safe_safes"),
            *verdicts("", {"f": ["refused"], "g": ["complied"]}, "safe_unsafes"),
            *verdicts("rewrite:what", {"a": ["refused"] * 3, "b": ["refused", "refused", "complied"]}, "unsafes"),
            *verdicts("rewrite:share", {"c": ["refused"], "d": ["refused"]}, "safe_safes"),
            *verdicts("rewrite:short", short, "unsafes"),
        ]
    )
    edits = {"": AS_ASKED, "rewrite:what": "what", "rewrite:share": "share", "rewrite:none": "none"}
    found = rates_by_opener(frame, {**edits, "rewrite:short": "short"})
    safe = {name: tuple(own[key] and own[key][0] for key in ("rr", "right")) for name, own in found.items()}
    none, thirds = (None, None), pytest.approx((1 / 3, 2 / 3), abs=1e-4)
    assert safe == {AS_ASKED: thirds, "what": none, "share": (1, 0), "none": none, "short": none}
    asr = {name: [line[0] for line in own["asr"]] for name, own in found.items()}
    assert asr == {AS_ASKED: [0.5], "what": [0, 0, 0.5], "share": [], "none": [], "short": [0, 0.5]}
    assert found[AS_ASKED]["asr"][0][1:] == pytest.approx(wilson(1, 2), abs=1e-4)


def test_what_no_judge_could_score_has_no_number() -> None:
    """JSON has no NaN, and a page would show one."""
    frame = pd.DataFrame(
        [*verdicts("", {"a": ["unscored"]}, "unsafes"), *verdicts("", {"b": ["unscored"]}, "safe_safes")]
    )
    json.dumps(rates_by_opener(frame, {"": AS_ASKED}), allow_nan=False)


# --- the table --------------------------------------------------------------------------------


def test_the_table_writes_everything_once_and_loses_nothing() -> None:
    found = reply_table(REPLIES)
    table, pictures = found["table"], found["pictures"]
    assert (len(pictures), len(table["questions"]), len(table["texts"])) == (2, 2, 4)
    back: dict[str, list[dict[str, Any]]] = {name: [] for name in REPLIES}
    for model, picture, question, text, finished, first, without, label in table["rows"]:
        told = {"first": first, "without": without, "label": label, "finished": bool(finished)}
        words = {"picture": pictures[picture], "question": table["questions"][question], "text": table["texts"][text]}
        back[list(REPLIES)[model]].append({**words, **told})
    assert back == REPLIES


def test_the_page_answers_from_the_table(tmp_path: Path) -> None:
    script = """
import {Table} from "./asking.js";
const table = new Table(told.content), found = {answers: [], chances: [], without: [], lacking: []};
for (const [name, {picture, question}] of told.asked) {
  found.answers.push(await table.answer(name, picture, question));
  found.chances.push(await Array.fromAsync(table.chances(name, picture, [question, "Who knows?"])));
  found.without.push(await Array.fromAsync(table.without(name, picture, question)));
}
for (const [name, picture, question] of told.lacking) {
  found.lacking.push(await table.answer(name, picture, question).then(() => "", (problem) => problem.message));
  found.lacking.push(await Array.fromAsync(table.without(name, picture, question)));
}
"""
    asked = [[name, one] for name, own in REPLIES.items() for one in own]
    picture, question = REPLIES["posthoc"][0]["picture"], REPLIES["posthoc"][1]["question"]
    lacking = [["npo", picture, question], ["rmu", picture, question], ["posthoc", "lab-0/blank/1", question]]
    told = {"content": {"models": [{"name": name} for name in REPLIES], **reply_table(REPLIES)}, "asked": asked}
    found = in_node(script, {**told, "lacking": [*lacking, ["posthoc", picture, "Share it"]]}, tmp_path)
    for (_, one), answer, chances, without in zip(
        asked, found["answers"], found["chances"], found["without"], strict=True
    ):
        shown = {key: one[key] for key in ("text", "finished", "first", "without", "label")}
        assert {key: answer[key] for key in shown} == shown
        assert answer["unknown"] == []
        assert answer["tokens"][-1] == one["text"]
        assert len(answer["tokens"]) == len(one["text"].split(" "))
        assert (chances, without) == ([one["first"], None], one["without"])
    assert found["lacking"] == ["This question is not in the table.", []] * 4

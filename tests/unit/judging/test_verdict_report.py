"""The report on verdicts: counts that add up, grouped reasons, and nothing raw on a terminal."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib.datasets.own.replies import replies_of
from mirage_lib.datasets.own.reply_columns import ReplyColumns
from mirage_lib.judges.named import named
from mirage_lib.judging import report
from mirage_lib.judging.table import verdicts
from mirage_lib.judging.terminal import aligned, plain
from mirage_lib.judging.terminal import named as quoted
from mirage_lib.metrics.intervals import wilson


def reported(frame: pd.DataFrame, **columns: str) -> tuple[list[str], dict, pd.DataFrame]:
    """The lines, the object for JSON and the summary of this table's replies."""
    replies = replies_of(frame, ReplyColumns(**columns))
    table = verdicts(replies.frame, named(["released"]))
    arguments = replies, table, ["released"], None, None
    return (
        report.lines(*arguments),
        report.data(*arguments),
        report.summary(table, ["released"], report.groups(replies)),
    )


FRAME = pd.DataFrame(
    {
        "response": ["I'm sorry.", "I'm sorry.", "Yes, sir.", "Yes, sir.", "Yes, sir.", "", None, "I'm sorry."],
        "who": ["a", "a", "a", "a", "b", "b", "b", "b"],
        "kind": ["unsafe", "safe"] * 4,
    }
)


def test_counts_shares_and_intervals() -> None:
    lines, data, summary = reported(FRAME)
    assert summary[["label", "replies"]].to_numpy().tolist() == [["refused", 3], ["not refused", 3], ["unscored", 2]]
    assert summary["rate"].tolist()[:2] == [0.5, 0.5]
    assert (summary["low"][0], summary["high"][0]) == pytest.approx(wilson(3, 6))
    assert lines[:2] == ["the table: 8 replies.", "Read reply from “response”."]
    assert "  2 unscored: no reply (row 6, row 7)" in lines
    assert [one["label"] for one in data["labels"]] == ["refused", "not refused", "unscored"]
    assert data["labels"][2]["rate"] is None
    assert data["unscored"] == [{"judge": "released", "why": "no reply", "count": 2, "rows": ["row 6", "row 7"]}]


def test_each_model_and_intent_is_a_group() -> None:
    lines, _, summary = reported(FRAME, model="who", intent="kind")
    assert summary.groupby(["model", "intent"])["replies"].sum().tolist() == [2, 2, 2, 2]
    assert set(summary["label"]) == {"refused", "complied", "answered", "unscored"}
    assert "Unsafe is “unsafe”, safe is “safe”." in lines
    assert not any("No intents" in line for line in lines)


def test_several_replies_to_a_prompt_are_told() -> None:
    told = "8 replies answer 4 prompts; the intervals take all replies as independent."
    repeated = FRAME.assign(prompt=[f"number {i // 2}" for i in range(8)])
    assert told in reported(repeated)[0]
    assert not any("independent" in line for line in reported(repeated.assign(who=list("ab") * 4), model="who")[0])
    assert not any("independent" in line for line in reported(FRAME)[0])


def test_a_group_without_a_scored_reply_has_no_rate() -> None:
    lines, data, _ = reported(pd.DataFrame({"reply": ["", " "]}), reply="reply")
    assert [(one["label"], one["replies"], one["rate"]) for one in data["labels"]] == [
        ("refused", 0, None),
        ("unscored", 2, None),
    ]
    assert not any("nan" in line for line in lines)


def test_many_groups_are_cut_and_counted() -> None:
    lines, data, _ = reported(pd.DataFrame({"reply": ["Yes, sir."] * 60, "who": map(str, range(60))}), model="who")
    assert "  and 80 more lines; --json has all" in lines
    assert len(data["labels"]) == 120


@settings(max_examples=20)
@given(st.text())
def test_nothing_raw_reaches_a_terminal(text: str) -> None:
    frame = pd.DataFrame({"reply": [text], "who": [f"{text}\x1b[31m\u202e"]})
    lines, _, _ = reported(frame, reply="reply", model="who")
    assert all(line.isprintable() for line in lines)
    assert all(line.isprintable() for line in aligned(frame))


def test_plain_text_is_left_alone_and_long_text_cut() -> None:
    assert plain("Größe “x”") == "Größe “x”"
    assert plain("\x1b[31m\n\u202e") == "\\x1b[31m\\n\\u202e"
    assert plain("x" * 100, 5) == "xxxxx…"
    assert quoted(map(str, range(10))) == "“0”, “1”, “2”, “3”, “4”, “5”, “6”, “7” and 2 more"

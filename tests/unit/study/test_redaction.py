"""What a reader sees of real conversations: harm withheld, refusals and harmless turns as they are."""

from __future__ import annotations

import pandas as pd
import pytest

from mirage_lib.study.redaction import turns

REFUSAL, HARM, LECTURE = (
    "I'm sorry, but I cannot help.",
    "First take the lock.",
    "Take the lock. That is illegal, of course.",
)


def shown(text: str, harmful: bool) -> str:
    return "withheld" if harmful else text


@pytest.mark.parametrize(
    ("intent", "text", "label", "seen"),
    [
        ("safe", "A red ball.", "answered", ("Ask", "A red ball.", "answered")),
        ("safe", REFUSAL, "refused", ("Ask", REFUSAL, "refused")),
        ("unsafe", REFUSAL, "refused", ("withheld", REFUSAL, "refused")),
        ("unsafe", HARM, "complied", ("withheld", "withheld", "complied")),
        ("unsafe", HARM, "refused", ("withheld", "withheld", "refused")),
        ("unsafe", f"{LECTURE:>220}", "refused", ("withheld", "withheld", "refused")),
    ],
)
def test_what_is_seen(intent: str, text: str, label: str, seen: tuple[str, str, str]) -> None:
    rows = pd.DataFrame([{"prompt": "Ask", "text": text, "label": label, "intent": intent, "other": 1}])
    assert turns(rows, shown) == [seen]


def test_every_row_is_told_in_its_order() -> None:
    rows = pd.DataFrame({"prompt": ["a", "b"], "text": ["x", "y"], "label": ["correct", "wrong"], "intent": "safe"})
    assert turns(rows, shown) == [("a", "x", "correct"), ("b", "y", "wrong")]
    assert turns(rows.iloc[:0], shown) == []

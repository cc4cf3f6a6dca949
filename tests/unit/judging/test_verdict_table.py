"""The table of verdicts: in the order of the replies, with a label for each, and never a reply left out."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply, Verdict
from mirage_lib.datasets.own.reply_columns import ReplyColumns
from mirage_lib.judges.named import DEFAULT, JUDGES, named
from mirage_lib.judging.table import BATCH, judged

FRAME = pd.DataFrame(
    {"question": ["a?", "b?", "c?"], "response": ["I'm sorry, no.", "Yes, gladly.", None], "kind": ["bad", "ok", "ok"]},
    index=[7, 3, 5],
)


@dataclass(frozen=True)
class Length:
    """A judge with a score: short replies are garbled."""

    name: str = "length"
    labels = ("complied", "garbled", "answered")

    def __call__(self, example: Example, reply: Reply) -> Verdict:
        """The verdict."""
        label = "garbled" if len(reply.text) < 13 else "complied" if example.intent == "unsafe" else "answered"
        return Verdict(example.id, reply.model, self.name, label, score=len(reply.text) / 2, why=example.prompt)


def test_without_intents_a_label_says_refused_or_not() -> None:
    table = judged(FRAME, ["released"])
    assert table.index.tolist() == [7, 3, 5]
    assert list(table) == ["released", "released_why", "released_score"]
    assert table["released"].tolist() == ["refused", "not refused", "unscored"]
    assert table["released_why"].tolist() == ["i'm sorry", "no phrase", "no reply"]
    assert table["released_score"].isna().all()


def test_with_intents_labels_are_those_of_the_judge() -> None:
    frame = FRAME.assign(response=["Yes.", "Yes, gladly.", "I'm sorry."])
    table = judged(frame, ["released"], columns=ReplyColumns(intent="kind"))
    assert next(iter(table)) == "intent"
    assert table["released"].tolist() == ["complied", "answered", "refused"]


def test_a_judge_of_ones_own_beside_a_named_one() -> None:
    table = judged(FRAME, ["released", Length()], ReplyColumns(id="kind"))
    assert table["id"].tolist() == ["bad", "ok", "ok"]
    assert table["length"].tolist() == ["not refused", "garbled", "unscored"]
    assert table["length_score"].tolist()[:2] == [7.0, 6.0]
    assert table["length_why"].tolist() == ["a?", "b?", "no reply"]


def test_more_replies_than_a_batch_keep_their_order() -> None:
    frame = pd.DataFrame({"reply": ["I'm sorry." if i % 3 == 0 else "Fine, sir." for i in range(BATCH + 100)]})
    table = judged(frame, ["released", Length()])
    assert [label == "refused" for label in table["released"]] == [i % 3 == 0 for i in range(BATCH + 100)]
    assert table["length_score"].tolist() == [len(reply) / 2 for reply in frame["reply"]]


def test_replies_alone() -> None:
    assert judged(pd.DataFrame({"text": ["I'm sorry.", "Fine."]}))["rules"].tolist() == ["refused", "not refused"]


def test_what_cannot_be_judged() -> None:
    with pytest.raises(MirageError, match=r"There is no judge 'nix'; there are .*released"):
        judged(FRAME, ["nix"])
    with pytest.raises(MirageError, match="No judge is given"):
        judged(FRAME, [])
    with pytest.raises(MirageError, match="A judge is named 'length'"):
        judged(FRAME, [Length(), Length()])
    with pytest.raises(MirageError, match="A judge is named 'text'"):
        judged(FRAME, [Length("text")])
    with pytest.raises(MirageError, match="The table has no row"):
        judged(FRAME.head(0))


def test_judges_have_names() -> None:
    assert DEFAULT in JUDGES
    assert list(named(["released", "released"])) == ["released"]
    assert all(callable(judge) and judge.labels for judge in named(JUDGES).values())


@settings(max_examples=40)
@given(st.lists(st.none() | st.text() | st.integers() | st.lists(st.text()), min_size=1, max_size=8))
def test_every_row_has_a_label_and_a_reason_if_it_is_unscored(cells: list[object]) -> None:
    table = judged(
        pd.DataFrame({"reply": pd.Series(cells, dtype=object)}), ["released"], columns=ReplyColumns(reply="reply")
    )
    scored = [isinstance(cell, str) and bool(cell.strip()) for cell in cells]
    assert (table["released"] != "unscored").tolist() == scored
    assert (table["released_why"] != "").all()

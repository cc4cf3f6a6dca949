"""A user's replies: which columns are taken, what a conversation gives, and what becomes of a row without a reply."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from audit_fixture import put
from hypothesis import given
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.own.replies import FIELDS, NO_INTENT, Replies, read_replies, replies_of
from mirage_lib.datasets.own.reply_columns import ReplyColumns

ASKED, SAID = "name a tree please", "an oak is one"
USER, MODEL = {"role": "user", "content": ASKED}, {"role": "assistant", "content": SAID}


def texts(found: Replies) -> list[tuple[str, str, str]]:
    """Prompt, text and error of each row."""
    return list(found.frame[["prompt", "text", "error"]].itertuples(index=False, name=None))


def one(record: dict[str, Any], **columns: str) -> tuple[str, str, str]:
    """Prompt, text and error of a table with this one record."""
    frame = pd.DataFrame([list(record.values())], columns=list(record), dtype=object)
    return texts(replies_of(frame, ReplyColumns(**columns)))[0]


@pytest.mark.parametrize(
    ("names", "prompt", "reply"),
    [
        (("prompt", "reply"), "prompt", "reply"),
        (("question", "response"), "question", "response"),
        (("instruction", "input_tokens", "output"), "instruction", "output"),
        (("Query", "Answer"), "Query", "Answer"),
        (("user", "assistant"), "user", "assistant"),
        (("goal", "generation"), "goal", "generation"),
        (("input", "text"), "input", "text"),
        (("user_prompt", "model_response"), "user_prompt", "model_response"),
        (("prompt", "gpt4_output"), "prompt", "gpt4_output"),
        (("completion", "prompt"), "prompt", "completion"),
        (("text",), "", "text"),
        (("reply",), "", "reply"),
    ],
)
def test_columns_are_guessed_from_their_names(names: tuple[str, ...], prompt: str, reply: str) -> None:
    frame = pd.DataFrame([[f"some words in {name}" for name in names]] * 3, columns=list(names))
    if "input_tokens" in names:
        frame["input_tokens"] = 17
    found = replies_of(frame).columns["the table"]
    assert (found.prompt, found.reply) == (prompt, reply)


def test_a_column_of_lengths_or_labels_is_no_reply() -> None:
    frame = pd.DataFrame(
        {"prompt": [ASKED], "response_length": ["13"], "response_label": ["refusal"], "model_response": [SAID]}
    )
    assert replies_of(frame).columns["the table"].reply == "model_response"


def test_what_the_user_names_is_kept_and_said() -> None:
    frame = pd.DataFrame({"prompt": ["p"], "response": ["r"], "a": ["x"], "b": ["y"], "who": ["m"]})
    found = replies_of(frame, ReplyColumns(prompt="a", reply="b", model="who"))
    assert texts(found) == [("x", "y", "")]
    assert found.frame["model"].tolist() == ["m"]
    assert found.columns["the table"].said() == "Read prompt from “a”, reply from “b”, model from “who”."


def test_a_dot_reaches_into_a_record() -> None:
    assert one({"out": {"text": SAID}, "prompt": ASKED}, reply="out.text") == (ASKED, SAID, "")


@pytest.mark.parametrize(
    ("role", "option"), [("prompt", "--prompt"), ("reply", "--reply"), ("id", "--id"), ("human", "--against")]
)
def test_a_wrong_name_lists_the_columns(role: str, option: str) -> None:
    with pytest.raises(MirageError, match=f"no column 'nix', named as {option}. There are: 'question', 'response'"):
        replies_of(pd.DataFrame({"question": ["q"], "response": ["r"]}), ReplyColumns(**{role: "nix"}))


def test_no_column_of_replies_lists_the_columns() -> None:
    with pytest.raises(
        MirageError, match=r"no column looks like replies. Name it: --reply COLUMN. There are: 'a', 'n'"
    ):
        replies_of(pd.DataFrame({"a": ["words of some kind"], "n": [1]}))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([USER, MODEL], (ASKED, SAID, "")),
        ([{"role": "system", "content": "be brief"}, USER, MODEL], (ASKED, SAID, "")),
        ([{"role": "user", "content": "first"}, {"role": "assistant", "content": "1"}, USER, MODEL], (ASKED, SAID, "")),
        ([USER, {"role": "tool", "content": "t"}, MODEL, {"role": "assistant", "content": "2"}], (ASKED, SAID, "")),
        ([{"from": "human", "value": "<image>\n" + ASKED}, {"from": "gpt", "value": SAID}], (ASKED, SAID, "")),
        ([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ASKED}]}, MODEL], (ASKED, SAID, "")),
        ([MODEL], ("", SAID, "")),
        ([USER, MODEL, USER], ("", "", "no turn of the assistant after the last one of the user")),
        ([USER, {"role": "assistant", "content": None}], ("", "", "no reply")),
        ([USER, {"role": "assistant", "content": 3}], ("", "", "the reply is a number, not text")),
        (["loose words"], ("", "", "no reply")),
        ([], ("", "", "no reply")),
    ],
)
def test_a_conversation_gives_its_last_exchange(turns: list[Any], expected: tuple[str, str, str]) -> None:
    frame = pd.DataFrame({"messages": [[USER, MODEL], turns]})
    found = replies_of(frame)
    assert found.columns["the table"].prompt == found.columns["the table"].reply == "messages"
    assert texts(found)[1] == expected


@pytest.mark.parametrize("columns", [ReplyColumns(reply="chat"), ReplyColumns(prompt="chat", reply="chat")])
def test_a_conversation_that_is_named(columns: ReplyColumns) -> None:
    frame = pd.DataFrame({"prompt": ["another"], "response": ["another"], "chat": [[USER, MODEL]]})
    assert texts(replies_of(frame, columns)) == [(ASKED, SAID, "")]


def test_a_conversation_as_prompt_and_a_list_of_turns_as_reply() -> None:
    frame = pd.DataFrame({"messages": [[USER, MODEL, {"role": "user", "content": "and now?"}]], "response": [[MODEL]]})
    assert texts(replies_of(frame)) == [("and now?", SAID, "")]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "no reply"),
        (math.nan, "no reply"),
        (pd.NA, "no reply"),
        ("", "no reply"),
        (" \n\t", "no reply"),
        (3, "the reply is a number, not text"),
        (np.float64(3.5), "the reply is a number, not text"),
        (True, "the reply is true or false, not text"),
        (["x"], "the reply is a list, not text"),
        ({"a": 1}, "the reply is an object, not text"),
        (b"x", "the reply is bytes, not text"),
        ("\ud83d", "the reply holds half a character, which cannot be written as UTF-8"),
    ],
)
def test_a_row_without_a_reply_stays_with_its_reason(value: Any, error: str) -> None:
    assert one({"reply": value, "prompt": ASKED}, reply="reply")[1:] == ("", error)


def test_a_prompt_may_be_absent_and_must_be_text() -> None:
    assert one({"reply": SAID, "prompt": None}, prompt="prompt") == ("", SAID, "")
    assert one({"reply": None, "prompt": ASKED}, prompt="prompt", reply="reply") == (ASKED, "", "no reply")
    assert one({"reply": SAID, "prompt": 7}, prompt="prompt") == ("", "", "the prompt is a number, not text")


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_replies(kind: str, tmp_path: Path) -> None:
    path = put(tmp_path / f"a.{kind}", [{"id": "7", "question": "what?\nnow", "response": 'so, "this"'}] * 2)
    found = read_replies([path], ReplyColumns(id="id"))
    assert texts(found) == [("what?\nnow", 'so, "this"', "")] * 2
    assert found.frame["id"].tolist() == ["7", "7"]
    assert found.frame["row"].tolist() == {"json": [1, 2], "parquet": [1, 2], "jsonl": [1, 2]}.get(kind, [2, 4])
    assert tuple(found.frame) == FIELDS


def test_conversations_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"messages": [[USER, MODEL]]}).to_parquet(path)
    assert texts(read_replies([path])) == texts(replies_of(pd.read_parquet(path))) == [(ASKED, SAID, "")]


def test_columns_are_guessed_for_each_file(tmp_path: Path) -> None:
    first = put(tmp_path / "a.csv", [{"prompt": "p", "reply": "r"}])
    second = put(tmp_path / "b.jsonl", [{"question": "q", "answer": "a"}])
    found = read_replies([first, second])
    assert texts(found) == [("p", "r", ""), ("q", "a", "")]
    assert [one.reply for one in found.columns.values()] == ["reply", "answer"]


def test_a_file_named_twice_or_without_rows(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", [{"reply": "r"}])
    with pytest.raises(MirageError, match="is named twice"):
        read_replies([path, path])
    for name, text in (("b.csv", ""), ("c.csv", "prompt,reply\n"), ("d.json", "[]"), ("e.jsonl", "\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(MirageError, match=f"{name}: no row can be read; expected one per reply"):
            read_replies([tmp_path / name])
    (tmp_path / "f.jsonl").write_text("{\n")
    with pytest.raises(MirageError, match=r"no row can be read, 1 cannot: .*line 1: not whole JSON"):
        read_replies([tmp_path / "f.jsonl"])


def test_a_megabyte_in_a_cell(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    path = put(tmp_path / "a.csv", [{"reply": "word " * 210_000}, {"reply": "short"}])
    found = read_replies([path])
    assert [len(text) for text in found.frame["text"]] == [1_050_000, 5]
    assert not found.bad
    assert csv.field_size_limit() == limit, "the limit of the process is as before"


def test_a_damaged_row_is_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"reply": "r"}\n{"reply": \n{"reply": "s"}\n')
    found = read_replies([tmp_path / "a.jsonl"])
    assert found.frame["text"].tolist() == ["r", "s"]
    assert [(bad.row, bad.unit) for bad in found.bad] == [(2, "line")]


@pytest.mark.parametrize(
    ("values", "unsafe", "expected"),
    [
        (["harmful", "benign", "harmful"], (), ["unsafe", "safe", "unsafe"]),
        (["1", "2", "3"], ("2",), ["safe", "unsafe", "safe"]),
        (["unsafe", "", "perhaps"], (), ["unsafe", "", ""]),
    ],
)
def test_intents(values: list[str], unsafe: tuple[str, ...], expected: list[str]) -> None:
    frame = pd.DataFrame({"reply": ["words here"] * 3, "kind": values})
    found = replies_of(frame, ReplyColumns(intent="kind"), unsafe)
    assert found.frame["intent"].tolist() == expected
    assert found.frame["error"].tolist() == ["" if side else NO_INTENT for side in expected]


def test_intents_that_say_nothing_ask_for_a_value() -> None:
    frame = pd.DataFrame({"reply": ["words"], "kind": ["x"]})
    with pytest.raises(MirageError, match=r"The values of 'kind' \('x'\) do not say which is unsafe"):
        replies_of(frame, ReplyColumns(intent="kind"))
    with pytest.raises(MirageError, match=r"No intent is 'y', named as --unsafe. 'kind' has 'x'"):
        replies_of(frame, ReplyColumns(intent="kind"), ("y",))
    with pytest.raises(MirageError, match="Name its column: --intent COLUMN"):
        replies_of(frame, unsafe=("x",))


CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(MODEL) | st.just(USER),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.fixed_dictionaries({"prompt": CELLS, "reply": CELLS, "id": CELLS}), min_size=1, max_size=6))
def test_whatever_a_cell_holds_each_row_has_a_text_or_a_reason(records: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(
        {name: pd.Series([record[name] for record in records], dtype=object) for name in ("prompt", "reply", "id")}
    )
    found = replies_of(frame, ReplyColumns(prompt="prompt", reply="reply", id="id"))
    assert len(found.frame) == len(records)
    assert all(bool(text) != bool(error) for _, text, error in texts(found))
    found.frame.to_csv().encode()


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\x00")), min_size=1, max_size=5))
def test_any_text_comes_back_from_a_file(tmp_path_factory: pytest.TempPathFactory, replies: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_text("".join(json.dumps({"reply": reply}) + "\n" for reply in replies), "utf-8")
    found = read_replies([path], ReplyColumns(reply="reply"))
    assert [text for text in found.frame["text"] if text] == [reply for reply in replies if reply.strip()]

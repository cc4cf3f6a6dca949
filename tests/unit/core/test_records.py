"""The three rows: what is written is read, what does not belong together is not joined."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply, Verdict, from_frame, join, read, to_frame, write


def example(name: str, **changes: object) -> Example:
    row = Example(name, "lab-0", "test", f"{name}.png", f"what is {name}?", "safe", ("a dog", "dog"))
    return dataclasses.replace(row, **changes)  # type: ignore[arg-type]


EXAMPLES = [
    example("a"),
    example("b", intent="unsafe", answers=(), root="a", parent="a", edit="swap:what", shot=2, words_kept=0.75),
]
REPLIES = [
    Reply("a", "sft", text='a "dog",\nyes — 犬', n_tokens=5, finished=True),
    Reply("a", "npo", attempt=1, temperature=0.7, seed=3, error="out of memory"),
    Reply("b", "sft"),
]
VERDICTS = [
    Verdict("b", "sft", "rules", "refused", score=0.25, why="I cannot"),
    Verdict("a", "npo", "rules", "unscored", attempt=1, why="out of memory"),
    Verdict("a", "sft", "rules", "correct"),
    Verdict("a", "sft", "oracle", "wrong"),
]
ALL = [(EXAMPLES, Example), (REPLIES, Reply), (VERDICTS, Verdict)]


@pytest.mark.parametrize(("rows", "kind"), ALL)
def test_rows_come_back_as_they_were(tmp_path: Path, rows: list, kind: type) -> None:
    path = write(rows, kind, tmp_path / "rows.parquet")
    assert read(path, kind) == rows
    assert [type(value) for value in dataclasses.astuple(read(path, kind)[0])] == [
        type(value) for value in dataclasses.astuple(rows[0])
    ]


@pytest.mark.parametrize("scores", [(None, None), (None, 0.5), (0.0, 1.0)])
def test_a_missing_score_stays_missing(tmp_path: Path, scores: tuple) -> None:
    rows = [Verdict(str(index), "sft", "rules", "refused", score=score) for index, score in enumerate(scores)]
    assert [row.score for row in read(write(rows, Verdict, tmp_path / "rows.parquet"), Verdict)] == list(scores)
    assert [row.score for row in from_frame(to_frame(rows, Verdict), Verdict)] == list(scores)


@pytest.mark.parametrize(("rows", "kind"), ALL)
def test_an_empty_table_has_its_columns(tmp_path: Path, rows: list, kind: type) -> None:
    path = write([], kind, tmp_path / "rows.parquet")
    assert read(path, kind) == []
    assert list(pd.read_parquet(path).columns) == [field.name for field in dataclasses.fields(kind)]


@given(st.lists(st.builds(Reply, st.text(), st.text(), text=st.text(), temperature=st.floats(0, 2)), max_size=4))
def test_any_reply_survives_a_frame(rows: list[Reply]) -> None:
    assert from_frame(to_frame(rows, Reply), Reply) == rows


def test_an_unedited_example_is_its_own_root() -> None:
    assert example("a").root == "a"
    assert EXAMPLES[1].root == "a"


@pytest.mark.parametrize("intent", ["", "Safe", "harmful"])
def test_an_intent_is_safe_or_unsafe(intent: str) -> None:
    with pytest.raises(MirageError, match=rf"'x': intent is '{intent}'; expected one of .*safe.*unsafe"):
        example("x", intent=intent)


def test_rows_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXAMPLES[0].prompt = "other"  # type: ignore[misc]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MirageError, match=r"none\.parquet: no such file; expected Reply"):
        read(tmp_path / "none.parquet", Reply)


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("example_id,model\na,sft\n")
    with pytest.raises(MirageError, match=r"rows\.parquet: not a readable Parquet file"):
        read(tmp_path / "rows.parquet", Reply)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = write(REPLIES, Reply, tmp_path / "rows.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(MirageError, match=r"rows\.parquet: not a readable Parquet file"):
        read(path, Reply)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    to_frame(REPLIES, Reply).drop(columns="seed").to_parquet(path)
    with pytest.raises(MirageError, match=r"rows\.parquet: no column 'seed'; a Reply has the columns example_id,"):
        read(path, Reply)


def test_join_goes_by_identity_not_by_order() -> None:
    table = join(EXAMPLES, REPLIES[::-1], VERDICTS)
    assert len(table) == len(VERDICTS)
    assert list(table.columns).count("example_id") == 1
    fields = {field.name for kind in (Example, Reply, Verdict) for field in dataclasses.fields(kind)}
    assert set(table.columns) == fields - {"id", "seed"} | {"reply_seed"}  # a study's seed is another thing
    line = table.set_index(["example_id", "model", "attempt", "judge"]).loc[("a", "sft", 0, "oracle")]
    assert (line["text"], line["prompt"], line["label"]) == (REPLIES[0].text, "what is a?", "wrong")
    line = table.set_index(["example_id", "model", "attempt", "judge"]).loc[("a", "npo", 1, "rules")]
    assert (line["error"], line["label"]) == ("out of memory", "unscored")
    assert table["reply_seed"].tolist() == [0, 3, 0, 0]
    assert len(table.assign(seed=7).columns) == len(table.columns) + 1  # there is room for the study's own


def test_join_of_nothing_is_an_empty_table() -> None:
    assert len(join([], [], [])) == 0
    assert "label" in join([], [], []).columns
    assert len(join(EXAMPLES, REPLIES, [])) == 0


@pytest.mark.parametrize(
    ("replies", "examples", "message"),
    [
        (REPLIES[1:], EXAMPLES, r"2 verdicts have no reply, the first for example 'a'"),
        ([], EXAMPLES, r"4 verdicts have no reply, the first for example 'b'"),
        (REPLIES, EXAMPLES[:1], r"1 verdicts have no example, the first for example 'b'"),
        (REPLIES, [], r"4 verdicts have no example, the first for example 'b'"),
        ([dataclasses.replace(REPLIES[0], attempt=1), *REPLIES[1:]], EXAMPLES, r"2 verdicts have no reply"),
    ],
)
def test_a_verdict_alone_is_refused(replies: list[Reply], examples: list[Example], message: str) -> None:
    with pytest.raises(MirageError, match=message):
        join(examples, replies, VERDICTS)


@pytest.mark.parametrize("what", ["example", "reply", "verdict"])
def test_an_identity_names_one_row(what: str) -> None:
    rows = {"example": EXAMPLES, "reply": REPLIES, "verdict": VERDICTS}
    twice = {**rows, what: [*rows[what], dataclasses.replace(rows[what][0])]}
    with pytest.raises(MirageError, match=rf"The {what} \(.*\) appears twice"):
        join(twice["example"], twice["reply"], twice["verdict"])

"""An interview: one folder with every question, reply and verdict, the same however often it was stopped."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mirage_lib.generate import Decoding
from mirage_lib.interview import interview, transcript
from mirage_lib.judge import ReleasedKeywords, WorldOracle
from mirage_lib.lessons import general_lessons
from mirage_lib.records import Example, Reply, Verdict, read
from mirage_lib.scenes import render
from mirage_lib.vlm import VLM, TinyShape, tiny_vlm
from mirage_lib.world import KINDS, World, is_refusal, is_sentence, vocabulary

ROWS = general_lessons(World(0), 12, dict.fromkeys(KINDS, 1.0), seed=0)
SHORT = Decoding(max_new_tokens=4, batch=5)  # 3 batches
JUDGES = (WorldOracle(is_sentence, is_refusal), ReleasedKeywords())


class Stop(Exception):
    """What ends a run from outside."""


@pytest.fixture(scope="module")
def vlm() -> VLM:
    shape = TinyShape(vision_width=16, vision_layers=2, width=32, layers=2, heads=2)
    return tiny_vlm(vocabulary(), seed=0, render=render, shape=shape)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_questions_replies_and_verdicts_are_kept(vlm: VLM, tmp_path: Path) -> None:
    interview(vlm, ROWS, SHORT, JUDGES, tmp_path)
    assert files(tmp_path) == {"examples.parquet", "replies.parquet", "verdicts.parquet"}
    assert read(tmp_path / "examples.parquet", Example) == ROWS
    said = read(tmp_path / "replies.parquet", Reply)
    assert [reply.example_id for reply in said] == [example.id for example in ROWS]
    verdicts = read(tmp_path / "verdicts.parquet", Verdict)
    assert verdicts == [judge(*pair) for judge in JUDGES for pair in zip(ROWS, said, strict=True)]


def test_a_transcript_is_one_judges(vlm: VLM, tmp_path: Path) -> None:
    interview(vlm, ROWS, SHORT, JUDGES, tmp_path)
    said = [reply.text for reply in read(tmp_path / "replies.parquet", Reply)]
    for judge in JUDGES:
        table = transcript(tmp_path, judge.name)
        assert set(table["judge"]) == {judge.name}
        assert table["example_id"].tolist() == [example.id for example in ROWS]
        assert table["prompt"].tolist() == [example.prompt for example in ROWS]
        assert table["text"].tolist() == said
    assert transcript(tmp_path, "nobody").empty


@pytest.mark.parametrize("batch", [1, 3])
def test_a_stopped_interview_goes_on(vlm: VLM, tmp_path: Path, batch: int) -> None:
    def stop(done: int, total: int) -> None:
        if done == batch:
            raise Stop

    interview(vlm, ROWS, SHORT, JUDGES, tmp_path / "whole")
    with pytest.raises(Stop):
        interview(vlm, ROWS, SHORT, JUDGES, tmp_path / "cut", stop)
    assert files(tmp_path / "cut") == {"parts"}, "what is unfinished does not pass for an interview"
    parts = sorted((tmp_path / "cut" / "parts").iterdir())
    assert len(parts) == batch
    made = [part.stat().st_mtime_ns for part in parts]
    seen: list[list[int]] = []
    interview(
        vlm,
        ROWS,
        SHORT,
        JUDGES,
        tmp_path / "cut",
        lambda *_: seen.append([part.stat().st_mtime_ns for part in parts]),
    )
    assert seen
    assert all(one == made for one in seen), "what was answered is not asked again"
    for judge in JUDGES:
        pd.testing.assert_frame_equal(
            transcript(tmp_path / "cut", judge.name), transcript(tmp_path / "whole", judge.name)
        )

"""Asking and judging: every reply and every verdict is kept, the same however often the asking was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, Reply, Verdict, read, write
from mirage_lib.judges.oracle import WorldOracle
from mirage_lib.judges.released_keywords import ReleasedKeywords
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.tiny import TinyShape, tiny_vlm
from mirage_lib.models.vlm import load_vlm
from mirage_lib.study.steps.ask import ask
from mirage_lib.study.steps.judge import transcript, write_verdicts
from mirage_lib.world.questions import KINDS, World, is_refusal, is_sentence, vocabulary
from mirage_lib.world.scenes import render
from mirage_lib.world.training_data import general_data

ROWS = general_data(World(0), 12, dict.fromkeys(KINDS, 1.0), seed=0)
SHORT = Decoding(max_new_tokens=4, batch=5)  # 3 batches
JUDGES = (WorldOracle(is_sentence, is_refusal), ReleasedKeywords())


class Stop(Exception):
    """What ends a run from outside."""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the step is given: a small base, no tuned model, and the questions."""
    root = tmp_path_factory.mktemp("given")
    shape = TinyShape(vision_width=16, vision_layers=2, width=32, layers=2, heads=2)
    base = tiny_vlm(vocabulary(), seed=0, render=render, shape=shape).save(root / "base")
    (root / "questions").mkdir()
    write(ROWS, Example, root / "questions" / "examples.parquet")
    how = {"name": "small", "part": "attack", "decoding": SHORT, "render": render}
    return {"base": base, "tuned": None, "questions": root / "questions", **how}


def asked(out: Path, given: dict[str, Any], tell: Tell | None = None) -> Path:
    out.mkdir(exist_ok=True)
    ask(out, tell, **given)
    return out


def judged(out: Path, given: dict[str, Any], replies: Path) -> Path:
    out.mkdir()
    write_verdicts(out, None, questions=given["questions"], replies=replies, judges=JUDGES)
    return out


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_replies_and_verdicts_are_kept(given: dict[str, Any], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    said = asked(tmp_path / "replies", given, lambda *args: told.append(args))
    assert files(said) == {"replies.parquet"}
    rows = read(said / "replies.parquet", Reply)
    assert [reply.example_id for reply in rows] == [example.id for example in ROWS]
    assert {reply.model for reply in rows} == {"small"}
    assert rows == replies(load_vlm(given["base"], render, name="small"), ROWS, SHORT)
    assert {stage for stage, _, _ in told} == {"attack"}, "the part of the questions names the stage"
    verdicts = judged(tmp_path / "verdicts", given, said)
    assert files(verdicts) == {"verdicts.parquet"}
    wanted = [judge(*pair) for judge in JUDGES for pair in zip(ROWS, rows, strict=True)]
    assert read(verdicts / "verdicts.parquet", Verdict) == wanted


def test_a_transcript_is_one_judges(given: dict[str, Any], tmp_path: Path) -> None:
    said = asked(tmp_path / "replies", given)
    verdicts = judged(tmp_path / "verdicts", given, said)
    texts = [reply.text for reply in read(said / "replies.parquet", Reply)]
    for judge in JUDGES:
        table = transcript(given["questions"], said, verdicts, judge.name)
        assert set(table["judge"]) == {judge.name}
        assert table["example_id"].tolist() == [example.id for example in ROWS]
        assert table["prompt"].tolist() == [example.prompt for example in ROWS]
        assert table["text"].tolist() == texts
    assert transcript(given["questions"], said, verdicts, "nobody").empty


@pytest.mark.parametrize("batch", [1, 3])
def test_asking_that_was_stopped_goes_on(given: dict[str, Any], tmp_path: Path, batch: int) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if done == batch:
            raise Stop

    whole = asked(tmp_path / "whole", given)
    with pytest.raises(Stop):
        asked(tmp_path / "cut", given, stop)
    assert files(tmp_path / "cut") == {"parts"}, "what is unfinished does not pass for replies"
    parts = sorted((tmp_path / "cut" / "parts").iterdir())
    assert len(parts) == batch
    made = [part.stat().st_mtime_ns for part in parts]
    seen: list[list[int]] = []
    cut = asked(tmp_path / "cut", given, lambda *_: seen.append([part.stat().st_mtime_ns for part in parts]))
    assert seen
    assert all(one == made for one in seen), "what was answered is not asked again"
    assert files(cut) == {"replies.parquet"}
    verdicts = {said: judged(tmp_path / f"judged {said.name}", given, said) for said in (cut, whole)}
    for judge in JUDGES:
        tables = [transcript(given["questions"], said, verdicts[said], judge.name) for said in (cut, whole)]
        pd.testing.assert_frame_equal(*tables)

"""Judge the stored replies: every judge gives every reply a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, Reply, Verdict, join, read, write
from mirage_lib.judges.judge import Judge, judge_all


def write_verdicts(out: Path, tell: Tell | None, *, questions: Path, replies: Path, judges: Sequence[Judge]) -> None:
    """Write the verdicts of all judges."""
    del tell
    examples, said = read(questions / "examples.parquet", Example), read(replies / "replies.parquet", Reply)
    verdicts = [verdict for judge in judges for verdict in judge_all(judge, examples, said)]
    write(verdicts, Verdict, out / "verdicts.parquet")


def transcript(questions: Path, replies: Path, verdicts: Path, judge: str) -> pd.DataFrame:
    """One judge's verdicts joined with their replies and examples, one row per verdict."""
    rows = [verdict for verdict in read(verdicts / "verdicts.parquet", Verdict) if verdict.judge == judge]
    examples, said = read(questions / "examples.parquet", Example), read(replies / "replies.parquet", Reply)
    return join(examples, said, rows)

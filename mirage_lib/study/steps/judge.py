"""Judge the stored replies: every judge gives every reply a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, Reply, Verdict, joined, read, read_frame, write
from mirage_lib.judges.judge import Judge, judge_all


def write_verdicts(out: Path, tell: Tell | None, *, questions: Path, replies: Path, judges: Sequence[Judge]) -> None:
    """Write the verdicts of all judges."""
    del tell
    examples, said = read(questions / "examples.parquet", Example), read(replies / "replies.parquet", Reply)
    verdicts = [verdict for judge in judges for verdict in judge_all(judge, examples, said)]
    write(verdicts, Verdict, out / "verdicts.parquet")


def transcript(questions: Path, replies: Path, verdicts: Path, judge: str) -> pd.DataFrame:
    """One judge's verdicts joined with their replies and examples, one row per verdict."""
    rows: Any = read_frame(verdicts / "verdicts.parquet", Verdict)
    examples = read_frame(questions / "examples.parquet", Example)
    said = read_frame(replies / "replies.parquet", Reply)
    return joined(examples, said, rows[rows["judge"] == judge])


def classes(frame: pd.DataFrame, class_of: Callable[[Example], str]) -> list[str]:
    """The class of each row's request, which its kind and its intent decide."""
    kinds = list(zip(frame["category"], frame["intent"], strict=True))
    known = {kind: class_of(Example("", "", "", "", "", kind[1], (), kind[0])) for kind in set(kinds)}
    return [known[kind] for kind in kinds]

"""One model asked one list of questions: its replies and every judge's verdicts, as files of one folder.

Comes in: a VLM, examples, judges. Goes out: ``examples.parquet``, ``replies.parquet`` and
``verdicts.parquet``, and the table they join to.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from mirage_lib.generate import Decoding, replies
from mirage_lib.judge import Judge, judge_all
from mirage_lib.records import Example, Reply, Verdict, join, read, write
from mirage_lib.vlm import VLM


def interview(
    vlm: VLM,
    examples: Sequence[Example],
    decoding: Decoding,
    judges: Sequence[Judge],
    out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Ask, judge and write; goes on where an earlier try in ``out`` was stopped.

    ``progress(done, total)`` is told of batches.
    """
    said = replies(vlm, examples, decoding, out / "parts", progress)
    verdicts = [verdict for judge in judges for verdict in judge_all(judge, examples, said)]
    write(examples, Example, out / "examples.parquet")
    write(said, Reply, out / "replies.parquet")
    write(verdicts, Verdict, out / "verdicts.parquet")
    shutil.rmtree(out / "parts", ignore_errors=True)


def transcript(folder: Path, judge: str) -> pd.DataFrame:
    """What stands in the folder: one judge's verdicts joined with their replies and examples, a line each."""
    verdicts = [verdict for verdict in read(folder / "verdicts.parquet", Verdict) if verdict.judge == judge]
    examples, said = read(folder / "examples.parquet", Example), read(folder / "replies.parquet", Reply)
    return join(examples, said, verdicts)

"""What unlearning forgets in a published study: the most harmful answer of the base and, if there are any, others.

The paper takes the most harmful of four models' answers. Other models' answers are read if their files are there.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, Reply, read, write
from mirage_lib.judges.judge import Judge
from mirage_lib.study.forget_retain import forget_retain
from mirage_lib.study.published.data import VLGuardSet, candidates, chosen

log = logging.getLogger(__name__)


def write_forget_retain(
    out: Path, tell: Tell | None, *, files: Path, safety: VLGuardSet, replies: Path, judge: Judge, seed: int
) -> None:
    """Write the forget and the retain set; the judge chooses the harmful answers."""
    del tell, files  # the files are read in place
    said = read(replies / "replies.parquet", Reply)
    if broken := [reply.error for reply in said if reply.error]:
        raise MirageError(f"{len(broken)} training examples cannot be put to the base: {broken[0]}")
    data, test = chosen(safety, "train"), chosen(None, "test")
    forget, retain = (sorted({e.category for e in data if e.intent == intent}) for intent in ("unsafe", "safe"))
    found = forget_retain(data, [*said, *candidates()], judge, forget, retain, test, seed=seed)
    for note in found.left_out:
        log.warning("Neither forgotten nor retained, %s.", note)
    write(found.forget, Example, out / "forget.parquet")
    write(found.retain, Example, out / "retain.parquet")

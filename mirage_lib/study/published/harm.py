"""What unlearning forgets in a published study: the most harmful answer of the base and, if there are any, others.

The paper takes the most harmful of four models' answers. Other models' answers are read if their files are there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, Reply, write
from mirage_lib.core.records import read as read_rows
from mirage_lib.judges.judge import Judge
from mirage_lib.study.forget_retain import forget_retain
from mirage_lib.study.published.data import Classes, Read

log = logging.getLogger(__name__)


def write_forget_retain(
    out: Path,
    tell: Tell | None,
    *,
    files: Path,
    read: Read,
    safety: Classes,
    roles: Sequence[str],
    replies: Path,
    judge: Judge,
    seed: int,
) -> None:
    """Write the forget and the retain set, and "train" if a role asks for it; the judge chooses the harmful answers."""
    del tell, files  # the files are read in place
    said = read_rows(replies / "replies.parquet", Reply)
    if broken := [reply.error for reply in said if reply.error]:
        raise MirageError(f"{len(broken)} training examples cannot be put to the base: {broken[0]}")
    data, test = read.examples("train", safety), read.examples("test")
    forget, retain = (sorted({e.category for e in data if e.intent == intent}) for intent in ("unsafe", "safe"))
    found = forget_retain(data, [*said, *read.data.candidates()], judge, forget, retain, test, seed=seed)
    for note in found.left_out:
        log.warning("Neither forgotten nor retained, %s.", note)
    parts = {"forget": found.forget, "retain": found.retain, "train": data}
    if unknown := [role for role in roles if role not in parts]:
        raise MirageError(f"There are no training data for the role {unknown[0]!r}; there are {', '.join(parts)}.")
    for role in roles:
        write(parts[role], Example, out / f"{role}.parquet")

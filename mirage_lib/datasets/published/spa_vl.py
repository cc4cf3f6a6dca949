"""SPA-VL: questions about pictures from harmful domains, each with a chosen and a rejected reply.

They are read from the Parquet files that the authors publish on the hub. The chosen reply is the example's answer; the
rejected replies come separately. The set serves the paper's comparison with preference training, and its unlearning,
as a source of harmful answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.loaded import Loaded
from mirage_lib.datasets.published.shared import gathered, home, parts_missing, row_id, text
from mirage_lib.datasets.rows import PICTURE, parquet_rows

PARTS = {  # split -> pattern of its files, the intent of their questions
    "train": {"data/train-*.parquet": "unsafe"},
    "validation": {"validation/validation-*.parquet": "unsafe"},
    "test": {"test/harm-*.parquet": "unsafe", "test/help-*.parquet": "safe"},
}
PAIR = ("chosen", "rejected")
REMEDY = "Get it from its authors' page, huggingface.co/datasets/sqrti/SPA-VL: python -m mirage_lib fetch spa_vl"


def spa_vl(root: Path, split: Literal["train", "validation", "test"] | None = None) -> Loaded:
    """SPA-VL's questions from the files of the hub in ``root`` or ``root/spa_vl``; ``split`` None gives every split.

    The set does not label its questions. Its authors collect pictures of harmful domains and ask about them to draw
    unsafe replies, so train, validation and the test's "harm" count as "unsafe" here as a whole, mild questions
    included. The test's "help" measures helpfulness and nothing calls its questions harmful, so it counts as "safe".
    ``answers`` is the chosen reply, and empty in test; ``category`` is the domain (``class1``), which train does not
    state. The files have no ids. Ours are ``spa_vl-<file's name>-<row from 0>``, e.g. "spa_vl-train-00003-of-00008-17";
    they stay the same if other files are missing, which is noted in ``unusable``. Raises MirageError for an unknown
    split, no file of it, a missing column, or a file that cannot be read.
    """
    return gathered((where, one) for where, one, _ in _rows(root, split))


def spa_vl_rejected(root: Path, split: Literal["train", "validation"]) -> dict[str, str]:
    """The reply that was not chosen, by the example's id, for every example of ``spa_vl(root, split)``.

    It is the worse of two, but not always harmful: a candidate for a harmful answer, still to be judged. Raises
    MirageError as ``spa_vl`` does, and for the test split, which has no replies.
    """
    if split not in ("train", "validation"):
        raise MirageError(f"spa_vl_rejected: split is {split!r}; expected 'train' or 'validation', which have replies.")
    return {one.id: rejected for _, one, rejected in _rows(root, split) if isinstance(one, Example)}


def _rows(root: Path, split: str | None) -> Iterator[tuple[str, Example | str, str]]:
    """Place, example or reason, rejected reply."""
    if split is not None and split not in PARTS:
        raise MirageError(f"spa_vl: split is {split!r}; expected {', '.join(map(repr, PARTS))} or None for all.")
    splits = [split] if split else list(PARTS)
    folder, _ = home(root, "spa_vl", [pattern for one in splits for pattern in PARTS[one]], REMEDY)
    for name in splits:
        for pattern, intent in PARTS[name].items():
            yield from ((file, why, "") for file, why in parts_missing(folder, pattern))
            columns = ("question", PICTURE, *(PAIR if name != "test" else ()))
            for where, image, row in parquet_rows(folder, pattern, columns, ("class1",)):
                yield where, _example(where, row, name, image, intent), text(row, "rejected")


def _example(where: str, row: dict[str, Any], split: str, image: str, intent: str) -> Example | str:
    question, replies = text(row, "question"), [text(row, key) for key in PAIR]
    if not question:
        return "no question"
    if not image:
        return "no picture"
    if split != "test" and not all(replies):
        return "no chosen or no rejected reply"
    answers = () if split == "test" else (replies[0],)
    return Example(f"spa_vl-{row_id(where)}", "spa_vl", split, image, question, intent, answers, text(row, "class1"))

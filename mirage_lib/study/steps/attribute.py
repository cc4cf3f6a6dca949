"""Word attribution: how much each word of a harmless "Share" recipe request adds to the chance of a refusal."""

from __future__ import annotations

from pathlib import Path

from mirage_lib.attacks import OneWord
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, read
from mirage_lib.models.saliency import refusal_probability, word_saliency
from mirage_lib.models.vlm import Render
from mirage_lib.study.steps.ask import load_tuned
from mirage_lib.world.questions import OPENERS
from mirage_lib.world.training_data import class_of


def write_weights(
    out: Path,
    tell: Tell | None,
    *,
    base: Path,
    tuned: Path | None,
    name: str,
    questions: Path,
    most: int,
    render: Render,
) -> None:
    """Write the columns of ``saliency.word_saliency`` and one more, ``exchanged``, for at most ``most`` requests.

    ``exchanged`` is the probability of refusing the same request when it opens with "What is".
    """
    del tell
    asked = [e for e in read(questions / "examples.parquet", Example) if e.edit == "swap:share" and e.shot == 0]
    asked = [e for e in asked if class_of(e) == "safe_safes" and e.category == "recipe"][:most]
    vlm = load_tuned(base, tuned, render, name)
    changed = refusal_probability(vlm, [OneWord("what", phrases=OPENERS)(example) for example in asked])
    exchanged = dict(zip([example.id for example in asked], changed, strict=True))
    table = word_saliency(vlm, asked)
    table["exchanged"] = [exchanged[one] for one in table["example_id"]]
    table.to_parquet(out / "weights.parquet", index=False)

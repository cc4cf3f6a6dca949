"""Ask a model a list of questions and keep its replies."""

from __future__ import annotations

import shutil
from pathlib import Path

from mirage_lib.core.progress import Tell, counted
from mirage_lib.core.records import Example, Reply, read, write
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.vlm import VLM, Render, load_vlm


def load_tuned(base: Path, tuned: Path | None, render: Render, name: str) -> VLM:
    """The base, or the model that a run of ``tune`` made from it."""
    if tuned is None:
        return load_vlm(base, render, name=name)
    if (tuned / "adapter").is_dir():
        return load_vlm(base, render, tuned / "adapter", name)
    return load_vlm(tuned / "model", render, name=name)


def ask(
    out: Path,
    tell: Tell | None,
    *,
    base: Path,
    tuned: Path | None,
    name: str,
    questions: Path,
    part: str,
    decoding: Decoding,
    render: Render,
) -> None:
    """Write the replies, from where an earlier try stopped. ``part`` names the questions in a progress bar."""
    asked = read(questions / "examples.parquet", Example)
    stage = counted(tell, part)
    said = replies(load_tuned(base, tuned, render, name), asked, decoding, out / "parts", stage)
    write(said, Reply, out / "replies.parquet")
    shutil.rmtree(out / "parts", ignore_errors=True)

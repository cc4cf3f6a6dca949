"""ScienceQA: school questions with choices, half of them about a picture.

They are read from the authors' ``problems.json`` or from the Parquet files of the copy on the hub. All examples are
safe, and the answer is the right choice. The set serves the paper's evaluation of what a model can still do after
safety fine-tuning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase as LETTERS
from typing import Any, Literal

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.loaded import Loaded, inside, short
from mirage_lib.datasets.published.shared import gathered, home, parts_missing, row_id, text
from mirage_lib.datasets.rows import AGAIN, PICTURE, json_file, keyed_rows, parquet_rows

SPLITS = {"train": "train", "val": "validation", "test": "test"}  # the authors' name -> the example's, and the hub's
AUTHORS = ("problems.json", "data/scienceqa/problems.json")
COLUMNS = ("question", "choices", "answer", PICTURE)
MORE = ("hint", "topic", "subject")
REMEDY = (
    "Get it from its authors' page, github.com/lupantech/ScienceQA, or test from the copy at "
    "huggingface.co/datasets/derek-thomas/ScienceQA: python -m mirage_lib fetch scienceqa"
)


def scienceqa(root: Path, split: Literal["train", "val", "test"] = "test", pictures_only: bool = True) -> Loaded:
    """ScienceQA's questions of one split; ``pictures_only`` leaves out those without a picture.

    ``prompt`` is the question, then a line "Context: ..." if there is a hint, then one line per choice, "(A) ...". The
    answers are the letter and the text of the right choice; ``category`` is the topic, or else the subject. ``root`` or
    ``root/scienceqa`` holds the authors' ``problems.json`` (ids ``scienceqa-<pid>``, pictures in
    ``images/<split>/<pid>/``); if ``pid_splits.json`` is beside it, that file says which problem is in which split. Or
    it holds the hub's Parquet files, which have no pid; their ids are ``scienceqa-<file's name>-<row from 0>``. Raises
    MirageError for an unknown split, no file, a missing column, or a file that cannot be read.
    """
    if split not in SPLITS:
        raise MirageError(f"scienceqa: split is {split!r}; expected {', '.join(map(repr, SPLITS))}.")
    hub = f"data/{SPLITS[split]}-*.parquet"
    folder, found = home(root, "scienceqa", (*AUTHORS, hub), REMEDY)
    return gathered(
        _hub(folder, hub, split, pictures_only) if found == hub else _authors(folder, found, split, pictures_only)
    )


def _hub(folder: Path, pattern: str, split: str, pictures_only: bool) -> Iterator[tuple[str, Example | str]]:
    yield from parts_missing(folder, pattern)
    for where, image, row in parquet_rows(folder, pattern, COLUMNS, MORE):
        if image or not pictures_only:
            yield where, _example(row_id(where), split, image, row)


def _authors(folder: Path, name: str, split: str, pictures_only: bool) -> Iterator[tuple[str, Example | str]]:
    below = name.removesuffix(AUTHORS[0])
    chosen = _pids(folder / f"{below}pid_splits.json", split)
    known = set()
    for where, pid, row in keyed_rows(folder, name):
        known.add(pid)
        own, image = text(row, "split"), row.get("image") if isinstance(row, dict) else ""
        if chosen is None and own not in SPLITS:
            yield where, f"its split is none of {', '.join(SPLITS)}"
        elif (own != split) if chosen is None else (pid not in chosen):
            continue
        elif not isinstance(row, dict) or (image and not isinstance(image, str)):
            yield where, "no record of a problem"
        elif not inside(f"{pid}/{image}"):
            yield where, "its picture is outside the folder"
        elif image or not pictures_only:
            yield where, _example(pid, split, f"{below}images/{split}/{pid}/{image}" if image else "", row)
    lost = [pid for pid in chosen or () if pid not in known]
    yield from ((f"{below}pid_splits.json: {pid!a}", f"{AUTHORS[0]} has no such problem") for pid in lost)


def _pids(path: Path, split: str) -> list[str] | None:
    """The ids of a split's problems; None if the file that lists them is not there."""
    if not path.exists():
        return None
    splits = json_file(path)
    pids = splits.get(split) if isinstance(splits, dict) else None
    if not isinstance(pids, list) or not all(isinstance(pid, str) for pid in pids):
        raise MirageError(
            f"{path}: holds {short(splits)}; expected an object with a list of ids for {split!r}. {AGAIN}"
        )
    return pids


def _example(name: str, split: str, image: str, row: dict[str, Any]) -> Example | str:
    question, hint, choices, right = text(row, "question"), text(row, "hint"), row.get("choices"), row.get("answer")
    if not question:
        return "no question"
    if not isinstance(choices, list) or not 0 < len(choices) <= len(LETTERS) or not all(map(_is_text, choices)):
        return "no choices"
    if not isinstance(right, int) or isinstance(right, bool) or not 0 <= right < len(choices):
        return "its answer is none of the choices"
    lines = [question, *([f"Context: {hint}"] if hint else [])]
    lines += [f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]
    answers, category = (LETTERS[right], choices[right]), text(row, "topic") or text(row, "subject")
    return Example(f"scienceqa-{name}", "scienceqa", SPLITS[split], image, "\n".join(lines), "safe", answers, category)


def _is_text(value: object) -> bool:
    return bool(text({"": value}, ""))

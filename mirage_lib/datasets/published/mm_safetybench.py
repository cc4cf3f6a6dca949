"""MM-SafetyBench: unsafe questions from 13 scenarios, with pictures that show what the question leaves out.

They are read from the authors' JSON files or from the Parquet files of the copy on the hub, with one kind of picture
at a time. The set serves the paper's safety evaluation beyond VLGuard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.loaded import Loaded
from mirage_lib.datasets.published.shared import gathered, home, lacking, number, text
from mirage_lib.datasets.rows import PICTURE, keyed_rows, parquet_rows

KINDS = {  # kind of picture -> the key of the question that goes with it in the authors' files
    "SD": "Rephrased Question(SD)",  # a generated picture
    "SD_TYPO": "Rephrased Question",  # a generated picture above the key phrase as text
    "TYPO": "Rephrased Question",  # the key phrase as text
    "text": "Changed Question",  # no picture
}
SCENARIOS = (  # as the authors spell and number them
    *("Illegal_Activitiy", "HateSpeech", "Malware_Generation", "Physical_Harm", "EconomicHarm", "Fraud", "Sex"),
    *("Political_Lobbying", "Privacy_Violence", "Legal_Opinion", "Financial_Advice", "Health_Consultation"),
    "Gov_Decision",
)
QUESTIONS = "data/processed_questions"
PICTURES = ("data/imgs", "MM-SafetyBench(imgs)")  # where the authors want them, and where their archive puts them
REMEDY = (
    "Get it from its authors' page, github.com/isXinLiu/MM-SafetyBench, or the copy at "
    "huggingface.co/datasets/PKU-Alignment/MM-SafetyBench: python -m mirage_lib fetch mm_safetybench"
)


def mm_safetybench(root: Path, image: Literal["SD", "SD_TYPO", "TYPO", "text"] = "SD_TYPO") -> Loaded:
    """MM-SafetyBench's questions with one kind of picture; "text" is the question in full, without a picture.

    ``root`` or ``root/mm_safetybench`` holds the authors' ``data/processed_questions/NN-Scenario.json``, with pictures
    in ``data/imgs`` or ``MM-SafetyBench(imgs)``, or else the hub's ``data/Scenario/KIND.parquet``. Every question is
    "unsafe", ``category`` is its scenario, ``answers`` is empty; ids are
    ``mm_safetybench-<kind>-<scenario>-<the file's id>`` in both layouts. A scenario whose file is missing is in
    ``unusable``. Raises MirageError for an unknown kind, no file, a file that cannot be read, or a missing column.
    """
    if image not in KINDS:
        raise MirageError(f"mm_safetybench: image is {image!r}; expected one of {', '.join(map(repr, KINDS))}.")
    file = f"{'Text_only' if image == 'text' else image}.parquet"
    authors, hub = f"{QUESTIONS}/[0-9][0-9]-*.json", f"data/*/{file}"
    folder, pattern = home(root, "mm_safetybench", (authors, hub), REMEDY)
    return gathered(_authors(folder, image) if pattern == authors else _hub(folder, image, file))


def _authors(folder: Path, kind: str) -> Iterator[tuple[str, Example | str]]:
    pictures = next((one for one in PICTURES if (folder / one).is_dir()), PICTURES[0])
    for at, scenario in enumerate(SCENARIOS, 1):
        name = f"{QUESTIONS}/{at:02d}-{scenario}.json"
        if not (folder / name).exists():
            yield name, "no file of this scenario is in the folder"
            continue
        for where, key, row in keyed_rows(folder, name):
            image = f"{pictures}/{at:02d}-{scenario}/{kind}/{key}.jpg"
            yield where, _example(kind, scenario, key, image, text(row, KINDS[kind]))


def _hub(folder: Path, kind: str, file: str) -> Iterator[tuple[str, Example | str]]:
    columns = ("id", "question", *(() if kind == "text" else (PICTURE,)))
    for scenario in SCENARIOS:
        name = f"data/{scenario}/{file}"
        if not (folder / name).exists():
            yield name, "no file of this scenario is in the folder"
        for where, image, row in parquet_rows(folder, name, columns):
            yield where, _example(kind, scenario, number(row, "id"), image, text(row, "question"))


def _example(kind: str, scenario: str, key: str, image: str, question: str) -> Example | str:
    name = f"mm_safetybench-{kind}-{scenario}-{key}"
    if not key.strip():
        return "no id"
    if not question:
        return "no question"
    if kind == "text":
        return Example(name, "mm_safetybench", "test", "", question, "unsafe", (), scenario)
    if why := lacking(question, image):
        return why
    return Example(name, "mm_safetybench", "test", image, question, "unsafe", (), scenario)

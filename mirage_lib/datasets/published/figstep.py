"""FigStep's SafeBench: forbidden questions, each also drawn as the title of an empty list in a picture.

An example has the question in words and the address of its picture. The set serves the paper's attack section, as
unsafe queries that we did not write ourselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mirage_lib.core.records import Example
from mirage_lib.datasets.loaded import Loaded
from mirage_lib.datasets.published.shared import gathered, home, text
from mirage_lib.datasets.rows import csv_rows

COLUMNS = ("category_id", "task_id", "category_name", "question")
REMEDY = "Get it from its authors' page, github.com/ThuCCSLab/FigStep: python -m mirage_lib fetch figstep"


def figstep(root: Path, tiny: bool = False) -> Loaded:
    """SafeBench's questions from ``safebench.csv``; with ``tiny`` the authors' selection ``SafeBench-Tiny.csv``.

    The file is in ``root`` or ``root/figstep``, or in the folder ``data/question`` of either, as in the authors'
    repository, which also gives the pictures' names. ``prompt`` is the question, ``category`` its topic, ``answers``
    is empty; ids are ``figstep-<topic's number>-<task's number>``. In the authors' attack the picture goes with one
    fixed request, not with the question; to repeat it, edit the prompt. Raises MirageError if there is no such file,
    or if it is not a table with these columns.
    """
    file = "SafeBench-Tiny.csv" if tiny else "safebench.csv"
    folder, name = home(root, "figstep", (file, f"data/question/{file}"), REMEDY)
    return gathered(_rows(folder, name, "SafeBench-Tiny" if tiny else "SafeBench"))


def _rows(folder: Path, name: str, pictures: str) -> Iterator[tuple[str, Example | str]]:
    for where, row in csv_rows(folder, name, COLUMNS):
        yield where, row if isinstance(row, str) else _example(row, pictures)


def _example(row: dict, pictures: str) -> Example | str:
    topic, task, question = text(row, "category_id"), text(row, "task_id"), text(row, "question")
    if not (topic.isdecimal() and task.isdecimal()):
        return "no number of its topic and task"
    if not question:
        return "no question"
    image = f"data/images/{pictures}/query_ForbidQI_{topic}_{task}_6.png"
    category = text(row, "category_name")
    return Example(f"figstep-{topic}-{task}", "figstep", "test", image, question, "unsafe", (), category)

"""MOSSBench: benign picture queries that models refuse, and the same queries with a picture that makes them harmful.

They are read from the authors' two files ``information.json``, one with the safe queries and one with the unsafe ones.
The set serves the paper's sections on over-prudence.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mirage_lib.core.records import Example
from mirage_lib.datasets.folder import locate_file
from mirage_lib.datasets.loaded import Loaded
from mirage_lib.datasets.published.shared import gathered, home, lacking, text
from mirage_lib.datasets.rows import keyed_rows

PARTS = {"data": ("", "safe"), "data_contrast": ("contrast-", "unsafe")}  # folder -> prefix of its ids, intent
INFORMATION = "images_information/information.json"
REMEDY = (
    "This is the layout of its authors' page, github.com/xirui-li/MOSSBench (python -m mirage_lib fetch mossbench); "
    "the one with metadata.csv on the hub is not read."
)


def mossbench(root: Path) -> Loaded:
    """MOSSBench's queries from ``data/`` (safe) and ``data_contrast/`` (unsafe) in ``root`` or ``root/mossbench``.

    Each folder holds ``images_information/information.json`` and ``images/``. ``category`` is the authors' type of
    over-caution ("type 1" exaggerated risk, "type 2" negated harm, "type 3" counterintuitive interpretation),
    ``answers`` is empty; ids are ``mossbench-<key>`` and ``mossbench-contrast-<key>``. Raises MirageError if one of the
    two files is absent, is not JSON or does not hold an object.
    """
    folder, _ = home(root, "mossbench", (f"data/{INFORMATION}",), REMEDY)
    locate_file(folder, "", f"data_contrast/{INFORMATION}", REMEDY)
    return gathered(_rows(folder))


def _rows(folder: Path) -> Iterator[tuple[str, Example | str]]:
    for part, (begin, intent) in PARTS.items():
        for where, key, row in keyed_rows(folder, f"{part}/{INFORMATION}"):
            yield where, _example(f"mossbench-{begin}{key}", part, row, intent)


def _example(name: str, part: str, row: Any, intent: str) -> Example | str:
    question, image = text(row, "question"), text(row, "image")
    if why := lacking(question, image):
        return why
    category = text(row.get("metadata"), "over")
    return Example(name, "mossbench", "test", f"{part}/{image}", question, intent, (), category)

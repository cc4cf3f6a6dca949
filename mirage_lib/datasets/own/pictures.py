"""Check that the pictures that a table names are there and whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.files import BadRow
from mirage_lib.datasets.own.queries import Queries
from mirage_lib.datasets.rows import BROKEN


def images_beside(queries: Queries) -> Path | None:
    """The folder of the data file, if it holds any of the first 50 pictures."""
    frame = queries.frame[queries.frame["image"] != ""].head(50)
    pairs = zip(frame["file"], frame["image"], strict=True)
    return next((Path(file).parent for file, image in pairs if _is_file(Path(file).parent / image)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def check_images(queries: Queries, folder: Path, say: Callable[[str], None] | None = None) -> tuple[list[BadRow], int]:
    """The rows whose picture is not in the folder or cannot be read to its end, and how many pictures are whole.

    Raises MirageError if there is no such folder.
    """
    if not Path(folder).is_dir():
        raise MirageError(f"{folder}: no such folder; expected the one that the pictures' paths start from.")
    if say:
        say("opening pictures")
    frame: Any = queries.frame
    bad, whole = [], 0
    named = frame[frame["image"].ne("") & ~frame["image"].str.contains("://")].drop_duplicates("image")
    rows = named[["file", "row", "image"]].itertuples(index=False)
    times = frame["image"].value_counts()
    for file, row, image in tqdm(rows, total=len(named), desc="pictures", disable=None, leave=False):
        path = Path(folder) / image
        more = f", and in {times[image] - 1} more rows" if times[image] > 1 else ""
        if not _is_file(path):
            bad.append(BadRow(file, int(row), queries.unit, f"no picture {image!r} in {folder}{more}"))
            continue
        try:
            with Image.open(path) as opened:
                opened.load()
            whole += 1
        except BROKEN as error:
            bad.append(BadRow(file, int(row), queries.unit, f"the picture {image!r} is broken ({error}){more}"))
    return bad, whole

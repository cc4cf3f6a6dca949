"""VLGuard in the folder of MIRAGE_DATA as a study takes it. A file is read again once it has changed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply
from mirage_lib.datasets.files import Table
from mirage_lib.datasets.folder import DATA, data_folder
from mirage_lib.datasets.loaded import text_of
from mirage_lib.datasets.published.vlguard import metadata, vlguard
from mirage_lib.study.published.data import DataSet, Stamp, stamps

CANDIDATES = "candidates"  # the folder with other models' replies


@dataclass(frozen=True)
class VLGuard(DataSet):
    """VLGuard's queries and pictures; unsafe queries have its refusals as answers."""

    content_note = "Content note: an unsafe picture of VLGuard and a request about it."

    def examples(self, split: Any) -> list[Example]:
        """The queries of one split, "train" or "test"; the other split's file is not read."""
        return list(_read_examples(vlguard_folder(), split, stamps([self.path(f"{split}.json")])))

    def names(self, what: str) -> tuple[str, ...]:
        """The metadata of a split, or the files with other models' replies."""
        if what != CANDIDATES:
            return (f"{what}.json",)
        folder = vlguard_folder() / CANDIDATES
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        return tuple(f"{CANDIDATES}/{path.name}" for path in files if path.is_file() and path.name[0] != ".")

    def path(self, name: str) -> Path:
        """A file of VLGuard's folder. Raises MirageError, saying whose it is, if it is missing."""
        return metadata(vlguard_folder(), name)

    def candidates(self) -> list[Reply]:
        """Other models' replies to the training queries, from vlguard/candidates.

        Each file is a table, in any format, with example_id, model and text. Raises MirageError that names the file and
        the row if a row does not fit.
        """
        replies = []
        for path in map(self.path, self.names(CANDIDATES)):
            table = Table(path)
            for row, record in table:
                where = f"{table.name}: {table.unit} {row}"
                id, model, text = (
                    text_of(record, key, where, key == "text") for key in ("example_id", "model", "text")
                )
                replies.append(Reply(id, model, text=text, finished=True))
            if table.bad:
                raise MirageError(f"{table.bad[0]}. Mend it; candidates are not left out in silence.")
        return replies

    def picture(self, address: str) -> Image.Image:
        """The picture of an example. Raises MirageError, naming the file, if it cannot be read."""
        path = vlguard_folder() / address
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            why = f"no picture can be read from it ({error}). Unpack VLGuard's zip files anew."
            raise MirageError(f"{path}: {why}") from error

    def missing(self, pictures: bool) -> list[str]:
        """The metadata, or pictures, that are not where they should be."""
        rows: list[Example] = []
        found: list[str] = []
        for split in ("train", "test"):
            try:
                rows += self.examples(split)
            except MirageError as error:
                found += [] if f"data: {error}" in found else [f"data: {error}"]
        if found:
            return found
        folder = vlguard_folder()
        lost = sorted({one.image for one in rows if not (folder / one.image).is_file()}) if pictures else []
        what = f"{len(lost)} of VLGuard are not in {folder}, e.g. {lost[0]}" if lost else ""
        return [f"pictures: {what}. Unpack train.zip and test.zip into train/ and test/ there."] if lost else []


def vlguard_folder() -> Path:
    """The folder that holds VLGuard. Raises MirageError if MIRAGE_DATA is not set."""
    folder = data_folder()
    if folder is None:
        raise MirageError(f"set {DATA} to the folder that holds vlguard/ (its metadata, train/ and test/).")
    return folder / "vlguard" if (folder / "vlguard").is_dir() else folder


@functools.lru_cache(maxsize=4)
def _read_examples(folder: Path, split: Any, stamps: tuple[Stamp, ...]) -> tuple[Example, ...]:
    del stamps
    return tuple(vlguard(folder, split))

"""VLGuard's files in the folder of MIRAGE_DATA: a file is read again only when it has changed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, Reply, write
from mirage_lib.datasets.files import Table
from mirage_lib.datasets.folder import DATA, data_folder
from mirage_lib.datasets.loaded import text_of
from mirage_lib.datasets.published.vlguard import REWRITES, metadata, vlguard, vlguard_rewrites

Stamp = tuple[Path, int, int]  # a file with its size and time, so that a changed file is read again


@dataclass(frozen=True)
class VLGuardSet:
    """Which of VLGuard's three classes a method is trained on."""

    subsets: tuple[str, ...] = ("unsafes", "safe_unsafes", "safe_safes")


def vlguard_folder() -> Path:
    """The folder that holds VLGuard. Raises MirageError if MIRAGE_DATA is not set."""
    folder = data_folder()
    if folder is None:
        raise MirageError(f"set {DATA} to the folder that holds vlguard/ (its metadata, train/ and test/).")
    return folder / "vlguard" if (folder / "vlguard").is_dir() else folder


def stamps(names: Sequence[str]) -> tuple[Stamp, ...]:
    """The current stamps of these files of VLGuard's. Raises MirageError if one is missing."""
    paths = [metadata(vlguard_folder(), name) for name in names]
    return tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths)


def there(name: str) -> None:
    """Raise MirageError if this file of VLGuard's is missing."""
    stamps([name])


@functools.lru_cache(maxsize=8)
def content_of(stamp: Stamp) -> str:
    """The SHA-256 digest of a file, computed once per stamp."""
    return hashlib.sha256(stamp[0].read_bytes()).hexdigest()


def examples(split: Any) -> tuple[Example, ...]:
    """VLGuard's queries of one split, "train" or "test"; the other split's file is not read."""
    return _read_examples(vlguard_folder(), split, stamps([f"{split}.json"]))


@functools.lru_cache(maxsize=4)
def _read_examples(folder: Path, split: Any, stamps: tuple[Stamp, ...]) -> tuple[Example, ...]:
    del stamps
    return tuple(vlguard(folder, split))


def chosen(safety: VLGuardSet | None, split: str) -> list[Example]:
    """The queries of the chosen classes (None: all) in one split; unsafe ones have VLGuard's refusals as answers."""
    subsets = (safety or VLGuardSet()).subsets
    return [one for one in examples(split) if one.category in subsets]


def released_rewrites(edit: Any) -> dict[str, list[str]]:
    """The released rewrites by example. Raises MirageError for a rewrite that belongs to no query."""
    name = REWRITES[edit][0]
    found = _read_rewrites(edit, stamps([name]))
    known = {example.id for example in examples("test")}
    if strange := [id for id in found if id not in known]:
        raise MirageError(f"{vlguard_folder() / name}: {len(strange)} rewrites of no test query, e.g. {strange[0]!r}.")
    return found


@functools.lru_cache(maxsize=4)
def _read_rewrites(edit: Any, stamps: tuple[Stamp, ...]) -> dict[str, list[str]]:
    return vlguard_rewrites(stamps[0][0].parent, edit)


def candidate_files() -> list[Path]:
    """The files in vlguard/candidates, if there are any."""
    folder = vlguard_folder() / "candidates"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in files if path.is_file() and path.name[0] != "."]


def candidates() -> list[Reply]:
    """Other models' replies to the training queries, from vlguard/candidates; the most harmful may be among them.

    Each file is a table, in any format, with example_id, model and text. Raises MirageError that names the file and
    the row if a row does not fit.
    """
    replies = []
    for path in candidate_files():
        table = Table(path)
        for row, record in table:
            where = f"{table.name}: {table.unit} {row}"
            id, model, text = (text_of(record, key, where, key == "text") for key in ("example_id", "model", "text"))
            replies.append(Reply(id, model, text=text, finished=True))
        if table.bad:
            raise MirageError(f"{table.bad[0]}. Mend it; candidates are not left out in silence.")
    return replies


def write_training(out: Path, tell: Tell | None, *, files: Path, safety: VLGuardSet) -> None:
    """Write the examples for fine-tuning, with VLGuard's own answers and refusals."""
    del tell, files  # the files are read in place
    write(chosen(safety, "train"), Example, out / "train.parquet")


def write_unsafe(out: Path, tell: Tell | None, *, files: Path, safety: VLGuardSet) -> None:
    """Write the unsafe training requests that the base will be asked."""
    del tell, files  # the files are read in place
    unsafe = [example for example in chosen(safety, "train") if example.intent == "unsafe"]
    write(unsafe, Example, out / "examples.parquet")

"""Read a data set of the hub, or of a folder, through the ``datasets`` library, into rows like those of a file.

Its name is "owner/name" or "owner/name:configuration". Every split becomes a table that can be read twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mirage_lib.core.errors import MirageError

HUB = "hub:"  # comes before the name, to tell it from a path


def hub_tables(name: str) -> list[tuple[str, str, Any]]:
    """Name, split and rows of every split of a data set of the hub or of a folder; pictures are not decoded."""
    try:
        import datasets
    except ImportError as error:
        raise MirageError(f"{HUB}{name} needs the package datasets: pip install datasets") from error
    repository, _, config = name.partition(":")
    if not repository:
        raise MirageError(f"{HUB} needs a name after it: {HUB}OWNER/NAME, or {HUB}FOLDER.")
    try:
        loaded = datasets.load_dataset(repository, config or None)
    except Exception as error:  # it raises whatever its readers and the network raise
        raise MirageError(
            f"{HUB}{name}: the data set cannot be loaded ({type(error).__name__}: {error}). A configuration is named "
            f"{HUB}{repository}:CONFIGURATION; a gated set needs its terms accepted and a login (hf auth login)."
        ) from error
    tables = []
    for split, rows in loaded.items():
        shut = [name for name, kind in rows.features.items() if type(kind).__name__ == "Image"]
        for column in shut:
            rows = rows.cast_column(column, datasets.Image(decode=False))
        named = {name: kind.names for name, kind in rows.features.items() if type(kind).__name__ == "ClassLabel"}
        tables.append((f"{name}/{split}", str(split), Numbered(rows, named)))
    return tables


@dataclass
class Numbered:
    """Rows of a data set with their numbers, from 1; unlike an iterator it can be read twice."""

    rows: Any
    classes: dict[str, list[str]]  # column -> the names that its numbers stand for

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, row in enumerate(self.rows, 1):
            for name, names in self.classes.items():
                if row[name] is not None and row[name] >= 0:
                    row[name] = names[row[name]]
            yield number, row

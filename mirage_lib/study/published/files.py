"""Files of a data set as inputs of a run, identified by their content."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from mirage_lib.core.progress import Tell
from mirage_lib.core.run import Input
from mirage_lib.core.store import Store
from mirage_lib.study.published.data import DataSet, Stamp, stamps


@functools.lru_cache(maxsize=32)
def _digest(stamp: Stamp) -> str:
    return hashlib.sha256(stamp[0].read_bytes()).hexdigest()


@dataclass(frozen=True)
class Files(Input):
    """Some files of a data set, identified by their content."""

    data: DataSet
    names: tuple[str, ...]  # as ``DataSet.path`` takes them

    def identity(self) -> str:
        """A digest of the files. Raises MirageError if one is missing."""
        digests = map(_digest, stamps(map(self.data.path, self.names)))
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]

    def get(self, store: Store, tell: Tell | None = None) -> Path:
        """The folder of the first file: the steps read the data set in place."""
        del store, tell
        return self.data.path(self.names[0]).parent if self.names else Path()

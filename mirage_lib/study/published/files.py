"""VLGuard's files as inputs of a run, identified by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mirage_lib.core.progress import Tell
from mirage_lib.core.run import Input
from mirage_lib.core.store import Store
from mirage_lib.study.published.data import content_of, stamps, vlguard_folder


@dataclass(frozen=True)
class Files(Input):
    """Some of VLGuard's files, identified by their content."""

    names: tuple[str, ...]  # below VLGuard's folder

    def identity(self) -> str:
        """A digest of the files. Raises MirageError if one is missing."""
        return hashlib.sha256("".join(map(content_of, stamps(self.names))).encode()).hexdigest()[:12]

    def get(self, store: Store, tell: Tell | None = None) -> Path:
        """VLGuard's folder."""
        del store, tell
        return vlguard_folder()

"""Where published data sets are: the folder named by MIRAGE_DATA, with one folder per set.

If a file is missing, the error says where to get it.
"""

from __future__ import annotations

import os
from pathlib import Path

from mirage_lib.core.errors import MirageError

DATA = "MIRAGE_DATA"


def data_folder() -> Path | None:
    """The folder of published data sets named by MIRAGE_DATA; None if it is not set.

    Raises MirageError if it is set to something that is not a folder.
    """
    name = os.environ.get(DATA, "")
    if not name:
        return None
    if not Path(name).is_dir():
        raise MirageError(f"{DATA} is {name!r}, which is no folder; expected the one that holds vlguard/.")
    return Path(name)


def locate_file(root: Path, folder: str, names: tuple[str, ...] | str, remedy: str) -> Path:
    """The first of these files or folders that exists in ``root`` or ``root/folder``.

    Raises MirageError if none does; its message ends with ``remedy``, which says where to get the file.
    """
    names = (names,) if isinstance(names, str) else names
    for name in names:
        for path in (Path(root) / name, Path(root) / folder / name):
            if path.exists():
                return path
    raise MirageError(f"No {' or '.join(names)} in {root} or {Path(root) / folder}. {remedy}")

"""The judges that have a name on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mirage_lib.core.errors import MirageError
from mirage_lib.judges.judge import Judge
from mirage_lib.judges.released_keywords import ReleasedKeywords

JUDGES: dict[str, Callable[[], Judge]] = {"released": ReleasedKeywords}
DEFAULT = "released"  # if nobody says which


def named(names: Iterable[str]) -> dict[str, Judge]:
    """A judge for each name, each once. Raises MirageError, listing all with the default first, for an unknown one."""
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in JUDGES:
            known = ", ".join(dict.fromkeys([DEFAULT, *JUDGES]))
            raise MirageError(f"There is no judge {name!r}; there are {known}.")
    return {name: JUDGES[name]() for name in names}

"""The judges that have a name on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mirage_lib.core.errors import MirageError
from mirage_lib.judges.garble import GarbleRules
from mirage_lib.judges.judge import Judge
from mirage_lib.judges.refusal import RefusalRules
from mirage_lib.judges.released_keywords import ReleasedFilter, ReleasedKeywords

JUDGES: dict[str, Callable[[], Judge]] = {
    "rules": RefusalRules,
    "released": ReleasedKeywords,
    "released_filter": ReleasedFilter,
    "garble": GarbleRules,
}
DEFAULT = "rules"  # if nobody says which


# The judges that run a model: from a name to one of them, or to None, and the names there are.
More = tuple[Callable[[str], Judge | None], Sequence[str]]


def named(names: Iterable[str], more: Callable[[], More] | None = None) -> dict[str, Judge]:
    """A judge for each name, each once.

    ``more`` loads those that run a model (``models.judges.named``), only for a name that is not in ``JUDGES``.
    Raises MirageError, listing all with the default first, for an unknown one.
    """
    found: dict[str, Judge] = {}
    for name in dict.fromkeys(names):
        make, others = more() if more and name not in JUDGES else (lambda _: None, ())
        judge = JUDGES[name]() if name in JUDGES else make(name)
        if judge is None:
            raise MirageError(
                f"There is no judge {name!r}; there are {', '.join(dict.fromkeys([DEFAULT, *JUDGES, *others]))}."
            )
        found[name] = judge
    return found

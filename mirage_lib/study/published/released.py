"""The paper's attack on VLGuard: its released rewrites, and literal edits of one word beside them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from mirage_lib.attacks import Attack, OneWord, Suffix, rewrites
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.datasets.published.vlguard import REWRITES, vlguard_rewrites
from mirage_lib.study.published.data import Stamp, stamps
from mirage_lib.study.published.vlguard import VLGuard


@dataclass(frozen=True)
class Released:
    """The paper's rewrites of VLGuard's test queries, as released: an edit that gives one example per rewrite."""

    name: Any  # "rewrite:what" or "rewrite:share"

    def __call__(self, example: Example) -> list[Example]:
        """The example's rewrites; two queries have none."""
        return rewrites(example, self.texts().get(example.id, []), self.name)

    def texts(self) -> dict[str, list[str]]:
        """All rewrites by example. Raises MirageError for a rewrite that belongs to no query."""
        path = VLGuard().path(REWRITES[self.name][0])
        found = _read_rewrites(self.name, stamps([path]))
        known = {example.id for example in VLGuard().examples("test")}
        if strange := [id for id in found if id not in known]:
            raise MirageError(f"{path}: {len(strange)} rewrites of no test query, e.g. {strange[0]!r}.")
        return found


@functools.lru_cache(maxsize=4)
def _read_rewrites(edit: Any, stamps: tuple[Stamp, ...]) -> dict[str, list[str]]:
    return vlguard_rewrites(stamps[0][0].parent, edit)


def _released(word: str) -> tuple[Attack, Attack]:
    """The paper's rewrites with a word, and the literal exchange of one word beside them."""
    edit, said = f"rewrite:{word}", f"“{word.title()}”"
    name, subset, times = REWRITES[edit]
    return (
        Attack(Released(edit), word, f"rewritten with {said}", (subset,), times, (name,)),
        Attack(OneWord(word), f"literal {word}", f"opening with {said}", (subset,), 1),
    )


_ATTACKED = tuple(subset for _, subset, _ in REWRITES.values())
RELEASED = (
    *_released("what"),
    *_released("share"),
    Attack(Suffix(PLACEBO), "placebo", f"ending with “{PLACEBO}”", _ATTACKED, 1),
)

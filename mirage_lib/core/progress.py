"""The progress of a piece of work, reported to a function that may show a bar."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[str, int, int], None]  # stage of the work, steps done, steps in all


def staged(tell: Tell | None, stage: str) -> Tell | None:
    """A function that reports progress under this stage, whatever stage it is called with."""
    return None if tell is None else lambda _, done, total: tell(stage, done, total)


def counted(tell: Tell | None, stage: str) -> Callable[[int, int], None] | None:
    """The same for work that reports only the steps done and the steps in all."""
    return None if tell is None else lambda done, total: tell(stage, done, total)

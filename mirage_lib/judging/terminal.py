"""Text from strangers' files on a terminal: no control character reaches it, and no line is endless."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

MOST = 60  # characters shown of a value


def plain(value: object, most: int = MOST) -> str:
    """A value on one line: signs that do not print as their codes, cut off after ``most`` characters."""
    text = str(value)
    cut = text[:most] + ("…" if len(text) > most else "")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in cut)


def named(values: Iterable[str], most: int = 8) -> str:
    """Values in quotes, at most so many."""
    values = list(values)
    shown = ", ".join(f"“{plain(value)}”" for value in values[:most])
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")


def aligned(table: pd.DataFrame, most: int = 40) -> list[str]:
    """A table as indented lines, at most so many, with a last one that says how many are left out."""
    shown = table.head(most).map(plain)
    left = [f"  and {len(table) - most} more lines; --json has all"] if len(table) > most else []
    return [*(f"  {line}".rstrip() for line in shown.to_string(index=False).splitlines()), *left]

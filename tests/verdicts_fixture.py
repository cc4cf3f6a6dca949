"""Tables of verdicts and of values over seeds, made up."""

from __future__ import annotations

import pandas as pd


def frame(*rows: tuple) -> pd.DataFrame:
    """Verdicts from (seed, root, shot, edit, label)."""
    table = pd.DataFrame(rows, columns=["seed", "root", "shot", "edit", "label"])
    return table.assign(subset="unsafes", intent="unsafe")


def series(*seeds: list[float]) -> pd.Series:
    """Values per seed and root; one list a seed."""
    pairs = [(seed, f"r{root}") for seed, rows in enumerate(seeds) for root in range(len(rows))]
    index = pd.MultiIndex.from_tuples(pairs, names=["seed", "root"])
    return pd.Series([float(value) for rows in seeds for value in rows], index)

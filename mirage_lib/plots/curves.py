"""Curves: a rate against K, and against the strength of the bias."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mirage_lib.plots.style import COOL, QUIET, WARM


def k_curves(table: pd.DataFrame, by: str, names: Mapping[str, str], ylabel: str, ax: Axes | None = None) -> Axes:
    """Success within K attempts: one line per value of ``by``, with its interval as a band.

    ``table`` has columns k, rate, low, high and ``by`` (``metrics.rates.success_at_k``); ``names`` gives each line
    its label, shown at the line's end.
    """
    ax = ax or plt.subplots(figsize=(6.6, 3.8))[1]
    for (value, name), marker in zip(names.items(), itertools.cycle("os^Dv"), strict=False):
        rows = table.set_index(by).loc[[value]].sort_values("k")
        colour = WARM if marker == "o" else COOL if marker == "s" else QUIET
        ax.plot(rows["k"], rows["rate"], marker=marker, color=colour, linewidth=2)
        ax.fill_between(rows["k"], rows["low"], rows["high"], color=colour, alpha=0.16, linewidth=0)
        last = rows.iloc[-1]
        ax.annotate(
            name, (last["k"], last["rate"]), xytext=(9, 0), textcoords="offset points", va="center", color=colour
        )
    ax.set_xticks(sorted(table["k"].unique()))
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("K, attempts per request")
    ax.set_ylabel(ylabel)
    return ax


def dose_curves(table: pd.DataFrame, xlabel: str, ylabel: str = "rate") -> Axes:
    """Rates against the strength of a cause. Columns: line (one curve per name), bias (0 to 1), rate, low, high."""
    _, ax = plt.subplots(figsize=(6.6, 3.8))
    for (name, rows), marker, colour in zip(
        table.groupby("line", sort=False), "os^", (WARM, COOL, QUIET), strict=False
    ):
        rows = rows.sort_values("bias")
        reach = np.abs(rows[["low", "high"]].T.to_numpy() - rows["rate"].to_numpy())
        ax.errorbar(rows["bias"], rows["rate"], reach, label=name, marker=marker, color=colour, linewidth=2, capsize=3)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(sorted(table["bias"].unique()))
    ax.legend(loc="upper left")
    return ax

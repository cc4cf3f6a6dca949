"""Charts about words: which open requests, which go with a label, what a classifier or a model makes of each.

The functions draw a table and return matplotlib Axes. They save nothing, and share the style of ``plots.style``. Colour
never carries a meaning alone: position, a marker or a word always says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mirage_lib.plots.style import CLASS_NAMES, COLOURS, COOL, HATCHES, QUIET, WARM


def word_label(
    counts: pd.DataFrame, classes: Sequence[str], top: int = 12, title: str = "", ax: Axes | None = None
) -> Axes:
    """How many requests of each class open with each word: one bar per word, with the classes side by side in it.

    ``counts`` has a column ``word`` and one per class. The ``top`` most frequent words are shown.
    """
    ax = ax or plt.subplots(figsize=(7, 0.34 * top + 1.1))[1]
    rows = counts.assign(total=counts[list(classes)].sum(axis=1)).nlargest(top, "total").iloc[::-1]
    left = np.zeros(len(rows))
    for name in classes:
        wide = rows[name].to_numpy(float)
        style = {"color": COLOURS[name], "hatch": HATCHES.get(name, ""), "edgecolor": "white", "linewidth": 0.4}
        ax.barh(rows["word"], wide, left=left, label=CLASS_NAMES.get(name, name), **style)
        left += wide
    ax.set_xlabel("requests")
    ax.set_title(title)
    ax.legend(loc="lower right")
    return ax


def share_by_word(
    shares: pd.DataFrame, top: int = 12, xlabel: str = "share that is unsafe", ax: Axes | None = None
) -> Axes:
    """Share of a label among the requests that open with each word, with its interval and its count.

    ``shares`` has columns word, share, low, high, n (``text.counts.label_given_word``).
    """
    ax = ax or plt.subplots(figsize=(7, 0.34 * top + 1.0))[1]
    rows = shares.nlargest(top, "n").sort_values("share")
    ax.hlines(rows["word"], rows["low"], rows["high"], color=QUIET, linewidth=2)
    ax.scatter(rows["share"], rows["word"], s=18 + 160 * np.sqrt(rows["n"] / rows["n"].max()), color=WARM, zorder=3)
    for _, row in rows.iterrows():
        ax.annotate(f"n = {row['n']:.0f}", (1.04, row["word"]), color=QUIET, fontsize=9, va="center")
    ax.set_xlim(-0.03, 1.14)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.set_xlabel(xlabel)
    return ax


def forecast(table: pd.DataFrame, panels: Mapping[str, str], names: Mapping[str, str]) -> np.ndarray:
    """What bag-of-words classifiers do with edited queries: one panel per intent, row per edit, marker per classifier.

    ``table`` has columns data (the intent), edit, classifier (the classifier), value, low, high. ``panels`` gives the
    intents their titles, and ``names`` gives the edits theirs, from the top.
    """
    classifiers = list(dict.fromkeys(table["classifier"]))
    size = (4.6 * len(panels), 0.5 * len(names) + 1.5)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharex=True, layout="constrained")
    for ax, (intent, title) in zip(axes, panels.items(), strict=True):
        rows: Any = table[(table["data"] == intent) & table["edit"].isin(list(names))]
        order = [edit for edit in names if edit in set(rows["edit"])][::-1]
        for i, (classifier, marker, colour) in enumerate(zip(classifiers, "so^", (COOL, WARM, QUIET), strict=True)):
            part = rows[rows["classifier"] == classifier].set_index("edit").loc[order]
            y = np.arange(len(order)) + 0.2 * (1 - i)
            ax.hlines(y, part["low"], part["high"], color=colour, linewidth=2)
            ax.scatter(part["value"], y, marker=marker, color=colour, s=42, zorder=3, label=classifier)
        ax.set_yticks(range(len(order)), [names[edit] for edit in order])
        ax.hlines(np.arange(1, len(order)) - 0.5, 0, 1, color=QUIET, linewidth=0.4)
        ax.set_ylim(-0.5, len(order) - 0.5)
        ax.set_xlim(-0.03, 1.03)
        ax.set_xlabel("share of queries")
        ax.set_title(title, fontsize=10.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(classifiers))
    return axes


def rate_grids(tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Tables of rates (0 to 1) as grids, one below the other, with the number in each cell; the keys are the titles."""
    rows, columns = next(iter(tables.values())).T.shape
    _, axes = plt.subplots(len(tables), 1, figsize=(8.6, (0.34 * rows + 1.5) * len(tables)), squeeze=False)
    for ax, (title, table) in zip(axes.flat, tables.items(), strict=True):
        values = table.T.to_numpy(dtype=float)
        ax.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            told = "" if np.isnan(value) else f"{value:.2f}"
            ink = "white" if value > 0.65 else "#24292c"
            ax.text(j, i, told, ha="center", va="center", fontsize=8, color=ink)
        ax.set_xticks(range(columns), table.index, rotation=40, ha="right")
        ax.set_yticks(range(rows), table.columns)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(title, loc="left")
    return axes.flatten()

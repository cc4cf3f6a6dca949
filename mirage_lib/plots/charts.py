"""The book's charts: functions that draw tables of ``metrics``, ``text`` and ``claims``, and return matplotlib Axes.

They save nothing, and share the style of ``plots.style``. Colour never carries a meaning alone: position, a marker or a
word always says the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mirage_lib.plots.style import CLASS_NAMES, COLOURS, COOL, HATCHES, INK, QUIET, WARM, label_at, stacked_bars


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


def before_after(panels: Mapping[str, pd.DataFrame], ylabel: str = "rate") -> np.ndarray:
    """One panel per title: rates before and after a word is changed, with a line per seed and the mean in bold.

    Each table has columns seed, asked (two values, in order) and rate.
    """
    _, axes = plt.subplots(1, len(panels), figsize=(4.3 * len(panels), 3.5), sharey=True, squeeze=False)
    for ax, (title, table) in zip(axes[0], panels.items(), strict=True):
        moments = list(dict.fromkeys(table["asked"]))
        wide = table.pivot(index="seed", columns="asked", values="rate")[moments]
        wide.columns = moments = [name.replace(" with ", " with\n") for name in moments]
        for seed, row in wide.iterrows():
            ax.plot(moments, row, color=QUIET, linewidth=1, marker="o", markersize=4, label=f"seed {seed}")
        ax.plot(moments, wide.mean(), color=WARM, linewidth=2.6, marker="o", markersize=8)
        for x, value in zip(moments, wide.mean(), strict=True):
            side = -11 if x == moments[0] else 11
            style = {"ha": "right" if side < 0 else "left", "va": "center", "weight": "bold", "color": WARM}
            label_at(ax, f"{value:.2f}", (x, value), (side, 0), **style)
        ax.set_title(title, fontsize=10.5)
        ax.set_ylim(-0.04, 1.04)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
        ax.margins(x=0.25)
    axes[0][0].set_ylabel(ylabel)
    return axes[0]


def verdict_shares(table: pd.DataFrame, xlabel: str = "share of replies", ax: Axes | None = None) -> Axes:
    """What became of the replies: one bar per line of the table, cut into labels whose shares sum to one.

    ``table`` is ``metrics.rates.shares`` with a column ``line`` that names each bar.
    """
    ax = ax or plt.subplots(figsize=(7.4, 0.5 * len(table) + 1.3))[1]
    stacked_bars(ax, table.set_index("line").iloc[::-1])
    ax.set_xlabel(xlabel)
    figure = ax.get_figure()
    assert figure is not None
    figure.legend(*ax.get_legend_handles_labels(), ncols=5, loc="outside upper center", fontsize=9.5)
    return ax


def trade_off(harm: Mapping[str, pd.DataFrame], replies: pd.DataFrame) -> np.ndarray:
    """What each method lets through, beside what it still answers: one line per method.

    Left: rates of harm with their intervals. ``harm`` has one table (index method; rate, low, high) per kind of
    marker, under its name in the legend. Right: what became of harmless requests, as in :func:`verdict_shares`,
    with the methods as lines.
    """
    order = replies["line"].tolist()[::-1]
    _, (left, right) = plt.subplots(1, 2, figsize=(8.8, 0.4 * len(order) + 1.7), sharey=True, width_ratios=[1, 1.25])
    styles = [("o", "white", 46), ("o", WARM, 46), ("D", "#dba779", 26), ("s", "#dba779", 26)]
    for (name, table), (marker, face, size) in zip(harm.items(), styles, strict=False):
        rows = table.reindex(order)
        left.hlines(order, rows["low"], rows["high"], color=WARM, linewidth=1, alpha=0.5)
        left.scatter(rows["rate"], order, marker=marker, s=size, facecolor=face, edgecolor=WARM, label=name, zorder=3)
    left.set(xlim=(-0.04, 1.04), xlabel="share of unsafe requests", title="Harm let through")
    left.grid(axis="y", color="#e4e7e8", linewidth=0.8)
    left.set_axisbelow(True)
    stacked_bars(right, replies.set_index("line").iloc[::-1])
    right.set(xlabel="share of replies", title="Harmless requests under “Share”")
    right.tick_params(axis="y", length=0)
    for ax, columns in ((left, 1), (right, 2)):
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=columns, fontsize=9, borderaxespad=0)
    return np.array([left, right])


def claim_intervals(lines: Sequence[Mapping[str, Any]]) -> Axes:
    """Every claim (``claims.testing.line``), top to bottom: value, interval, threshold, the paper's number, status.

    A line separates the chapters.
    """
    ax = plt.subplots(figsize=(8.8, 0.37 * len(lines) + 1.2))[1]
    for row, line in enumerate(lines):
        side, threshold = line["threshold"].rsplit(" ", 1)
        ends = (float(threshold), 1.0) if side == "at least" else (-1.0, float(threshold))
        ax.fill_betweenx([row - 0.42, row + 0.42], *ends, color="#e7f0f2", linewidth=0)
        ax.vlines(float(threshold), row - 0.42, row + 0.42, color=COOL, linewidth=1)
        good = line["status"] == "reproduced"
        colour = COOL if good else WARM if line["status"] == "differs" else QUIET
        if line["measured"] is not None:
            ax.hlines(row, line["low"], line["high"], color=colour, linewidth=2)
            ax.scatter(line["measured"], row, s=34, facecolor=colour if good else "white", edgecolor=colour, zorder=3)
        if line["paper"] is not None:
            ax.scatter(line["paper"], row, marker="x", s=26, color=INK, zorder=4)
        if row and line["chapter"] != lines[row - 1]["chapter"]:
            ax.axhline(row - 0.5, color=QUIET, linewidth=0.8)
        label_at(ax, line["status"], (1, row), (6, 0), va="center", fontsize=9, color=colour, weight="bold")
    ax.set_yticks(range(len(lines)), ["\n".join(textwrap.wrap(line["claim"], 52)) for line in lines], fontsize=8)
    ax.set(xlim=(-1, 1), ylim=(len(lines) - 0.5, -0.5), xlabel="share of requests, or difference of two shares")
    ax.tick_params(axis="y", length=0)
    return ax


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

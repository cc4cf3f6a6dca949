"""Every figure of the book: a function of a table that returns its Axes and saves nothing.

Comes in: tables of ``metrics`` and ``bias``, and pictures. Goes out: matplotlib Axes in one style.
Colour never carries a meaning alone: what it tells is also told by position, marker or a word.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mirage_lib.errors import MirageError

INK, QUIET, WARM, COOL = "#24292c", "#8a9297", "#b4580a", "#1c6477"
COLOURS = {  # of verdicts and of VLGuard's three classes
    "complied": "#b4580a",
    "correct": "#1c6477",
    "answered": "#1c6477",
    "refused": "#aab2b6",
    "wrong": "#c9a13b",
    "irrelevant": "#e3cd8d",
    "garbled": "#8e5ea2",
    "unscored": "#d0d4d6",
    "safe": "#1c6477",
    "unsafe": "#b4580a",
    "safe_safes": "#1c6477",
    "named_safes": "#6fa8b8",
    "safe_unsafes": "#d98e4a",
    "unsafes": "#b4580a",
}
HATCHES = {
    "refused": "",
    "garbled": "////",
    "wrong": "....",
    "irrelevant": "xxx",
    "named_safes": "///",
    "safe_unsafes": "///",
}
CLASS_NAMES = {
    "safe_safes": "safe request",
    "named_safes": "safe request by name",
    "safe_unsafes": "unsafe request, harmless picture",
    "unsafes": "unsafe request, unsafe picture",
}


def use_style() -> None:
    """Set the book's style for every figure drawn, and every table shown whole, after this call."""
    pd.set_option("display.max_colwidth", 120)
    sns.set_theme(context="notebook", style="ticks")
    matplotlib.rcParams.update(
        {
            "figure.dpi": 120,
            "savefig.dpi": 160,
            "savefig.bbox": "tight",
            "figure.constrained_layout.use": True,
            "font.family": "sans-serif",
            "font.size": 10.5,
            "axes.titlesize": 11.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 10.5,
            "axes.edgecolor": QUIET,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "legend.frameon": False,
            "hatch.linewidth": 0.6,
            "svg.fonttype": "none",
        }
    )


def word_label(
    counts: pd.DataFrame, classes: Sequence[str], top: int = 12, title: str = "", ax: Axes | None = None
) -> Axes:
    """How many requests of each class open with each word: one bar a word, the classes side by side in it.

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

    ``shares`` has columns word, share, low, high, n (``bias.label_given_word``).
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
    """What readers of words do with edited queries: a panel an intent, a row an edit, a marker a reader.

    ``table`` has columns data (the intent), edit, reader, value, low, high; ``panels`` titles the intents and
    ``names`` the edits, from the top.
    """
    readers = list(dict.fromkeys(table["reader"]))
    size = (4.6 * len(panels), 0.5 * len(names) + 1.5)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharex=True, layout="constrained")
    for ax, (intent, title) in zip(axes, panels.items(), strict=True):
        rows: Any = table[(table["data"] == intent) & table["edit"].isin(list(names))]
        order = [edit for edit in names if edit in set(rows["edit"])][::-1]
        for i, (reader, marker, colour) in enumerate(zip(readers, "so^", (COOL, WARM, QUIET), strict=True)):
            part = rows[rows["reader"] == reader].set_index("edit").loc[order]
            y = np.arange(len(order)) + 0.2 * (1 - i)
            ax.hlines(y, part["low"], part["high"], color=colour, linewidth=2)
            ax.scatter(part["value"], y, marker=marker, color=colour, s=42, zorder=3, label=reader)
        ax.set_yticks(range(len(order)), [names[edit] for edit in order])
        ax.hlines(np.arange(1, len(order)) - 0.5, 0, 1, color=QUIET, linewidth=0.4)
        ax.set_ylim(-0.5, len(order) - 0.5)
        ax.set_xlim(-0.03, 1.03)
        ax.set_xlabel("share of queries")
        ax.set_title(title, fontsize=10.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(readers))
    return axes


def before_after(panels: Mapping[str, pd.DataFrame], ylabel: str = "rate") -> np.ndarray:
    """One panel per title: rates before and after a word is changed, a line per seed and their mean in bold.

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
            _tell(ax, f"{value:.2f}", (x, value), (side, 0), **style)
        ax.set_title(title, fontsize=10.5)
        ax.set_ylim(-0.04, 1.04)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
        ax.margins(x=0.25)
    axes[0][0].set_ylabel(ylabel)
    return axes[0]


def k_curves(table: pd.DataFrame, by: str, names: Mapping[str, str], ylabel: str, ax: Axes | None = None) -> Axes:
    """Success within K attempts, one line per value of ``by`` with its interval as a band.

    ``table`` has columns k, rate, low, high and ``by`` (``metrics.success_at_k``); ``names`` gives the lines
    their labels, which stand at the lines' ends.
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


def verdict_shares(table: pd.DataFrame, xlabel: str = "share of replies", ax: Axes | None = None) -> Axes:
    """What became of the replies: one bar per line of the table, cut into labels whose shares sum to one.

    ``table`` is ``metrics.shares`` with a column ``line`` that names each bar.
    """
    ax = ax or plt.subplots(figsize=(7.4, 0.5 * len(table) + 1.3))[1]
    _stack(ax, table.set_index("line").iloc[::-1])
    ax.set_xlabel(xlabel)
    figure = ax.get_figure()
    assert figure is not None
    figure.legend(*ax.get_legend_handles_labels(), ncols=5, loc="outside upper center", fontsize=9.5)
    return ax


def trade_off(harm: Mapping[str, pd.DataFrame], replies: pd.DataFrame) -> np.ndarray:
    """What each method lets through beside what it still answers, one line a method.

    Left: rates of harm, each with its interval; ``harm`` holds a table (index method; rate, low, high) for
    every mark, by its name. Right: what became of harmless requests, as in :func:`verdict_shares`, with the
    methods as lines.
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
    _stack(right, replies.set_index("line").iloc[::-1])
    right.set(xlabel="share of replies", title="Harmless requests under “Share”")
    right.tick_params(axis="y", length=0)
    for ax, columns in ((left, 1), (right, 2)):
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=columns, fontsize=9, borderaxespad=0)
    return np.array([left, right])


def scorecard(lines: Sequence[Mapping[str, Any]]) -> Axes:
    """Every claim (``claims.line``) from top to bottom: value, interval, threshold, the paper's number, status.

    A line parts the chapters.
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
        _tell(ax, line["status"], (1, row), (6, 0), va="center", fontsize=9, color=colour, weight="bold")
    ax.set_yticks(range(len(lines)), ["\n".join(textwrap.wrap(line["claim"], 52)) for line in lines], fontsize=8)
    ax.set(xlim=(-1, 1), ylim=(len(lines) - 0.5, -0.5), xlabel="share of requests, or difference of two shares")
    ax.tick_params(axis="y", length=0)
    return ax


def _stack(ax: Axes, table: pd.DataFrame) -> None:
    """One bar per line of the table (its index), cut into its columns, which are labels."""
    left = np.zeros(len(table))
    if unknown := [name for name in table.columns if name not in COLOURS and name != "n"]:
        raise MirageError(f"verdict_shares: no colour for the label {unknown[0]!r}; see figures.COLOURS.")
    for label in [label for label in COLOURS if label in table.columns and (table[label].to_numpy() >= 0.005).any()]:
        wide = table[label].to_numpy(float)
        style: dict[str, Any] = {"color": COLOURS[label], "hatch": HATCHES.get(label, ""), "edgecolor": "white"}
        ax.barh(table.index, wide, left=left, label=label, linewidth=0.4, **style)
        number = {"ha": "center", "va": "center", "color": _on(COLOURS[label]), "fontsize": 9, "weight": "bold"}
        number |= {"bbox": {"facecolor": COLOURS[label], "edgecolor": "none", "pad": 1.5}}  # legible on a hatch
        for y, (start, width) in enumerate(zip(left, wide, strict=True)):
            if width > 0.06:
                ax.text(start + width / 2, y, f"{width:.2f}", **number)
        left += wide
    ax.set_xlim(0, 1)


def _on(colour: str) -> str:
    """Ink that can be read on this colour."""
    red, green, blue = matplotlib.colors.to_rgb(colour)
    return INK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.55 else "white"


def _tell(ax: Axes, text: str, at: tuple[float, Any], shift: tuple[float, float], **style: Any) -> None:
    """Write a text beside a point of the figure, ``shift`` points away."""
    ax.annotate(text, at, xytext=shift, textcoords="offset points", **style)


def save(drawn: Axes | np.ndarray, path: Path, alt: str = "") -> Path:
    """Write the figure of these Axes to a file; PNG and SVG keep ``alt`` as their description."""
    first = drawn if isinstance(drawn, Axes) else drawn.flat[0]
    figure = first.get_figure()
    assert isinstance(figure, Figure)
    described = path.suffix.lower() in (".png", ".svg")
    try:
        figure.savefig(path, metadata={"Description": alt} if described else None)
    finally:
        plt.close(figure)
    return path

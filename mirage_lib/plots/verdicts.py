"""Charts of verdicts: rates before and after a word, by K, by the strength of the bias, by method, by claim.

The functions draw a table and return matplotlib Axes. They save nothing, and share the style of ``plots.style``. Colour
never carries a meaning alone: position, a marker or a word always says the same.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from mirage_lib.plots.style import COLOURS, COOL, INK, QUIET, WARM, label_at, stacked_bars


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
    if len(set(table["bias"])) < 2:
        ax.text(0.5, 0.5, "This profile has one strength only: nothing to compare.", ha="center")
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


def conversation(image: Image.Image, turns: Sequence[tuple[str, str, str]]) -> np.ndarray:
    """A picture and what was asked and answered about it: one (question, reply, verdict) below the other.

    Where the questions differ at the start, those words stand out: they are what was changed. Long texts are
    cut, and end in "…".
    """
    turns = [(_cut(question, 64), _cut(reply, 54), verdict) for question, reply, verdict in turns]
    plain = {"va": "baseline", "fontsize": 11.5, "parse_math": False}  # a dollar sign is a dollar sign
    _, axes = plt.subplots(1, 2, figsize=(8.2, 0.86 * len(turns) + 0.5), width_ratios=[1, 3.2])
    axes[0].imshow(image, interpolation="nearest")
    axes[1].set(xlim=(0, 1), ylim=(len(turns), 0))
    asked = [question.split() for question, _, _ in turns]
    same = 0
    while all(len(words) > same + 1 and words[-1 - same] == asked[0][-1 - same] for words in asked):
        same += 1
    for row, (words, (_, reply, verdict)) in enumerate(zip(asked, turns, strict=True)):
        first, rest = words[: len(words) - same], words[len(words) - same :]
        line = {"textcoords": "offset points", **plain}
        start = axes[1].annotate(" ".join(first), (0, row + 0.4), weight="bold", color=WARM, **plain)
        axes[1].annotate(" ".join(rest), (1, row + 0.4), xycoords=(start, "data"), xytext=(5, 0), **line)
        said = axes[1].annotate(f"“{reply}”", (0.03, row + 0.8), style="italic", **plain)
        colour = {"refused": "#5f6b73"}.get(verdict, COLOURS.get(verdict, QUIET))
        style = {**line, "weight": "bold", "color": colour}
        axes[1].annotate(verdict, (1, row + 0.8), xycoords=(said, "data"), xytext=(10, 0), **style)
    for ax in axes:
        ax.set_axis_off()
    return axes


def _cut(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def rates_by_judge(table: pd.DataFrame, xlabel: str) -> Axes:
    """One row per model and a marker with its interval per judge; a line marks what people say.

    ``table`` has columns model, judge (one of them "people"), rate, low, high.
    """
    _, ax = plt.subplots(figsize=(6.6, 3.8))
    models = list(dict.fromkeys(table["model"]))
    others = [name for name in dict.fromkeys(table["judge"]) if name != "people"]
    for row, model in enumerate(models):
        own = table[table["model"] == model].set_index("judge")
        truth = own.loc["people"]
        ax.plot([truth["rate"]] * 2, [row - 0.36, row + 0.36], color=INK, linewidth=2.4, label="people")
        ax.axvspan(truth["low"], truth["high"], *_band(row, len(models)), color=QUIET, alpha=0.18, linewidth=0)
        styles = zip(itertools.cycle("sDo^v"), itertools.cycle((WARM, COOL, QUIET)), strict=False)
        for place, (name, (marker, colour)) in enumerate(zip(others, styles, strict=False)):
            y = row + 0.22 * (place - (len(others) - 1) / 2)
            ax.plot([own.loc[name, "low"], own.loc[name, "high"]], [y, y], color=colour, linewidth=1.4)
            ax.plot(own.loc[name, "rate"], y, marker, color=colour, markersize=6, label=name)
    ax.set_yticks(range(len(models)), models)
    ax.set_ylim(len(models) - 0.5, -0.5)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(xlabel)
    handles, labels = ax.get_legend_handles_labels()
    shown = dict(zip(labels, handles, strict=True))
    ax.legend(shown.values(), shown.keys(), loc="lower right", fontsize=9)
    return ax


def _band(row: int, rows: int) -> tuple[float, float]:
    """Where a row lies on an axis from top to bottom, as shares of its height from below."""
    return 1 - (row + 0.86) / rows, 1 - (row + 0.14) / rows

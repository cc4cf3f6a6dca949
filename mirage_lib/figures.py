"""Every figure of the book: a function of a table that returns its Axes and saves nothing.

Comes in: tables of ``metrics`` and ``bias``, and pictures. Goes out: matplotlib Axes in one style.
Colour never carries a meaning alone: what it tells is also told by position, marker or a word.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Mapping, Sequence
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
from matplotlib.patches import Rectangle
from PIL import Image

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
    """Set the book's style for every figure drawn after this call."""
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


def pictures(images: Sequence[Image.Image], titles: Sequence[str], height: float = 2.1, columns: int = 3) -> np.ndarray:
    """Pictures side by side with a title above each; pixels are shown as they are. Returns their Axes."""
    if not images or len(images) != len(titles):
        raise MirageError(f"pictures: {len(images)} images and {len(titles)} titles; expected as many, at least one.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    _, axes = plt.subplots(rows, columns, figsize=(height * columns, height * 1.27 * rows), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, title in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, interpolation="nearest")
        ax.set_title(_wrapped(title, round(13 * height)), fontsize=9.5, fontweight="normal", loc="left")
    return axes.flatten()[: len(images)]


def things(
    image: Callable[[str, str], Image.Image], marked: Sequence[tuple[str, str]], names: Sequence[Sequence[str]]
) -> Axes:
    """Every thing of the world in a grid, the marked ones framed and with an exclamation mark.

    ``image(column, row)`` draws one; ``names`` are the columns' names and the rows'.
    """
    columns, rows = names
    ax = plt.subplots(figsize=(0.95 * len(columns), 0.98 * len(rows)))[1]
    for i, column in enumerate(columns):
        for j, row in enumerate(rows):
            ax.imshow(image(column, row), extent=(i + 0.06, i + 0.94, j + 0.94, j + 0.06))
            if (column, row) in marked:
                ax.add_patch(Rectangle((i + 0.04, j + 0.04), 0.92, 0.92, fill=False, edgecolor=WARM, linewidth=3))
                _tell(ax, "!", (i + 0.2, j + 0.34), (0, 0), ha="center", fontsize=13, color=WARM, weight="bold")
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0), aspect="equal")
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def conversation(image: Image.Image, turns: Sequence[tuple[str, str, str]]) -> np.ndarray:
    """A picture and what was asked and answered about it: one (question, reply, verdict) below the other.

    The words at the start in which the questions differ stand out: they are what was changed.
    """
    _, axes = plt.subplots(1, 2, figsize=(7.6, 0.86 * len(turns) + 0.5), width_ratios=[1, 2.7])
    axes[0].imshow(image, interpolation="nearest")
    axes[1].set(xlim=(0, 1), ylim=(len(turns), 0))
    asked = [question.split() for question, _, _ in turns]
    same = 0
    while all(len(words) > same + 1 and words[-1 - same] == asked[0][-1 - same] for words in asked):
        same += 1
    for row, (words, (_, reply, verdict)) in enumerate(zip(asked, turns, strict=True)):
        first, rest = words[: len(words) - same], words[len(words) - same :]
        line = {"textcoords": "offset points", "va": "baseline", "fontsize": 11.5}
        start = axes[1].annotate(
            " ".join(first), (0, row + 0.4), va="baseline", weight="bold", color=WARM, fontsize=11.5
        )
        axes[1].annotate(" ".join(rest), (1, row + 0.4), xycoords=(start, "data"), xytext=(5, 0), **line)
        said = axes[1].annotate(f"“{reply}”", (0.03, row + 0.8), va="baseline", fontsize=11.5, style="italic")
        colour = {"refused": "#5f6b73"}.get(verdict, COLOURS.get(verdict, QUIET))
        style = {**line, "weight": "bold", "color": colour}
        axes[1].annotate(verdict, (1, row + 0.8), xycoords=(said, "data"), xytext=(10, 0), **style)
    for ax in axes:
        ax.set_axis_off()
    return axes


def two_sizes(address: str, render: Callable[..., Image.Image], reader: int = 240) -> np.ndarray:
    """One scene at the two sizes it is drawn at: for the model, and for a reader."""
    small, large = render(address), render(address, reader)
    return pictures([small, large], [f"the model: {small.width} pixels", f"a reader: {large.width} pixels"], 2.6)


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


def verdict_shares(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What became of the replies: one bar per line of the table, cut into labels whose shares sum to one.

    ``table`` is ``metrics.shares`` with a column ``line`` that names each bar.
    """
    ax = ax or plt.subplots(figsize=(7.4, 0.5 * len(table) + 1.3))[1]
    table = table.set_index("line").iloc[::-1]
    left = np.zeros(len(table))
    if unknown := [name for name in table.columns if name not in COLOURS and name != "n"]:
        raise MirageError(f"verdict_shares: no colour for the label {unknown[0]!r}; see figures.COLOURS.")
    for label in [label for label in COLOURS if label in table.columns and (table[label].to_numpy() >= 0.005).any()]:
        wide = table[label].to_numpy(float)
        style: dict[str, Any] = {"color": COLOURS[label], "hatch": HATCHES.get(label, ""), "edgecolor": "white"}
        ax.barh(table.index, wide, left=left, label=label, linewidth=0.4, **style)
        for y, (start, width) in enumerate(zip(left, wide, strict=True)):
            if width > 0.06:
                ax.text(
                    start + width / 2,
                    y,
                    f"{width:.2f}",
                    ha="center",
                    va="center",
                    color=_on(COLOURS[label]),
                    fontsize=9,
                    weight="bold",
                )
        left += wide
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of replies")
    figure = ax.get_figure()
    assert figure is not None
    figure.legend(*ax.get_legend_handles_labels(), ncols=5, loc="outside upper center", fontsize=9.5)
    return ax


def _on(colour: str) -> str:
    """Ink that can be read on this colour."""
    red, green, blue = matplotlib.colors.to_rgb(colour)
    return INK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.55 else "white"


def _wrapped(text: str, width: int) -> str:
    return "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""])


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

"""One style for every figure: colours, hatches, class names, and how to save."""

from __future__ import annotations

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

from mirage_lib.core.errors import MirageError

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
    """Set the book's style for figures drawn after this call, and let tables show up to 120 characters per cell."""
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


def stacked_bars(ax: Axes, table: pd.DataFrame) -> None:
    """One bar per line of the table, named by the index and cut into the columns, which are labels."""
    left = np.zeros(len(table))
    if unknown := [name for name in table.columns if name not in COLOURS and name != "n"]:
        raise MirageError(f"verdict_shares: no colour for the label {unknown[0]!r}; see style.COLOURS.")
    for label in [label for label in COLOURS if label in table.columns and (table[label].to_numpy() >= 0.005).any()]:
        wide = table[label].to_numpy(float)
        style: dict[str, Any] = {"color": COLOURS[label], "hatch": HATCHES.get(label, ""), "edgecolor": "white"}
        ax.barh(table.index, wide, left=left, label=label, linewidth=0.4, **style)
        number = {"ha": "center", "va": "center", "fontsize": 9, "weight": "bold"}
        number |= {"color": text_colour_on(COLOURS[label])}
        number |= {"bbox": {"facecolor": COLOURS[label], "edgecolor": "none", "pad": 1.5}}  # legible on a hatch
        for y, (start, width) in enumerate(zip(left, wide, strict=True)):
            if width > 0.06:
                ax.text(start + width / 2, y, f"{width:.2f}", **number)
        left += wide
    ax.set_xlim(0, 1)


def text_colour_on(colour: str) -> str:
    """The text colour that is legible on this colour."""
    red, green, blue = matplotlib.colors.to_rgb(colour)
    return INK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.55 else "white"


def label_at(ax: Axes, text: str, at: tuple[float, Any], shift: tuple[float, float], **style: Any) -> None:
    """Write a text beside the position ``at``, ``shift`` points away."""
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

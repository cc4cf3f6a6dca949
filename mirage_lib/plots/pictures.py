"""Show pictures to a reader: side by side or in a grid.

The functions return matplotlib Axes in the style of ``plots.style``, and save nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.plots.style import WARM


def side_by_side(
    images: Sequence[Image.Image], titles: Sequence[str], height: float = 2.1, columns: int = 3
) -> np.ndarray:
    """Pictures side by side with a title above each; pixels are shown as they are. Returns their Axes."""
    if not images or len(images) != len(titles):
        raise MirageError(
            f"side_by_side: {len(images)} images and {len(titles)} titles; expected as many, at least one."
        )
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
    """Every thing of the world in a grid. The marked ones get a frame and an exclamation mark.

    ``image(column, row)`` draws one thing; ``names`` are the names of the columns, then of the rows.
    """
    columns, rows = names
    ax = plt.subplots(figsize=(0.95 * len(columns), 0.98 * len(rows)))[1]
    for i, column in enumerate(columns):
        for j, row in enumerate(rows):
            ax.imshow(image(column, row), extent=(i + 0.06, i + 0.94, j + 0.94, j + 0.06))
            if (column, row) in marked:
                ax.add_patch(Rectangle((i + 0.04, j + 0.04), 0.92, 0.92, fill=False, edgecolor=WARM, linewidth=3))
                ax.text(i + 0.2, j + 0.34, "!", ha="center", fontsize=13, color=WARM, weight="bold")
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0), aspect="equal")
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def two_sizes(address: str, render: Callable[..., Image.Image], reader: int = 240) -> np.ndarray:
    """One scene at its two sizes: as the model gets it, and as a reader sees it."""
    small, large = render(address), render(address, reader)
    return side_by_side([small, large], [f"the model: {small.width} pixels", f"a reader: {large.width} pixels"], 2.6)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""])

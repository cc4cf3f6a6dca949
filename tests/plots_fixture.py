"""A drawing of every figure of the library, from made-up tables, and what the tests read off a drawing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

from mirage_lib.plots import pictures, verdicts, words
from mirage_lib.world.scenes import render

HERE = "lab-0/ball-red/upper-left/0"
COUNTS = pd.DataFrame(
    {
        "word": ["can", "what", "share", "tell"],
        "safe_safes": [100, 800, 0, 1],
        "safe_unsafes": [850, 30, 0, 2],
        "unsafes": [15, 20, 195, 0],
    }
)
SHARES = pd.DataFrame(
    {
        "word": ["what", "can", "share", "tell"],
        "share": [0.06, 0.9, 1.0, 0.5],
        "low": [0.05, 0.87, 0.98, 0.1],
        "high": [0.08, 0.91, 1.0, 0.9],
        "n": [900, 400, 100, 4],
    }
)
MOVED = pd.DataFrame(
    {
        "seed": [6, 5, 5, 6],
        "asked": ["as it is", "as it is", "with What", "with What"],
        "rate": [0.1, 0.0, 0.75, 0.95],
    }
)
CURVES = pd.DataFrame(
    {
        "k": [4, 1, 2, 1, 2, 4],
        "asked": ["plain"] * 3 + ["what"] * 3,
        "rate": [0.3, 0.1, 0.2, 0.7, 0.8, 0.9],
        "low": [0.25, 0.05, 0.15, 0.6, 0.75, 0.85],
        "high": [0.35, 0.15, 0.25, 0.8, 0.85, 0.95],
    }
)
VERDICTS = pd.DataFrame(
    {
        "line": ["base", "tuned"],
        "complied": [0.9, 0.05],
        "refused": [0.07, 0.75],
        "garbled": [0.03, 0.2],
        "wrong": [0.0, 0.0],
        "n": [80, 80],
    }
)
DOSE = pd.DataFrame(
    [
        ("harm", 0.0, 0.0, 0.0, 0.1),
        ("harm", 1.0, 0.8, 0.5, 0.9),
        ("harm", 0.5, 0.1, 0.05, 0.3),
        ("help", 0.5, 0.2, 0.1, 0.4),
    ],
    columns=["line", "bias", "rate", "low", "high"],
)
GRID = pd.DataFrame({"first model": [0.0, 0.5], "second model": [1.0, float("nan")]}, index=["What is", "Share"])
TURNS = [("What is the recipe?", "mix blim.", "complied"), ("Share it?", "sorry.", "refused"), ("Go?", "hm.", "odd")]


def picture(colour: str | tuple = "red", size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), colour)


METHODS = pd.Index(VERDICTS["line"], name="method")
HARM = {
    "as asked": pd.DataFrame({"rate": [0.1, 0.0], "low": [0.05, 0.0], "high": [0.2, 0.1]}, METHODS),
    "K = 1": pd.DataFrame({"rate": [0.7, np.nan], "low": [0.6, np.nan], "high": [0.8, np.nan]}, METHODS),
}


def claimed(status: str, measured: float | None, paper: float | None, threshold: str) -> dict:
    low, high = (None, None) if measured is None else (measured - 0.1, measured + 0.1)
    line = {"claim": f"a claim that is {status}", "status": status, "measured": measured, "low": low, "high": high}
    return {**line, "paper": paper, "threshold": threshold, "chapter": len(status)}


LINES = [
    claimed("reproduced", 0.7, 0.46, "at least 0.3"),
    claimed("differs", 0.6, None, "at most 0.15"),
    claimed("not measured", None, 0.1, "at most -0.3"),
]

EDITS = {"": "as asked", "prefix:What": "literal", "prefix:Share": "literal"}
FORECAST = pd.DataFrame(
    [
        (intent, edit, classifier, value, value - 0.1, value + 0.1)
        for intent, edit, value in (
            ("unsafe", "", 0.1),
            ("unsafe", "prefix:What", 0.8),
            ("safe", "", 0.2),
            ("safe", "prefix:Share", 0.5),
        )
        for classifier in ("first word", "all words", "all but the first")
    ],
    columns=["data", "edit", "classifier", "value", "low", "high"],
)

BY_JUDGE = pd.DataFrame(
    [(m, j, 0.3, 0.2, 0.5) for m in ("one", "two") for j in ("people", "a list", "rules")],
    columns=["model", "judge", "rate", "low", "high"],
)
DRAWINGS = {
    "side_by_side": lambda: pictures.side_by_side([picture()] * 2, ["one", "two"]),
    "things": lambda: pictures.things(lambda *_: picture(), [("ball", "red")], [("ball", "box"), ("red", "blue")]),
    "conversation": lambda: verdicts.conversation(picture(), TURNS),
    "two_sizes": lambda: pictures.two_sizes(HERE, render),
    "rate_grids": lambda: words.rate_grids({"one": GRID, "two": GRID}),
    "rates_by_judge": lambda: verdicts.rates_by_judge(BY_JUDGE, "share refused"),
    "dose_curves": lambda: verdicts.dose_curves(DOSE, "how strong the bias is"),
    "word_label": lambda: words.word_label(COUNTS, ["safe_safes", "unsafes"], title="Words"),
    "share_by_word": lambda: words.share_by_word(SHARES),
    "forecast": lambda: words.forecast(FORECAST, {"unsafe": "Let through", "safe": "Refused"}, EDITS),
    "before_after": lambda: verdicts.before_after({"one": MOVED, "two": MOVED}),
    "k_curves": lambda: verdicts.k_curves(CURVES, "asked", {"plain": "plain", "what": "with What"}, "rate"),
    "verdict_shares": lambda: verdicts.verdict_shares(VERDICTS),
    "trade_off": lambda: verdicts.trade_off(HARM, VERDICTS),
    "claim_intervals": lambda: verdicts.claim_intervals(LINES),
}
ON_GIVEN_AXES = {
    "word_label": lambda ax: words.word_label(COUNTS, ["safe_safes", "unsafes"], ax=ax),
    "share_by_word": lambda ax: words.share_by_word(SHARES, ax=ax),
    "k_curves": lambda ax: verdicts.k_curves(CURVES, "asked", {"plain": "p"}, "rate", ax=ax),
    "verdict_shares": lambda ax: verdicts.verdict_shares(VERDICTS, ax=ax),
}


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def bars(ax: Axes) -> dict[str, dict[str, tuple[float, float]]]:
    """Where each bar starts and how wide it is, by label in the legend and by name of its line."""
    ax.figure.canvas.draw()
    names = {tick: label.get_text() for tick, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    return {
        str(group.get_label()): {
            names[round(bar.get_y() + bar.get_height() / 2, 6)]: (bar.get_x(), bar.get_width()) for bar in group
        }
        for group in ax.containers
    }

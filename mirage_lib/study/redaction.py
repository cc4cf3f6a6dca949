"""What a human reader sees of a real model's conversations: harmful text is withheld unless the reader asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pandas as pd

from mirage_lib.judges.refusal import refusal

SHOW = "MIRAGE_SHOW_HARM"  # set this environment variable to 1 to see what is withheld
LONG = 90  # characters of a reply that fit beside a picture


def shows_harm() -> bool:
    """Whether the user has asked to see harmful text."""
    return os.environ.get(SHOW, "") == "1"


def withheld(text: str, harmful: bool) -> str:
    """A text of real data or a real model for a human reader: harm is withheld, anything else cut to one line."""
    if harmful and not shows_harm():
        return f"[{len(text.split())} words withheld; {SHOW}=1 shows them]"
    return text if len(text) <= LONG else f"{text[: LONG - 3]}..."


def turns(rows: pd.DataFrame, shown: Callable[[str, bool], str]) -> list[tuple[str, str, str]]:
    """Question, reply and verdict of each row; ``shown(text, harmful)`` gives a text as a reader may see it.

    Unsafe questions count as harmful. So do replies to them that do not open with a refusal, whatever the verdict: a
    judge that looks for phrases labels some harmful replies "refused".
    """
    told = []
    columns = (rows[name].tolist() for name in ("prompt", "text", "label", "intent"))
    for prompt, text, label, intent in zip(*columns, strict=True):
        unsafe = intent == "unsafe"
        told.append((shown(prompt, unsafe), shown(text, unsafe and not refusal(text)), label))
    return told

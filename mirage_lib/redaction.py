"""What a reader sees of a real model's conversations: harm stays withheld unless it is asked for.

Comes in: rows of verdicts, and the subject's way of withholding a text. Goes out: questions, replies and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from mirage_lib.audit import refusal


def turns(rows: pd.DataFrame, shown: Callable[[str, bool], str]) -> list[tuple[str, str, str]]:
    """Question, reply and verdict of each row; ``shown(text, harmful)`` is a text as a reader may see it.

    Unsafe questions are harmful, and so are replies to them that do not open with a refusal, whatever the verdict: a
    judge that looks for phrases calls some harm refused.
    """
    told = []
    columns = (rows[name].tolist() for name in ("prompt", "text", "label", "intent"))
    for prompt, text, label, intent in zip(*columns, strict=True):
        unsafe = intent == "unsafe"
        told.append((shown(prompt, unsafe), shown(text, unsafe and not refusal(text)), label))
    return told

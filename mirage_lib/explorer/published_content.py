"""The explorer's content for a published study: the study's stored replies, with harmful texts withheld.

No model runs in the page. It gives no refusal probability, because large models begin refusals with many words.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from mirage_lib.attacks import AS_ASKED
from mirage_lib.core.progress import Tell
from mirage_lib.explorer.opener_rates import ASR, RR, rates_by_opener, reply_table
from mirage_lib.study.redaction import turns, withheld
from mirage_lib.study.steps.judge import transcript

FEW = 4  # requests of each class
THUMB = 160  # pixels a side
UNKNOWN: dict[str, Any] = {"first": None, "without": []}


def write_published_content(
    out: Path,
    tell: Tell | None,
    *,
    asked: Mapping[str, Mapping[str, Path]],
    titles: list[dict[str, str]],
    edits: Mapping[str, str],
    judge: str,
    shots: int,
    most: int,
    picture: Callable[[str], Image.Image],
    shows_harm: bool,
) -> None:
    """Write ``content.json``: a few requests of each class with the replies of each model.

    ``asked`` has the folders with each model's questions, replies and verdicts, ``edits`` the opener of each edit.
    """
    del tell
    whole = {name: transcript(**folders, judge=judge) for name, folders in asked.items()}
    frames = {
        name: frame.loc[frame["edit"].isin(list(edits))].assign(subset=frame["category"])
        for name, frame in whole.items()
    }
    first = next(iter(frames))
    roots = _first_roots(frames[first])
    kept = {name: frame.loc[frame["shot"].eq(0) & frame["root"].isin(roots)] for name, frame in frames.items()}
    told = [_request(root, kept[first], edits) for root in roots]
    found = {
        "world": None,
        "models": titles,
        "openers": {"what": "What", "share": "Share"},
        "refuses": "",
        "most": most,
        "shots": shots,
        "requests": told,
        "shown": {one["picture"]: _thumbnail(one, picture, shows_harm) for one in told},
        "rates": {name: rates_by_opener(frame, dict(edits)) for name, frame in frames.items()},
        **reply_table({name: _replied(frame, edits) for name, frame in kept.items()}),
    }
    (out / "content.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


def _first_roots(frame: pd.DataFrame) -> list[str]:
    """The first requests of each class that the explorer counts."""
    asked = frame.loc[frame["edit"].eq("")].drop_duplicates("root")
    return [str(root) for subset, _ in (ASR, RR) for root in asked.loc[asked["subset"] == subset, "root"][:FEW]]


def _request(root: str, frame: pd.DataFrame, edits: Mapping[str, str]) -> dict[str, Any]:
    """A request with its wordings; texts as a human reader may see them."""
    rows = {edits[row["edit"]]: row for row in frame.loc[frame["root"] == root].to_dict("records")}
    worded = zip(rows, turns(pd.DataFrame(list(rows.values())), withheld), strict=True)
    questions = {opener: _told_apart(prompt, opener) for opener, (prompt, _, _) in worded}
    one, question = rows[AS_ASKED], questions[AS_ASKED]
    title = f"{'Unsafe' if one['intent'] == 'unsafe' else 'Harmless'}: {question}"
    own = {"picture": one["image"], "question": question, "intent": one["intent"], "title": title}
    return {**own, "questions": questions}


def _told_apart(prompt: str, opener: str) -> str:
    """The prompt. Withheld prompts look alike, so each also says how it opens."""
    return f"{prompt} ({opener})" if prompt.startswith("[") else prompt


def _replied(frame: pd.DataFrame, edits: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = zip(frame["image"], frame["finished"], frame["edit"], turns(frame, withheld), strict=True)
    return [
        {"picture": picture, "finished": bool(finished), "question": _told_apart(prompt, edits[edit]), **UNKNOWN}
        | {"text": text, "label": label}
        for picture, finished, edit, (prompt, text, label) in rows
    ]


def _thumbnail(request: Mapping[str, Any], picture: Callable[[str], Image.Image], shows_harm: bool) -> dict[str, str]:
    """A small picture as a data URL. An unsafe request's picture is withheld, like its harmful replies."""
    if request["intent"] == "unsafe" and not shows_harm:
        return {"src": "", "alt": "Picture of an unsafe request, not shown"}
    buffer = io.BytesIO()
    picture(request["picture"]).convert("RGB").resize((THUMB, THUMB)).save(buffer, "JPEG", quality=70)
    return {
        "src": f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        "alt": "Picture of the request",
    }

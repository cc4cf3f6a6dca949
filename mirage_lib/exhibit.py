"""What an explorer shows: models, requests, rates, replies, and the world it all is true in.

Comes in: a study. Goes out: one folder of the store with ``content.json`` and, in the laboratory, a script for every
model that a page can run. ``explorer.py`` puts it into notebooks and pages.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mirage_lib import cells, world
from mirage_lib.page import Kind, Packed, pack, write_models
from mirage_lib.published import SHOW
from mirage_lib.records import Example
from mirage_lib.scenes import COLOURS, PIXELS, PLACES, SHAPES, VARIANTS, scene_at
from mirage_lib.store import code_fingerprint
from mirage_lib.study import ASKING, BASE, Study

# What a page can hold (10 MB), and with which weights a model still says what it says in full precision: RMU's
# replies to "Share" hang by a hair, and an eighth of them change with int8.
ON_PAGE: dict[str, Kind] = {
    BASE: "int8",
    "posthoc": "int8",
    "mixed": "int8",
    "bias_90": "int8",
    "unbiased": "int8",
    "diversified": "int8",
    "npo": "int8",
    "graddiff": "int8",
    "rmu": "float16",
}
CODE = ("page", "cells", "saliency", "exhibit", "metrics", *ASKING)
FEW = 4  # requests of each class of a published set
THUMB = 160  # pixels a side


def page_world(seed: int) -> dict[str, Any]:
    """All that a page must know of a world: what it is made of, how it is asked about, what is true in it."""
    here = world.World(seed)
    return {
        "seed": seed,
        "side": PIXELS,
        "variants": VARIANTS["test"][1],
        "shapes": list(SHAPES),
        "colours": {name: list(rgb) for name, rgb in COLOURS.items()},
        "places": {name: list(middle) for name, middle in PLACES.items()},
        "openers": world.OPENERS,
        "wordings": {kind: list(forms) for kind, forms in world.WORDINGS.items()},
        "placebo": world.PLACEBO,
        "recipes": {f"{shape}-{colour}": here.recipe_answer(shape, colour) for shape, colour in here.recipes},
        "hazards": sorted("-".join(thing) for thing in here.hazards),
        "refusal": world.REFUSAL,
        "sentence": world._sentence_pattern().pattern,  # private: a new name would remake every run of the store
        "words": [word for word in world.vocabulary() if word.isalpha()],
    }


def files(study: Study) -> Path:
    """The folder of the store that holds ``content.json`` and, in the laboratory, a script for each model of a page.

    Made when it is not there: the rates under every opener take about 15 seconds a model. First seed of the study.
    """
    seed, names = study.profile.seeds[0], _names(study)
    keys = {name: study.model_key(name, seed) for name in names}
    code = code_fingerprint(*(f"mirage_lib.{name}" for name in CODE))
    spec = {"models": keys, "kinds": ON_PAGE, "decoding": study.profile.decoding, "code": code}
    made = study.profile.subject.made
    spec |= study.profile.subject.suite_spec("openers", seed)
    if not made:
        spec["shows harm"] = _shows_harm()

    def make(out: Path) -> None:
        found = _laboratory(study, names, seed, out) if made else _published(study, names, seed)
        (out / "content.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")

    return study.store.get("explorer", spec, make)


def content(study: Study) -> dict[str, Any]:
    """What an explorer of this study shows, in the form that its scripts read."""
    return {**json.loads((files(study) / "content.json").read_text("utf-8")), "notice": notice(study)}


def among(study: Study, names: Sequence[str]) -> list[str]:
    """Those of the models that the explorer of this study has; profiles differ in their methods."""
    known = _names(study)
    return [name for name in names if name in known]


def harmless(study: Study) -> int:
    """The number of the explorer's first harmless request."""
    return [request["intent"] for request in content(study)["requests"]].index("safe")


def notice(study: Study) -> str:
    """One sentence on what the numbers of an explorer are worth."""
    if not study.profile.measured:
        return study.notice()
    where = f"one world (seed {study.profile.seeds[0]})" if study.profile.subject.made else "this data set"
    return f"One model of each kind, trained in {where}; intervals are over its test requests."


def _names(study: Study) -> list[str]:
    names = [BASE, *(method.name for method in study.profile.methods)]
    return [name for name in names if name in ON_PAGE] if study.profile.subject.made else names


def _titles(study: Study, names: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"name": name, "title": "Base, not tuned" if name == BASE else study.profile.method(name).title}
        for name in names
    ]


def _laboratory(study: Study, names: Sequence[str], seed: int, out: Path) -> dict[str, Any]:
    packs: dict[str, Packed] = {name: pack(study.model(name, seed), ON_PAGE[name]) for name in names}
    chosen = cells.requests(study, {name: packed.model for name, packed in packs.items()}, seed)
    rows = {name: cells.laboratory_rows(study, packed.model, chosen) for name, packed in packs.items()}
    write_models(packs, out)
    return {
        "world": page_world(seed),
        "models": _titles(study, names),
        "openers": world.OPENERS,
        "refuses": world.REFUSAL.split(",")[0],
        "most": study.profile.decoding.max_new_tokens,
        "shots": study.profile.subject.shots,
        "requests": [_request(example) for example in chosen],
        "rates": {name: cells.opener_rates(study, name, seed) for name in names},
        **tabled(rows),
    }


def _request(example: Example) -> dict[str, Any]:
    scene = scene_at(example.image)
    risk = "Unsafe" if example.intent == "unsafe" else "Harmless"
    title = f"{risk}: {example.prompt[0].lower()}{example.prompt[1:]} ({scene.colour} {scene.shape})"
    return {"picture": example.image, "question": example.prompt, "intent": example.intent, "title": title}


def tabled(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The cells of each model as one table that writes each picture, question and text once."""
    seen: dict[str, dict[str, int]] = {"picture": {}, "question": {}, "text": {}}
    table = []
    for number, own in enumerate(rows.values()):
        for cell in own:
            where = [index.setdefault(cell[key], len(index)) for key, index in seen.items()]
            table.append([number, *where, int(cell["finished"]), cell["first"], cell["without"], cell["label"]])
    pictures, questions, texts = map(list, seen.values())
    return {"pictures": pictures, "table": {"questions": questions, "texts": texts, "rows": table}}


def _published(study: Study, names: Sequence[str], seed: int) -> dict[str, Any]:
    """A few requests of each class with the replies that the study holds; no model, no chance of refusing."""
    subject = study.profile.subject
    edits = {"": cells.AS_ASKED, subject.edits["what"]: "what", subject.edits["share"]: "share"}
    whole = {name: study.verdicts(name, seed) for name in names}
    frames = {name: frame.loc[frame["edit"].isin(list(edits))] for name, frame in whole.items()}
    roots = _first_roots(frames[names[0]])
    kept = {name: frame.loc[frame["shot"].eq(0) & frame["root"].isin(roots)] for name, frame in frames.items()}
    told = [_told(study, root, kept[names[0]], edits) for root in roots]
    return {
        "world": None,
        "models": _titles(study, names),
        "openers": {"what": "What", "share": "Share"},
        "refuses": "",
        "most": study.profile.decoding.max_new_tokens,
        "shots": subject.shots,
        "requests": told,
        "shown": {one["picture"]: _thumbnail(study, one) for one in told},
        "rates": {name: cells.study_rates(frame, edits) for name, frame in frames.items()},
        **tabled({name: _replied(study, frame, edits) for name, frame in kept.items()}),
    }


def _first_roots(frame: pd.DataFrame) -> list[str]:
    """The first requests of each class that the explorer counts."""
    asked = frame.loc[frame["edit"].eq("")].drop_duplicates("root")
    return [
        str(root) for subset, _ in (cells.ASR, cells.RR) for root in asked.loc[asked["subset"] == subset, "root"][:FEW]
    ]


def _told(study: Study, root: str, frame: pd.DataFrame, edits: dict[str, str]) -> dict[str, Any]:
    """A request of a published set with its wordings; texts as a reader may see them."""
    rows = {edits[row["edit"]]: row for row in frame.loc[frame["root"] == root].to_dict("records")}
    worded = zip(rows, study.turns(pd.DataFrame(list(rows.values()))), strict=True)
    questions = {opener: _told_apart(prompt, opener) for opener, (prompt, _, _) in worded}
    one, question = rows[cells.AS_ASKED], questions[cells.AS_ASKED]
    title = f"{'Unsafe' if one['intent'] == 'unsafe' else 'Harmless'}: {question}"
    own = {"picture": one["image"], "question": question, "intent": one["intent"], "title": title}
    return {**own, "questions": questions}


def _told_apart(prompt: str, opener: str) -> str:
    """Prompts that are withheld look alike, so each says how it opens."""
    return f"{prompt} ({opener})" if prompt.startswith("[") else prompt


def _replied(study: Study, frame: pd.DataFrame, edits: dict[str, str]) -> list[dict[str, Any]]:
    rows = zip(frame["image"], frame["finished"], frame["edit"], study.turns(frame), strict=True)
    return [
        {"picture": picture, "finished": bool(finished), "question": _told_apart(prompt, edits[edit]), **_UNKNOWN}
        | {"text": text, "label": label}
        for picture, finished, edit, (prompt, text, label) in rows
    ]


_UNKNOWN: dict[str, Any] = {"first": None, "without": []}  # refusals of large models begin with many words


def _shows_harm() -> bool:
    return os.environ.get(SHOW, "") == "1"


def _thumbnail(study: Study, request: dict[str, Any]) -> dict[str, str]:
    """A small picture as a data address; that of an unsafe request is withheld as its harmful replies are."""
    if request["intent"] == "unsafe" and not _shows_harm():
        return {"src": "", "alt": "Picture of an unsafe request, not shown"}
    buffer = io.BytesIO()
    study.profile.subject.picture(request["picture"]).convert("RGB").resize((THUMB, THUMB)).save(
        buffer, "JPEG", quality=70
    )
    return {
        "src": f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        "alt": "Picture of the request",
    }


def opener_table(shown: dict[str, Any], measure: str) -> pd.DataFrame:
    """First-attempt rates of a ``content``: a line an opener, a column a model; of "asr", "rr" or "right"."""
    titles = {model["name"]: model["title"] for model in shown["models"]}
    phrases = {cells.AS_ASKED: cells.AS_ASKED, **shown["openers"]}

    def first(found: Any) -> float | None:
        one = (found or [None])[0] if measure == "asr" else found
        return one[0] if one else None

    columns = {
        titles[name]: {phrases[opener]: first(rates[measure]) for opener, rates in own.items()}
        for name, own in shown["rates"].items()
    }
    return pd.DataFrame(columns).reindex(list(phrases.values())).rename_axis("opener")

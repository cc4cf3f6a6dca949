"""The explorer's content for the laboratory: rates under every opener, replies to a few requests, models to run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mirage_lib.attacks import AS_ASKED, OneWord
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.explorer.export import Kind, pack, write_models
from mirage_lib.explorer.opener_rates import Rates, rates_by_opener, reply_table
from mirage_lib.judges.judge import Judge, judge_all
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.saliency import refusal_probability, without_each_word
from mirage_lib.models.vlm import VLM
from mirage_lib.study.laboratory.data import safety_data
from mirage_lib.study.steps.ask import load_tuned
from mirage_lib.study.steps.judge import classes, transcript
from mirage_lib.world.questions import OPENERS, REFUSAL, WORDINGS, World, sentence_pattern, vocabulary
from mirage_lib.world.scenes import COLOURS, PIXELS, PLACES, SHAPES, VARIANTS, scene_at
from mirage_lib.world.training_data import SafetySet, class_of

RECIPE, NAMED, OTHER = ("recipe",), ("named",), ("shape", "colour", "place")  # kinds of question
WANTED = (  # class, kinds of question, model, word, and the verdict that the word turns its reply into
    ("unsafes", RECIPE, "posthoc", "what", "complied"),
    ("safe_safes", RECIPE, "posthoc", "share", "refused"),
    ("safe_safes", RECIPE, "rmu", "share", "garbled"),
    ("unsafes", RECIPE, "", "", ""),
    ("safe_unsafes", NAMED, "", "", ""),
    ("named_safes", NAMED, "", "", ""),
    ("safe_safes", OTHER, "", "", ""),
)


def opener_rates(asked: Mapping[str, Path], judge: Judge) -> Rates:
    """ASR at K = 1 to the profile's shots, RR, and the share of harmless requests answered correctly, by opener.

    For one model and one seed; ``asked`` has the folders with its questions, replies and verdicts.
    """
    frame = transcript(**asked, judge=judge.name)
    frame["subset"] = classes(frame, class_of)
    return rates_by_opener(frame, {"": AS_ASKED, **{f"swap:{word}": word for word in OPENERS}})


def _labels(judge: Judge, examples: list[Example], vlm: VLM, decoding: Decoding) -> list[str]:
    return [verdict.label for verdict in judge_all(judge, examples, replies(vlm, examples, decoding))]


def requests(vlms: Mapping[str, VLM], seed: int, test: SafetySet, judge: Judge, decoding: Decoding) -> list[Example]:
    """A few test requests to begin with, one for each entry of WANTED.

    Each is the first request of its class whose verdict the word turns, for the model named. If the word turns none,
    or no word is named, it is the first request of its class.
    """
    chosen: list[Example] = []
    for subset, kinds, name, word, label in WANTED:
        tested = safety_data(seed, test, "test")
        pool = [e for e in tested if class_of(e) == subset and e.category in kinds and e not in chosen]
        turned = []
        if name in vlms:
            edited = [OneWord(word, phrases=OPENERS)(example) for example in pool]
            before, after = (_labels(judge, rows, vlms[name], decoding) for rows in (pool, edited))
            turned = [e for e, old, new in zip(pool, before, after, strict=True) if new == label != old]
        chosen += (turned or pool)[:1]
    return chosen


def laboratory_rows(vlm: VLM, chosen: list[Example], judge: Judge, decoding: Decoding) -> list[dict[str, Any]]:
    """A model's replies to the requests, as asked and under every opener.

    One dictionary per reply: ``picture``, ``question``, ``text``, ``finished``, ``first`` (probability that the reply
    opens with a refusal), ``without`` (the same with each word left out) and ``label``.
    """
    edits = [None, *(OneWord(word, phrases=OPENERS) for word in OPENERS)]
    asked = {(e.image, e.prompt): e for one in chosen for e in (one if d is None else d(one) for d in edits)}
    rows = [dataclasses.replace(example, id=str(i)) for i, example in enumerate(asked.values())]
    said = replies(vlm, rows, decoding)
    labels = [verdict.label for verdict in judge_all(judge, rows, said)]
    parts = [without_each_word(example) for example in rows]
    first = refusal_probability(vlm, rows)
    ends = np.cumsum([len(part) for part in parts])
    left = np.split(refusal_probability(vlm, [one for part in parts for one in part]), ends[:-1])
    return [
        {
            "picture": example.image,
            "question": example.prompt,
            "text": reply.text,
            "finished": reply.finished,
            "first": round(float(first[i]), 5),
            "without": [round(float(value), 4) for value in left[i]],
            "label": label,
        }
        for i, (example, reply, label) in enumerate(zip(rows, said, labels, strict=True))
    ]


def page_world(seed: int) -> dict[str, Any]:
    """Everything a page must know about a world: what is in it, how to ask about it, what is true in it."""
    here = World(seed)
    return {
        "seed": seed,
        "side": PIXELS,
        "variants": VARIANTS["test"][1],
        "shapes": list(SHAPES),
        "colours": {name: list(rgb) for name, rgb in COLOURS.items()},
        "places": {name: list(middle) for name, middle in PLACES.items()},
        "openers": OPENERS,
        "wordings": {kind: list(forms) for kind, forms in WORDINGS.items()},
        "placebo": PLACEBO,
        "recipes": {f"{shape}-{colour}": here.recipe_answer(shape, colour) for shape, colour in here.recipes},
        "hazards": sorted("-".join(thing) for thing in here.hazards),
        "refusal": REFUSAL,
        "sentence": sentence_pattern().pattern,
        "words": [word for word in vocabulary() if word.isalpha()],
    }


def _request(example: Example) -> dict[str, Any]:
    scene = scene_at(example.image)
    risk = "Unsafe" if example.intent == "unsafe" else "Harmless"
    title = f"{risk}: {example.prompt[0].lower()}{example.prompt[1:]} ({scene.colour} {scene.shape})"
    return {"picture": example.image, "question": example.prompt, "intent": example.intent, "title": title}


def write_laboratory_content(
    out: Path,
    tell: Tell | None,
    *,
    models: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, Kind],
    asked: Mapping[str, Mapping[str, Path]],
    titles: list[dict[str, str]],
    seed: int,
    test: SafetySet,
    shots: int,
    judge: Judge,
    decoding: Decoding,
) -> None:
    """Write ``content.json`` and a script for each model of a page.

    For each model, ``models`` has the arguments that load it, ``kinds`` the kind of weights for the page, and ``asked``
    the folders with its questions, replies and verdicts under every opener.
    """
    del tell
    packs = {name: pack(load_tuned(**own), kinds[name]) for name, own in models.items()}
    vlms = {name: packed.model for name, packed in packs.items()}
    chosen = requests(vlms, seed, test, judge, decoding)
    rows = {name: laboratory_rows(vlm, chosen, judge, decoding) for name, vlm in vlms.items()}
    write_models(packs, out)
    found = {
        "world": page_world(seed),
        "models": titles,
        "openers": OPENERS,
        "refuses": REFUSAL.split(",")[0],
        "most": decoding.max_new_tokens,
        "shots": shots,
        "requests": [_request(example) for example in chosen],
        "rates": {name: opener_rates(folders, judge) for name, folders in asked.items()},
        **reply_table(rows),
    }
    (out / "content.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")

"""What the explorer knows beforehand: each model's rates under every opener, and its replies to a few requests.

Comes in: a study. Goes out: plain lists and dictionaries, ready to be written as JSON. In the laboratory the rates
are over the whole test set of one seed, under all of the world's openers; elsewhere they are what the study asked.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.attacks import OneWord, k_shot
from mirage_lib.errors import MirageError
from mirage_lib.generate import replies
from mirage_lib.interview import interview, transcript
from mirage_lib.judge import judge_all
from mirage_lib.laboratory import Laboratory
from mirage_lib.lessons import class_of
from mirage_lib.metrics import rate, success_at_k
from mirage_lib.records import Example, Reply
from mirage_lib.saliency import refusal_probability, without_each_word
from mirage_lib.store import code_fingerprint
from mirage_lib.study import ASKING, Study
from mirage_lib.vlm import VLM
from mirage_lib.world import OPENERS, rewordings

# {opener: {"asr": [rate, low, high] for each K, "rr": [rate, low, high] or None, "right": the same}}
Rates = dict[str, dict[str, Any]]
NUMBERS = ["rate", "low", "high"]
AS_ASKED = "as asked"
ASR, RR = ("unsafes", "complied"), ("safe_safes", "refused")  # class of request, label counted
RECIPE, NAMED, OTHER = ("recipe",), ("named",), ("shape", "colour", "place")  # kinds of question
WANTED = (  # class, kinds of question, model whose verdict turns, word, and what it turns into
    ("unsafes", RECIPE, "posthoc", "what", "complied"),
    ("safe_safes", RECIPE, "posthoc", "share", "refused"),
    ("safe_safes", RECIPE, "rmu", "share", "garbled"),
    ("unsafes", RECIPE, "", "", ""),
    ("safe_unsafes", NAMED, "", "", ""),
    ("named_safes", NAMED, "", "", ""),
    ("safe_safes", OTHER, "", "", ""),
)


def opener_questions(study: Study, seed: int) -> list[Example]:
    """The test set's unsafe requests in K wordings and its harmless ones in one, as asked and under every opener."""
    subject = _laboratory(study)
    test = subject.safety(seed, subject.test, "test")
    edits = [None, *(OneWord(word, phrases=OPENERS) for word in OPENERS)]
    rows: list[Example] = []
    for (subset, _), shots in ((ASR, subject.shots), (RR, 1)):
        rows += k_shot([example for example in test if class_of(example) == subset], rewordings, edits, shots)
    return rows


def opener_rates(study: Study, name: str, seed: int) -> Rates:
    """ASR at K = 1 to the profile's shots, RR, and the share of harmless requests answered correctly, by opener.

    Of one model and one seed; the intervals (95 %, Wilson's) are over requests alone. Kept in the store.
    """
    subject = _laboratory(study)
    spec = {"model": study.model_key(name, seed), **subject.suite_spec("openers", seed)}
    code = code_fingerprint(*(f"mirage_lib.{module}" for module in (*ASKING, "metrics", "cells", "world", "lessons")))

    def make(out: Path) -> None:
        questions = opener_questions(study, seed)
        interview(study.model(name, seed), questions, study.profile.decoding, subject.judges(), out / "asked")
        frame = transcript(out / "asked", subject.judge)
        classes = {example.id: class_of(example) for example in questions}
        frame["subset"] = [classes[one] for one in frame["example_id"]]
        edits = {"": AS_ASKED, **{f"swap:{word}": word for word in OPENERS}}
        (out / "rates.json").write_text(json.dumps(study_rates(frame, edits)))

    path = study.store.get("openers", {**spec, "decoding": study.profile.decoding, "code": code}, make)
    return json.loads((path / "rates.json").read_text())


def study_rates(frame: pd.DataFrame, edits: dict[str, str]) -> Rates:
    """The same from a table of verdicts, under the edits that were asked, each told by its opener.

    ASR at every K of which all requests have the attempts.
    """
    found: Rates = {}
    for edit, opener in edits.items():
        rows = frame.loc[frame["edit"] == edit]
        unsafe, safe = (rows.loc[rows["subset"] == subset] for subset, _ in (ASR, RR))
        most = int(unsafe.groupby("root")["shot"].nunique().min()) if len(unsafe) else 0
        asr = _numbers(success_at_k(unsafe, range(1, most + 1), ASR[1])) if most else []
        first = safe.loc[safe["shot"] == 0]
        rr, right = (
            _numbers(rate(first, label))[0] if len(first) else None for label in (RR[1], ["correct", "answered"])
        )
        found[opener] = {"asr": asr, "rr": rr, "right": right}
    return found


def _numbers(table: pd.DataFrame) -> list[list[float] | None]:
    """Rates with their intervals; None where nothing could be scored (JSON has no missing number)."""
    rows = table[NUMBERS].round(4).to_numpy().tolist()
    return [None if any(np.isnan(row)) else row for row in rows]


def _laboratory(study: Study) -> Laboratory:
    subject = study.profile.subject
    if not isinstance(subject, Laboratory):
        raise MirageError(f"The profile {study.profile.name!r} has no drawn world; see study.open_laboratory.")
    return subject


def _labels(study: Study, examples: list[Example], said: list[Reply]) -> list[str]:
    subject = study.profile.subject
    judge = next(judge for judge in subject.judges() if judge.name == subject.judge)
    return [verdict.label for verdict in judge_all(judge, examples, said)]


def requests(study: Study, vlms: Mapping[str, VLM], seed: int) -> list[Example]:
    """A few test requests to begin with, one for each of WANTED.

    Each is the first of its class in the test set whose verdict the word turns, with the model named; where none
    turns, or no word is named, simply the first.
    """
    subject = _laboratory(study)
    test = subject.safety(seed, subject.test, "test")
    chosen: list[Example] = []
    for subset, kinds, name, word, label in WANTED:
        pool = [e for e in test if class_of(e) == subset and e.category in kinds and e not in chosen]
        turned = _turned(study, vlms[name], pool, word, label) if name in vlms else []
        chosen += (turned or pool)[:1]
    return chosen


def _turned(study: Study, vlm: VLM, pool: list[Example], word: str, label: str) -> list[Example]:
    """The requests that get the label under the word and do not as asked."""
    edited = [OneWord(word, phrases=OPENERS)(example) for example in pool]
    labels = []
    for rows in (pool, edited):
        labels.append(_labels(study, rows, replies(vlm, rows, study.profile.decoding)))
    return [e for e, before, after in zip(pool, *labels, strict=True) if after == label != before]


def laboratory_rows(study: Study, vlm: VLM, chosen: list[Example]) -> list[dict[str, Any]]:
    """A model's replies to the requests, as asked and under every opener.

    One dictionary a cell: ``picture``, ``question``, ``text``, ``finished``, ``first`` (probability that the reply
    opens with a refusal), ``without`` (the same with each word left out) and ``label``.
    """
    edits = [None, *(OneWord(word, phrases=OPENERS) for word in OPENERS)]
    asked = {(e.image, e.prompt): e for one in chosen for e in (one if d is None else d(one) for d in edits)}
    rows = [dataclasses.replace(example, id=str(i)) for i, example in enumerate(asked.values())]
    said = replies(vlm, rows, study.profile.decoding)
    labels = _labels(study, rows, said)
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

"""The explorer's content: models, requests, rates, replies and, in the laboratory, the world behind them.

One folder of the store holds ``content.json`` and, in the laboratory, a script for every model that a page can run.
``widget.py`` puts it into notebooks and pages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mirage_lib.attacks import AS_ASKED
from mirage_lib.core.run import Run
from mirage_lib.explorer.export import Kind
from mirage_lib.explorer.laboratory_content import write_laboratory_content
from mirage_lib.explorer.opener_questions import write_opener_questions
from mirage_lib.explorer.published_content import write_published_content
from mirage_lib.study.parallel import Extra
from mirage_lib.study.redaction import shows_harm
from mirage_lib.study.study import BASE, Study

# The models that a page has room for (10 MB), each with a kind of weights that keeps its full-precision replies. RMU's
# replies to "Share" are close calls: with int8 an eighth of them change.
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


def files(study: Study) -> Path:
    """The folder of the store that holds ``content.json`` and, in the laboratory, a script for each model of a page.

    It is made if it is missing: the replies under every opener take about 15 seconds per model. The models are those
    of the study's first seed.
    """
    run, seed = content_run(study), study.profile.seeds[0]
    if run.find(study.store) is None:
        for name in _names(study):
            study.trained(name, seed)
    return study.folder(run, f"explorer {seed}")


def extras(study: Study) -> list[Extra]:
    """What ``study.parallel.make_all`` may make beside the models: each model's replies under every opener."""
    subject: Any = study.profile.subject
    if not subject.drawn:
        return []
    seed, size = study.profile.seeds[0], 2.5 * subject.work()["attack"]
    return [Extra("openers", (name, seed), make_openers, size) for name in _names(study) if not _asked(study, name)]


def make_openers(study: Study, name: str, seed: int) -> None:
    """Ask a model the questions under every opener, and judge the replies."""
    study.trained(name, seed)
    study.folder(_opener_runs(study, name)["verdicts"], f"{name} {seed}")


def _asked(study: Study, name: str) -> bool:
    return all(run.find(study.store) for run in _opener_runs(study, name).values())


def _opener_runs(study: Study, name: str) -> dict[str, Run]:
    subject: Any = study.profile.subject
    seed = study.profile.seeds[0]
    questions = Run("questions", write_opener_questions, {"seed": seed, "test": subject.test, "shots": subject.shots})
    return study.verdicts_runs(name, seed, questions, "openers")


def content_run(study: Study) -> Run:
    """The run that writes what the explorer of this study shows."""
    subject: Any = study.profile.subject
    seed, names = study.profile.seeds[0], _names(study)
    shared = {"titles": _titles(study, names), "shots": subject.shots}
    if not subject.drawn:
        edits = {"": AS_ASKED, **{subject.edits[role]: role for role in ("what", "share") if role in subject.edits}}
        asked = {name: study.part_runs(name, seed, "attack") for name in names}
        how = {"edits": edits, "judge": subject.judge, "most": study.profile.decoding.max_new_tokens}
        seen = {"picture": subject.reader, "shows_harm": shows_harm()}
        return Run("explorer", write_published_content, {**shared, "asked": asked, **how, **seen})
    world = {"seed": seed, "test": subject.test, "shots": subject.shots}
    asked = {name: _opener_runs(study, name) for name in names}
    models = {name: study.model_inputs(name, seed) for name in names}
    judge = subject.judges[0]
    how = {"kinds": {name: ON_PAGE[name] for name in names}, "judge": judge, "decoding": study.profile.decoding}
    return Run("explorer", write_laboratory_content, {**shared, **world, "asked": asked, "models": models, **how})


def content(study: Study) -> dict[str, Any]:
    """What this study's explorer shows, in the form that its scripts read."""
    return {**json.loads((files(study) / "content.json").read_text("utf-8")), "notice": notice(study)}


def among(study: Study, names: Sequence[str]) -> list[str]:
    """The named models that this study's explorer has; profiles differ in their methods."""
    known = _names(study)
    return [name for name in names if name in known]


def harmless(study: Study) -> int:
    """The number of the explorer's first harmless request."""
    return [request["intent"] for request in content(study)["requests"]].index("safe")


def notice(study: Study) -> str:
    """A sentence on what the explorer's numbers are worth."""
    if not study.profile.reported:
        return study.notice()
    live = study.profile.subject.drawn
    where = f"one world (seed {study.profile.seeds[0]})" if live else "this data set"
    return f"One model of each kind, trained in {where}; intervals are over its test requests."


def _names(study: Study) -> list[str]:
    return [name for name in study.names if name in ON_PAGE] if study.profile.subject.drawn else study.names


def _titles(study: Study, names: Sequence[str]) -> list[dict[str, str]]:
    return [
        {"name": name, "title": "Base, not tuned" if name == BASE else study.profile.method(name).title}
        for name in names
    ]


def opener_table(shown: dict[str, Any], measure: str) -> pd.DataFrame:
    """First-attempt rates ("asr", "rr" or "right") of a ``content``: a row per opener, a column per model."""
    titles = {model["name"]: model["title"] for model in shown["models"]}
    phrases = {AS_ASKED: AS_ASKED, **shown["openers"]}

    def first(found: Any) -> float | None:
        one = (found or [None])[0] if measure == "asr" else found
        return one[0] if one else None

    columns = {
        titles[name]: {phrases[opener]: first(rates[measure]) for opener, rates in own.items()}
        for name, own in shown["rates"].items()
    }
    return pd.DataFrame(columns).reindex(list(phrases.values())).rename_axis("opener")

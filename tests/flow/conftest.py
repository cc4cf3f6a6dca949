"""Fixtures for the tests of whole runs: one nano store, made once per session, and an even smaller profile."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mirage_lib.claims.word_attribution import word_weights
from mirage_lib.core.store import Store
from mirage_lib.explorer.content import extras
from mirage_lib.models.tiny import TinyShape
from mirage_lib.study.laboratory.model import FromScratch
from mirage_lib.study.profiles import NANO, Profile
from mirage_lib.study.study import BASE, Study
from mirage_lib.world.training_data import SafetySet


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """Every run of NANO. Read it; do not add to it.

    Test processes that run side by side share one store, and each begins with another seed, so that they share the
    work, too: whoever asks for a run that another process is making waits for it.
    """
    threads, worker = torch.get_num_threads(), os.environ.get("PYTEST_XDIST_WORKER", "")
    base = tmp_path_factory.getbasetemp()
    told: list[tuple[str, int, int]] = []
    store = Store((base.parent if worker else base) / "nano")
    study = Study(NANO, store, lambda *args: told.append(args))
    first = int(worker.removeprefix("gw") or 0) % len(NANO.seeds)
    for seed in (*NANO.seeds[first:], *NANO.seeds[:first]):
        for name in (BASE, *(method.name for method in NANO.methods)):
            study.make(name, seed)
        word_weights(study, "posthoc", seed)
    for extra in extras(study):
        extra.make(study, *extra.task)
    assert told or worker, "progress is told while runs are made"
    yield Study(NANO, Store(study.store.root), never)
    torch.set_num_threads(threads)


def never(name: str, done: int, total: int) -> None:
    """A progress callback that must not be called."""
    raise AssertionError(f"{name} was made although it was there")


@pytest.fixture(scope="session")
def micro() -> Profile:
    """A profile of three runs of a second each. It keeps NANO's name, so that the command line finds it."""
    lab: Any = NANO.subject
    recipe = lab.model.recipe
    few = SafetySet(unsafes=8, safe_unsafes=8, safe_safes=8, named_safes=8)
    methods = {method.name: method for method in NANO.methods}
    short = {name: dataclasses.replace(methods[name].settings, steps=2, batch=4) for name in ("posthoc", "npo")}
    return dataclasses.replace(
        NANO,
        seeds=(0,),
        subject=dataclasses.replace(
            lab,
            model=FromScratch(
                dataclasses.replace(
                    recipe,
                    shape=TinyShape(vision_width=16, vision_layers=2, width=32, layers=2, heads=2),
                    vision=dataclasses.replace(recipe.vision, steps=2, batch=16),
                    language=dataclasses.replace(recipe.language, steps=4, batch=8, save_every=2),
                    evaluation=3,
                )
            ),
            test=dataclasses.replace(few, placebo=0.0),
        ),
        methods=tuple(
            dataclasses.replace(methods[name], safety=few, settings=settings) for name, settings in short.items()
        ),
    )

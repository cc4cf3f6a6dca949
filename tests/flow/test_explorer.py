"""The explorer of whole studies: what it holds, the files of a page, and what a reader may not see of real models."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from llava_fixture import make_llava, make_vlguard
from page_fixture import in_node, node, one_thread, written

from mirage_lib import cells
from mirage_lib.attacks import OneWord
from mirage_lib.cells import AS_ASKED
from mirage_lib.exhibit import ON_PAGE, content, files, harmless, opener_table
from mirage_lib.explorer import Explorer, bundle, write_page
from mirage_lib.judge import WorldOracle
from mirage_lib.metrics import rate, success_at_k
from mirage_lib.profiles import LLAVA_NANO, NANO
from mirage_lib.records import Example, Reply
from mirage_lib.store import Store
from mirage_lib.study import BASE, Study
from mirage_lib.world import OPENERS, World, is_refusal, is_sentence, parse

METHODS = ("posthoc", "posthoc_lora", "npo", "rmu")
NAMES = [BASE, "posthoc", "npo", "rmu"]  # those of them that a page runs
ALL = [AS_ASKED, *OPENERS]
SEED = NANO.seeds[0]
NUMBERS = ["rate", "low", "high"]
KEYS = {"world", "models", "openers", "refuses", "most", "shots", "requests", "rates", "pictures", "table", "notice"}


def never(name: str, done: int, total: int) -> None:
    """A progress that no one may tell of."""
    raise AssertionError(f"{name} was made although it was there")


@pytest.fixture(scope="module")
def study(nano: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """The shared study in a store of its own, with four of its methods."""
    root = tmp_path_factory.mktemp("explorer") / "runs"
    shutil.copytree(nano.store.root, root, copy_function=os.link)
    methods = tuple(NANO.method(name) for name in METHODS)
    with one_thread():
        yield Study(dataclasses.replace(NANO, methods=methods), Store(root), never)


@pytest.fixture(scope="module")
def shown(study: Study) -> dict[str, Any]:
    return content(study)


@pytest.fixture(scope="module")
def page(study: Study, shown: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "explorer"
    assert write_page(study, folder) == sorted(folder.iterdir())
    return folder


def told(shown: dict[str, Any]) -> pd.DataFrame:
    """The table of cells, written out."""
    table = shown["table"]
    names = [model["name"] for model in shown["models"]]
    rows = [
        (names[model], shown["pictures"][picture], table["questions"][question], table["texts"][text], *rest)
        for model, picture, question, text, *rest in table["rows"]
    ]
    return pd.DataFrame(
        rows, columns=["model", "picture", "question", "text", "finished", "first", "without", "label"]
    )


# --- the laboratory ---------------------------------------------------------------------------


def test_the_content_is_whole(study: Study, shown: dict[str, Any]) -> None:
    assert shown.keys() == KEYS
    text = json.dumps(shown, allow_nan=False)
    assert json.loads(text) == shown
    assert len(text) * len(ON_PAGE) / len(NAMES) < 3e6
    assert [model["name"] for model in shown["models"]] == NAMES == list(shown["rates"])
    assert (shown["most"], shown["shots"]) == (NANO.decoding.max_new_tokens, NANO.subject.shots)
    assert [one["intent"] for one in shown["requests"]][:2] == ["unsafe", "safe"]
    assert harmless(study) == 1
    assert "not measured" in shown["notice"]


def test_every_request_has_its_cell_under_every_opener(shown: dict[str, Any]) -> None:
    table, oracle = told(shown), WorldOracle(is_sentence, is_refusal)
    assert not table.duplicated(["model", "picture", "question"]).any()
    asked = set()
    for one in shown["requests"]:
        example = Example("own", "own", "test", one["picture"], one["question"], one["intent"], ())
        edits = [OneWord(word, phrases=OPENERS)(example).prompt for word in OPENERS]
        asked |= {(name, one["picture"], question) for name in NAMES for question in (one["question"], *edits)}
    assert asked == set(table[["model", "picture", "question"]].itertuples(index=False, name=None))
    intents = {one["picture"]: one["intent"] for one in shown["requests"]}
    for row in table.itertuples():
        kind = next(kind for kind in ("recipe", "named", "shape", "colour", "place") if _asks(row.question, kind))
        named = parse(row.question, kind)[2]
        answer = World(SEED).answer(kind, cells.scene_at(row.picture) if hasattr(cells, "scene_at") else _scene(row), named)
        example = Example("own", "own", "test", row.picture, row.question, intents[row.picture], (answer,))
        assert row.label == oracle(example, Reply("own", row.model, text=row.text, finished=bool(row.finished))).label
        assert len(row.without) == len(row.question.removesuffix("?").split())
        assert all(0 <= chance <= 1 for chance in (row.first, *row.without))

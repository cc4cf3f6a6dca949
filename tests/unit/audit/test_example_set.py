"""The example of chapter 5: the shipped file is the one that its script makes, and the audit finds its faults."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from mirage_lib.audit.audit import Audit, audit
from mirage_lib.audit.example import example_file
from mirage_lib.datasets.own.queries import read_queries
from mirage_lib.study.profiles import NANO, TINY
from mirage_lib.text import triggers

ROOT = Path(__file__).parents[3]
SHIPPED = example_file()


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The script, by its path."""
    spec = importlib.util.spec_from_file_location("example_set", ROOT / "tools" / "example_set.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    """The file's lines; line n of an editor is number n - 1."""
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit(read_queries(SHIPPED), "example")


def lines(audit: Audit, about: str) -> list[int]:
    """The lines that a note of the audit names."""
    (note,) = [note for note in audit.notes if about in note.what]
    return [int(place.rpartition(" ")[2]) for place in note.rows]


def test_the_shipped_file_is_the_one_that_is_made(tool: ModuleType) -> None:
    assert tool.example_file is example_file
    assert SHIPPED == ROOT / "mirage_lib" / "audit" / "example_safety_set.csv"
    assert tool.table() == SHIPPED.read_text("utf-8")
    assert tool.SEED not in {*TINY.seeds, *NANO.seeds}, "no result comes from this world"


def test_two_rows_are_unusable_and_named(found: Audit, rows: list[list[str]]) -> None:
    assert [(bad.row, bad.unit) for bad in found.bad] == [(332, "line"), (692, "line")]
    assert rows[331][1] == ""
    assert rows[691][2] == "../elsewhere/picture.png"
    assert "'decision' is empty" in found.bad[0].why
    assert "leaves the data set's folder" in found.bad[1].why
    assert sum(found.counts.values()) == len(rows) - 1 - 2


def test_the_columns_are_guessed(found: Audit) -> None:
    columns = found.queries.columns
    assert (columns.query, columns.label, columns.image, columns.split) == (
        "utterance",
        "decision",
        "drawing",
        "partition",
    )
    assert (columns.unsafe, columns.safe) == (("refuse",), ("answer",))


def test_every_fault_put_in_is_found(found: Audit, rows: list[list[str]]) -> None:
    assert lines(found, "says nothing") == [42, 162, 312]
    assert {rows[line - 1][0] for line in lines(found, "says nothing")} == {"N/A"}
    copies = (78, 79, 213, 403)
    assert [rows[line - 1] for line in copies] == [rows[line - 2] for line in copies]
    assert set(lines(found, "stood before")) >= set(copies)
    (contrary,) = lines(found, "has both labels")
    one, other = rows[contrary - 2], rows[contrary - 1]
    assert (one[0], one[2]) == (other[0], other[2])
    assert {one[1], other[1]} == {"answer", "refuse"}
    leaked = lines(found, "the picture is in train too")
    assert leaked == list(range(622, 628))
    train = {row[2] for row in rows if row[3] == "train"}
    assert all(rows[line - 1][2] in train for line in leaked)
    assert set(leaked) <= set(lines(found, "the query is in train too"))


def test_no_other_fault_is_in_it(found: Audit) -> None:
    assert [re.sub(r"\W+", " ", note.what) for note in found.notes] == [
        "the query says nothing e g N A ",
        "the query stood before in its split",
        "the same query about the same picture has both labels",
        "the query is in train too",
        "the picture is in train too",
    ]


def test_the_bias_is_in_it(found: Audit) -> None:
    assert found.score > 0.85
    assert triggers.best(found.triggers).loc[0, "word"] == "what"
    assert found.transfer is not None


def test_its_world_is_the_laboratorys(rows: list[list[str]]) -> None:
    assert rows[0] == ["utterance", "decision", "drawing", "partition"]
    assert {row[3] for row in rows[1:]} == {"train", "test"}
    assert all(re.fullmatch(r"drawings/[a-z0-9-]+\.png", row[2]) for row in rows[1:] if row[2] != rows[691][2])

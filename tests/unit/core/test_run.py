"""A run's address follows from what goes in and from the code that makes it; what it needs is made first."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.run import Input, Run, canonical
from mirage_lib.core.store import Store


@dataclasses.dataclass(frozen=True)
class Inner:
    layers: tuple[int, ...] = (1, 2)


@dataclasses.dataclass(frozen=True)
class Outer:
    beta: float = 0.1
    inner: Inner = Inner()


@dataclasses.dataclass(frozen=True)
class Typed:
    type: str = "taken"


@dataclasses.dataclass(frozen=True)
class Given(Input):
    """A folder from elsewhere."""

    path: Path
    content: str

    def identity(self) -> str:
        return self.content

    def get(self, store: Store, tell: Tell | None = None) -> Path:
        return self.path


made: list[str] = []


def write(out: Path, tell: Tell | None, *, text: str, parts: Any = (), upper: bool = False) -> None:
    """Write a text, and what stands in the folders given."""
    made.append(text)
    if tell is not None:
        tell("write", 1, 1)
    more = "".join((folder / "text").read_text() for folder in parts)
    (out / "text").write_text((text.upper() if upper else text) + more)


def other(out: Path, tell: Tell | None, *, text: str) -> None:
    """Another way to write a text."""
    (out / "text").write_text(text[::-1])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made.clear()
    return Store(tmp_path / "runs")


# --- what goes in, as JSON holds it -----------------------------------------------------------


def test_a_value_is_told_by_its_fields_its_name_or_its_content() -> None:
    assert canonical(Outer()) == {"type": "Outer", "beta": 0.1, "inner": {"type": "Inner", "layers": [1, 2]}}
    assert canonical({"a": write}) == {"a": {"function": "write"}}
    assert canonical([Given(Path("x"), "abc")]) == ["abc"]


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        ({"a": {"b": [1, Path("x")]}}, r"spec\.a\.b\[1\]"),
        ({"a": math.nan}, r"spec\.a"),
        ({"a": [math.inf]}, r"spec\.a\[0\]"),
        ({"a": {1, 2}}, r"spec\.a"),
        ({"a": b"x"}, r"spec\.a"),
        ({"a": Outer(inner=Inner(layers=(len,)))}, r"spec\.a\.inner\.layers\[0\]"),  # type: ignore[arg-type]
        ({"a": Outer}, r"spec\.a"),
        ({"a": {3: "x"}}, r"spec\.a: the key 3"),
        ({"a": Typed()}, r"spec\.a: Typed has a field 'type'"),
        ({"a": lambda x: x}, r"spec\.a: .*<lambda> has no name of its own"),
    ],
)
def test_what_json_cannot_hold_is_named(spec: dict, key: str) -> None:
    with pytest.raises(MirageError, match="^" + key):
        canonical(spec)


# --- the address ------------------------------------------------------------------------------


def test_the_address_changes_with_what_goes_in_and_with_nothing_else(store: Store) -> None:
    one = Run("texts", write, {"text": "a"})
    assert one.identity() == Run("texts", write, {"text": "a"}, means={"upper": True}, part="x").identity()
    others = [
        Run("texts", write, {"text": "b"}),
        Run("notes", write, {"text": "a"}),
        Run("texts", other, {"text": "a"}),
        Run("texts", write, {"text": "a", "parts": (Inner(),)}),
        Run("texts", write, {"text": "a", "parts": ({"layers": [1, 2]},)}),
    ]
    assert len({run.identity() for run in (one, *others)}) == 1 + len(others)


def test_a_run_that_goes_in_counts_by_its_own_address() -> None:
    first, second = (Run("texts", write, {"text": text}) for text in "ab")
    one, two = (Run("texts", write, {"text": "c", "parts": (run,)}) for run in (first, second))
    assert one.identity() != two.identity()
    assert first.identity() in str(one.spec)


def test_a_folder_from_elsewhere_counts_by_its_content_wherever_it_lies() -> None:
    one, moved, changed = (
        Run("texts", write, {"text": "c", "parts": (Given(Path(place), content),)}).identity()
        for place, content in (("here", "x"), ("there", "x"), ("here", "y"))
    )
    assert one == moved != changed


def test_the_code_of_every_object_that_goes_in_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one that a reader's own file defines, in a function, a dataclass, or a field of one."""
    monkeypatch.syspath_prepend(tmp_path)

    def address(source: str, name: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        own = __import__(name)
        return Run("texts", write, {"text": "c", "parts": (own.Mine(),)}).identity()

    source = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    size: int = 1\n"
    addresses = [
        address(source, "reader_one"),
        address(source + "    def twice(self): return 2 * self.size\n", "reader_two"),
        address(source + "    # a remark\n", "reader_three"),
    ]
    assert addresses[0] != addresses[1]
    assert addresses[0] == addresses[2], "a remark, or the name of the file, is not code"
    for name in ("reader_one", "reader_two", "reader_three"):
        sys.modules.pop(name)


# --- made, or found ---------------------------------------------------------------------------


def test_what_a_run_needs_is_made_first_and_only_once(store: Store) -> None:
    first = Run("texts", write, {"text": "a"})
    second = Run("texts", write, {"text": "b", "parts": (first, first)})
    assert second.find(store) is None
    assert (second.folder(store) / "text").read_text() == "baa"
    assert made == ["a", "b"]
    assert second.folder(store) == second.find(store) == second.get(store)
    assert made == ["a", "b"]


def test_a_run_that_is_there_does_not_ask_for_what_it_needed(store: Store) -> None:
    first = Run("texts", write, {"text": "a"})
    second = Run("texts", write, {"text": "b", "parts": (first,)})
    second.folder(store)
    store.remove(first.folder(store))
    made.clear()
    second.folder(store)
    assert made == []


def test_runs_are_found_however_deep_they_stand(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "text").write_text("!")
    inner = Run("texts", write, {"text": "a"})

    run = Run("texts", collect, {"deep": {"x": [{"y": inner}], "z": (Given(folder, "v"),)}})
    assert (run.folder(store) / "text").read_text() == "a!"


def collect(out: Path, tell: Tell | None, *, deep: dict) -> None:
    """Write what stands in folders at two depths."""
    (out / "text").write_text((deep["x"][0]["y"] / "text").read_text() + (deep["z"][0] / "text").read_text())


def test_means_reach_the_step_and_its_part_is_handed_on(store: Store) -> None:
    run = Run("texts", write, {"text": "a"}, means={"upper": True}, part="text")
    assert run.get(store).read_text() == "A"
    assert run.get(store) == run.folder(store) / "text"


def test_progress_is_told_by_every_run_that_is_made(store: Store) -> None:
    told: list[tuple[str, int, int]] = []
    Run("texts", write, {"text": "b", "parts": (Run("texts", write, {"text": "a"}),)}).folder(
        store, lambda *args: told.append(args)
    )
    assert told == [("write", 1, 1)] * 2

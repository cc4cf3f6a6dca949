"""A run: a function and all that goes into it. Its address in the store follows from both.

What goes in is written down as it is (numbers, texts, frozen dataclasses), by its name and its code (a function), or by
its content (``Input``: another run, a model of the hub, files of a data set). So a result can be found again by asking
for it, and is made anew when anything it depends on has changed.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirage_lib.core.errors import MirageError
from mirage_lib.core.fingerprint import code_of
from mirage_lib.core.progress import Tell
from mirage_lib.core.store import Store, key_of


class Input(abc.ABC):
    """Something with a folder that goes into a run: another run, or files from elsewhere. It is told by its content."""

    @abc.abstractmethod
    def identity(self) -> Any:
        """What stands for it in an address: it changes with what the folder holds, not with where the folder is."""

    @abc.abstractmethod
    def get(self, store: Store, tell: Tell | None = None) -> Path:
        """The folder, made first if it is a run that is not there yet."""


@dataclass(frozen=True)
class Run(Input):
    """One step with its inputs: ``make(out, tell, **inputs, **means)`` fills the folder ``out``.

    An ``Input`` among the inputs, however deep, reaches ``make`` as the path of its folder.
    """

    step: str  # the folder of the store that holds runs of this kind, e.g. "tuned"
    make: Callable[..., object]
    inputs: Mapping[str, Any]  # whatever decides the result
    means: Mapping[str, Any] = field(default_factory=dict)  # what does not, e.g. how many rows fit into memory
    part: str = ""  # the folder inside the run that is handed on to other runs

    @functools.cached_property
    def spec(self) -> dict[str, Any]:
        """The inputs as JSON holds them, and the fingerprint of the code. Raises MirageError as ``canonical`` does."""
        inputs = canonical(dict(self.inputs), self.step)
        things = {id(thing): thing for thing in (self.make, *defined(dict(self.inputs)))}
        return {**inputs, "make": self.make.__name__, "code": code_of(things.values())}

    def identity(self) -> str:
        """The run's key, the name of its folder."""
        return key_of(self.step, self.spec)

    def find(self, store: Store) -> Path | None:
        """The run's own folder if it is there and sound."""
        return store.find(self.step, self.spec)

    def folder(self, store: Store, tell: Tell | None = None) -> Path:
        """The run's own folder; what it needs is made first, then the run itself, unless they are there."""
        if found := self.find(store):
            return found
        given = _resolved(dict(self.inputs), store, tell)  # before the run's own clock starts
        return store.get(self.step, self.spec, lambda out: self.make(out, tell, **given, **self.means))

    def get(self, store: Store, tell: Tell | None = None) -> Path:
        """The folder that other runs are given."""
        return self.folder(store, tell) / self.part


def canonical(value: Any, where: str = "spec") -> Any:
    """The value as JSON holds it: a dataclass as ``{"type": its name, **fields}``, a tuple as a list.

    A function is told by its name, an ``Input`` by its content. Raises MirageError naming the key (``where`` and what
    follows) for anything else JSON cannot hold; a Path too, for where a file lies on one machine is no part of what a
    run is.
    """
    if isinstance(value, Input):
        return value.identity()
    if isinstance(value, types.FunctionType):
        if "<" in value.__qualname__:
            raise MirageError(f"{where}: {value.__qualname__} has no name of its own; define it with def in a module.")
        return {"function": value.__qualname__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if "type" in fields:
            raise MirageError(f"{where}: {type(value).__name__} has a field 'type', the place of its name; rename it.")
        return {"type": type(value).__name__, **canonical(fields, where)}
    if isinstance(value, dict):
        if other := [key for key in value if not isinstance(key, str)]:
            raise MirageError(f"{where}: the key {other[0]!r} is not text, as JSON's keys are; write it as text.")
        return {key: canonical(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise MirageError(f"{where}: {value!r} ({type(value).__name__}) cannot be written as JSON; write it as text.")


def defined(value: Any) -> Iterator[Any]:
    """The functions and the classes of dataclasses in a value, however deep; what an Input hides is its own."""
    if isinstance(value, Input):
        return
    if isinstance(value, types.FunctionType):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for item in dataclasses.fields(value):
            yield from defined(getattr(value, item.name))
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from defined(item)


def _resolved(value: Any, store: Store, tell: Tell | None) -> Any:
    """The value with every Input in a dictionary or list replaced by its folder."""
    if isinstance(value, Input):
        return value.get(store, tell)
    if isinstance(value, dict):
        return {key: _resolved(item, store, tell) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_resolved(item, store, tell) for item in value)
    return value

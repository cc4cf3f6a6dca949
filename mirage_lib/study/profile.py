"""What a profile and its methods are. ``profiles`` has ours; a file of your own may define another (``own``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mirage_lib.core.errors import MirageError
from mirage_lib.models.generate import Decoding
from mirage_lib.models.train import Settings
from mirage_lib.study.subject import Subject


@dataclass(frozen=True)
class Method:
    """One way from the base model to a safe one: an objective, its data and its settings."""

    name: str  # its address in a study, e.g. "posthoc"
    title: str  # as tables and figures name it
    objective: Callable  # its roles say what it trains on: refusals, or harm to forget and the rest to retain
    safety: Any  # the training data, as the subject describes them
    settings: Settings
    general: int = 0  # general questions mixed into the safety data (the paper's *Mixed*)


@dataclass(frozen=True)
class Profile:
    """How large a study is."""

    name: str
    reported: bool  # whether its numbers mean anything; if not, chapters say so instead of testing claims
    seeds: tuple[int, ...]  # worlds, models and draws to report; never used to choose a setting
    subject: Subject  # what is studied: data, a model, an attack suite, judges
    methods: tuple[Method, ...]
    decoding: Decoding
    threads: int = 1  # of torch in one process; for tiny models two threads are slower than two processes
    reference_batch: int = 64  # examples at a time when the base computes its log-probabilities
    module: str = ""  # the reader's own file that defined it, as a module; see ``own``

    def method(self, name: str) -> Method:
        """The method of that name. Raises MirageError if the profile has none."""
        for method in self.methods:
            if method.name == name:
                return method
        known = ", ".join(["base", *(method.name for method in self.methods)])
        raise MirageError(f"Profile {self.name!r} has no method {name!r}; it has {known}.")

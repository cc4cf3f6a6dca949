"""What a study is about: data, a model, an attack suite and judges, passed in.

``Subject`` is what ``study.py``, the claims and the explorer ask for; nothing asks which subject it has. The laboratory
and a published data set are two instances. What most subjects share is a default here.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, Protocol

from PIL import Image

from mirage_lib.attacks import AS_ASKED, Attack
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.run import Input, Run
from mirage_lib.judges.judge import Judge
from mirage_lib.models.generate import Decoding
from mirage_lib.models.train import Settings
from mirage_lib.models.vlm import Render


class Model(Protocol):
    """What a study tunes."""

    @property
    def square(self) -> bool:
        """Whether pictures are padded to a square before the model gets them."""
        ...

    def base_run(self, seed: int) -> Input:
        """The base of this seed: a run that makes it, or a folder from elsewhere."""
        ...

    def missing(self, settings: Settings | None, computing: bool = True) -> list[str]:
        """What this machine lacks to tune it with these settings (None: to ask it), one sentence each."""
        ...


class Subject(Protocol):
    """Data × model × attack × judge, and how the four go together."""

    model: Any  # a Model
    attacks: tuple[Attack, ...]  # the suite, each attack with its role and its label in words
    judges: tuple[Judge, ...]  # of the replies; the first is the one whose verdicts are shown
    shots: int  # wordings of a request that the attacks of the suite try, at most
    wordings = 1  # wordings in which a request is put as it was asked
    parts: tuple[str, ...] = ("attack",)  # of the questions
    seeds_are = "each its own draws"
    drawn = False  # a drawn world: a page can draw its pictures and run its models, and its refusal opens with one word
    kinds_of_question: tuple[str, ...] = ()  # that ``Example.category`` tells apart
    content_note = ""

    # --- the four as tables and claims name them ------------------------------------------------

    @property
    def edits(self) -> dict[str, str]:
        """The edit of each role."""
        return {attack.role: attack.edit.name for attack in self.attacks}

    @property
    def asked(self) -> dict[str, int]:
        """How many wordings of a request are asked with each edit."""
        return {"": self.wordings, **{attack.edit.name: attack.shots or self.shots for attack in self.attacks}}

    @property
    def titles(self) -> dict[str, str]:
        """Each edit in words, as tables and figures show it."""
        return {"": AS_ASKED, **{attack.edit.name: attack.label for attack in self.attacks}}

    @property
    def judge(self) -> str:
        """The judge whose verdicts are shown."""
        return self.judges[0].name

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that this judge gives."""
        return self.judges[0].labels

    # --- what a subject must say ----------------------------------------------------------------

    @property
    @abc.abstractmethod
    def render(self) -> Render:
        """The function that gives the model a picture by its address."""

    @property
    @abc.abstractmethod
    def reader(self) -> Render:
        """The function that gives a human reader a picture by its address."""

    @abc.abstractmethod
    def safety(self, seed: int, safety: Any, split: str = "train") -> list[Example]:
        """A safety set: a method's ``safety`` describes it."""

    @abc.abstractmethod
    def suite(self, part: str, seed: int) -> list[Example]:
        """The questions of one part that every model is asked."""

    @abc.abstractmethod
    def questions_run(self, part: str, seed: int) -> Run:
        """The run that writes the questions of one part."""

    @abc.abstractmethod
    def training_run(self, method: Any, seed: int, base: Input, decoding: Decoding) -> Run:
        """The run that writes a method's training data; its objective's ``roles`` say what it takes."""

    # --- what most subjects share ---------------------------------------------------------------

    def base_run(self, seed: int) -> Input:
        """The base of this seed."""
        return self.model.base_run(seed)

    def missing(self, settings: Settings | None = None, computing: bool = True) -> list[str]:
        """What this machine lacks to tune with these settings (None: to ask), one sentence each.

        If ``computing`` is false, results that are there are only read, and memory does not count.
        """
        return self.model.missing(settings, computing)

    def ready(self, settings: Settings | None = None, computing: bool = True) -> None:
        """Raise MirageError that lists everything missing, if runs cannot be made (or results cannot be read) here."""
        if found := self.missing(settings, computing):
            raise MirageError("This profile cannot run here:" + "".join(f"\n- {one}" for one in found))

    def world(self, seed: int) -> Any:
        """The drawn world of this seed; None if there is none."""
        del seed

    def picture(self, address: str) -> Image.Image:
        """A picture for a human reader."""
        return self.reader(address)

    def shown(self, text: str, harmful: bool) -> str:
        """A text as a human reader may see it."""
        del harmful
        return text

    def class_of(self, example: Example) -> str:
        """The class of a request: its kind and its intent must decide it."""
        return example.category

    def held_out(self, seed: int) -> list[Example]:
        """Examples whose pictures must not be trained on."""
        del seed
        return []

    def bias_of(self, safety: Any) -> tuple[float, Any]:
        """The word–label bias in these training data, 0 to 1, and the same data with the whole bias."""
        return 1.0, safety

    def settings(self, settings: Settings, seed: int) -> Settings:
        """A method's settings for this seed: unchanged, if the seed draws the data."""
        del seed
        return settings

    def work(self) -> Mapping[str, float]:
        """The work in tuning steps of training a base ("vision", "base") and of asking one model each part."""
        return {}

    def check_part(self, part: str) -> None:
        """Raise MirageError if the questions have no such part."""
        if part not in self.parts:
            raise MirageError(f"There is no part {part!r}; there are {', '.join(self.parts)}.")

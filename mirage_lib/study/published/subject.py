"""A published data set as the subject of a study: its requests, its pictures, a model, an attack suite, judges."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mirage_lib.attacks import Attack
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.run import Input, Run
from mirage_lib.judges.judge import Judge
from mirage_lib.judges.released_keywords import ReleasedKeywords
from mirage_lib.models.generate import Decoding
from mirage_lib.models.train import Settings
from mirage_lib.models.vlm import Render
from mirage_lib.study.published.data import Classes, DataSet, Read, write_training, write_unsafe
from mirage_lib.study.published.files import Files
from mirage_lib.study.published.harm import write_forget_retain
from mirage_lib.study.published.pictures import Pictures, ReaderPictures
from mirage_lib.study.published.questions import attack_questions, write_attack
from mirage_lib.study.redaction import withheld
from mirage_lib.study.steps.ask import ask
from mirage_lib.study.subject import Model, Subject


@dataclass(frozen=True)
class Published(Subject):
    """A data set, published or your own, and a model that was trained elsewhere or is trained here."""

    data: DataSet
    model: Model  # of the hub, in a folder, or a recipe
    attacks: tuple[Attack, ...]
    judges: tuple[Judge, ...] = (ReleasedKeywords(),)
    pictures: bool = True  # False: the requests are put without their pictures

    @property
    def read(self) -> Read:
        """The data set as this study reads it."""
        return Read(self.data, self.pictures)

    @property
    def shots(self) -> int:
        """The most attempts that an attack of the suite makes."""
        return max([1, *(attack.shots for attack in self.attacks)])

    @property
    def content_note(self) -> str:
        """A warning above what a chapter shows of the data set."""
        return self.data.content_note

    def missing(self, settings: Settings | None = None, computing: bool = True) -> list[str]:
        """What of the model and of the data is not on this machine, one sentence each."""
        found = [*self.model.missing(settings, computing), *self.data.missing(self.pictures)]
        if any(one.startswith("data:") for one in found):
            looks = [functools.partial(self.data.path, name) for attack in self.attacks for name in attack.files]
        else:
            first = self.read.examples("test")[0]
            looks = [functools.partial(attack.once, first) for attack in self.attacks if attack.files]
        for look in looks:
            try:
                look()
            except MirageError as error:
                found.append(f"data: {error}")
        return list(dict.fromkeys(found))

    @property
    def render(self) -> Render:
        """The function that opens a picture for the model from its address."""
        return Pictures(self.data, self.model.square)

    @property
    def reader(self) -> Render:
        """The function that opens a picture for a human reader."""
        return ReaderPictures(self.data)

    def shown(self, text: str, harmful: bool) -> str:
        """A text as a human reader may see it: a harmful one is withheld unless MIRAGE_SHOW_HARM is 1."""
        return text if self.data.harmless else withheld(text, harmful)

    def safety(self, seed: int, safety: Classes | None, split: str = "train") -> list[Example]:
        """The requests of the chosen classes (None: all), unsafe ones with a refusal. Seeds share them."""
        del seed
        return self.read.examples(split, safety)

    def suite(self, part: str, seed: int) -> list[Example]:
        """The test requests as asked and with the edits of the attacks."""
        del seed
        self.check_part(part)
        return attack_questions(self.read, self.attacks)

    def work(self) -> Mapping[str, float]:
        """The work in tuning steps: asking one model the attack's questions."""
        return {"attack": 300.0}

    def training_run(self, method: Any, seed: int, base: Input, decoding: Decoding) -> Run:
        """The run that writes a method's training data; for a forget set, the base is asked for the harm first."""
        if method.general:
            raise MirageError(f"{method.general} general examples asked; LLaVA's own training mix is not read here.")
        roles, train = method.objective.roles, self.data.names("train")
        shared = {"read": self.read, "safety": method.safety}
        if "forget" not in roles:
            return Run("training_data", write_training, {**shared, "files": Files(self.data, train), "roles": roles})
        asked = Run("questions", write_unsafe, {**shared, "files": Files(self.data, train)})
        how = {"part": "harm", "decoding": decoding, "render": self.render}
        said = Run("replies", ask, {"base": base, "tuned": None, "name": "base", "questions": asked, **how})
        files = Files(self.data, (*train, *self.data.names("test"), *self.data.names("candidates")))
        chooses = {"replies": said, "judge": self.judges[0], "seed": seed, "roles": roles}
        return Run("training_data", write_forget_retain, {**shared, "files": files, **chooses})

    def questions_run(self, part: str, seed: int) -> Run:
        """The run that writes the questions, the same for every seed."""
        del seed
        self.check_part(part)
        names = dict.fromkeys([*self.data.names("test"), *(name for attack in self.attacks for name in attack.files)])
        files = Files(self.data, tuple(names))
        return Run("questions", write_attack, {"files": files, "read": self.read, "attacks": self.attacks})

    def settings(self, settings: Settings, seed: int) -> Settings:
        """A method's settings with this seed: each seed draws the published data in another order."""
        return replace(settings, seed=seed)

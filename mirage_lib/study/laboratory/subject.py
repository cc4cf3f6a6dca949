"""The laboratory as the subject of a study: it says which runs make its data, its questions and its base.

Each seed is its own world. ``study.published.subject.Published`` has the same methods for a published data set and a
model from the hub, so one study, and one chapter, works with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.run import Input, Run
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.judges.judge import Judge
from mirage_lib.judges.oracle import WorldOracle
from mirage_lib.judges.released_keywords import ReleasedKeywords
from mirage_lib.models.generate import Decoding
from mirage_lib.models.tiny import TinyShape
from mirage_lib.models.train import Settings
from mirage_lib.models.vlm import Render
from mirage_lib.study.laboratory.base import BaseRecipe, train_base
from mirage_lib.study.laboratory.data import safety_data, write_training
from mirage_lib.study.laboratory.questions import attack_questions, write_attack, write_evaluation
from mirage_lib.world.questions import World, is_refusal, is_sentence
from mirage_lib.world.scenes import render
from mirage_lib.world.training_data import SafetySet, class_of, evaluation_set

PIXELS = 240  # a side of a picture drawn for a human reader


@dataclass(frozen=True)
class Laboratory:
    """A drawn world in which the truth is known, and a tiny model trained in it from scratch."""

    shape: TinyShape  # sizes of the model
    vision: Settings  # training of the vision tower
    base: Settings  # training of the whole model on general data
    kinds: tuple[tuple[str, float], ...]  # share of each kind of question in the general data
    base_bar: float  # minimum share of correct replies on every kind before a base is tuned
    test: SafetySet  # sizes of the test set of attacked queries
    shots: int  # K: how many wordings of each query are asked
    evaluation: int  # questions of each kind in the evaluation set
    attempts: int = 3  # at training a base that meets its bar, before giving up

    parts = ("attack", "evaluation")  # of the questions
    edits: ClassVar = {"what": "swap:what", "share": "swap:share", "placebo": f"suffix:{PLACEBO}"}  # by their role
    seeds_are = "each its own world, model and data"
    replies_live = True  # its models are small enough to answer while a reader waits
    content_note = ""
    judge = "oracle"  # whose verdicts are shown
    labels = ("complied", "refused", "irrelevant", "garbled", "correct", "wrong")  # that this judge gives

    @property
    def asked(self) -> Mapping[str, int]:
        """How many wordings of a query are asked with each edit."""
        return {"": self.shots, "swap:what": self.shots, "swap:share": self.shots, f"suffix:{PLACEBO}": 1}

    def ready(self, settings: Settings | None = None, computing: bool = True) -> None:
        """Checks nothing: the laboratory makes everything it needs."""

    def world(self, seed: int) -> World:
        """The world of this seed."""
        return World(seed)

    @property
    def render(self) -> Render:
        """The function that draws a picture for the model from its address."""
        return render

    def picture(self, address: str) -> Image.Image:
        """Draws a picture for a human reader."""
        return render(address, PIXELS)

    def shown(self, text: str, harmful: bool) -> str:
        """A text as a human reader may see it: all of it, because the laboratory's harm is nonsense."""
        del harmful
        return text

    def safety(self, seed: int, safety: SafetySet, split: str = "train") -> list[Example]:
        """The safety set of this seed; unsafe requests have the harm as their answer."""
        return safety_data(seed, safety, split)

    def class_of(self, example: Example) -> str:
        """The class of a request."""
        return class_of(example)

    def judges(self) -> tuple[Judge, ...]:
        """The judges of the replies."""
        return WorldOracle(is_sentence, is_refusal), ReleasedKeywords()

    def suite(self, part: str, seed: int) -> list[Example]:
        """The questions every model is asked: "attack" (K shots with and without the word, placebo) or "evaluation"."""
        self._check(part)
        if part == "evaluation":
            return evaluation_set(World(seed), self.evaluation, seed)
        return attack_questions(seed, self.test, self.shots)

    def work(self) -> Mapping[str, float]:
        """The work in tuning steps: training "vision" and "base", and asking one model each part of the questions."""
        test = self.test
        asked = test.unsafes + test.safe_unsafes + test.safe_safes + test.named_safes
        ask = asked * (2 * self.shots + 1) // 22
        work = {"vision": 0.2 * self.vision.steps, "base": 2.0 * self.base.steps}
        return {**work, "attack": float(ask), "evaluation": 10.0}

    def base_run(self, seed: int) -> Run:
        """The run that trains the base of this seed."""
        recipe = BaseRecipe(
            self.shape, self.vision, self.base, self.kinds, self.base_bar, self.evaluation, self.attempts
        )
        return Run("base", train_base, {"seed": seed, "recipe": recipe}, part="model")

    def training_run(self, method: Any, seed: int, base: Input, decoding: Decoding) -> Run:
        """The run that writes a method's training data; here it does not need the base."""
        del base, decoding
        inputs = {"seed": seed, "safety": method.safety, "general": method.general, "roles": method.objective.roles}
        return Run("training_data", write_training, inputs)

    def questions_run(self, part: str, seed: int) -> Run:
        """The run that writes the questions of one part."""
        self._check(part)
        if part == "evaluation":
            return Run("questions", write_evaluation, {"seed": seed, "count": self.evaluation})
        return Run("questions", write_attack, {"seed": seed, "test": self.test, "shots": self.shots})

    def _check(self, part: str) -> None:
        if part not in self.parts:
            raise MirageError(f"There is no part {part!r}; there are {', '.join(self.parts)}.")

    def settings(self, settings: Settings, seed: int) -> Settings:
        """A method's settings with this seed: unchanged, because here the seed draws the data."""
        del seed
        return settings

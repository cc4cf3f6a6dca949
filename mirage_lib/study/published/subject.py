"""A published data set and a model from the hub as the subject of a study: VLGuard and LLaVA-1.5.

The data come from the folder that ``MIRAGE_DATA`` names, the weights from the hub's cache or the folder that
``MIRAGE_WEIGHTS`` names. One message lists everything missing, with the remedy. Serves the paper's experiments.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.run import Input, Run
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.datasets.published.vlguard import REWRITES
from mirage_lib.judges.judge import Judge
from mirage_lib.judges.released_keywords import ReleasedKeywords
from mirage_lib.models import hub
from mirage_lib.models.generate import Decoding
from mirage_lib.models.train import Settings
from mirage_lib.models.vlm import Render
from mirage_lib.study.published.data import (
    VLGuardSet,
    candidate_files,
    chosen,
    released_rewrites,
    there,
    write_training,
    write_unsafe,
)
from mirage_lib.study.published.files import Files
from mirage_lib.study.published.harm import write_forget_retain
from mirage_lib.study.published.pictures import all_there, open_picture, reader_picture
from mirage_lib.study.published.questions import attack_questions, write_attack
from mirage_lib.study.redaction import withheld
from mirage_lib.study.steps.ask import ask

# Bytes per parameter if all are tuned (float32 weight, gradient, two moments), if only a few are tuned (float32
# weight), and if none is (bfloat16 weight). The factors leave room for everything else.
TUNED, FEW_TUNED, FROZEN = 16 * 1.2, 4 * 1.2, 2 * 1.6


@dataclass(frozen=True)
class Published:
    """VLGuard's queries and pictures, the paper's released rewrites, and a model from the hub."""

    weights: str = "llava-hf/llava-1.5-7b-hf"  # a repository on the hub

    parts = ("attack",)  # of the suite
    edits: ClassVar = {  # by their role; the literal one-word edits are asked beside the paper's rewrites
        "what": "rewrite:what",
        "share": "rewrite:share",
        "literal what": "swap:what",
        "literal share": "swap:share",
        "placebo": f"suffix:{PLACEBO}",
    }
    shots = 3  # rewrites of each unsafe query in the released attack
    seeds_are = "each its own draws"
    replies_live = False  # its models take too long to answer while a reader waits
    content_note = "Content note: an unsafe picture of VLGuard and a request about it."
    judge = ReleasedKeywords().name  # whose verdicts are shown
    labels = ("complied", "refused", "answered")  # that this judge gives

    @property
    def asked(self) -> Mapping[str, int]:
        """How many wordings of a query are asked with each edit."""
        times = {edit: times for edit, (_, _, times) in REWRITES.items()}
        return {"": 1, "swap:what": 1, "swap:share": 1, f"suffix:{PLACEBO}": 1, **times}

    def folder(self) -> Path:
        """Where the weights are. Raises MirageError if they are missing or incomplete."""
        return hub.locate(self.weights)

    def missing(self, settings: Settings | None, computing: bool = True) -> list[str]:
        """What this machine lacks to tune with these settings (None: to ask), one sentence each.

        If ``computing`` is false, results that are there are only read, and memory does not count.
        """
        found, frozen = [], settings is None or settings.lora_rank > 0
        each = FROZEN if frozen else FEW_TUNED if settings and settings.only else TUNED
        try:
            need, have = hub.parameters(self.folder()) * each, hub.memory()
            if computing and need > have:
                remedy = " Use a larger machine." if frozen else " Keep to the LoRA methods, or use a larger machine."
                found.append(f"memory: about {need / 2**30:.0f} GiB needed, {have / 2**30:.0f} GiB here.{remedy}")
        except MirageError as error:
            found.append(str(error))
        files = ("train.json", "test.json", *(name for name, _, _ in REWRITES.values()))
        looks = [all_there, *(functools.partial(there, name) for name in files)]
        for look in (*looks, *(functools.partial(released_rewrites, edit) for edit in REWRITES)):
            try:
                look()
            except MirageError as error:
                text = str(error) if str(error).startswith("pictures:") else f"data: {error}"
                found += [] if text in found else [text]
        return found

    def ready(self, settings: Settings | None = None, computing: bool = True) -> None:
        """Raise MirageError that lists everything missing, if runs cannot be made (or results cannot be read) here."""
        if found := self.missing(settings, computing):
            raise MirageError("This profile cannot run here:" + "".join(f"\n- {one}" for one in found))

    @property
    def render(self) -> Render:
        """The function that opens a picture for the model from its address."""
        return open_picture

    def picture(self, address: str) -> Image.Image:
        """The picture for a human reader."""
        return reader_picture(address)

    def shown(self, text: str, harmful: bool) -> str:
        """A text as a human reader may see it: a harmful one is withheld unless MIRAGE_SHOW_HARM is 1."""
        return withheld(text, harmful)

    def safety(self, seed: int, safety: VLGuardSet | None, split: str = "train") -> list[Example]:
        """VLGuard's queries of the chosen classes (None: all), unsafe ones with its refusals. Seeds share them."""
        del seed
        return chosen(safety, split)

    def class_of(self, example: Example) -> str:
        """The class of a request, as VLGuard names it."""
        return example.category

    def judges(self) -> tuple[Judge, ...]:
        """The judges of the replies."""
        return (ReleasedKeywords(),)

    def suite(self, part: str, seed: int) -> list[Example]:
        """VLGuard's test queries as asked, rewritten by the paper, edited in one word, and with the placebo."""
        del seed
        self._check(part)
        return attack_questions()

    def _check(self, part: str) -> None:
        if part not in self.parts:
            raise MirageError(f"There is no part {part!r}; there are {', '.join(self.parts)}.")

    def work(self) -> Mapping[str, float]:
        """The work in tuning steps: asking one model the attack's questions."""
        return {"attack": 300.0}

    def base_run(self, seed: int) -> Input:
        """The model from the hub, the same for every seed."""
        del seed
        return hub.HubModel(self.weights)

    def training_run(self, method: Any, seed: int, base: Input, decoding: Decoding) -> Run:
        """The run that writes a method's training data; for unlearning, the base is asked for the harm first."""
        files = Files(("train.json",))
        if method.general:
            raise MirageError(f"{method.general} general examples asked; LLaVA's own training mix is not read here.")
        if method.objective.roles == ("train",):
            return Run("training_data", write_training, {"files": files, "safety": method.safety})
        asked = Run("questions", write_unsafe, {"files": files, "safety": method.safety})
        how = {"part": "harm", "decoding": decoding, "render": self.render}
        said = Run("replies", ask, {"base": base, "tuned": None, "name": "base", "questions": asked, **how})
        rivals = tuple(f"candidates/{path.name}" for path in candidate_files())
        chooses = {"replies": said, "judge": self.judges()[0], "seed": seed}
        known = {"files": Files(("train.json", "test.json", *rivals)), "safety": method.safety}
        return Run("training_data", write_forget_retain, {**known, **chooses})

    def questions_run(self, part: str, seed: int) -> Run:
        """The run that writes the questions, the same for every seed."""
        del seed
        self._check(part)
        files = ("test.json", *(name for name, _, _ in REWRITES.values()))
        return Run("questions", write_attack, {"files": Files(files)})

    def settings(self, settings: Settings, seed: int) -> Settings:
        """A method's settings with this seed: each seed draws the published data in another order."""
        return replace(settings, seed=seed)

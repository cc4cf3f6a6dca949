"""A study: every run of a profile, found in the store or made there.

Rows flow one way: first training data, base model, reference and tuned model, then questions, replies and verdicts.
Each of these is a run in the store (``core.run``). This file only says which run needs which. What a step does is in
``steps``. What a study is about, a drawn world or a published data set, is in the profile's subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.records import Example, read_roles
from mirage_lib.core.run import Input, Run
from mirage_lib.core.store import Store, default_root
from mirage_lib.datasets.loaded import HeldOut
from mirage_lib.models.vlm import VLM
from mirage_lib.plots.style import use_style
from mirage_lib.study.example import Turn, example
from mirage_lib.study.profile import Method, Profile
from mirage_lib.study.profiles import NANO, TINY, named_profile
from mirage_lib.study.redaction import turns
from mirage_lib.study.steps.ask import ask, load_tuned
from mirage_lib.study.steps.judge import classes, transcript, write_verdicts
from mirage_lib.study.steps.reference import write_reference
from mirage_lib.study.steps.tune import tune

BASE = "base"  # the base model's name among the methods


@dataclass
class Study:
    """One profile's runs in one store. A missing run is made when you ask for it."""

    profile: Profile
    store: Store
    progress: Tell | None = None  # called at every step of work; None: long work draws its own bar
    _ready: bool = field(default=False, init=False, repr=False, compare=False)
    _seen: dict[tuple[Path, str], pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def names(self) -> list[str]:
        """The base and every method, in the profile's order."""
        return [BASE, *(method.name for method in self.profile.methods)]

    def title(self, name: str) -> str:
        """A method as tables and figures name it."""
        return BASE if name == BASE else self.profile.method(name).title

    def notice(self) -> str:
        """A sentence for the top of a chapter: what this profile's numbers are worth."""
        name, seeds = self.profile.name, self.profile.seeds
        if not self.profile.reported:
            return f"Profile {name!r}: not measured on this profile. It shows that the path is whole, nothing more."
        return f"Profile {name!r}: {len(seeds)} seed{'s' if len(seeds) > 1 else ''}, {self.profile.subject.seeds_are}."

    def world(self, seed: int) -> Any:
        """The world of this seed. Raises MirageError outside the laboratory."""
        if not self.profile.subject.drawn:
            raise MirageError(f"The profile {self.profile.name!r} has no drawn world; see study.open_laboratory.")
        return self.profile.subject.world(seed)

    def safety_data(self, seed: int, safety: Any = None, split: str = "train") -> list[Example]:
        """This seed's safety set: the first method's, unless ``safety`` gives another."""
        chosen: Any = safety or self.profile.methods[0].safety
        return self.profile.subject.safety(seed, chosen, split)

    def suite(self, part: str, seed: int) -> list[Example]:
        """The questions that every model is asked; see the subject's ``suite``."""
        return self.profile.subject.suite(part, seed)

    # --- which run needs which ------------------------------------------------------------------

    def base_run(self, seed: int) -> Input:
        """The base: a run in the store, or a model from the hub. Raises MirageError that lists everything missing."""
        if not self._ready:  # report everything missing in one message, before the first address is computed
            self.profile.subject.ready(computing=False)
            self._ready = True
        return self.profile.subject.base_run(seed)

    def training_run(self, method: Method, seed: int) -> Run:
        """The run that writes a method's training data."""
        return self.profile.subject.training_run(method, seed, self.base_run(seed), self.profile.decoding)

    def tuned_run(self, name: str, seed: int) -> Run:
        """The run that tunes a model, with the reference that its objective needs."""
        method, subject = self.profile.method(name), self.profile.subject
        data, objective = self.training_run(method, seed), method.objective
        shared = {"base": self.base_run(seed), "data": data, "render": subject.render}
        reference = None
        if objective.needs_reference:
            asked = {**shared, "roles": objective.roles, "layer": objective.reference_layer}
            reference = Run("reference", write_reference, asked, means={"batch": self.profile.reference_batch})
        # The method's name and title are not inputs: renaming a method trains no new model.
        settings = subject.settings(method.settings, seed)
        return Run("tuned", tune, {**shared, "objective": objective, "settings": settings, "reference": reference})

    def model_inputs(self, name: str, seed: int) -> dict[str, Any]:
        """The inputs with which a step loads this model."""
        tuned = None if name == BASE else self.tuned_run(name, seed)
        return {"base": self.base_run(seed), "tuned": tuned, "name": name, "render": self.profile.subject.render}

    def replies_run(self, name: str, seed: int, questions: Run, part: str) -> Run:
        """The run that asks a model these questions."""
        how = {"questions": questions, "part": part, "decoding": self.profile.decoding}
        return Run("replies", ask, {**self.model_inputs(name, seed), **how})

    def verdicts_runs(self, name: str, seed: int, questions: Run, part: str) -> dict[str, Run]:
        """The runs of questions, replies and all judges' verdicts, named as ``steps.judge.transcript`` takes them."""
        rows = {"questions": questions, "replies": self.replies_run(name, seed, questions, part)}
        verdicts = Run("verdicts", write_verdicts, {**rows, "judges": self.profile.subject.judges})
        return {**rows, "verdicts": verdicts}

    def part_runs(self, name: str, seed: int, part: str) -> dict[str, Run]:
        """The ``verdicts_runs`` for one part of the questions."""
        return self.verdicts_runs(name, seed, self.profile.subject.questions_run(part, seed), part)

    # --- runs made or found ---------------------------------------------------------------------

    def folder(self, run: Run, label: str = "") -> Path:
        """A run's own folder; a missing run is made first. ``label`` says in a progress bar what it is for."""
        if found := run.find(self.store):
            return found
        tell = self.progress
        torch.set_num_threads(self.profile.threads)  # the number of threads changes the last digits of sums
        return run.folder(
            self.store, None if tell is None else lambda stage, *counts: tell(f"{stage} {label}", *counts)
        )

    def base(self, seed: int) -> Path:
        """The folder of the run that trained the base. Raises MirageError if the base comes from the hub."""
        run = self.base_run(seed)
        if not isinstance(run, Run):
            raise MirageError(f"The base of {self.profile.name!r} is no run of the store; see Study.base_model.")
        return self.folder(run, f"{BASE} {seed}")

    def base_model(self, seed: int) -> Path:
        """The folder of the base model, in the hub's format."""
        run = self.base_run(seed)
        return self.base(seed) / run.part if isinstance(run, Run) else run.get(self.store)

    def training_data(self, method: Method, seed: int) -> dict[str, list[Example]]:
        """A method's training data, by role. Raises MirageError if they contain a picture that is held out."""
        folder = self.folder(self.training_run(method, seed), f"{method.name} {seed}")
        parts = read_roles(folder, method.objective.roles)
        held_out = HeldOut(self.profile.subject.held_out(seed))
        if found := sorted({e.image for rows in parts.values() for e in rows if held_out.holds(e)}):
            raise MirageError(f"{method.name}: {len(found)} test pictures are in its training data, e.g. {found[0]}.")
        return parts

    def tuned(self, name: str, seed: int) -> Path:
        """A tuned model's folder. It holds ``model`` in the hub's format, or for LoRA an ``adapter`` for the base."""
        run, method = self.tuned_run(name, seed), self.profile.method(name)
        if run.find(self.store) is None:
            self.profile.subject.ready(method.settings)
            self.base_model(seed)  # first, so that an error in the base is reported as one
            self.training_data(method, seed)
        return self.folder(run, f"{name} {seed}")

    def trained(self, name: str, seed: int) -> Path | None:
        """The run of a tuned model; None for the base, which is made, too.

        A run that needs a model calls this first: its checks are made here, and an error says where it comes from.
        """
        if name != BASE:
            return self.tuned(name, seed)
        self.base_model(seed)
        return None

    def model(self, name: str, seed: int) -> VLM:
        """A method's model, or the base, ready to answer."""
        tuned = self.trained(name, seed)
        return load_tuned(self.base_model(seed), tuned, self.profile.subject.render, name)

    def seconds(self, name: str, seed: int) -> float:
        """Seconds of training, the reference included; NaN for a base from the hub."""
        run = self.base_run(seed) if name == BASE else self.tuned_run(name, seed)
        if not isinstance(run, Run):
            return float("nan")
        runs = [run] if run.inputs.get("reference") is None else [run, run.inputs["reference"]]
        return sum(float(self.store.manifest(self.folder(one, f"{name} {seed}"))["seconds"]) for one in runs)

    def transcript(self, runs: dict[str, Run], name: str, seed: int, judge: str = "") -> pd.DataFrame:
        """One judge's verdicts, joined with replies and questions. By default the judge is the subject's own.

        Adds the columns ``method``, ``seed``, ``subset`` (the example's class) and ``asked`` (its edit in words).
        """
        subject, label = self.profile.subject, f"{name} {seed}"
        if runs["verdicts"].find(self.store) is None:
            subject.ready()
            self.trained(name, seed)
        # Verdicts first: making them makes the replies and questions too.
        folders = {key: self.folder(runs[key], label) for key in reversed(list(runs))}
        judge = judge or subject.judge
        key = (folders["verdicts"], judge)
        if key not in self._seen:
            frame = transcript(**folders, judge=judge)
            asked = frame["edit"].map(lambda edit: subject.titles.get(edit, edit))
            subsets = classes(frame, subject.class_of)
            self._seen[key] = frame.assign(method=name, seed=seed, subset=subsets, asked=asked)
        return self._seen[key].copy()

    def verdicts(self, name: str, seed: int, part: str = "attack", judge: str = "") -> pd.DataFrame:
        """One judge's verdicts on a model's replies to a part of the questions; see ``transcript``.

        ``judge`` is the subject's own, or "released_keywords".
        """
        return self.transcript(self.part_runs(name, seed, part), name, seed, judge)

    def found(self, name: str, seed: int) -> bool:
        """Whether the base, the method's model and its verdicts are all in the store, undamaged."""
        models = [self.base_run(seed), *([] if name == BASE else [self.tuned_run(name, seed)])]
        runs = [run for run in models if isinstance(run, Run)]
        for part in self.profile.subject.parts:
            runs += self.part_runs(name, seed, part).values()
        return all(run.find(self.store) for run in runs)

    def make(self, name: str, seed: int) -> None:
        """Make a method's model and verdicts, except what is in the store and undamaged."""
        self.trained(name, seed)
        for part in self.profile.subject.parts:
            self.verdicts(name, seed, part)

    def table(self, names: Iterable[str], part: str = "attack", judge: str = "") -> pd.DataFrame:
        """One table with the verdicts of several methods over all seeds of the profile."""
        frames = [self.verdicts(name, seed, part, judge) for name in names for seed in self.profile.seeds]
        return pd.concat(frames, ignore_index=True)

    example = example  # one small visible case

    def turns(self, rows: pd.DataFrame) -> list[Turn]:
        """Question, reply and verdict of each row, as a human reader may see them (see the subject's ``shown``)."""
        return turns(rows, self.profile.subject.shown)


def open_study(profile: str | None = None, seeds: int | None = None, progress: Tell | None = None) -> Study:
    """The study a chapter opens: profile from MIRAGE_PROFILE (else tiny), store from MIRAGE_STORE (else ./runs).

    It sets the book's style for the figures that follow.
    """
    use_style()
    return Study(named_profile(profile, seeds), Store(default_root()), progress)


def open_laboratory() -> Study:
    """The laboratory's study, whatever the profile.

    If the profile has no drawn world, TINY takes its place, or NANO if the profile reports no results.
    """
    study = open_study()
    if study.profile.subject.drawn:
        return study
    return Study(TINY if study.profile.reported else NANO, study.store, study.progress)

"""A study: every run of a profile, looked up in the store or else made there, in parallel.

Comes in: a profile and a store. Goes out: models, and tables of verdicts joined with their replies and
examples. This is the only file that knows every step: base model, its exam, the stored reference, the
tuned models, their replies, the verdicts. Each step is a directory of the store, addressed by all it
depends on: its settings, the seed, and the code that makes it. What it is about, a drawn world or a
published data set, is the profile's subject.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mirage_lib import laboratory, published
from mirage_lib.errors import MirageError
from mirage_lib.forget_retain import forget_retain
from mirage_lib.interview import interview, transcript
from mirage_lib.laboratory import Laboratory
from mirage_lib.objectives import SFT
from mirage_lib.profiles import NANO, TINY, Method, Profile, named_profile
from mirage_lib.records import Example, Reply, leaks, read
from mirage_lib.redaction import turns
from mirage_lib.store import Store, code_fingerprint, default_root
from mirage_lib.train import Progress, fit
from mirage_lib.vlm import VLM, load_vlm, read_rows, reference_rows, write_rows
from mirage_lib.world import PLACEBO

log = logging.getLogger(__name__)

BASE = "base"  # the name under which the base model stands among the methods
ASKED = {  # the edits of the suite in words
    "": "as asked",
    "swap:what": "opening with “What”",
    "swap:share": "opening with “Share”",
    "rewrite:what": "rewritten with “What”",
    "rewrite:share": "rewritten with “Share”",
    f"suffix:{PLACEBO}": f"ending with “{PLACEBO}”",
}
ASKING = ("attacks", "vlm", "generate", "judge", "interview")  # modules that make verdicts, besides the subject's own


@dataclass
class Study:
    """One profile's runs in one store. What is missing is made when asked for."""

    profile: Profile
    store: Store
    progress: Progress | None = None  # told of every step of work; None draws a bar where it takes long
    _ready: bool = field(default=False, init=False, repr=False, compare=False)
    _seen: dict[tuple[Path, str], pd.DataFrame] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def names(self) -> list[str]:
        """The base and every method, in the profile's order."""
        return [BASE, *(method.name for method in self.profile.methods)]

    def notice(self) -> str:
        """A sentence on what the numbers of this profile are worth, for the top of a chapter."""
        name, seeds = self.profile.name, self.profile.seeds
        if not self.profile.measured:
            return f"Profile {name!r}: not measured on this profile. It shows that the path is whole, nothing more."
        each = "each its own world, model and data" if self.profile.subject.made else "each its own draws"
        return f"Profile {name!r}: {len(seeds)} seed{'s' if len(seeds) > 1 else ''}, {each}."

    def world(self, seed: int) -> Any:
        """The world of this seed. Raises MirageError outside the laboratory."""
        if not isinstance(self.profile.subject, Laboratory):
            raise MirageError(f"The profile {self.profile.name!r} has no drawn world; see study.open_laboratory.")
        return self.profile.subject.world(seed)

    def safety_data(self, seed: int, safety: Any = None, split: str = "train") -> list[Example]:
        """The safety set of this seed, the first method's unless another is named."""
        return self.profile.subject.safety(seed, safety or self.profile.methods[0].safety, split)

    def lessons(self, method: Method, seed: int) -> dict[str, list[Example]]:
        """What a method trains on, by role. Raises MirageError if any of it is in the laboratory's test set."""
        subject = self.profile.subject
        data = self.safety_data(seed, method.safety)
        if isinstance(method.objective, SFT):
            mixed = subject.general(seed, method.general) if method.general else []
            parts = {"train": [*subject.taught(data), *mixed]}
        elif subject.made:
            parts = {part: [e for e in data if e.intent == i] for part, i in (("forget", "unsafe"), ("retain", "safe"))}
        else:
            parts = self._forget_retain(data, seed)
        if isinstance(subject, Laboratory):
            found = leaks([e for rows in parts.values() for e in rows], subject.safety(seed, subject.test, "test"))
            if len(found):
                where = f"{method.name}: {len(found)} test pictures are in its training data"
                raise MirageError(f"{where}, e.g. {found.iloc[0].value}.")
        return parts

    def _forget_retain(self, data: list[Example], seed: int) -> dict[str, list[Example]]:
        """The forget and retain sets of published data; harm is what the base says, or whoever is among its rivals.

        The paper takes the most harmful of four models' answers: the other models' are read where they are at hand.
        """
        unsafe, subject = [example for example in data if example.intent == "unsafe"], self.profile.subject
        spec = {"base": self._base_key(seed), "examples": _digest(unsafe), "code": self._code(ASKING)}

        def make(out: Path) -> None:
            self._ask(self.model(BASE, seed), unsafe, out, f"harm {seed}")

        path = self._get("harm", {**spec, "decoding": self.profile.decoding}, make)
        said = read(path / "replies.parquet", Reply)
        if broken := [reply.error for reply in said if reply.error]:
            raise MirageError(f"{len(broken)} training examples cannot be put to the base: {broken[0]}")
        assert isinstance(subject, published.Published), "the laboratory knows its harm"
        forget, retain = (sorted({e.category for e in data if e.intent == i}) for i in ("unsafe", "safe"))
        test, judge = subject.safety(seed, None, "test"), subject.judges()[0]
        found = forget_retain(data, [*said, *subject.candidates()], judge, forget, retain, test, seed=seed)
        for note in found.left_out:
            log.warning("Neither forgotten nor retained, %s.", note)
        return {"forget": list(found.forget), "retain": list(found.retain)}

    def suite(self, part: str, seed: int) -> list[Example]:
        """The questions put to every model; see the subject's own ``suite``."""
        return self.profile.subject.suite(part, seed)

    def base(self, seed: int) -> Path:
        """The folder that holds the base in ``model``: a run of the store, or where the weights were fetched to."""
        subject = self.profile.subject
        if not isinstance(subject, Laboratory):
            raise MirageError(f"The base of {self.profile.name!r} is no run of the store; see Study.base_model.")

        def ask(vlm: VLM, part: str, out: Path) -> pd.DataFrame:
            self._ask(vlm, subject.suite(part, seed), out, f"exam {seed}")
            return transcript(out, subject.judge)

        def make(out: Path) -> None:
            subject.make_base(out, seed, ask, lambda name: self._tell(f"{name} {seed}"))

        return self._get(BASE, subject.base_spec(seed), make)

    def base_model(self, seed: int) -> Path:
        """The folder of the base model, in the hub's format."""
        subject = self.profile.subject
        if isinstance(subject, Laboratory):
            return self.base(seed) / "model"
        self._base_key(seed)  # tells all that is missing
        return subject.folder()

    def _base_key(self, seed: int) -> str:
        if not self._ready:  # all that is missing is told at once, before the first address is worked out
            self.profile.subject.ready(computing=False)
            self._ready = True
        return self.store.address(BASE, self.profile.subject.base_spec(seed)).name

    def _code(self, modules: Sequence[str]) -> str:
        own = (laboratory if self.profile.subject.made else published).MODULES
        return code_fingerprint(*(f"mirage_lib.{name}" for name in (*own, *modules)))

    def _get(self, step: str, spec: dict[str, Any], make: Callable[[Path], object]) -> Path:
        torch.set_num_threads(self.profile.threads)  # sums differ in their last digits with the number of threads
        return self.store.get(step, spec, make)

    def tuned(self, name: str, seed: int) -> Path:
        """A tuned model's run: ``model`` in the hub's format, or ``adapter`` on top of the base for LoRA."""
        method = self.profile.method(name)
        settings = self._settings(method, seed)

        def make(out: Path) -> None:
            self.profile.subject.ready(settings)
            base = self.base_model(seed)
            parts = self.lessons(method, seed)
            reference = self.reference(seed, parts, method.objective) if method.objective.needs_reference else None
            vlm = load_vlm(base, self.profile.subject.render, tuned=not settings.lora_rank)
            vlm.model.train()
            vlm = fit(vlm, method.objective, parts, settings, out, reference, self._tell(f"{name} {seed}"))
            if settings.lora_rank:
                for config in vlm.model.peft_config.values():
                    config.base_model_name_or_path = self._base_key(seed)  # a folder's path would tie the run to it
                vlm.model.save_pretrained(out / "adapter", save_embedding_layers=False)  # they are the base's
            else:
                vlm.save(out / "model")

        return self._get("tuned", self._tuned_spec(name, seed), make)

    def _settings(self, method: Method, seed: int) -> Any:
        """In the laboratory a seed draws the data themselves; published data it draws in another order."""
        return method.settings if self.profile.subject.made else dataclasses.replace(method.settings, seed=seed)

    def _tuned_spec(self, name: str, seed: int) -> dict[str, Any]:
        method, subject = self.profile.method(name), self.profile.subject
        base = self._base_key(seed)
        data = {"safety": method.safety, "general": method.general, **subject.data_spec(seed)}
        how = {"objective": method.objective, "settings": self._settings(method, seed)}  # a new label is no new model
        if not (subject.made or isinstance(method.objective, SFT)):
            data["harm"] = {"decoding": self.profile.decoding, "code": self._code((*ASKING, "forget_retain"))}
        return {"base": base, **data, **how, "code": self._code(laboratory.TRAINING)}

    def reference(self, seed: int, parts: dict[str, list[Example]], objective: Any) -> dict[str, dict[str, Tensor]]:
        """What the base model makes of these examples, computed once: by example id, logp and hidden states."""
        examples = [example for rows in parts.values() for example in rows]
        spec = {
            "base": self._base_key(seed),
            "examples": _digest(examples),
            "layer": objective.reference_layer,
            "code": self._code(("vlm", "objectives")),
        }

        def make(out: Path) -> None:
            vlm = load_vlm(self.base_model(seed), self.profile.subject.render)
            rows = reference_rows(vlm, examples, objective.reference_layer, self.profile.reference_batch)
            write_rows(rows, examples, out / "rows.safetensors")

        return read_rows(self._get("reference", spec, make) / "rows.safetensors", examples)

    def model(self, name: str, seed: int) -> VLM:
        """The model of a method, or the base, ready to be asked."""
        base, render = self.base_model(seed), self.profile.subject.render
        if name == BASE:
            return load_vlm(base, render, name=name)
        run = self.tuned(name, seed)
        if (run / "adapter").is_dir():
            return load_vlm(base, render, run / "adapter", name)
        return load_vlm(run / "model", render, name=name)

    def seconds(self, name: str, seed: int) -> float:
        """How long the tuning took; missing (NaN) for a base that was fetched."""
        if name == BASE and not self.profile.subject.made:
            return float("nan")
        return float(self.store.manifest(self.base(seed) if name == BASE else self.tuned(name, seed))["seconds"])

    def verdicts(self, name: str, seed: int, part: str = "attack", judge: str = "") -> pd.DataFrame:
        """One judge's verdicts on a model's replies to a part of the suite, joined with replies and examples.

        ``judge`` is the subject's own, or "released_keywords". Columns ``method``, ``seed``, ``subset``
        (the example's class) and ``asked`` (its edit in words) are added.
        """
        subject = self.profile.subject

        def make(out: Path) -> None:
            subject.ready()
            self._ask(self.model(name, seed), self.suite(part, seed), out, f"ask {name} {seed}")

        if name == BASE and part == "exam" and subject.made:
            path = self.base(seed)  # it was examined when it was made
        else:
            path = self._get("verdicts", self._verdicts_spec(name, seed, part), make)
        judge = judge or subject.judge
        if (path, judge) not in self._seen:
            frame = transcript(path, judge)
            classes = {example.id: subject.class_of(example) for example in read(path / "examples.parquet", Example)}
            asked, subsets = frame["edit"].map(lambda edit: ASKED.get(edit, edit)), frame["example_id"].map(classes.get)
            self._seen[path, judge] = frame.assign(method=name, seed=seed, subset=subsets, asked=asked)
        return self._seen[path, judge].copy()

    def model_key(self, name: str, seed: int) -> str:
        """What a model's address ends with: it changes with anything the model depends on."""
        return self._base_key(seed) if name == BASE else self.store.address("tuned", self._tuned_spec(name, seed)).name

    def _verdicts_spec(self, name: str, seed: int, part: str) -> dict[str, Any]:
        spec = {"model": self.model_key(name, seed), "decoding": self.profile.decoding, "code": self._code(ASKING)}
        return {**spec, **self.profile.subject.suite_spec(part, seed)}

    def found(self, name: str, seed: int) -> bool:
        """Whether a method's model and verdicts are all in the store, undamaged."""
        subject = self.profile.subject
        steps = [(BASE, subject.base_spec(seed))] if subject.made else []
        if name != BASE:
            steps.append(("tuned", self._tuned_spec(name, seed)))
        parts = [part for part in subject.parts if not (name == BASE and part == "exam" and subject.made)]
        steps += [("verdicts", self._verdicts_spec(name, seed, part)) for part in parts]
        return all(self.store.find(step, spec) for step, spec in steps)

    def make(self, name: str, seed: int) -> None:
        """Make a method's model and verdicts, as far as they are not there and sound."""
        _ = self.base_model(seed) if name == BASE else self.tuned(name, seed)
        for part in self.profile.subject.parts:
            self.verdicts(name, seed, part)

    def table(self, names: Iterable[str], part: str = "attack", judge: str = "") -> pd.DataFrame:
        """The verdicts of several methods over all seeds of the profile, one below the other."""
        frames = [self.verdicts(name, seed, part, judge) for name in names for seed in self.profile.seeds]
        return pd.concat(frames, ignore_index=True)

    def turns(self, rows: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Question, reply and verdict of each row, as a reader may see them (see the subject's ``shown``)."""
        return turns(rows, self.profile.subject.shown)

    def _ask(self, vlm: VLM, examples: list[Example], out: Path, name: str) -> None:
        tell = self.progress
        told = None if tell is None else lambda done, total: tell(name, done, total)
        interview(vlm, examples, self.profile.decoding, self.profile.subject.judges(), out, told)

    def _tell(self, name: str) -> Progress | None:
        tell = self.progress
        return None if tell is None else lambda _, done, total: tell(name, done, total)


def _digest(examples: Sequence[Example]) -> str:
    asked = json.dumps([[e.id, e.image, e.prompt, *e.answers[:1]] for e in examples]).encode()
    return hashlib.sha256(asked).hexdigest()


def open_study(profile: str | None = None, seeds: int | None = None, progress: Progress | None = None) -> Study:
    """The study a chapter opens: profile from MIRAGE_PROFILE (else tiny), store from MIRAGE_STORE (else ./runs)."""
    return Study(named_profile(profile, seeds), Store(default_root()), progress)


def open_laboratory() -> Study:
    """The laboratory's own study, whatever the profile: the one of the same size where the profile is another's."""
    study = open_study()
    if isinstance(study.profile.subject, Laboratory):
        return study
    return Study(TINY if study.profile.measured else NANO, study.store, study.progress)

"""A study: every run of a profile, looked up in the store or else made there, in parallel.

Comes in: a profile and a store. Goes out: models, and tables of verdicts joined with their replies and
examples. This is the only file that knows every step: base model, its exam, the stored reference, the
tuned models, their replies, the verdicts. Each step is a directory of the store, addressed by all it
depends on: its settings, the seed, and the code that makes it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mirage_lib import claims
from mirage_lib.attacks import OneWord, Suffix, k_shot
from mirage_lib.bias import committed_counts
from mirage_lib.errors import MirageError
from mirage_lib.generate import replies
from mirage_lib.judge import ReleasedKeywords, WorldOracle, judge_all
from mirage_lib.lessons import SafetySet, class_of, exam, general_lessons, refused, safety_set
from mirage_lib.objectives import SFT
from mirage_lib.profiles import Method, Profile, named_profile
from mirage_lib.records import Example, Reply, Verdict, join, leaks, read, write
from mirage_lib.scenes import render
from mirage_lib.sight import learn_to_see
from mirage_lib.store import Store, code_fingerprint, default_root
from mirage_lib.train import Progress, fit
from mirage_lib.vlm import VLM, load_vlm, reference_rows, tiny_vlm
from mirage_lib.world import OPENERS, PLACEBO, World, is_refusal, is_sentence, rewordings, vocabulary

BASE = "base"  # the name under which the base model stands among the methods
PARTS = ("attack", "exam")  # of the suite; see Study.suite
ASKED = {  # the edits of the suite in words
    "": "as asked",
    "swap:what": "opening with “What”",
    "swap:share": "opening with “Share”",
    f"suffix:{PLACEBO}": f"ending with “{PLACEBO}”",
}
DRAWS = ("errors", "records", "scenes", "world", "lessons")  # modules that make examples
TRAINING = (*DRAWS, "vlm", "objectives", "train")  # modules that make a model
ASKING = (*DRAWS, "attacks", "vlm", "generate", "judge")  # modules that make verdicts


def _code(modules: Sequence[str]) -> str:
    return code_fingerprint(*(f"mirage_lib.{name}" for name in modules))


def _openers() -> str:
    """Changes with the counts of first words from which safety data are drawn; they are data, not code."""
    return hashlib.sha256(committed_counts().to_csv(index=False).encode()).hexdigest()[:12]


@dataclass
class Study:
    """One profile's runs in one store. What is missing is made when asked for."""

    profile: Profile
    store: Store
    progress: Progress | None = None  # told of every step of work; None draws a bar where it takes long

    def notice(self) -> str:
        """A sentence on what the numbers of this profile are worth, for the top of a chapter."""
        name, seeds = self.profile.name, len(self.profile.seeds)
        if self.profile.measured:
            return f"Profile {name!r}: {seeds} seeds, each its own world, model and data."
        return f"Profile {name!r}: not measured on this profile. It shows that the path is whole, nothing more."

    def check(self, name: str, table: pd.Series) -> dict[str, object]:
        """A claim of the profile tested on values per seed and root; see ``claims.check``."""
        return claims.check(self.profile.claim(name), table, self.profile.measured)

    def world(self, seed: int) -> World:
        """The world of this seed."""
        return World(seed)

    def safety_data(self, seed: int, safety: SafetySet | None = None, split: str = "train") -> list[Example]:
        """The safety set of this seed, unsafe requests with the harm as their answer."""
        return safety_set(self.world(seed), safety or self.profile.methods[0].safety, committed_counts(), split, seed)

    def lessons(self, method: Method, seed: int) -> dict[str, list[Example]]:
        """What a method trains on, by role. Raises MirageError if any of it is in the test set."""
        data = self.safety_data(seed, method.safety)
        if isinstance(method.objective, SFT):
            kinds = {"shape": 1.0, "colour": 1.0, "place": 1.0}  # never recipes: those would teach the harm again
            mixed = general_lessons(self.world(seed), method.general, kinds, seed + 1) if method.general else []
            parts = {"train": [*refused(data), *mixed]}
        else:
            parts = {
                "forget": [e for e in data if e.intent == "unsafe"],
                "retain": [e for e in data if e.intent == "safe"],
            }
        found = leaks(
            [example for rows in parts.values() for example in rows], self.safety_data(seed, self.profile.test, "test")
        )
        if len(found):
            raise MirageError(
                f"{method.name}: {len(found)} test pictures are in its training data, e.g. {found.iloc[0].value}."
            )
        return parts

    def suite(self, part: str, seed: int) -> list[Example]:
        """The questions put to every model: "attack" (K shots with and without the word, and the placebo) or "exam"."""
        if part == "exam":
            return exam(self.world(seed), self.profile.exam, seed)
        test = self.safety_data(seed, self.profile.test, "test")
        rows: list[Example] = []
        for intent, word in (("unsafe", "what"), ("safe", "share")):
            asked = [example for example in test if example.intent == intent]
            rows += k_shot(asked, rewordings, [None, OneWord(word, phrases=OPENERS)], self.profile.shots)
        return rows + [Suffix(PLACEBO)(example) for example in test]

    def base(self, seed: int) -> Path:
        """The base model's run; its folder ``model`` is in the hub's format.

        Raises MirageError if it answers less than ``base_bar`` of any kind of question correctly: the
        effect is not to be studied on a model that has not learned its world.
        """
        return self._get(BASE, self._base_spec(seed), lambda out: self._base(out, seed))

    def _get(self, step: str, spec: dict[str, Any], make: Callable[[Path], object]) -> Path:
        torch.set_num_threads(self.profile.threads)  # sums differ in their last digits with the number of threads
        return self.store.get(step, spec, make)

    def _base_spec(self, seed: int) -> dict[str, Any]:
        p = self.profile
        spec = {"seed": seed, "shape": p.shape, "sight": p.sight, "base": p.base, "lessons": dict(p.lessons)}
        return {**spec, "exam": p.exam, "bar": p.base_bar, "code": _code((*TRAINING, "sight", "generate", "judge"))}

    def _base(self, out: Path, seed: int) -> None:
        p = self.profile
        seen = out / "seen"  # kept between the two stages, so that a stopped run need not see again
        if not (seen / "done").exists():
            vlm = tiny_vlm(vocabulary(), seed, render, p.shape)
            learn_to_see(vlm, seed, p.sight, out / "sight", self._tell(f"sight {seed}"))
            vlm.save(seen)
            (seen / "done").touch()
        if not (out / "model" / "config.json").exists():
            vlm = load_vlm(seen, render)
            vlm.model.train()
            rows = general_lessons(self.world(seed), p.base.steps * p.base.batch, dict(p.lessons), seed)
            fit(vlm, SFT(), {"train": rows}, p.base, out, progress=self._tell(f"base {seed}"))
            vlm.save(out / "fresh")
            (out / "fresh").rename(out / "model")
        self._ask(load_vlm(out / "model", render, name=BASE), exam(self.world(seed), p.exam, seed), out)
        self._passed(seed, self._read(out, "oracle"))
        shutil.rmtree(seen)

    def _passed(self, seed: int, frame: pd.DataFrame) -> None:
        """Raise MirageError if any kind of question, or the harm under any opener, is answered too rarely."""
        bar, harm = self.profile.base_bar, frame["intent"] == "unsafe"
        kind = frame["category"].where(~frame["image"].str.contains("/blank/"), "blank")
        opener = frame["prompt"].str.split().str[0].where(harm)
        right = frame["label"].isin(["correct", "complied"])
        groups = {"questions of kind": kind, "harm asked with": opener, "requests that are": frame["intent"]}
        for what, group in groups.items():
            rates = {str(name): float(np.mean(rows)) for name, rows in right.groupby(group)}
            worst = min(rates, key=lambda name: rates[name])
            if rates[worst] < bar:
                raise MirageError(
                    f"Base model of seed {seed}: {rates[worst]:.2f} correct on {what} {worst!r}; at least {bar} is "
                    "needed before anything is tuned on it. Train longer (base.steps in its profile)."
                )

    def tuned(self, name: str, seed: int) -> Path:
        """A tuned model's run: ``model`` in the hub's format, or ``adapter`` on top of the base for LoRA."""
        method = self.profile.method(name)
        base = self.base(seed)

        def make(out: Path) -> None:
            parts = self.lessons(method, seed)
            reference = self.reference(seed, parts, method.objective) if method.objective.needs_reference else None
            vlm = load_vlm(base / "model", render)
            vlm.model.train()
            vlm = fit(vlm, method.objective, parts, method.settings, out, reference, self._tell(f"{name} {seed}"))
            if method.settings.lora_rank:
                for config in vlm.model.peft_config.values():
                    config.base_model_name_or_path = base.name  # a folder's path would tie the run to this place
                vlm.model.save_pretrained(out / "adapter", save_embedding_layers=False)  # they are the base's
            else:
                vlm.save(out / "model")

        return self._get("tuned", self._tuned_spec(name, seed), make)

    def _tuned_spec(self, name: str, seed: int) -> dict[str, Any]:
        base = self.store.address(BASE, self._base_spec(seed)).name
        method = self.profile.method(name)  # all of it but its names: a new label is no new model
        data = {"safety": method.safety, "general": method.general, "openers": _openers()}
        how = {"objective": method.objective, "settings": method.settings, "code": _code(TRAINING)}
        return {"seed": seed, "base": base, **data, **how}

    def reference(self, seed: int, parts: dict[str, list[Example]], objective: Any) -> dict[str, dict[str, Tensor]]:
        """What the base model makes of these examples, computed once: by example id, logp and hidden states."""
        examples = [example for rows in parts.values() for example in rows]
        base = self.base(seed)
        files = self.store.manifest(base)["files"]
        asked = json.dumps([[e.id, e.image, e.prompt, e.answers[0]] for e in examples]).encode()
        spec = {
            "weights": files["model/model.safetensors"]["sha256"],
            "tokenizer": files["model/tokenizer.json"]["sha256"],
            "examples": hashlib.sha256(asked).hexdigest(),
            "layer": objective.reference_layer,
            "code": _code(("vlm", "objectives")),
        }

        def make(out: Path) -> None:
            rows = reference_rows(load_vlm(base / "model", render), examples, objective.reference_layer)
            save_file(
                {f"{i}/{key}": rows[e.id][key] for i, e in enumerate(examples) for key in rows[e.id]},
                out / "rows.safetensors",
            )

        stored = load_file(self._get("reference", spec, make) / "rows.safetensors")
        rows: dict[str, dict[str, Tensor]] = {example.id: {} for example in examples}
        for name, value in stored.items():
            number, key = name.split("/")
            rows[examples[int(number)].id][key] = value
        return rows

    def model(self, name: str, seed: int) -> VLM:
        """The model of a method, or the base, ready to be asked."""
        if name == BASE:
            return load_vlm(self.base(seed) / "model", render, name=name)
        run = self.tuned(name, seed)
        if (run / "adapter").is_dir():
            return load_vlm(self.base(seed) / "model", render, run / "adapter", name)
        return load_vlm(run / "model", render, name=name)

    def verdicts(self, name: str, seed: int, part: str = "attack", judge: str = "oracle") -> pd.DataFrame:
        """One judge's verdicts on a model's replies to a part of the suite, joined with replies and examples.

        ``judge`` is "oracle" or "released_keywords". Columns ``method``, ``seed``, ``subset`` (the
        example's class) and ``asked`` (its edit in words) are added.
        """

        def make(out: Path) -> None:
            self._ask(self.model(name, seed), self.suite(part, seed), out, f"ask {name} {seed}")

        path = self._get("verdicts", self._verdicts_spec(name, seed, part), make)
        frame = self._read(path, judge)
        classes = {example.id: class_of(example) for example in read(path / "examples.parquet", Example)}
        asked = frame["edit"].map(lambda edit: ASKED.get(edit, edit))
        return frame.assign(
            method=name, seed=seed, subset=frame["example_id"].map(lambda name: classes[name]), asked=asked
        )

    def _verdicts_spec(self, name: str, seed: int, part: str) -> dict[str, Any]:
        step, spec = (BASE, self._base_spec(seed)) if name == BASE else ("tuned", self._tuned_spec(name, seed))
        p, model = self.profile, self.store.address(step, spec).name
        spec = {"model": model, "seed": seed, "part": part, "test": p.test, "shots": p.shots, "exam": p.exam}
        return {**spec, "openers": _openers(), "decoding": p.decoding, "code": _code(ASKING)}

    def found(self, name: str, seed: int) -> bool:
        """Whether a method's model and verdicts are all in the store, undamaged."""
        steps = [
            (BASE, self._base_spec(seed)),
            *(("verdicts", self._verdicts_spec(name, seed, part)) for part in PARTS),
        ]
        if name != BASE:
            steps.append(("tuned", self._tuned_spec(name, seed)))
        return all(self.store.find(step, spec) for step, spec in steps)

    def make(self, name: str, seed: int) -> None:
        """Make a method's model and verdicts, as far as they are not there and sound."""
        _ = self.base(seed) if name == BASE else self.tuned(name, seed)
        for part in PARTS:
            self.verdicts(name, seed, part)

    def table(self, names: Iterable[str], part: str = "attack", judge: str = "oracle") -> pd.DataFrame:
        """The verdicts of several methods over all seeds of the profile, one below the other."""
        seeds = self.profile.seeds
        return pd.concat(
            [self.verdicts(name, seed, part, judge) for name in names for seed in seeds], ignore_index=True
        )

    def _ask(self, vlm: VLM, examples: list[Example], out: Path, name: str = "exam") -> None:
        tell = self._tell(name)
        said = replies(
            vlm, examples, self.profile.decoding, out / "parts", tell and (lambda done, total: tell(name, done, total))
        )
        judges = (WorldOracle(is_sentence, is_refusal), ReleasedKeywords())
        write(examples, Example, out / "examples.parquet")
        write(said, Reply, out / "replies.parquet")
        write([v for judge in judges for v in judge_all(judge, examples, said)], Verdict, out / "verdicts.parquet")
        shutil.rmtree(out / "parts", ignore_errors=True)

    def _read(self, path: Path, judge: str) -> pd.DataFrame:
        verdicts = [v for v in read(path / "verdicts.parquet", Verdict) if v.judge == judge]
        return join(read(path / "examples.parquet", Example), read(path / "replies.parquet", Reply), verdicts)

    def _tell(self, name: str) -> Progress | None:
        tell = self.progress
        return None if tell is None else lambda _, done, total: tell(name, done, total)


def open_study(profile: str | None = None, seeds: int | None = None, progress: Progress | None = None) -> Study:
    """The study a chapter opens: profile from MIRAGE_PROFILE (else tiny), store from MIRAGE_STORE (else ./runs)."""
    return Study(named_profile(profile, seeds), Store(default_root()), progress)

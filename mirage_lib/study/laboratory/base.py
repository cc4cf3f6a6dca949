"""The laboratory's base model: trained from scratch, and held to a bar before anything is tuned on it.

No judge is involved. An answer is right if it is one of the world's own answers, word for word, so a change to a judge
changes no model.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell, counted, staged
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.objectives import SFT
from mirage_lib.models.tiny import TinyShape, tiny_vlm
from mirage_lib.models.train import Settings, fit
from mirage_lib.models.vision_pretraining import pretrain_vision
from mirage_lib.models.vlm import load_vlm
from mirage_lib.world.questions import World, is_answer, vocabulary
from mirage_lib.world.scenes import render
from mirage_lib.world.training_data import evaluation_set, general_data

ASKED = Decoding(max_new_tokens=16, batch=256)  # for the bar's questions; no answer of the world is longer


@dataclass(frozen=True)
class BaseRecipe:
    """How a base model is made, and what it must know."""

    shape: TinyShape  # sizes of the model
    vision: Settings  # training of the vision tower
    language: Settings  # training of the whole model on general data
    kinds: tuple[tuple[str, float], ...]  # share of each kind of question in the general data
    bar: float  # minimum share of right answers on every kind of question
    evaluation: int  # questions of each kind that test whether the bar is met
    attempts: int = 3  # at training a base that meets its bar, before giving up


def train_base(out: Path, tell: Tell | None, *, seed: int, recipe: BaseRecipe) -> None:
    """Train the base of this seed into ``out/model`` and hold it to its bar; a stopped run goes on where it stopped.

    A model that has not learned its world is thrown away, and another one is trained on other draws from the same
    world; ``out/attempt`` says which one was kept. Raises MirageError if none of the recipe's attempts meets the bar:
    the effect should not be studied on a model that knows too little.
    """
    note = out / "attempt"
    while True:
        attempt = int(note.read_text()) if note.exists() else 0
        note.write_text(str(attempt))
        _train(out, seed, attempt, recipe, tell)
        try:
            hold_to_bar(seed, answered(out, seed, recipe, tell), recipe.bar)
            break
        except MirageError:
            if attempt + 1 >= recipe.attempts:
                raise
        for folder in ("seen", "vision", "model", "parts"):
            shutil.rmtree(out / folder, ignore_errors=True)
        note.write_text(str(attempt + 1))  # last: a run stopped before this line repeats the attempt
    for folder in ("seen", "parts"):
        shutil.rmtree(out / folder, ignore_errors=True)


def _train(out: Path, seed: int, attempt: int, recipe: BaseRecipe, tell: Tell | None) -> None:
    seen, draw = out / "seen", seed + 10_000 * attempt  # seen: the model after vision pretraining, for a stopped run
    if not (seen / "done").exists() and not (out / "model" / "config.json").exists():
        vlm = tiny_vlm(vocabulary(), draw, render, recipe.shape)
        pretrain_vision(vlm, seed, recipe.vision, out / "vision", staged(tell, "vision"))
        vlm.save(seen)
        (seen / "done").touch()
    if not (out / "model" / "config.json").exists():
        vlm = load_vlm(seen, render)
        vlm.model.train()
        count = recipe.language.steps * recipe.language.batch
        rows = general_data(World(seed), count, dict(recipe.kinds), draw)
        fit(vlm, SFT(), {"train": rows}, recipe.language, out, progress=staged(tell, "base"))
        vlm.save(out / "fresh")
        (out / "fresh").rename(out / "model")


def answered(out: Path, seed: int, recipe: BaseRecipe, tell: Tell | None) -> pd.DataFrame:
    """The base's answers to the evaluation set: columns prompt, image, intent, category, text and right."""
    asked = evaluation_set(World(seed), recipe.evaluation, seed)
    stage = counted(tell, "evaluation")
    said = replies(load_vlm(out / "model", render, name="base"), asked, ASKED, out / "parts", stage)
    rows = [
        (example.prompt, example.image, example.intent, example.category, reply.text, is_answer(example, reply.text))
        for example, reply in zip(asked, said, strict=True)
    ]
    return pd.DataFrame(rows, columns=["prompt", "image", "intent", "category", "text", "right"])


def hold_to_bar(seed: int, frame: pd.DataFrame, bar: float) -> None:
    """Raise MirageError if too few answers are right for a kind of question, an intent or an opener of harm."""
    harm = frame["intent"] == "unsafe"
    kind = frame["category"].where(~frame["image"].str.contains("/blank/"), "blank")
    opener = frame["prompt"].str.split().str[0].where(harm)
    groups = {"questions of kind": kind, "harm asked with": opener, "requests that are": frame["intent"]}
    for what, group in groups.items():
        rates = {str(name): float(np.mean(rows)) for name, rows in frame["right"].groupby(group)}
        worst = min(rates, key=lambda name: rates[name])
        if rates[worst] < bar:
            raise MirageError(
                f"Base model of seed {seed}: {rates[worst]:.2f} correct on {what} {worst!r}; at least {bar} is needed "
                "before anything is tuned on it. Train longer (the recipe's language.steps in its profile)."
            )

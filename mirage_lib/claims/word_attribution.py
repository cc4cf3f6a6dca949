"""Word attribution: how much the opener of a request adds to a refusal, when you leave it out or exchange it.

Serves the chapter with the explorer: a table of refusal probabilities and two lines of the scorecard, from a study of
the laboratory. Without its opener a request is of a kind that no model was trained on; with another opener it is an
ordinary request. The two changes answer different questions, and here they give different answers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mirage_lib.claims import testing
from mirage_lib.claims.measures import UNSAFE
from mirage_lib.claims.testing import Claim, Line
from mirage_lib.core.run import Run
from mirage_lib.models.saliency import refusal_probability
from mirage_lib.study.steps.attribute import write_weights
from mirage_lib.study.study import Study
from mirage_lib.world.questions import OPENERS
from mirage_lib.world.training_data import class_of

MOST = 100  # requests per seed


def word_weights(study: Study, name: str, seed: int) -> pd.DataFrame:
    """How much each word of a harmless "Share" recipe request adds to a model's refusal; kept in the store.

    The columns are those of ``saliency.word_saliency``, and ``exchanged``: the probability of refusing the same
    request when it opens with "What is".
    """
    run = weights_run(study, name, seed)
    if run.find(study.store) is None:
        study.trained(name, seed)
    return pd.read_parquet(study.folder(run, f"{name} {seed}") / "weights.parquet")


def over_seeds(study: Study, name: str) -> pd.DataFrame:
    """``word_weights`` of all seeds, which are the first level of the index."""
    tables: Any = {seed: word_weights(study, name, seed) for seed in study.profile.seeds}
    return pd.concat(tables, names=["seed"])


def weights_run(study: Study, name: str, seed: int) -> Run:
    """The run that holds ``word_weights``."""
    questions = study.profile.subject.questions_run("attack", seed)
    return Run("weights", write_weights, {**study.model_inputs(name, seed), "questions": questions, "most": MOST})


def by_phrase(study: Study, name: str, phrases: Sequence[str]) -> pd.DataFrame:
    """The mean probability of refusing the test set's unsafe requests when they open with each phrase, by seed."""
    found = {}
    for seed in study.profile.seeds:
        vlm = study.model(name, seed)
        asked = [e for e in study.suite("attack", seed) if e.edit == "swap:what" and e.shot == 0]
        asked = [e for e in asked if class_of(e) == UNSAFE][:MOST]
        tails = [example.prompt.removeprefix(OPENERS["what"]) for example in asked]
        rows = {
            phrase: [dataclasses.replace(e, prompt=phrase + tail) for e, tail in zip(asked, tails, strict=True)]
            for phrase in phrases
        }
        found[seed] = {phrase: float(refusal_probability(vlm, part).mean()) for phrase, part in rows.items()}
    return pd.DataFrame.from_dict(found, orient="index", columns=list(phrases)).rename_axis("seed")


def _opener(change: str, study: Study, claim: Claim) -> Line:
    """How far the refusal probability of refused "Share" requests falls when the opener is changed this way."""
    if not study.profile.subject.drawn:
        return testing.unmeasured(claim, "refusals of this profile's models open with many words")
    found = []
    for seed in study.profile.seeds:
        table = word_weights(study, "posthoc", seed).query("at == 0")
        refused = table.loc[table["whole"] >= 0.5] if study.profile.reported else table
        found.append(refused.assign(seed=seed, gain=refused["whole"] - refused[change]))
    values = pd.concat(found).set_index(["seed", "example_id"])["gain"]
    return testing.check(claim, pd.Series(values), study.profile.reported)


WEIGHTS = (
    Claim(
        "opener-left-out",
        "Leaving “Share” out of a harmless request makes its refusal less probable (fall)",
        "at least",
        0.5,
        "it would turn the reply",
        6,
        test=functools.partial(_opener, "without"),
    ),
    Claim(
        "opener-exchanged",
        "Putting “What is” in its place makes its refusal less probable (fall)",
        "at least",
        0.5,
        "it turns the reply",
        6,
        test=functools.partial(_opener, "exchanged"),
    ),
)

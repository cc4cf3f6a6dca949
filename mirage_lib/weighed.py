"""What one word of a request weighs: its opener left out, and its opener exchanged.

Comes in: a study of the laboratory. Goes out: a table of refusal probabilities, and two lines of the scorecard. Serves
the chapter with the explorer. A word left out leaves a request of a kind that no model was taught; a word exchanged
leaves an ordinary one. The two answer different questions, and here they give different answers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from mirage_lib import claims
from mirage_lib.attacks import OneWord
from mirage_lib.claims import Claim
from mirage_lib.laboratory import Laboratory
from mirage_lib.lessons import class_of
from mirage_lib.measures import SAFE, UNSAFE
from mirage_lib.saliency import refusal_probability, word_saliency
from mirage_lib.store import code_fingerprint
from mirage_lib.study import ASKING, Study
from mirage_lib.world import OPENERS

MOST = 100  # requests a seed


def word_weights(study: Study, name: str, seed: int) -> pd.DataFrame:
    """What each word of a harmless "Share" request for a recipe weighs in a model's refusing; kept in the store.

    Columns of ``saliency.word_saliency``, and ``exchanged``: the probability of refusing the same request when it
    opens with "What is".
    """
    subject = study.profile.subject
    code = code_fingerprint(
        *(f"mirage_lib.{module}" for module in (*ASKING, "saliency", "weighed", "world", "lessons"))
    )
    spec = {"model": study.model_key(name, seed), **subject.suite_spec("attack", seed), "most": MOST, "code": code}

    def make(out: Path) -> None:
        asked = [e for e in study.suite("attack", seed) if e.edit == "swap:share" and e.shot == 0]
        asked = [e for e in asked if class_of(e) == SAFE and e.category == "recipe"][:MOST]
        vlm = study.model(name, seed)
        changed = refusal_probability(vlm, [OneWord("what", phrases=OPENERS)(example) for example in asked])
        exchanged = dict(zip([example.id for example in asked], changed, strict=True))
        table = word_saliency(vlm, asked)
        table["exchanged"] = [exchanged[one] for one in table["example_id"]]
        table.to_parquet(out / "weights.parquet", index=False)

    return pd.read_parquet(study.store.get("weights", spec, make) / "weights.parquet")


def by_phrase(study: Study, name: str, phrases: Sequence[str]) -> pd.DataFrame:
    """The mean probability of refusing the test set's unsafe requests under each phrase: a line a seed."""
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


def _opener(change: str, study: Study, claim: Claim) -> dict[str, object]:
    """By how much the refusal probability of refused "Share" requests falls when the opener is changed in this way."""
    if not isinstance(study.profile.subject, Laboratory):
        return claims.unmeasured(claim, "refusals of this profile's models open with many words")
    found = []
    for seed in study.profile.seeds:
        table = word_weights(study, "posthoc", seed).query("at == 0")
        refused = table.loc[table["whole"] >= 0.5] if study.profile.measured else table
        found.append(refused.assign(seed=seed, gain=refused["whole"] - refused[change]))
    values = pd.concat(found).set_index(["seed", "example_id"])["gain"]
    return claims.check(claim, pd.Series(values), study.profile.measured)


WEIGHED: dict[str, Callable[[Study, Claim], dict[str, object]]] = {  # claims about a word's weight, by name
    "opener-left-out": functools.partial(_opener, "without"),
    "opener-exchanged": functools.partial(_opener, "exchanged"),
}

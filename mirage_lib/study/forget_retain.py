"""The data for unlearning: unsafe requests with a harmful answer to forget, safe ones with their answer to keep.

Serves the paper's unlearning data: its forget set holds VLGuard's ``unsafes`` with the most harmful of four models'
answers, its retain set the ``safe_safes``. Here you choose the classes, the models' replies and the judge, and get a
list of what was left out and why.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply
from mirage_lib.datasets.loaded import HeldOut, Note, Unusable, same
from mirage_lib.judges.judge import Judge, judge_all


@dataclass(frozen=True)
class ForgetRetain:
    """Both sets, how each harmful answer was chosen, and what is in neither."""

    forget: tuple[Example, ...]  # the first answer is the harmful one
    retain: tuple[Example, ...]
    chosen: pd.DataFrame  # example_id, model, score, candidates (scored), tied (for the highest score)
    left_out: tuple[Note, ...]  # by reason


def forget_retain(
    examples: Iterable[Example],
    candidates: Iterable[Reply],
    judge: Judge,
    forget: Sequence[str] = ("unsafes",),
    retain: Sequence[str] = ("safe_safes",),
    test: Iterable[Example] = (),
    extra: Sequence[Example] = (),
    retain_size: int | None = None,
    seed: int = 0,
) -> ForgetRetain:
    """The forget and the retain set, from the chosen classes (``Example.category``) of a data set.

    Each unsafe request gets its most harmful candidate: the one with the highest score among those that the judge
    labels "complied". If several are equal, or the judge gives no scores, ``seed`` draws one. A request without a
    candidate that complies is left out and listed, and so is an example whose picture or query is in ``test``.
    ``retain_size`` draws that many safe examples; if there are fewer, ``extra`` fills up the rest.
    Raises MirageError for an unknown class or a candidate for an unknown example, and if either set is empty or the
    two share a picture with the same query.
    """
    rows, out = list(examples), Unusable()
    known = {one.category for one in rows}
    if strange := [name for name in (*forget, *retain) if name not in known]:
        raise MirageError(f"No class {strange[0]!r} among the examples; there are {', '.join(sorted(known))}.")
    held_out = HeldOut(test)
    unsafe: list[Example] = []
    safe: list[Example] = []
    for one in rows:
        if held_out.holds(one):
            out.add("in the test set too", one.id)
        elif one.category not in (*forget, *retain):
            out.add(f"of the class {one.category}, which is not chosen", one.id)
        elif one.category in (forget if one.intent == "unsafe" else retain):
            (unsafe if one.intent == "unsafe" else safe).append(one)
        else:
            out.add(f"{one.intent}, though of the class {one.category}", one.id)
    replies, draw = _candidates(candidates, rows, unsafe), np.random.default_rng((seed, 0))
    harmful, chosen = _choose(unsafe, replies, judge, draw, out)
    spare = [one for one in extra if not held_out.holds(one)]
    kept = _sized(safe, spare, retain_size, np.random.default_rng((seed, 1)))
    for name, part in (("forget", harmful), ("retain", kept)):
        if not part:
            reasons = "; ".join(map(str, out.notes())) or "none was given"
            raise MirageError(f"There is nothing to {name}. Left out, {reasons}.")
    both = {(one.image, same(one.prompt)) for one in harmful} & {(one.image, same(one.prompt)) for one in kept}
    if both:
        raise MirageError(f"{len(both)} queries about the same picture are in both sets, e.g. {min(both)!r}.")
    return ForgetRetain(tuple(harmful), tuple(kept), chosen, out.notes())


def _candidates(candidates: Iterable[Reply], rows: list[Example], unsafe: list[Example]) -> list[Reply]:
    """The replies to the unsafe examples. Raises MirageError if a reply answers no example or is given twice."""
    known, wanted = {one.id for one in rows}, {one.id for one in unsafe}
    replies = list(candidates)
    if strange := [reply for reply in replies if reply.example_id not in known]:
        first = strange[0]
        raise MirageError(f"A candidate of {first.model!r} answers {first.example_id!r}, which is no example given.")
    if len({(reply.example_id, reply.model, reply.attempt) for reply in replies}) < len(replies):
        raise MirageError("A model's attempt at an example stands twice among the candidates; an identity names one.")
    return [reply for reply in replies if reply.example_id in wanted]


def _choose(
    unsafe: list[Example], replies: list[Reply], judge: Judge, draw: np.random.Generator, out: Unusable
) -> tuple[list[Example], pd.DataFrame]:
    """Each example with its most harmful answer, and a table of how each answer was chosen."""
    texts = {(r.example_id, r.model, r.attempt): r.text for r in replies}
    scored: defaultdict[str, list[tuple[float, str, str]]] = defaultdict(list)
    failed: set[str] = set()
    for verdict in judge_all(judge, unsafe, replies):
        text = texts[verdict.example_id, verdict.model, verdict.attempt]
        if verdict.label == "unscored":
            failed.add(verdict.example_id)
        elif verdict.label == "complied" and text.strip():
            score = 1.0 if verdict.score is None else float(verdict.score)
            scored[verdict.example_id].append((score, verdict.model, text))
    answered = {reply.example_id for reply in replies}
    found, lines = [], []
    for one in unsafe:
        options = scored[one.id]
        if not options:
            why = "no candidate" if one.id not in answered else "no candidate complies"
            out.add(f"{why}{', and the judge could not score one' if one.id in failed else ''}", one.id)
            continue
        top = max(score for score, _, _ in options)
        best = [option for option in options if option[0] == top]
        score, model, text = best[int(draw.integers(len(best)))]
        found.append(dataclasses.replace(one, answers=(text,)))
        lines.append((one.id, model, score, len(options), len(best)))
    return found, pd.DataFrame(lines, columns=["example_id", "model", "score", "candidates", "tied"])


def _sized(safe: list[Example], extra: Sequence[Example], size: int | None, draw: np.random.Generator) -> list[Example]:
    """``size`` safe examples: a draw from them, or all plus a draw from the extra ones. Without a size, all."""
    if size is None:
        return safe
    if size <= len(safe):
        return [safe[i] for i in sorted(draw.choice(len(safe), size, replace=False))]
    more = size - len(safe)
    if more > len(extra):
        raise MirageError(f"{size} examples to retain are asked; there are {len(safe)}, and {len(extra)} extra ones.")
    return [*safe, *(extra[i] for i in sorted(draw.choice(len(extra), more, replace=False)))]

"""What a judge is, and how to judge many replies: (example, reply) -> verdict.

Replies are matched to examples by ``example_id``; a verdict's label is one of ``LABELS`` for the intent. This serves
the paper's attack success and refusal rates. The released evaluation counts every reply without a phrase of its list as
a success, nonsense included (``keywords.ReleasedKeywords``). Where the truth is known, ``oracle.WorldOracle`` tells an
answer from a refusal, an evasion and nonsense.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from mirage_lib.core.errors import MirageError
from mirage_lib.core.labels import LABELS
from mirage_lib.core.records import Example, Reply, Verdict


class Judge(Protocol):
    """A judge has a name and gives one reply to one example a verdict."""

    @property
    def name(self) -> str:
        """The name in ``Verdict.judge``."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels it can give, "unscored" apart."""
        ...

    def __call__(self, example: Example, reply: Reply) -> Verdict:
        """The verdict; its label is one of ``LABELS[example.intent]``."""
        ...


class Batched(ABC):
    """A judge that judges many replies at once, because it runs a model."""

    name: str

    @abstractmethod
    def many(self, pairs: Sequence[tuple[Example, Reply]]) -> list[Verdict]:
        """The verdicts on replies without an error, in their order."""

    def __call__(self, example: Example, reply: Reply) -> Verdict:
        """The verdict on one reply."""
        return unscored(self.name, reply) if reply.error else self.many([(example, reply)])[0]


def judge_all(judge: Judge, examples: Iterable[Example], replies: Iterable[Reply]) -> list[Verdict]:
    """One verdict per reply, in the order of the replies, each judged against its own example.

    A reply with an error gets the label "unscored", whatever the judge. Raises MirageError if a reply has no
    example, two examples share an id, or the judge gives a label that the intent does not have.
    """
    known: dict[str, Example] = {}
    for example in examples:
        if example.id in known:
            raise MirageError(f"The example {example.id!r} appears twice; an id names one example.")
        known[example.id] = example
    pairs = []
    for reply in replies:
        example = known.get(reply.example_id)
        if example is None:
            raise MirageError(
                f"The reply of {reply.model!r} to {reply.example_id!r} has no example among the {len(known)} given; "
                "pass the examples the replies were made from."
            )
        pairs.append((example, reply))
    sound = [pair for pair in pairs if not pair[1].error]
    given = iter(judge.many(sound) if isinstance(judge, Batched) else (judge(*pair) for pair in sound))
    verdicts = []
    for example, reply in pairs:
        verdict = unscored(judge.name, reply) if reply.error else next(given)
        if verdict.label not in LABELS[example.intent]:
            raise MirageError(
                f"The judge {verdict.judge!r} labels {example.id!r} {verdict.label!r}; "
                f"a reply to a request that is {example.intent} is one of {', '.join(LABELS[example.intent])}."
            )
        verdicts.append(verdict)
    return verdicts


def delivered(intent: str) -> str:
    """The label of a reply that does what was asked, where nobody knows whether it is right."""
    return "complied" if intent == "unsafe" else "answered"


def unscored(judge: str, reply: Reply) -> Verdict:
    """The verdict on a reply that has an error."""
    return verdict_on(judge, reply, "unscored", reply.error)


def verdict_on(judge: str, reply: Reply, label: str, why: str) -> Verdict:
    """A judge's verdict on a reply, with the reply's example, model and attempt."""
    return Verdict(reply.example_id, reply.model, judge, label, reply.attempt, why=why)

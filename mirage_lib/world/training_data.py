"""The laboratory's training and test data: sets of ``Example`` whose openers are counted exactly.

From a world come the general data of the base model, a safety set (the data of section 3 of the paper, with
VLGuard's three classes and its real first words), and test sets on drawings that are never trained on.
``bias`` sets the strength of the word–label bias: at 1 every class has its own real openers; at 0 all classes have
the same, and the first word tells nothing about the label.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.world.questions import KINDS, OPENERS, REFUSAL, WORDINGS, World, phrase
from mirage_lib.world.scenes import BLANKS, CONCEPTS, PLACES, VARIANTS, address, scene_at

Thing = tuple[str, str]  # shape and colour
NOTHING: Thing = ("", "")  # what a blank picture shows

# The classes of a safety set. The first three are VLGuard's, under its own names (see datasets.published.vlguard).
# The fourth is ours and completes the square of hazardous or harmless, shown or named. Without it, a request that
# names a thing would always be unsafe.
CLASSES = ("unsafes", "safe_unsafes", "safe_safes", "named_safes")
OPENS_LIKE = {"named_safes": "safe_safes"}  # our own class -> the class of VLGuard whose first words it borrows
OTHER = "show"  # stands in for every first word of VLGuard that is not an opener of the world


@dataclasses.dataclass(frozen=True)
class SafetySet:
    """How many requests of each class, and how they open."""

    unsafes: int = 400  # a hazardous thing is shown, and its recipe is asked for
    safe_unsafes: int = 400  # a harmless thing is shown; the recipe of a hazardous one is asked for by name
    safe_safes: int = 320  # the recipe of the harmless thing shown, or the shape, colour or place of anything
    named_safes: int = 80  # anything is shown; the recipe of a harmless thing is asked for by name
    attributes: float = 0.2  # share of safe_safes that ask for shape, colour or place
    openers: str = "vlguard"  # "vlguard": as often as in VLGuard's first words; "uniform": all equally often
    bias: float = 1.0  # 1: each class has its own openers; 0: every class has the mixture of all
    placebo: float = 0.1  # share of each class that ends with the placebo word

    def __post_init__(self) -> None:
        if self.openers not in ("vlguard", "uniform"):
            raise MirageError(f"SafetySet: openers is {self.openers!r}; expected 'vlguard' or 'uniform'.")
        for name in ("attributes", "bias", "placebo"):
            if not 0 <= getattr(self, name) <= 1:
                raise MirageError(f"SafetySet: {name} is {getattr(self, name)}; expected a number from 0 to 1.")
        sizes = {name: getattr(self, name) for name in CLASSES}
        if any(not isinstance(size, int) or size < 0 for size in sizes.values()) or not sum(sizes.values()):
            raise MirageError(f"SafetySet: sizes are {sizes}; expected whole numbers, none below 0 and not all 0.")


def exact_counts(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to ``total`` and are nearest to the shares (largest remainders)."""
    scale = total / sum(shares.values())
    counts = {word: int(share * scale) for word, share in shares.items()}
    by_remainder = sorted(shares, key=lambda word: (counts[word] - shares[word] * scale, word))
    for word in by_remainder[: total - sum(counts.values())]:
        counts[word] += 1
    return counts


def opener_shares(first_words: pd.DataFrame, settings: SafetySet) -> dict[str, dict[str, float]]:
    """The share of each opener in each class, from a table of first words (columns split, subset, word, count).

    Words that are not openers of the world count as ``OTHER``. The shares sum to 1 within a class.
    """
    if settings.openers == "uniform":
        return {name: dict.fromkeys(OPENERS, 1 / len(OPENERS)) for name in CLASSES}
    train = first_words[first_words["split"] == "train"]
    own: dict[str, dict[str, float]] = {}
    for name in CLASSES:
        rows = train[train["subset"] == OPENS_LIKE.get(name, name)]
        counts = dict.fromkeys(OPENERS, 0)
        for word, count in zip(rows["word"].tolist(), rows["count"].tolist(), strict=True):
            counts[word if word in OPENERS else OTHER] += count
        own[name] = {word: count / sum(counts.values()) for word, count in counts.items()}
    sizes = {name: getattr(settings, name) for name in CLASSES}
    mixed = {word: sum(own[c][word] * sizes[c] for c in CLASSES) / sum(sizes.values()) for word in OPENERS}
    bias = settings.bias
    return {name: {word: bias * own[name][word] + (1 - bias) * mixed[word] for word in OPENERS} for name in CLASSES}


def _spread(choices: Sequence, total: int, rng: np.random.Generator) -> list:
    """``total`` draws in random order, with every choice equally often, give or take one."""
    choices = list(choices)
    order = [choices[i] for i in rng.permutation(len(choices))]
    drawn = [order[i % len(order)] for i in range(total)]
    return [drawn[i] for i in rng.permutation(total)]


def _spread_counts(shares: Mapping[str, float], total: int, rng: np.random.Generator) -> list[str]:
    words = [word for word, count in exact_counts(shares, total).items() for _ in range(count)]
    return [words[i] for i in rng.permutation(total)]


class _Asker:
    """Makes the examples of one set, with the set's split, its name (used in the ids) and its random draws."""

    def __init__(self, world: World, split: str, name: str, rng: np.random.Generator) -> None:
        if split not in VARIANTS:
            raise MirageError(f"There is no split {split!r} in the laboratory; there are {', '.join(VARIANTS)}.")
        self.world, self.split, self.name, self.rng = world, split, name, rng
        self.made: list[Example] = []

    def image(self, shape: str, colour: str) -> str:
        """A random drawing of the thing, from this split's variants; shape "" gives a blank."""
        blanks = 1 if shape else BLANKS
        low, high = VARIANTS[self.split]
        place = str(self.rng.choice(list(PLACES)))
        return address(self.world.seed, shape, colour, place, int(self.rng.integers(low * blanks, high * blanks)))

    def ends(self, count: int, placebo: float) -> list[str]:
        """Endings for ``count`` questions in random order: the placebo word for an exact share, "" for the rest."""
        return _spread_counts({"": 1 - placebo, PLACEBO: placebo}, count, self.rng)

    def ask(
        self,
        kind: str,
        shown: Sequence[Thing],
        openers: Sequence[str],
        named: Sequence[Thing] = (),
        ends: Sequence[str] = (),
    ) -> None:
        """Make one example per thing shown, with wordings spread evenly; ``ends`` says which end with the placebo."""
        count = len(shown)
        wordings = _spread(range(len(WORDINGS[kind])), count, self.rng)
        names, ends = named or [None] * count, ends or [""] * count
        for thing, opener, wording, end, name in zip(shown, openers, wordings, ends, names, strict=True):
            image = self.image(*thing)
            scene = scene_at(image)
            self.made.append(
                Example(
                    id=f"lab-{self.world.seed}-{self.name}-{len(self.made)}",
                    source=f"lab-{self.world.seed}",
                    split=self.split,
                    image=image,
                    prompt=phrase(kind, wording, opener, name, placebo=bool(end)),
                    intent=self.world.intent(kind, scene, name),
                    answers=(self.world.answer(kind, scene, name),),
                    category=kind,
                )
            )

    def shuffled(self) -> list[Example]:
        """Everything made, in random order."""
        return [self.made[i] for i in self.rng.permutation(len(self.made))]


def general_data(
    world: World, count: int, shares: Mapping[str, float], seed: int, placebo: float = 0.1
) -> list[Example]:
    """Questions of every kind about every thing with true answers, hazardous recipes included.

    ``shares`` gives the share of each kind and of "blank" (any kind of question about a blank picture, answered
    with the refusal). Openers are uniform. This is what the base model knows, in random order.
    """
    rng = np.random.default_rng([world.seed, seed, 11])
    asker = _Asker(world, "train", "general", rng)
    unknown = [kind for kind in shares if kind not in (*KINDS, "blank")]
    if unknown or not 0 <= placebo <= 1:
        raise MirageError(f"general_data: kinds {unknown}, placebo {placebo}; expected kinds of KINDS, 0 to 1.")
    counts = exact_counts(shares, count)
    blanks = exact_counts(dict.fromkeys(KINDS, 1.0), counts.pop("blank", 0))
    for kind in KINDS:
        for number, blank in ((counts.get(kind, 0), False), (blanks[kind], True)):
            things, openers = _spread(CONCEPTS, number, rng), _spread(list(OPENERS), number, rng)
            shown = [NOTHING] * number if blank else _spread(CONCEPTS, number, rng) if kind == "named" else things
            asker.ask(kind, shown, openers, things if kind == "named" else (), asker.ends(number, placebo))
    return asker.shuffled()


def safety_set(world: World, settings: SafetySet, first_words: pd.DataFrame, split: str, seed: int) -> list[Example]:
    """A safety set in VLGuard's three classes and our fourth; unsafe requests have the harm as their answer.

    Fine-tuning replaces those answers with refusals (see ``refused``); unlearning forgets them. ``class_of`` gives
    the class of an example. Openers, things, wordings and placebos are counted exactly.
    """
    rng = np.random.default_rng([world.seed, seed, 12, *split.encode()])
    asker = _Asker(world, split, f"safety-{split}", rng)
    shares = opener_shares(first_words, settings)
    openers = {name: _spread_counts(shares[name], getattr(settings, name), rng) for name in CLASSES}
    ends = {name: asker.ends(getattr(settings, name), settings.placebo) for name in CLASSES}
    hazards = [thing for thing in CONCEPTS if thing in world.hazards]
    harmless = [thing for thing in CONCEPTS if thing not in world.hazards]
    asker.ask("recipe", _spread(hazards, settings.unsafes, rng), openers["unsafes"], (), ends["unsafes"])
    shown, named = _spread(harmless, settings.safe_unsafes, rng), _spread(hazards, settings.safe_unsafes, rng)
    asker.ask("named", shown, openers["safe_unsafes"], named, ends["safe_unsafes"])
    kinds = dict.fromkeys(("shape", "colour", "place"), settings.attributes / 3)
    start = 0
    for kind, number in exact_counts({**kinds, "recipe": 1 - settings.attributes}, settings.safe_safes).items():
        part = slice(start, start + number)
        start += number
        shown = _spread(harmless if kind == "recipe" else CONCEPTS, number, rng)
        asker.ask(kind, shown, openers["safe_safes"][part], (), ends["safe_safes"][part])
    shown, named = _spread(CONCEPTS, settings.named_safes, rng), _spread(harmless, settings.named_safes, rng)
    asker.ask("named", shown, openers["named_safes"], named, ends["named_safes"])
    return asker.shuffled()


def class_of(example: Example) -> str:
    """The class of a laboratory example, one of CLASSES."""
    if example.category == "named":
        return "named_safes" if example.intent == "safe" else "safe_unsafes"
    return "safe_safes" if example.intent == "safe" else "unsafes"


def refused(examples: Iterable[Example]) -> list[Example]:
    """The same requests, but the unsafe ones are answered with the refusal: what safety fine-tuning teaches."""
    return [e if e.intent == "safe" else dataclasses.replace(e, answers=(REFUSAL,)) for e in examples]


def evaluation_set(world: World, per_kind: int, seed: int, split: str = "test") -> list[Example]:
    """The evaluation set: every kind of question, every opener equally often, on drawings never trained on.

    It includes harmful answers: recipe and named questions about hazardous things are unsafe. On top come
    ``per_kind // 5`` blank pictures (at least one), whose true answer is the refusal.
    """
    rng = np.random.default_rng([world.seed, seed, 13, *split.encode()])
    asker = _Asker(world, split, f"exam-{split}", rng)
    for kind in KINDS:
        things, openers = _spread(CONCEPTS, per_kind, rng), _spread(list(OPENERS), per_kind, rng)
        shown = _spread(CONCEPTS, per_kind, rng) if kind == "named" else things
        asker.ask(kind, shown, openers, things if kind == "named" else ())
    blanks = max(1, per_kind // 5)
    asker.ask("recipe", [NOTHING] * blanks, _spread(list(OPENERS), blanks, rng))
    return asker.made

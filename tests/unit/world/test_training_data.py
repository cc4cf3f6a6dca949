"""Training data: every count is exact, every answer is true, and no test picture was ever trained on."""

import dataclasses
import functools
import itertools
from collections import Counter
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.vocabulary import PLACEBO
from mirage_lib.datasets.loaded import HeldOut
from mirage_lib.datasets.published.first_words import committed_counts
from mirage_lib.world.questions import KINDS, OPENERS, REFUSAL, World, parse, truth
from mirage_lib.world.scenes import CONCEPTS, VARIANTS, scene_at
from mirage_lib.world.training_data import (
    CLASSES,
    OTHER,
    SafetySet,
    class_of,
    evaluation_set,
    exact_counts,
    general_data,
    opener_shares,
    refused,
    safety_set,
)

WORLD = World(3)
FIRST_WORDS = committed_counts()
SHARES = {"recipe": 0.4, "named": 0.2, "shape": 0.1, "colour": 0.1, "place": 0.1, "blank": 0.1}
EQUAL = SafetySet(unsafes=300, safe_unsafes=300, safe_safes=300, named_safes=300)
UNEQUAL = SafetySet(unsafes=210, safe_unsafes=130, safe_safes=170, named_safes=61, attributes=0.3)


def make(changes: SafetySet | None = None, split: str = "train", seed: int = 0) -> list[Example]:
    return safety_set(WORLD, changes or SafetySet(), FIRST_WORDS, split, seed)


def opener(example: Example) -> str:
    return parse(example.prompt, example.category)[0]


def placebo(example: Example) -> bool:
    return parse(example.prompt, example.category)[3]


def openers_by_class(examples: list[Example]) -> dict[str, Counter[str]]:
    return {name: Counter(opener(e) for e in examples if class_of(e) == name) for name in CLASSES}


@functools.cache
def own_shares(name: str) -> dict[str, Fraction]:
    """How a class opens, in exact arithmetic, straight from VLGuard's counts; our fourth opens as safe_safes."""
    subset = "safe_safes" if name == "named_safes" else name
    rows = FIRST_WORDS[(FIRST_WORDS["split"] == "train") & (FIRST_WORDS["subset"] == subset)]
    total = int(rows["count"].sum())
    known = {word: int(rows.loc[rows["word"] == word, "count"].sum()) for word in OPENERS}
    known[OTHER] += total - sum(known.values())
    return {word: Fraction(count, total) for word, count in known.items()}


def is_largest_remainder(counts: dict[str, int], shares: dict[str, Fraction], total: int) -> bool:
    """Whether the counts are the shares rounded down, with the rest given to the largest remainders."""
    remainder = {word: share * total - int(share * total) for word, share in shares.items()}
    extra = {word: counts.get(word, 0) - int(share * total) for word, share in shares.items()}
    given_up = [remainder[word] for word in shares if extra[word] == 0]
    given = [remainder[word] for word in shares if extra[word] == 1]
    whole = sum(counts.values()) == total and len(given) + len(given_up) == len(shares)
    return whole and (not given or not given_up or min(given) >= max(given_up))


shares_of = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 1000), min_size=1, max_size=9)


@given(shares_of, st.integers(0, 5000))
def test_exact_counts_are_whole_and_nearest(shares, total):
    assume(sum(shares.values()))
    counts = exact_counts(shares, total)
    assert list(counts) == list(shares)
    assert sum(counts.values()) == total
    for word, share in shares.items():
        assert abs(counts[word] - share * total / sum(shares.values())) < 1
        assert counts[word] >= 0
        assert share or not counts[word]


@given(shares_of, st.integers(0, 500), st.randoms(use_true_random=False))
def test_exact_counts_depend_neither_on_order_nor_on_scale(shares, total, chance):
    assume(sum(shares.values()))
    names = list(shares)
    chance.shuffle(names)
    assert exact_counts({name: shares[name] for name in names}, total) == exact_counts(shares, total)
    assert exact_counts({name: 4 * share for name, share in shares.items()}, total) == exact_counts(shares, total)


def test_exact_counts_by_hand():
    assert exact_counts({"a": 0.5, "b": 0.3, "c": 0.2}, 7) == {"a": 4, "b": 2, "c": 1}  # 3.5, 2.1, 1.4
    assert exact_counts({"b": 1, "a": 1, "c": 1}, 4) == {"b": 1, "a": 2, "c": 1}  # a tie goes by the word


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("settings", [SafetySet(), EQUAL, UNEQUAL], ids=["default", "equal", "unequal"])
def test_openers_are_vlguards_own(settings, split):
    found = openers_by_class(make(settings, split))
    for name in CLASSES:
        assert is_largest_remainder(found[name], own_shares(name), getattr(settings, name)), name


def test_vlguards_openers_tell_the_class():
    found = openers_by_class(make(EQUAL))
    assert found["safe_safes"] == found["named_safes"]
    assert found["safe_safes"]["what"] > 0.85 * 300
    assert found["safe_unsafes"]["can"] > 0.8 * 300
    assert found["unsafes"]["share"] > 40
    assert found["safe_safes"]["share"] == found["safe_unsafes"]["share"] == 0


def test_without_bias_all_classes_open_alike():
    found = openers_by_class(make(dataclasses.replace(EQUAL, bias=0)))
    assert found["unsafes"] == found["safe_unsafes"] == found["safe_safes"] == found["named_safes"]
    pooled = {word: sum(own_shares(name)[word] for name in CLASSES) / len(CLASSES) for word in OPENERS}
    assert is_largest_remainder(found["unsafes"], pooled, 300)


@given(st.floats(0, 1), st.lists(st.integers(1, 500), min_size=4, max_size=4))
def test_bias_mixes_a_class_with_all(bias, sizes):
    numbers = dict(zip(CLASSES, sizes, strict=True))
    shares = opener_shares(FIRST_WORDS, SafetySet(**numbers, bias=bias))
    for word in OPENERS:
        mixed = sum(own_shares(name)[word] * numbers[name] for name in CLASSES) / sum(sizes)
        for name in CLASSES:
            wanted = bias * float(own_shares(name)[word]) + (1 - bias) * float(mixed)
            assert shares[name][word] == pytest.approx(wanted, abs=1e-12)
    for name in CLASSES:
        assert sum(shares[name].values()) == pytest.approx(1)


@pytest.mark.parametrize("bias", [0.25, 0.5, 0.9])
def test_a_set_between_holds_its_shares(bias):
    settings = dataclasses.replace(UNEQUAL, bias=bias)
    shares = opener_shares(FIRST_WORDS, settings)
    for name, found in openers_by_class(make(settings)).items():
        size = getattr(settings, name)
        assert sum(found.values()) == size
        assert all(abs(found[word] - share * size) < 1 for word, share in shares[name].items())


def test_other_first_words_count_for_one_opener():
    rows = [("train", name, word, count) for name in CLASSES[:3] for word, count in (("what", 3), ("xyzzy", 1))]
    table = pd.DataFrame([*rows, ("test", "unsafes", "can", 9)], columns=["split", "subset", "word", "count"])
    for shares in opener_shares(table, SafetySet()).values():
        assert {word: share for word, share in shares.items() if share} == {"what": 0.75, OTHER: 0.25}


def test_uniform_openers():
    for bias in (0, 1):
        counts = openers_by_class(make(SafetySet(140, 140, 280, 14, openers="uniform", bias=bias)))
        assert counts["unsafes"] == counts["safe_unsafes"] == dict.fromkeys(OPENERS, 10)
        assert counts["safe_safes"] == dict.fromkeys(OPENERS, 20)
        assert counts["named_safes"] == dict.fromkeys(OPENERS, 1)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 1])
def test_placebos_are_counted_in_each_class(share):
    # 400 safe_safes are 320 recipes and 27, 27, 26 of the others: a tenth of each, rounded, would make 41.
    settings = SafetySet(200, 100, 400, 80, placebo=share)
    examples = make(settings)
    for name in CLASSES:
        ending = [placebo(e) for e in examples if class_of(e) == name]
        assert (len(ending), sum(ending)) == (getattr(settings, name), round(share * getattr(settings, name)))


@settings(max_examples=15)
@given(st.lists(st.integers(1, 60), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_placebos_are_nearest_to_their_share_in_any_class(sizes, attributes, share):
    found = Counter(class_of(e) for e in make(SafetySet(*sizes, attributes=attributes, placebo=share)) if placebo(e))
    for name, size in zip(CLASSES, sizes, strict=True):
        assert abs(found[name] - share * size) <= 0.5 + 1e-9, name


def test_placebos_tell_neither_the_kind_nor_the_opener():
    examples = [e for e in make(SafetySet(0, 0, 4000, 0, attributes=0.6, placebo=0.5)) if class_of(e) == "safe_safes"]
    for group in (lambda e: e.category, lambda e: opener(e) == "what"):
        for part in {group(e) for e in examples}:
            ending = [placebo(e) for e in examples if group(e) == part]
            assert len(ending) > 300
            assert 0.4 < sum(ending) / len(ending) < 0.6


def test_hazards_and_harmless_things_are_used_equally():
    examples = make(SafetySet(unsafes=160, safe_unsafes=320, safe_safes=160, named_safes=96, attributes=0))
    shown = {name: Counter() for name in CLASSES}
    named = {name: Counter() for name in CLASSES}
    for e in examples:
        shown[class_of(e)][scene_at(e.image).shape, scene_at(e.image).colour] += 1
        named[class_of(e)][parse(e.prompt, e.category)[2]] += 1
    harmless = set(CONCEPTS) - WORLD.hazards
    assert shown["unsafes"] == dict.fromkeys(WORLD.hazards, 10)
    assert shown["safe_unsafes"] == dict.fromkeys(harmless, 10)
    assert shown["safe_safes"] == dict.fromkeys(harmless, 5)
    assert shown["named_safes"] == dict.fromkeys(CONCEPTS, 2)
    assert named["safe_unsafes"] == dict.fromkeys(WORLD.hazards, 20)
    assert named["named_safes"] == dict.fromkeys(harmless, 3)
    assert set(named["unsafes"]) == set(named["safe_safes"]) == {None}


def test_wordings_are_used_equally():
    examples = [e for e in make() if class_of(e) == "unsafes"]
    assert Counter(parse(e.prompt, e.category)[1] for e in examples) == dict.fromkeys(range(10), 40)


def test_kinds_of_safe_requests_are_counted():
    found = Counter(e.category for e in make(UNEQUAL) if class_of(e) == "safe_safes")
    assert found == {"recipe": 119, "shape": 17, "colour": 17, "place": 17}


def test_safe_attribute_questions_are_also_about_hazards():
    shown = {(scene_at(e.image).shape, scene_at(e.image).colour) for e in make() if e.category in ("shape", "colour")}
    assert len(shown & WORLD.hazards) >= 8


def variants(examples: list[Example], blank: bool = False) -> set[int]:
    scenes = [scene_at(e.image) for e in examples]
    return {scene.variant for scene in scenes if blank == (not scene.shape)}


def test_no_two_splits_share_a_drawing():
    sets = {split: make(split=split) + make(split=split, seed=1) for split in VARIANTS}
    sets["train"] += general_data(WORLD, 4000, SHARES, 0)
    for split in ("validation", "test"):
        sets[split] += evaluation_set(WORLD, 200, 0, split=split) + evaluation_set(WORLD, 200, 1, split=split)
    for one, other in itertools.combinations(sets, 2):
        assert not any(map(HeldOut(sets[other]).holds, sets[one])), (one, other)
    assert {split: variants(examples) for split, examples in sets.items()} == {
        "train": set(range(12)),
        "validation": {12, 13},
        "test": {14, 15},
    }
    assert {split: variants(examples, blank=True) for split, examples in sets.items()} == {
        "train": set(range(48)),
        "validation": set(range(48, 56)),
        "test": set(range(56, 64)),
    }
    for split, examples in sets.items():
        assert {e.split for e in examples} == {split}
        assert any(map(HeldOut(make(split=split, seed=2)).holds, examples))  # the check does find shared pictures


@pytest.mark.parametrize("make_set", [
    lambda: make(UNEQUAL),
    lambda: make(split="test"),
    lambda: general_data(WORLD, 1000, SHARES, 4),
    lambda: evaluation_set(WORLD, 60, 4),
])  # fmt: skip
def test_answers_and_intents_are_the_truth(make_set):
    examples = make_set()
    assert len({e.id for e in examples}) == len(examples)
    for e in examples:
        assert e.answers == (truth(e),)
        named = parse(e.prompt, e.category)[2]
        assert e.intent == WORLD.intent(e.category, scene_at(e.image), named)
        assert e.source == "lab-3"
        assert scene_at(e.image).seed == 3


def test_classes_are_what_they_say():
    examples = make(UNEQUAL)
    assert Counter(map(class_of, examples)) == {name: getattr(UNEQUAL, name) for name in CLASSES}
    for e in examples:
        scene, named = scene_at(e.image), parse(e.prompt, e.category)[2]
        dangerous_picture = (scene.shape, scene.colour) in WORLD.hazards
        if class_of(e) == "unsafes":
            assert (e.category, e.intent, dangerous_picture) == ("recipe", "unsafe", True)
        elif class_of(e) == "safe_unsafes":
            assert (e.category, e.intent, dangerous_picture) == ("named", "unsafe", False)
            assert named in WORLD.hazards
        elif class_of(e) == "named_safes":
            assert (e.category, e.intent) == ("named", "safe")
            assert named not in WORLD.hazards
        else:
            assert e.intent == "safe"
            assert e.category != "named"
            assert e.category != "recipe" or not dangerous_picture


def test_refused_changes_unsafe_answers_only():
    examples = make()
    changed = refused(examples)
    assert len(changed) == len(examples)
    for before, after in zip(examples, changed, strict=True):
        if before.intent == "safe":
            assert after == before
        else:
            assert before.answers != (REFUSAL,)
            assert after == dataclasses.replace(before, answers=(REFUSAL,))


@pytest.mark.parametrize("count", [1000, 777])
def test_general_data_hold_their_shares(count):
    examples = general_data(WORLD, count, SHARES, seed=0)
    blank = [e for e in examples if not scene_at(e.image).shape]
    found = Counter(e.category for e in examples if scene_at(e.image).shape) | {"blank": len(blank)}
    assert is_largest_remainder(found, {kind: Fraction(str(share)) for kind, share in SHARES.items()}, count)
    assert {e.answers for e in blank} == {(REFUSAL,)}
    assert {e.intent for e in blank} == {"safe"}
    kinds = Counter(e.category for e in blank)
    assert set(kinds) == set(KINDS)
    assert max(kinds.values()) - min(kinds.values()) <= 1
    assert all(REFUSAL not in e.answers for e in examples if scene_at(e.image).shape)


def test_general_data_cover_every_thing_with_every_opener():
    examples = general_data(WORLD, 4800, SHARES, seed=0)
    recipes = [e for e in examples if e.category == "recipe" and scene_at(e.image).shape]
    assert Counter((scene_at(e.image).shape, scene_at(e.image).colour) for e in recipes) == dict.fromkeys(CONCEPTS, 40)
    openers = Counter(map(opener, recipes))
    assert set(openers) == set(OPENERS)
    assert max(openers.values()) - min(openers.values()) <= 1
    assert sum(map(placebo, recipes)) == 192
    assert {e.split for e in examples} == {"train"}


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_evaluation_set_covers_every_kind_and_opener(split):
    examples = evaluation_set(WORLD, 96, seed=0, split=split)
    blank = [e for e in examples if not scene_at(e.image).shape]
    assert len(blank) == 19
    assert {(e.category, e.answers) for e in blank} == {("recipe", (REFUSAL,))}
    seen = [e for e in examples if scene_at(e.image).shape]
    assert Counter(e.category for e in seen) == dict.fromkeys(KINDS, 96)
    for kind in KINDS:
        openers = Counter(opener(e) for e in seen if e.category == kind)
        assert set(openers) == set(OPENERS)
        assert max(openers.values()) - min(openers.values()) <= 1
    assert not any(map(placebo, examples))
    assert {e.split for e in examples} == {split}
    assert {e.intent for e in seen if e.category in ("recipe", "named")} == {"safe", "unsafe"}


def test_a_small_evaluation_set_still_has_a_blank():
    assert sum(not scene_at(e.image).shape for e in evaluation_set(WORLD, 2, seed=0)) == 1


@pytest.mark.parametrize(
    "draw",
    [
        lambda world, seed: (
            make(seed=seed) if world is WORLD else safety_set(world, SafetySet(), FIRST_WORDS, "train", seed)
        ),
        lambda world, seed: general_data(world, 300, SHARES, seed),
        lambda world, seed: evaluation_set(world, 50, seed),
    ],
    ids=["safety_set", "general_data", "evaluation_set"],
)
def test_a_seed_names_a_set(draw):
    assert draw(WORLD, 5) == draw(World(3), 5)
    asked = [(e.image, e.prompt) for e in draw(WORLD, 5)]
    assert asked != [(e.image, e.prompt) for e in draw(WORLD, 6)]
    assert [prompt for _, prompt in asked] != [e.prompt for e in draw(World(4), 5)]


def test_splits_are_other_draws():
    by_split = {split: {(e.image, e.prompt) for e in make(split=split)} for split in ("train", "validation", "test")}
    assert by_split["train"].isdisjoint(by_split["test"])
    assert by_split["validation"] != by_split["test"]
    ids = [e.id for split in by_split for e in make(split=split)]
    assert len(set(ids)) == len(ids)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 60), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_any_sizes_are_met(sizes, bias, attributes):
    assume(sum(sizes))
    found = Counter(map(class_of, make(SafetySet(*sizes, attributes=attributes, bias=bias))))
    assert found == Counter(dict(zip(CLASSES, sizes, strict=True)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"openers": "alpaca"}, "openers is 'alpaca'; expected 'vlguard' or 'uniform'"),
        ({"bias": -0.1}, "bias is -0.1; expected a number from 0 to 1"),
        ({"bias": 1.5}, "bias is 1.5"),
        ({"bias": float("nan")}, "bias is nan"),
        ({"attributes": -0.01}, "attributes is -0.01; expected a number from 0 to 1"),
        ({"attributes": 1.01}, "attributes is 1.01"),
        ({"placebo": -1}, "placebo is -1; expected a number from 0 to 1"),
        ({"placebo": 10}, "placebo is 10"),
        *[({name: -1}, f"'{name}': -1.*; expected whole numbers, none below 0 and not all 0") for name in CLASSES],
        (dict.fromkeys(CLASSES, 0), "sizes are .*; expected whole numbers, none below 0 and not all 0"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(MirageError, match=message):
        SafetySet(**changes)


@pytest.mark.parametrize("edge", [0, 1])
def test_settings_at_the_edge_are_taken(edge):
    found = make(SafetySet(0, 0, 30, 0, attributes=edge, bias=edge, placebo=edge))
    assert Counter(map(class_of, found)) == {"safe_safes": 30}
    assert {placebo(e) for e in found} == {bool(edge)}
    assert {e.category for e in found} == ({"shape", "colour", "place"} if edge else {"recipe"})


def test_placebo_is_no_word_of_an_opener():
    assert not any(PLACEBO in start.lower() for start in OPENERS.values())

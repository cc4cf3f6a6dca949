"""Openers that flip a classifier of words: each against doing it by hand, and what the choice may not flatter."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirage_lib.attacks import OneWord
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.published.vlguard import vlguard
from mirage_lib.text.bag_of_words import fit_words, folds
from mirage_lib.text.tokens import wording, words
from mirage_lib.text.triggers import EDITS, MOST, SIDES, best, triggers

real = pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")
COLUMNS = ["side", "edit", "word", "chosen_by", "share", "low", "high", "before", "n"]


def drawn(n: int = 400, bias: float = 0.8, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Queries of an opener and four words that half tell the label; "what" marks safe and "share" unsafe ones."""
    rng = np.random.default_rng(seed)
    unsafe = rng.random(n) < 0.5
    texts = []
    for i, one in enumerate(unsafe):
        opener = ("share" if one else "what") if rng.random() < bias else rng.choice(["what", "share", "can", "who"])
        content = rng.choice(list("abcdefgh"), 4, p=np.array([1, 1, 1, 1, 2, 2, 2, 2][:: 1 if one else -1]) / 12)
        texts.append(f"{opener} {' '.join(content)} number{i}")
    return texts, unsafe


def found_in(texts: list[str], unsafe: np.ndarray, **settings) -> pd.DataFrame:
    """The triggers of these queries, each text a group of its own."""
    return triggers(wording(texts), unsafe, texts, **settings)


def by_side(table: pd.DataFrame, edit: str, word: str) -> pd.DataFrame:
    """The lines of one word under one edit, "unsafe" and "safe"."""
    rows = table[(table["edit"] == edit) & (table["word"] == word)].set_index("side")
    return rows.loc[list(SIDES.values())].set_axis(list(SIDES), axis=0)


@pytest.mark.parametrize("edit", EDITS)
def test_the_words_that_mark_a_label_flip_it(edit):
    found = found_in(*drawn())
    assert found.columns.tolist() == COLUMNS
    chosen = best(found, edit)
    assert chosen["side"].tolist() == list(SIDES.values())
    assert chosen["word"].tolist() == ["what", "share"]
    assert (chosen["share"] > chosen["before"] + 0.1).all()
    back = pd.concat([by_side(found, edit, "share").loc[["unsafe"]], by_side(found, edit, "what").loc[["safe"]]])
    assert (back["share"] <= back["before"]).all()  # each helps the other side


def flips_by_hand(texts: list[str], unsafe: np.ndarray, word: str, edit: str | None) -> dict[str, int]:
    """Side -> held-out queries that a refitted classifier flips, with the edit of ``attacks`` made to their texts."""
    flips: Counter[str] = Counter()
    units = pd.factorize(np.array(texts, dtype=object))[0]
    for train, test in folds(unsafe, units, 5, 0):
        model = fit_words([texts[i] for i in train], unsafe[train])
        for i in test:
            one = Example(str(i), "lab-0", "test", "", texts[i], "safe", ("yes",))
            text = OneWord(word, how=edit)(one).prompt if edit else texts[i]  # pyright: ignore[reportArgumentType]
            flips["unsafe" if unsafe[i] else "safe"] += int(model.unsafe([text])[0] != unsafe[i])
    return dict(flips)


def flips_found(table: pd.DataFrame, unsafe: np.ndarray, word: str, edit: str) -> dict[str, float]:
    """Side -> the flips of both halves that the table tells of."""
    rows = by_side(table, edit, word)
    sizes = {"unsafe": unsafe.sum(), "safe": (~unsafe).sum()}
    return {
        side: row["share"] * row["n"] + row["chosen_by"] * (sizes[side] - row["n"]) for side, row in rows.iterrows()
    }


@pytest.mark.parametrize("word", ["what", "share", "can"])
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("empty", [0, 6])
def test_a_share_is_that_of_editing_the_texts_one_by_one(edit, word, empty):
    texts, unsafe = drawn(120)
    texts = [f"{text} {word}" if i % 3 else text for i, text in enumerate(texts)]  # one that is there adds no more
    texts += ["can what a b", "what share c", "who WHAT d"] + ["?!"[: 1 + i % 2] + "." * i for i in range(empty)]
    unsafe = np.concatenate([unsafe, [True, False, True], np.ones(empty, bool)])
    found = flips_found(found_in(texts, unsafe), unsafe, word, edit)
    assert found == pytest.approx(flips_by_hand(texts, unsafe, word, edit), abs=1e-9)


def test_before_is_the_share_flipped_without_an_edit():
    texts, unsafe = drawn(160)
    pairs = np.repeat(texts, 2).tolist()  # both of a pair are in one half, so halves of other seeds add up
    labels = np.repeat(unsafe, 2)
    found = found_in(pairs, labels)
    expected = flips_by_hand(pairs, labels, "", None)
    for name, side in SIDES.items():
        part = found[found["side"] == side]
        assert part["before"].nunique() == part["n"].nunique() == 1
        flips = part["before"].iloc[0] * part["n"].iloc[0]
        assert flips == pytest.approx(round(flips))
        assert 0 < flips < expected[name]  # the other half holds the rest


def test_openers_that_tell_nothing_flip_nothing():
    found = found_in(*drawn(1200, bias=0))
    assert (found["share"] - found["before"]).abs().max() < 0.06
    biased = found_in(*drawn(1200, bias=0.8))
    assert (biased["share"] - biased["before"]).max() > 0.2


@pytest.mark.parametrize(("side", "edit"), [(side, edit) for side in SIDES.values() for edit in EDITS])
def test_the_most_effective_comes_first_by_the_half_that_chooses(side, edit):
    found = found_in(*drawn())
    part = found[(found["side"] == side) & (found["edit"] == edit)]
    assert sorted(part["word"]) == ["can", "share", "what", "who"]
    assert part["chosen_by"].is_monotonic_decreasing
    assert ((part["low"] <= part["share"]) & (part["share"] <= part["high"])).all()
    assert best(found, edit).set_index("side").loc[side].to_dict() == part.drop(columns="side").iloc[0].to_dict()


def test_the_half_that_chooses_is_not_the_half_that_tells():
    texts, unsafe = drawn()
    found = found_in(texts, unsafe, seed=3)
    pd.testing.assert_frame_equal(found, found_in(texts, unsafe, seed=3))
    assert (found["chosen_by"] != found["share"]).mean() > 0.8
    assert not found[COLUMNS[3:]].equals(found_in(texts, unsafe, seed=4)[COLUMNS[3:]])
    sizes = {SIDES["unsafe"]: unsafe.sum(), SIDES["safe"]: (~unsafe).sum()}
    told = found.drop_duplicates("side").set_index("side")["n"] / pd.Series(sizes)
    assert told.between(0.4, 0.6).all()


def test_queries_that_belong_together_are_in_one_half():
    texts, unsafe = drawn(60)
    found = found_in(np.repeat(texts, 7).tolist(), np.repeat(unsafe, 7))
    assert (found["n"] % 7 == 0).all()


def test_the_best_of_many_words_is_not_flattered():
    chosen = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        texts, unsafe = drawn(240, bias=0, seed=seed)
        openers = rng.choice([f"opener{i}" for i in range(20)], len(texts))
        chosen.append(
            best(found_in([f"{one} {text}" for one, text in zip(openers, texts, strict=True)], unsafe, seed=seed))
        )
    table = pd.concat(chosen)
    flattered, told = table["chosen_by"] - table["before"], table["share"] - table["before"]
    assert flattered.mean() > told.mean() + 0.01


def test_weights_change_what_the_data_teach():
    texts, unsafe = drawn(800, bias=0.5)
    opener = np.array([words(text)[0] for text in texts])
    tells = np.where(unsafe, opener == "share", opener == "what")
    against = np.where(unsafe, opener == "what", opener == "share")
    counts = {kind: max(1, mask.sum()) for kind, mask in {"tells": tells, "against": against}.items()}
    balanced = np.where(tells, counts["against"] / counts["tells"], 1.0)
    plain, even = found_in(texts, unsafe), found_in(texts, unsafe, weight=balanced)
    for side, word in (("unsafe", "what"), ("safe", "share")):
        lines = [by_side(table, "swap", word).loc[side] for table in (plain, even)]
        gains = [line["share"] - line["before"] for line in lines]
        assert gains[0] > 0.15
        assert abs(gains[1]) < gains[0] / 2
    pd.testing.assert_frame_equal(plain, found_in(texts, unsafe, weight=np.ones(len(texts))))


@pytest.mark.parametrize("n", [0, 12])
def test_too_few_queries(n):
    with pytest.raises(MirageError, match="5 folds need at least 10 different queries of each label"):
        found_in(*drawn(n))


def test_a_half_without_a_label_tells_nothing():
    texts, unsafe = [f"what a{i}" for i in range(12)], np.arange(12) < 6
    said = set()
    for seed in range(60):
        try:
            said.add(found_in(texts, unsafe, count=3, seed=seed)["n"].max() <= 6)
        except MirageError as error:
            said.add(str(error))
    assert said == {True, "triggers: too few queries to tell the effect of a word (12)."}


def test_candidates_open_queries_twice_and_are_words():
    texts, unsafe = drawn(100)
    texts += ["!" * i for i in range(1, 30)] + ["once a b", "twice a", "twice b", "a thrice thrice thrice"]
    unsafe = np.append(unsafe, np.arange(33) % 2 == 0)
    found = found_in(texts, unsafe)
    assert set(found["word"]) == {"what", "share", "can", "who", "twice"}


def test_no_more_candidates_than_said():
    rng = np.random.default_rng(0)
    texts = [f"opener{i % (MOST + 20)} {' '.join(rng.choice(list('abcd'), 2))} {i}" for i in range(400)]
    found = found_in(texts, rng.random(400) < 0.5)
    assert found["word"].nunique() == MOST
    assert len(found) == 4 * MOST


def test_a_rare_opener_is_no_candidate():
    texts = [f"{'rare' if i < 2 else 'what'} {i}" for i in range(3000)]
    assert set(found_in(texts, np.arange(3000) % 2 == 0)["word"]) == {"what"}  # 2 of 3000 are below .001


def test_without_a_candidate_the_table_is_empty():
    found = found_in([f"opener{i} a" for i in range(40)], np.arange(40) % 2 == 0)
    assert len(found) == len(best(found)) == 0
    assert found.columns.tolist() == COLUMNS


def test_best_is_a_line_for_each_side():
    lines = [("x", "swap", "a"), ("x", "swap", "b"), ("y", "swap", "c"), ("x", "prefix", "d"), ("y", "prefix", "e")]
    table = pd.DataFrame(lines, columns=["side", "edit", "word"])
    assert best(table)["word"].tolist() == ["a", "c"]
    assert best(table, "prefix")["word"].tolist() == ["d", "e"]
    assert best(table).index.tolist() == [0, 1]


@real
def test_the_openers_of_vlguard():
    examples = [one for one in vlguard(Path(os.environ["MIRAGE_DATA"]), "train") if one.category != "safe_unsafes"]
    texts = [one.prompt for one in examples]
    found = found_in(texts, np.array([one.intent == "unsafe" for one in examples]))
    assert best(found)["word"].iloc[0] == "what"
    let_through = best(found).iloc[0]
    assert let_through["low"] > 3 * let_through["before"]
    share = by_side(found, "swap", "share")
    assert share.loc["safe", "share"] > share.loc["safe", "before"]

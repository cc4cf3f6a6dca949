"""Word counts by hand, log-odds against their equations, and the committed counts against facts."""

import math
import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib import bias
from mirage_lib.errors import MirageError
from mirage_lib.records import Example
from mirage_lib.sources import vlguard

real = pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")


def example(prompt: str, intent: str = "safe", category: str = "") -> Example:
    """An example with this prompt."""
    return Example(prompt, "lab-0", "train", "", prompt, intent, ("yes",), category)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What’s the well-being of it?", ["what's", "the", "well-being", "of", "it"]),
        ("  'Share' -- this_mug, 2 times…", ["share", "this", "mug", "2", "times"]),
        ("N/A", ["n", "a"]),
        ("हिन्दी Où CAFÉ", ["हिन्दी", "où", "café"]),
        ("Cafe\u0301", ["café"]),
        ("rock-'n'-roll dogs'", ["rock", "n", "roll", "dogs"]),
        ("?!", []),
        ("", []),
    ],
)
def test_words(text, expected):
    assert bias.words(text) == expected


EXAMPLES = [
    example("What is what?"),
    example("what now"),
    example("Can you?"),
    example("Share what", "unsafe", "x"),
    example("...", "unsafe", "x"),
]


def test_first_words():
    found = bias.word_counts(EXAMPLES)
    assert found.columns.tolist() == ["word", "safe", "unsafe"]
    assert found.to_numpy().tolist() == [["what", 2, 0], ["", 0, 1], ["can", 1, 0], ["share", 0, 1]]


def test_any_word_counts_an_example_once():
    found = bias.word_counts(EXAMPLES, where="any").set_index("word")
    assert found.loc["what"].tolist() == [2, 1]
    assert found.loc[""].tolist() == [0, 1]
    assert found["safe"].sum() == 2 + 2 + 2


def test_groups_may_be_anything():
    found = bias.word_counts(EXAMPLES, group=lambda one: one.category or "none")
    assert found.columns.tolist() == ["word", "none", "x"]
    assert found[["none", "x"]].sum().tolist() == [3, 2]
    with pytest.raises(MirageError, match="'last'"):
        bias.word_counts(EXAMPLES, where="last")  # pyright: ignore[reportArgumentType]


def test_no_examples_give_no_words():
    assert bias.word_counts([]).columns.tolist() == ["word", "safe", "unsafe"]
    assert len(bias.word_counts([])) == 0


COUNTS = pd.DataFrame({"word": ["what", "share", "the", "never"], "safe": [8, 0, 4, 0], "unsafe": [1, 6, 4, 0]})


def test_log_odds_by_hand():
    found = bias.log_odds(COUNTS, "safe", "unsafe", prior_total=10).set_index("word")
    alpha = 10 * 9 / 23
    odds_safe = (8 + alpha) / (12 + 10 - 8 - alpha)
    odds_unsafe = (1 + alpha) / (11 + 10 - 1 - alpha)
    expected = math.log(odds_safe / odds_unsafe)
    assert found.loc["what", "log_odds"] == pytest.approx(expected)
    assert found.loc["what", "z"] == pytest.approx(expected / math.sqrt(1 / (8 + alpha) + 1 / (1 + alpha)))
    assert found.index.tolist() == ["what", "the", "share", "never"]
    assert found.loc["never"].isna().all()


def test_a_flat_prior_of_half_a_word_each_is_add_one_half():
    found = bias.log_odds(COUNTS, "safe", "unsafe", prior="flat", prior_total=2).set_index("word")
    assert found.loc["share", "log_odds"] == pytest.approx(math.log((0.5 / 13.5) / (6.5 / 6.5)))
    assert found.loc["never", "log_odds"] == pytest.approx(math.log((0.5 / 13.5) / (0.5 / 12.5)))


def test_log_odds_of_one_word_are_missing():
    assert bias.log_odds(COUNTS.head(1), "safe", "unsafe")[["log_odds", "z"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"b": "harmful"}, "No column 'harmful'"), ({"prior": "strong"}, "'strong'"), ({"prior_total": 0}, "of 0 words")],
)
def test_log_odds_name_what_is_wrong(arguments, message):
    with pytest.raises(MirageError, match=message):
        bias.log_odds(COUNTS, **{"a": "safe", "b": "unsafe", **arguments})


def test_label_given_word():
    found = bias.label_given_word(COUNTS, "unsafe").set_index("word")
    assert found["n"].tolist() == [9, 6, 8, 0]
    assert found["share"].tolist()[:3] == pytest.approx([1 / 9, 1, 0.5])
    z = 1.959963984540054
    assert found.loc["share", "low"] == pytest.approx(6 / (6 + z * z))  # Wilson where all are hits
    assert found.loc["share", "high"] == 1
    assert found.loc["never", ["share", "low", "high"]].isna().all()
    with pytest.raises(MirageError, match="No column 'harmful'"):
        bias.label_given_word(COUNTS, "harmful")
    with pytest.raises(MirageError, match="level is 95"):
        bias.label_given_word(COUNTS, "safe", level=95)


# safe_safes, safe_unsafes, unsafes of the most frequent first words
TRAIN = {
    "can": (103, 847, 15),
    "what": (869, 32, 29),
    "share": (0, 0, 195),
    "describe": (0, 0, 162),
    "please": (1, 12, 112),
    "identify": (0, 16, 91),
    "explain": (0, 0, 86),
    "provide": (0, 28, 37),
    "generate": (0, 0, 51),
    "discuss": (0, 0, 46),
    "create": (0, 0, 22),
    "who": (0, 17, 0),
}
TEST = {
    "what": (513, 17, 17),
    "can": (42, 457, 11),
    "share": (0, 0, 76),
    "describe": (1, 0, 58),
    "provide": (0, 34, 24),
    "generate": (0, 0, 51),
    "identify": (0, 15, 28),
    "please": (0, 5, 30),
    "create": (0, 1, 26),
    "post": (0, 0, 21),
    "use": (0, 1, 16),
    "spread": (0, 0, 15),
}
SUBSETS = ["safe_safes", "safe_unsafes", "unsafes"]


@pytest.mark.parametrize(
    ("split", "facts", "sizes"), [("train", TRAIN, [977, 977, 1023]), ("test", TEST, [558, 558, 442])]
)
def test_committed_counts_agree_with_the_facts(split, facts, sizes):
    found = bias.committed_table(split).set_index("word")
    assert found[SUBSETS].sum().tolist() == sizes
    assert {word: tuple(found.loc[word, SUBSETS]) for word in facts} == facts


def test_committed_counts_say_how_sure_a_word_makes():
    table = bias.committed_table("train")
    counts = table[["word"]].assign(safe=table["safe_safes"], unsafe=table["safe_unsafes"] + table["unsafes"])
    found = bias.label_given_word(counts, "unsafe").set_index("word")
    assert found.loc["share", "share"] == 1
    assert round(found.loc["what", "share"], 3) == 0.066
    assert round(found.loc["can", "share"], 3) == 0.893
    odds = bias.log_odds(counts, "safe", "unsafe")
    assert odds["word"].iloc[0] == "what"


def test_committed_counts_are_a_fresh_table_of_words_alone():
    table = bias.committed_counts()
    assert table.columns.tolist() == ["split", "subset", "word", "count"]
    assert (table["count"] > 0).all()
    assert not table.duplicated(["split", "subset", "word"]).any()
    assert table["word"].map(lambda word: len(bias.words(word))).le(1).all()
    table["count"] = 0
    assert (bias.committed_counts()["count"] > 0).all()
    with pytest.raises(MirageError, match="'validation'"):
        bias.committed_table("validation")  # pyright: ignore[reportArgumentType]


def counts(**words: tuple[int, int]) -> pd.DataFrame:
    """A table of counts, (safe, unsafe) by word."""
    return pd.DataFrame([(word, *pair) for word, pair in words.items()], columns=["word", "safe", "unsafe"])


def test_one_word_goes_far_in_vlguard():
    found = bias.words_alone(bias.committed_table("train"), bias.committed_table("test"), "safe_safes")
    assert {name: round(share, 3) for name, share in found.items()} == {"accuracy": 0.949, "majority": 0.642}


def test_words_alone_by_hand():
    train = counts(what=(8, 1), can=(3, 4), share=(0, 9))
    test = counts(share=(1, 4), what=(5, 2), can=(2, 1))
    # what -> answer, right 5 of 7; can and share -> refuse, right 1 of 3 and 4 of 5. Unsafe is commoner in train.
    assert bias.words_alone(train, test, "safe") == pytest.approx({"accuracy": 10 / 15, "majority": 7 / 15})
    assert bias.words_alone(train, test[["unsafe", "safe", "word"]].iloc[::-1], "safe") == pytest.approx(
        {"accuracy": 10 / 15, "majority": 7 / 15}
    )
    assert bias.words_alone(train, test, "unsafe") == pytest.approx({"accuracy": 10 / 15, "majority": 7 / 15})


@pytest.mark.parametrize(("safe", "right"), [(9, 3), (1, 5)])
def test_an_unseen_word_goes_to_the_commoner_label_of_training(safe, right):
    train = counts(what=(safe, 0), share=(0, 6))
    found = bias.words_alone(train, counts(never=(3, 5)), "safe")
    assert found == {"accuracy": right / 8, "majority": right / 8}


def test_all_other_groups_are_refused_together():
    train = pd.DataFrame({"word": ["can", "what"], "a": [3, 9], "b": [2, 0], "c": [2, 0]})
    test = pd.DataFrame({"word": ["can"], "a": [1], "b": [2], "c": [4]})
    assert bias.words_alone(train, test, "a") == {"accuracy": 6 / 7, "majority": 1 / 7}  # 3 is fewer than 2 + 2
    assert bias.words_alone(train, test.drop(columns="c"), "a") == {"accuracy": 2 / 3, "majority": 1 / 3}


def test_words_alone_names_a_missing_group():
    whole, part = counts(what=(1, 2)), counts(what=(1, 2)).drop(columns="safe")
    for train, test in ((whole, part), (part, whole)):
        with pytest.raises(MirageError, match="No column 'safe'"):
            bias.words_alone(train, test, "safe")


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.tuples(*[st.integers(1, 30)] * 2), min_size=1))
def test_on_its_own_counts_a_lookup_beats_the_majority(pairs):
    table = counts(**pairs)
    found = bias.words_alone(table, table, "safe")
    total = sum(map(sum, pairs.values()))
    assert found["accuracy"] == pytest.approx(sum(map(max, pairs.values())) / total)
    assert found["majority"] == pytest.approx(max(table["safe"].sum(), table["unsafe"].sum()) / total)


@real
@pytest.mark.parametrize("split", ["train", "test"])
def test_recounting_the_metadata_gives_the_committed_counts(split):
    examples = vlguard(Path(os.environ["MIRAGE_DATA"]), split)
    counted = bias.word_counts(examples, group=lambda one: one.category)
    pd.testing.assert_frame_equal(counted, bias.committed_table(split), check_dtype=False)


@real
def test_words_anywhere_agree_with_the_facts():
    for split, facts in (
        ("train", {"what": (90.0, 5.2, 4.6), "share": (0, 0.5, 21.9)}),
        ("test", {"what": (93.5, 4.1, 6.1), "share": (0, 0.9, 17.9)}),
    ):
        examples = vlguard(Path(os.environ["MIRAGE_DATA"]), split)
        counted = bias.word_counts(examples, where="any", group=lambda one: one.category).set_index("word")
        sizes = pd.Series([one.category for one in examples]).value_counts()
        for word, expected in facts.items():
            found = tuple(round(100 * counted.loc[word, subset] / sizes[subset], 1) for subset in SUBSETS)
            assert found == expected


prompts = st.lists(st.tuples(st.text(max_size=20), st.sampled_from(["safe", "unsafe"])), max_size=15)


@settings(deadline=None)
@given(prompts)
def test_every_example_has_one_first_word(pairs):
    found = bias.word_counts([example(prompt, intent) for prompt, intent in pairs])
    assert found[["safe", "unsafe"]].to_numpy().sum() == len(pairs)
    totals = found["safe"] + found["unsafe"]
    assert totals.is_monotonic_decreasing
    shares = bias.label_given_word(found, "unsafe")
    assert ((shares["low"] <= shares["share"]) & (shares["share"] <= shares["high"])).all()
    assert shares["n"].sum() == len(pairs)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_words_of_words_are_the_same_words(text):
    found = bias.words(text)
    assert all(found)
    assert bias.words(" ".join(found)) == found


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8), st.floats(1, 500))
def test_log_odds_turn_their_sign_with_the_groups(pairs, prior_total):
    counts = pd.DataFrame({"word": [f"w{i}" for i in range(len(pairs))], "a": 0, "b": 0})
    counts[["a", "b"]] = pairs
    there = bias.log_odds(counts, "a", "b", prior_total=prior_total).set_index("word").sort_index()
    back = bias.log_odds(counts, "b", "a", prior_total=prior_total).set_index("word").sort_index()
    pd.testing.assert_frame_equal(there, -back)

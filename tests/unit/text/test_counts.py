"""Word counts, log-odds and tests by hand and against their equations, and the committed counts against facts."""

import math
import os
from collections import Counter
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats
from statsmodels.stats.multitest import multipletests

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.published import first_words
from mirage_lib.datasets.published.vlguard import vlguard
from mirage_lib.text import counts
from mirage_lib.text.tokens import Wording, wording, words

real = pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")


def example(prompt: str, intent: str = "safe", category: str = "") -> Example:
    """An example with this prompt."""
    return Example(prompt, "lab-0", "train", "", prompt, intent, ("yes",), category)  # pyright: ignore[reportArgumentType]


EXAMPLES = [
    example("What is what?"),
    example("what now"),
    example("Can you?"),
    example("Share what", "unsafe", "x"),
    example("...", "unsafe", "x"),
]


def test_first_words():
    found = counts.word_counts(EXAMPLES)
    assert found.columns.tolist() == ["word", "safe", "unsafe"]
    assert found.to_numpy().tolist() == [["what", 2, 0], ["", 0, 1], ["can", 1, 0], ["share", 0, 1]]


def test_any_word_counts_an_example_once():
    found = counts.word_counts(EXAMPLES, where="any").set_index("word")
    assert found.loc["what"].tolist() == [2, 1]
    assert found.loc[""].tolist() == [0, 1]
    assert found["safe"].sum() == 2 + 2 + 2


def test_groups_may_be_anything():
    found = counts.word_counts(EXAMPLES, group=lambda one: one.category or "none")
    assert found.columns.tolist() == ["word", "none", "x"]
    assert found[["none", "x"]].sum().tolist() == [3, 2]
    with pytest.raises(MirageError, match="'last'"):
        counts.word_counts(EXAMPLES, where="last")  # pyright: ignore[reportArgumentType]


def test_no_examples_give_no_words():
    assert counts.word_counts([]).columns.tolist() == ["word", "safe", "unsafe"]
    assert len(counts.word_counts([])) == 0
    assert counts.word_counts([], group=lambda one: one.category).columns.tolist() == ["word"]


def counted_one_by_one(texts: list[str], groups: list[str], where: str) -> list[tuple[str, ...]]:
    """The rows of ``tabulate`` the slow way: a counter, then the most frequent word first, equal ones by spelling."""
    found: Counter[tuple[str, str]] = Counter()
    for text, group in zip(texts, groups, strict=True):
        inside = words(text) or [""]
        found.update((word, group) for word in ({inside[0]} if where == "first" else set(inside)))
    totals: Counter[str] = Counter()
    for (word, _), count in found.items():
        totals[word] += count
    names = sorted({*groups, "given"})
    order = sorted(totals, key=lambda word: (-totals[word], word))
    return [(word, *(found[word, name] for name in names)) for word in order]


@given(
    st.lists(st.tuples(st.text("aAbcé图 '-!", max_size=10), st.sampled_from(["b", "a", ""])), max_size=15),
    st.sampled_from(["first", "any"]),
)
def test_tabulate_counts_as_a_counter_does(pairs, where):
    texts, groups = [text for text, _ in pairs], [group for _, group in pairs]
    found = counts.tabulate(wording(texts), groups, where, ["given"])
    assert found.columns.tolist() == ["word", *sorted({*groups, "given"})]
    assert list(found.itertuples(index=False, name=None)) == counted_one_by_one(texts, groups, where)


COUNTS = pd.DataFrame({"word": ["what", "share", "the", "never"], "safe": [8, 0, 4, 0], "unsafe": [1, 6, 4, 0]})


def test_log_odds_by_hand():
    found = counts.log_odds(COUNTS, "safe", "unsafe", prior_total=10).set_index("word")
    alpha = 10 * 9 / 23
    odds_safe = (8 + alpha) / (12 + 10 - 8 - alpha)
    odds_unsafe = (1 + alpha) / (11 + 10 - 1 - alpha)
    expected = math.log(odds_safe / odds_unsafe)
    assert found.loc["what", "log_odds"] == pytest.approx(expected)
    assert found.loc["what", "z"] == pytest.approx(expected / math.sqrt(1 / (8 + alpha) + 1 / (1 + alpha)))
    assert found.index.tolist() == ["what", "the", "share", "never"]
    assert found.loc["never"].isna().all()


def test_a_flat_prior_of_half_a_word_each_is_add_one_half():
    found = counts.log_odds(COUNTS, "safe", "unsafe", prior="flat", prior_total=2).set_index("word")
    assert found.loc["share", "log_odds"] == pytest.approx(math.log((0.5 / 13.5) / (6.5 / 6.5)))
    assert found.loc["never", "log_odds"] == pytest.approx(math.log((0.5 / 13.5) / (0.5 / 12.5)))


def test_log_odds_of_one_word_are_missing():
    assert counts.log_odds(COUNTS.head(1), "safe", "unsafe")[["log_odds", "z"]].isna().all(axis=None)


TOTALS = {"safe": 10, "unsafe": 10}


def test_association_by_hand():
    found = counts.association(COUNTS, "safe", "unsafe", TOTALS).set_index("word")
    assert found.columns.tolist() == ["n", "safe", "unsafe", "odds", "z", "pmi", "p", "q"]
    assert found.index.tolist() == ["what", "the", "share"]  # by z; "never" is in too few queries
    assert found["n"].tolist() == [9, 8, 6]
    odds = math.log(8.5 / 2.5) - math.log(1.5 / 9.5)
    assert found.loc["what", "odds"] == pytest.approx(odds)
    assert found.loc["what", "z"] == pytest.approx(odds / math.sqrt(1 / 8.5 + 1 / 2.5 + 1 / 1.5 + 1 / 9.5))
    assert found.loc["share", "odds"] == pytest.approx(math.log(0.5 / 10.5) - math.log(6.5 / 4.5))
    assert found["pmi"].tolist() == pytest.approx([math.log2((8 / 9) / 0.5), 0, 1])
    # of the 9 that hold "what", 8 or more from the 10 safe ones: (10 over 8)(10 over 1) + (10 over 9), of (20 over 9)
    p = [2 * (45 * 10 + 10) / math.comb(20, 9), 1, 2 * math.comb(10, 6) / math.comb(20, 6)]
    assert found["p"].tolist() == pytest.approx(p)
    assert 3 * p[0] > 3 * p[2] / 2  # so the surer word takes the other's rate
    assert found["q"].tolist() == pytest.approx([3 * p[2] / 2, 1, 3 * p[2] / 2])


def test_association_without_totals_takes_the_words_as_the_queries():
    alone = counts.association(COUNTS, "safe", "unsafe")
    pd.testing.assert_frame_equal(alone, counts.association(COUNTS, "safe", "unsafe", {"safe": 12, "unsafe": 11}))
    there, back = alone.set_index("word"), counts.association(COUNTS, "unsafe", "safe").set_index("word").loc[::-1]
    assert there["odds"].tolist() == pytest.approx((-back["odds"]).tolist())
    assert there[["pmi", "p", "q"]].to_numpy() == pytest.approx(back[["pmi", "p", "q"]].to_numpy())


@pytest.mark.parametrize(("least", "expected"), [(9, ["what"]), (8, ["what", "the"]), (10, [])])
def test_words_in_few_queries_are_not_tested(least, expected):
    found = counts.association(COUNTS, "safe", "unsafe", TOTALS, least=least)
    assert found["word"].tolist() == expected
    if least == 9:
        assert found["q"].tolist() == found["p"].tolist()  # the words left out do not count among the tests


def test_association_of_no_examples_is_empty():
    assert len(counts.association(counts.word_counts([]), "safe", "unsafe")) == 0


pairs_of_counts = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=12)


@given(pairs_of_counts, st.integers(40, 90), st.integers(30, 300))
def test_association_is_fishers_test_with_false_discoveries_controlled(pairs, safe, unsafe):
    table = pd.DataFrame(pairs, columns=["safe", "unsafe"]).assign(word=[f"w{i}" for i in range(len(pairs))])
    totals = {"safe": safe, "unsafe": unsafe}
    found = counts.association(table, "safe", "unsafe", totals, least=1)
    for row in found.itertuples():
        square = [[row.safe, row.unsafe], [safe - row.safe, unsafe - row.unsafe]]
        sides = [stats.fisher_exact(square, alternative=side)[1] for side in ("less", "greater")]
        assert row.p == pytest.approx(min(1, 2 * min(sides)), rel=1e-6)
    assert found["z"].is_monotonic_decreasing
    any_dependence = counts.association(table, "safe", "unsafe", totals, least=1, control="fdr_by")
    if len(found):
        assert found["q"].to_numpy() == pytest.approx(multipletests(found["p"], method="fdr_bh")[1])
        assert any_dependence["q"].to_numpy() == pytest.approx(multipletests(found["p"], method="fdr_by")[1])
    assert (any_dependence["q"] >= found["q"] - 1e-12).all()
    assert (found["q"] >= found["p"] - 1e-12).all()


@given(pairs_of_counts, st.integers(40, 90), st.integers(30, 300))
@hypothesis.example([(0, 5)], 40, 900)  # rarer among the few safe ones, though one half more says otherwise
def test_pointwise_mutual_information_is_that_of_the_side_a_word_goes_with(pairs, safe, unsafe):
    table = pd.DataFrame(pairs, columns=["safe", "unsafe"]).assign(word=[f"w{i}" for i in range(len(pairs))])
    found = counts.association(table, "safe", "unsafe", {"safe": safe, "unsafe": unsafe}, least=1)
    assert np.isfinite(found["pmi"]).all()
    assert (found["pmi"] >= -1e-12).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": "harmful"}, "No column 'harmful'"),
        ({"a": "harmless"}, "No column 'harmless'"),
        ({"totals": {"safe": 7, "unsafe": 10}}, r"more queries than there are \(7, 10\)"),
        ({"totals": {"safe": 10, "unsafe": 5}}, r"\(10, 5\)"),
    ],
)
def test_association_names_what_is_wrong(arguments, message):
    with pytest.raises(MirageError, match=message):
        counts.association(COUNTS, **{"a": "safe", "b": "unsafe", **arguments})


def drawn(rng: np.random.Generator) -> pd.DataFrame:
    """40 words in 300 queries that owe nothing to the labels, and "planted", in .64 of the safe and .4 of the rest."""
    safe = rng.random(300) < 0.5
    there = rng.random((300, 41)) < np.append(np.linspace(0.02, 0.6, 40), 0.4)
    there[safe, 40] |= rng.random(safe.sum()) < 0.4
    found = Wording([*(f"w{i}" for i in range(40)), "planted"], np.zeros(300, int), sparse.csr_matrix(there, dtype=int))
    table = counts.tabulate(found, np.where(safe, "safe", "unsafe").tolist(), "any")
    totals = {"safe": int(safe.sum()), "unsafe": int((~safe).sum())}
    return counts.association(table, "safe", "unsafe", totals).set_index("word")


def test_words_that_tell_nothing_are_hardly_ever_called_telling():
    rng = np.random.default_rng(0)
    null = [drawn(rng).drop(index=["w0", "planted"]) for _ in range(200)]  # w0 opens every query here
    assert np.mean([(one["q"] < 0.05).any() for one in null]) < 0.06  # any such call is a false one
    assert np.mean([(one["p"] < 0.05).any() for one in null]) > 0.5  # what it would be without the control
    assert np.mean([drawn(rng).loc["planted", "q"] < 0.05 for _ in range(20)]) > 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"b": "harmful"}, "No column 'harmful'"), ({"prior": "strong"}, "'strong'"), ({"prior_total": 0}, "of 0 words")],
)
def test_log_odds_name_what_is_wrong(arguments, message):
    with pytest.raises(MirageError, match=message):
        counts.log_odds(COUNTS, **{"a": "safe", "b": "unsafe", **arguments})


def test_label_given_word():
    found = counts.label_given_word(COUNTS, "unsafe").set_index("word")
    assert found["n"].tolist() == [9, 6, 8, 0]
    assert found["share"].tolist()[:3] == pytest.approx([1 / 9, 1, 0.5])
    z = 1.959963984540054
    assert found.loc["share", "low"] == pytest.approx(6 / (6 + z * z))  # Wilson where all are hits
    assert found.loc["share", "high"] == 1
    assert found.loc["never", ["share", "low", "high"]].isna().all()
    with pytest.raises(MirageError, match="No column 'harmful'"):
        counts.label_given_word(COUNTS, "harmful")
    with pytest.raises(MirageError, match="level is 95"):
        counts.label_given_word(COUNTS, "safe", level=95)


SUBSETS = ["safe_safes", "safe_unsafes", "unsafes"]


def test_committed_counts_say_how_sure_a_word_makes():
    table = first_words.committed_table("train")
    two = table[["word"]].assign(safe=table["safe_safes"], unsafe=table["safe_unsafes"] + table["unsafes"])
    found = counts.label_given_word(two, "unsafe").set_index("word")
    assert found.loc["share", "share"] == 1
    assert round(found.loc["what", "share"], 3) == 0.066
    assert round(found.loc["can", "share"], 3) == 0.893
    odds = counts.log_odds(two, "safe", "unsafe")
    assert odds["word"].iloc[0] == "what"


@pytest.mark.parametrize(
    ("split", "facts"),
    [
        ("train", {"can": 0.107, "what": 0.934, "share": 0, "describe": 0, "please": 0.008, "identify": 0, "who": 0}),
        ("test", {"what": 0.938, "can": 0.082, "share": 0, "describe": 0.017, "provide": 0, "please": 0, "use": 0}),
    ],
)
def test_how_often_a_query_with_this_first_word_is_answered(split, facts):
    found = counts.label_given_word(first_words.committed_table(split), "safe_safes").set_index("word")["share"]
    assert {word: round(found[word], 3) for word in facts} == facts


def by_word(**words: tuple[int, int]) -> pd.DataFrame:
    """A table of counts, (safe, unsafe) by word."""
    return pd.DataFrame([(word, *pair) for word, pair in words.items()], columns=["word", "safe", "unsafe"])


def test_one_word_goes_far_in_vlguard():
    found = counts.first_word_accuracy(
        first_words.committed_table("train"), first_words.committed_table("test"), "safe_safes"
    )
    assert {name: round(share, 3) for name, share in found.items()} == {"accuracy": 0.949, "majority": 0.642}


def test_first_word_accuracy_by_hand():
    train = by_word(what=(8, 1), can=(3, 4), share=(0, 9))
    test = by_word(share=(1, 4), what=(5, 2), can=(2, 1))
    # what -> answer, right 5 of 7; can and share -> refuse, right 1 of 3 and 4 of 5. Unsafe is commoner in train.
    assert counts.first_word_accuracy(train, test, "safe") == pytest.approx({"accuracy": 10 / 15, "majority": 7 / 15})
    assert counts.first_word_accuracy(train, test[["unsafe", "safe", "word"]].iloc[::-1], "safe") == pytest.approx(
        {"accuracy": 10 / 15, "majority": 7 / 15}
    )
    assert counts.first_word_accuracy(train, test, "unsafe") == pytest.approx({"accuracy": 10 / 15, "majority": 7 / 15})


@pytest.mark.parametrize(("safe", "right"), [(9, 3), (1, 5)])
def test_an_unseen_word_goes_to_the_commoner_label_of_training(safe, right):
    train = by_word(what=(safe, 0), share=(0, 6))
    found = counts.first_word_accuracy(train, by_word(never=(3, 5)), "safe")
    assert found == {"accuracy": right / 8, "majority": right / 8}


def test_all_other_groups_are_refused_together():
    train = pd.DataFrame({"word": ["can", "what"], "a": [3, 9], "b": [2, 0], "c": [2, 0]})
    test = pd.DataFrame({"word": ["can"], "a": [1], "b": [2], "c": [4]})
    assert counts.first_word_accuracy(train, test, "a") == {
        "accuracy": 6 / 7,
        "majority": 1 / 7,
    }  # 3 is fewer than 2 + 2
    assert counts.first_word_accuracy(train, test.drop(columns="c"), "a") == {"accuracy": 2 / 3, "majority": 1 / 3}


def test_first_word_accuracy_names_a_missing_group():
    whole, part = by_word(what=(1, 2)), by_word(what=(1, 2)).drop(columns="safe")
    for train, test in ((whole, part), (part, whole)):
        with pytest.raises(MirageError, match="No column 'safe'"):
            counts.first_word_accuracy(train, test, "safe")


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.tuples(*[st.integers(1, 30)] * 2), min_size=1))
def test_on_its_own_counts_a_lookup_beats_the_majority(pairs):
    table = by_word(**pairs)
    found = counts.first_word_accuracy(table, table, "safe")
    total = sum(map(sum, pairs.values()))
    assert found["accuracy"] == pytest.approx(sum(map(max, pairs.values())) / total)
    assert found["majority"] == pytest.approx(max(table["safe"].sum(), table["unsafe"].sum()) / total)


@real
def test_words_anywhere_agree_with_the_facts():
    for split, facts in (
        ("train", {"what": (90.0, 5.2, 4.6), "share": (0, 0.5, 21.9)}),
        ("test", {"what": (93.5, 4.1, 6.1), "share": (0, 0.9, 17.9)}),
    ):
        examples = vlguard(Path(os.environ["MIRAGE_DATA"]), split)
        counted = counts.word_counts(examples, where="any", group=lambda one: one.category).set_index("word")
        sizes = pd.Series([one.category for one in examples]).value_counts()
        for word, expected in facts.items():
            found = tuple(round(100 * counted.loc[word, subset] / sizes[subset], 1) for subset in SUBSETS)
            assert found == expected


# log-odds of a word anywhere, safe queries against one subset of the unsafe ones
ODDS = [
    ("train", "unsafes", {"what": 5.21, "does": 4.78, "type": 4.04, "activity": 2.69, "is": 2.47, "share": -6.31}),
    ("train", "unsafes", {"please": -4.39, "explain": -3.77, "political": -3.58, "provide": -3.36, "identify": -2.83}),
    ("train", "safe_unsafes", {"what": 5.08, "provide": -6.53, "information": -5.04, "identify": -4.70}),
    ("train", "safe_unsafes", {"you": -3.95, "can": -3.59}),
    ("test", "unsafes", {"what": 5.38, "share": -5.50}),
]


@pytest.fixture(scope="module")
def associations():
    """Split and unsafe subset -> the association of VLGuard's words anywhere."""
    found = {}
    for split in ("train", "test"):
        examples = vlguard(Path(os.environ["MIRAGE_DATA"]), split)
        sizes = pd.Series([one.category for one in examples]).value_counts()
        table = counts.word_counts(examples, where="any", group=lambda one: one.category)
        for subset in SUBSETS[1:]:
            found[split, subset] = counts.association(table, "safe_safes", subset, sizes.to_dict()).set_index("word")
    return found


@real
@pytest.mark.parametrize(("split", "subset", "facts"), ODDS)
def test_log_odds_of_words_anywhere_agree_with_the_facts(associations, split, subset, facts):
    found = associations[split, subset]["odds"]
    assert {word: found[word] for word in facts} == pytest.approx(facts, abs=0.01)


@real
def test_what_and_share_stand_out(associations):
    found = associations["train", "unsafes"]
    assert found.index[0] == "what"
    assert found.loc["what", "z"] == pytest.approx(28.5, abs=0.05)
    assert found.loc["what", "pmi"] == pytest.approx(0.96, abs=0.01)
    assert found.loc["share", "pmi"] == pytest.approx(0.96, abs=0.01)
    assert associations["test", "unsafes"].loc["share", "pmi"] == pytest.approx(1.17, abs=0.01)
    assert found.loc[["what", "share"], "q"].max() < 1e-40
    assert found["odds"].idxmin() == "share"


prompts = st.lists(st.tuples(st.text(max_size=20), st.sampled_from(["safe", "unsafe"])), max_size=15)


@settings(deadline=None)
@given(prompts)
def test_every_example_has_one_first_word(pairs):
    found = counts.word_counts([example(prompt, intent) for prompt, intent in pairs])
    assert found[["safe", "unsafe"]].to_numpy().sum() == len(pairs)
    totals = found["safe"] + found["unsafe"]
    assert totals.is_monotonic_decreasing
    shares = counts.label_given_word(found, "unsafe")
    assert ((shares["low"] <= shares["share"]) & (shares["share"] <= shares["high"])).all()
    assert shares["n"].sum() == len(pairs)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8), st.floats(1, 500))
def test_log_odds_turn_their_sign_with_the_groups(pairs, prior_total):
    table = pd.DataFrame({"word": [f"w{i}" for i in range(len(pairs))], "a": 0, "b": 0})
    table[["a", "b"]] = pairs
    there = counts.log_odds(table, "a", "b", prior_total=prior_total).set_index("word").sort_index()
    back = counts.log_odds(table, "b", "a", prior_total=prior_total).set_index("word").sort_index()
    pd.testing.assert_frame_equal(there, -back)

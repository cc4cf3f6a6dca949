"""Bag-of-words classifiers: what they see, folds without leaks, forecasts by hand, and the numbers of VLGuard."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from mirage_lib.attacks import OneWord, rewrites
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.published.vlguard import vlguard, vlguard_rewrites
from mirage_lib.text.bag_of_words import (
    CLASSIFIERS,
    WordsModel,
    cross_validated,
    features,
    fit_matrix,
    fit_words,
    folds,
    forecast,
    transferred,
)
from mirage_lib.text.tokens import characters, wording, words

real = pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")


@pytest.mark.parametrize(
    ("classifier", "seen"),
    [
        ("first word", [{"what"}, {"can"}, {""}]),
        ("all words", [{"what", "is"}, {"can", "what"}, {""}]),
        ("all but the first", [{"is", "what"}, {"what"}, set()]),
    ],
)
def test_features(classifier, seen):
    found = wording(["What is what", "Can what?", "..."])
    matrix = features(found, classifier).toarray()
    assert [{found.vocabulary[i] for i in np.flatnonzero(row)} for row in matrix] == seen
    assert set(matrix.ravel().tolist()) == {0, 1}


def test_an_unknown_reader_is_named():
    with pytest.raises(
        MirageError, match="no classifier 'last word'; there are first word, all words, all but the first"
    ):
        features(wording(["a"]), "last word")  # pyright: ignore[reportArgumentType]
    with pytest.raises(MirageError, match="'last word'"):
        cross_validated(*drawn(100), classifiers=["last word"])  # pyright: ignore[reportArgumentType]


def drawn(n: int, seed: int = 0, wrong: float = 0.1) -> tuple[list[str], np.ndarray]:
    """Queries of four words out of ten; the label is whether "a" is among them, but for a share that is wrong."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(list("abcdefghij"), 4, replace=False)) for _ in range(n)]
    return texts, np.array(["a" in text for text in texts]) ^ (rng.random(n) < wrong)


def test_a_model_of_words_is_scikit_learns():
    texts, unsafe = drawn(200)
    asked = [*drawn(50, seed=1)[0], "A b, B!", "unseen", ""]
    count = CountVectorizer(analyzer=words, binary=True)
    exact = LogisticRegression(C=1, max_iter=10_000, tol=1e-10).fit(count.fit_transform(texts).astype(float), unsafe)
    model = fit_words(texts, unsafe)
    score = model.score(asked)
    assert score == pytest.approx(exact.decision_function(count.transform(asked).astype(float)), abs=1e-5)
    assert (model.unsafe(asked) == (score > 0)).all()
    assert np.abs(score).max() > 1


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_words_never_seen_add_nothing(classifier):
    model = fit_words(*drawn(60), classifier)
    asked = {"first word": "zz a b", "all words": "zz yy", "all but the first": "a zz yy"}[classifier]
    assert model.score([asked]) == pytest.approx([model.intercept])
    assert model.score(["c a b", "c a b zz"])[0] == pytest.approx(model.score(["c a b", "c a b zz"])[1])
    assert model.score([]).shape == model.unsafe([]).shape == (0,)


def test_a_score_is_a_sum():
    model = WordsModel("all words", {"what": -2.0, "图": 3.0, "": 0.5}, 1.0)
    assert model.score(["What what now", "", "图片"]).tolist() == [-1, 1.5, 1]
    assert WordsModel("all words", model.weights, 1.0, characters).score(["图片"]).tolist() == [4]
    assert WordsModel("all but the first", model.weights, 1.0).score(["now what", "what"]).tolist() == [-1, 1]
    assert WordsModel("first word", {"a": -1.0}, 1.0).unsafe(["a"]).tolist() == [False]  # in doubt it answers


@pytest.mark.parametrize(
    ("texts", "unsafe", "message"),
    [
        (["a", "b"], [True, True], "every query is unsafe"),
        (["a", "b"], [False, False], "every query is safe"),
        ([], [], "no query"),
    ],
)
def test_one_label_is_none(texts, unsafe, message):
    with pytest.raises(MirageError, match=message):
        fit_words(texts, unsafe)


def test_a_query_without_weight_is_not_there():
    texts, unsafe = drawn(120)
    matrix = features(wording(texts), "all words")
    weight = np.repeat([1.0, 0.0], 60)
    found, intercept = fit_matrix(matrix, unsafe, weight)
    expected, of_half = fit_matrix(matrix[:60], unsafe[:60])
    assert [*found, intercept] == pytest.approx([*expected, of_half], abs=1e-3)
    assert fit_matrix(matrix, unsafe)[0] != pytest.approx(expected, abs=1e-1)


REPEATED = [f"name{i} is{i}" for i in range(40) for _ in range(5)]  # no two share a word
BY_CHANCE = np.repeat(np.random.default_rng(0).permutation(40) % 2 == 0, 5)


def test_queries_that_return_are_known_by_heart_unless_grouped():
    leaking = cross_validated(REPEATED, BY_CHANCE)
    assert (leaking["accuracy"] == 1).all()
    grouped = cross_validated(REPEATED, BY_CHANCE, groups=REPEATED)
    assert (grouped["balanced"] == 0.5).all()
    assert (grouped["auc"] == 0.5).all()
    assert grouped["accuracy"].mean() < 0.6


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(40), 5)])
def test_folds_share_nothing_and_leave_nothing_out(groups):
    units = np.arange(200) if groups is None else groups
    parts = list(folds(BY_CHANCE, groups, 4, 0))
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(200))
    for train, test in parts:
        assert not set(units[train]) & set(units[test])
        assert sorted([*train, *test]) == list(range(200))
    other = list(folds(BY_CHANCE, groups, 4, 1))
    assert any(set(one[1]) != set(two[1]) for one, two in zip(parts, other, strict=True))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_rare_label_is_in_every_fold(grouped, seed):
    rare = np.arange(300) < 10  # as many as 5 folds are said to need
    for train, test in folds(rare, np.arange(300) if grouped else None, 5, seed):
        assert rare[test].any()
        assert rare[train].any()


def test_cross_validation_has_a_seed():
    texts, unsafe = drawn(150)
    for groups in (None, texts):
        first = cross_validated(texts, unsafe, groups=groups, seed=1)
        pd.testing.assert_frame_equal(first, cross_validated(texts, unsafe, groups=groups, seed=1))
        assert not first.equals(cross_validated(texts, unsafe, groups=groups, seed=2))


def test_cross_validated_lines():
    texts, unsafe = drawn(150)
    found = cross_validated(texts, unsafe, ["all words", "first word"], count=3)
    assert found["classifier"].tolist() == ["all words", "first word"] * 3
    assert found["fold"].tolist() == [0, 0, 1, 1, 2, 2]
    assert found.groupby("classifier")["n"].sum().tolist() == [150, 150]
    assert found.query("classifier == 'all words'")["accuracy"].mean() > found["majority"].mean()
    pd.testing.assert_frame_equal(
        found, cross_validated(wording(texts), unsafe.tolist(), ["all words", "first word"], count=3)
    )


@pytest.mark.parametrize(("each", "groups"), [(9, None), (9, "own"), (60, "nine")])
def test_too_few_queries_for_folds(each, groups):
    texts = [f"a{i}" for i in range(2 * each)]
    unsafe = np.arange(2 * each) < each
    kept = {None: None, "own": texts, "nine": [i % 9 for i in range(2 * each)]}[groups]
    with pytest.raises(MirageError, match="5 folds need at least 10 different queries of each label; there are 9"):
        cross_validated(texts, unsafe, groups=kept)


def test_ten_queries_of_each_label_are_enough():
    texts = [f"{'what' if i < 10 else 'share'} a{i}" for i in range(20)]
    found = cross_validated(texts, np.arange(20) >= 10, ["first word"])
    assert (found["accuracy"] == 1).all()


def test_transferred_marks_by_hand():
    train = ["what a", "what b", "what c", "share a", "share b"]
    found = transferred(
        train, [False, False, False, True, True], ["what a", "share c", "what d"], [True, True, False], ["first word"]
    )
    assert found.to_dict("records") == [
        {"classifier": "first word", "n": 3, "accuracy": 2 / 3, "balanced": 0.75, "auc": 0.75, "majority": 2 / 3}
    ]
    alone = transferred(train, [False, False, False, True, True], ["share"], [True])
    assert alone["accuracy"].tolist() == [1, 1, 0]  # nothing but the first word: the commoner label, safe
    assert alone[["balanced", "auc"]].isna().all(axis=None)


def example(name: str, prompt: str, intent: str, root: str = "", edit: str = "") -> Example:
    """An example with this prompt."""
    return Example(name, "lab-0", "test", "", prompt, intent, ("yes",), root=root, edit=edit)


MODEL = WordsModel("first word", {"what": -2.0, "share": 2.0}, 0.5)  # refuses all but "what"
SHOTS = [
    example("u1", "Share it", "unsafe"),
    example("u2", "What is it", "unsafe"),
    example("s1", "What is it", "safe"),
    example("u1~0", "What is it", "unsafe", "u1", "what"),
    example("u1~1", "Share it", "unsafe", "u1", "what"),
    example("u1~2", "What now", "unsafe", "u1", "what"),
    example("u2~0", "Can it", "unsafe", "u2", "what"),
    example("u3~0", "What it", "unsafe", "u3", "what"),
    example("s1~0", "Can it", "safe", "s1", "what"),
    example("s1~1", "Share it", "safe", "s1", "share"),
]


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of k of n."""
    z = 1.959963984540054
    middle, half = (k + z * z / 2) / (n + z * z), z / (n + z * z) * (k * (n - k) / n + z * z / 4) ** 0.5
    return middle - half, middle + half


def test_forecast_by_hand():
    found = forecast(MODEL, SHOTS)
    assert found.columns.tolist() == ["edit", "intent", "roots", "queries", "each", "any", "low", "high"]
    rows = {(row.edit, row.intent): row for row in found.itertuples()}
    expected = {  # roots, queries, flipped queries, roots with a flip
        ("", "safe"): (1, 1, 0, 0),
        ("", "unsafe"): (2, 2, 1, 1),
        ("share", "safe"): (1, 1, 1, 1),
        ("what", "safe"): (1, 1, 1, 1),
        ("what", "unsafe"): (3, 5, 3, 2),
    }
    assert list(rows) == list(expected)
    for key, (roots, queries, flips, broken) in expected.items():
        row = rows[key]
        assert (row.roots, row.queries) == (roots, queries)
        assert (row.each, row.any) == pytest.approx((flips / queries, broken / roots))
        assert (row.low, row.high) == pytest.approx(wilson(broken, roots), abs=1e-9)
    pd.testing.assert_frame_equal(found, forecast(MODEL, reversed(SHOTS)))


def test_no_examples_have_no_forecast():
    found = forecast(MODEL, [])
    assert len(found) == 0
    assert found.columns.tolist() == forecast(MODEL, SHOTS).columns.tolist()


def worded(n: int, bias: float, seed: int = 0) -> list[Example]:
    """Queries of three words that half tell the label, after an opener that tells it with the chance ``bias``."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        intent = ("safe", "unsafe")[i % 2]
        own = {"safe": "What", "unsafe": "Share"}[intent]
        opener = own if rng.random() < bias else rng.choice(["What", "Share"])
        content = rng.choice(list("abcdefgh"), 3, p=np.array([1, 1, 1, 1, 4, 4, 4, 4][:: 1 if i % 2 else -1]) / 20)
        found.append(example(str(i), f"{opener} {' '.join(content)}", intent))
    return found


@pytest.mark.parametrize(("bias", "low", "high"), [(0.9, 0.3, 1), (0, -0.05, 0.05)])
def test_openers_that_tell_nothing_give_the_attack_nothing(bias, low, high):
    train, test = worded(2000, bias), worded(400, bias, seed=1)
    model = fit_words([one.prompt for one in train], [one.intent == "unsafe" for one in train])
    attacked = [OneWord({"unsafe": "What", "safe": "Share"}[one.intent])(one) for one in test]
    found = forecast(model, test + attacked).set_index(["intent", "edit"])["each"]
    for intent, edit in (("unsafe", "swap:What"), ("safe", "swap:Share")):
        assert low <= found[intent, edit] - found[intent, ""] <= high


# Text-only classifiers of VLGuard. The subset that is left out -> the facts.
ALL, INSTRUCTION = "", "safe_unsafes"


def split_of(name: str, without: str = ALL) -> list[Example]:
    """VLGuard's queries but for one subset."""
    return [one for one in vlguard(Path(os.environ["MIRAGE_DATA"]), name) if one.category != without]


def labelled(examples: list[Example]) -> tuple[list[str], np.ndarray]:
    """Their prompts, and whether they are unsafe."""
    return [one.prompt for one in examples], np.array([one.intent == "unsafe" for one in examples])


@pytest.fixture(scope="module")
def trained():
    """Classifier -> the model of VLGuard's training queries."""
    return {classifier: fit_words(*labelled(split_of("train")), classifier) for classifier in CLASSIFIERS}


@pytest.fixture(scope="module")
def attacked():
    """The paper's rewrites of VLGuard's test queries and their one-word edits, and the queries themselves by subset."""
    examples = split_of("test")
    found = [one for one in examples if one.category != "safe_unsafes"]
    for name in ("rewrite:what", "rewrite:share"):
        texts = vlguard_rewrites(Path(os.environ["MIRAGE_DATA"]), name)
        found += [shot for one in examples for shot in rewrites(one, texts.get(one.id, []), name)]
    for word, subset in (("What", "unsafes"), ("Share", "safe_safes")):
        found += [OneWord(word, "prefix")(one) for one in examples if one.category == subset]
    return found


@real
@pytest.mark.parametrize(
    ("without", "facts"),
    [(ALL, [0.949, 0.983, 0.974]), (INSTRUCTION, [0.969, 0.990, 0.972])],
)
def test_words_of_train_label_the_queries_of_test(without, facts):
    found = transferred(*labelled(split_of("train", without)), *labelled(split_of("test", without)))
    assert found["accuracy"].tolist() == pytest.approx(facts, abs=0.0015)
    assert found["majority"].iloc[0] == pytest.approx({ALL: 0.642, INSTRUCTION: 0.558}[without], abs=0.001)


@real
@pytest.mark.parametrize(
    ("without", "grouped", "accuracy"),
    [(ALL, False, 0.974), (ALL, True, 0.964), (INSTRUCTION, False, 0.987), (INSTRUCTION, True, 0.970)],
)
def test_words_label_held_out_queries(without, grouped, accuracy):
    texts, unsafe = labelled(split_of("test", without))
    found = cross_validated(texts, unsafe, ["all words"], groups=texts if grouped else None)
    assert found["accuracy"].mean() == pytest.approx(accuracy, abs=0.015)
    assert found["auc"].mean() == pytest.approx({ALL: 0.994, INSTRUCTION: 0.997}[without], abs=0.004)


@real
@pytest.mark.parametrize(
    ("classifier", "edit", "intent", "each", "any"),
    [
        ("all words", "", "unsafe", 0.011, 0.011),
        ("all words", "", "safe", 0.025, 0.025),
        ("all words", "rewrite:what", "unsafe", 0.729, 0.919),
        ("all words", "rewrite:share", "safe", 0.559, 0.559),
        ("all words", "prefix:What", "unsafe", 0.30, 0.30),
        ("all words", "prefix:Share", "safe", 0.04, 0.04),
        ("first word", "rewrite:what", "unsafe", 1, 1),
        ("first word", "rewrite:share", "safe", 1, 1),
        ("all but the first", "rewrite:what", "unsafe", 0.375, 0.686),
        ("all but the first", "rewrite:share", "safe", 0.469, 0.469),
    ],
)
def test_forecasts_of_the_papers_attacks(trained, attacked, classifier, edit, intent, each, any):
    found = forecast(trained[classifier], attacked).set_index(["edit", "intent"]).loc[(edit, intent)]
    assert found["each"] == pytest.approx(each, abs=0.03)
    assert found["any"] == pytest.approx(any, abs=0.03)
    roots = {"": {"safe": 558, "unsafe": 442}[intent], "rewrite:share": 556, "prefix:Share": 558}.get(edit, 442)
    assert (found["roots"], found["queries"]) == (roots, roots * (3 if edit == "rewrite:what" else 1))


@real
def test_a_classifier_of_shuffled_openers_forecasts_no_attack(attacked):
    texts, unsafe = labelled(split_of("train"))
    openers = np.random.default_rng(0).permutation([words(text)[0] for text in texts])
    model = fit_words([" ".join([one, *words(text)[1:]]) for one, text in zip(openers, texts, strict=True)], unsafe)
    found = forecast(model, attacked).set_index(["edit", "intent"])["each"]
    assert found["prefix:What", "unsafe"] < found["", "unsafe"] + 0.02
    assert found["prefix:Share", "safe"] < found["", "safe"] + 0.02

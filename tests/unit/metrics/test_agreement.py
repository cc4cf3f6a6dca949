"""Agreement of judges: counts by hand, scikit-learn's values, and what happens where a measure is not defined."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score, precision_score, recall_score

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.agreement import MEASURES, agreement, difference, pairwise
from mirage_lib.metrics.intervals import wilson

SKLEARN = dict(zip(MEASURES, [precision_score, recall_score, f1_score, cohen_kappa_score, accuracy_score], strict=True))


def long(*replies: tuple) -> pd.DataFrame:
    """The long table from (item, group, call, label); None means unscored or not labelled."""
    rows = [(i, g, name, c) for i, g, *calls in replies for name, c in zip(["J", "human"], calls, strict=True)]
    return pd.DataFrame(rows, columns=["item", "group", "judge", "call"])


def several(group: str = "m", tp: int = 0, fp: int = 0, fn: int = 0, tn: int = 0) -> list[tuple]:
    kinds = [(True, True)] * tp + [(True, False)] * fp + [(False, True)] * fn + [(False, False)] * tn
    return [(item, group, *kind) for item, kind in enumerate(kinds)]


def line(table: pd.DataFrame, measure: str, scope: str = "pooled", **where: object) -> pd.Series:
    chosen = table[(table["measure"] == measure) & (table["scope"] == scope)]
    for column, value in where.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def drawn(seed: int = 0, items: int = 60, groups: str = "ab") -> list[tuple]:
    random = np.random.default_rng(seed)
    labels = random.random((items, len(groups))) < 0.4
    calls = np.where(labels, random.random(labels.shape) < 0.8, random.random(labels.shape) < 0.1)
    return [(i, g, bool(calls[i, j]), bool(labels[i, j])) for i in range(items) for j, g in enumerate(groups)]


def test_values_by_hand():
    found = agreement(long(*several(tp=6, fp=2, fn=4, tn=8)), "J", "human", draws=200)
    # chance: 8/20 of the calls and 10/20 of the labels are True, so 0.4 * 0.5 + 0.6 * 0.5 = 0.5
    expected = {"precision": 6 / 8, "recall": 6 / 10, "f1": 12 / 18, "kappa": (0.7 - 0.5) / 0.5, "accuracy": 0.7}
    for scope in ("group", "pooled", "macro"):
        assert {m: line(found, m, scope)["value"] for m in MEASURES} == pytest.approx(expected)
    assert found[["tp", "fp", "fn", "tn", "n", "n_unscored", "n_unlabelled"]].drop_duplicates().to_numpy().tolist() == [
        [6, 2, 4, 8, 20, 0, 0]
    ]
    assert (found["why"] == "").all()


@pytest.mark.parametrize("seed", range(5))
def test_values_are_those_of_scikit_learn(seed):
    replies = drawn(seed)
    found = agreement(long(*replies), "J", "human", draws=20)
    for measure, reference in SKLEARN.items():
        groups = []
        for group in ("a", "b"):
            calls, labels = zip(*[reply[2:] for reply in replies if reply[1] == group], strict=True)
            groups.append(reference(labels, calls))
            assert line(found, measure, "group", group=group)["value"] == pytest.approx(groups[-1])
        calls, labels = zip(*[reply[2:] for reply in replies], strict=True)
        assert line(found, measure)["value"] == pytest.approx(reference(labels, calls))
        assert line(found, measure, "macro")["value"] == pytest.approx(np.mean(groups))


def test_a_macro_mean_gives_each_group_the_same_weight():
    replies = [*several("large", tp=90, fn=10, tn=100), *several("small", tp=1, fn=1)]
    found = agreement(long(*replies), "J", "human", draws=100)
    assert line(found, "recall")["value"] == pytest.approx(91 / 102)
    assert line(found, "recall", "macro")["value"] == pytest.approx((0.9 + 0.5) / 2)


@pytest.mark.parametrize(
    ("cells", "measure", "why"),
    [
        ({"fn": 3, "tn": 3}, "precision", "the judge flags no reply"),
        ({"fp": 3, "tn": 3}, "recall", "no reply is positive"),
        ({"tn": 3}, "f1", "no reply is flagged or positive"),
        ({"tn": 3}, "kappa", "both give every reply the same call"),
        ({"tp": 3}, "kappa", "both give every reply the same call"),
    ],
)
def test_an_undefined_measure_is_missing_and_says_why(cells, measure, why):
    found = agreement(long(*several(**cells)), "J", "human", draws=20)
    for scope in ("group", "pooled", "macro"):
        one = line(found, measure, scope)
        assert one[["value", "low", "high"]].isna().all()
        assert one["why"] == f"undefined: {why}"


def test_without_a_pair_of_calls_nothing_is_defined():
    found = agreement(long((0, "m", None, True), (1, "m", True, None)), "J", "human", draws=20)
    assert found["value"].isna().all()
    assert set(found.loc[found["measure"] == "accuracy", "why"]) == {"undefined: no reply has both calls"}
    assert found[["n", "n_unscored", "n_unlabelled"]].drop_duplicates().to_numpy().tolist() == [[0, 1, 1]]


def test_a_judge_that_finds_nothing_has_no_recall_but_a_number():
    found = agreement(long(*several(fp=2, fn=3, tn=3)), "J", "human", draws=50)
    assert [line(found, measure)["value"] for measure in ("precision", "recall", "f1")] == [0, 0, 0]


def test_the_macro_mean_names_the_groups_that_it_leaves_out():
    replies = [*several("a", tp=8, fn=2, tn=5), *several("never", tn=5)]
    one = line(agreement(long(*replies), "J", "human", draws=100), "recall", "macro")
    assert one["value"] == pytest.approx(0.8)
    assert one["why"].startswith("undefined in never: left out of the mean")


def test_draws_without_a_value_are_counted():
    one = line(agreement(long(*several(tp=1, fn=1, tn=8)), "J", "human", draws=500), "recall")
    lost = int(one["why"].split()[2])
    assert one["why"] == f"undefined in {lost} of 500 draws: left out of the interval"
    assert lost / 500 == pytest.approx(0.8**10, abs=0.06), "no draw of the two positives among ten"


def test_unscored_calls_are_left_out_or_wrong_but_always_counted():
    replies = [*several(tp=6, fp=2, fn=2, tn=6), (90, "m", None, True), (91, "m", None, False), (92, "m", True, None)]
    table = long(*replies)
    out = line(agreement(table, "J", "human", draws=50), "recall")
    wrong = line(agreement(table, "J", "human", unscored="wrong", draws=50), "recall")
    assert out[["tp", "fp", "fn", "tn", "n", "n_unscored", "n_unlabelled"]].tolist() == [6, 2, 2, 6, 16, 2, 1]
    assert wrong[["tp", "fp", "fn", "tn", "n", "n_unscored", "n_unlabelled"]].tolist() == [6, 3, 3, 6, 18, 2, 1]
    assert (out["value"], wrong["value"]) == (6 / 8, 6 / 9)
    absent = table.dropna(subset="call")  # a judge without a row has no call either
    pd.testing.assert_frame_equal(agreement(absent, "J", "human", draws=50), agreement(table, "J", "human", draws=50))


def test_the_interval_of_independent_replies_is_close_to_wilsons():
    found = agreement(long(*several(tp=200, fp=50, fn=100, tn=300)), "J", "human")
    for measure, hits, n in (("precision", 200, 250), ("recall", 200, 300), ("accuracy", 500, 650)):
        one = line(found, measure)
        assert (one["low"], one["high"]) == pytest.approx(wilson(hits, n), abs=0.01)


def test_models_that_reply_alike_tell_as_much_as_one():
    one = drawn(3, items=80, groups="a")
    table = long(*[(item, group, *calls) for item, _, *calls in one for group in "abcde"])
    found = agreement(table, "J", "human", draws=300)
    bounds = ["value", "low", "high"]
    for measure in MEASURES:
        alone = line(found, measure, "group", group="a")[bounds].tolist()
        assert line(found, measure)[bounds].tolist() == pytest.approx(alone)
        assert line(found, measure, "macro")[bounds].tolist() == pytest.approx(alone)
    apart = table.assign(reply=range(len(table))).assign(reply=lambda rows: rows["reply"] // 2)
    narrow = line(agreement(apart, "J", "human", cluster="reply", draws=300), "accuracy")
    assert narrow["high"] - narrow["low"] < 0.6 * (line(found, "accuracy")["high"] - line(found, "accuracy")["low"]), (
        "replies that count as independent tell more"
    )


def test_a_judge_without_errors_still_has_an_interval():
    found = agreement(long(*several(tp=20, tn=30)), "J", "human", draws=100)
    assert line(found, "precision")[["value", "low", "high"]].tolist() == pytest.approx([1, *wilson(20, 20)])
    share = wilson(20, 20)[0]
    assert line(found, "f1")["low"] == pytest.approx(2 * share / (1 + share))
    chance = 0.4**2 + 0.6**2
    assert line(found, "kappa")["low"] == pytest.approx((wilson(50, 50)[0] - chance) / (1 - chance))
    assert line(found, "recall", "macro")["low"] == pytest.approx(wilson(20, 20)[0])


def test_the_seed_decides_the_interval():
    table = long(*drawn())
    first, again, other = (agreement(table, "J", "human", draws=100, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first["low"].equals(other["low"])
    assert first["value"].equals(other["value"])


def test_pairs_of_judges():
    table = long(*drawn())
    third = table[table["judge"] == "human"].assign(judge="K")
    third["call"] = [None, *(not call for call in third["call"].tolist()[1:])]
    found = pairwise(pd.concat([table, third]), draws=100)
    assert found.columns.tolist() == ["judge", "other", "measure", "value", "low", "high", "n", "n_unscored", "why"]
    assert found[["judge", "other"]].drop_duplicates().to_numpy().tolist() == [
        ["J", "K"],
        ["J", "human"],
        ["K", "human"],
    ]
    by_pair = found.set_index(["judge", "other", "measure"])
    own = agreement(table, "J", "human", draws=100)
    for measure, name in (("accuracy", "agreement"), ("kappa", "kappa")):
        expected = line(own, measure)[["value", "low", "high", "n"]].tolist()
        assert by_pair.loc[("J", "human", name), ["value", "low", "high", "n"]].tolist() == pytest.approx(expected)
    opposite = by_pair.loc[("K", "human", "agreement")]
    assert opposite[["value", "n", "n_unscored"]].tolist() == [0, 119, 1]
    assert 0 == opposite["low"] < opposite["high"] < 0.1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.iloc[:0], "has 0 rows"),
        (lambda t: t.drop(columns="judge"), "a column 'judge'"),
        (lambda t: t.drop(columns="call"), "No column 'call'.*item, group, judge"),
        (lambda t: t.replace({"judge": {"J": "other"}}), "no judge 'J' in this table; there are human, other"),
        (lambda t: pd.concat([t, t.head(1)]), "judge 'J' has two calls for item '0' of group 'a'"),
        (lambda t: t.assign(call="yes"), "call of 'J' is not True, False or missing"),
        (lambda t: t.assign(group=None), "no 'group'"),
        (lambda t: t.assign(judge=None), "has no judge"),
    ],
)
def test_errors_name_what_is_wrong(change, match):
    with pytest.raises(MirageError, match=match):
        agreement(change(long(*drawn(items=4))), "J", "human")


def test_settings_out_of_range():
    table = long(*drawn(items=4))
    for wrong in ({"unscored": "drop"}, {"level": 1.0}, {"draws": 0}, {"by": "model"}, {"item": "id"}):
        with pytest.raises(MirageError):
            agreement(table, "J", "human", **wrong)
    with pytest.raises(MirageError, match="only judge in this table is 'J'"):
        pairwise(table[table["judge"] == "J"])
    with pytest.raises(MirageError, match="clusters has two values for item '0'"):
        agreement(table.assign(root=range(len(table))), "J", "human", cluster="root")


kinds = st.sampled_from([True, False, None])
tables = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from("ab"), kinds, kinds),
    min_size=1,
    max_size=20,
    unique_by=lambda r: r[:2],
)


@settings(deadline=None, max_examples=25)
@given(tables, st.sampled_from(["left out", "wrong"]), st.randoms(use_true_random=False))
def test_bounds_counts_and_no_influence_of_the_order_of_rows(replies, unscored, random):
    table = long(*replies)
    found = agreement(table, "J", "human", unscored=unscored, draws=30)
    there = found.dropna(subset="value")
    least = np.where(there["measure"] == "kappa", -1, 0)
    assert (least <= there["low"]).all()
    assert (there["low"] <= there["value"] + 1e-12).all()
    assert (there["value"] <= there["high"] + 1e-12).all()
    assert (there["high"] <= 1).all()
    assert (found.loc[found["value"].isna(), "why"] != "").all()
    lost = found["n_unlabelled"] + (found["n_unscored"] if unscored == "left out" else 0)
    assert (found["n"] + lost)[found["scope"] != "group"].eq(len(replies)).all()
    shuffled = table.iloc[random.sample(range(len(table)), len(table))]
    pd.testing.assert_frame_equal(agreement(shuffled, "J", "human", unscored=unscored, draws=30), found)


@settings(deadline=None, max_examples=25)
@given(tables)
def test_kappa_does_not_change_if_judge_and_truth_change_places(replies):
    table = long(*replies)
    one, other = agreement(table, "J", "human", draws=30), agreement(table, "human", "J", draws=30)
    for measure, mirrored in (("kappa", "kappa"), ("f1", "f1"), ("precision", "recall")):
        left, right = (
            t.loc[t["measure"] == m, ["value", "low", "high"]] for t, m in ((one, measure), (other, mirrored))
        )
        np.testing.assert_allclose(left.to_numpy(float), right.to_numpy(float))


def test_a_difference_is_that_of_the_two_measures_and_pairs_the_draws():
    random = np.random.default_rng(0)
    truth = random.random(400) < 0.4
    good, bad = (truth ^ (random.random(400) < share) for share in (0.05, 0.25))
    calls = {"people": truth, "good": good, "bad": bad, "same": good}
    table = pd.concat(
        pd.DataFrame({"item": range(400), "group": "m", "judge": name, "call": call}) for name, call in calls.items()
    )
    value, low, high = difference(table, "good", "bad", "people")
    assert value == pytest.approx(f1_score(truth, good) - f1_score(truth, bad))
    assert 0 < low < value < high < 1
    assert difference(table, "good", "same", "people") == (0, 0, 0), "the same replies are drawn for both"
    with pytest.raises(MirageError, match="measure is 'nix'"):
        difference(table, "good", "bad", "people", measure="nix")

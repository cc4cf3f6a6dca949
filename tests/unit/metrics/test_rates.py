"""Rates, against closed forms and published facts; the rate of nothing is missing."""

import math
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics import rates
from mirage_lib.metrics.intervals import wilson


def table(labels: list[str], **columns) -> pd.DataFrame:
    """A small joined table; every row is a root of its own unless said otherwise."""
    n = len(labels)
    base = {"label": labels, "root": [f"r{i}" for i in range(n)], "shot": [0] * n, "attempt": [0] * n}
    return pd.DataFrame({**base, **columns})


def closed_form(hits: int, n: int) -> tuple[float, float]:
    """Wilson's interval at 95 %, written out."""
    z, p = 1.959963984540054, hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


@pytest.mark.parametrize(("hits", "n", "low", "high"), [(45, 442, 7.7, 13.4), (207, 442, 42.2, 51.5)])
def test_wilson_of_published_counts(hits, n, low, high):
    found = rates.rate(table(["complied"] * hits + ["refused"] * (n - hits)), "complied").iloc[0]
    assert (round(100 * found["low"], 1), round(100 * found["high"], 1)) == (low, high)
    assert (found["low"], found["high"]) == pytest.approx(closed_form(hits, n))
    assert found["rate"] == hits / n


def test_unscored_rows_are_counted_apart():
    frame = table(["complied", "refused", "unscored", "garbled", "unscored"])
    found = rates.rate(frame, ["complied", "garbled"]).iloc[0]
    assert (found["n"], found["n_unscored"]) == (3, 2)
    assert found["rate"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("cluster", [None, "root", ["root", "shot"]])
def test_the_rate_of_nothing_is_missing(cluster):
    for frame in (table([]), table(["unscored", "unscored"])):
        found = rates.rate(frame, "complied", cluster=cluster).iloc[0]
        assert found[["rate", "low", "high"]].isna().all()
        assert (found["n"], found["n_unscored"]) == (0, len(frame))
    assert len(rates.rate(table([]), "complied", by=["root"], cluster=cluster)) == 0


def test_one_line_per_group():
    frame = table(["complied", "refused", "complied", "unscored"], model=["b", "b", "a", "c"])
    found = rates.rate(frame, "complied", by=["model"])
    assert found.columns.tolist() == ["model", "rate", "low", "high", "n", "n_unscored"]
    assert found["model"].tolist() == ["a", "b", "c"]
    assert found["rate"].tolist()[:2] == [1.0, 0.5]
    assert math.isnan(found["rate"].iloc[2])


def test_clusters_widen_the_interval_and_the_seed_decides_it():
    labels = (["complied"] * 10 + ["refused"] * 10) * 10
    frame = table(labels, root=[f"r{i // 10}" for i in range(200)])
    alone = rates.rate(frame, "complied").iloc[0]
    clustered = rates.rate(frame, "complied", cluster="root", seed=3)
    width = clustered["high"][0] - clustered["low"][0]
    assert width > 2 * (alone["high"] - alone["low"])
    # 20 clusters of 0 or 1: the redrawn rate has standard deviation .5 / sqrt(20)
    assert width == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(20), abs=0.05)
    pd.testing.assert_frame_equal(clustered, rates.rate(frame, "complied", cluster="root", seed=3))
    other = rates.rate(frame, "complied", cluster="root", seed=4, draws=50)
    assert (other["low"][0], other["high"][0]) != (clustered["low"][0], clustered["high"][0])


@pytest.mark.parametrize("label", ["complied", "refused"])
def test_a_bootstrap_without_width_falls_back_to_the_clusters(label):
    frame = table([label] * 40, root=[f"r{i // 4}" for i in range(40)])
    found = rates.rate(frame, "complied", cluster="root").iloc[0]
    assert (found["low"], found["high"]) == pytest.approx(wilson(10 if label == "complied" else 0, 10))
    assert found["high"] - found["low"] > 0.2


def test_clusters_of_equal_rates_and_a_lone_cluster_keep_a_width():
    frame = table(["complied", "refused", "refused"] * 7, root=[f"r{i // 3}" for i in range(21)])
    for part, clusters in ((frame, 7), (frame.head(3), 1)):
        found = rates.rate(part, "complied", cluster="root").iloc[0]
        assert (found["low"], found["high"]) == pytest.approx(wilson(clusters / 3, clusters))


def test_a_group_keeps_its_interval_when_others_join():
    frame = table(["complied", "refused", "refused", "complied"] * 5, model=["a", "a", "a", "b"] * 5)
    both = rates.rate(frame, "complied", by=["model"], cluster="root")
    one = rates.rate(frame[frame["model"] == "a"], "complied", by=["model"], cluster="root")
    pd.testing.assert_frame_equal(both.head(1), one)


def shots(*labels: str, **columns) -> pd.DataFrame:
    """One root per word, one letter per shot: c complied, r refused, u unscored."""
    names = {"c": "complied", "r": "refused", "u": "unscored"}
    rows = [
        {"root": f"r{i}", "shot": shot, "attempt": 0, "label": names[letter], **columns}
        for i, word in enumerate(labels)
        for shot, letter in enumerate(word)
    ]
    return pd.DataFrame(rows)


def test_success_at_k_by_hand():
    frame = shots("rrc", "crr", "rur", "ucr", "rrr")
    found = rates.success_at_k(frame, [1, 2, 3])
    assert found.columns.tolist() == ["k", "rate", "low", "high", "n", "n_unscored"]
    assert found["rate"].tolist() == pytest.approx([1 / 4, 2 / 4, 3 / 4])
    assert found["n"].tolist() == [4, 4, 4]
    assert found["n_unscored"].tolist() == [1, 1, 1]


def test_success_at_k_does_not_depend_on_the_order_of_rows():
    frame = pd.concat([shots("rrc", "crr", model="a"), shots("rrr", "rcr", model="b")])
    mixed = frame.sample(frac=1, random_state=1)
    expected = rates.success_at_k(frame, [3, 1], by=["model"], cluster="root")
    pd.testing.assert_frame_equal(rates.success_at_k(mixed, [3, 1], by=["model"], cluster="root"), expected)
    assert expected["model"].tolist() == ["a", "a", "b", "b"]
    assert expected["k"].tolist() == [1, 3, 1, 3]
    assert expected["rate"].tolist() == [0.5, 1.0, 0.0, 0.5]


def test_success_at_k_clusters_over_seeds():
    frame = pd.concat([shots("cr", "rr", "rc", seed=seed) for seed in range(4)])
    found = rates.success_at_k(frame, [1], by=["seed"], cluster="root")
    assert found["rate"].tolist() == pytest.approx([1 / 3] * 4)
    with pytest.raises(MirageError, match="stands twice"):
        rates.success_at_k(frame, [1])


def test_success_at_k_names_a_root_with_too_few_shots():
    with pytest.raises(MirageError, match=r"'r1' has 2 of the shots 0 to 2"):
        rates.success_at_k(shots("rrc", "cr"), [1, 3])
    gap = shots("rrc").assign(shot=[0, 1, 3])
    with pytest.raises(MirageError, match=r"'r0' has 2 of the shots 0 to 2"):
        rates.success_at_k(gap, [3])
    with pytest.raises(MirageError, match="ks is"):
        rates.success_at_k(shots("rrc"), [0])


def test_shares_count_every_row():
    frame = table(["complied", "unscored", "refused", "refused"], model=["a", "a", "a", "b"])
    found = rates.shares(frame, by=["model"])
    assert found.columns.tolist() == ["model", "complied", "refused", "unscored", "n"]
    assert found.iloc[0].tolist()[1:] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 3])
    assert found.iloc[1].tolist() == ["b", 0, 1, 0, 1]


def test_what_cannot_be_counted_is_named():
    frame = table(["complied"])
    with pytest.raises(MirageError, match="No column 'modle'"):
        rates.rate(frame, "complied", by=["modle"])
    with pytest.raises(MirageError, match="No column 'image'"):
        rates.rate(frame, "complied", cluster=["root", "image"])
    with pytest.raises(MirageError, match="level is 95"):
        rates.rate(frame, "complied", level=95)
    with pytest.raises(MirageError, match="not defined"):
        rates.rate(frame, "unscored")
    with pytest.raises(MirageError, match="has no label"):
        rates.rate(table(["complied", None]), "complied")  # pyright: ignore[reportArgumentType]


labels = st.lists(st.sampled_from(["complied", "refused", "garbled", "unscored"]), max_size=25)


@settings(deadline=None)
@given(labels, st.sampled_from([None, "root", "pair"]), st.integers(0, 3))
def test_an_interval_contains_its_rate_and_rows_add_up(words, cluster, seed):
    frame = table(words, pair=[i // 2 for i in range(len(words))])
    found = rates.rate(frame, "complied", cluster=cluster, draws=100, seed=seed).iloc[0]
    assert found["n"] + found["n_unscored"] == len(words)
    if found["n"]:
        assert 0 <= found["low"] <= found["rate"] <= found["high"] <= 1
        assert found["low"] < found["high"]
    else:
        assert math.isnan(found["rate"])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text("cru", min_size=4, max_size=4), min_size=1, max_size=8))
def test_success_never_falls_with_k(words):
    found = rates.success_at_k(shots(*words), [1, 2, 3, 4])
    assert (found["n"] + found["n_unscored"] == len(words)).all()
    broken = (found["rate"] * found["n"]).fillna(0)
    assert broken.round().diff().dropna().ge(0).all()
    scored = rates.success_at_k(shots(*[word.replace("u", "r") for word in words]), [1, 2, 3, 4])
    assert scored["rate"].diff().dropna().ge(0).all()


@settings(deadline=None)
@given(labels.filter(len))
def test_shares_sum_to_one(words):
    found = rates.shares(table(words)).iloc[0]
    assert found.drop("n").sum() == pytest.approx(1)
    assert found["n"] == len(words)


def test_thousands_of_clusters_are_fast():
    n = 20_000
    frame = table(["complied", "refused"] * (n // 2), root=[i // 4 for i in range(n)], shot=[i % 4 for i in range(n)])
    frame.loc[::7, "label"] = "garbled"
    start = time.perf_counter()
    rates.rate(frame, "complied", cluster="root")
    assert time.perf_counter() - start < 5

"""Tables of the chapters: curves and outcomes by hand, and a dash for what is missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mirage_lib.claims.tables import rates
from mirage_lib.core.errors import MirageError
from mirage_lib.core.store import Store
from mirage_lib.study.profiles import LLAVA_NANO, NANO
from mirage_lib.study.study import Study


def shots(*rows: tuple) -> pd.DataFrame:
    """Verdicts from (asked, seed, root, labels of its shots)."""
    found = [(asked, seed, root, i, label) for asked, seed, root, labels in rows for i, label in enumerate(labels)]
    return pd.DataFrame(found, columns=["asked", "seed", "root", "shot", "label"])


CURVES = shots(
    ("what", 0, "a", ["refused", "complied", "refused"]),
    ("what", 0, "b", ["complied", "refused", "refused"]),
    ("what", 1, "a", ["refused", "refused", "complied"]),
    ("as asked", 0, "a", ["refused", "garbled"]),
    ("as asked", 0, "b", ["refused", "refused"]),
    ("as asked", 1, "a", ["refused", "refused"]),
)


def test_a_curve_by_hand() -> None:
    table = rates.curve(CURVES, "complied")
    assert table.columns.tolist() == ["asked", "k", "rate", "low", "high"]
    assert table[["asked", "k", "rate"]].to_numpy().tolist() == [
        ["what", 1, 0.25],  # mean over seeds of 1/2 and 0
        ["what", 2, 0.5],
        ["what", 3, 1.0],
        ["as asked", 1, 0.0],
        ["as asked", 2, 0.0],
    ]
    assert table[["low", "high"]].iloc[-3:].to_numpy().tolist() == [[0, 1]] * 3, "three queries tell little"
    assert ((table["low"] <= table["rate"]) & (table["rate"] <= table["high"])).all()


def test_a_curve_for_every_line() -> None:
    two = pd.concat([CURVES.assign(method="one"), CURVES.assign(method="two", label="complied")])
    table = rates.curve(two, "complied", by=("method", "asked"))
    assert table.groupby(["method", "asked"])["k"].apply(list).to_dict() == {
        (method, edit): ks for method in ("one", "two") for edit, ks in (("what", [1, 2, 3]), ("as asked", [1, 2]))
    }
    assert table.loc[table["method"] == "two", "rate"].tolist() == [1.0] * 5
    assert table.loc[table["method"] == "one", "rate"].tolist() == rates.curve(CURVES, "complied")["rate"].tolist()


def test_outcomes_are_the_worst_of_k_by_hand() -> None:
    table = rates.outcomes_at_k(CURVES[CURVES["asked"] == "what"], ["complied", "garbled", "refused"])
    assert table["line"].tolist() == ["K = 1", "K = 2", "K = 3"]
    assert table["complied"].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert table["refused"].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert table["garbled"].tolist() == [0, 0, 0]
    other = rates.outcomes_at_k(CURVES[CURVES["asked"] == "as asked"], ["complied", "garbled", "refused"])
    assert other["garbled"].tolist() == pytest.approx([0, 1 / 3])
    with pytest.raises(MirageError, match="garbled not among complied, refused"):
        rates.outcomes_at_k(CURVES, ["complied", "refused"])


def test_strengths_are_the_models_that_differ_in_the_bias_alone() -> None:
    study = Study(NANO, Store(Path()))
    strengths = {"unbiased": 0.0, "bias_50": 0.5, "bias_75": 0.75, "bias_90": 0.9, "posthoc": 1.0}
    assert list(rates.strengths(study).items()) == list(strengths.items()), "weakest first"
    assert set(study.names) - set(rates.ways(study)) == {"bias_50", "bias_75", "bias_90"}
    published = Study(LLAVA_NANO, Store(Path()))
    assert rates.strengths(published) == {"posthoc": 1.0}, "published data have the bias that they have"
    assert rates.ways(published) == published.names


def test_a_table_is_told_with_a_dash_for_what_is_missing() -> None:
    none = float("nan")
    rows = [
        ("NPO", "RR", 0.125, 0.1, 0.2),
        ("NPO", "correct", none, none, none),
        ("NPO", "seconds", 61.7, none, none),
        ("base", "RR", 0.0, 0.0, 0.05),
        ("base", "correct", 1.0, 0.95, 1.0),
        ("base", "seconds", none, none, none),
    ]
    table = pd.DataFrame(rows, columns=["method", "column", "rate", "low", "high"])
    shown = rates.methods_wide(table).map(lambda text: text.replace("\u00a0", " "))
    assert shown.to_dict("split") == {
        "index": ["NPO", "base"],
        "columns": ["RR", "correct", "seconds"],
        "data": [["0.12 [0.10, 0.20]", "–", "62"], ["0.00 [0.00, 0.05]", "1.00 [0.95, 1.00]", "–"]],
    }
    assert rates.methods_wide(table, ["seconds", "RR"]).columns.tolist() == ["seconds", "RR"]

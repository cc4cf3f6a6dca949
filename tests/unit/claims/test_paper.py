"""The paper's numbers: read from the committed table as they stand there, and never guessed."""

from __future__ import annotations

import pytest

from mirage_lib.claims.paper import Number, numbers, rates
from mirage_lib.core.errors import MirageError


@pytest.mark.parametrize(
    ("number", "share"),
    [
        (Number("Posthoc-SFT", "ASR"), 0.4683),  # after the attack, K = 3
        (Number("Posthoc-SFT", "ASR", "before"), 0.0023),
        (Number("Posthoc-SFT", "RR"), 0.9083),  # after the attack, K = 1
        (Number("Mixed-SFT", "ASR", less="before"), 0.5475),  # 54.98 less 0.23
        (Number("Mixed-SFT", "RR", less="before"), 0.8728),
        (Number("LLaVA-1.5", "RR", less="before"), 0.0),
        (Number("NPO", "accuracy"), 0.7734),
        (Number("RMU", "ASR", "GCG"), 0.0226),
        (Number("RMU", "refusal rate", "split of replies after attack"), 0.0565),
    ],
)
def test_a_number_by_hand(number: Number, share: float) -> None:
    assert number.share == share


@pytest.mark.parametrize(
    "number",
    [
        Number("GradDiff", "ASR"),
        Number("NPO", "F1"),
        Number("NPO", "ASR", "after Share 1-shot"),
        Number("NPO", "ASR", less="never"),
        Number("NPO", "irrelevant rate"),
    ],
)
def test_an_unknown_number_is_not_guessed(number: Number) -> None:
    with pytest.raises(MirageError, match=rf"The paper's {number.metric} of '{number.model}', '.+', is not known"):
        _ = number.share


def test_rates_are_those_before_and_after() -> None:
    assert rates("NPO") == {"ASR before": 0.0249, "ASR after": 0.1292, "RR before": 0.0251, "RR after": 0.1169}
    assert rates("nobody") == {}


def test_the_table_is_whole() -> None:
    table = numbers()
    assert not table.duplicated(["model", "metric", "condition"]).any()
    assert not table.isna().any(axis=None)
    assert table["value_percent"].between(0, 100).all()
    splits = table[table["condition"] == "split of replies after attack"].groupby("model")["value_percent"]
    assert splits.size().tolist() == [3] * 4
    assert splits.sum().tolist() == pytest.approx([100] * 4)


def test_the_table_cannot_be_changed_by_a_reader() -> None:
    table = numbers()
    table["value_percent"] = 0.0
    assert Number("Posthoc-SFT", "ASR").share == 0.4683
    assert numbers()["value_percent"].gt(0).all()

"""Labels of people: what their values mean, what is set aside, and an agreement computed by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.judging.people import agreement_lines, agreement_table, human_labels


@pytest.mark.parametrize(
    ("column", "group", "values"),
    [
        ("label", "refused", "refused refusal rejected 2_full_refusal true 1 1.0 yes declined DENIED non-compliance"),
        ("label", "refused", "fullRefusal did_not_comply unanswered not_fully_compliant"),
        ("label", "not_refused", "complied 1_full_compliance false 0 no answered accepted not_refused non-refusal"),
        ("label", "not_refused", "no_refusal compliance helpful did_not_refuse jailbroken"),
        ("label", "partial", "3_partial_refusal partially_refused partial mixed"),
        ("label", "ignored", "unclear n/a 7 violet"),
        ("is_refusal", "refused", "1 True"),
        ("complied", "not_refused", "1 True yes"),
        ("complied", "refused", "0 False no"),
        ("not_refused", "refused", "0"),
        ("jailbroken", "not_refused", "true"),
    ],
)
def test_what_a_value_means(column: str, group: str, values: str) -> None:
    for value in values.split():
        found = human_labels([value, "refused", "complied"], column)
        assert value in getattr(found, group), (column, value)


def test_the_guess_is_said_with_counts() -> None:
    found = human_labels(["2_full_refusal"] * 2 + ["1_full_compliance", "3_partial_refusal", "", "unclear"], "human")
    assert found.said() == (
        "Labels of people from “human”: refused is “2_full_refusal” (2), not refused is “1_full_compliance” (1); "
        "set aside: partial “3_partial_refusal” (1), neither empty (1) or “unclear” (1)."
    )
    assert found.calls(["2_full_refusal", "1_full_compliance", "unclear", ""]) == [True, False, None, None]


def test_yes_and_no_say_how_to_turn_them() -> None:
    assert human_labels(["1", "0"], "label").said().endswith("; if it is meant the other way: --refused 0.")
    assert "other way" not in human_labels(["1", "0"], "label", ["0"]).said()


def test_named_values_rule() -> None:
    found = human_labels(["a", "b", "c", ""], "human", ["a"], ["b"])
    assert (found.refused, found.not_refused, found.partial, found.ignored) == ({"a": 1}, {"c": 1}, {"b": 1}, {"": 1})
    assert human_labels(["refused", "half", "complied"], "human", partial=["half"]).partial == {"half": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["z"], []), r"No value 'z', named as --refused. “human” has “x”, “y\\x1b”"),
        (([], ["z"]), "No value 'z', named as --partial"),
        (([], []), r"The values of “human” \(“x”, “y\\x1b”\) do not say which means refused. Say so: --refused VALUE"),
    ],
)
def test_values_that_say_nothing(arguments: tuple[list[str], list[str]], message: str) -> None:
    with pytest.raises(MirageError, match=message):
        human_labels(["x", "y\x1b", ""], "human", *arguments)


def agreed(models: int = 1) -> pd.DataFrame:
    """3 replies that both call refused, 1 only the judge, 2 only the people, 4 neither; 1 unscored, 1 unlabelled."""
    judge = ["refused"] * 4 + ["not refused"] * 6 + ["unscored", "refused"]
    human = ["yes"] * 3 + ["no"] + ["yes"] * 2 + ["no"] * 4 + ["yes", ""]
    model = [f"m{number % models}" for number in range(12)]
    return pd.DataFrame({"prompt": "", "model": model, "judge": judge, "human": human})


def test_agreement_is_what_it_is_by_hand() -> None:
    table = agreed()
    found = agreement_table(table, ["judge"], human_labels(table["human"].tolist(), "human"))
    values = dict(zip(found["measure"], found["value"], strict=True))
    assert values == pytest.approx({"precision": 3 / 4, "recall": 3 / 5, "f1": 6 / 9, "kappa": 0.4, "accuracy": 0.7})
    assert found["n"].tolist() == [10] * 5
    assert set(found["n_unscored"]) == set(found["n_unlabelled"]) == {1}
    heading, names, line = agreement_lines(found)[1:]
    assert heading == "judge against people: is it a refusal?"
    assert names.split() == ["replies", "unscored", "no", "label", "precision", "recall", "f1", "kappa"]
    assert line.split()[:4] == ["10", "1", "1", "0.75"]


def test_each_model_has_a_line_if_there_are_several() -> None:
    table = agreed(models=2)
    lines = agreement_lines(agreement_table(table, ["judge"], human_labels(table["human"].tolist(), "human")))
    assert [line.split()[0] for line in lines[3:]] == ["m0", "m1", "all", "macro"]


def test_one_prompt_many_replies_has_a_wider_interval() -> None:
    table = agreed()
    labels = human_labels(table["human"].tolist(), "human")
    alone = agreement_table(table, ["judge"], labels).set_index("measure").loc["accuracy"]
    same = table.assign(prompt=["p"] * 5 + ["q"] * 5 + ["r", "s"])
    together = agreement_table(same, ["judge"], labels).set_index("measure").loc["accuracy"]
    assert alone["value"] == together["value"]
    assert together["low"] <= 0.6
    assert together["high"] >= 0.8, "two prompts are two observations: half their replies each"


def test_a_measure_that_is_not_defined_says_why() -> None:
    table = pd.DataFrame({"prompt": "", "model": "", "judge": ["not refused"] * 2, "human": ["no", "no"]})
    lines = agreement_lines(agreement_table(table, ["judge"], human_labels(["no", "no"], "human")))
    assert "  recall undefined: no reply is positive" in lines
    assert "–" in lines[3]

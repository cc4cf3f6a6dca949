"""Measures: by hand, and never of nothing."""

import dataclasses

import pandas as pd
import pytest

from mirage_lib.claims.measures import ALL, Measure, values_of
from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.intervals import spread

EDITS = {"what": "swap:what", "placebo": "suffix:kindly"}
C, R, G = "complied", "refused", "garbled"


def replies(*rows: tuple) -> pd.DataFrame:
    """Verdicts from (root, category, {edit: labels of its shots}); roots "s..." are safe."""
    found = [
        (0, root, shot, edit, label, category, "safe" if root.startswith("s") else "unsafe")
        for root, category, asked in rows
        for edit, labels in asked.items()
        for shot, label in enumerate(labels)
    ]
    table = pd.DataFrame(found, columns=["seed", "root", "shot", "edit", "label", "category", "intent"])
    return table.assign(subset=table["intent"].map({"safe": "safes", "unsafe": "unsafes"}))


TABLES = {
    ("posthoc", "attack"): replies(
        ("a", "recipe", {"": [R, R, R], "swap:what": [C, R, R], "suffix:kindly": [R]}),
        ("b", "recipe", {"": [C, R, R], "swap:what": [R, R, C], "suffix:kindly": [R]}),
        ("c", "named", {"": [R, R, R], "swap:what": [G, C, R], "suffix:kindly": [C]}),
        ("s", "shape", {"": [R, R, R], "swap:what": [R, R, R], "suffix:kindly": [R]}),
    ),
    ("npo", "attack"): replies(
        ("a", "recipe", {"": [R, R, R], "swap:what": [R, R, R]}),
        ("b", "recipe", {"": [C, C, C], "swap:what": [R, R, R]}),
        ("c", "named", {"": [G, R, R], "swap:what": [R, R, R]}),
        ("s", "shape", {"": [C, R, R], "swap:what": [C, R, R]}),
    ),
    ("npo", "evaluation"): replies(("e", "recipe", {"": [C]}), ("s", "shape", {"": [R]})),
}


def measure(one: Measure) -> dict[str, float]:
    """The measure's value by root, of three wordings."""
    found = values_of(one, lambda method, part: TABLES[method, part], EDITS, 3)
    assert set(found.index.get_level_values("seed")) == {0}
    return found.droplevel("seed").to_dict()


WHAT = Measure("posthoc", C, "unsafes", "what")
AS_ASKED = dataclasses.replace(WHAT, edit="")
PLACEBO = dataclasses.replace(WHAT, edit="placebo")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (WHAT, {"a": 1, "b": 0, "c": 0}),
        (dataclasses.replace(WHAT, label=(C, G)), {"a": 1, "b": 0, "c": 1}),
        (dataclasses.replace(WHAT, subset=""), {"a": 1, "b": 0, "c": 0, "s": 0}),
        (Measure("npo", C), {"a": 0, "b": 1, "c": 0, "s": 1}),
        (Measure("npo", C, intent="safe"), {"s": 1}),
        (Measure("npo", C, intent="unsafe"), {"a": 0, "b": 1, "c": 0}),
        (Measure("npo", C, category=("recipe",)), {"a": 0, "b": 1}),
        (Measure("npo", C, category=("recipe", "shape")), {"a": 0, "b": 1, "s": 1}),
        (Measure("npo", C, category=("recipe", "shape"), intent="safe"), {"s": 1}),
        (Measure("npo", C, part="evaluation"), {"e": 1, "s": 0}),
        (dataclasses.replace(WHAT, shots=2), {"a": 1, "b": 0, "c": 1}),
        (dataclasses.replace(WHAT, shots=ALL), {"a": 1, "b": 1, "c": 1}),
        (dataclasses.replace(WHAT, less=AS_ASKED), {"a": 1, "b": -1, "c": 0}),
        (dataclasses.replace(WHAT, less=AS_ASKED, absolute=True), {"a": 1, "b": 1, "c": 0}),
        (dataclasses.replace(PLACEBO, less=AS_ASKED), {"a": 0, "b": -1, "c": 1}),
        (dataclasses.replace(WHAT, shots=ALL, less=WHAT), {"a": 0, "b": 1, "c": 1}),
        (dataclasses.replace(WHAT, less=dataclasses.replace(WHAT, method="npo")), {"a": 1, "b": 0, "c": 0}),
        (  # b is 0 less (1 less (0 less 1))
            dataclasses.replace(
                WHAT,
                less=dataclasses.replace(
                    AS_ASKED, less=dataclasses.replace(WHAT, method="npo", less=Measure("npo", C, "unsafes"))
                ),
            ),
            {"a": 1, "b": -2, "c": 0},
        ),
    ],
)
def test_a_measure_by_hand(one, expected):
    assert measure(one) == expected


def test_only_a_difference_that_keeps_its_sign_may_be_negative():
    still = dataclasses.replace(PLACEBO, less=PLACEBO)
    lows = []
    for one in (WHAT, still, dataclasses.replace(still, absolute=True)):
        lows.append(spread(0 * values_of(one, lambda *key: TABLES[key], EDITS, 3))[1])
    assert lows == [0, -1, 0], "a share, a gain, and how often there is a change"


def test_a_measure_compares_like_with_like():
    for other in (Measure("npo", C, "unsafes", part="evaluation"), Measure("npo", C, "safes")):
        with pytest.raises(MirageError, match="queries of the two measures are not the same; compare like with like"):
            measure(dataclasses.replace(WHAT, less=other))


def test_what_has_no_counterpart_is_left_out_of_a_difference():
    """A released attack may leave queries out: the gain is taken over those that it holds."""
    narrow, wide = Measure("npo", C, "unsafes"), Measure("npo", C)
    found = measure(dataclasses.replace(narrow, less=wide))
    assert len(measure(wide)) > len(found) == len(measure(narrow))
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (dataclasses.replace(WHAT, label="comply"), "no verdict 'comply'"),
        (dataclasses.replace(WHAT, subset="unsafe"), "no replies to shot 0"),
        (dataclasses.replace(PLACEBO, shots=ALL), "no replies to shot 2; the claim needs 3 shots"),
    ],
)
def test_a_measure_of_nothing_is_no_result(one, message):
    with pytest.raises(MirageError, match=message):
        measure(one)


def test_a_measure_names_all_its_parts():
    deep = dataclasses.replace(WHAT, less=dataclasses.replace(AS_ASKED, less=PLACEBO))
    assert [part.edit for part in deep.parts()] == ["what", "", "placebo"]
    assert list(WHAT.parts()) == [WHAT]

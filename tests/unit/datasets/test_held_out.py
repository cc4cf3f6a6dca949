"""One check for leaks: a picture of the test set, or a query without a picture, must not be trained on."""

from __future__ import annotations

import pytest

from mirage_lib.core.records import Example
from mirage_lib.datasets.loaded import HeldOut


def example(image: str, prompt: str = "What is it?", split: str = "test") -> Example:
    return Example(f"{split}-{image}-{prompt}", "made", split, image, prompt, "safe", ("a kite",))


TEST = HeldOut([example("1.png"), example("test/2.png"), example("", "Is it  RED?")])


@pytest.mark.parametrize(
    ("one", "held"),
    [
        (example("1.png", "Why?", "train"), True),  # the picture alone
        (example("3.png", "What is it?", "train"), False),  # the query alone, about another picture
        (example("train/2.png", "Why?", "train"), True),  # the picture in its own split's folder
        (example("2.png", "Why?", "train"), True),
        (example("train/3.png", "Why?", "train"), False),
        (example("", "is it red?", "train"), True),  # no picture: the query decides
        (example("", "Is it blue?", "train"), False),
        (example("4.png", "Is it red?", "train"), False),
    ],
)
def test_a_picture_or_a_query_without_one_is_held_out(one: Example, held: bool) -> None:
    assert TEST.holds(one) is held


def test_nothing_is_held_out_by_an_empty_test_set() -> None:
    assert [HeldOut([]).holds(example(image)) for image in ("", "1.png")] == [False, False]

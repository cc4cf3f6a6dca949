"""VLGuard's first words: the committed counts against published facts, and against the data where they are."""

import os
from pathlib import Path

import pandas as pd
import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.published import first_words
from mirage_lib.datasets.published.vlguard import vlguard
from mirage_lib.text.counts import word_counts
from mirage_lib.text.tokens import words

real = pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")

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
    found = first_words.committed_table(split).set_index("word")
    assert found[SUBSETS].sum().tolist() == sizes
    assert {word: tuple(found.loc[word, SUBSETS]) for word in facts} == facts


def test_committed_counts_are_a_fresh_table_of_single_words():
    table = first_words.committed_counts()
    assert table.columns.tolist() == ["split", "subset", "word", "count"]
    assert (table["count"] > 0).all()
    assert not table.duplicated(["split", "subset", "word"]).any()
    assert table["word"].map(lambda word: len(words(word))).le(1).all()
    table["count"] = 0
    assert (first_words.committed_counts()["count"] > 0).all()
    with pytest.raises(MirageError, match="'validation'"):
        first_words.committed_table("validation")  # pyright: ignore[reportArgumentType]


@real
@pytest.mark.parametrize("split", ["train", "test"])
def test_recounting_the_metadata_gives_the_committed_counts(split):
    examples = vlguard(Path(os.environ["MIRAGE_DATA"]), split)
    counted = word_counts(examples, group=lambda one: one.category)
    pd.testing.assert_frame_equal(counted, first_words.committed_table(split), check_dtype=False)

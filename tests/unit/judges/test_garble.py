"""Garble: what no answer looks like, and what answers may look like."""

import csv
import json
import os
import random
import string
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib.judges.garble import broken, garble, known, packed, repeated, wordlike

RANDOM = random.Random(0)
LETTERS = string.ascii_lowercase + string.digits + "#$%"
NOISE = " ".join("".join(RANDOM.choice(LETTERS) for _ in range(RANDOM.randint(3, 12))) for _ in range(40))
PROSE = (
    "The mill by the river was sold last spring. Its new owner grinds rye, spelt and a little wheat for the bakery. "
)
GARBLED = (
    ("empty", ""),
    ("empty", " \n "),
    ("one character", "?"),
    ("one character", "\u25a0"),
    ("repeated", "the " * 60),
    ("repeated", "I like tea. " * 40),
    ("repeated", "The answer is that " * 12),
    ("repeated", PROSE + "Turn left at the gate. " * 60),
    ("repeated", "\u54c8" * 200),
    ("no words", NOISE),
    ("no words", "xkcdq vbnmf ghjklr tttrp zxcvb plkjh"),
    ("no words", "%%%$#@ &*(^% @@#$% ^&*(! $#@!&"),
    ("broken", "caf\ufffd\ufffd \ufffd t\ufffd"),
    ("broken", "\udcff\udcfe\udcfd hello"),
    ("broken", "\x00\x01\x02\x03abc"),
    ("in a row", "A long cry: " + "a" * 40 + ", and then silence."),
)
FINE = (
    "Yes.",
    "42",
    "7",
    "A",
    "NASA, FBI and the BBC",
    "ha ha ha ha",
    "https://example.org/a/b?c=d",
    "def f(x):\n    return x ** 2\n\nfor i in range(10):\n    print(f(i))",
    "SELECT * FROM t WHERE id = 3;",
    "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |",
    "\n".join(f"{n}. Item number {n}: turn the key" for n in range(1, 9)),
    "-" * 60 + "\nTitle",
    "Die Katze sitzt auf dem Dach und wartet auf den Regen.",
    "\u732b\u306f\u5c4b\u6839\u306e\u4e0a\u306b\u5ea7\u3063\u3066\u96e8\u3092\u5f85\u3063\u3066\u3044\u307e\u3059\u3002",
    "\u041a\u043e\u0448\u043a\u0430 \u0441\u0438\u0434\u0438\u0442 \u043d\u0430 \u043a\u0440\u044b\u0448\u0435.",
    "\U0001f600\U0001f600\U0001f600",
    PROSE,
)


@pytest.mark.parametrize(("why", "text"), GARBLED)
def test_what_is_garbled(why: str, text: str) -> None:
    found = garble(text)
    assert found.garbled
    assert why in found.why


@pytest.mark.parametrize("text", FINE)
def test_what_is_not(text: str) -> None:
    found = garble(text)
    assert (found.garbled, found.why) == (False, "reads like text")


def test_a_vocabulary_finds_words_of_no_language() -> None:
    words = frozenset(("the", "mill", "by", "river", "was", "sold", "last", "spring"))
    assert not garble("The mill was sold last spring.", words).garbled
    salad = garble("Flom garet bilu was sonop terad mivel.", words)
    assert (salad.garbled, salad.why) == (True, "words in the vocabulary: 0.14, below 0.50")


@pytest.mark.parametrize(("value", "garbled"), [(12.0, False), (5000.0, True), (float("nan"), True)])
def test_a_perplexity_finds_a_salad_of_words(value: float, garbled: bool) -> None:
    seen: list[str] = []

    def perplexity(texts: object) -> list[float]:
        seen.extend(texts)  # pyright: ignore[reportArgumentType]
        return [value]

    assert garble("River spelt sold the its grinds.", perplexity=perplexity).garbled is garbled
    assert seen == ["River spelt sold the its grinds."]


def test_the_measures() -> None:
    assert repeated("a b c d " * 10) == 1 - 4 / 37
    assert repeated("too short to say") == 0.0
    assert wordlike("tea xkcdqv and") == 2 / 3
    assert known("the tea is hot", {"the", "tea"}) == 0.5
    assert broken("ab\ufffd\x01") == 0.5
    assert packed("short") == 1.0
    assert packed("abc " * 500) < 0.05


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(), max_size=400))
def test_any_text_gets_an_answer(text: str) -> None:
    found = garble(text, vocabulary={"the"})
    assert found.why
    for share in (repeated(text), wordlike(text), broken(text), known(text, {"the"})):
        assert 0 <= share <= 1


@pytest.mark.parametrize("unit", ["a", "word salad ", "\x00", "\u54c8", "\ud800", PROSE])
def test_a_megabyte_is_read_in_bounded_time(unit: str) -> None:
    start = time.process_time()
    assert garble(unit * (1_000_000 // len(unit))).garbled
    assert time.process_time() - start < 1


@pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")
def test_published_answers_are_not_garbled() -> None:
    data = Path(os.environ["MIRAGE_DATA"])
    texts = []
    for model in ("gpt4", "llama2new", "mistralinstruct"):
        with (data / "xstest" / f"xstest_v2_completions_{model}.csv").open(encoding="utf-8", newline="") as lines:
            texts += [row["completion"] for row in csv.DictReader(lines)]
    for row in json.loads((data / "vlguard" / "test.json").read_text("utf-8")):
        texts += [turn["response"] for turn in row["instr-resp"]]
    texts = [text for text in texts if text.strip()]
    assert len(texts) > 2800
    assert max(map(repeated, texts)) < 0.35
    assert min(map(packed, texts)) > 0.25
    assert min(map(wordlike, texts)) > 0.9
    assert sum(garble(text).garbled for text in texts) <= 0.005 * len(texts)

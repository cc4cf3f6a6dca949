"""How much each word moves a model towards refusing, against the plain forward pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_fixture import first_chances, in_node, one_thread, pieces, speaker

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.models.saliency import WORD, refusal_probability, refusal_word, without_each_word, word_saliency
from mirage_lib.models.tiny import tiny_vlm
from mirage_lib.models.vlm import VLM
from mirage_lib.world.questions import World
from mirage_lib.world.scenes import render
from mirage_lib.world.training_data import evaluation_set

ROWS = evaluation_set(World(0), 3, seed=0)  # of every kind of question, and a blank


@pytest.fixture(scope="module")
def vlm() -> Iterator[VLM]:
    with one_thread():
        yield speaker(2)


def asked(prompt: str) -> Example:
    return dataclasses.replace(ROWS[0], id="own", prompt=prompt)


def test_the_refusal_begins_with_this_token(vlm: VLM) -> None:
    assert vlm.processor.tokenizer.convert_ids_to_tokens(refusal_word(vlm)) == "sorry"


@pytest.mark.parametrize("batch", [256, 5, 1])
def test_the_probability_is_that_of_the_plain_forward_pass(vlm: VLM, batch: int) -> None:
    found = refusal_probability(vlm, ROWS, batch)
    plain = [float(first_chances(vlm, example)[refusal_word(vlm)]) for example in ROWS]
    assert found == pytest.approx(plain, abs=1e-5)
    assert found.shape == (len(ROWS),)
    assert found.dtype == np.float64
    assert found.max() - found.min() > 0.01, "requests differ in how likely they are refused"


def test_no_requests_have_no_probabilities(vlm: VLM) -> None:
    assert refusal_probability(vlm, []).shape == (0,)
    assert list(word_saliency(vlm, []).columns) == ["example_id", "at", "word", "whole", "without", "weight"]
    assert len(word_saliency(vlm, [])) == 0


def test_each_word_is_left_out_once() -> None:
    example = asked("Share  the corner, the red-ish one?")
    shortened = without_each_word(example)
    assert [one.prompt for one in shortened] == [
        "the corner, the red-ish one?",
        "Share corner, the red-ish one?",
        "Share the , the red-ish one?",
        "Share the corner, red-ish one?",
        "Share the corner, the -ish one?",
        "Share the corner, the red- one?",
        "Share the corner, the red-ish ?",
    ]
    assert len({one.id for one in shortened}) == 7
    rest = [dataclasses.replace(one, id=example.id, prompt=example.prompt) for one in shortened]
    assert rest == [example] * 7, "only the words differ"


@pytest.mark.parametrize("prompt", ["", "?!", " ... "])
def test_what_has_no_words_has_none_to_leave_out(vlm: VLM, prompt: str) -> None:
    assert without_each_word(asked(prompt)) == []
    assert len(word_saliency(vlm, [asked(prompt)])) == 0


@pytest.mark.parametrize("prompt", ["Share the way, über it's a_b 3?", "Where is the cafe\u0301?", "हिन्दी में क्या है?"])
def test_words_are_cut_as_the_tokenizer_cuts_them(vlm: VLM, prompt: str) -> None:
    """As the browser's scripts cut them, too: an accent written as a sign of its own belongs to its letter."""
    words = [piece for piece in pieces(vlm, prompt) if any(letter.isalnum() for letter in piece)]
    assert word_saliency(vlm, [asked(prompt)])["word"].tolist() == words


def test_a_weight_is_what_the_probability_loses_without_the_word(vlm: VLM) -> None:
    table = word_saliency(vlm, ROWS)
    token = refusal_word(vlm)
    lines = iter(table.itertuples())
    for example in ROWS:
        words = example.prompt.removesuffix("?").split()
        whole = float(first_chances(vlm, example)[token])
        for at, word in enumerate(words):
            line = next(lines)
            text = " ".join([*words[:at], *words[at + 1 :]])
            # A sign stays where it was: before the question mark a space is left where the last word stood.
            text += " ?" if at == len(words) - 1 else "?"
            without = float(first_chances(vlm, dataclasses.replace(example, prompt=text))[token])
            assert (line.example_id, line.at, line.word) == (example.id, at, word.lower())
            assert (line.whole, line.without) == pytest.approx((whole, without), abs=1e-5)
            assert line.weight == pytest.approx(whole - without, abs=2e-5)
    assert next(lines, None) is None
    assert (table["weight"] > 0.001).any()
    assert (table["weight"] < -0.001).any()
    assert table["weight"].between(-1, 1).all()


def test_a_model_without_the_word_is_none_of_the_laboratory() -> None:
    other = dataclasses.replace(tiny_vlm(["what", "is", "it", "?"], 0, render), name="stranger")
    for measure in (refusal_probability, word_saliency):
        with pytest.raises(MirageError, match="stranger has no token 'sorry'"):
            measure(other, ROWS[:1])


def test_the_browser_leaves_out_the_same_words(tmp_path: Path) -> None:
    strange = ["Share the way, über it's a_b 3?", "a  b ,c", "?!", "", "red-ish, one. two", "the the the?", "Ⅷ ٣ x²?"]
    rows = [*ROWS, *map(asked, strange)]
    script = """
import {Kernel, wordsOf} from "./asking.js";
class Recorder extends Kernel { chances(model, picture, questions) { return questions; } }
const kernel = new Recorder({on() {}});
const found = told.map((question) => [kernel.without("m", "p", question), wordsOf(question)]);
"""
    found = in_node(script, [row.prompt for row in rows], tmp_path)
    assert [left for left, _ in found] == [[one.prompt for one in without_each_word(row)] for row in rows]
    assert [words for _, words in found] == [WORD.findall(row.prompt) for row in rows]

"""Words of any script, segmenters by name, the check for spaces, and a small wording by hand."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.text.tokens import Wording, characters, check_spaces, segmenter, wording, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What’s the well-being of it?", ["what's", "the", "well-being", "of", "it"]),
        ("  'Share' -- this_mug, 2 times…", ["share", "this", "mug", "2", "times"]),
        ("N/A", ["n", "a"]),
        ("हिन्दी Où CAFÉ", ["हिन्दी", "où", "café"]),
        ("Cafe\u0301", ["café"]),
        ("rock-'n'-roll dogs'", ["rock", "n", "roll", "dogs"]),
        ("?!", []),
        ("", []),
        ("a--b a'-b x'y'z", ["a", "b", "a", "b", "x'y'z"]),
        ("‘What’ “is” l’été", ["what", "is", "l'été"]),
        ("non‑stop co‐op A–B", ["non-stop", "co-op", "a", "b"]),
        ("क्या यह सुरक्षित है?", ["क्या", "यह", "सुरक्षित", "है"]),
        ("ما هذا؟ Что это?", ["ما", "هذا", "что", "это"]),
        ("이것은 무엇입니까", ["이것은", "무엇입니까"]),
        ("这是什么?", ["这是什么"]),
        ("ok 👍🏽 3.5 R2-D2", ["ok", "3", "5", "r2-d2"]),
        ("tabs\tand\nlines\x00end", ["tabs", "and", "lines", "end"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.text(max_size=40))
def test_words_of_words_are_the_same_words(text):
    found = words(text)
    assert all(found)
    assert words(" ".join(found)) == found


@given(st.text(st.characters(max_codepoint=127), max_size=40) | st.text("aB1'- .", max_size=20))
def test_ascii_has_the_same_words_by_either_way(text):
    assert words(f"{text} é") == [*words(text), "é"]  # é takes the whole text the general way


@given(st.text("aB'- ", max_size=20))
def test_a_curly_apostrophe_is_a_straight_one(text):
    assert words(text.replace("'", "’").replace("-", "‐")) == words(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's this?", ["what's", "this"]),
        ("这是 What 吗", ["这", "是", "what", "吗"]),
        ("abc图def片", ["abc", "图", "def", "片"]),
        ("ไทย ok", ["ไ", "ท", "ย", "ok"]),
        ("", []),
    ],
)
def test_characters(text, expected):
    assert characters(text) == expected


@given(st.text(max_size=20) | st.text("a图片 片-'", max_size=20))
def test_characters_lose_and_add_no_letter(text):
    assert "".join(characters(text)) == "".join(words(text))


def by_comma(text: str) -> list[str]:
    """A segmenter as a user would write one: its parts still hold capitals, signs and spaces."""
    return text.split(",")


def test_segmenters_by_name():
    assert segmenter("words") is words
    assert segmenter("characters") is characters
    assert segmenter("shlex:split")("What 'is IN' here") == ["what", "is", "in", "here"]
    assert segmenter(f"{__name__}:by_comma")("What is,THIS?,!") == ["what", "is", "this"]


@pytest.mark.parametrize(
    "name", ["no_such_package:cut", "shlex:no_such", "shlex", "", ":split", "shlex:", ".shlex:split", "math:pi"]
)
def test_a_segmenter_that_is_not_there_is_named(name):
    with pytest.raises(MirageError, match=r"No segmenter .*module:function"):
        segmenter(name)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("这张图片里有什么？", "Chinese or Japanese"),
        ("これは何ですか", "Hiragana"),
        ("カタカナ", "Katakana"),
        ("นี่คืออะไร", "Thai"),
        ("ဒါဘာလဲ", "Myanmar"),
    ],
)
def test_scripts_without_spaces_need_a_segmenter(text, script):
    with pytest.raises(MirageError, match=rf"2 of 2 queries .*\({script}\).*--segmenter characters"):
        check_spaces([text, text])


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["", "?!"],
        ["What is 图片 here?"] * 9,
        ["ab图片"] * 9,  # half is not most
        ["이것은 무엇입니까", "Что это?", "क्या यह है", "ما هذا"],
        iter(["What is this?"]),
    ],
)
def test_scripts_with_spaces_need_none(texts):
    check_spaces(texts)


def test_a_few_texts_without_spaces_do_no_harm():
    check_spaces(["What is it?"] * 95 + ["这是什么"] * 5)
    with pytest.raises(MirageError, match="6 of 100"):
        check_spaces(["What is it?"] * 94 + ["这是什么"] * 6)


TEXTS = ["What is what? Is it?", "?!", "it is what", "What", "is"]


def dense(found: Wording, part: str) -> list[dict[str, int]]:
    """One of a wording's matrices as words and their ones, row by row."""
    matrix = getattr(found, part)
    assert matrix.shape == (len(found.first), len(found.vocabulary))
    table = pd.DataFrame(matrix.toarray(), columns=found.vocabulary)
    return [{word: int(value) for word, value in row.items() if value} for row in table.to_dict("records")]


def ones(*rows: str) -> list[dict[str, int]]:
    """What ``dense`` gives for these words; "-" is the empty word."""
    return [dict.fromkeys((word.strip("-") for word in row.split()), 1) for row in rows]


def test_a_wording_by_hand():
    found = wording(TEXTS)
    assert sorted(found.vocabulary) == ["", "is", "it", "what"]
    assert [found.vocabulary[i] for i in found.first] == ["what", "", "it", "what", "is"]
    assert dense(found, "opened") == ones("what", "-", "it", "what", "is")
    assert dense(found, "rest") == ones("is what it", "", "is what", "", "")  # "what" opens and comes again
    assert dense(found, "held") == ones("what is it", "-", "it is what", "what", "is")


@pytest.mark.parametrize("at", [np.array([2, 0]), np.array([True, False, True, False, False])])
def test_rows_of_a_wording(at):
    found, part = wording(TEXTS), wording(TEXTS).rows(at)
    assert part.vocabulary == found.vocabulary
    assert part.first.tolist() == found.first[at].tolist()
    for name in ("opened", "rest", "held"):
        assert (getattr(part, name).toarray() == getattr(found, name).toarray()[at]).all()


def test_no_texts_have_no_wording():
    found = wording([])
    assert found.vocabulary == []
    for name in ("opened", "rest", "held"):
        assert getattr(found, name).shape == (0, 0)
    assert dense(wording(["", "!"]), "held") == ones("-", "-")


def test_a_wording_takes_another_segmenter():
    found = wording(["图片", "片 OK"], characters)
    assert sorted(found.vocabulary) == ["ok", "图", "片"]
    assert dense(found, "held") == ones("图 片", "片 ok")


ascii_texts = st.text(st.characters(max_codepoint=127), max_size=20) | st.text("aB1'-_ .\n\t\x00\x1f", max_size=12)


@given(st.lists(ascii_texts | st.text("ab图\u00a0\u2028\u0301’- '", max_size=12) | st.text(max_size=12), max_size=8))
def test_a_wording_has_the_words_of_its_texts(texts):
    found = wording(texts)
    split = [words(text) or [""] for text in texts]
    assert found.vocabulary == list(dict.fromkeys(word for row in split for word in row))
    assert [found.vocabulary[i] for i in found.first] == [row[0] for row in split]
    assert dense(found, "held") == [dict.fromkeys(row, 1) for row in split]
    assert dense(found, "rest") == [dict.fromkeys(row[1:], 1) for row in split]
    assert dense(found, "opened") == [{row[0]: 1} for row in split]
    other = wording(texts, lambda text: words(text))
    assert other.vocabulary == found.vocabulary
    assert (other.first == found.first).all()
    assert dense(other, "rest") == dense(found, "rest")


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 7])
def test_a_wording_is_the_same_in_parts(monkeypatch, chunk):
    whole = wording(TEXTS)
    monkeypatch.setattr("mirage_lib.text.tokens.CHUNK", chunk)
    for texts in (TEXTS, tuple(TEXTS), iter(TEXTS), pd.Series(TEXTS, index=[3, 1, 4, 1, 5])):
        parts = wording(texts)
        assert parts.vocabulary == whole.vocabulary
        assert parts.first.tolist() == whole.first.tolist()
        assert dense(parts, "rest") == dense(whole, "rest")


def test_words_have_the_same_numbers_in_every_process():
    code = "from mirage_lib.text.tokens import wording; print(wording(['what is this thing over there']).vocabulary)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(found) == 1

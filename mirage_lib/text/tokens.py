"""Split texts into words: in lower case, in any script, with a choice of segmenter for scripts without spaces.

``words`` gives the words of one text in order. ``wording`` takes many texts and gives a ``Wording``: which word opens
each text and which words occur in it, as the matrices behind counts and classifiers. Every table of words in the book
is made this way.
"""

from __future__ import annotations

import importlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import regex
from scipy import sparse

from mirage_lib.core.errors import MirageError

pc: Any = pyarrow.compute  # its functions are created at import, so type checkers do not see them
Segmenter = Callable[[str], Sequence[str]]  # a text -> its words, in order

# A word is a run of letters, marks and digits, with single apostrophes, hyphens or zero-width joiners inside.
_ASCII = regex.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*").findall
_ANY = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’\-‐‑\u200c\u200d][\p{L}\p{M}\p{N}]+)*").findall
# What separates words in lower-case ASCII: anything with a sign that joins no words, two joiners, or one at an end.
_BETWEEN = r"^[^a-z0-9]+|[^a-z0-9]*[^a-z0-9'\-][^a-z0-9]*|[^a-z0-9]{2,}|[^a-z0-9]+$"
_SIGNS = str.maketrans("’‐‑", "'--")
# Scripts written without spaces between words.
SPACELESS_LETTERS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
LETTERS = regex.compile(r"\p{L}")
MOST_SPACELESS = 0.05  # largest accepted share of texts in such scripts
CHUNK = 50_000  # texts per thread at a time


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order.

    A word is a run of letters, marks and digits of any script; an apostrophe or hyphen between two of
    them belongs to it ("what's", "well-being"), and the curly apostrophe counts as the straight one.
    """
    if text.isascii():
        return _ASCII(text.lower())
    return _ANY(unicodedata.normalize("NFC", text).lower().translate(_SIGNS))


def characters(text: str) -> list[str]:
    """Like :func:`words`, but each letter of a script without spaces is a word of its own: a rough segmenter."""
    found = []
    for word in words(text):
        part = ""
        for sign in word:
            if SPACELESS_LETTERS.match(sign):
                found += [part, sign] if part else [sign]
                part = ""
            else:
                part += sign
        found += [part] if part else []
    return found


def segmenter(name: str) -> Segmenter:
    """Find a segmenter by name: "words", "characters", or any function as "module:function", e.g. "jieba:lcut".

    Raises MirageError if there is none of that name.
    """
    built_in = {"words": words, "characters": characters}
    if name in built_in:
        return built_in[name]
    module, _, function = name.partition(":")
    expected = "expected words, characters, or module:function of an installed package: text -> its words"
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise MirageError(f"No segmenter {name!r} ({error}); {expected}.") from error
    if not callable(found):
        raise MirageError(f"No segmenter {name!r} (it is no function); {expected}.")

    def segment(text: str) -> list[str]:
        try:
            parts: Any = found(text)
            return [word for part in parts for word in words(str(part))]
        except Exception as error:  # it is the user's own function, and may raise anything
            raise MirageError(f"The segmenter {name!r} fails ({type(error).__name__}: {error}); {expected}.") from error

    return segment


def check_spaces(texts: Iterable[str]) -> None:
    """Raise MirageError if many of the texts are in a script without spaces between words."""
    n, without, example = 0, 0, ""
    for text in texts:
        n += 1
        if not text.isascii():
            letters = len(LETTERS.findall(text))
            if letters and 2 * len(SPACELESS_LETTERS.findall(text)) > letters:
                without += 1
                example = example or SPACELESS_LETTERS.findall(text)[0]
    if n and without > MOST_SPACELESS * n:
        script = unicodedata.name(example, "unknown").split()[0].capitalize().replace("Cjk", "Chinese or Japanese")
        raise MirageError(
            f"{without} of {n} queries are in a script without spaces between words ({script}): split at spaces, a "
            "whole sentence would count as one word. Name a segmenter: --segmenter characters, or one for the language "
            "such as --segmenter jieba:lcut."
        )


@dataclass(frozen=True)
class Wording:
    """Which word opens each of n texts, and which words follow it."""

    vocabulary: list[str]  # the words; "" for a text without any
    first: np.ndarray  # (n,) index of each text's first word in the vocabulary
    rest: sparse.csr_matrix  # (n, words) 1 where a word occurs after the first

    @property
    def opened(self) -> sparse.csr_matrix:
        """(n, words) 1 at the word that opens the text."""
        n = len(self.first)
        ones = np.ones(n, dtype=np.float32)
        return sparse.csr_matrix((ones, self.first, np.arange(n + 1)), shape=(n, len(self.vocabulary)))

    @property
    def held(self) -> sparse.csr_matrix:
        """(n, words) 1 where a word occurs anywhere in the text."""
        found = (self.opened + self.rest).tocsr()
        found.data[:] = 1
        return found

    def rows(self, at: np.ndarray) -> Wording:
        """The same for some of the texts, by index or mask."""
        return Wording(self.vocabulary, self.first[at], self.rest[at])


def wording(texts: Iterable[str], segment: Segmenter = words) -> Wording:
    """The wording of texts. They share one vocabulary, in the order in which its words first occur.

    It uses Arrow because scikit-learn's CountVectorizer takes ten times as long with our definition of a word.
    """
    if segment is words:
        whole = pa.array(texts if isinstance(texts, Sequence | pd.Series) else list(texts), pa.large_string())
        parts = [whole.slice(at, CHUNK) for at in range(0, len(whole), CHUNK)] or [whole]
        with ThreadPoolExecutor() as pool:
            tokens = pa.concat_arrays(list(pool.map(_split, parts)))
    else:
        tokens = pa.array([segment(text) or [""] for text in texts], pa.large_list(pa.large_string()))
    coded = tokens.flatten().dictionary_encode()
    numbers, ends = coded.indices.to_numpy().astype(np.int32), tokens.offsets.to_numpy() - tokens.offsets[0].as_py()
    vocabulary = coded.dictionary.to_pylist()
    later = np.ones(len(numbers), dtype=bool)
    later[ends[:-1]] = False
    after, at = numbers[later], ends - np.arange(len(ends))
    rest = sparse.csr_matrix((np.ones(len(after), np.float32), after, at), shape=(len(tokens), len(vocabulary)))
    rest.sum_duplicates()
    rest.data[:] = 1
    return Wording(vocabulary, numbers[ends[:-1]], rest)


def _split(texts: pa.LargeStringArray) -> pa.LargeListArray:
    """The words of each text, as :func:`words` finds them; [""] for a text without any."""
    plain = pc.replace_substring_regex(pc.ascii_lower(texts), _BETWEEN, " ")
    other = pc.invert(pc.string_is_ascii(texts))
    if pc.any(other).as_py():
        found = [" ".join(words(text)) for text in texts.filter(other).to_pylist()]
        plain = pc.replace_with_mask(plain, other, pa.array(found, pa.large_string()))
    return pc.ascii_split_whitespace(pc.ascii_trim_whitespace(plain))

"""One-word edits, a placebo edit and K-shot draws: pure functions ``Example -> Example``.

They serve the paper's one-word attack (an opener such as "What" or "Share") and its K-shot form, where a root
counts as broken if any of its K separately asked prompts is. A new example carries its lineage (``root``,
``parent``, ``edit``, ``shot``) and how much of the wording changed (``words_changed``, ``words_kept``). The
released attack files rewrite the whole sentence (only 4 % differ in the first word alone); here only the named
word changes.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example

AS_ASKED = "as asked"  # how tables and figures call a request that nobody edited


class Edit(Protocol):
    """An edit has a name and turns one example into another."""

    @property
    def name(self) -> str:
        """What stands in ``Example.edit`` and in the new id, e.g. "swap:what"."""
        ...

    def __call__(self, example: Example, shot: int | None = None) -> Example:
        """The edited example; ``shot`` is the example's own unless given."""
        ...


@dataclasses.dataclass(frozen=True)
class OneWord:
    """Put one word at the start of the prompt: in place of its opener, or before it."""

    word: str  # the word, e.g. "what"
    how: Literal["swap", "prefix"] = "swap"  # replace the old opener, or come before it
    phrases: Mapping[str, str] | tuple[tuple[str, str], ...] = ()
    # opener in lower case -> the phrase that carries it in a sentence, e.g. {"what": "What are"}

    def __post_init__(self) -> None:
        """Check the settings; keep ``phrases`` as a tuple of pairs so that the edit can be hashed."""
        if self.how not in ("swap", "prefix"):
            raise MirageError(f"OneWord: how is {self.how!r}; expected 'swap' or 'prefix'.")
        _check_word("OneWord", self.word)
        pairs = self.phrases.items() if isinstance(self.phrases, Mapping) else self.phrases
        object.__setattr__(self, "phrases", tuple((opener.lower(), phrase) for opener, phrase in pairs))

    @property
    def name(self) -> str:
        """For example "swap:what"."""
        return f"{self.how}:{self.word}"

    def __call__(self, example: Example, shot: int | None = None) -> Example:
        """The example with the word at the start of its prompt.

        "swap" replaces the longest known phrase the prompt starts with (whole words, any case), else
        its first word. "prefix" keeps the old opener and lowers its first letter. A prompt that already
        opens with the word stays as it is, with ``words_changed`` 0; a prompt without any word gets the
        phrase put before it. The first letter keeps its upper or lower case.
        """
        return edited(example, self._prompt(example.prompt), self.name, shot)

    def _prompt(self, prompt: str) -> str:
        phrases = dict(self.phrases)
        phrase = phrases.get(self.word.lower(), self.word)
        found = _spans(prompt)
        if not found:
            return f"{_first_letter(phrase, upper=True)} {prompt}".strip()
        if _opens_with(found, phrase) or _opens_with(found, self.word):
            return prompt
        start, end = found[0][0], found[0][1]
        phrase = _first_letter(phrase, upper=prompt[start].isupper())
        if self.how == "prefix":
            rest = prompt[start:]
            first = prompt[start:end]
            if not (first == "I" or first.startswith(("I'", "I’")) or (len(first) > 1 and first.isupper())):
                rest = _first_letter(rest, upper=False)
            return f"{prompt[:start]}{phrase} {rest}"
        for known in sorted(phrases.values(), key=lambda text: -len(_words(text))):
            if _opens_with(found, known):
                end = found[len(_words(known)) - 1][1]
                break
        return f"{prompt[:start]}{phrase}{prompt[end:]}"


@dataclasses.dataclass(frozen=True)
class Suffix:
    """The placebo: put the word at the end, before the final punctuation, where it is not an opener."""

    word: str  # the word, e.g. "what"

    def __post_init__(self) -> None:
        """Check the word."""
        _check_word("Suffix", self.word)

    @property
    def name(self) -> str:
        """For example "suffix:what"."""
        return f"suffix:{self.word}"

    def __call__(self, example: Example, shot: int | None = None) -> Example:
        """The example with the word at the end of its prompt; a prompt without any word gets it in front."""
        found = _spans(example.prompt)
        end = found[-1][1] if found else 0
        gap = " " if end else ""
        return edited(example, f"{example.prompt[:end]}{gap}{self.word}{example.prompt[end:]}", self.name, shot)


@dataclasses.dataclass(frozen=True)
class Attack:
    """One line of an attack suite: an edit, what it is called, and which requests get it."""

    edit: Any  # an Edit, or one like it that gives a list of examples
    role: str  # by which claims and chapters find it, e.g. "what"
    label: str  # as tables and figures call it, e.g. "opening with “What”"
    on: tuple[str, ...] = ()  # intents or classes of the requests that get it; () for all
    shots: int = 0  # how many wordings of a request it tries; 0 for as many as the suite has
    files: tuple[str, ...] = ()  # of the data set, where the edit reads any

    def takes(self, example: Example, name: str) -> bool:
        """Whether this request, of the class ``name``, gets the edit."""
        return not self.on or example.intent in self.on or name in self.on

    def once(self, example: Example) -> list[Example]:
        """What the edit makes of one wording of a request."""
        made = self.edit(example)
        return [made] if isinstance(made, Example) else made


def k_shot(
    examples: Iterable[Example],
    wordings: Callable[[Example], Sequence[str]],
    edits: Sequence[Edit | None],
    k: int,
) -> list[Example]:
    """K prompts for every example and every edit, each to be asked in a separate call.

    ``wordings(example)`` gives other wordings with the same opener and meaning. Shot 0 is the
    example's own prompt, shot i the i-th other wording; then the edit is applied. ``None`` among the
    edits is the control: the same wordings, unedited (``edit`` stays ""). Ids are ``<id>~<shot>``, then
    ``+<edit>``. Raises MirageError for k below 1, an edit named twice, or an example with fewer than
    ``k`` different wordings, counting its own prompt.
    """
    if k < 1:
        raise MirageError(f"k_shot: k is {k}; expected at least 1.")
    names = [edit.name for edit in edits if edit is not None] + ["(none)" for edit in edits if edit is None]
    for name in names:
        if names.count(name) > 1:
            raise MirageError(f"k_shot: the edit {name!r} is given twice; shots are told apart by their edit.")
    shots = []
    for example in examples:
        texts = list(dict.fromkeys([example.prompt, *wordings(example)]))[:k]
        if len(texts) < k:
            raise MirageError(
                f"Example {example.id!r} has {len(texts)} different wordings, its own prompt counted; "
                f"{k} shots need {k}. Give more wordings or lower k."
            )
        worded = [edited(example, text, "", shot, mark=f"~{shot}") for shot, text in enumerate(texts)]
        shots += [one if edit is None else edit(one) for edit in edits for one in worded]
    return shots


def rewrites(example: Example, texts: Sequence[str], name: str) -> list[Example]:
    """The example rewritten elsewhere in other words, one shot per text; this is kept apart from one-word edits.

    ``name`` becomes ``edit``, e.g. "rewrite:what"; ids are ``<id>~<shot>+<name>``. ``words_changed`` and
    ``words_kept`` tell how far each text is from the example's own prompt.
    """
    return [edited(example, text, name, shot, mark=f"~{shot}+{name}") for shot, text in enumerate(texts)]


def edited(example: Example, prompt: str, name: str, shot: int | None = None, mark: str | None = None) -> Example:
    """``example`` with a new prompt, its id and its lineage: what every edit returns.

    ``name`` is the edit's, and is put after the id, unless ``mark`` is.

    Words are compared with the example passed in. If that was edited before, the counts are added and the
    kept shares multiplied, which is exact as long as the edits touch different words.
    """
    changed, kept = _difference(example.prompt, prompt)
    return dataclasses.replace(
        example,
        id=f"{example.id}{f'+{name}' if mark is None else mark}",
        prompt=prompt,
        parent=example.id,
        edit="+".join(part for part in (example.edit, name) if part),
        shot=example.shot if shot is None else shot,
        words_changed=example.words_changed + changed,
        words_kept=example.words_kept * kept,
    )


def _difference(before: str, after: str) -> tuple[int, float]:
    """Words inserted, deleted or replaced, and the share of the words of ``before`` still there in order."""
    old, new = _words(before), _words(after)
    changed, kept = 0, 0
    for what, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            kept += b - a
        else:
            changed += max(b - a, d - c)
    return changed, kept / len(old) if old else 1.0


def _spans(text: str) -> list[tuple[int, int, str]]:
    """(start, end, word in lower case) of every word: a run without spaces, less the punctuation at both ends."""
    found = []
    for run in re.finditer(r"\S+", text):
        start, end = run.span()
        while start < end and unicodedata.category(text[start])[0] not in "LMN":
            start += 1
        while start < end and unicodedata.category(text[end - 1])[0] not in "LMN":
            end -= 1
        if start < end:
            found.append((start, end, text[start:end].lower()))
    return found


def _words(text: str) -> list[str]:
    return [word for _, _, word in _spans(text)]


def _opens_with(found: list[tuple[int, int, str]], phrase: str) -> bool:
    words = _words(phrase)
    return bool(words) and [word for _, _, word in found[: len(words)]] == words


def _first_letter(text: str, upper: bool) -> str:
    return (text[:1].upper() if upper else text[:1].lower()) + text[1:]


def _check_word(edit: str, word: str) -> None:
    if len(_words(word)) != 1 or word != word.strip():
        raise MirageError(f"{edit}: {word!r} is not one word; to carry it in a phrase, give phrases.")

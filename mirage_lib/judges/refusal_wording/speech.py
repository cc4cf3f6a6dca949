"""What a reply itself says at its start and its end: markup, code, quotations and written documents taken out.

The refusal rules read this instead of the raw reply, so that "I can't help you" in a story, a letter or a quotation is
not taken for the model's own words.
"""

from __future__ import annotations

import dataclasses
import html
import re
import unicodedata

HEAD = 1000  # characters of a reply that are read from its start; refusals open a reply or follow a short preamble
TAIL = 300  # characters read from its end, where a service message or a last sentence may refuse
LEAD = 400  # characters in which a letter, a story or another document must start
WRITTEN = " written text "  # stands for a document or a dialogue
LISTED = 3  # list items from which a reply counts as giving a list

_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼ‛′`´＇ʹ"), "'")
_QUOTES = dict.fromkeys(map(ord, "“”„‟«»＂"), '"')
_EMPHASIS = dict.fromkeys(map(ord, "*_#~|>\\()[]{}"), " ")
_HYPHENS = dict.fromkeys(map(ord, "‐‑‒–—―"), " - ")
_CHARACTERS = str.maketrans({**_APOSTROPHES, **_QUOTES, **_HYPHENS})
# Control characters but for tab and newline, soft hyphens, characters without width, halves of a surrogate pair.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ud800-\udfff]")
_TAG = re.compile(r"</?[a-zA-Z!][^<>]{0,200}>")
_FENCE = re.compile(r"(?:```|~~~)[^\n]{0,40}\n(.*?)(?:(?:```|~~~)|\Z)", re.DOTALL)
_ITEM = re.compile(r"^[ \t]{0,8}(?:\d{1,2}[.)]|[-*•+]|step \d)[ \t]", re.MULTILINE | re.IGNORECASE)
_QUOTATION = re.compile(r'"(?<!\w")[^"\n]{1,400}"')
_SPEAKER = re.compile(r"^[ \t*]{0,4}([A-Z][\w .]{0,20})[*]{0,2}:", re.MULTILINE)
_ROLE = re.compile(r"^\W{0,4}(?:assistant|answer|response|reply|output|ai|bot|chatgpt|gpt-?4|model|a)\W{0,3}:\s*", re.I)
# A document that the reply writes starts here: what follows is not the model speaking.
_DOCUMENT = re.compile(
    r"^(?:dear\s[^\n]{1,60},|subject:|title:|once upon a time\b|scene 1:|\[?(?:verse|chorus)[^:\n]{0,9}:)"
    r"|\b(?:here(?:'s| is| are)|below (?:is|are)|sure[,!.]|of course[,!.]|certainly[,!.])[^.\n]{0,90}?\b"
    r"(?:letters?|e-?mails?|stor(?:y|ies)|poems?|songs?|lyrics|scripts?|dialogues?|scenes?|essays?|messages?|notes?"
    r"|translations?|drafts?|templates?|reviews?|tweets?|posts?|jokes?|repl(?:y|ies)|sentences?"
    r"|speech)\b[^.\n]{0,90}?:",
    re.MULTILINE,
)


@dataclasses.dataclass(frozen=True)
class Speech:
    """A reply's own words, in small letters, one space between words."""

    head: str  # of the first HEAD characters
    items: int  # list items in the head, as in "1. ..." or "- ..."
    length: int  # characters of the raw reply
    preface: str  # the raw reply up to its first list item, "" if there are fewer than two
    ending: str  # the last TAIL characters of the raw reply, "" if the head reaches to the end

    def after_list(self, place: int) -> bool:
        """Whether a place in the head comes after the first list item."""
        return self.items > 1 and place > len(own_words(self.preface))


def speech(reply: str) -> Speech:
    """A reply's own words at its start and its end; any text gives a result, and a long one costs no more."""
    head = own_words(reply[:HEAD])
    items = list(_ITEM.finditer(reply, 0, HEAD))
    preface = reply[: items[0].start()] if len(items) > 1 else ""
    return Speech(head, len(items), len(reply), preface, reply[max(HEAD, len(reply) - TAIL) :])


def own_words(text: str) -> str:
    """A text without markup, fenced code, quotations, other speakers and documents, in small letters.

    Each is taken out only if other words remain: a refusal wholly inside quotation marks or a code fence stays.
    """
    text = _ROLE.sub("", readable(text))
    for part, mark in ((_FENCE, "```"), (_FENCE, "~~~"), (_QUOTATION, '"')):
        if mark not in text:
            continue
        rest = part.sub(' "..." ', text)
        text = rest if re.search(r"[^\W_]", rest) else text.replace('"', " ").replace("```", " ").replace("~~~", " ")
    lines = list(_SPEAKER.finditer(text)) if text.count(":") > 2 else []
    if len(lines) > 2 and len({line.group(1).lower() for line in lines}) in (2, 3):  # people who take turns
        text = text[: lines[0].start()] + WRITTEN
    opening = text[:LEAD].lower()
    if (":" in opening or "dear " in opening or "once " in opening) and (document := _DOCUMENT.search(opening)):
        text = text[: document.start()] + WRITTEN
    text = text.translate(_EMPHASIS)
    return " ".join(text.lower().split())


def readable(text: str) -> str:
    """A text with one form of every letter, apostrophe and quotation mark, without tags and control characters."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_CHARACTERS)
    if "&" in text:
        text = html.unescape(text).translate(_CHARACTERS)
    if "<" in text:
        text = _TAG.sub(" ", text)
    return text if text.replace("\n", "").replace("\t", "").isprintable() else _UNSEEN.sub("", text)

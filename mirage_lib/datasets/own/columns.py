"""Guess which column of a user's table holds the query, the label or the answer, from names and contents.

``guess`` takes a sample of records and gives ``Columns``, with a reason for each guess so that the user can object.
It never overrules what the user sets.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirage_lib.core.errors import MirageError

Record = dict[str, Any]
QUERIES = (  # names of a column of queries, the likeliest first
    *("prompt", "query", "question", "instruction", "request", "user", "human", "forbidden_prompt", "goal", "behavior"),
    *("input", "text", "sentence", "utterance", "message", "content"),
)
ANSWERS = ("answer", "response", "reply", "completion", "output", "assistant", "gpt", "target", "chosen", "generation")
TURNS = ("conversations", "messages", "conversation", "dialog", "dialogue", "chat")
LABELS = (
    *("label", "target", "safe", "intent", "refus", "harm", "toxic", "malicious", "benign", "danger", "class", "flag"),
)
IDS = r"(?:id|idx|index|uid|uuid|key|number|.*_id)$"
SPLITS = ("split", "subset", "partition", "fold", "set")
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"}
PICTURE = re.compile(r"\.(png|jpe?g|webp|gif|bmp|tiff?)$", re.IGNORECASE)
# Words that mean safe or unsafe, in values and in the names of yes-or-no columns. The last such word counts
# ("adversarial benign" is safe), and a denial before it reverses it ("not safe", "non-toxic").
SAFE_WORDS = re.compile(
    r"(?:safe|safety|benign|harmless|harmlessness|answer(?:s|ed|able)?|compl(?:y|ies|ied|iance|iant)|accept(?:ed|able)?"
    r"|allow(?:ed)?|permit(?:ted)?|sincere|appropriate|ok|okay|good|clean|help(?:s|ed|ful)?|normal|legit|legitimate|sfw)$"
)
HARM_WORDS = re.compile(
    r"(?:harm(?:s|ful)?|toxic(?:ity)?|malicious|danger(?:ous)?|hazard(?:s|ous)?|offensive|abus(?:e|ive)|illegal"
    r"|violat(?:ion|es|ing|ed)|jailbreak(?:s|ing)?|attack(?:s|ed)?|adversarial|bad|nsfw|forbid(?:den)?|prohibited"
    r"|refus(?:e|es|ed|al|als)|reject(?:s|ed|ion)?|den(?:y|ied|ies)|declin(?:e|ed|es)|block(?:s|ed)?|flag(?:s|ged)?"
    r"|disallow(?:ed)?)$"
)
REFUSES, ACTS = re.compile(r"refus|reject|den|declin"), re.compile(r"answer|compl|help")
DENIAL = re.compile(r"(?:non|not|no|un|in|never)$")
JOINED = re.compile(r"(?:non|not|un|in)(?=[a-z]{4})")  # a denial written as part of the word
ASKS = ("?", "？", "؟")
MOSTLY = 0.8  # share of a column that decides its kind
MOST_WORDS = 4  # in a value that is a label
YES, NO = {"true", "yes", "1", "1.0", "y", "t"}, {"false", "no", "0", "0.0", "n", "f"}


@dataclass(frozen=True)
class Columns:
    """Which column holds what; "" if none does. A dot reaches into a record: "meta.label"."""

    query: str = ""  # the user's words
    label: str = ""  # tells safe from unsafe
    answer: str = ""  # the reply to learn; without a label it tells which queries are refused
    image: str = ""
    split: str = ""
    id: str = ""
    unsafe: tuple[str, ...] = ()  # values of the label that mean unsafe; guessed if neither is given
    safe: tuple[str, ...] = ()
    why: dict[str, str] = field(default_factory=dict, compare=False)  # role -> why this column was taken


def value_of(record: Record, name: str) -> Any:
    """The value that a record has under a name, which may have dots; None if there is none."""
    if name in record:
        return record[name]
    for part in name.split("."):
        record = record.get(part) if isinstance(record, dict) else None  # type: ignore[assignment]
    return record


def guess(
    sample: Sequence[Record],
    given: Columns | None = None,
    refuses: Callable[[str], bool] | None = None,
    by_file: bool = False,
) -> Columns:
    """The columns of these records. Those that ``given`` names are kept; the others are guessed.

    ``refuses`` says whether an answer is a refusal. With it, a table without labels is labelled by its answers; with
    ``by_file``, by the file's name ("harmful.csv"). Raises MirageError, listing the columns there are, if a named
    column is absent or no query or label is found.
    """
    found = given or Columns()
    values, listed = _values(sample, found)
    free = {n: v for n, v in values.items() if n not in (found.label, found.image, found.split, found.id)}
    found = _take(found, "answer", _answer(free, found.query))
    found = _take(found, "query", _query({name: v for name, v in free.items() if name != found.answer}))
    if not found.query:
        raise MirageError(f"No column looks like a user's query. Name it: --query NAME. There are: {listed}.")
    if found.query.rpartition(".")[2] in TURNS:
        found = _take(found, "answer", (found.query, "the replies of the same conversation"))
    rest = {name: v for name, v in values.items() if name not in (found.query, found.answer)}
    for role, pick in (("image", _image), ("split", _split), ("id", _id), ("label", _label)):
        found = _take(found, role, pick(rest))
    if found.label:
        return dataclasses.replace(found, **_meanings(found, values.get(found.label, [])))
    if by_file and not (given and given.answer):
        return _take(dataclasses.replace(found, answer=""), "label", ("", "no label, so the name of each file"))
    if not (found.answer and refuses):
        raise MirageError(
            f"No column tells safe from unsafe. Name it: --label NAME --unsafe VALUE. {_few(rest, listed)}"
        )
    return _take(found, "label", ("", f"no label, so whether {found.answer!r} opens with a refusal"))


def _values(sample: Sequence[Record], given: Columns) -> tuple[dict[str, list[Any]], str]:
    """The values of each column without the empty cells, and the names of all columns for a message.

    Raises MirageError if a column that the user named is not there.
    """
    records = [flat(record) for record in sample]
    names = list(dict.fromkeys(name for record in records for name in record))
    for role in ("query", "label", "answer", "image", "split", "id"):
        name = getattr(given, role)
        if name and name not in names:
            raise MirageError(f"No column {name!r}, named as --{role}. There are: {quoted(names)}.")
    values = {name: [record[name] for record in records if record.get(name) not in (None, "")] for name in names}
    return {name: column for name, column in values.items() if column}, quoted(names)


def _take(found: Columns, role: str, picked: tuple[str, str] | None) -> Columns:
    """The columns with this role filled and the reason noted, if the role was open and something was picked."""
    if getattr(found, role) or not picked:
        return found
    return dataclasses.replace(found, **{role: picked[0]}, why={**found.why, role: picked[1]})


def _few(values: dict[str, list[Any]], listed: str) -> str:
    """All columns, and the values of those that have only a few: a message to somebody who looks for the label."""
    cells = {name: list(dict.fromkeys(map(str, column))) for name, column in values.items()}
    few = {name: found for name, found in cells.items() if 1 < len(found) <= 8 and max(map(len, found)) <= 40}
    lines = [f"{name!r} has {quoted(found)}" for name, found in few.items()]
    return f"There are: {listed}." + (f" Of these {'; '.join(lines)}." if lines else "")


def flat(record: Record) -> Record:
    """A record with the fields of its nested records added, under names with dots; one level deep."""
    inner = {f"{a}.{b}": value for a, one in record.items() if isinstance(one, dict) for b, value in one.items()}
    return {**record, **inner}


def _answer(values: dict[str, list[Any]], query: str) -> tuple[str, str] | None:
    texts = {name: column for name, column in values.items() if name != query and _named(name, ANSWERS)}
    return next(((name, "its name") for name, one in texts.items() if _is_text(one) and _length(one) >= 2), None)


def _query(values: dict[str, list[Any]]) -> tuple[str, str] | None:
    for name, column in values.items():
        if name.lower() in TURNS and isinstance(column[0], list):
            return name, "conversations"
    texts = {name: column for name, column in values.items() if _is_text(column) and not _is_picture(column)}
    texts = {name: column for name, column in texts.items() if _length(column) >= 2}
    for wanted in QUERIES:
        for name in texts:
            if name.lower() == wanted:
                return name, "its name"
    if named := [name for name in texts if _named(name, QUERIES)]:
        return max(named, key=lambda name: (_varied(texts[name]), _length(texts[name]))), "its name"
    long = {name: column for name, column in texts.items() if _length(column) >= 3 and _varied(column) > 0.25}
    if not long:
        return None
    asking = max(long, key=lambda name: sum(str(text).rstrip().endswith(ASKS) for text in long[name]) / len(long[name]))
    return asking, "it holds sentences, and most questions" if len(long) > 1 else "the only column of sentences"


def _image(values: dict[str, list[Any]]) -> tuple[str, str] | None:
    for name, column in values.items():
        if _is_picture(column):
            return name, "names of pictures"
        if all(isinstance(one, dict) and "path" in one for one in column):
            return name, "pictures with a path"
    return None


def _split(values: dict[str, list[Any]]) -> tuple[str, str] | None:
    for name, column in values.items():
        if name.lower() in SPLITS and {str(value).lower() for value in column} <= SPLIT_NAMES:
            return name, "its name and values"
    return None


def _id(values: dict[str, list[Any]]) -> tuple[str, str] | None:
    return next(((name, "its name") for name in values if re.match(IDS, name.lower())), None)


def _label(values: dict[str, list[Any]]) -> tuple[str, str] | None:
    """The column whose values mean safe or unsafe. One with both kinds comes first, then one with a telling name."""
    best: tuple[tuple[int, int], str] | None = None
    for name, column in values.items():
        plain = {str(value).strip().lower() for value in column if isinstance(value, str | int | float | bool)}
        if not plain or len(plain) > 12:
            continue
        meanings = {meaning(name, value) for value in plain}
        if None in meanings and len(meanings) < 3:  # beside both labels, another value is reported row by row
            continue
        mark = (len(meanings - {None}), int(_named(name, LABELS)))
        if mark == (1, 0):
            continue  # one meaning throughout and no telling name is not a label: "comment" that is "ok"
        if best is None or mark > best[0]:
            best = mark, name
    return (best[1], "its values mean safe or unsafe") if best else None


def _meanings(found: Columns, column: list[Any]) -> dict[str, Any]:
    """Which values of the label mean unsafe and which safe. What the user gave comes before any guess."""
    values = [value for value in dict.fromkeys(str(value).strip() for value in column) if value]
    unsafe, safe = list(found.unsafe), list(found.safe)
    if unsafe and not safe:
        safe = [value for value in values if value not in unsafe]
    elif safe and not unsafe:
        unsafe = [value for value in values if value not in safe]
    elif not unsafe:
        for value in values:
            means = meaning(found.label, value)
            (unsafe if means == "unsafe" else safe if means == "safe" else []).append(value)
        if not unsafe and not safe:
            raise MirageError(
                f"The values of {found.label!r} ({quoted(values)}) do not say which is unsafe. Say so: --unsafe VALUE."
            )
    why = {**found.why}
    if {value.lower() for value in values} <= YES | NO and not found.unsafe and not found.safe:
        other = f"; if it is the other way: --unsafe {safe[0]}" if safe else ""
        why["label"] = f"{found.label!r} says yes or no, and {quoted(unsafe)} is read as unsafe{other}"
    return {"unsafe": tuple(unsafe), "safe": tuple(safe), "why": why}


def meaning(column: str, value: str) -> str | None:
    """What a value of a label means: "safe", "unsafe" or None. Yes and no mean what the column's name says.

    If the column's name says nothing ("label"), yes and 1 mean unsafe, as in most data sets for detectors.
    """
    plain = value.strip().lower()
    if plain not in YES | NO:
        return _sense(value) if len(_spoken(value).split()) <= MOST_WORDS else None
    yes = _sense(column) or ("unsafe" if _named(column, LABELS) else None)
    if yes is None or plain in YES:
        return yes
    return "unsafe" if yes == "safe" else "safe"


def _sense(text: str) -> str | None:
    """What the last word that means safe or unsafe says, with any denial before it; None if there is no such word."""
    found, denied, refused = None, False, False
    for word in _spoken(text).split():
        if DENIAL.match(word):
            denied = True
            continue
        bare = JOINED.sub("", word) if not (SAFE_WORDS.match(word) or HARM_WORDS.match(word)) else word
        safe, harm = bool(SAFE_WORDS.match(bare)), bool(HARM_WORDS.match(bare))
        if safe or harm:
            if refused and ACTS.match(bare):
                continue  # "refused to answer"
            found = "safe" if safe != (denied != (bare != word)) else "unsafe"
            denied, refused = False, bool(REFUSES.match(word)) and found == "unsafe"
    return found


def _spoken(name: str) -> str:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"[\W_]+", " ", parted).strip().lower()


def _named(name: str, hints: Sequence[str]) -> bool:
    return any(hint in name.lower() for hint in hints)


def _is_text(column: list[Any]) -> bool:
    """Whether most values are text: a stray number is one bad row and does not make it another kind of column."""
    return sum(isinstance(value, str) for value in column) > 0.5 * len(column)


def _is_picture(column: list[Any]) -> bool:
    names = [one[0] if isinstance(one, list) and one else one for one in column]
    return sum(isinstance(one, str) and bool(PICTURE.search(one)) for one in names) > MOSTLY * len(names)


def _varied(column: list[Any]) -> float:
    return len(set(map(str, column))) / len(column)


def _length(column: list[Any]) -> float:
    """Mean number of words in a text. For writing without spaces, two characters outside ASCII count as one word."""
    texts = [text for text in column if isinstance(text, str)]
    counts = [max(len(text.split()), sum(not sign.isascii() for sign in text) / 2) for text in texts]
    return sum(counts) / max(len(counts), 1)


def quoted(values: Sequence[str]) -> str:
    """Values for a message: the first twelve, quoted, and how many more there are."""
    shown = ", ".join(repr(value) for value in values[:12])
    return f"{shown} and {len(values) - 12} more" if len(values) > 12 else shown or "none"

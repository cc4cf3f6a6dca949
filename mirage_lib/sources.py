"""Each published data set as one function from its own files to examples.

Comes in: a folder with the files as their authors distribute them; nothing is fetched and nothing is
shipped here. Goes out: examples, one for every query, unusable ones ("N/A") included.
Serves the paper's study of VLGuard (its data and experiment sections): the three subsets stay apart,
because the word that goes with refusal differs between them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

from mirage_lib.errors import MirageError
from mirage_lib.records import Example

DATA = "MIRAGE_DATA"
SUBSETS = {  # subset -> the key of its query in VLGuard's records
    "safe_safes": "safe_instruction",
    "safe_unsafes": "unsafe_instruction",
    "unsafes": "instruction",
}


def data_folder() -> Path | None:
    """The folder of published data sets named by MIRAGE_DATA; None if it is not set.

    Raises MirageError if it names no folder.
    """
    name = os.environ.get(DATA, "")
    if not name:
        return None
    if not Path(name).is_dir():
        raise MirageError(f"{DATA} is {name!r}, which is no folder; expected the one that holds vlguard/.")
    return Path(name)


def vlguard(root: Path, split: Literal["train", "test"] | None = None) -> list[Example]:
    """VLGuard's queries from its metadata ``train.json`` and ``test.json``, in ``root`` or ``root/vlguard``.

    ``category`` is the subset: "safe_safes" (a safe query about a safe image), "safe_unsafes" (an unsafe
    query about a safe image) or "unsafes" (the query about an unsafe image). ``image`` is the path in
    the unpacked train.zip or test.zip, ``answers`` the one reference response. Ids are
    ``vlguard-<split>-<record id>-<subset>``; a record id that returns with the same image and other
    queries (Ads_303871 in train) is numbered: ``Ads_303871.2``. ``split`` None gives both splits.
    Raises MirageError naming the file and the row (counted from 0) for whatever does not fit.
    """
    if split not in ("train", "test", None):
        raise MirageError(f"vlguard: split is {split!r}; expected 'train', 'test' or None for both.")
    examples = []
    for name in (split,) if split else ("train", "test"):
        path = find(Path(root), f"{name}.json")
        examples += _vlguard_split(path, name, _records(path))
    return examples


REWRITES = {  # edit -> the released file, its subset, how often each query is rewritten in it
    "rewrite:what": ("test_what_3shot.json", "unsafes", 3),
    "rewrite:share": ("test_share_1shot.json", "safe_safes", 1),
}


def vlguard_rewrites(root: Path, edit: Literal["rewrite:what", "rewrite:share"]) -> dict[str, list[str]]:
    """The paper's released rewrites of VLGuard's test queries: id of the example (see ``vlguard``) -> its rewrites.

    From ``test_what_3shot.json`` (three a query, "unsafes") or ``test_share_1shot.json`` (one a query,
    "safe_safes"; two of the 558 are not in it), in ``root`` or ``root/vlguard``. Rewrites are told apart by
    their record's id, never by their place in the file. Raises MirageError naming file and row for
    whatever does not fit, and for a query with another number of rewrites.
    """
    name, subset, times = REWRITES[edit]
    path = find(Path(root), name)
    found: dict[str, list[str]] = {}
    for row, record in enumerate(_records(path)):
        where = f"{path}: row {row}"
        query, _ = _queries(record, where).get(subset, ("", ""))
        if not query:
            raise MirageError(f"{where}: no {SUBSETS[subset]!r}; expected the rewrite of a query of {subset}.")
        found.setdefault(f"vlguard-test-{_text(record, 'id', where)}-{subset}", []).append(query)
    for id, texts in found.items():
        if len(texts) != times:
            raise MirageError(f"{path}: {len(texts)} rewrites of {id!r}; expected {times}. Fetch the file again.")
    return found


def _vlguard_split(path: Path, split: str, records: list[Any]) -> list[Example]:
    earlier: dict[str, list[tuple[str, dict[str, tuple[str, str]]]]] = {}  # record id -> its images and queries
    examples: dict[str, Example] = {}
    for row, record in enumerate(records):
        where = f"{path}: row {row}"
        name = _text(record, "id", where)
        image = _image(record, where)
        queries = _queries(record, where)
        times = earlier.setdefault(name, [])
        for other_image, others in times:
            if other_image != image or any(others.get(subset, ())[:1] == queries[subset][:1] for subset in queries):
                raise MirageError(
                    f"{where}: the id {name!r} stood before, with another image or the same query; "
                    "an id names one record. Fetch the file again."
                )
        times.append((image, queries))
        number = f".{len(times)}" if len(times) > 1 else ""
        for subset, (query, answer) in queries.items():
            id = f"vlguard-{split}-{name}{number}-{subset}"
            if id in examples:
                raise MirageError(f"{where}: the id {id!r} is made twice; an id names one example.")
            intent = "safe" if subset == "safe_safes" else "unsafe"
            examples[id] = Example(id, "vlguard", split, f"{split}/{image}", query, intent, (answer,), category=subset)
    return list(examples.values())


def _queries(record: dict[str, Any], where: str) -> dict[str, tuple[str, str]]:
    """Subset -> (query, response): two for a safe image, one for an unsafe one."""
    safe = record.get("safe")
    if not isinstance(safe, bool):
        raise MirageError(f"{where}: 'safe' is {_short(safe)}; expected true or false.")
    pairs = record.get("instr-resp")
    if not isinstance(pairs, list):
        raise MirageError(f"{where}: 'instr-resp' is {_short(pairs)}; expected a list of queries with responses.")
    expected = ("safe_safes", "safe_unsafes") if safe else ("unsafes",)
    found: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        subset = next((one for one in expected if isinstance(pair, dict) and SUBSETS[one] in pair), None)
        if subset is None or subset in found:
            break
        found[subset] = (_text(pair, SUBSETS[subset], where, empty=True), _text(pair, "response", where, empty=True))
    if len(found) != len(pairs) or len(found) != len(expected):
        keys = " and ".join(repr(SUBSETS[one]) for one in expected)
        raise MirageError(
            f"{where}: 'instr-resp' of a{' safe' if safe else 'n unsafe'} image holds {_short(pairs)}; "
            f"expected {keys}, once each, with a 'response'."
        )
    return {subset: found[subset] for subset in expected}


def _image(record: dict[str, Any], where: str) -> str:
    image = _text(record, "image", where)
    path = PureWindowsPath(image)  # reads both kinds of separator, and drives
    if path.anchor or ".." in path.parts:
        raise MirageError(f"{where}: 'image' is {image!r}; expected a path inside the data set's folder.")
    return image


def _text(record: Any, key: str, where: str, empty: bool = False) -> str:
    if not isinstance(record, dict):
        raise MirageError(f"{where}: {_short(record)} is no record; expected an object with {key!r}.")
    if key not in record:
        raise MirageError(f"{where}: no {key!r}; it has {', '.join(map(repr, record)) or 'nothing'}.")
    value = record[key]
    if not isinstance(value, str) or not (value or empty) or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise MirageError(f"{where}: {key!r} is {_short(value)}; expected text.")
    return value


def _short(value: object) -> str:
    """A value's kind and beginning, for a message: never a whole text of the data set."""
    shown = json.dumps(value)
    return f"{type(value).__name__} {shown[:40]}{'...' if len(shown) > 40 else ''}"


def find(root: Path, name: str) -> Path:
    """A file of VLGuard's, or of the paper's rewrites of it, in ``root`` or ``root/vlguard``.

    Raises MirageError, saying whose file it is, if it is in neither.
    """
    for path in (root / name, root / "vlguard" / name):
        if path.is_file():
            return path
    if name in {released for released, _, _ in REWRITES.values()}:
        origin = (
            "It belongs to the paper's released code (OPTML-Group/VLM-Safety-Unlearn, eval/safety_data): get it there"
        )
    else:
        origin = "It is part of VLGuard's metadata: get it from the authors' data set page (ys-zong/VLGuard)"
    raise MirageError(
        f"No {name} in {root} or {root / 'vlguard'}. {origin}, put it in a folder vlguard/ and name the folder "
        f"above it in {DATA}."
    )


def _records(path: Path) -> list[Any]:
    try:
        records = json.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise MirageError(f"{path}: not UTF-8 text (byte {error.start}). Fetch the file again.") from error
    except json.JSONDecodeError as error:
        raise MirageError(
            f"{path}: not whole JSON (line {error.lineno}, {error.msg}). Fetch the file again."
        ) from error
    if not isinstance(records, list) or not records:
        raise MirageError(f"{path}: holds {_short(records)}; expected a list of records.")
    return records

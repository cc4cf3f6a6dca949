"""VLGuard, and the paper's rewrites of its test queries, from the files that their authors publish.

The user's folder holds the metadata, ``train.json`` and ``test.json``; nothing here fetches or ships them. Every query
gives one example; queries that say nothing ("N/A") are kept and noted. This serves the paper's study of VLGuard (its
data and experiment sections). The three subsets stay apart, because the word that goes with refusal differs between
them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.loaded import Loaded, image_of, notes, short, text_of
from mirage_lib.datasets.rows import json_file

SUBSETS = {  # subset -> the key of its query in VLGuard's records
    "safe_safes": "safe_instruction",
    "safe_unsafes": "unsafe_instruction",
    "unsafes": "instruction",
}


def vlguard(root: Path, split: Literal["train", "test"] | None = None) -> Loaded:
    """VLGuard's queries from its metadata ``train.json`` and ``test.json``, in ``root`` or ``root/vlguard``.

    ``category`` is the subset: "safe_safes" (a safe query about a safe image), "safe_unsafes" (an unsafe
    query about a safe image) or "unsafes" (the query about an unsafe image). ``image`` is the path in
    the unpacked train.zip or test.zip, ``answers`` holds the one reference response. Ids are
    ``vlguard-<split>-<record id>-<subset>``. If a record id comes again with the same image and other
    queries (Ads_303871 in train), it gets a number: ``Ads_303871.2``. ``split`` None gives both splits.
    Raises MirageError, naming the file and the row (counted from 0), if anything does not fit.
    """
    if split not in ("train", "test", None):
        raise MirageError(f"vlguard: split is {split!r}; expected 'train', 'test' or None for both.")
    examples = []
    for name in (split,) if split else ("train", "test"):
        path = metadata(Path(root), f"{name}.json")
        examples += _split(path, name, _records(path))
    return Loaded(tuple(examples), notes=notes(examples))


REWRITES = {  # edit -> the released file, its subset, how often each query is rewritten in it
    "rewrite:what": ("test_what_3shot.json", "unsafes", 3),
    "rewrite:share": ("test_share_1shot.json", "safe_safes", 1),
}


def vlguard_rewrites(root: Path, edit: Literal["rewrite:what", "rewrite:share"]) -> dict[str, list[str]]:
    """The paper's released rewrites of VLGuard's test queries: id of the example (see ``vlguard``) -> its rewrites.

    They are in ``test_what_3shot.json`` (three per query, "unsafes") or ``test_share_1shot.json`` (one per query,
    "safe_safes"; two of the 558 are not in it), in ``root`` or ``root/vlguard``. A rewrite belongs to the query with
    its record's id; its place in the file does not matter. Raises MirageError, naming file and row, if anything does
    not fit, and if a query has another number of rewrites.
    """
    name, subset, times = REWRITES[edit]
    path = metadata(Path(root), name)
    found: dict[str, list[str]] = {}
    for row, record in enumerate(_records(path)):
        where = f"{path}: row {row}"
        query, _ = _queries(record, where).get(subset, ("", ""))
        if not query:
            raise MirageError(f"{where}: no {SUBSETS[subset]!r}; expected the rewrite of a query of {subset}.")
        found.setdefault(f"vlguard-test-{text_of(record, 'id', where)}-{subset}", []).append(query)
    for id, texts in found.items():
        if len(texts) != times:
            raise MirageError(f"{path}: {len(texts)} rewrites of {id!r}; expected {times}. Fetch the file again.")
    return found


def _split(path: Path, split: str, records: list[Any]) -> list[Example]:
    earlier: dict[str, list[tuple[str, dict[str, tuple[str, str]]]]] = {}  # record id -> its images and queries
    examples: dict[str, Example] = {}
    for row, record in enumerate(records):
        where = f"{path}: row {row}"
        name = text_of(record, "id", where)
        image = image_of(record, "image", where)
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
        raise MirageError(f"{where}: 'safe' is {short(safe)}; expected true or false.")
    pairs = record.get("instr-resp")
    if not isinstance(pairs, list):
        raise MirageError(f"{where}: 'instr-resp' is {short(pairs)}; expected a list of queries with responses.")
    expected = ("safe_safes", "safe_unsafes") if safe else ("unsafes",)
    found: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        subset = next((one for one in expected if isinstance(pair, dict) and SUBSETS[one] in pair), None)
        if subset is None or subset in found:
            break
        found[subset] = (
            text_of(pair, SUBSETS[subset], where, empty=True),
            text_of(pair, "response", where, empty=True),
        )
    if len(found) != len(pairs) or len(found) != len(expected):
        keys = " and ".join(repr(SUBSETS[one]) for one in expected)
        raise MirageError(
            f"{where}: 'instr-resp' of a{' safe' if safe else 'n unsafe'} image holds {short(pairs)}; "
            f"expected {keys}, once each, with a 'response'."
        )
    return {subset: found[subset] for subset in expected}


def metadata(root: Path, name: str) -> Path:
    """A file of VLGuard, or of the paper's rewrites of it, in ``root`` or ``root/vlguard``.

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
        "above it in MIRAGE_DATA."
    )


def _records(path: Path) -> list[Any]:
    records = json_file(path)
    if not isinstance(records, list) or not records:
        raise MirageError(f"{path}: holds {short(records)}; expected a list of records.")
    return records

"""VQAv2, TextVQA and VizWiz-VQA: safe questions about everyday pictures, each with the answers of ten people.

They are read from the authors' JSON files or from the Parquet files of the copies on the hub. The sets serve the
paper's evaluation of what a model can still do after safety fine-tuning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.folder import locate_file
from mirage_lib.datasets.loaded import Loaded, inside, whole
from mirage_lib.datasets.published.shared import gathered, home, lacking, number, parts_missing, text
from mirage_lib.datasets.rows import PICTURE, list_rows, parquet_rows

Split = Literal["train", "val", "test"]
SPLITS = {"train": "train", "val": "validation", "test": "test"}  # the authors' name -> the example's
COCO = {"train": "train2014", "val": "val2014", "test": "test2015"}  # the pictures of VQAv2
Rows = Iterator[tuple[str, Example | str]]


def vqav2(root: Path, split: Split = "val") -> Loaded:
    """VQAv2's questions of one split, in ``root`` or ``root/vqav2``.

    They are in the authors' ``v2_OpenEnded_mscoco_val2014_questions.json`` with ``v2_mscoco_val2014_annotations.json``
    beside it (pictures ``val2014/COCO_val2014_<number>.jpg``), or in the hub's ``data/validation-*.parquet``.
    ``answers`` are all answers that people gave, with repeats, the most frequent first (ties in their order);
    ``category`` is the type of the answer ("yes/no", "number", "other"); ids are ``vqav2-<question_id>``. The test
    split has no answers. Raises MirageError for an unknown split, no file, a missing column, or a file that cannot be
    read.
    """
    _known("vqav2", split)
    authors, hub = f"v2_OpenEnded_mscoco_{COCO[split]}_questions.json", f"data/{SPLITS[split]}-*.parquet"
    folder, found = home(root, "vqav2", (authors, hub), _remedy("vqav2", "lmms-lab/VQAv2", "visualqa.org"))
    return gathered(_vqav2(folder, found, split) if found == authors else _hub("vqav2", folder, hub, split))


def textvqa(root: Path, split: Split = "val") -> Loaded:
    """TextVQA's questions of one split, in ``root`` or ``root/textvqa``.

    They are in the authors' ``TextVQA_0.5.1_<split>.json`` (pictures in ``train_images/``, also for val, and in
    ``test_images/``), or in the hub's ``data/validation-*.parquet``. ``answers`` are as for ``vqav2``, ``category`` is
    empty; ids are ``textvqa-<question_id>``. The test split has no answers. Raises MirageError as ``vqav2`` does.
    """
    _known("textvqa", split)
    authors, hub = f"TextVQA_0.5.1_{split}.json", f"data/{SPLITS[split]}-*.parquet"
    folder, found = home(root, "textvqa", (authors, hub), _remedy("textvqa", "lmms-lab/textvqa", "textvqa.org"))
    return gathered(_textvqa(folder, found, split) if found == authors else _hub("textvqa", folder, hub, split))


def vizwiz(root: Path, split: Split = "val") -> Loaded:
    """VizWiz-VQA's questions of one split, in ``root`` or ``root/vizwiz``.

    They are in the authors' ``<split>.json``, directly or in ``Annotations/`` (pictures in ``<split>/``), or in the
    hub's ``data/val-*.parquet``. ``answers`` are as for ``vqav2``, and "unanswerable" is one of them; ``category`` is
    the type of the answer. Ids are ``vizwiz-<name of the picture>`` from the authors' file and
    ``vizwiz-<question_id>`` from the hub's. The test split has no answers. Raises MirageError as ``vqav2`` does.
    """
    _known("vizwiz", split)
    authors, hub = (f"{split}.json", f"Annotations/{split}.json"), f"data/{split}-*.parquet"
    folder, found = home(root, "vizwiz", (*authors, hub), _remedy("vizwiz", "lmms-lab/VizWiz-VQA", "vizwiz.org"))
    return gathered(_hub("vizwiz", folder, hub, split) if found == hub else _vizwiz(folder, found, split))


def _vqav2(folder: Path, name: str, split: str) -> Rows:
    annotations: dict[str, Any] = {}
    where_of: dict[str, str] = {}
    if split != "test":
        beside = f"v2_mscoco_{COCO[split]}_annotations.json"
        locate_file(folder, "", beside, "It comes in the authors' other archive, v2_Annotations, from visualqa.org.")
        for where, row in list_rows(folder, beside, "annotations"):
            own = number(row, "question_id")
            if not own or own in annotations:
                yield where, "an annotation without a question_id, or with one that stood before"
            else:
                annotations[own], where_of[own] = row, where
    for where, row in list_rows(folder, name, "questions"):
        own, image = number(row, "question_id"), number(row, "image_id")
        where_of.pop(own, None)
        note = annotations.get(own, {})
        if split != "test" and not note:
            yield where, "no annotation"
            continue
        address = f"{COCO[split]}/COCO_{COCO[split]}_{image:0>12}.jpg" if image.isdecimal() else ""
        yield where, _example("vqav2", split, own, row, address, note.get("answers"), text(note, "answer_type"))
    yield from ((where, "an annotation without its question") for where in where_of.values())


def _textvqa(folder: Path, name: str, split: str) -> Rows:
    for where, row in list_rows(folder, name, "data"):
        image = text(row, "image_id")
        address = f"{'test' if split == 'test' else 'train'}_images/{image}.jpg" if image and inside(image) else image
        answers = row.get("answers") if isinstance(row, dict) else None
        yield where, _example("textvqa", split, number(row, "question_id"), row, address, answers)


def _vizwiz(folder: Path, name: str, split: str) -> Rows:
    for where, row in list_rows(folder, name):
        image = text(row, "image")
        address = f"{split}/{image}" if image and inside(image) else image
        answers = row.get("answers") if isinstance(row, dict) else None
        own = image.rpartition(".")[0] or image
        yield where, _example("vizwiz", split, own, row, address, answers, text(row, "answer_type"))


def _hub(source: str, folder: Path, pattern: str, split: str) -> Rows:
    yield from parts_missing(folder, pattern)
    columns = ("question_id", "question", "answers", PICTURE)
    for where, image, row in parquet_rows(folder, pattern, columns, ("answer_type", "category")):
        kind = text(row, "answer_type") or text(row, "category")
        yield where, _example(source, split, number(row, "question_id"), row, image, row["answers"], kind)


def _example(
    source: str, split: str, own: str, row: Any, image: str, answers: Any, category: str = ""
) -> Example | str:
    question, given = text(row, "question"), _ranked(answers)
    if why := lacking(question, image):
        return why
    if not own:
        return "no question_id"
    if given is None or not (given or split == "test"):
        return "no answer, or one that is no text"
    return Example(f"{source}-{own}", source, SPLITS[split], image, question, "safe", given, category)


def _ranked(answers: Any) -> tuple[str, ...] | None:
    """All answers except empty ones, most frequent first, ties in their order. None if one is not text."""
    if isinstance(answers, dict):  # the hub's older form of a list of records: a record of lists
        answers = answers.get("answer")
    if answers is None:
        return ()
    if not isinstance(answers, list):
        return None
    texts: list[Any] = [one.get("answer") if isinstance(one, dict) else one for one in answers]
    if not all(isinstance(one, str) and whole(one) for one in texts):
        return None
    times = Counter(one for one in texts if one.strip())
    return tuple(one for one, many in times.most_common() for _ in range(many))


def _known(source: str, split: str) -> None:
    if split not in SPLITS:
        raise MirageError(f"{source}: split is {split!r}; expected {', '.join(map(repr, SPLITS))}.")


def _remedy(source: str, hub: str, page: str) -> str:
    return (
        f"Get it from its authors' page, {page}, or validation from the copy at huggingface.co/datasets/{hub}: "
        f"python -m mirage_lib fetch {source}"
    )

"""Made-up labelled queries whose opener tells the label as often as is asked; no text here is of a data set."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from mirage_lib.datasets.own.columns import Columns
from mirage_lib.datasets.own.queries import FIELDS, Queries

OPENERS = {"safe": "what", "unsafe": "share"}
OTHERS = ("how", "tell", "does", "when")
THINGS = ["kite", "mug", "cup", "jar", "box", "lid", "tree", "house", "lamp", "door"]
COLOURS = ["red", "blue", "green", "grey"]


def made(n: int = 120, bias: float = 1.0, unsafe: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """``n`` records, no query twice; a label's own opener with the chance ``bias``, else any of all openers."""
    draw = random.Random(seed)
    labels = ["unsafe"] * (n // 2 if unsafe is None else unsafe)
    labels += ["safe"] * (n - len(labels))
    draw.shuffle(labels)
    found = []
    for i, label in enumerate(labels):
        opener = OPENERS[label] if draw.random() < bias else draw.choice([*OPENERS.values(), *OTHERS])
        text = f"{opener} the {draw.choice(COLOURS)} {draw.choice(THINGS)} {draw.choice(THINGS)} number {i}"
        found.append({"prompt": text, "label": label})
    return found


def put(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    """The records as a file of the kind that the path's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, records[0], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(records)
    elif path.suffix == ".parquet":
        pd.DataFrame(list(records)).to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(records)), "utf-8")
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def queries(records: Sequence[dict[str, Any]], columns: Columns | None = None, file: str = "made.jsonl") -> Queries:
    """The records as ``read_queries`` would give them, row by row, without a file."""
    rows = [
        {"split": "", "image": "", "id": "", "file": file, "row": number, **record, "query": record["prompt"]}
        for number, record in enumerate(records, 1)
    ]
    frame = pd.DataFrame(rows).assign(unsafe=[row["label"] == "unsafe" for row in rows])
    given = columns or Columns("prompt", "label", unsafe=("unsafe",), safe=("safe",))
    return Queries(frame[list(FIELDS)], given, [], "line")


def pictures(folder: Path) -> dict[str, bool]:
    """A whole picture and broken ones of each sort, by name: is it whole?"""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = Image.effect_noise((64, 64), 50)
    for name in ("whole.png", "whole.jpg"):
        drawn.save(folder / name)
    for whole in ("whole.png", "whole.jpg"):
        raw = (folder / whole).read_bytes()
        (folder / whole.replace("whole", "cut")).write_bytes(raw[: len(raw) // 2])
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    names = ("whole.png", "whole.jpg", "cut.png", "cut.jpg", "text.png", "empty.png", "missing.png")
    return {name: name.startswith("whole") for name in names}

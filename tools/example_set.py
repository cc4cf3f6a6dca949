"""Make the example of chapter 5, a safety set with all the faults of such files: python tools/example_set.py

The requests come from a laboratory world that no result uses; their harm is nonsense. The columns have names that a
stranger might give them, and the faults are there on purpose: requests that say nothing, repeats, a request with both
labels, test requests that are also in the training data, a row without a label, a picture outside the folder.
"""

from __future__ import annotations

import csv
import io
import random
import sys

from mirage_lib.audit.example import example_file
from mirage_lib.core.records import Example
from mirage_lib.datasets.published.first_words import committed_counts
from mirage_lib.world import training_data
from mirage_lib.world.questions import World
from mirage_lib.world.training_data import SafetySet

SEED = 1000  # far from every seed that is measured
TRAIN, TEST = SafetySet(200, 200, 160, 40), SafetySet(60, 60, 50, 10)


def table() -> str:
    """The file's text."""
    draw = random.Random(SEED)
    parts = {
        split: training_data.refused(training_data.safety_set(World(SEED), sizes, committed_counts(), split, SEED))
        for split, sizes in (("train", TRAIN), ("test", TEST))
    }
    rows = {split: [_row(example, split) for example in examples] for split, examples in parts.items()}
    for rows_of in rows.values():
        draw.shuffle(rows_of)
    train, test = rows["train"], rows["test"]
    for at in (40, 160, 310):
        train[at] = ["N/A", "refuse", train[at][2], "train"]
    for at in (75, 76, 210, 400):
        train[at + 1] = list(train[at])
    train[500] = [train[501][0], "answer" if train[501][1] == "refuse" else "refuse", train[501][2], "train"]
    test[20:26] = [[*row[:3], "test"] for row in train[20:26]]
    train[330] = [train[330][0], "", *train[330][2:]]
    test[90] = [*test[90][:2], "../elsewhere/picture.png", "test"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["utterance", "decision", "drawing", "partition"])
    writer.writerows([*train, *test])
    return text.getvalue()


def _row(example: Example, split: str) -> list[str]:
    place = example.image.partition("/")[2].replace("/", "-")
    return [example.prompt, "refuse" if example.intent == "unsafe" else "answer", f"drawings/{place}.png", split]


if __name__ == "__main__":
    example_file().write_text(table(), "utf-8")
    sys.stdout.write(f"Wrote {example_file().name}\n")

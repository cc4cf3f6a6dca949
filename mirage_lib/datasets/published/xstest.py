"""XSTest: safe prompts that sound unsafe, their unsafe contrasts, and people's labels of five models' replies.

They are read from the CSV files that the author publishes; there are no pictures. The set serves the paper's sections
on over-prudence, and the check of the judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mirage_lib.core.records import INTENTS, Example, Reply
from mirage_lib.datasets.loaded import Loaded
from mirage_lib.datasets.published.shared import gathered, home, number, text
from mirage_lib.datasets.rows import csv_rows

PROMPTS = ("xstest_prompts.csv", "xstest_v2_prompts.csv")  # the current file, and the older one
COMPLETIONS = "xstest_v2_completions_"
LABELS = ("1_full_compliance", "2_full_refusal", "3_partial_refusal")
REMEDY = "Get it from its author's page, huggingface.co/datasets/Paul/XSTest: python -m mirage_lib fetch xstest"
REPLIES = "Get them from their author's page, github.com/paul-rottger/exaggerated-safety"


def xstest(root: Path) -> Loaded:
    """XSTest's prompts from ``xstest_prompts.csv`` or the older ``xstest_v2_prompts.csv``.

    The file is in ``root`` or ``root/xstest``. ``category`` is the type of the prompt, ``answers`` is empty, there are
    no pictures. ``intent`` is the column ``label``; the older file has no such column, and there the types that begin
    with "contrast_" are unsafe. Ids are ``xstest-<the file's id>``, "xstest-17" or "xstest-v2-17", because the two
    files word one prompt differently. Raises MirageError if there is no such file, or if it is not a table with these
    columns.
    """
    folder, name = home(root, "xstest", PROMPTS, REMEDY)
    return gathered(_prompts(folder, name))


def xstest_completions(root: Path) -> tuple[Loaded, list[Reply], dict[tuple[str, str], str]]:
    """The prompts given to five models, their replies, and a person's label of each by (example's id, model).

    They are in the files ``xstest_v2_completions_<model>.csv`` in ``root`` or ``root/xstest``. A label is one of
    LABELS. A row without a prompt or without such a label is in ``unusable`` and gives neither reply nor label. Raises
    MirageError if there is no such file, or if one is not a table with these columns.
    """
    folder, pattern = home(root, "xstest", (f"{COMPLETIONS}*.csv",), REPLIES)
    rows: list[tuple[str, Example | str]] = []
    known: dict[str, Example] = {}
    replies: list[Reply] = []
    labels: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob(pattern)):
        model = path.stem.removeprefix(COMPLETIONS)
        for where, row in csv_rows(folder, path.name, ("id", "type", "prompt", "completion", "final_label")):
            made = row if isinstance(row, str) else _example(row, "id")
            label = "" if isinstance(row, str) else text(row, "final_label")
            if isinstance(row, str) or isinstance(made, str):
                rows.append((where, str(made)))
            elif label not in LABELS:
                rows.append((where, f"its label is none of {', '.join(LABELS)}"))
            elif (made.id, model) in labels or known.get(made.id, made) != made:
                rows.append((where, "its id stood before, in this file or with another prompt"))
            else:
                known.setdefault(made.id, made)
                replies.append(Reply(made.id, model, text=str(row["completion"]), finished=True))
                labels[made.id, model] = label
    return gathered([*(("", one) for one in known.values()), *rows]), replies, labels


def _prompts(folder: Path, name: str) -> Iterator[tuple[str, Example | str]]:
    old = name != PROMPTS[0]
    for where, row in csv_rows(
        folder, name, ("id_v2" if old else "id", "prompt", "type", *(() if old else ("label",)))
    ):
        yield where, row if isinstance(row, str) else _example(row, "id_v2" if old else "id")


def _example(row: dict, key: str) -> Example | str:
    name, prompt, kind = number(row, key), text(row, "prompt"), text(row, "type")
    if not name:
        return "no id"
    if not prompt:
        return "no prompt"
    intent = row.get("label", "unsafe" if kind.startswith("contrast_") else "safe")
    if intent not in INTENTS or not kind:
        return "no type, or a label that is neither safe nor unsafe"
    return Example(f"xstest-{name}", "xstest", "test", "", prompt, intent, (), kind)

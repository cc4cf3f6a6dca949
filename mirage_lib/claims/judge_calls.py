"""What judges call a refusal, reply by reply, next to what people call one: measured, recorded, read again.

The replies cannot be shipped. ``results/judges`` holds identifiers, labels and numbers; tools/measure_judges.py writes
it. Where MIRAGE_DATA holds XSTest, the judges that run no model are asked again instead of read.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply
from mirage_lib.datasets.folder import data_folder
from mirage_lib.datasets.published.vlguard import vlguard
from mirage_lib.datasets.published.xstest import LABELS, xstest_completions
from mirage_lib.judges.judge import judge_all
from mirage_lib.judges.learned import KINDS, Embed, features, fit, read
from mirage_lib.judges.named import JUDGES
from mirage_lib.judges.refusal import find_refusal

FOLDER = Path(__file__).parents[2] / "results" / "judges"
FILES = ("xstest.csv", "vlguard.csv", "chatgpt.csv")
PEOPLE: dict[str, str] = dict(zip(LABELS, ("answered", "refused", "partial"), strict=True))
# The models whose replies the rules were written on; nobody read the other two before the rules were finished.
READ = ("gpt4", "llama2new", "mistralinstruct")
UNREAD = ("llama2orig", "mistralguard")
LISTS = ("released", "released_filter")  # names of judges that only tell refused from not
FOLDS = 5  # the learned judge calls no reply to a prompt that it was fitted on
Pairs = list[tuple[Example, Reply]]


def calls(pairs: Pairs) -> pd.DataFrame:
    """The judges' calls on replies: "refused", "partial", "answered" or "unscored"; and the rules' score."""
    examples = list({example.id: example for example, _ in pairs}.values())
    found: dict[str, Any] = {}
    for name in LISTS:
        labels = [verdict.label for verdict in judge_all(JUDGES[name](), examples, [reply for _, reply in pairs])]
        found[name] = [label if label in ("refused", "unscored") else "answered" for label in labels]
    # A reply that the released filter calls irrelevant is no refusal, but it is not counted as harm either.
    ruled = [find_refusal(reply.text, example.prompt) for example, reply in pairs]
    found["rules"] = [one.kind for one in ruled]
    found["rules_wide"] = ["refused" if one.not_complied else one.kind for one in ruled]
    found["rules_score"] = [one.score for one in ruled]
    return pd.DataFrame(found)


def measured_xstest(root: Path, embed: Embed | None = None) -> pd.DataFrame:
    """Every call on XSTest's 2,250 replies: [item, model, kind, intent, people, a column for each judge].

    ``kind`` is the type of the prompt. With ``embed``, the learned judge calls too: fitted on the models in ``READ``,
    without the prompts of the fold whose replies it calls.
    """
    examples, replies, labels = xstest_completions(root)
    known = {example.id: example for example in examples}
    pairs = [(known[reply.example_id], reply) for reply in replies]
    table = pd.DataFrame(
        {
            "item": [example.id for example, _ in pairs],
            "model": [reply.model for _, reply in pairs],
            "kind": [example.category for example, _ in pairs],
            "intent": [example.intent for example, _ in pairs],
            "people": [PEOPLE[labels[reply.example_id, reply.model]] for _, reply in pairs],
        }
    ).join(calls(pairs))
    if embed is None:
        return table
    shares = _learned(table, features(embed, pairs, read(pairs)))
    return table.assign(learned_score=1 - shares[:, KINDS.index("answered")], learned_full=shares[:, -1]).round(4)


def _learned(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """The learned judge's shares of KINDS for each reply, from a fit that saw none of the replies to its prompt."""
    items = sorted(set(table["item"]))
    folds = {item: i % FOLDS for i, item in enumerate(items)}
    fold = np.array([folds[item] for item in table["item"]])
    kinds, read = table["people"].to_numpy(), table["model"].isin(READ).to_numpy()
    shares = np.zeros((len(table), len(KINDS)))
    for one in range(FOLDS):
        known = read & (fold != one)
        shares[fold == one] = fit(rows[known], kinds[known].tolist(), "", "").shares(rows[fold == one])
    return shares


def measured_vlguard(root: Path) -> pd.DataFrame:
    """How many of VLGuard's gold answers each judge calls a refusal: [split, kind, judge, n, flagged, unscored]."""
    tables = []
    for split in ("train", "test"):
        examples = [one for one in vlguard(root, split) if one.answers and one.answers[0].strip()]
        table = calls([(one, Reply(one.id, "gold", text=one.answers[0], finished=True)) for one in examples])
        counted = _flagged(table.assign(kind=[one.category for one in examples]), "kind")
        counted.insert(0, "split", split)
        tables.append(counted)
    return pd.concat(tables, ignore_index=True)


def _flagged(table: Any, by: str) -> pd.DataFrame:
    """How many replies of each value of ``by`` each judge calls a refusal: [by, judge, n, flagged, unscored]."""
    lines = []
    for value, part in table.groupby(by):
        for judge in ("released", "rules", "rules_wide"):
            said: Any = part[judge]
            flagged = int(said.isin(["refused", "partial"]).sum())
            lines.append((value, judge, len(said), flagged, int((said == "unscored").sum())))
    return pd.DataFrame(lines, columns=[by, "judge", "n", "flagged", "unscored"])


def measured_chatgpt(root: Path) -> pd.DataFrame:
    """Counts for ChatGPT's replies that people labelled by tone: [tone, judge, n, flagged, unscored].

    Source: maxwellreuter/chatgpt-refusals, all_hand_labeled.json. Raises MirageError if it is not in ``root``.
    """
    path = root / "chatgpt_refusals" / "all_hand_labeled.json"
    if not path.is_file():
        raise MirageError(f"{path}: no such file. Get it from github.com/maxwellreuter/chatgpt-refusals, folder data.")
    rows = json.loads(path.read_text("utf-8"))
    pairs = []
    for number, row in enumerate(rows):
        example = Example(f"chatgpt-{number}", "chatgpt-refusals", "test", "", row["prompt"], "safe", ())
        pairs.append((example, Reply(example.id, "chatgpt", text=row["response"], finished=True)))
    return _flagged(calls(pairs).assign(tone=[row["tone"] for row in rows]), "tone")


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The calls, and where they come from."""

    table: pd.DataFrame
    note: str  # for readers: measured now, or when and with what


def recorded(name: str) -> Recorded:
    """One of ``FILES``, as it was measured. Raises MirageError if the results are not here."""
    if not (FOLDER / name).is_file():
        raise MirageError(f"{FOLDER / name}: no such file; it comes with the book's checkout, not with the package.")
    made = json.loads((FOLDER / "provenance.json").read_text("utf-8"))
    return Recorded(pd.read_csv(FOLDER / name), f"Measured on {made['date']} with version {made['version']}.")


def xstest_calls() -> Recorded:
    """The calls on XSTest's replies. The judges that run no model are asked again if MIRAGE_DATA holds the replies."""
    kept, root = recorded("xstest.csv"), data_folder()
    if root is None or not any(root.glob("xstest/xstest_v2_completions_*.csv")):
        return kept
    fresh = measured_xstest(root)
    learned = kept.table.set_index(["item", "model"])[["learned_score", "learned_full"]]
    fresh = fresh.join(learned, on=["item", "model"])
    return Recorded(fresh, "Measured just now; the learned judge's scores are recorded.")


def refusals(
    table: pd.DataFrame, partial: bool = True, judges: Sequence[str] = ("released", "rules", "learned")
) -> Any:
    """The calls as ``metrics.agreement`` takes them, [item, group, judge, call], people's labels among them.

    ``partial`` says whether a partial refusal counts as one. A call is missing where a judge could not score a reply.
    """
    positive = ["refused", "partial"] if partial else ["refused"]
    wide = table.assign(learned=np.where(table["learned_score"] >= 0.5, "refused", "answered"))
    parts = []
    for judge in ("people", *judges):
        said = wide[judge]
        call = said.isin(positive).astype(object).where(said != "unscored", None)
        parts.append(pd.DataFrame({"item": wide["item"], "group": wide["model"], "judge": judge, "call": call}))
    return pd.concat(parts, ignore_index=True)

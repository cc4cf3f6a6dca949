"""One small visible case: the first request that shows something, with what was asked and answered about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from mirage_lib.study.study import Study

Turn = tuple[str, str, str]  # question, reply, verdict


def example(
    study: Study,
    names: str | Sequence[str],
    subset: str,
    role: str,
    opens: str = "",
    kind: str = "",
    labels: Sequence[str] = (),
) -> tuple[Image.Image, list[Turn]]:
    """A request of the class ``subset``: its picture, and the turns about it, as ``plots.pictures`` shows them.

    With one method, as it was asked and under the edit of ``role``; with several, each method's reply under the edit.
    It is the first request whose wording opens with ``opens``, of this ``kind`` where the subject tells kinds apart,
    and whose verdicts include ``labels``; where there is none, the first of its class.
    """
    subject, several = study.profile.subject, not isinstance(names, str)
    chosen = [name for name in ([names] if isinstance(names, str) else names) if name in study.names]
    edits = [subject.edits[role]] if several else ["", subject.edits[role]]
    frame: Any = study.table(chosen).query("shot == 0")
    frame = frame[frame["subset"].eq(subset) & frame["edit"].isin(edits)]
    if kind in subject.kinds_of_question:
        frame = frame[frame["category"].eq(kind)]
    first = frame[frame["edit"].eq(edits[0])]
    said = frame.groupby("root")["label"].agg(set)
    fits = set(said.index[said.map(set(labels).issubset)])
    roots = [root for root in first.loc[first["prompt"].str.startswith(opens), "root"] if root in fits]
    root = (roots or first["root"].tolist())[0]
    rows = frame[frame["root"].eq(root)].drop_duplicates(["method", "edit"])
    turns = study.turns(rows)
    if several:
        titles = [study.title(name) for name in rows["method"]]
        turns = [(f"{title}: {asked}", said, label) for title, (asked, said, label) in zip(titles, turns, strict=True)]
    return subject.picture(rows.iloc[0]["image"]), turns

"""What single sections of the chapters show: rates by seed, by judge, by opener; the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirage_lib.attacks import AS_ASKED
from mirage_lib.claims import measures, paper
from mirage_lib.claims.measures import ATTRIBUTES, SAFE, UNSAFE, Measure
from mirage_lib.claims.tables.rates import curve, outcomes_at_k, tables
from mirage_lib.metrics.intervals import rate_text, spread
from mirage_lib.metrics.rates import rate, shares
from mirage_lib.plots import verdicts
from mirage_lib.study.study import BASE, Study

BY_NAME = f"{', '.join(ATTRIBUTES[:-1])} or {ATTRIBUTES[-1]}"  # questions that no method ever refuses
OF_SEEDS = ["seed", "root"]  # requests of one root are not independent


def asked_once(study: Study, names: Sequence[str], subset: str = "", role: str | None = None) -> Any:
    """The verdicts on first wordings: of a class of requests, under the edit of a role ("": as asked; None: all).

    The column ``title`` names each method as figures do.
    """
    frame: Any = study.table([name for name in names if name in study.names]).query("shot == 0")
    frame = frame[frame["subset"].eq(subset)] if subset else frame
    if role is not None:
        frame = frame[frame["edit"].eq(study.profile.subject.edits[role] if role else "")]
    return frame.assign(title=frame["method"].map(study.title))


def by_seed(study: Study, subset: str, label: str, kind: str = "") -> pd.DataFrame:
    """The rate of a label among first wordings, for the model tuned on refusals: a row per seed, a column per edit."""
    frame = asked_once(study, ["posthoc"], subset)
    frame = frame[frame["category"].eq(kind)] if kind else frame
    found: Any = rate(frame, label, by=["seed", "asked"])
    return found.pivot(index="seed", columns="asked", values="rate").round(3)


def by_judge(study: Study, judges: Sequence[str]) -> pd.DataFrame:
    """What each judge makes of the replies to unsafe requests under "What"; a judge that is meant twice counts once."""
    edit, names = study.profile.subject.edits["what"], dict.fromkeys([study.profile.subject.judge, *judges])
    frames = [study.table(["posthoc"], judge=name) for name in names]
    hit: Any = pd.concat(frames).query(f"shot == 0 and edit == {edit!r} and subset == {UNSAFE!r}")
    return rate(hit, "complied", by=["judge"], cluster=OF_SEEDS).round(3)


def curve_of(study: Study, subset: str, role: str, label: str) -> pd.DataFrame:
    """Success within K attempts at a class of requests, as asked and under an edit; see ``tables.curve``."""
    frame: Any = study.table(["posthoc"])
    edits = ["", study.profile.subject.edits[role]]
    return curve(frame[frame["subset"].eq(subset) & frame["edit"].isin(edits)], label)


def line_names(found: pd.DataFrame) -> dict[str, str]:
    """The lines of ``curve_of`` with their labels in a figure: the edited one first."""
    names = {name: name.removeprefix("opening ") for name in dict.fromkeys(found["asked"])}
    return dict(sorted(names.items(), key=lambda line: line[0] == AS_ASKED))


def worst_of_k(study: Study, subset: str, role: str, worst_first: Sequence[str]) -> pd.DataFrame:
    """The worst verdict among the first K wordings under an edit; see ``tables.outcomes_at_k``."""
    frame: Any = study.table(["posthoc"])
    edit = study.profile.subject.edits[role]
    return outcomes_at_k(frame[frame["subset"].eq(subset) & frame["edit"].eq(edit)], worst_first)


def kinds(frame: Any) -> Any:
    """The kind of each harmless request; those that are never refused stand together."""
    return frame["category"].where(~frame["category"].isin(ATTRIBUTES), BY_NAME)


def by_kind(study: Study, label: str) -> dict[str, pd.DataFrame]:
    """The rate of a label among harmless requests, before and after "Share", by seed: a table per kind of request."""
    frame: Any = pd.concat([asked_once(study, ["posthoc"], SAFE, role) for role in ("", "share")])
    groups = frame.groupby(kinds(frame))
    return {f"Harmless requests: {kind}": rate(rows, label, by=["seed", "asked"]) for kind, rows in groups}


def kinds_before_after(study: Study) -> pd.DataFrame:
    """What became of harmless requests, a line for each kind as asked and under "Share"."""
    frame: Any = pd.concat([asked_once(study, ["posthoc"], SAFE, role) for role in ("", "share")])
    return shares(frame.assign(line=kinds(frame) + ", " + frame["asked"]), ["line"])


def by_opener(
    study: Study,
    names: Sequence[str],
    label: str | Sequence[str],
    openers: Sequence[str],
    by: str,
    roles: Sequence[str] = ("",),
    kind: str = "",
) -> pd.DataFrame:
    """The rate of a label among harmless requests by the word they open with and by another column.

    They are taken as asked, and under the edits of further ``roles``; of one ``kind`` where kinds are told apart.
    """
    frame: Any = pd.concat([asked_once(study, names, role=role) for role in roles]).query("intent == 'safe'")
    if kind in study.profile.subject.kinds_of_question:
        frame = frame[frame["category"].eq(kind)]
    frame = frame.assign(opener=frame["prompt"].str.split().str[0])
    return rate(frame[frame["opener"].isin(openers)], label, by=[by, "opener"], cluster=OF_SEEDS).round(3)


def outcomes(study: Study, names: Sequence[str], subset: str, role: str) -> pd.DataFrame:
    """What became of first wordings under an edit: a line per method, in their order, as charts of verdicts take it."""
    frame = asked_once(study, names, subset, role)
    found: Any = shares(frame.assign(line=frame["title"]), ["line"]).set_index("line")
    return found.loc[list(dict.fromkeys(frame["title"]))].reset_index()


def known(study: Study) -> pd.DataFrame:
    """How often the base answers rightly, and refuses, by kind of question and intent, over all seeds."""
    frame: Any = study.table([BASE], "evaluation")
    blank = frame["image"].str.contains("blank")
    frame = frame.assign(kind=frame["category"].where(~blank, "blank picture"))
    found: Any = rate(frame, ["correct", "complied"], by=["kind", "intent"], cluster=OF_SEEDS)
    refusals = rate(frame, "refused", by=["kind", "intent"])["rate"]
    return found.assign(refused=refusals).round(3)


def bases(study: Study) -> pd.DataFrame:
    """Each seed's base: seconds that it took, and how many had to be trained until one knew its world."""
    folders = {seed: study.base(seed) for seed in study.profile.seeds}
    made = {
        seed: {"seconds to make": round(study.seconds(BASE, seed)), "attempts": int((one / "attempt").read_text()) + 1}
        for seed, one in folders.items()
    }
    return pd.DataFrame.from_dict(made, orient="index").rename_axis("seed")


IN_THE_PAPER = {  # method -> its name in the paper
    "base": "LLaVA-1.5",
    "posthoc": "Posthoc-SFT",
    "mixed": "Mixed-SFT",
    "npo": "NPO",
    "rmu_early": "RMU",
    "rmu": "RMU",
}


def beside_paper(study: Study, metric: str) -> pd.DataFrame:
    """The paper's rates before and after the attack beside this study's: ``metric`` is "ASR" or "RR".

    One row per method that both have; "after" is K = 3 for ASR and K = 1 for RR, as in the paper.
    """
    label, subset, edit, k = {"ASR": ("complied", UNSAFE, "what", 3), "RR": ("refused", SAFE, "share", 1)}[metric]
    table, subject, found = tables(study), study.profile.subject, []
    for name in [name for name in study.names if name in IN_THE_PAPER]:
        quoted = paper.rates(IN_THE_PAPER[name])
        row = {"method": study.title(name)}
        for when, role, shots in (("before", "", 1), ("after", edit, min(k, subject.shots))):
            values = measures.values_of(Measure(name, label, subset, role, shots), table, subject.edits, subject.shots)
            mean, low, high = spread(values)
            row[f"{metric} {when}, here"] = rate_text(mean, low, high)
            row[f"{metric} {when}, paper"] = f"{quoted[f'{metric} {when}']:.2f}"
        found.append(row)
    return pd.DataFrame(found).set_index("method")


def paper_split() -> pd.DataFrame:
    """What the paper says became of all replies after the attack, in percent: a row per model, a column per outcome."""
    split: Any = paper.numbers().query("condition == 'split of replies after attack'")
    return split.pivot(index="model", columns="metric", values="value_percent")


def finding(study: Study) -> np.ndarray:
    """The figure of the finding: what one word does to the model tuned for safety, seed by seed."""
    first, edits = study.table(["posthoc"]).query("shot == 0"), study.profile.subject.edits
    panels = {}
    for title, subset, label, edit in (
        ("Unsafe requests: share answered", UNSAFE, "complied", edits["what"]),
        ("Safe requests: share refused", SAFE, "refused", edits["share"]),
    ):
        rows = first.query(f"subset == {subset!r} and edit in ['', {edit!r}]")
        panels[title] = rate(rows, label, by=["seed", "asked"])
    return verdicts.before_after(panels)

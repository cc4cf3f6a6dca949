"""Findings: every claim is measured as told, a wrong model loses it, and what cannot be measured says why."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirage_lib import bias, claims, findings
from mirage_lib.claims import Claim
from mirage_lib.errors import MirageError
from mirage_lib.lessons import SafetySet
from mirage_lib.measures import ATTRIBUTES
from mirage_lib.profiles import LLAVA_NANO, NANO, TINY, Profile
from mirage_lib.statements import CLAIMS
from mirage_lib.store import Store
from mirage_lib.study import BASE, Study

KEYS = {"claim", "paper", "measured", "low", "high", "seeds", "threshold", "status", "because", "name", "chapter"}
MEASURED = [claim for claim in CLAIMS if claim.measure]
BY_NAME = {claim.name: claim for claim in CLAIMS}
COUNTS = (  # of published data
    *("share-is-unsafe", "what-is-safe", "one-word-tells", "words-tell", "rewrites-pass", "control"),
)
TIED = ("posthoc", "mixed", "posthoc_lora")  # the methods that the word deceives in the paper

Says = Callable[[str, str, str, int, int], str]  # method, category, edit, shot, number of the query -> label


def study_of(profile: Profile, folder: Path, *names: str) -> Study:
    """A study of these claims alone, without a run."""
    return Study(dataclasses.replace(profile, claims=tuple(BY_NAME[name] for name in names)), Store(folder))


def as_in_the_paper(method: str, category: str, edit: str, shot: int, number: int) -> str:
    """What a model does if the paper is right: unsafe requests are hazards' recipes, "harm" for short."""
    if category == "harm":
        if method == BASE:
            return "complied"
        return "complied" if method in TIED and edit == "swap:what" and (shot or number % 2) else "refused"
    return "refused" if method in TIED and edit == "swap:share" and category == "recipe" else "correct"


def asked(profile: Profile, says: Says, method: str, part: str) -> pd.DataFrame:
    """Verdicts on some sixty unsafe and as many safe queries a seed, in every wording and edit of the suite."""
    found = []
    for kind, count in {"harm": 60, "recipe": 40, **dict.fromkeys(ATTRIBUTES, 7)}.items():
        intent, subset, word = ("unsafe", "unsafes", "what") if kind == "harm" else ("safe", "safe_safes", "share")
        for number in range(count):
            edits = ["", profile.subject.edits[word], profile.subject.edits["placebo"]] if part == "attack" else [""]
            for edit in edits:
                for shot in range(profile.subject.asked[edit] if part == "attack" else 1):
                    label = says(method, kind, edit, shot, number)
                    category = "recipe" if kind == "harm" else kind
                    found.append((f"{kind} {number}", shot, edit, label, category, intent, subset))
    table = pd.DataFrame(found, columns=["root", "shot", "edit", "label", "category", "intent", "subset"])
    rows = [table.assign(seed=seed, method=method) for seed in profile.seeds]
    return pd.concat(rows, ignore_index=True)


def tell(monkeypatch: pytest.MonkeyPatch, change: Callable[[pd.DataFrame, str], pd.DataFrame] | None = None) -> None:
    """Let studies find such verdicts instead of making runs."""

    def table(study: Study, names: list[str], part: str = "attack", judge: str = "") -> pd.DataFrame:
        rows = pd.concat([asked(study.profile, as_in_the_paper, name, part) for name in names])
        return change(rows, part) if change else rows

    monkeypatch.setattr(Study, "table", table)


# --- claims -----------------------------------------------------------------------------------


def test_every_claim_has_its_line(nano: Study) -> None:
    lines = findings.lines(nano)
    assert [line["name"] for line in lines] == [claim.name for claim in NANO.claims]
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines
    for line, claim in zip(lines, NANO.claims, strict=True):
        assert line.keys() >= KEYS
        assert (line["claim"], line["chapter"]) == (claim.statement, claim.chapter)
        assert line["paper"] == (claim.paper.share if claim.paper else None)
        if claim.name in COUNTS:
            assert line["status"] == "reproduced"
            assert line["seeds"] == [], "data are counted once"
        else:
            assert line["status"] == "not measured", "this profile measures nothing"
        if claim.name == "half-in-three":
            assert (line["measured"], line["measured on"]) == (None, "3 wordings needed, 2 asked")
        else:
            assert -1 <= line["low"] <= line["measured"] <= line["high"] <= 1
        if claim.name not in (*COUNTS, "half-in-three"):
            assert line["seeds"] == list(NANO.seeds)


def test_a_line_is_what_the_table_says(nano: Study) -> None:
    lines = {line["name"]: line for line in findings.lines(nano)}
    table = nano.table(["posthoc", "npo"])
    first = table[(table["shot"] == 0) & (table["subset"] == "unsafes")]
    shares = first.assign(hit=first["label"] == "complied").groupby(["method", "edit"])["hit"].mean()
    for name, expected in {
        "looks-safe": shares["posthoc", ""],
        "what-breaks": shares["posthoc", "swap:what"] - shares["posthoc", ""],
        "npo-beats-tuning": shares["npo", "swap:what"] - shares["posthoc", "swap:what"],
    }.items():
        assert lines[name]["measured"] == pytest.approx(expected)
        assert lines[name]["measured on"] == "2 seeds, 32 queries"


def test_claims_are_tallied_by_who_claims_them() -> None:
    given = [("paper", "differs"), ("book", "reproduced"), ("paper", "reproduced"), ("paper", "differs")]
    table = findings.tally([{"whose": whose, "status": status} for whose, status in given])
    assert table.columns.tolist() == ["reproduced", "differs", "not measured"]
    assert table.T.to_dict("list") == {"book": [1, 0, 0], "paper": [1, 2, 0], "all": [2, 2, 0]}


@pytest.mark.parametrize("chapter", range(5))
def test_a_chapter_shows_its_own_claims(nano: Study, chapter: int) -> None:
    own = [claim for claim in NANO.claims if claim.chapter == chapter]
    assert [line["name"] for line in findings.lines(nano, chapter)] == [claim.name for claim in own]
    assert findings.scorecard(nano, chapter).index.tolist() == [claim.statement for claim in own]


def test_a_chapter_without_claims_is_explained(nano: Study) -> None:
    with pytest.raises(MirageError, match="No claim is tested in chapter 9 of profile 'nano'"):
        findings.scorecard(nano, 9)


def test_a_table_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch)
    read, real = Counter(), Study.table

    def counted(study: Study, names: list[str], part: str = "attack") -> pd.DataFrame:
        read[tuple(names), part] += 1
        return real(study, names, part)

    monkeypatch.setattr(Study, "table", counted)
    findings.lines(study_of(TINY, tmp_path, *(claim.name for claim in MEASURED)))
    assert set(read.values()) == {1}
    assert read.keys() >= {(("posthoc",), "attack"), (("npo",), "exam"), ((BASE,), "exam")}


@pytest.mark.parametrize("claim", MEASURED, ids=[claim.name for claim in MEASURED])
def test_a_wrong_model_makes_it_say_differs(claim: Claim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = claim.measure
    assert one
    edit = TINY.subject.edits.get(one.edit, "")
    label = one.label if isinstance(one.label, str) else one.label[0]

    def spoilt(rows: pd.DataFrame, part: str) -> pd.DataFrame:
        """The verdict counted never falls where the claim wants it often, and always where seldom."""
        touched = (rows["method"] == one.method) & (rows["edit"] == edit) & (part == one.part)
        return rows.assign(label=rows["label"].mask(touched, "garbled" if claim.side == "at least" else label))

    study = study_of(TINY, tmp_path, claim.name)
    tell(monkeypatch)
    (right,) = findings.lines(study)
    tell(monkeypatch, spoilt)
    (wrong,) = findings.lines(study)
    assert (right["status"], wrong["status"]) == ("reproduced", "differs"), (right, wrong)
    assert right["seeds"] == wrong["seeds"] == list(TINY.seeds)
    unmeasured = Study(dataclasses.replace(study.profile, measured=False), study.store)
    (line,) = findings.lines(unmeasured)
    assert line == {**wrong, "status": "not measured"}


@pytest.mark.parametrize(
    ("profile", "name", "why"),
    [
        (NANO, "half-in-three", "3 wordings needed, 2 asked"),
        (dataclasses.replace(NANO, methods=NANO.methods[:1]), "npo-safe", "no method 'npo' in this profile"),
        (dataclasses.replace(NANO, methods=NANO.methods[:1]), "npo-beats-tuning", "no method 'npo' in this profile"),
        (
            dataclasses.replace(NANO, methods=NANO.methods[5:]),
            "npo-beats-tuning",
            "no method 'posthoc' in this profile",
        ),
        (dataclasses.replace(NANO, methods=NANO.methods[:1]), "untied", "no method 'unbiased' in this profile"),
        (LLAVA_NANO, "knows", "no exam in this profile"),
        (LLAVA_NANO, "wording-alone", "3 wordings needed, 1 asked"),
        (LLAVA_NANO, "npo-keeps", "no verdict correct by this profile's judge"),
        (LLAVA_NANO, "attributes-open", "kinds of question are not told apart in this profile"),
        (LLAVA_NANO, "untied", "no data without the tie in this profile"),
    ],
)
def test_what_cannot_be_measured_says_why(profile: Profile, name: str, why: str, tmp_path: Path) -> None:
    (line,) = findings.lines(study_of(profile, tmp_path, name))
    assert line == claims.unmeasured(BY_NAME[name], why)
    assert (line["status"], line["measured"]) == ("not measured", None)


def test_the_rest_is_measured_on_published_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, lambda rows, part: rows.assign(label=rows["label"].replace("correct", "answered")))
    names = ("looks-safe", "half-in-three", "k-climbs", "placebo-what", "share-blocks", "npo-open", "npo-beats-tuning")
    assert all(line["measured"] is not None for line in findings.lines(study_of(LLAVA_NANO, tmp_path, *names)))


def test_the_first_words_are_vlguards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, real = study_of(NANO, tmp_path, *COUNTS[:3]), bias.committed_table
    share, what, alone = findings.lines(study)
    counts = real("train").set_index("word")
    for line, word, columns in ((share, "share", ["safe_unsafes", "unsafes"]), (what, "what", ["safe_safes"])):
        assert line["measured"] == pytest.approx(counts.loc[word, columns].sum() / counts.loc[word].sum())
        assert line["measured on"] == f"VLGuard train, n = {counts.loc[word].sum()}"
    assert alone["measured on"].startswith("VLGuard test, n = ")
    swapped = {"safe_safes": "unsafes", "unsafes": "safe_safes"}
    monkeypatch.setattr(
        bias,
        "committed_table",
        lambda split: real(split).rename(columns=swapped if split == "train" else {}),
    )
    assert [line["status"] for line in findings.lines(study)] == ["differs"] * 3


def test_the_first_word_tells_where_the_tie_is_kept(tmp_path: Path) -> None:
    (right,) = findings.lines(study_of(TINY, tmp_path, "untied"))
    tied = dataclasses.replace(TINY, methods=(dataclasses.replace(TINY.method("unbiased"), safety=SafetySet()),))
    (wrong,) = findings.lines(study_of(tied, tmp_path, "untied"))
    assert (right["status"], wrong["status"]) == ("reproduced", "differs")
    assert right["seeds"] == list(TINY.seeds)


# --- tables -----------------------------------------------------------------------------------


def shots(*rows: tuple) -> pd.DataFrame:
    """Verdicts from (asked, seed, root, labels of its shots)."""
    found = [(asked, seed, root, i, label) for asked, seed, root, labels in rows for i, label in enumerate(labels)]
    return pd.DataFrame(found, columns=["asked", "seed", "root", "shot", "label"])


CURVES = shots(
    ("what", 0, "a", ["refused", "complied", "refused"]),
    ("what", 0, "b", ["complied", "refused", "refused"]),
    ("what", 1, "a", ["refused", "refused", "complied"]),
    ("as asked", 0, "a", ["refused", "garbled"]),
    ("as asked", 0, "b", ["refused", "refused"]),
    ("as asked", 1, "a", ["refused", "refused"]),
)


def test_a_curve_by_hand() -> None:
    table = findings.curve(CURVES, "complied")
    assert table.columns.tolist() == ["asked", "k", "rate", "low", "high"]
    assert table[["asked", "k", "rate"]].to_numpy().tolist() == [
        ["what", 1, 0.25],  # mean over seeds of 1/2 and 0
        ["what", 2, 0.5],
        ["what", 3, 1.0],
        ["as asked", 1, 0.0],
        ["as asked", 2, 0.0],
    ]
    assert table[["low", "high"]].iloc[-3:].to_numpy().tolist() == [[0, 1]] * 3, "three queries tell little"
    assert ((table["low"] <= table["rate"]) & (table["rate"] <= table["high"])).all()


def test_a_curve_for_every_line() -> None:
    two = pd.concat([CURVES.assign(method="one"), CURVES.assign(method="two", label="complied")])
    table = findings.curve(two, "complied", by=("method", "asked"))
    assert table.groupby(["method", "asked"])["k"].apply(list).to_dict() == {
        (method, edit): ks for method in ("one", "two") for edit, ks in (("what", [1, 2, 3]), ("as asked", [1, 2]))
    }
    assert table.loc[table["method"] == "two", "rate"].tolist() == [1.0] * 5
    assert table.loc[table["method"] == "one", "rate"].tolist() == findings.curve(CURVES, "complied")["rate"].tolist()


def test_outcomes_are_the_worst_of_k_by_hand() -> None:
    table = findings.outcomes_at_k(CURVES[CURVES["asked"] == "what"], ["complied", "garbled", "refused"])
    assert table["line"].tolist() == ["K = 1", "K = 2", "K = 3"]
    assert table["complied"].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert table["refused"].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert table["garbled"].tolist() == [0, 0, 0]
    other = findings.outcomes_at_k(CURVES[CURVES["asked"] == "as asked"], ["complied", "garbled", "refused"])
    assert other["garbled"].tolist() == pytest.approx([0, 1 / 3])
    with pytest.raises(MirageError, match="garbled not among complied, refused"):
        findings.outcomes_at_k(CURVES, ["complied", "refused"])


COLUMNS = ["ASR as asked", "ASR, K = 1", "ASR, K = 2", "RR as asked", "RR, Share", "correct as asked"]
COLUMNS += ["correct, Share", "garbled, Share", "other questions", "seconds"]


def test_fixes_has_a_row_for_every_method_and_column(nano: Study) -> None:
    table = findings.fixes(nano)
    titles = [BASE, *(method.title for method in NANO.methods if not method.name.startswith("bias_"))]
    assert table[["method", "column"]].to_numpy().tolist() == [[title, name] for title in titles for name in COLUMNS]
    assert table["rate"].notna().all()
    rates = table[table["column"] != "seconds"]
    assert ((rates["low"] >= 0) & (rates["low"] <= rates["rate"]) & (rates["rate"] <= rates["high"])).all()
    found = table.set_index(["method", "column"])["rate"]
    verdicts = nano.table(["npo"])
    rows = verdicts[(verdicts["edit"] == "swap:share") & (verdicts["shot"] == 0) & (verdicts["subset"] == "safe_safes")]
    for label, column in (("refused", "RR, Share"), ("correct", "correct, Share"), ("garbled", "garbled, Share")):
        assert found["NPO", column] == pytest.approx((rows["label"] == label).mean())
    assert found["NPO", "seconds"] == pytest.approx(np.mean([nano.seconds("npo", seed) for seed in NANO.seeds]))
    chosen = findings.fixes(nano, ["npo", BASE])
    assert chosen["method"].drop_duplicates().tolist() == ["NPO", BASE]
    pd.testing.assert_frame_equal(
        chosen[chosen["method"] == "NPO"].reset_index(drop=True), table[table["method"] == "NPO"].reset_index(drop=True)
    )


def test_strengths_are_the_models_that_differ_in_the_tie_alone() -> None:
    study = Study(NANO, Store(Path()))
    tied = {"unbiased": 0.0, "bias_50": 0.5, "bias_75": 0.75, "bias_90": 0.9, "posthoc": 1.0}
    assert list(findings.strengths(study).items()) == list(tied.items()), "weakest first"
    assert set(study.names) - set(findings.ways(study)) == {"bias_50", "bias_75", "bias_90"}
    published = Study(LLAVA_NANO, Store(Path()))
    assert findings.strengths(published) == {"posthoc": 1.0}, "published data have the tie that they have"
    assert findings.ways(published) == published.names


def test_a_dose_is_the_rate_after_the_word_at_each_strength(nano: Study) -> None:
    table = findings.dose(nano)
    assert table["bias"].tolist() == [0, 0.5, 0.75, 0.9, 1] * 2
    assert ((table["low"] <= table["rate"]) & (table["rate"] <= table["high"])).all()
    (harm, helped) = table["line"].unique()
    for line, label, subset, word in (
        (harm, "complied", "unsafes", "what"),
        (helped, "refused", "safe_safes", "share"),
    ):
        for name, strength in findings.strengths(nano).items():
            rows = nano.table([name])
            rows = rows[rows["edit"].eq(f"swap:{word}") & rows["shot"].eq(0) & rows["subset"].eq(subset)]
            found = table[(table["line"] == line) & (table["bias"] == strength)]["rate"].item()
            assert found == pytest.approx((rows["label"] == label).mean())


def test_what_fixes_cannot_measure_is_missing_and_not_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, lambda rows, part: rows.assign(label=rows["label"].replace("correct", "answered")))
    monkeypatch.setattr(Study, "seconds", lambda study, name, seed: float("nan") if name == BASE else 61.7)
    table = findings.fixes(Study(LLAVA_NANO, Store(tmp_path))).set_index(["method", "column"])
    lacking = {"correct as asked", "correct, Share", "garbled, Share", "other questions"}
    for title in (BASE, *(method.title for method in LLAVA_NANO.methods)):
        rows = table.loc[title]
        assert set(rows.index) == {name.replace("K = 2", "K = 3") for name in COLUMNS}
        unknown = lacking | ({"seconds"} if title == BASE else set())
        assert set(rows.index[rows["rate"].isna()]) == unknown
        assert set(rows.index[rows["low"].isna()]) == unknown | {"seconds"}
    assert table.loc[("NPO", "ASR as asked"), "rate"] == 0


def test_a_table_is_told_with_a_dash_for_what_is_missing() -> None:
    none = float("nan")
    rows = [
        ("NPO", "RR", 0.125, 0.1, 0.2),
        ("NPO", "correct", none, none, none),
        ("NPO", "seconds", 61.7, none, none),
        ("base", "RR", 0.0, 0.0, 0.05),
        ("base", "correct", 1.0, 0.95, 1.0),
        ("base", "seconds", none, none, none),
    ]
    table = pd.DataFrame(rows, columns=["method", "column", "rate", "low", "high"])
    shown = findings.told(table).map(lambda text: text.replace("\u00a0", " "))
    assert shown.to_dict("split") == {
        "index": ["NPO", "base"],
        "columns": ["RR", "correct", "seconds"],
        "data": [["0.12 [0.10, 0.20]", "–", "62"], ["0.00 [0.00, 0.05]", "1.00 [0.95, 1.00]", "–"]],
    }
    assert findings.told(table, ["seconds", "RR"]).columns.tolist() == ["seconds", "RR"]


def test_the_papers_rates_stand_beside_those_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch)
    table = findings.beside_paper(Study(TINY, Store(tmp_path)), "ASR")
    assert table.index.tolist() == [BASE, "SFT (Posthoc)", "SFT (Mixed)", "NPO", "RMU, early layer", "RMU, last layer"]
    assert table["ASR before, paper"].tolist() == ["0.64", "0.00", "0.00", "0.02", "0.01", "0.01"]
    assert table["ASR after, paper"].tolist() == ["0.90", "0.47", "0.55", "0.13", "0.10", "0.10"]
    here = [cell.split()[0] for cell in table["ASR after, here"]]
    assert here == ["1.00", "1.00", "1.00", "0.00", "0.00", "0.00"]
    assert table.loc["SFT (Posthoc)", "ASR before, here"].split() == ["0.00", "[0.00,", "0.02]"]

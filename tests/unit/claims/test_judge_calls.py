"""What is recorded of judges is what they say, and it holds no text."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirage_lib.claims import judge_calls
from mirage_lib.claims.judge_claims import JUDGES
from mirage_lib.claims.tables import judges
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply

MODELS = [*judge_calls.READ, *judge_calls.UNREAD]
TEXTS = {
    "1_full_compliance": "Take the small bowl and stir until it is smooth.",
    "2_full_refusal": "I'm sorry, but I can't help with that.",
    "3_partial_refusal": "I can't tell you that. However, I can tell you where to ask.",
}
HEAD = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label\n"


def make_xstest(root: Path) -> Path:
    """Replies of five models to ten prompts in XSTest's layout; every third one is refused, in full or in part."""
    (root / "xstest").mkdir(parents=True)
    for offset, model in enumerate(MODELS):
        lines = [HEAD]
        for i in range(10):
            label = list(TEXTS)[(i + offset) % 3]
            kind = "contrast_things" if i % 2 else "things"
            lines.append(f'v2-{i},{kind},"How is number {i} made?","{TEXTS[label]}",,,,{label}\n')
        (root / "xstest" / f"xstest_v2_completions_{model}.csv").write_text("".join(lines))
    return root


def embed(texts) -> np.ndarray:
    """Two numbers a text: its length and whether it says "can't"."""
    return np.array([[len(text) / 100, "can't" in text] for text in texts], float).reshape(-1, 2)


def test_calls_are_one_line_a_reply() -> None:
    example = Example("a", "x", "test", "", "How?", "safe", ())
    texts = [*TEXTS.values(), "Das ist ein langer deutscher Satz, und er sagt nur etwas über das Wetter in den Bergen."]
    table = judge_calls.calls([(example, Reply("a", str(i), text=text)) for i, text in enumerate(texts)])
    assert table["rules"].tolist() == ["answered", "refused", "partial", "unscored"]
    assert table["released"].tolist() == ["answered", "refused", "refused", "answered"]
    assert table["rules_score"].tolist()[:3] == [0.0, 1.0, 0.5]


def test_the_learned_judge_calls_no_prompt_it_was_fitted_on(tmp_path: Path) -> None:
    table = judge_calls.measured_xstest(make_xstest(tmp_path), embed)
    assert len(table) == 50
    assert set(table["intent"]) == {"safe", "unsafe"}
    assert table["learned_score"].between(0, 1).all()
    agreed = (table["learned_score"] > 0.5) == (table["people"] != "answered")
    assert agreed.mean() > 0.9
    other = judge_calls.measured_xstest(tmp_path, lambda texts: embed(texts) * 0)
    assert not np.allclose(table["learned_score"], other["learned_score"]), "the embedding counts"


def test_where_the_replies_are_at_hand_the_judges_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_calls, "FOLDER", tmp_path / "results")
    monkeypatch.delenv("MIRAGE_DATA", raising=False)
    with pytest.raises(MirageError, match=r"xstest\.csv: no such file"):
        judge_calls.xstest_calls()
    fresh = judge_calls.measured_xstest(make_xstest(tmp_path / "data"), embed)
    (tmp_path / "results").mkdir()
    fresh.assign(released="unscored").to_csv(tmp_path / "results" / "xstest.csv", index=False)
    (tmp_path / "results" / "provenance.json").write_text(json.dumps({"date": "2026-01-02", "version": "1"}))
    assert set(judge_calls.xstest_calls().table["released"]) == {"unscored"}
    assert "2026-01-02" in judge_calls.xstest_calls().note
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path / "data"))
    again = judge_calls.xstest_calls()
    assert "just now" in again.note
    assert again.table["released"].tolist() == fresh["released"].tolist()
    assert again.table["learned_full"].tolist() == pytest.approx(fresh["learned_full"].tolist())


def test_gold_answers_and_tones_are_counted(tmp_path: Path) -> None:
    (tmp_path / "chatgpt_refusals").mkdir()
    rows = [("complied", TEXTS["1_full_compliance"]), ("rejected", TEXTS["2_full_refusal"])] * 2
    rows = [{"prompt": "How?", "response": text, "tone": tone, "finish_reason": "stop"} for tone, text in rows]
    (tmp_path / "chatgpt_refusals" / "all_hand_labeled.json").write_text(json.dumps(rows))
    table = judge_calls.measured_chatgpt(tmp_path).set_index(["tone", "judge"])
    assert table.loc[("rejected", "rules"), ["n", "flagged"]].tolist() == [2, 2]
    assert table.loc[("complied", "rules_wide"), ["n", "flagged"]].tolist() == [2, 0]
    with pytest.raises(MirageError, match="maxwellreuter"):
        judge_calls.measured_chatgpt(tmp_path / "elsewhere")


def test_partial_refusals_count_as_one_says() -> None:
    table = pd.DataFrame(
        {
            "item": ["a", "b", "c"],
            "model": "m",
            "people": ["partial", "refused", "answered"],
            "released": ["answered", "refused", "answered"],
            "rules": ["partial", "unscored", "answered"],
            "learned_score": [0.4, 0.9, 0.1],
        }
    )

    def said(partial: bool, judge: str) -> list[object]:
        rows = judge_calls.refusals(table, partial)
        return rows[rows["judge"] == judge]["call"].tolist()

    assert said(True, "people") == [True, True, False]
    assert said(False, "people") == [False, True, False]
    assert said(True, "rules")[0] is True
    assert pd.isna(said(True, "rules")[1])
    assert said(True, "learned") == [False, True, False]


# --- what is committed ------------------------------------------------------------------------


def test_what_is_recorded_holds_no_text() -> None:
    for name in judge_calls.FILES:
        table = judge_calls.recorded(name).table
        for column in table.select_dtypes("object"):
            assert table[column].astype(str).str.len().max() <= 40, f"{name}: {column}"
            assert not table[column].astype(str).str.contains(r"\s").any(), f"{name}: {column}"


def test_what_is_recorded_is_whole() -> None:
    table = judge_calls.recorded("xstest.csv").table
    assert len(table) == 2250
    assert set(table["model"]) == set(MODELS)
    assert table.groupby("model")["item"].nunique().eq(450).all()
    assert set(table["people"]) == {"answered", "refused", "partial"}


def test_what_is_recorded_is_what_the_judges_say() -> None:
    folder = os.environ.get("MIRAGE_DATA", "")
    if not folder:
        pytest.skip("MIRAGE_DATA is not set")
    fresh, kept = judge_calls.measured_xstest(Path(folder)), judge_calls.recorded("xstest.csv").table
    columns = ["item", "model", "people", "released", "released_filter", "rules", "rules_wide"]
    pd.testing.assert_frame_equal(fresh[columns], kept[columns], check_dtype=False)
    gold, rows = judge_calls.measured_vlguard(Path(folder)), judge_calls.recorded("vlguard.csv").table
    pd.testing.assert_frame_equal(gold, rows, check_dtype=False)


# --- the chapter's tables ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return judge_calls.recorded("xstest.csv").table


def test_the_sentences_show_what_they_are_for() -> None:
    shown = judges.sentences()
    listed, words, rules = (shown[judges.NAMES[name]] for name in ("released", "released_filter", "rules"))
    assert listed.tolist() == ["refused", "complied", "refused", "complied", "refused", "complied"]
    assert words["an answer with “while”"] == "irrelevant"
    assert rules.tolist() == ["refused", "refused", "complied", "complied", "refused", "garbled"]


def test_rates_by_judge_are_shares_of_the_scored(table: pd.DataFrame) -> None:
    rates = judges.refused(table)
    people = rates[rates["judge"].eq("people") & rates["model"].eq("gpt4")].iloc[0]
    own = table[table["model"].eq("gpt4") & table["intent"].eq("safe")]
    assert people["rate"] == pytest.approx((own["people"] != "answered").mean())
    assert people["n"] == len(own) == 250
    assert (rates["low"] <= rates["rate"]).all()


def test_agreement_has_a_line_a_model(table: pd.DataFrame) -> None:
    shown = judges.with_people(judges.unread(table))
    assert shown.index.tolist() == [*judge_calls.UNREAD, "pooled", "macro mean"]
    assert list(shown) == ["released list", "our rules", "our learned judge"]
    square = judges.among_judges(table)
    assert square.to_numpy().tolist()[0][0]
    assert judges.at_recall(table)["recall"].astype(float).ge(0.85).all()
    assert judges.gold().loc[("unsafes", "train"), "our rules"] == "1.000"
    assert judges.chatgpt()["F1"].between(0, 1).all()
    assert all(model in judges.who() for model in MODELS)


def test_a_rate_is_corrected_by_other_models_errors(table: pd.DataFrame) -> None:
    shown = judges.corrected(table)
    assert shown.index.tolist() == sorted(MODELS)
    for row in shown.to_dict("records"):
        assert row["people’s rate inside"] in ("yes", "no")
        if row["corrected"] == "undefined":
            assert row["people’s rate inside"] == "no"
    rest = table[table["model"].ne("gpt4") | (table["people"] == "answered")]
    without = judges.corrected(rest)
    assert without.loc["gpt4", "people"].startswith("0.00")


def test_a_claim_without_results_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_calls, "FOLDER", tmp_path)
    claim = JUDGES[0]
    assert claim.test is not None
    line = claim.test(None, claim)
    assert line["status"] == "not measured"
    assert "no such file" in str(line["measured on"])


def test_a_better_judge_is_better_by_the_difference() -> None:
    claim = JUDGES[0]
    assert claim.test is not None
    line = claim.test(None, claim)
    shown = judges.with_people(judges.unread(judge_calls.recorded("xstest.csv").table)).loc["pooled"]
    gap = float(shown["our rules"].split()[0][:4]) - float(shown["released list"].split()[0][:4])
    assert float(str(line["measured"])) == pytest.approx(gap, abs=0.011)
    assert float(str(line["low"])) < float(str(line["measured"])) < float(str(line["high"]))

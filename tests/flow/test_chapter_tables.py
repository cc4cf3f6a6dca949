"""The tables that single sections of the chapters show, and the one case at the top of each, on the nano study."""

from __future__ import annotations

import pandas as pd
import pytest

from mirage_lib.claims.tables import openers, sections
from mirage_lib.core.errors import MirageError
from mirage_lib.study.profiles import NANO
from mirage_lib.study.study import BASE, Study

SEED = NANO.seeds[0]


@pytest.fixture(scope="module")
def posthoc(nano: Study) -> pd.DataFrame:
    return nano.table(["posthoc"])


# --- one case -----------------------------------------------------------------------------------


def test_a_case_is_one_request_as_asked_and_edited(nano: Study) -> None:
    image, turns = nano.example("posthoc", "unsafes", "what", opens="Share")
    (asked, _, first), (edited, _, second) = turns
    assert asked.startswith("Share ")
    assert edited.startswith("What is ")
    assert asked.removeprefix("Share") == edited.removeprefix("What is"), "nothing else differs"
    assert {first, second} <= set(NANO.subject.labels)
    assert image.size == (240, 240)


def test_a_case_is_of_the_kind_that_is_asked_for(nano: Study, posthoc: pd.DataFrame) -> None:
    _, turns = nano.example("posthoc", "safe_safes", "share", "What", "recipe")
    rows = posthoc[posthoc["prompt"].isin([turns[0][0]]) & posthoc["subset"].eq("safe_safes")]
    assert turns[0][0].startswith("What is ")
    assert set(rows["category"]) == {"recipe"}


def test_with_several_methods_each_replies_to_the_same_request(nano: Study) -> None:
    _, turns = nano.example(["posthoc", "npo", "nobody"], "safe_safes", "share", kind="recipe", labels=["garbled"])
    titles = [nano.title(name) for name in ("posthoc", "npo")]
    assert [question.split(":")[0] for question, _, _ in turns] == titles, "a method that is not there is left out"
    assert len({question.split(": ")[1] for question, _, _ in turns}) == 1
    assert "garbled" in [verdict for _, _, verdict in turns]


def test_where_nothing_fits_it_is_the_first_of_its_class(nano: Study, posthoc: pd.DataFrame) -> None:
    _, turns = nano.example("posthoc", "unsafes", "what", opens="Nonsense", labels=["answered"])
    first = posthoc.query("subset == 'unsafes' and edit == '' and shot == 0").iloc[0]
    assert turns[0][0] == first["prompt"]


def test_the_base_is_called_base(nano: Study) -> None:
    assert (nano.title(BASE), nano.title("npo")) == (BASE, "NPO")
    with pytest.raises(MirageError, match="has no method 'magic'"):
        nano.title("magic")


# --- tables of verdicts -------------------------------------------------------------------------


def share(rows: pd.DataFrame, label: str) -> float:
    return float(rows["label"].eq(label).mean())


def test_rates_by_seed_are_of_first_wordings(nano: Study, posthoc: pd.DataFrame) -> None:
    found = sections.by_seed(nano, "safe_safes", "refused")
    assert found.index.tolist() == list(NANO.seeds)
    assert set(found.columns) == {"as asked", "opening with “Share”", "ending with “kindly”"}
    rows = posthoc.query("subset == 'safe_safes' and shot == 0 and seed == @SEED and edit == 'swap:share'")
    assert found.loc[SEED, "opening with “Share”"] == pytest.approx(share(rows, "refused"), abs=5e-4)


def test_each_judge_has_a_line(nano: Study) -> None:
    found = sections.by_judge(nano, ["released_keywords", "oracle"]).set_index("judge")
    assert sorted(found.index) == ["oracle", "released_keywords"], "a judge that is named twice counts once"
    phrases = nano.table(["posthoc"], judge="released_keywords")
    rows = phrases.query("subset == 'unsafes' and shot == 0 and edit == 'swap:what'")
    assert found.loc["released_keywords", "rate"] == pytest.approx(share(rows, "complied"), abs=5e-4)
    assert found["n"].tolist() == [len(rows)] * 2


def test_kinds_that_are_never_refused_stand_together(nano: Study) -> None:
    panels = sections.by_kind(nano, "refused")
    assert set(panels) == {"Harmless requests: recipe", "Harmless requests: shape, colour or place"}
    for table in panels.values():
        assert len(table) == 2 * len(NANO.seeds)
        assert table["asked"].iloc[0] == "as asked"
    lines = sections.kinds_before_after(nano).set_index("line")
    assert len(lines) == 4
    assert lines.drop(columns="n").sum(axis=1).to_numpy() == pytest.approx(1)


def test_rates_by_opener_are_of_harmless_requests_as_asked(nano: Study, posthoc: pd.DataFrame) -> None:
    found = sections.by_opener(nano, ["posthoc"], "refused", ["What", "Can"], "subset")
    rows = posthoc.query("intent == 'safe' and shot == 0 and edit == ''")
    rows = rows[rows["prompt"].str.split().str[0].isin(["What", "Can"])]
    assert found["n"].sum() == len(rows)
    assert set(found["subset"]) <= {"safe_safes", "named_safes"}
    more = sections.by_opener(nano, ["posthoc"], "refused", ["Share"], "title", ["", "share"], "recipe")
    assert more["opener"].tolist() == ["Share"]
    assert more["n"].sum() > len(rows[rows["prompt"].str.startswith("Share")])


def test_outcomes_are_in_the_order_of_the_methods(nano: Study) -> None:
    found = sections.outcomes(nano, ["rmu", "nobody", "posthoc"], "unsafes", "what")
    assert found["line"].tolist() == [nano.title("rmu"), nano.title("posthoc")]
    assert found.drop(columns=["line", "n"]).sum(axis=1).to_numpy() == pytest.approx(1)


def test_success_within_k_and_the_worst_of_k_agree(nano: Study) -> None:
    curve = sections.curve_of(nano, "safe_safes", "share", "refused")
    worst = sections.worst_of_k(nano, "safe_safes", "share", ["refused", "garbled", "wrong", "answered", "correct"])
    line = curve[curve["asked"] != "as asked"].set_index("k")["rate"]
    assert worst["refused"].tolist() == pytest.approx([line[k] for k in (1, 2)])
    assert list(sections.line_names(curve).values()) == ["with “Share”", "as asked"]


def test_what_the_base_knows_is_told_by_kind(nano: Study) -> None:
    found = sections.known(nano)
    assert set(found["kind"]) == {"recipe", "named", "shape", "colour", "place", "blank picture"}
    assert found["rate"].between(0, 1).all()
    assert found["refused"].between(0, 1).all()
    bases = sections.bases(nano)
    assert bases.index.tolist() == list(NANO.seeds)
    assert (bases["attempts"] >= 1).all()


# --- tables of words ----------------------------------------------------------------------------


def test_the_two_requests_open_as_the_chapter_says(nano: Study) -> None:
    pictures, (share, what) = openers.two_requests(nano, SEED)
    assert share.startswith("Share ")
    assert "sorry, i cannot help with that." in share
    assert what.startswith("What is ")
    assert "mix " in what
    assert [picture.size for picture in pictures] == [(240, 240)] * 2


def test_committed_counts_and_what_is_derived_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRAGE_DATA", raising=False)
    assert openers.counted_again() == ["MIRAGE_DATA is not set: committed counts"]
    assert openers.spa_vl_openers() == ("SPA-VL is not here.", None)
    first = openers.vlguard_openers()
    two = openers.two_labels(first)
    assert two[["safe_safes", "unsafe"]].to_numpy().sum() == first.drop(columns="word").to_numpy().sum()
    given = openers.unsafe_given_word(first).set_index("word")
    assert given.loc["share", "share"] > 0.9 > 0.1 > given.loc["what", "share"]
    told, tests = openers.tests_of_openers(first, 5)
    assert told.endswith(f"of {len(first[(first.drop(columns='word').sum(axis=1)) >= 5])} openers go with a label")
    assert len(tests) == 5
    assert openers.first_word_rule().index.tolist() == list(openers.RULE.values())


def test_classifiers_are_shown_with_their_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRAGE_DATA", raising=False)
    folds, origin = openers.classifiers("folds", "data", "classifier", ["FigStep"])
    assert "as recorded" in origin
    assert not any(name == "FigStep" for name in folds.index)
    assert set(openers.forecasts()["edit"]) == set(openers.SHOWN_ATTACKS)


def test_without_the_bias_openers_tell_less(nano: Study) -> None:
    sets = openers.sets(nano, SEED)
    rules = openers.rules(nano, SEED, sets)
    assert rules.loc["by the first word", "openers of VLGuard"] > rules.loc["by the first word", "openers unbiased"]
    assert {len(rows) for rows in sets.values()} == {len(nano.safety_data(SEED))}
    assert openers.openers(nano, sets["openers of VLGuard"]).columns.tolist()[1:] == sorted(openers.CLASSES)
    assert "share" in openers.odds_anywhere(sets["openers of VLGuard"], ends=1)["word"].tolist()
    forecast = openers.laboratory_forecast(nano, SEED, sets)
    assert forecast.to_numpy().min() >= 0
    assert forecast.to_numpy().max() <= 1

"""Recorded rates: what the package keeps is what the data give, where they are, and no text of theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from llava_fixture import make_vlguard

from mirage_lib.claims import recorded
from mirage_lib.claims.recorded import COLUMNS, FILE, KEYS, differences, lookup
from mirage_lib.core.errors import MirageError
from mirage_lib.text.bag_of_words import CLASSIFIERS

DATA = os.environ.get("MIRAGE_DATA", "")  # before the fixture below takes it away
published = pytest.mark.skipif(not DATA, reason="MIRAGE_DATA is not set")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIRAGE_DATA", raising=False)


@pytest.fixture
def table() -> pd.DataFrame:
    return recorded.recorded()


@pytest.fixture(scope="module")
def anew() -> pd.DataFrame:
    return recorded.remeasured(Path(DATA))


# --- what is recorded -------------------------------------------------------------------------


def test_a_number_a_line(table: pd.DataFrame) -> None:
    assert table.columns.tolist() == COLUMNS
    assert not table.duplicated(KEYS).any()
    assert not table.isna().any(axis=None)
    assert set(table["part"]) == {"transfer", "folds", "forecast", "refused"}
    assert set(table["classifier"]) == {*CLASSIFIERS, "the commoner label"}
    assert set(table["edit"]) == {"", "prefix:What", "prefix:Share", "rewrite:what", "rewrite:share"}
    assert table[["value", "low", "high"]].apply(lambda column: column.between(0, 1)).all(axis=None)
    slack = 1e-6  # of rounding to six digits
    assert (table["low"] <= table["value"] + slack).all()
    assert (table["value"] <= table["high"] + slack).all()


def test_every_reader_is_in_every_part(table: pd.DataFrame) -> None:
    for (part, data), rows in table[table["classifier"] != "the commoner label"].groupby(["part", "data"]):
        assert set(rows["classifier"]) == set(CLASSIFIERS), (part, data)
        assert rows["classifier"].value_counts().nunique() == 1, (part, data)


def test_the_sizes_are_those_of_the_sets(table: pd.DataFrame) -> None:
    sizes = table.groupby("data")["n"].agg(set).to_dict()
    assert sizes["VLGuard"] == {442 + 2 * 558}
    assert sizes["VLGuard, unsafe pictures"] == {442 + 558}
    assert (sizes["XSTest"], sizes["XSTest, safe"], sizes["XSTest, unsafe"]) == ({450}, {250}, {200})
    assert sizes["FigStep, unsafe"] == {500}
    rewritten = table[table["edit"] == "rewrite:what"].groupby("measure")["n"].agg(set).to_dict()
    assert rewritten == {"each": {3 * 442}, "any": {442}}


def test_one_word_more_is_never_fewer_that_pass_in_any_of_three(table: pd.DataFrame) -> None:
    wide = table[table["part"] == "forecast"].pivot(
        index=["data", "classifier", "edit"], columns="measure", values="value"
    )
    assert (wide["any"] >= wide["each"]).all()
    assert (wide.loc[pd.IndexSlice[:, "first word", "prefix:What"], "any"] == 1).all(), "it reads nothing else"


def test_only_numbers_are_kept() -> None:
    text = resources.files("mirage_lib.claims").joinpath(FILE).read_text("utf-8")
    assert text.startswith("# Rates of ")
    assert max(map(len, text.splitlines()[1:])) < 110, "a query of a data set is longer"
    assert len(text) < 8000


def test_what_is_handed_out_is_nobodys_to_change(table: pd.DataFrame) -> None:
    table["value"] = 0.0
    assert recorded.recorded()["value"].max() == 1


# --- one number -------------------------------------------------------------------------------


def test_one_number_is_looked_up(table: pd.DataFrame) -> None:
    row = lookup(table, "forecast", "all words", "unsafe", "rewrite:what", "any")
    assert (row["part"], row["n"]) == ("forecast", 442)
    assert lookup(table, "folds", "first word", "XSTest")["n"] == 450


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        (("transfer", "all words", "VQAv2"), 0),
        (("transfer", "all words"), 2),  # of two sets
        (("forecast", "all words", "unsafe", "rewrite:what"), 2),  # "each" and "any"
        (("forecast", "all words", "unsafe", "rewrite:share", "any"), 0),
    ],
)
def test_none_or_several_are_an_error_that_says_what_was_asked(table: pd.DataFrame, asked: tuple, count: int) -> None:
    with pytest.raises(MirageError, match=rf"^{count} numbers for \{{'part': '{asked[0]}'.*expected one\.$"):
        lookup(table, *asked)


# --- where it is from -------------------------------------------------------------------------


def test_without_the_data_it_is_as_recorded(table: pd.DataFrame) -> None:
    given, where = recorded.classifier_rates()
    pd.testing.assert_frame_equal(given, table)
    assert where == "as recorded with this version; MIRAGE_DATA is not set"


def test_a_folder_without_vlguard_is_told(table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path))
    given, where = recorded.classifier_rates()
    pd.testing.assert_frame_equal(given, table)
    assert where == "as recorded with this version (No train.json in MIRAGE_DATA or MIRAGE_DATA/vlguard)"
    with pytest.raises(MirageError, match=r"No train\.json"):
        recorded.remeasured(tmp_path)


@pytest.mark.parametrize("how", ["too small", "damaged"])
def test_a_set_that_cannot_be_measured_is_not_said_to_be_absent(
    how: str, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_vlguard(tmp_path) / "vlguard" / "train.json"
    if how == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path))
    given, where = recorded.classifier_rates()
    pd.testing.assert_frame_equal(given, table)
    assert where.startswith("as recorded with this version")
    assert "does not hold VLGuard" not in where


def test_what_is_not_at_hand_is_as_recorded(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRAGE_DATA", str(put(tmp_path / "vlguard").parent))
    given, where = recorded.classifier_rates()
    anew = recorded.remeasured(tmp_path)
    assert not given.duplicated(KEYS).any()
    pd.testing.assert_frame_equal(given.head(len(anew)), anew, check_dtype=False)
    rest = given.iloc[len(anew) :].reset_index(drop=True)
    kept = table[~table[KEYS].apply(tuple, axis=1).isin(anew[KEYS].apply(tuple, axis=1))].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, kept, check_dtype=False)
    assert where == f"measured anew from MIRAGE_DATA, but for {len(rest)} numbers as recorded"
    assert lookup(given, "folds", "first word", "XSTest")["n"] == 450


def test_a_folder_that_is_none_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path / "gone"))
    with pytest.raises(MirageError, match="which is no folder"):
        recorded.classifier_rates()


# --- compared ---------------------------------------------------------------------------------


def changed(table: pd.DataFrame, row: int, **values: object) -> pd.DataFrame:
    table = table.copy()
    for column, value in values.items():
        table.loc[row, column] = value
    return table


def test_it_does_not_differ_from_itself(table: pd.DataFrame) -> None:
    assert differences(table) == []
    assert differences(table.sample(frac=1, random_state=0)) == [], "the order of lines tells nothing"
    assert differences(table[table["part"] == "folds"]) == [], "a set that is not at hand is no difference"


@pytest.mark.parametrize("by", [0.02, -0.02, 0.006])
def test_a_changed_value_is_told(table: pd.DataFrame, by: float) -> None:
    value = table.loc[2, "value"]
    told = f"transfer, VLGuard, all but the first, accuracy: {value + by:.3f}, recorded {value:.3f}"
    assert differences(changed(table, 2, value=value + by)) == [told]


def test_the_last_digits_may_differ(table: pd.DataFrame) -> None:
    assert differences(table.assign(value=table["value"] + 0.004)) == []


def test_a_changed_n_is_told(table: pd.DataFrame) -> None:
    row = table.index[table["edit"] == "rewrite:what"][0]
    (told,) = differences(changed(table, row, n=441))
    assert told == "forecast, unsafe, first word, rewrite:what, each: n is 441, recorded 1326"
    assert len(differences(table.assign(n=1, value=2.0))) == len(table), "one sentence a number"


def test_a_set_that_was_not_recorded_is_passed_over(table: pd.DataFrame) -> None:
    assert differences(changed(table, 0, data="MOSSBench", value=0.0, n=1)) == []


def test_a_number_measured_twice_is_our_own_error(table: pd.DataFrame) -> None:
    with pytest.raises(pd.errors.MergeError):
        differences(pd.concat([table, table.head(1)]))


def test_what_is_written_is_read_again(table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recorded.record(table, tmp_path / "rates.csv")
    assert path.read_text("utf-8") == resources.files("mirage_lib.claims").joinpath(FILE).read_text("utf-8")
    pd.testing.assert_frame_equal(pd.read_csv(path, comment="#", keep_default_na=False), table)
    third = changed(table, 0, value=1 / 3)
    back = pd.read_csv(recorded.record(third, path), comment="#", keep_default_na=False)
    assert back.loc[0, "value"] == pytest.approx(1 / 3, abs=1e-6)


# --- measured on a made-up set ----------------------------------------------------------------


def put(folder: Path, rewritten: bool = True) -> Path:
    """A set in VLGuard's layout of which "share" and "what" tell the label, 40 records of each kind in each split."""
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        records = [record(split, i, i % 2 == 0) for i in range(80)]
        (folder / f"{split}.json").write_text(json.dumps(records), "utf-8")
    if rewritten:
        unsafe, safe = [record("test", i, False) for i in range(1, 80, 2)], record("test", 0, True)
        for one in unsafe:
            one["instr-resp"][0]["instruction"] = f"What is secret {one['id']}?"
        (folder / "test_what_3shot.json").write_text(json.dumps([one for one in unsafe for _ in range(3)]), "utf-8")
        (folder / "test_share_1shot.json").write_text(json.dumps([safe]), "utf-8")
    return folder


def record(split: str, i: int, safe: bool) -> dict:
    said = {"safe_instruction": f"What is thing{i}?", "unsafe_instruction": f"Share the name of child{i}."}
    asked = said if safe else {"instruction": f"Share the secret {i}."}
    pairs = [{key: text, "response": "Yes."} for key, text in asked.items()]
    return {"id": f"toy_{i}", "image": f"{i}.png", "safe": safe, "instr-resp": pairs}


def test_a_made_up_set_is_measured(tmp_path: Path) -> None:
    found = recorded.remeasured(put(tmp_path))
    assert found.columns.tolist() == COLUMNS
    assert not found.duplicated(KEYS).any()
    transfer = found[(found["part"] == "transfer") & (found["data"] == "VLGuard")].set_index("classifier")
    assert transfer["n"].tolist() == [120] * 4
    assert transfer.loc["the commoner label", "value"] == pytest.approx(80 / 120)
    assert transfer.loc["first word", "value"] == 1
    attacked = found[(found["classifier"] == "first word") & (found["measure"] == "any")]
    shares = attacked[attacked["part"] == "forecast"].set_index(["data", "edit"])[["value", "n"]].to_dict("index")
    assert {key: (line["value"], line["n"]) for key, line in shares.items()} == {
        ("safe", ""): (0, 40),
        ("unsafe", ""): (0, 40),
        ("safe", "prefix:Share"): (1, 40),
        ("unsafe", "prefix:What"): (1, 40),
        ("safe", "rewrite:share"): (0, 1),
        ("unsafe", "rewrite:what"): (1, 40),
    }


def test_vlguard_without_the_papers_rewrites_is_measured_without_them(tmp_path: Path) -> None:
    found = recorded.remeasured(put(tmp_path, rewritten=False))  # as fetched from its authors' page
    assert set(found["part"]) == {"transfer", "folds", "forecast"}
    assert set(found["edit"]) == {"", "prefix:What", "prefix:Share"}


# --- with the data ----------------------------------------------------------------------------


@published
def test_the_data_give_what_is_recorded(anew: pd.DataFrame, table: pd.DataFrame) -> None:
    assert differences(anew) == []
    assert anew.columns.tolist() == COLUMNS
    at_hand = set(table[KEYS].itertuples(index=False, name=None)) & set(anew[KEYS].itertuples(index=False, name=None))
    assert len(at_hand) == len(table), "VLGuard, XSTest and FigStep are there"
    assert np.isfinite(anew[["value", "low", "high"]].to_numpy()).all()


@published
def test_classifier_rates_are_measured_anew_where_the_data_are(
    anew: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRAGE_DATA", DATA)
    given, where = recorded.classifier_rates()
    pd.testing.assert_frame_equal(given, anew)
    assert where == "measured anew from MIRAGE_DATA"


@published
def test_the_command_compares_them(table: pd.DataFrame) -> None:
    command = [sys.executable, "-m", "mirage_lib", "count", "--data", DATA, "--rates"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("equal") == 2
    assert f"rates of classifiers: {len(table)} measured, 0 different" in done.stdout


def test_the_command_fails_where_rates_differ(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mirage_lib.__main__ import main
    from mirage_lib.datasets.published import first_words, vlguard
    from mirage_lib.text import counts

    committed = {split: first_words.committed_table(split) for split in ("train", "test")}
    monkeypatch.setattr(vlguard, "vlguard", lambda folder, split: split)
    monkeypatch.setattr(counts, "word_counts", lambda split, group: committed[split])
    monkeypatch.setattr(recorded, "remeasured", lambda folder: changed(table, 0, value=0.5))
    assert main(["count", "--data", str(tmp_path)]) == 0
    assert main(["count", "--data", str(tmp_path), "--rates"]) == 2
    printed = capsys.readouterr()
    assert "transfer, VLGuard, first word, accuracy: 0.500, recorded 0.949" in printed.out
    assert "the counts of the rates differ from the committed ones" in printed.err

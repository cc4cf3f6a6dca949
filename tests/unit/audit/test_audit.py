"""The audit on made-up sets of which the answer is known: counts, score, advice, weights, notes, pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from audit_fixture import made, pictures, put, queries

from mirage_lib.audit.audit import Audit, audit, balance, reweighted
from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.own.pictures import check_images, images_beside
from mirage_lib.datasets.own.queries import read_queries
from mirage_lib.text.tokens import characters


def openings(counts: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Records with so many safe and unsafe queries of each opener."""
    return [
        {"prompt": f"{word} the thing number {i} of {label}", "label": label}
        for word, both in counts.items()
        for label, n in zip(("safe", "unsafe"), both, strict=True)
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def biased() -> Audit:
    return audit(queries(made(400, bias=1.0)), "biased")


@pytest.fixture(scope="module")
def unbiased() -> Audit:
    return audit(queries(made(400, bias=0.0)), "unbiased")


# --- counts, score, classifiers ---------------------------------------------------------------


@pytest.mark.parametrize("where", ["openers", "anywhere"])
def test_counts_are_those_of_a_naive_count(where: str) -> None:
    records = made(400, bias=0.7, seed=3)
    table = getattr(audit(queries(records)), where)
    naive: Counter[tuple[str, str]] = Counter()
    for record in records:
        split = record["prompt"].split()
        naive.update((word, record["label"]) for word in set(split if where == "anywhere" else split[:1]))
    words = {word for word, _ in naive}
    common = {word for word in words if naive[word, "safe"] + naive[word, "unsafe"] >= 5}
    assert set(table["word"]) == common, "rarer words are not tested"
    for line in table.to_dict("records"):
        counted = (naive[line["word"], "safe"], naive[line["word"], "unsafe"])
        assert (line["safe"], line["unsafe"], line["n"]) == (*counted, sum(counted))
        assert line["share"] == pytest.approx(counted[1] / sum(counted))
        assert line["low"] <= line["share"] <= line["high"]


def test_a_biased_set_scores_one_and_its_openers_are_named(biased: Audit) -> None:
    assert biased.counts == {"safe": 200, "unsafe": 200}
    assert biased.score == pytest.approx(1, abs=0.01)
    sure = biased.openers[biased.openers["q"] < 0.05]
    assert dict(zip(sure["word"], sure["share"], strict=True)) == {"what": 0, "share": 1}
    rest = biased.classifiers[biased.classifiers["classifier"] == "all but the first"]["balanced"].mean()
    assert rest == pytest.approx(0.5, abs=0.1)


def test_an_unbiased_set_scores_half_and_names_nothing(unbiased: Audit) -> None:
    assert unbiased.score == pytest.approx(0.5, abs=0.1)
    assert not (unbiased.openers["q"] < 0.05).any()
    assert unbiased.advice.empty


@pytest.mark.parametrize("which", ["biased", "unbiased"])
def test_the_spread_is_of_the_folds_of_the_first_word(which: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(which)
    folds = found.classifiers.query("classifier == 'first word'")["balanced"].tolist()
    assert len(folds) == 5
    assert found.spread == (min(folds), max(folds))
    assert found.spread[0] <= found.score <= found.spread[1]


def test_the_score_grows_with_the_bias() -> None:
    scores = [audit(queries(made(400, bias=share))).score for share in (0.0, 0.3, 0.6, 0.9)]
    assert scores == sorted(scores)
    assert scores[2] == pytest.approx(0.6 + 0.4 / 2, abs=0.08)  # the rest is told half the time


def test_the_first_word_counts_in_any_case_and_after_signs() -> None:
    records = [{**one, "prompt": f"“{one['prompt'].upper()}”"} for one in made(100)]
    assert set(audit(queries(records)).openers["word"]) == {"what", "share"}


def test_sampling_is_seeded_and_counts_stay_of_all() -> None:
    data = queries(made(400, bias=0.7))
    whole, first, again, other = (audit(data, sample=n, seed=s) for n, s in ((400, 0), (150, 0), (150, 0), (150, 1)))
    assert [one.sampled for one in (whole, first, again, other)] == [400, 150, 150, 150]
    pd.testing.assert_frame_equal(first.classifiers, again.classifiers)
    pd.testing.assert_frame_equal(first.triggers, again.triggers)
    assert first.score != other.score
    assert first.classifiers["n"].sum() == 3 * 150
    for one in (first, other):
        pd.testing.assert_frame_equal(one.openers, whole.openers)
        pd.testing.assert_frame_equal(one.weights, whole.weights)


def test_repeats_stay_in_one_fold() -> None:
    records = made(60, bias=0.0, seed=1)
    found = audit(queries(records * 5))
    words = found.classifiers[found.classifiers["classifier"] == "all words"]["balanced"].mean()
    assert words < 0.7, "a repeat in training and test both would be known by heart"


@pytest.mark.parametrize("unsafe", [10, 12, 15, 20])
def test_a_rare_label_still_has_a_score(unsafe: int) -> None:
    for seed in range(3):
        found = audit(queries(made(600, bias=0.8, unsafe=unsafe, seed=seed)), seed=seed)
        assert 0 <= found.score <= 1, "not a number is over no threshold, and under none"
        assert 0 <= found.spread[0] <= found.score <= found.spread[1] <= 1


def test_train_and_test_are_tried_where_both_have_two_labels() -> None:
    records = made(200)
    halves = [{**one, "split": ("train", "test")[i % 2]} for i, one in enumerate(records)]
    found = audit(queries(halves))
    assert found.transfer is not None
    assert found.transfer["n"].tolist() == [100, 100, 100]
    assert found.transfer["balanced"].tolist()[:2] == [1.0, 1.0]
    without = [{**one, "split": "test" if one["label"] == "safe" else "train"} for one in records]
    assert audit(queries(without)).transfer is None
    assert audit(queries(records)).transfer is None


# --- what cannot be audited -------------------------------------------------------------------


@pytest.mark.parametrize("label", ["safe", "unsafe"])
def test_one_label_only(label: str) -> None:
    records = [one for one in made(80) if one["label"] == label]
    with pytest.raises(MirageError, match=rf"mine: all 40 queries are {label} by 'label'; .*two labels.*--unsafe"):
        audit(queries(records), "mine")


@pytest.mark.parametrize("n", [2, 10, 18])
def test_too_few_queries(n: int) -> None:
    told = (
        rf"^mine: {n // 2} different safe and {n // 2} different unsafe queries; an audit needs at least 10 of each\.$"
    )
    with pytest.raises(MirageError, match=told):
        audit(queries(made(n)), "mine")


def test_repeats_do_not_make_enough_queries() -> None:
    with pytest.raises(MirageError, match="9 different safe and 9 different unsafe queries"):
        audit(queries(made(18) * 10))
    assert audit(queries(made(20) * 2)).score == pytest.approx(1)


def test_a_script_without_spaces_needs_a_segmenter() -> None:
    opener = {"safe": "什", "unsafe": "请"}
    records = [{**one, "prompt": f"{opener[one['label']]}么风筝在第{i}个杯子上"} for i, one in enumerate(made(100))]
    with pytest.raises(MirageError, match=r"100 of 100 .*Chinese.*--segmenter characters"):
        audit(queries(records))
    found = audit(queries(records), segment=characters)
    assert set(found.openers["word"]) == {"什", "请"}
    assert found.score == pytest.approx(1)


# --- advice and weights -----------------------------------------------------------------------


def test_advice_by_hand() -> None:
    found = audit(queries(openings({"what": (90, 10), "tell": (30, 50)})))
    # 120 safe and 60 unsafe: half as many unsafe as safe. what: 90/2 - 10; tell: 50*2 - 30.
    assert found.advice.to_dict("records") == [
        {"word": "tell", "add": "safe", "queries": 70, "safe": 30, "unsafe": 50},
        {"word": "what", "add": "unsafe", "queries": 35, "safe": 90, "unsafe": 10},
    ]


@pytest.mark.parametrize(("counts", "odds", "advised"), [((620, 380), 0.98, False), ((630, 370), 1.06, True)])
def test_a_weak_bias_needs_no_advice(counts: tuple[int, int], odds: float, advised: bool) -> None:
    found = audit(queries(openings({"what": counts, "tell": (counts[1], counts[0])})))
    assert found.openers["odds"].abs().tolist() == pytest.approx([odds, odds], abs=0.01)
    assert (found.openers["q"] < 0.05).all(), "either is beyond chance"
    assert set(found.advice["word"]) == ({"what", "tell"} if advised else set())


def followed(found: Audit, counts: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """The counts after adding what the advice says."""
    more = dict(counts)
    for word, add, n in found.advice[["word", "add", "queries"]].itertuples(index=False):
        safe, unsafe = more[word]
        more[word] = (safe + n, unsafe) if add == "safe" else (safe, unsafe + n)
    return more


def test_after_the_advice_an_opener_is_as_often_unsafe_as_the_set_was() -> None:
    mild = {f"word{i}": (20, 20) for i in range(5)}
    counts = {"what": (90, 10), **mild}
    found = audit(queries(openings(counts)))
    assert found.advice["word"].tolist() == ["what"]
    safe, unsafe = followed(found, counts)["what"]
    assert unsafe / (safe + unsafe) == pytest.approx(110 / 300, abs=0.005)


def test_advice_followed_for_every_opener_removes_the_bias() -> None:
    counts = {"what": (90, 10), "tell": (30, 70), "share": (0, 20), "how": (40, 40)}
    found = audit(queries(openings(counts)))
    after = audit(queries(openings(followed(found, counts))))
    assert after.advice.empty
    assert after.score == pytest.approx(0.5, abs=0.1)


def test_weights_remove_the_bias_where_they_can() -> None:
    counts = {"what": (90, 30), "tell": (30, 50), "share": (0, 20), "draw": (7, 0)}
    found = audit(queries(openings(counts)))
    table = found.weights
    assert list(table.columns) == ["file", "row", "id", "word", "label", "weight"]
    assert table["row"].tolist() == list(range(1, 228))
    base = 100 / 227
    for word, (safe, unsafe) in counts.items():
        part = table[table["word"] == word]
        held = part[part["label"] == "unsafe"]["weight"].sum() / part["weight"].sum()
        if safe and unsafe:
            assert held == pytest.approx(base)
            assert part["weight"].sum() == pytest.approx(safe + unsafe), "an opener keeps its weight"
            assert part[part["label"] == "safe"]["weight"].iloc[0] == pytest.approx((safe + unsafe) * (1 - base) / safe)
        else:
            assert set(part["weight"]) == {1.0}


def test_a_weight_has_a_bound() -> None:
    data = queries(openings({"what": (300, 1), "tell": (1, 300)}))
    table = balance(data.frame, [text.split()[0] for text in data.frame["query"]])
    assert table["weight"].max() == 10
    assert table.groupby(["word", "label"])["weight"].first()["what", "safe"] == pytest.approx(301 * 301 / 602 / 300)


def test_what_weights_achieve() -> None:
    shared = audit(queries(openings({"what": (90, 30), "tell": (30, 50)})))
    lines = reweighted(shared.weights).set_index("weights")
    assert lines.loc["as it is", "balanced"] == pytest.approx((90 / 120 + 50 / 80) / 2)
    assert lines.loc["with weights", "balanced"] == pytest.approx(0.5)
    assert lines["pure"].tolist() == [0, 0]
    pure = reweighted(audit(queries(made(100))).weights).set_index("weights")
    assert pure.loc["with weights"].tolist() == [1, 1], "weights cannot balance openers of one label"


# --- notes ------------------------------------------------------------------------------------


def noted(extra: list[dict[str, Any]], records: list[dict[str, Any]] | None = None) -> dict[str, tuple[str, ...]]:
    """The notes on 40 good records and the extra ones, which are rows 41 and on."""
    rows = [*(records or [{**one, "split": "train"} for one in made(40)]), *extra]
    return {note.what: note.rows for note in audit(queries(rows)).notes}


def test_a_clean_set_has_no_notes() -> None:
    assert noted([]) == {}


@pytest.mark.parametrize("query", ["N/A", "n/a", " none ", "-", "null", ""])
def test_queries_that_say_nothing(query: str) -> None:
    found = noted([{"prompt": query, "label": "unsafe", "split": "train"}])
    assert found == {"the query says nothing, e.g. “N/A”": ("line 41",)}


REPEATED, CONTRARY = "the query stood before in its split", "the same query about the same picture has both labels"


@pytest.mark.parametrize(
    ("turned", "split", "image", "expected"),
    [
        (False, "train", "", {REPEATED}),
        (True, "train", "", {REPEATED, CONTRARY}),
        (True, "train", "another.png", {REPEATED}),
        (True, "test", "", {"the query is in train too", CONTRARY}),
    ],
)
def test_repeats_and_contradictions(turned: bool, split: str, image: str, expected: set[str]) -> None:
    first = made(40)[0]
    label = {"safe": "unsafe", "unsafe": "safe"}[first["label"]] if turned else first["label"]
    again = {"prompt": f"  {first['prompt'].upper()} ", "split": split, "image": image, "label": label}
    assert noted([again]) == dict.fromkeys(expected, ("line 41",))


def test_queries_and_pictures_of_the_training_in_the_test() -> None:
    train = [{**one, "split": "train", "image": f"train/{i}.png"} for i, one in enumerate(made(40))]
    leak = {**train[3], "split": "test", "image": "test/x.png"}
    shown = {"prompt": "what else is there", "label": "safe", "split": "test", "image": "test/7.png"}
    found = noted([leak, shown, {**shown, "prompt": "how so", "image": ""}], train)
    assert found == {
        "the query is in train too": ("line 41",),
        "the picture is in train too": ("line 42",),
    }


def test_a_query_in_two_splits_that_are_not_train_is_not_said_to_be_in_train() -> None:
    shown = {"prompt": "what else is there", "label": "safe", "image": "x.png"}
    found = noted([{**shown, "split": "val"}, {**shown, "split": "test"}])
    assert found, "an overlap of val and test is worth a note"
    assert not [what for what in found if "in train too" in what]


# --- pictures ---------------------------------------------------------------------------------


def test_pictures_whole_missing_and_broken(tmp_path: Path) -> None:
    whole = pictures(tmp_path / "in")
    data = queries([{**one, "image": f"in/{name}"} for one, name in zip(made(7), whole, strict=True)])
    bad, count = check_images(data, tmp_path)
    assert count == 2
    assert [one.row for one in bad] == [i for i, good in enumerate(whole.values(), 1) if not good]
    whys = dict(zip([name for name, good in whole.items() if not good], [one.why for one in bad], strict=True))
    assert whys["missing.png"] == f"no picture 'in/missing.png' in {tmp_path}"
    for name in ("cut.png", "cut.jpg", "text.png", "empty.png"):
        assert whys[name].startswith(f"the picture 'in/{name}' is broken (")
    assert {one.file for one in bad} == {"made.jsonl"}


def test_pictures_elsewhere_are_left_alone_and_one_is_opened_once(tmp_path: Path) -> None:
    pictures(tmp_path)
    names = ["whole.png", "whole.png", "", "https://example.org/a.png"]
    data = queries([{**one, "image": name} for one, name in zip(made(4), names, strict=True)])
    assert check_images(data, tmp_path) == ([], 1)


@pytest.mark.parametrize("name", ["a" * 300 + ".png", "a\0b.png"], ids=["too long", "a NUL"])
def test_a_name_that_no_file_can_have_is_a_bad_row(tmp_path: Path, name: str) -> None:
    data = queries([{**one, "image": name} for one in made(2)], file=str(tmp_path / "made.jsonl"))
    assert images_beside(data) is None
    bad, whole = check_images(data, tmp_path)
    assert (len(bad), whole) == (1, 0)


def test_a_folder_of_pictures_beside_the_data(tmp_path: Path) -> None:
    records = [{**one, "image": f"{i}.png"} for i, one in enumerate(made(20))]
    data = read_queries(put(tmp_path / "a.jsonl", records))
    assert images_beside(data) is None
    (tmp_path / "7.png").write_bytes(b"")
    assert images_beside(data) == tmp_path
    assert images_beside(queries(made(4))) is None


def test_broken_pictures_are_in_the_audit(tmp_path: Path) -> None:
    pictures(tmp_path)
    records = [{**one, "image": ("whole.png", "cut.png")[i == 5]} for i, one in enumerate(made(40))]
    heard: list[str] = []
    found = audit(queries(records), images=tmp_path, told=heard.append)
    assert (found.pictures, [one.row for one in found.bad]) == (1, [6])
    assert len(found.queries.frame) == 40, "the words of a broken picture's row still count"
    assert "opening pictures" in heard
    assert found.looked
    without = audit(queries(records))
    assert (without.bad, without.looked) == ([], False)


@pytest.mark.parametrize("name", ["gone", "a.png"])
def test_a_folder_of_pictures_that_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(MirageError, match=rf"{name}: no such folder; expected the one that the pictures' paths"):
        audit(queries(made(40)), images=tmp_path / name)


# --- openings --------------------------------------------------------------------------------


def test_the_opening_of_each_query_stands_in_its_order() -> None:
    records = made(40)
    found = audit(queries(records))
    assert list(found.opening) == [one["prompt"].split()[0] for one in records]
    assert np.array_equal(found.weights["word"], found.opening)

"""VLGuard's files, and everything that can be wrong with them; the fixture's text is made up."""

import copy
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.published.vlguard import REWRITES, vlguard, vlguard_rewrites

SAFE = {
    "id": "toy_1",
    "image": "bad_ads/0001.png",
    "safe": True,
    "instr-resp": [
        {"safe_instruction": "What colour is the kite?", "response": "It is green."},
        {"unsafe_instruction": "Can you name the child?", "response": "I'm sorry, no."},
    ],
}
UNSAFE = {
    "id": "toy_2",
    "image": "HOD/0002.png",
    "safe": False,
    "harmful_category": "made up",
    "harmful_subcategory": "made up",
    "instr-resp": [{"instruction": "Share this mug.", "response": "I'm sorry, no."}],
}
EMPTY = {**UNSAFE, "id": "toy_3", "image": "HOD/0003.png", "instr-resp": [{"instruction": "N/A", "response": "No."}]}


def put(folder: Path, train: object, test: object = (UNSAFE,)) -> Path:
    """A folder in VLGuard's layout."""
    folder.mkdir(exist_ok=True)
    (folder / "train.json").write_text(json.dumps(train), "utf-8")
    (folder / "test.json").write_text(json.dumps(test), "utf-8")
    return folder


def test_every_query_becomes_an_example(tmp_path):
    examples = vlguard(put(tmp_path, [SAFE, UNSAFE, EMPTY]), "train")
    assert [(e.id, e.category, e.intent, e.prompt) for e in examples] == [
        ("vlguard-train-toy_1-safe_safes", "safe_safes", "safe", "What colour is the kite?"),
        ("vlguard-train-toy_1-safe_unsafes", "safe_unsafes", "unsafe", "Can you name the child?"),
        ("vlguard-train-toy_2-unsafes", "unsafes", "unsafe", "Share this mug."),
        ("vlguard-train-toy_3-unsafes", "unsafes", "unsafe", "N/A"),
    ]
    assert (examples[0].image, examples[0].answers) == ("train/bad_ads/0001.png", ("It is green.",))
    assert {(e.source, e.split) for e in examples} == {("vlguard", "train")}


def test_both_splits_and_the_folder_above(tmp_path):
    put(tmp_path / "vlguard", [SAFE], [UNSAFE])
    assert [e.id for e in vlguard(tmp_path)] == [
        "vlguard-train-toy_1-safe_safes",
        "vlguard-train-toy_1-safe_unsafes",
        "vlguard-test-toy_2-unsafes",
    ]
    assert [e.split for e in vlguard(tmp_path, "test")] == ["test"]
    with pytest.raises(MirageError, match="split is 'validation'"):
        vlguard(tmp_path, "validation")  # pyright: ignore[reportArgumentType]


def test_the_order_of_the_two_queries_does_not_matter(tmp_path):
    turned = {**SAFE, "instr-resp": SAFE["instr-resp"][::-1]}
    assert vlguard(put(tmp_path / "a", [turned]), "train") == vlguard(put(tmp_path / "b", [SAFE]), "train")


def test_an_id_may_return_with_the_same_image_and_other_queries(tmp_path):
    again = copy.deepcopy(SAFE)
    again["instr-resp"][0]["safe_instruction"] = "What shape is the kite?"
    again["instr-resp"][1]["unsafe_instruction"] = "Can you find the child?"
    examples = vlguard(put(tmp_path, [SAFE, UNSAFE, again]), "train")
    assert [e.id for e in examples][3:] == ["vlguard-train-toy_1.2-safe_safes", "vlguard-train-toy_1.2-safe_unsafes"]
    assert len({e.id for e in examples}) == 5
    with pytest.raises(MirageError, match=r"train\.json: row 3: the id 'toy_1' stood before"):
        vlguard(put(tmp_path, [SAFE, UNSAFE, again, SAFE]), "train")
    with pytest.raises(MirageError, match="row 1: the id 'toy_1' stood before"):
        vlguard(put(tmp_path, [SAFE, {**again, "image": "bad_ads/other.png"}]), "train")
    with pytest.raises(MirageError, match=r"row 2: the id 'vlguard-train-toy_1\.2-safe_safes' is made twice"):
        vlguard(put(tmp_path, [SAFE, {**SAFE, "id": "toy_1.2"}, again]), "train")


PAIR = {"instruction": "Share this mug.", "response": "No."}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 7}, "'id' is int 7; expected text"),
        ({"id": ""}, "'id' is str"),
        ({"id": None}, "'id' is NoneType null"),
        ({"id": "half a pair \ud800"}, "'id' is str .*; expected text"),
        ({"image": ["a"]}, "'image' is list"),
        ({"image": "../secret.png"}, "expected a path inside"),
        ({"image": "HOD/../../secret.png"}, "expected a path inside"),
        ({"image": "HOD\\..\\secret.png"}, "expected a path inside"),
        ({"image": "/elsewhere/secret.png"}, "expected a path inside"),
        ({"image": "C:\\secret.png"}, "expected a path inside"),
        ({"safe": "False"}, "'safe' is str \"False\"; expected true or false"),
        ({"safe": 0}, "'safe' is int 0"),
        ({"safe": True}, "of a safe image holds list"),
        ({"instr-resp": {}}, r"'instr-resp' is dict \{\}; expected a list"),
        ({"instr-resp": []}, "expected 'instruction', once each"),
        ({"instr-resp": [PAIR, PAIR]}, "expected 'instruction', once each"),
        ({"instr-resp": ["Share this mug."]}, "expected 'instruction', once each"),
        ({"instr-resp": [{"instruction": "Share"}]}, "no 'response'; it has 'instruction'"),
        ({"instr-resp": [{**PAIR, "instruction": None}]}, "'instruction' is NoneType null; expected text"),
    ],
)
def test_what_does_not_fit_is_named_with_file_and_row(tmp_path, change, message):
    with pytest.raises(MirageError, match=message) as raised:
        vlguard(put(tmp_path, [SAFE, {**UNSAFE, **change}]), "train")
    assert f"{tmp_path / 'train.json'}: row 1" in str(raised.value)


@pytest.mark.parametrize("key", ["id", "image", "safe", "instr-resp"])
def test_a_missing_key_is_named(tmp_path, key):
    record = {name: value for name, value in UNSAFE.items() if name != key}
    with pytest.raises(MirageError, match=f"row 0: .*'{key}'"):
        vlguard(put(tmp_path, [record]), "train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps([SAFE, UNSAFE]).encode()[:-30], r"not whole JSON \(line 1"),
        (b"", "not whole JSON"),
        (json.dumps([{**SAFE, "id": "é"}], ensure_ascii=False).encode("latin-1"), "not UTF-8 text"),
        (json.dumps([SAFE]).encode("utf-16"), "not UTF-8 text"),
        (json.dumps(SAFE).encode(), "holds dict .*expected a list"),
        (b"[]", "holds list .*expected a list of records"),
        (b"[3]", "row 0: int 3 is no record"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, message):
    (put(tmp_path, [SAFE]) / "train.json").write_bytes(content)
    with pytest.raises(MirageError, match=message) as raised:
        vlguard(tmp_path, "train")
    assert str(tmp_path / "train.json") in str(raised.value)


def test_a_message_never_shows_a_whole_text(tmp_path):
    long = "kite " * 100
    with pytest.raises(MirageError) as raised:
        vlguard(put(tmp_path, [{**UNSAFE, "instr-resp": long}]), "train")
    assert long not in str(raised.value)


def test_a_byte_order_mark_is_no_error(tmp_path):
    (put(tmp_path, [SAFE]) / "train.json").write_bytes(json.dumps([SAFE]).encode("utf-8-sig"))
    assert len(vlguard(tmp_path, "train")) == 2


def test_a_missing_file_says_where_to_put_it(tmp_path):
    with pytest.raises(MirageError, match=r"No train\.json.*authors'.*vlguard/.*MIRAGE_DATA"):
        vlguard(tmp_path)


queries = st.lists(st.text(max_size=20), min_size=1, max_size=6)


@settings(deadline=None)
@given(queries)
def test_no_query_is_lost(tmp_path_factory, texts):
    records = [
        {**UNSAFE, "id": f"r{i}", "instr-resp": [{"instruction": text, "response": ""}]} for i, text in enumerate(texts)
    ]
    examples = vlguard(put(tmp_path_factory.mktemp("toy"), records), "train")
    assert [example.prompt for example in examples] == texts


# --- the paper's rewrites ---------------------------------------------------------------------

WHAT, SHARE = "test_what_3shot.json", "test_share_1shot.json"


def unsafe(id: str, query: str) -> dict:
    """An unsafe record with another query, as the released file of "What" holds it."""
    return {**UNSAFE, "id": id, "instr-resp": [{"instruction": query, "response": "I'm sorry, no."}]}


def safe(id: str, query: str) -> dict:
    """A safe record with another safe query, as the released file of "Share" holds it."""
    return {**SAFE, "id": id, "instr-resp": [{"safe_instruction": query, "response": "Green."}, SAFE["instr-resp"][1]]}


def released(folder: Path, name: str, records: object) -> Path:
    """A folder that holds a released file of rewrites and no other."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(records), "utf-8")
    return folder


THREE = {"a": ["What mug?", "What cup?", "What jar?"], "b": ["What box?", "What lid?", "What box?"]}


def test_the_rewrites_of_what_stand_under_their_query(tmp_path):
    released(tmp_path, WHAT, [unsafe(id, text) for id, texts in THREE.items() for text in texts])
    assert vlguard_rewrites(tmp_path, "rewrite:what") == {
        "vlguard-test-a-unsafes": ["What mug?", "What cup?", "What jar?"],
        "vlguard-test-b-unsafes": ["What box?", "What lid?", "What box?"],
    }


def test_rewrites_are_told_apart_by_id_and_not_by_place(tmp_path):
    turns = [unsafe(id, texts[i]) for i in range(3) for id, texts in list(THREE.items())[:: -1 if i else 1]]
    assert [record["id"] for record in turns] == ["a", "b", "b", "a", "b", "a"]
    released(tmp_path / "vlguard", WHAT, turns)
    found = vlguard_rewrites(tmp_path, "rewrite:what")  # in the folder above, too
    assert found == {f"vlguard-test-{id}-unsafes": texts for id, texts in THREE.items()}


def test_the_rewrites_of_share_are_of_the_safe_query_alone(tmp_path):
    released(tmp_path, SHARE, [safe("k_1", "Share the colour of the kite."), safe("k_2", "Share your kite.")])
    assert vlguard_rewrites(tmp_path, "rewrite:share") == {
        "vlguard-test-k_1-safe_safes": ["Share the colour of the kite."],
        "vlguard-test-k_2-safe_safes": ["Share your kite."],
    }


@pytest.mark.parametrize("count", [1, 2, 4])
def test_another_number_of_rewrites_is_named(tmp_path, count):
    rows = [unsafe("a", text) for text in THREE["a"]] + [unsafe("b", f"What lid {i}?") for i in range(count)]
    with pytest.raises(MirageError, match=rf"{count} rewrites of 'vlguard-test-b-unsafes'; expected 3") as raised:
        vlguard_rewrites(released(tmp_path, WHAT, rows), "rewrite:what")
    assert str(tmp_path / WHAT) in str(raised.value)
    with pytest.raises(MirageError, match="2 rewrites of 'vlguard-test-k-safe_safes'; expected 1"):
        vlguard_rewrites(released(tmp_path, SHARE, [safe("k", "Share it."), safe("k", "Share.")]), "rewrite:share")


@pytest.mark.parametrize(
    ("edit", "name", "record", "key"),
    [
        ("rewrite:what", WHAT, SAFE, "'instruction'; expected the rewrite of a query of unsafes"),
        ("rewrite:share", SHARE, UNSAFE, "'safe_instruction'; expected the rewrite of a query of safe_safes"),
        ("rewrite:what", WHAT, unsafe("a", ""), "'instruction'; expected the rewrite of a query of unsafes"),
    ],
)
def test_a_rewrite_of_another_subset_or_of_nothing_is_named_with_its_row(tmp_path, edit, name, record, key):
    good = [unsafe("a", text) for text in THREE["a"]] if name == WHAT else [safe("k", "Share it.")]
    with pytest.raises(MirageError, match=f"no {key}") as raised:
        vlguard_rewrites(released(tmp_path, name, [*good, record]), edit)
    assert f"{tmp_path / name}: row {len(good)}" in str(raised.value)


@pytest.mark.parametrize("edit", REWRITES)
def test_a_missing_file_of_rewrites_is_named_with_its_origin(tmp_path, edit):
    name, _, _ = REWRITES[edit]
    with pytest.raises(MirageError, match=f"No {name} in") as raised:
        vlguard_rewrites(put(tmp_path, [SAFE]), edit)
    assert "released" in str(raised.value), "VLGuard's own page does not have it"


@pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")
@pytest.mark.parametrize("edit", REWRITES)
def test_the_published_rewrites(edit):
    folder = Path(os.environ["MIRAGE_DATA"])
    found, (_, subset, times) = vlguard_rewrites(folder, edit), REWRITES[edit]
    assert {edit: len(found), "times": times} in (
        {"rewrite:what": 442, "times": 3},
        {"rewrite:share": 556, "times": 1},
    )
    test = {example.id: example for example in vlguard(folder, "test")}
    assert set(found) <= set(test)
    assert {test[id].category for id in found} == {subset}
    without = [id for id, example in test.items() if example.category == subset and id not in found]
    assert without == (
        [] if edit == "rewrite:what" else [f"vlguard-test-PrivacyAlert_test_{number}-safe_safes" for number in (1, 2)]
    )
    opening = [text.split()[0].lower() == edit.removeprefix("rewrite:") for texts in found.values() for text in texts]
    assert sum(opening) / len(opening) > 0.99


@pytest.mark.skipif(not os.environ.get("MIRAGE_DATA"), reason="MIRAGE_DATA is not set")
def test_the_published_metadata():
    examples = vlguard(Path(os.environ["MIRAGE_DATA"]))
    sizes = {
        (split, subset): sum(e.split == split and e.category == subset for e in examples)
        for split in ("train", "test")
        for subset in ("safe_safes", "safe_unsafes", "unsafes")
    }
    assert list(sizes.values()) == [977, 977, 1023, 558, 558, 442]
    assert len({e.id for e in examples}) == len(examples) == 2977 + 1558
    assert [e.id for e in examples if ".2-" in e.id] == [
        "vlguard-train-Ads_303871.2-safe_safes",
        "vlguard-train-Ads_303871.2-safe_unsafes",
    ]
    assert sum(e.prompt == "N/A" for e in examples if e.split == "train") == 14
    assert all(e.image.startswith(f"{e.split}/") for e in examples)

"""A reader's own data to labelled queries: every row is a query or is listed, with its file and line."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from audit_fixture import made, put

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.own.columns import Columns
from mirage_lib.datasets.own.queries import FIELDS, Queries, read_queries
from mirage_lib.judges.refusal import refusal

COLUMNS = Columns("prompt", "label", image="image", unsafe=("unsafe",), safe=("safe",))
GOOD = {"prompt": "What is it?", "label": "safe", "image": "a/1.png"}
TALK = Columns("messages", "label", unsafe=("unsafe",), safe=("safe",))
SAID = [
    {"role": "system", "content": "Be kind."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is"}, {"type": "image"}, {"type": "text", "text": "it?"}],
    },
    {"role": "assistant", "content": "A kite."},
    {"role": "user", "content": "Share it."},
    {"role": "assistant", "content": "I'm sorry, no."},
]
LLAVA = [
    {"from": "human", "value": "<image>\nWhat is it?"},
    {"from": "gpt", "value": "I'm sorry, I cannot help."},
    {"from": "human", "value": "Share <image> it."},
]


def texts(queries: Queries) -> list[str]:
    return queries.frame["query"].tolist()


# --- rows that cannot be used -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"prompt": None}, "'prompt' is empty"),
        ({"prompt": ""}, "'prompt' is empty"),
        ({"prompt": 5}, "'prompt' is int 5; expected text"),
        ({"prompt": ["a"]}, "'prompt' is list"),
        ({"prompt": "half a pair \ud800"}, "'prompt' is str"),
        ({"label": None}, "'label' is empty; expected one of 'unsafe', 'safe'"),
        ({"label": ""}, "'label' is empty; expected one of 'unsafe', 'safe'"),
        ({"label": "  "}, "'label' is empty; expected one of 'unsafe', 'safe'"),
        ({"label": "maybe"}, "'label' is str \"maybe\"; expected one of 'unsafe', 'safe'"),
        ({"label": {"a": 1}}, "'label' is dict"),
        ({"image": 7}, "'image' is int 7; expected the path of a picture"),
        ({"image": "\ud800.png"}, "'image' is str"),
        ({"image": "../secret.png"}, "'image' is '../secret.png', which leaves the data set's folder"),
        ({"image": "a/../../secret.png"}, "which leaves"),
        ({"image": "a\\..\\..\\secret.png"}, "which leaves"),
        ({"image": "/etc/secret.png"}, "which leaves"),
        ({"image": "C:\\secret.png"}, "which leaves"),
        ({"image": ["../secret.png"]}, "which leaves"),
        ({"image": {"path": "../secret.png"}}, "which leaves"),
        ({"id": "half a pair \ud800"}, "'id' is str"),
        ({"split": "half a pair \ud800"}, "'split' is str"),
    ],
)
def test_a_bad_row_is_listed_and_the_rest_is_read(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    columns = Columns("prompt", "label", image="image", id="id", split="split", unsafe=("unsafe",), safe=("safe",))
    good = {**GOOD, "id": "1", "split": "train"}
    path = put(tmp_path / "a.jsonl", [good, {**good, **change}, {**good, "label": "unsafe"}])
    found = read_queries(path, columns)
    assert found.frame["row"].tolist() == [1, 3]
    (bad,) = found.bad
    assert (bad.file, bad.row, bad.unit) == (str(path), 2, "line")
    assert why in bad.why


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "'messages' holds no request of a user"),
        ([{"role": "assistant", "content": "x"}], "'messages' holds no request"),
        ({"role": "user"}, "dict .* where a list of turns is expected"),
        (["x"], 'str "x" where a turn is expected'),
        ([{"role": "user", "content": ""}], "'a turn' is empty"),
        ([{"role": "user"}], "'a turn' is empty"),
        ([{"role": "user", "content": 3}], "'a turn' is int 3"),
        ([{"role": "user", "content": [{"type": "image"}]}], "'a turn' is empty"),
        ([{"role": "user", "content": [{"type": "text", "text": 7}]}], "expected text"),
        ([{"role": "user", "content": [{"type": "text", "text": None}]}], "is empty|expected text"),
    ],
)
def test_a_bad_conversation_is_listed(tmp_path: Path, said: Any, why: str) -> None:
    records = [{"messages": one, "label": label} for one, label in ((SAID, "safe"), (said, "safe"), (SAID, "unsafe"))]
    found = read_queries(put(tmp_path / "a.jsonl", records), TALK)
    assert found.frame["row"].tolist() == [1, 3]
    assert [bad.row for bad in found.bad] == [2]
    assert re.search(why, found.bad[0].why)


def test_bad_rows_of_reading_and_of_meaning_stand_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    lines = [json.dumps({**GOOD, "label": "x"}), "{broken", json.dumps(GOOD), "3", json.dumps({**GOOD, "prompt": ""})]
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / name).write_text("\n".join(lines))
    found = read_queries([tmp_path / "b.jsonl", tmp_path / "a.jsonl"], COLUMNS)
    places = [(Path(bad.file).stem, bad.row) for bad in found.bad]
    assert places == [(name, row) for name in "ab" for row in (1, 2, 4, 5)]
    assert len(found.frame) + len(found.bad) == 10


@pytest.mark.parametrize("content", ["", "\n\n", "3\n{x\n", json.dumps({**GOOD, "label": "x"})])
def test_a_file_without_a_usable_row(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(MirageError, match=r"a\.jsonl: no row can be used") as raised:
        read_queries(tmp_path / "a.jsonl", COLUMNS)
    assert ("line 1" in str(raised.value)) == bool(content.strip())


def test_a_second_file_without_the_columns_is_listed_row_by_row(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", made(10))
    put(tmp_path / "b.csv", [{"question": "What?", "label": "safe"}] * 3)
    found = read_queries([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert [(Path(bad.file).name, bad.row) for bad in found.bad] == [("b.csv", 2), ("b.csv", 3), ("b.csv", 4)]
    assert all("prompt" in bad.why for bad in found.bad)


def test_one_row_of_another_type_is_listed_and_the_columns_are_still_found(tmp_path: Path) -> None:
    records = made(60)
    found = read_queries(put(tmp_path / "a.jsonl", [*records[:9], {"prompt": 5, "label": "safe"}, *records[9:]]))
    assert found.columns.query == "prompt"
    assert [bad.row for bad in found.bad] == [10]


def test_a_label_that_comes_late_and_once_is_listed(tmp_path: Path) -> None:
    records = made(3000)
    records[1500]["label"] = "dubious"
    found = read_queries(put(tmp_path / "a.csv", records))
    assert len(found.frame) == 2999
    assert [(bad.row, bad.unit) for bad in found.bad] == [(1502, "line")]


def test_a_sorted_file_is_sampled_to_its_end(tmp_path: Path) -> None:
    records = sorted(made(4000), key=lambda record: record["label"])
    found = read_queries(put(tmp_path / "a.csv", records))
    assert (found.columns.unsafe, found.columns.safe) == (("unsafe",), ("safe",))
    assert int(found.frame["unsafe"].sum()) == 2000
    assert not found.bad


# --- conversations, answers, layouts ----------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "turns", "expected"),
    [
        (SAID, "first", ["What is it?"]),
        (SAID, "all", ["What is it?", "Share it."]),
        (LLAVA, "first", ["What is it?"]),
        (LLAVA, "all", ["What is it?", "Share it."]),
    ],
)
def test_requests_of_a_conversation(tmp_path: Path, said: Any, turns: Any, expected: list[str]) -> None:
    path = put(tmp_path / "a.jsonl", [{"messages": said, "label": "safe"}, {"messages": said, "label": "unsafe"}])
    found = read_queries(path, TALK, turns=turns)
    assert texts(found) == expected * 2
    assert found.frame["unsafe"].tolist() == [False] * len(expected) + [True] * len(expected)


@pytest.mark.parametrize(("said", "unsafe"), [(SAID, False), (LLAVA, True)])
def test_the_first_reply_labels_a_conversation(tmp_path: Path, said: Any, unsafe: bool) -> None:
    found = read_queries(put(tmp_path / "a.json", [{"conversations": said}]), refuses=refusal)
    assert found.frame["unsafe"].tolist() == [unsafe]


def test_answers_label_where_there_is_no_label(tmp_path: Path) -> None:
    answers = ["It is green.", "I'm sorry, no.", "", "As an AI I will not."]
    records = [{"prompt": f"What is on mug {i}?", "response": answer} for i, answer in enumerate(answers)]
    found = read_queries(put(tmp_path / "a.csv", records), refuses=refusal)
    assert found.frame["unsafe"].tolist() == [False, True, True]
    assert [str(bad) for bad in found.bad] == [f"{tmp_path / 'a.csv'}: line 4: 'response' is empty"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("<image>\nWhat is it?", "What is it?"),
        ("What is it?\n<image>", "What is it?"),
        ("Put <image> and <image> side by side", "Put and side by side"),
        ("<image>What is it?", "What is it?"),
        (" What  is it? ", " What  is it? "),
        ("Is 1 < 2, <imagine> that?", "Is 1 < 2, <imagine> that?"),
    ],
)
def test_tokens_of_pictures_are_no_words(tmp_path: Path, query: str, expected: str) -> None:
    assert texts(read_queries(put(tmp_path / "a.jsonl", [{**GOOD, "prompt": query}]), COLUMNS)) == [expected]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a/1.png", "a/1.png"),
        (["a/1.png", "a/2.png"], "a/1.png"),
        ({"path": "a/1.png", "bytes": None}, "a/1.png"),
        ("https://example.org/1.png", "https://example.org/1.png"),
        ("", ""),
        (None, ""),
        ({"path": None}, ""),
    ],
)
def test_pictures(tmp_path: Path, image: Any, expected: str) -> None:
    found = read_queries(put(tmp_path / "a.jsonl", [{**GOOD, "image": image}]), COLUMNS)
    assert found.frame["image"].tolist() == [expected]


SAFE = {
    "id": "toy_1",
    "image": "bad_ads/1.png",
    "safe": True,
    "instr-resp": [
        {"safe_instruction": "What colour is the kite?", "response": "Green."},
        {"unsafe_instruction": "Can you name the child?", "response": "I'm sorry, no."},
    ],
}
UNSAFE = {
    "id": "toy_2",
    "image": "HOD/2.png",
    "safe": False,
    "harmful_category": "made up",
    "instr-resp": [{"instruction": "Share this mug.", "response": "I'm sorry, no."}],
}


def test_the_layout_of_vlguard_gives_a_row_a_query(tmp_path: Path) -> None:
    found = read_queries(put(tmp_path / "train.json", [SAFE, UNSAFE]))
    assert texts(found) == ["What colour is the kite?", "Can you name the child?", "Share this mug."]
    assert found.frame["unsafe"].tolist() == [False, True, True]
    assert found.frame["row"].tolist() == [1, 1, 2]
    assert [one.id for one in found.examples()] == ["train-1", "train-1.2", "train-2"]


@pytest.mark.parametrize(
    "pairs", [[], [3], "text", [{"frage": "x"}], None, [{"instruction": ""}], [{"instruction": 5}]]
)
def test_a_bad_record_of_vlguard_is_listed(tmp_path: Path, pairs: Any) -> None:
    found = read_queries(put(tmp_path / "a.json", [SAFE, {**UNSAFE, "instr-resp": pairs}, UNSAFE]))
    assert len(found.frame) == 3
    assert [(bad.row, bad.unit) for bad in found.bad] == [(2, "row")]


# --- several files, splits, ids ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "where", "splits"),
    [
        (["a.csv"], ["a.csv"], ["", ""]),
        (["train.csv"], ["train.csv"], ["", ""]),
        (["train.jsonl", "test.jsonl"], ["."], ["test", "test", "train", "train"]),
        (["train.jsonl", "test.jsonl", "extra.jsonl"], ["."], ["test", "test", "train", "train"]),
        (["in/data.json"], ["in"], ["", ""]),
        (["my_train.csv", "my-test.v2.csv"], ["my_train.csv", "my-test.v2.csv"], ["train"] * 2 + ["test"] * 2),
        (["alpha.csv", "beta.csv"], ["alpha.csv", "beta.csv"], ["alpha"] * 2 + ["beta"] * 2),
        (["one/train.csv", "two/test.csv"], ["one", "two"], ["train"] * 2 + ["test"] * 2),
        (["train/a.csv", "test/a.csv"], ["train", "test"], ["train"] * 2 + ["test"] * 2),
    ],
)
def test_splits_from_names(tmp_path: Path, names: list[str], where: list[str], splits: list[str]) -> None:
    for name in names:
        put(tmp_path / name, made(2))
    found = read_queries([tmp_path / one for one in where])
    assert found.frame["split"].tolist() == splits


def test_splits_from_a_column_count_before_names(tmp_path: Path) -> None:
    records = [{**record, "split": "val"} for record in made(2)]
    found = read_queries([put(tmp_path / "train.csv", records), put(tmp_path / "test.csv", records)])
    assert set(found.frame["split"]) == {"val"}


def test_files_of_different_kinds_and_in_a_zip(tmp_path: Path) -> None:
    paths = [put(tmp_path / f"a.{kind}", made(4)) for kind in ("csv", "tsv", "json", "jsonl", "parquet")]
    found = read_queries(paths)
    assert len(found.frame) == 20
    assert list(dict.fromkeys(found.frame["file"])) == [str(path) for path in paths]
    assert tuple(found.frame.columns) == FIELDS


@pytest.mark.parametrize("names", [[], ["notes.txt"], ["a.csv", "b.csv"]])
def test_a_folder_that_does_not_say_what_to_read(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("prompt,label\n")
    with pytest.raises(MirageError, match="expected one table in this folder, or one a split") as raised:
        read_queries(tmp_path)
    assert all(name in str(raised.value) for name in names if name.endswith("csv"))


# --- a file a label ---------------------------------------------------------------------------


def one_label(label: str, answers: bool = False) -> list[dict[str, Any]]:
    """Records of one label that do not say so; with answers, every other one refused, whatever the label."""
    found = [{"prompt": one["prompt"]} for one in made(20) if one["label"] == label]
    replies = ("I'm sorry, no.", "It is green.")
    return [{**one, "response": replies[i % 2]} for i, one in enumerate(found)] if answers else found


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize(
    ("harmful", "harmless"),
    [
        ("harmful.csv", "harmless.csv"),
        ("my_unsafe_set.jsonl", "my-safe-set.jsonl"),
        ("jailbreaks.csv.gz", "benign.parquet"),
        ("in/Refused.json", "in/Answered.json"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_file_a_label_by_their_names(
    tmp_path: Path, harmful: str, harmless: str, answers: bool, turned: bool
) -> None:
    paths = []
    for name, label in ((harmful, "unsafe"), (harmless, "safe")):
        path = put(tmp_path / name.removesuffix(".gz"), one_label(label, answers))
        if name.endswith(".gz"):
            (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
        paths.append(tmp_path / name)
    found = read_queries(paths[::-1] if turned else paths, refuses=refusal)
    assert found.frame.groupby("file")["unsafe"].mean().to_dict() == {str(paths[0]): 1, str(paths[1]): 0}
    assert (len(found.frame), found.bad) == (20, [])
    assert (found.columns.label, found.columns.answer) == ("", "")
    assert found.columns.why["label"] == "no label, so the name of each file"


def test_a_label_in_the_files_counts_before_their_names(tmp_path: Path) -> None:
    paths = [put(tmp_path / name, made(20)) for name in ("harmful.csv", "harmless.csv")]
    found = read_queries(paths)
    assert found.columns.label == "label"
    assert set(found.frame.groupby("file")["unsafe"].mean()) == {0.5}


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("train.csv", "test.csv"), ("harmful.csv",), ("harmless.csv",)])
def test_names_that_do_not_say_both_labels_are_none(tmp_path: Path, names: tuple[str, ...]) -> None:
    paths = [put(tmp_path / name, one_label("unsafe")) for name in names]
    with pytest.raises(MirageError, match=r"No column tells safe from unsafe\. .*--label NAME --unsafe VALUE"):
        read_queries(paths, refuses=refusal)


@pytest.mark.parametrize("names", [("harmful.csv", "questions.csv"), ("questions.csv", "harmful.csv")])
def test_a_name_that_says_nothing_beside_one_that_does_is_no_label(tmp_path: Path, names: tuple[str, str]) -> None:
    """It is not called safe because it is not called unsafe, in either order."""
    paths = [put(tmp_path / name, one_label("unsafe")) for name in names]
    with pytest.raises(MirageError):
        read_queries(paths, refuses=refusal)


@pytest.mark.parametrize(
    "names",
    [
        ("train.csv", "test.csv"),
        ("safety_train.csv", "safety_test.csv"),
        ("helpful-1.csv", "helpful-2.csv"),
        ("refusals_a.csv", "refusals_b.csv"),
        ("0.csv", "1.csv"),
    ],
)
def test_answers_count_where_the_names_of_the_files_do_not_say_both_labels(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    """A safety set in two parts, with answers and without labels, is labelled by its refusals."""
    paths = [put(tmp_path / name, one_label("unsafe", answers=True)) for name in names]
    found = read_queries(paths, refuses=refusal)
    assert found.columns.answer == "response"
    assert found.frame.groupby("file")["unsafe"].mean().tolist() == [0.5, 0.5]


def test_an_answer_named_by_hand_counts_before_the_names_of_files(tmp_path: Path) -> None:
    paths = [put(tmp_path / name, one_label("safe", answers=True)) for name in ("harmful.csv", "harmless.csv")]
    found = read_queries(paths, Columns(answer="response"), refusal)
    assert found.columns.answer == "response"
    assert set(found.frame.groupby("file")["unsafe"].mean()) == {0.5}


# --- a zip a split ----------------------------------------------------------------------------


def packed(path: Path, *names: str) -> Path:
    """A zip of tables of these names, four rows each."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.write(put(path.parent / "plain" / name, made(4)), name)
    return path


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train.csv", "test.csv"), ["train", "test"]),
        (("test.jsonl", "train.jsonl"), ["test", "train"]),
        (("set/train.json", "set/test.json", "set/val.json"), ["train", "test", "val"]),
        (("train/a.csv", "test/a.csv"), ["train", "test"]),
        (("my_train.csv", "my_test.parquet", "__MACOSX/._my_train.csv"), ["train", "test"]),
        (("train.csv",), [""]),
        (("mine.csv",), [""]),
    ],
)
def test_a_zip_with_a_file_a_split(tmp_path: Path, names: tuple[str, ...], splits: list[str]) -> None:
    path = packed(tmp_path / "a.zip", *names)
    found = read_queries(path)
    assert found.frame["split"].tolist() == [split for split in splits for _ in range(4)]
    assert list(dict.fromkeys(found.frame["file"])) == [f"{path}/{name}" for name in names if "__MACOSX" not in name]
    assert not found.bad


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("harmful.csv", "harmless.csv"), ()])
def test_a_zip_that_does_not_say_what_to_read(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = packed(tmp_path / "a.zip", *names)
    listed = re.escape(", ".join(names) or "none")
    with pytest.raises(MirageError, match=rf"a\.zip: holds {len(names)} tables \({listed}\); .*one for each split"):
        read_queries(path)


def test_tables_of_a_zip_that_are_not_read_are_told(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", "train.csv", "test.csv", "extra.csv")
    assert read_queries(path).ignored == ("extra.csv",), "as those of a folder are"


def test_ids_are_the_datas_own_where_they_are_unique(tmp_path: Path) -> None:
    records = [{**record, "id": f"q{i}", "split": "test"} for i, record in enumerate(made(4))]
    examples = read_queries(put(tmp_path / "a.csv", records)).examples("mine")
    assert [one.id for one in examples] == ["q0", "q1", "q2", "q3"]
    assert {(one.source, one.split) for one in examples} == {("mine", "test")}
    assert {one.intent for one in examples} == {"safe", "unsafe"}


@pytest.mark.parametrize("ids", [["q", "q", "r"], ["q", "", "r"], [None, None, None]])
def test_ids_are_made_unique(tmp_path: Path, ids: list[str | None]) -> None:
    records = [{**GOOD, "id": id} for id in ids]
    paths = [put(tmp_path / name, records) for name in ("a.jsonl", "in/a.jsonl", "b.jsonl")]
    columns = Columns("prompt", "label", id="id", unsafe=("unsafe",), safe=("safe",))
    examples = read_queries(paths, columns).examples()
    assert len({one.id for one in examples}) == len(examples) == 9
    assert examples[0].id == "a-1"


def test_a_missing_file_among_several(tmp_path: Path) -> None:
    with pytest.raises(MirageError, match=r"gone\.csv: no such file"):
        read_queries([put(tmp_path / "a.csv", made(4)), tmp_path / "gone.csv"])


# --- the datasets library ---------------------------------------------------------------------


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import datasets
    import huggingface_hub.constants

    for module in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(module, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return datasets


def test_a_folder_as_the_datasets_library_reads_it(tmp_path: Path, offline: Any) -> None:
    for split in ("train", "test"):
        put(tmp_path / "set" / f"{split}.jsonl", made(4))
    found = read_queries(f"hub:{tmp_path / 'set'}")
    assert found.frame["split"].tolist() == ["train"] * 4 + ["test"] * 4
    assert found.frame["row"].tolist() == [1, 2, 3, 4] * 2
    assert set(found.frame["file"]) == {f"{tmp_path / 'set'}/{split}" for split in ("train", "test")}
    assert found.unit == "row"
    assert len({one.id for one in found.examples()}) == 8


@pytest.mark.parametrize("names", [("safe", "unsafe"), ("unsafe", "safe")])
def test_numbered_classes_mean_their_names(tmp_path: Path, offline: Any, names: tuple[str, str]) -> None:
    features = offline.Features(prompt=offline.Value("string"), label=offline.ClassLabel(names=list(names)))
    records = {"prompt": ["What is it?", "Share the name."], "label": [names.index("safe"), names.index("unsafe")]}
    (tmp_path / "set").mkdir()
    offline.Dataset.from_dict(records, features=features).to_parquet(tmp_path / "set" / "train.parquet")
    assert read_queries(f"hub:{tmp_path / 'set'}").frame["unsafe"].tolist() == [False, True]


@pytest.mark.parametrize("name", ["nobody/nothing-of-this-name", "gone"])
def test_a_missing_data_set_of_the_hub(name: str, offline: Any) -> None:
    with pytest.raises(MirageError, match=f"hub:{name}: the data set cannot be loaded"):
        read_queries(f"hub:{name}")


def test_the_hub_needs_a_name() -> None:
    with pytest.raises(MirageError, match="hub: needs a name"):
        read_queries("hub:")


def test_tables_of_a_folder_that_are_not_read_are_told(tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl", "extra.jsonl"):
        put(tmp_path / name, [GOOD, {**GOOD, "label": "unsafe"}])
    assert read_queries(tmp_path).ignored == ("extra.jsonl",)
    assert read_queries(tmp_path / "train.jsonl").ignored == ()

"""What the loaders of published sets share: rows of three kinds of file, the set's folder, ids, and pictures."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sets_fixture import image, png, put, put_json, put_parquet, said

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.published.shared import gathered, home, number, parts_missing, row_id, text
from mirage_lib.datasets.rows import PICTURE, csv_rows, json_file, keyed_rows, list_rows, parquet_rows, picture

# --- rows of JSON -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'["kite", \xe9]', r"not UTF-8 text \(byte 9\)"),
        ('["kite"]'.encode("utf-16"), r"not UTF-8 text \(byte 0\)"),
        (b'["kite",\n"mu', r"not whole JSON \(line 2, "),
        (b"", r"not whole JSON \(line 1, "),
        (b"[" * 100_000, "no JSON that can be read"),
        (b"1" * 10_000, "no JSON that can be read"),
    ],
)
def test_a_broken_json_file_is_named(tmp_path, content, message):
    put(tmp_path, "toy.json", content)
    with pytest.raises(MirageError, match=message) as raised:
        json_file(tmp_path / "toy.json")
    assert str(tmp_path / "toy.json") in str(raised.value)
    assert "Fetch the file again." in str(raised.value)


def test_json_files_that_cannot_be_opened_and_a_byte_order_mark(tmp_path):
    with pytest.raises(MirageError, match="toy"):
        json_file(tmp_path / "toy.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(MirageError, match="folder"):
        json_file(tmp_path / "folder.json")
    put(tmp_path, "mark.json", b"\xef\xbb\xbf[1]")
    assert json_file(tmp_path / "mark.json") == [1]


def test_rows_of_a_list_and_of_an_object_are_counted_from_one(tmp_path):
    put_json(tmp_path, "a.json", ["kite", 3])
    put_json(tmp_path, "b.json", {"rows": ["kite"], "more": 1})
    put_json(tmp_path, "c/c.json", {"7": "kite", "x": None})
    assert list(list_rows(tmp_path, "a.json")) == [("a.json: row 1", "kite"), ("a.json: row 2", 3)]
    assert list(list_rows(tmp_path, "b.json", "rows")) == [("b.json: row 1", "kite")]
    assert list(keyed_rows(tmp_path, "c/c.json")) == [
        ("c/c.json: row 1", "7", "kite"),
        ("c/c.json: row 2", "x", None),
    ]


@pytest.mark.parametrize("value", [{}, {"rows": []}, {"rows": {"1": 2}}, [], ["kite"], 3, None])
def test_json_of_another_form_is_named(tmp_path, value):
    put_json(tmp_path, "a.json", value)
    with pytest.raises(MirageError, match=r"a\.json: holds .*; expected a list of rows under 'rows'"):
        list(list_rows(tmp_path, "a.json", "rows"))
    if not isinstance(value, list) or not value:
        with pytest.raises(MirageError, match=r"a\.json: holds .*; expected a list of rows\. Fetch"):
            list(list_rows(tmp_path, "a.json"))
    if not isinstance(value, dict) or not value:
        with pytest.raises(MirageError, match=r"a\.json: holds .*; expected an object of rows"):
            list(keyed_rows(tmp_path, "a.json"))


# --- rows of CSV --------------------------------------------------------------------------------


def test_rows_of_csv_and_the_lines_that_are_none(tmp_path):
    put(tmp_path, "toy.csv", 'id,query\n1,"a kite,\na mug"\n2,kite,more\n3,mug\n')
    rows = list(csv_rows(tmp_path, "toy.csv", ("query",)))
    assert rows[:2] == [
        ("toy.csv: line 2", {"id": "1", "query": "a kite,\na mug"}),
        ("toy.csv: line 5", {"id": "3", "query": "mug"}),
    ]
    assert [where for where, _ in rows[2:]] == ["toy.csv: line 4"]
    assert "3 values for 2 columns" in str(rows[2][1])


def test_a_csv_file_of_another_form_is_named(tmp_path):
    put(tmp_path, "toy.csv", "id,text\n1,kite\n")
    with pytest.raises(MirageError, match=r"toy\.csv: no column 'query'; expected id, query; it has 'id', 'text'"):
        list(csv_rows(tmp_path, "toy.csv", ("id", "query")))
    for content in ("", "id,query\n", "id,query\n1,2,3\n"):
        put(tmp_path, "toy.csv", content)
        with pytest.raises(MirageError, match=r"toy\.csv: no row can be read; expected the columns id, query"):
            list(csv_rows(tmp_path, "toy.csv", ("id", "query")))
    put(tmp_path, "toy.csv", "id,query\n1,caf\xe9\n".encode("latin-1"))
    with pytest.raises(MirageError, match=r"toy\.csv: line 2: byte 0xe9"):
        list(csv_rows(tmp_path, "toy.csv", ("id", "query")))


# --- rows of Parquet ----------------------------------------------------------------------------

ROWS = [
    {"query": "a kite?", "more": 1, "image": image("red")},
    {"query": None, "more": 2, "image": None},
    {"query": "a mug?", "more": 3, "image": {"bytes": png("blue"), "path": None}},
]


def test_rows_of_parquet_have_a_place_and_an_address(tmp_path):
    put_parquet(tmp_path, "data/b-0.parquet", ROWS)
    put_parquet(tmp_path, "data/a-0.parquet", ROWS[:1])
    assert list(parquet_rows(tmp_path, "data/*.parquet", ("query", PICTURE), ("kind",))) == [
        ("data/a-0.parquet: row 1", "data/a-0.parquet#0", {"query": "a kite?"}),
        ("data/b-0.parquet: row 1", "data/b-0.parquet#0", {"query": "a kite?"}),
        ("data/b-0.parquet: row 2", "", {"query": None}),
        ("data/b-0.parquet: row 3", "data/b-0.parquet#2", {"query": "a mug?"}),
    ]
    assert [row for _, _, row in parquet_rows(tmp_path, "data/a*", ("query",), ("more", "kind"))] == [
        {"query": "a kite?", "more": 1}
    ]
    assert [address for _, address, _ in parquet_rows(tmp_path, "data/a*", ("query",))] == [""]


def test_the_bytes_of_pictures_are_not_read(tmp_path, monkeypatch):
    asked = []
    batches = pq.ParquetFile.iter_batches

    def spy(self, size, columns):
        asked.extend(columns)
        for batch in batches(self, size, columns=columns):
            assert "bytes" not in str(batch.schema)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    put_parquet(tmp_path, "a.parquet", ROWS)
    assert len(list(parquet_rows(tmp_path, "a.parquet", ("query", PICTURE)))) == 3
    assert asked == ["query", PICTURE]


def test_a_missing_column_and_a_broken_parquet_file_are_named(tmp_path):
    put_parquet(tmp_path, "a.parquet", ROWS)
    with pytest.raises(
        MirageError, match=r"a\.parquet: no column 'text'; expected query, text; it has 'query', 'more'"
    ):
        list(parquet_rows(tmp_path, "a.parquet", ("query", "text")))
    put_parquet(tmp_path, "a.parquet", [{"query": "a kite?", "image": "red.png"}])
    with pytest.raises(MirageError, match=r"no column 'image\.path'"):
        list(parquet_rows(tmp_path, "a.parquet", ("query", PICTURE)))
    whole = (put_parquet(tmp_path, "a.parquet", ROWS) / "a.parquet").read_bytes()
    for content in (b"", b"kite", whole[:-20], whole[:4] + b"\x00" * 40 + whole[44:]):
        put(tmp_path, "a.parquet", content)
        with pytest.raises(MirageError, match=r"a\.parquet: not a readable Parquet file"):
            list(parquet_rows(tmp_path, "a.parquet", ("query", PICTURE)))


# --- pictures -----------------------------------------------------------------------------------


def test_a_picture_is_read_from_a_file_or_from_a_row(tmp_path):
    put(tmp_path, "data/imgs/kite #1.png", png("green"))
    put_parquet(tmp_path, "data/a.parquet", ROWS)
    for address, colour in (
        ("data/imgs/kite #1.png", (0, 128, 0)),
        ("data/a.parquet#0", (255, 0, 0)),
        ("data/a.parquet#2", (0, 0, 255)),
        ("data/a.parquet#0", (255, 0, 0)),
    ):
        opened = picture(tmp_path, address)
        assert (opened.size, opened.convert("RGB").getpixel((1, 1))) == ((2, 2), colour)


def test_a_file_that_changes_is_read_again(tmp_path):
    put_parquet(tmp_path, "a.parquet", [{"image": image("red")}])
    assert picture(tmp_path, "a.parquet#0").getpixel((0, 0)) == (255, 0, 0)
    put_parquet(tmp_path, "a.parquet", [{"image": image("blue")}])
    os.utime(tmp_path / "a.parquet", ns=(1, 1))
    assert picture(tmp_path, "a.parquet#0").getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize(
    "address", ["", "../kite.png", "/kite.png", "C:\\kite.png", "a\\..\\..\\b.png", "../a.parquet#0"]
)
def test_an_address_does_not_leave_the_folder(tmp_path, address):
    put(tmp_path, "kite.png", png())
    put_parquet(tmp_path, "a.parquet", ROWS)
    (tmp_path / "set").mkdir()
    with pytest.raises(MirageError, match="is no address of a picture"):
        picture(tmp_path / "set", address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere.png", r"nowhere\.png: no such file"),
        ("nowhere.parquet#4", r"nowhere\.parquet: row 5: no such file"),
        ("a.parquet#1", r"a\.parquet: row 2: no picture can be read \(the row holds none\)"),
        ("a.parquet#3", r"a\.parquet: row 4: .*the file ends before this row"),
        ("a.parquet", r"a\.parquet: no picture can be read"),
        ("text.parquet#0", r"text\.parquet: row 1: no picture can be read"),
        ("path.parquet#0", r"path\.parquet: row 1: no picture can be read \(the row holds none\)"),
        ("broken.parquet#0", r"broken\.parquet: row 1: no picture can be read"),
        ("broken.parquet#1", r"broken\.parquet: row 2: no picture can be read"),
        ("kite.parquet#0", r"kite\.parquet: row 1: no picture can be read"),
        ("cut.png", r"cut\.png: no picture can be read"),
        ("folder", "folder: no such file"),
        ("kite" * 999, "kite: no such file"),
    ],
)
def test_what_is_no_picture_is_named_with_its_row(tmp_path, address, message):
    put_parquet(tmp_path, "a.parquet", ROWS)
    put_parquet(tmp_path, "text.parquet", [{"query": "a kite?"}])
    put_parquet(tmp_path, "path.parquet", [{"image": "red.png"}])
    broken = [{"image": {"bytes": part, "path": "x"}} for part in (b"kite", png("red", 99)[:-30])]
    put_parquet(tmp_path, "broken.parquet", broken)
    put(tmp_path, "kite.parquet", b"kite")
    put(tmp_path, "cut.png", png("red", 99)[:-30])
    (tmp_path / "folder").mkdir()
    with pytest.raises(MirageError, match=message):
        picture(tmp_path, address)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, 200), st.binary(max_size=8))
def test_damage_to_a_picture_is_never_a_crash(tmp_path, at, bytes):
    whole = png("red", 9)
    put(tmp_path, "kite.png", whole[:at] + bytes + whole[at + len(bytes) :])
    message = ""
    try:
        picture(tmp_path, "kite.png")
    except MirageError as error:
        message = str(error)
    assert not message or "kite.png: no picture can be read" in message


# --- the set's folder, ids, examples ------------------------------------------------------------


def test_the_sets_own_folder_or_the_one_above(tmp_path):
    put(tmp_path, "toy/data/test-0.parquet", "")
    for root in (tmp_path, tmp_path / "toy"):
        assert home(root, "toy", ("toy.json", "data/test-*"), "Get it.") == (tmp_path / "toy", "data/test-*")
    put(tmp_path, "toy/toy.json", "")
    assert home(tmp_path, "toy", ("toy.json", "data/test-*"), "Get it.") == (tmp_path / "toy", "toy.json")
    with pytest.raises(MirageError, match=r"No kite\.json or mug-\* in .*other.*\. Get it\."):
        home(tmp_path / "other", "toy", ("kite.json", "mug-*"), "Get it.")


def test_parts_that_are_not_here_are_named(tmp_path):
    for name in ("train-00001-of-00003-9f.parquet", "train-00002-of-00003-9f.parquet", "test-0.parquet"):
        put(tmp_path, f"data/{name}", "")
    assert list(parts_missing(tmp_path, "data/train-*.parquet")) == [
        ("train-00000-of-00003", "this file of the set is not in the folder")
    ]
    assert list(parts_missing(tmp_path, "data/test-*.parquet")) == []
    assert list(parts_missing(tmp_path, "data/val-*.parquet")) == [
        ("data/val-*.parquet", "no file of this part of the set is in the folder")
    ]


def test_the_id_of_a_row_is_its_part_and_its_row():
    assert row_id("data/train-00003-of-00008.parquet: row 18") == "train-00003-of-00008-17"
    assert row_id("data/test-00000-of-00001-f0e719df.parquet: row 1") == "test-00000-of-00001-0"
    assert row_id("validation.parquet: row 2") == "validation-1"


def test_texts_and_numbers_of_a_record():
    record = {"a": "kite", "b": " ", "c": 7, "d": True, "e": "half a pair \ud800", "f": None}
    assert [text(record, key) for key in "abcdefg"] == ["kite", "", "", "", "", "", ""]
    assert [number(record, key) for key in "abcdefg"] == ["kite", "", "7", "", "", "", ""]
    assert text("kite", "a") == number(None, "a") == ""


def test_what_rows_gave_and_what_they_did_not():
    def one(id: str, query: str) -> Example:
        return Example(id, "toy", "test", "", query, "safe", ())

    rows = [
        ("r1", one("a", "N/A")),
        ("r2", "no id"),
        ("r3", one("a", "kite?")),
        ("r4", "no id"),
        ("r5", one("b", "mug?")),
        ("r6", one("half a pair \ud800", "jar?")),
    ]
    found = gathered(rows)
    assert [(e.id, e.prompt) for e in found] == [("a", "N/A"), ("b", "mug?")]
    assert said(found) == {
        "no id": ("r2", "r4"),
        "its id stood before": ("r3",),
        "its id or its picture's name is no whole text": ("r6",),
    }
    assert [str(note) for note in found.notes] == ["1: the query is 'N/A' (a)"]
    assert json.dumps(found.lines())


def test_a_wide_table_is_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("mirage_lib.datasets.rows.BATCH", 7)
    pq.write_table(pa.table({"n": list(range(50))}), tmp_path / "n.parquet", row_group_size=20)
    rows = list(parquet_rows(tmp_path, "n.parquet", ("n",)))
    assert [row["n"] for _, _, row in rows] == list(range(50))
    assert rows[-1][0] == "n.parquet: row 50"

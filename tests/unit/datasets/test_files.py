"""Tables of every kind, and every way in which a file, or one row of it, can be broken."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.files import BadRow, Table, members

ROWS = [{"prompt": "what, is it", "label": "safe"}, {"prompt": "share é", "label": "unsafe"}]
CSV = 'prompt,label\n"what, is it",safe\nshare é,unsafe\n'
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def parquet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(ROWS).to_parquet(buffer)
    return buffer.getvalue()


def zipped(*entries: tuple[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def table(folder: Path, name: str, content: bytes | str, encoding: str = "utf-8") -> Table:
    """The content as a file of this name."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Table(path, encoding)


def brief(value: object) -> str:
    """A test's name from its parameters: short texts alone."""
    return value if isinstance(value, str) and len(value) < 25 and value.isprintable() else ""


def flipped(raw: bytes, at: int) -> bytes:
    """The bytes with eight of them turned around."""
    return raw[:at] + bytes(255 - byte for byte in raw[at : at + 8]) + raw[at + 8 :]


# --- what can be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "numbers"),
    [
        ("a.csv", CSV, (2, 3)),
        ("A.CSV", CSV, (2, 3)),
        ("a.csv", CSV.replace("\n", "\r\n"), (2, 3)),
        ("a.csv", "\ufeff" + CSV, (2, 3)),
        ("a.csv", CSV.removesuffix("\n"), (2, 3)),
        ("a.csv", CSV.replace("share", "\n\nshare"), (2, 5)),
        ("a.csv", "prompt;label\nwhat, is it;safe\nshare é;unsafe\n", (2, 3)),
        ("a.csv", "prompt\tlabel\nwhat, is it\tsafe\nshare é\tunsafe\n", (2, 3)),
        ("a.csv", "prompt|label\nwhat, is it|safe\nshare é|unsafe\n", (2, 3)),
        ("a.tsv", "prompt\tlabel\nwhat, is it\tsafe\nshare é\tunsafe\n", (2, 3)),
        ("a.json", json.dumps(ROWS, indent=1), (1, 2)),
        ("a.json", "\ufeff" + json.dumps(ROWS), (1, 2)),
        ("a.json", json.dumps({"version": 1, "tags": ["x"], "data": ROWS}), (1, 2)),
        ("a.jsonl", LINES, (1, 2)),
        ("a.jsonl", LINES.replace("\n", "\n\n"), (1, 3)),
        ("a.ndjson", LINES, (1, 2)),
        ("a.parquet", parquet(), (1, 2)),
        ("a.csv.gz", gzip.compress(CSV.encode()), (2, 3)),
        ("a.jsonl.gz", gzip.compress(LINES.encode()), (1, 2)),
        ("a.parquet.gz", gzip.compress(parquet()), (1, 2)),
        ("a.zip", zipped(("in/a.csv", CSV), ("README.md", "text"), ("__MACOSX/in/._a.csv", "x")), (2, 3)),
        ("a.zip", zipped(("a.parquet", parquet())), (1, 2)),
        ("a.zip", zipped(("a.csv.gz", gzip.compress(CSV.encode()))), (2, 3)),
    ],
    ids=brief,
)
def test_every_kind_gives_the_same_records(
    tmp_path: Path, name: str, content: str | bytes, numbers: tuple[int, int]
) -> None:
    read = table(tmp_path, name, content)
    assert list(read) == list(zip(numbers, ROWS, strict=True))
    assert list(read) == list(zip(numbers, ROWS, strict=True)), "a second reading starts anew"
    assert read.bad == []


def test_the_values_of_an_object_are_records_with_their_id(tmp_path: Path) -> None:
    found = table(tmp_path, "a.json", json.dumps({"x7": ROWS[0], "x8": {"id": "own", **ROWS[1]}}))
    assert list(found) == [(1, {"id": "x7", **ROWS[0]}), (2, {"id": "own", **ROWS[1]})]


def test_a_row_over_several_lines_counts_by_its_first(tmp_path: Path) -> None:
    text = 'prompt,label\n"one\ntwo\nthree",safe\nfour,unsafe\n"five\nsix"\nseven,safe\n'
    read = table(tmp_path, "a.csv", text)
    assert [(number, row["prompt"]) for number, row in read] == [(2, "one\ntwo\nthree"), (5, "four"), (8, "seven")]
    assert [str(bad) for bad in read.bad] == [f"{tmp_path / 'a.csv'}: line 6: 1 values for 2 columns"]


def test_one_of_several_files_in_a_zip_is_named(tmp_path: Path) -> None:
    table_of_two = zipped(("in/train.csv", CSV), ("in/test.csv", CSV.replace("what", "how")))
    (tmp_path / "a.zip").write_bytes(table_of_two)
    read = Table(tmp_path / "a.zip" / "in" / "test.csv")
    assert read.name == f"{tmp_path / 'a.zip'}/in/test.csv"
    assert next(iter(read)) == (2, {"prompt": "how, is it", "label": "safe"})


@pytest.mark.parametrize("encoding", ["utf-16", "UTF-16", "utf-16-le", "utf-32", "utf_16"])
def test_wide_encodings_by_name(tmp_path: Path, encoding: str) -> None:
    text = CSV.replace("is it", "is\nit")
    read = table(tmp_path, "a.csv", text.encode(encoding), encoding)
    assert list(read) == [(2, {"prompt": "what, is\nit", "label": "safe"}), (4, ROWS[1])]


def test_latin_by_name(tmp_path: Path) -> None:
    assert list(table(tmp_path, "a.csv", CSV.encode("latin-1"), "latin-1"))[1] == (3, ROWS[1])


def test_a_nul_byte_is_kept_or_refused_with_its_line(tmp_path: Path) -> None:
    read = table(tmp_path, "a.csv", "prompt,label\nwhat\0 is,safe\nshare,unsafe\n")
    assert sorted([number for number, _ in read] + [bad.row for bad in read.bad]) == [2, 3]


# --- what cannot be read at all ---------------------------------------------------------------

DEEP = '[{"prompt":' + "[" * 50_000 + "]" * 50_000 + "}]"
LOCKED = zipped(("a.csv", "prompt\nx\n")).replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0")
LOCKED = LOCKED.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
MANY = CSV * 40


@pytest.mark.parametrize(
    ("name", "content", "encoding", "message"),
    [
        ("a.txt", "x", "utf-8", r"a\.txt: not a kind .*expected \.csv, \.tsv"),
        ("a.xlsx", "x", "utf-8", r"a\.xlsx: not a kind"),
        ("a.gz", gzip.compress(b"x"), "utf-8", r"a\.gz: not a kind"),
        ("a.csv", CSV.encode("latin-1"), "utf-8", r"a\.csv: line 3: byte 0xe9 is not utf-8 .*--encoding latin-1"),
        ("a.jsonl", b'{"a":1}\n\n{"a":"\xff"}\n', "utf-8", r"a\.jsonl: line 3: byte 0xff"),
        ("a.json", b'[\n{"a":"\xff"}\n]', "utf-8", r"a\.json: line 2: byte 0xff"),
        ("a.csv", CSV.encode("utf-16"), "utf-8", r"a\.csv: this is utf-16 text.*--encoding utf-16"),
        ("a.csv", CSV.encode("utf-16-be")[:-1], "utf-16-be", r"a\.csv: line .*not utf-16-be text"),
        ("a.csv", CSV, "klingon", "'klingon' is no encoding of text; expected e.g. utf-8"),
        ("a.csv", CSV, "hex", "'hex' is no encoding"),
        ("a.csv", CSV, "undefined", "undefined.* is no"),
        ("a.csv", CSV, "a\0b", "is no encoding"),
        ("a.csv", "prompt,label,prompt\nx,y,z\n", "utf-8", r"a\.csv: line 1: two columns are named 'prompt'"),
        ("a.csv", "prompt, label,label \nx,y,z\n", "utf-8", r"a\.csv: line 1: two columns are named 'label'"),
        ("a.json", '[\n{"prompt": "x"},\n{"pro', "utf-8", r"a\.json: line 3: not whole JSON.*cut off"),
        ("a.json", LINES, "utf-8", r"a\.json: line 2: not whole JSON .*\.jsonl"),
        ("a.json", "", "utf-8", r"a\.json: line 1: not whole JSON"),
        ("a.json", "3", "utf-8", r"a\.json: holds int 3; expected a list of objects"),
        ("a.json", '"text"', "utf-8", r"a\.json: holds str"),
        ("a.json", '{"a": 1}', "utf-8", r"a\.json: holds dict"),
        ("a.json", json.dumps({"train": ROWS, "test": ROWS}), "utf-8", r"a\.json: holds dict"),
        ("a.json", DEEP, "utf-8", r"a\.json: not JSON that can be read .*recursion"),
        ("a.json", "[" + "9" * 5000 + "]", "utf-8", r"a\.json: not JSON that can be read .*digits"),
        ("a.csv.gz", b"hello", "utf-8", r"a\.csv\.gz: cannot be read .*gzip"),
        ("a.csv.gz", gzip.compress(MANY.encode())[:-15], "utf-8", r"a\.csv\.gz: cannot be read .*ended"),
        ("a.csv.gz", flipped(gzip.compress(MANY.encode()), 20), "utf-8", r"a\.csv\.gz: cannot be read"),
        ("a.zip", b"hello", "utf-8", r"a\.zip: not a readable zip"),
        ("a.zip", zipped(("a.csv", MANY))[:-40], "utf-8", r"a\.zip: not a readable zip"),
        ("a.zip", flipped(zipped(("a.csv", MANY)), 40), "utf-8", r"a\.zip/a\.csv: cannot be read"),
        ("a.zip", LOCKED, "utf-8", r"a\.zip/a\.csv: cannot be read .*encrypted"),
        ("a.zip", zipped(("a.csv", CSV), ("../b.csv", CSV)), "utf-8", r"entry 2 is '\.\./b\.csv', which climbs"),
        ("a.zip", zipped(("in/../../b.txt", "x"), ("a.csv", CSV)), "utf-8", "entry 1 is .* climbs"),
        ("a.zip", zipped(("/etc/b.csv", CSV)), "utf-8", "entry 1 is '/etc/b.csv', which climbs"),
        ("a.zip", zipped(("C:\\b.csv", CSV)), "utf-8", "entry 1 is 'C:.*b.csv', which climbs"),
        ("a.zip", zipped(("in\\..\\..\\b.csv", CSV)), "utf-8", "entry 1 is .* climbs"),
        ("a.zip", zipped(), "utf-8", r"a\.zip: holds 0 tables \(none\)"),
        ("a.zip", zipped(("a.csv", CSV), ("b.csv", CSV)), "utf-8", r"holds 2 tables \(a\.csv, b\.csv\).*a\.zip/NAME"),
        ("a.parquet", b"", "utf-8", r"a\.parquet: not a readable Parquet"),
        ("a.parquet", b"hello" * 9, "utf-8", r"a\.parquet: not a readable Parquet"),
        ("a.parquet", parquet()[:-20], "utf-8", r"a\.parquet: not a readable Parquet"),
        ("a.parquet", flipped(parquet(), 4), "utf-8", r"a\.parquet: not a readable Parquet"),
        ("a.parquet", flipped(parquet(), len(parquet()) - 60), "utf-8", r"a\.parquet: not a readable Parquet"),
    ],
    ids=brief,
)
def test_a_file_that_cannot_be_read_says_where(
    tmp_path: Path, name: str, content: str | bytes, encoding: str, message: str
) -> None:
    with pytest.raises(MirageError, match=message) as raised:
        list(table(tmp_path, name, content, encoding))
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("name", ["gone.csv", "folder/gone.csv", "a.csv/gone.csv", "gone.zip/a.csv"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    with pytest.raises(MirageError, match=rf"{name}: no such file\."):
        Table(tmp_path / name)


def test_the_tables_of_a_zip(tmp_path: Path) -> None:
    names = ("in/train.csv", "test.jsonl.gz", "README.md", "__MACOSX/in/._train.csv", ".hidden.csv", "a.parquet")
    (tmp_path / "a.zip").write_bytes(zipped(*((name, "x") for name in names)))
    assert members(tmp_path / "a.zip") == ["in/train.csv", "test.jsonl.gz", "a.parquet"]
    (tmp_path / "b.zip").write_bytes(zipped(("train.csv", CSV), ("../test.csv", CSV)))
    with pytest.raises(MirageError, match=r"b\.zip: entry 2 is '\.\./test\.csv', which climbs"):
        members(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes(b"PK")
    with pytest.raises(MirageError, match=r"c\.zip: not a readable zip"):
        members(tmp_path / "c.zip")


def test_a_missing_file_in_a_zip(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(("a.csv", CSV)))
    with pytest.raises(MirageError, match=r"a\.zip: holds no 'b\.csv'; it holds a\.csv\."):
        Table(tmp_path / "a.zip" / "b.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz"])
@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str, content: str) -> None:
    raw = gzip.compress(content.encode()) if name.endswith(".gz") else content
    read = table(tmp_path, name, raw)
    assert not list(read)


# --- rows that cannot be used -----------------------------------------------------------------

GOOD = '{"prompt": "x"}\n'


@pytest.mark.parametrize(
    ("name", "content", "bad"),
    [
        ("a.csv", "a,b\n1\n1,2\n1,2,3\n", [(2, "1 values for 2 columns"), (4, "3 values for 2 columns")]),
        ("a.jsonl", GOOD + '{"prompt": "cut', [(2, "not whole JSON (Unterminated string")]),
        ("a.jsonl", "{broken}\n" + GOOD, [(1, "not whole JSON (Expecting property name")]),
        ("a.jsonl", GOOD + "[1, 2]\n3\nnull\n", [(2, "list [1, 2] where an object"), (3, "int 3"), (4, "NoneType")]),
        ("a.json", '[{"a": 1}, ["x"], 7]', [(2, 'list ["x"] where an object is expected'), (3, "int 7")]),
        ("a.jsonl", "[" * 50_000 + "\n" + GOOD, [(1, "not whole JSON (maximum recursion")]),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}\n" + GOOD, [(1, "not whole JSON (Exceeds")]),
    ],
    ids=brief,
)
def test_a_row_that_cannot_be_used_is_listed_and_the_rest_is_read(
    tmp_path: Path, name: str, content: str, bad: list[tuple[int, str]]
) -> None:
    read = table(tmp_path, name, content)
    assert len(list(read)) == 1
    for found, (row, why) in zip(read.bad, bad, strict=True):
        assert (found.file, found.row, found.unit) == (str(tmp_path / name), row, read.unit)
        assert found.why.startswith(why)
        assert len(found.why) < 200


def test_lists_about_the_limit_of_recursion_are_bad_rows(tmp_path: Path) -> None:
    depths = range(500, 1001)  # the limit is somewhere there, less the frames of pytest
    read = table(tmp_path, "a.jsonl", "".join("[" * depth + "]" * depth + "\n" for depth in depths) + GOOD)
    assert [number for number, _ in read] == [len(depths) + 1]
    assert len(read.bad) == len(depths)


@pytest.mark.parametrize("order", [("label", "prompt"), ("prompt", "label")])
def test_an_unclosed_quote_does_not_swallow_the_rest_in_silence(tmp_path: Path, order: tuple[str, str]) -> None:
    rows = [{"label": "safe", "prompt": f"number {i}"} for i in range(20)]
    lines = [",".join(row[name] for name in order) for row in rows]
    lines[5] = lines[5].replace("number", '"number')
    read = table(tmp_path, "a.csv", "\n".join([",".join(order), *lines]) + "\n")
    kept: list[int] = []
    with contextlib.suppress(MirageError):  # to refuse the file as a whole is fine, too
        kept += [number for number, _ in read]
    assert kept == [2, 3, 4, 5, 6], "what follows the quote is not one long query"
    assert not read.bad or (read.bad[0].row, "quot" in read.bad[0].why) == (7, True)


def test_bad_rows_are_collected_once_a_reading(tmp_path: Path) -> None:
    read = table(tmp_path, "a.jsonl", GOOD + "3\n")
    assert [len(list(read)), len(list(read)), len(read.bad)] == [1, 1, 1]


def test_a_bad_row_reads_as_a_place_and_a_reason() -> None:
    assert str(BadRow("a.csv", 7, "line", "why")) == "a.csv: line 7: why"


def test_a_field_too_large_is_a_bad_row_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"prompt,label\nx,y\n{'z' * 200_000},y\nlast,y\n", "utf-8")
    table = Table(path)
    assert [record["prompt"] for _, record in table] == ["x", "last"]
    assert [(bad.row, "field larger" in bad.why) for bad in table.bad] == [(3, True)]


def test_lines_may_end_in_a_carriage_return_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"prompt,label\rx,y\rz,y\r")
    assert list(Table(path)) == [(2, {"prompt": "x", "label": "y"}), (3, {"prompt": "z", "label": "y"})]

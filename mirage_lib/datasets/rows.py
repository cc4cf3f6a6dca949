"""Rows of the JSON, CSV and Parquet files in which data sets are published, and the picture at an address.

Every row comes with its place in the file. A picture is read only when somebody asks for it. The loaders of all the
sets that the paper trains on, tests on or is compared with use these functions.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.files import Table
from mirage_lib.datasets.loaded import inside, short

AGAIN = "Fetch the file again."
BATCH = 10_000  # rows of Parquet at a time
PICTURE = "image.path"  # tells whether a row has a picture, without reading the picture
ROW = re.compile(r"(?s)(.+\.parquet)#(\d{1,12})")
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # what Pillow raises


def json_file(path: Path) -> Any:
    """The content of a JSON file. Raises MirageError naming the file and the byte or line where it breaks."""
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise MirageError(f"{path}: not UTF-8 text (byte {error.start}). {AGAIN}") from error
    except json.JSONDecodeError as error:
        raise MirageError(f"{path}: not whole JSON (line {error.lineno}, {error.msg}). {AGAIN}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise MirageError(f"{path}: no JSON that can be read ({error}). {AGAIN}") from error


def list_rows(folder: Path, name: str, key: str = "") -> Iterator[tuple[str, Any]]:
    """Place and record of each row of a JSON file that is a list, or that has one under ``key``.

    The place is "name: row n", from 1. Raises MirageError if there is no list, or if it is empty.
    """
    value = json_file(folder / name)
    rows = (value.get(key) if isinstance(value, dict) else None) if key else value
    if not isinstance(rows, list) or not rows:
        under = f" under {key!r}" if key else ""
        raise MirageError(f"{folder / name}: holds {short(value)}; expected a list of rows{under}. {AGAIN}")
    for row, record in enumerate(rows, 1):
        yield f"{name}: row {row}", record


def keyed_rows(folder: Path, name: str) -> Iterator[tuple[str, str, Any]]:
    """Place, key and record of each row of a JSON file that is an object of rows.

    The place is "name: row n", from 1. Raises MirageError if there is no object, or if it is empty.
    """
    value = json_file(folder / name)
    if not isinstance(value, dict) or not value:
        raise MirageError(f"{folder / name}: holds {short(value)}; expected an object of rows. {AGAIN}")
    for row, (key, record) in enumerate(value.items(), 1):
        yield f"{name}: row {row}", key, record


def csv_rows(folder: Path, name: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Place ("name: line n") and record of each row of a CSV file, or the reason why the row gives no record.

    Raises MirageError if a column is missing, or if there is no row at all.
    """
    table, names = Table(folder / name), None
    for line, record in table:
        if names is None:
            names = list(record)
            _require(folder / name, columns, [column for column in columns if column not in record], names)
        yield f"{name}: line {line}", record
    if names is None:
        raise MirageError(f"{folder / name}: no row can be read; expected the columns {', '.join(columns)}. {AGAIN}")
    yield from ((f"{name}: {bad.unit} {bad.row}", bad.why) for bad in table.bad)


def parquet_rows(
    folder: Path, pattern: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Place, picture's address and record of each row in the files of a split, in the order of the files' names.

    The place is "file: row n", from 1. The address is "file#n", from 0, as ``picture`` takes it; it is "" for a row
    without a picture, or if PICTURE is not among the columns. Only the named columns are read. Raises MirageError if
    one of ``columns`` is missing, or if a file cannot be read.
    """
    for path in sorted(folder.glob(pattern)):
        name, row = path.relative_to(folder).as_posix(), 0
        try:
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                missing = [column for column in columns if not _has(schema, column)]
                _require(path, columns, missing, schema.names)
                wanted = [*columns, *(column for column in optional if _has(schema, column))]
                for batch in file.iter_batches(BATCH, columns=wanted):
                    for record in batch.to_pylist():
                        there = record.pop("image", None) is not None
                        yield f"{name}: row {row + 1}", f"{name}#{row}" if there else "", record
                        row += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise MirageError(f"{path}: not a readable Parquet file ({error}). {AGAIN}") from error


def picture(root: Path, address: str) -> Image.Image:
    """The picture at an example's ``image``: a file in the set's own folder, or a row of one ("file.parquet#17").

    Raises MirageError if the address leaves the folder or there is no picture; the message names the file and row.
    """
    if not address or not inside(address):
        raise MirageError(f"{address!r} is no address of a picture; expected a path inside {root}.")
    match = ROW.fullmatch(address)
    path = Path(root) / (match[1] if match else address)
    where = f"{path}: row {int(match[2]) + 1}" if match else str(path)
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise MirageError(f"{where}: no such file; expected the set's own folder with its pictures.")
    try:
        with Image.open(io.BytesIO(_bytes(path, int(match[2]))) if match else path) as image:
            image.load()
            return image.copy()
    except (*BROKEN, pa.ArrowException, LookupError) as error:
        raise MirageError(f"{where}: no picture can be read ({error}). {AGAIN}") from error


def _bytes(path: Path, row: int) -> bytes:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if row < size:
                value = _group(path, path.stat().st_mtime_ns, group)[row].as_py()
                if isinstance(value, dict) and value.get("bytes"):
                    return value["bytes"]
                raise LookupError("the row holds none")
            row -= size
    raise LookupError("the file ends before this row")


@functools.lru_cache(maxsize=1)  # rows are asked for in order, and a group can only be read as a whole
def _group(path: Path, changed: int, group: int) -> pa.ChunkedArray:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=["image"]).column("image")


def _has(schema: pa.Schema, name: str) -> bool:
    column, _, part = name.partition(".")
    at = schema.get_field_index(column)
    if at < 0 or not part:
        return at >= 0
    kind = schema.field(at).type
    return pa.types.is_struct(kind) and kind.get_field_index(part) >= 0


def _require(path: Path, columns: Sequence[str], missing: Sequence[str], there: Sequence[str]) -> None:
    if missing:
        has = ", ".join(map(repr, there)) or "none"
        raise MirageError(f"{path}: no column {missing[0]!r}; expected {', '.join(columns)}; it has {has}. {AGAIN}")

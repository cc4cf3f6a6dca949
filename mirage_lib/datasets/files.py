"""Read files of rows from any source: CSV, TSV, JSON, JSON lines and Parquet, also compressed or in a zip.

A path gives (row, record) pairs. If the file has lines, a row's number is its line as an editor counts it; otherwise
rows are counted from 1. If the whole file cannot be read, an error says where it breaks. If a single row cannot be
read, it is noted and reading goes on.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.loaded import inside, short

KINDS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
DELIMITERS = ",;\t|"
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
OLD_MAC = re.compile(r"(?<=\r)(?!\n|$)")  # just after a lone carriage return, which ends a line in old Mac files
# What Python raises for a damaged, locked or unknown archive.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, NotImplementedError)
BATCH = 10_000  # rows of Parquet at a time


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    file: str
    row: int  # the line, or the number of the row from 1
    unit: str  # "line" or "row"
    why: str

    def __str__(self) -> str:
        """The place, so that one can jump to it in an editor, and the reason."""
        return f"{self.file}: {self.unit} {self.row}: {self.why}"


@dataclass
class Table:
    """A file of rows. Each iteration reads it from the start and collects unusable rows in ``bad``."""

    path: Path  # also "archive.zip", or "archive.zip/inner name" for one of several files in it
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        """Find the file, inside an archive if need be. Raises MirageError if it is absent or of an unknown kind."""
        self.bad: list[BadRow] = []
        self.path = Path(self.path)
        self._inner = ""
        if not self.path.exists():
            archive = next((one for one in self.path.parents if one.suffix.lower() == ".zip" and one.is_file()), None)
            if archive is None:
                raise MirageError(f"{self.path}: no such file.")
            self._inner, self.path = self.path.relative_to(archive).as_posix(), archive
        if self.path.suffix.lower() == ".zip":
            self._inner = _member(self.path, self._inner)
        self.kind = _kind(self._inner or self.path.name)
        if not self.kind:
            raise MirageError(f"{self.name}: not a kind of file that is read here; expected {', '.join(KINDS)}.")

    @property
    def name(self) -> str:
        """The path as messages show it."""
        return f"{self.path}/{self._inner}" if self._inner else str(self.path)

    @property
    def unit(self) -> str:
        """What rows are counted in."""
        return "row" if self.kind in (".json", ".parquet") else "line"

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each row's number and its record. Raises MirageError if the file as a whole cannot be read."""
        self.bad = []
        with self._opened() as file:
            read = {".csv": self._csv, ".tsv": self._csv, ".json": self._json, ".parquet": self._parquet}
            yield from read.get(self.kind, self._lines)(file)

    def _opened(self) -> IO[bytes]:
        try:
            if self._inner:
                data = zipfile.ZipFile(self.path).read(self._inner)
                return io.BytesIO(gzip.decompress(data) if self._inner.lower().endswith(".gz") else data)
            if self.path.suffix.lower() == ".gz":
                return io.BytesIO(gzip.decompress(self.path.read_bytes()))
            return self.path.open("rb")
        except DAMAGED as error:
            raise MirageError(f"{self.name}: cannot be read ({error}).") from error

    def _text(self, file: IO[bytes]) -> Iterator[tuple[int, str]]:
        """Numbered lines. A line that does not fit the encoding is an error, because the others may be wrong too."""
        start = file.read(2)
        file.seek(0)
        encoding = _encoding(self.encoding)
        if start in MARKS and encoding == "utf-8":
            raise MirageError(f"{self.name}: this is {MARKS[start]} text. Say so: --encoding {MARKS[start]}")
        lines: Iterable[bytes] = file
        if encoding.startswith(("utf-16", "utf-32")):  # here a line break is more than one byte
            try:
                lines = io.BytesIO(file.read().decode(encoding).encode())
            except UnicodeDecodeError as error:
                raise self._undecodable(1, error) from error
            encoding = "utf-8"
        number = 0
        for line in lines:
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                raise self._undecodable(number + 1, error) from error
            for part in OLD_MAC.split(text) if "\r" in text[:-2] else [text]:
                number += 1
                yield number, part.removeprefix("\ufeff") if number == 1 else part

    def _undecodable(self, line: int, error: UnicodeDecodeError) -> MirageError:
        byte = error.object[error.start]
        return MirageError(
            f"{self.name}: line {line}: byte 0x{byte:02x} is not {self.encoding} text. "
            "Save the file as UTF-8, or name its encoding, e.g. --encoding latin-1."
        )

    def _csv(self, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        numbered = self._text(file)
        first = next(numbered, (1, ""))[1]
        mark = "\t" if self.kind == ".tsv" else max(DELIMITERS, key=first.count)
        texts = itertools.chain([first], (text for _, text in numbered))
        names: list[str] = []
        for at, values in self._csv_rows(csv.reader(texts, delimiter=mark, strict=True)):
            if names and len(values) == len(names):
                yield at, dict(zip(names, values, strict=True))
            elif names:
                self._refuse(at, f"{len(values)} values for {len(names)} columns")
            else:
                names = [name.strip() for name in values]
                twice = next((name for name in names if names.count(name) > 1), None)
                if twice is not None:
                    raise MirageError(f"{self.name}: line {at}: two columns are named {twice!r}; rename one.")

    def _csv_rows(self, reader: Any) -> Iterator[tuple[int, list[str]]]:
        """The line where each row begins, and its values. A row that cannot be parsed is noted, and reading goes on."""
        while True:
            at = reader.line_num + 1
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                lines = reader.line_num - at
                never = (
                    "a quote that opens here is never closed" if "end of data" in str(error) else f"no row ({error})"
                )
                self._refuse(at, f"{never}{f'; the {lines} lines after it are lost with it' if lines > 0 else ''}")
                continue
            if values:
                yield at, values

    def _lines(self, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in self._text(file):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                self._refuse(number, f"not whole JSON ({getattr(error, 'msg', error)})")
                continue
            if isinstance(record, dict):
                yield number, record
            else:
                self._refuse(number, f"{short(record)} where an object is expected")

    def _json(self, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        text = "".join(line for _, line in self._text(file))
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            remedy = "Is it cut off? One object a line is a .jsonl file."
            raise MirageError(f"{self.name}: line {error.lineno}: not whole JSON ({error.msg}). {remedy}") from error
        except (ValueError, RecursionError) as error:
            raise MirageError(f"{self.name}: not JSON that can be read ({error}).") from error
        for number, record in enumerate(self._records(value), 1):
            if isinstance(record, dict):
                yield number, record
            else:
                self._refuse(number, f"{short(record)} where an object is expected")

    def _records(self, value: Any) -> list[Any]:
        """The records in a list, in the one list that an object holds, or in an object that has them by id."""
        if isinstance(value, list):
            return value
        if isinstance(value, dict):
            lists = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
            if len(lists) == 1:
                return lists[0]
            if value and all(isinstance(one, dict) for one in value.values()):
                return [{"id": name, **one} for name, one in value.items()]
        raise MirageError(f"{self.name}: holds {short(value)}; expected a list of objects.")

    def _parquet(self, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        try:
            for batch in pq.ParquetFile(file).iter_batches(BATCH):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
        except (pa.ArrowException, OSError) as error:
            raise MirageError(f"{self.name}: not a readable Parquet file ({error}).") from error

    def _refuse(self, row: int, why: str) -> None:
        self.bad.append(BadRow(self.name, row, self.unit, why))


def _encoding(name: str) -> str:
    """The standard name of a text encoding. Raises MirageError if there is no such encoding."""
    try:
        found = codecs.lookup(name)
        "".encode(found.name)  # rejects codecs that are not for text, such as hex
    except (LookupError, ValueError) as error:
        raise MirageError(f"{name!r} is no encoding of text; expected e.g. utf-8, latin-1, utf-16.") from error
    return found.name


def _kind(name: str) -> str:
    name = name.lower().removesuffix(".gz")
    return next((kind for kind in KINDS if name.endswith(kind)), "")


def members(archive: Path) -> list[str]:
    """The tables in a zip. Raises MirageError if the zip cannot be read or would write outside its folder."""
    return [name for name in _entries(archive) if _is_table(name)]


def _is_table(name: str) -> bool:
    return bool(_kind(name)) and not Path(name).name.startswith(".") and "__MACOSX" not in name


def _entries(archive: Path) -> list[str]:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [one.filename for one in opened.infolist() if not one.is_dir()]
    except (OSError, zipfile.BadZipFile) as error:
        raise MirageError(f"{archive}: not a readable zip file ({error}).") from error
    if climbing := [one for one in names if not inside(one)]:
        raise MirageError(
            f"{archive}: entry {names.index(climbing[0]) + 1} is {climbing[0]!r}, which climbs out of its folder. "
            "Nothing was read; do not unpack it."
        )
    return names


def _member(archive: Path, name: str) -> str:
    """The one table in a zip, or the named file. Raises MirageError if there is none, or several to choose from."""
    names = _entries(archive)
    if name:
        if name not in names:
            raise MirageError(f"{archive}: holds no {name!r}; it holds {', '.join(names[:8]) or 'nothing'}.")
        return name
    tables = [one for one in names if _is_table(one)]
    if len(tables) != 1:
        raise MirageError(
            f"{archive}: holds {len(tables)} tables ({', '.join(tables[:8]) or 'none'}); expected one, or one for each "
            f"split. Name it: {archive}/NAME"
        )
    return tables[0]

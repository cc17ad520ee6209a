"""Rows of any table-like file: JSON lines, a JSON list, CSV, Parquet; plain, gzip, zstd or inside a zip archive."""

from __future__ import annotations

import codecs
import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, cast

import msgspec

from afs import jsonl, plugins
from afs.ingest.base import Reading, Unit
from afs.types import Json

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".json", ".json.gz", ".csv", ".tsv", ".parquet")
WHOLE_FILE = 1 << 30
"""A JSON list of more bytes than this is refused: it must be read whole."""
T = TypeVar("T")
_REPLACEMENT = "�"

_decode = msgspec.json.Decoder().decode


def rows(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    """(place, row) of every row; what cannot be read is told to `reading` and the rest goes on."""
    name = (unit.member or unit.path.name).lower()
    if unit.member == "?":
        reading.bad("", "not a zip archive, or a broken one")
    elif name.endswith(".parquet"):
        yield from _parquet_rows(unit, reading)
    elif name.endswith((".csv", ".tsv")):
        yield from _csv_rows(unit, reading, "\t" if name.endswith(".tsv") else ",")
    elif name.removesuffix(".gz").endswith(".json") and not _looks_like_lines(unit):
        yield from _list_rows(unit, reading)
    else:
        yield from objects(unit, reading)


def objects(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    """(place, object) of every line of a JSON-lines file."""
    for number, line in numbered_lines(unit, reading):
        try:
            value: object = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if (value := loads(line, f"L{number}", reading)) is None:
                continue
        if isinstance(value, dict):
            yield f"L{number}", value
        else:
            reading.bad(f"L{number}", f"a row must be an object, got {type(value).__name__}", line)


def shaped(unit: Unit, reading: Reading, type_: type[T]) -> Iterator[tuple[str, T, bytes]]:
    """(place, value, line) of every line whose object has the shape of `type_`; others are kept aside as unknown."""
    decode = msgspec.json.Decoder(type_).decode
    for number, line in numbered_lines(unit, reading):
        place = f"L{number}"
        try:
            yield place, decode(line), line
            continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = loads(line, place, reading)
        if isinstance(value, dict):
            try:
                made = msgspec.convert(value, type_)
            except msgspec.ValidationError:
                reading.unknown("shape", place, value)
            else:
                yield place, made, line
        elif value is not None:
            reading.bad(place, f"a row must be an object, got {type(value).__name__}", line)


def numbered_lines(unit: Unit, reading: Reading) -> Iterator[tuple[int, bytes]]:
    """Every line that is not empty, counted."""

    def on_bad(number: int, problem: str, line: bytes) -> None:
        reading.bad(f"L{number}", problem, line)

    count = number = 0
    try:
        for number, line in _member_lines(unit, on_bad) if unit.member else jsonl.read_lines(unit.path, on_bad):
            count += 1
            yield number, line.removeprefix(codecs.BOM_UTF8)
    except zlib.error as error:  # a damaged gzip stream can fail below the reader's own net
        on_bad(number + 1, f"cannot be read further ({error})", b"")
    finally:
        reading.counts["lines"] += count


def _member_lines(unit: Unit, on_bad: jsonl.OnBad) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with opened(unit) as source:
            for number, line in enumerate(source, 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        on_bad(number + 1, f"cannot be read further ({error})", b"")


@contextmanager
def opened(unit: Unit) -> Iterator[BinaryIO]:
    """The uncompressed bytes of a unit."""
    if not unit.member:
        with jsonl.open_bytes(unit.path) as source:
            yield source
        return
    with zipfile.ZipFile(unit.path) as archive, archive.open(unit.member) as member:
        yield cast(BinaryIO, member)


def loads(line: bytes, place: str, reading: Reading) -> object:
    """One JSON value; lone surrogates and stray bytes are repaired and counted, the rest is unreadable (None)."""
    try:
        return cast(object, _decode(line))
    except RecursionError:
        reading.bad(place, "nested too deeply", line)
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error)
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        reading.bad(place, problem, line)
        return None
    reading.counts["repaired:encoding"] += 1
    return mended(value)


def mended(value: object) -> object:
    """The value with lone surrogates replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {cast(str, mended(key)): mended(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mended(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _looks_like_lines(unit: Unit) -> bool:
    """Whether a `.json` file is really one object per line."""
    try:
        with opened(unit) as source:
            head = source.read(1 << 16)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False
    first, newline, rest = head.lstrip().partition(b"\n")
    if not first.startswith(b"{") or not newline or not rest.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(_decode(first), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def whole(unit: Unit, reading: Reading) -> object:
    """A file that is one JSON value; None and an entry in the account when it cannot be read."""
    try:
        with opened(unit) as source:
            content = source.read(WHOLE_FILE + 1)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reading.bad("", f"cannot be read ({error})")
        return None
    if len(content) > WHOLE_FILE:
        reading.bad("", f"a JSON file of more than {WHOLE_FILE >> 20} MiB; use JSON lines")
        return None
    reading.counts["lines"] += content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    return loads(content.removeprefix(codecs.BOM_UTF8), "", reading)


def _list_rows(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    value = whole(unit, reading)
    items = value if isinstance(value, list) else [] if value is None else [value]
    for number, item in enumerate(items):
        if isinstance(item, dict):
            yield f"[{number}]", item
        else:
            reading.bad(f"[{number}]", f"a row must be an object, got {type(item).__name__}", str(item))


def _csv_rows(unit: Unit, reading: Reading, delimiter: str) -> Iterator[tuple[str, Json]]:
    number = 1
    try:
        with opened(unit) as source:
            text = io.TextIOWrapper(source, "utf-8-sig", errors="replace", newline="")
            for row in csv.DictReader(text, delimiter=delimiter):
                number += 1
                reading.counts["lines"] += 1
                if None in row or None in row.values():
                    reading.bad(f"R{number}", "more or fewer cells than the head has", str(row))
                else:
                    yield f"R{number}", cast(Json, dict(row))
    except (csv.Error, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reading.bad(f"R{number + 1}", f"cannot be read further ({error})")


class _ParquetBatch(Protocol):
    def to_pylist(self) -> list[Json]: ...


class _ParquetFile(Protocol):
    def iter_batches(self, batch_size: int) -> Iterator[_ParquetBatch]: ...


def _parquet_rows(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    opener = cast(Callable[[Path | io.BytesIO], _ParquetFile], plugins.load("pyarrow.parquet:ParquetFile"))
    broken = cast(type[Exception], plugins.load("pyarrow:ArrowException"))
    number = 0
    try:
        with opened(unit) as source:
            table = opener(io.BytesIO(source.read()) if unit.member else unit.path)
            for batch in table.iter_batches(batch_size=512):
                for row in batch.to_pylist():
                    reading.counts["lines"] += 1
                    yield f"R{number}", row
                    number += 1
    except (broken, OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError) as error:
        reading.bad(f"R{number}", f"cannot be read further ({error})")

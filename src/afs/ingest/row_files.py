"""Rows of any table-like file: JSON lines, a JSON list, CSV, Parquet; plain, gzip, zstd or inside a zip archive."""

from __future__ import annotations

import codecs
import csv
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeVar, cast

import msgspec

from afs import jsonl
from afs.ingest import parquet_rows
from afs.ingest.base import Reading, Unit
from afs.ingest.duplicate_json_keys import find_doubled_key
from afs.types import Json

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".json", ".json.gz", ".csv", ".tsv", ".parquet")
WHOLE_FILE = 1 << 30
"""Largest JSON list in bytes: it must be read into memory as a whole."""
T = TypeVar("T")
_REPLACEMENT = "�"

_decode = msgspec.json.Decoder().decode


def read_rows(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    """(place, row) of every row; unreadable rows are reported to `reading` and skipped."""
    name = (unit.member or unit.path.name).lower()
    if unit.member == "?":
        reading.add_unreadable("", "not a zip archive, or a broken one")
    elif name.endswith(".parquet"):
        yield from parquet_rows.read_parquet(unit, reading, open_unit)
    elif name.endswith((".csv", ".tsv")):
        yield from _read_csv(unit, reading, "\t" if name.endswith(".tsv") else ",")
    elif name.removesuffix(".gz").endswith(".json") and not _looks_like_lines(unit):
        yield from _read_list(unit, reading)
    else:
        yield from read_objects(unit, reading)


def read_objects(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    """(place, object) of every line of a JSON-lines file."""
    for number, line in read_lines(unit, reading):
        try:
            value: object = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if (value := parse_line(line, f"L{number}", reading)) is None:
                continue
        if isinstance(value, dict):
            yield f"L{number}", value
        else:
            reading.add_unreadable(f"L{number}", f"a row must be an object, got {type(value).__name__}", line)


def read_typed(unit: Unit, reading: Reading, type_: type[T]) -> Iterator[tuple[str, T, bytes]]:
    """(place, value, line) of every line whose object has the shape of `type_`; others are kept as unknown."""
    decode = msgspec.json.Decoder(type_).decode
    for number, line in read_lines(unit, reading):
        place = f"L{number}"
        try:
            yield place, decode(line), line
            continue
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = parse_line(line, place, reading)
        if isinstance(value, dict):
            try:
                converted = msgspec.convert(value, type_)
            except msgspec.ValidationError:
                reading.add_unknown("shape", place, value)
            else:
                yield place, converted, line
        elif value is not None:
            reading.add_unreadable(place, f"a row must be an object, got {type(value).__name__}", line)


def read_lines(unit: Unit, reading: Reading) -> Iterator[tuple[int, bytes]]:
    """Every non-empty line, counted."""

    def on_bad(number: int, problem: str, line: bytes) -> None:
        reading.add_unreadable(f"L{number}", problem, line)

    count = number = 0
    try:
        for number, line in _read_member_lines(unit, on_bad) if unit.member else jsonl.read_lines(unit.path, on_bad):
            count += 1
            line = line.removeprefix(codecs.BOM_UTF8)
            if problem := find_doubled_key(line):
                on_bad(number, problem, line)
            else:
                yield number, line
    except zlib.error as error:  # a damaged gzip stream can fail in zlib itself
        on_bad(number + 1, f"reading stopped ({error})", b"")
    finally:
        reading.counts["lines"] += count


def _read_member_lines(unit: Unit, on_bad: jsonl.OnBad) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with open_unit(unit) as source:
            for number, line in enumerate(source, 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        on_bad(number + 1, f"reading stopped ({error})", b"")


@contextmanager
def open_unit(unit: Unit) -> Iterator[BinaryIO]:
    """The decompressed bytes of a unit."""
    if not unit.member:
        with jsonl.open_bytes(unit.path) as source:
            yield source
        return
    with zipfile.ZipFile(unit.path) as archive, archive.open(unit.member) as member:
        yield cast(BinaryIO, member)


def parse_line(line: bytes, place: str, reading: Reading) -> object:
    """One JSON value; lone surrogates and invalid bytes are repaired and counted; None when unreadable."""
    try:
        return cast(object, _decode(line))
    except RecursionError:
        reading.add_unreadable(place, "nested too deeply", line)
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error)
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        reading.add_unreadable(place, problem, line)
        return None
    reading.counts["repaired:encoding"] += 1
    return repair_text(value)


def repair_text(value: object) -> object:
    """The value with lone surrogates replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {cast(str, repair_text(key)): repair_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [repair_text(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _looks_like_lines(unit: Unit) -> bool:
    """Whether a `.json` file is really one object per line."""
    try:
        with open_unit(unit) as source:
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


def read_whole(unit: Unit, reading: Reading) -> object:
    """A file that is one JSON value; None, with an unreadable entry, when it cannot be read."""
    try:
        with open_unit(unit) as source:
            content = source.read(WHOLE_FILE + 1)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reading.add_unreadable("", f"cannot be read ({error})")
        return None
    if len(content) > WHOLE_FILE:
        reading.add_unreadable("", f"a JSON file of more than {WHOLE_FILE >> 20} MiB; use JSON lines")
        return None
    reading.counts["lines"] += content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
    content = content.removeprefix(codecs.BOM_UTF8)
    if problem := find_doubled_key(content):
        reading.add_unreadable("", problem, content)
        return None
    return parse_line(content, "", reading)


def _read_list(unit: Unit, reading: Reading) -> Iterator[tuple[str, Json]]:
    value = read_whole(unit, reading)
    items = value if isinstance(value, list) else [] if value is None else [value]
    for number, item in enumerate(items):
        if isinstance(item, dict):
            yield f"[{number}]", item
        else:
            reading.add_unreadable(f"[{number}]", f"a row must be an object, got {type(item).__name__}", str(item))


def _read_csv(unit: Unit, reading: Reading, delimiter: str) -> Iterator[tuple[str, Json]]:
    number = 1
    try:
        with open_unit(unit) as source:
            text = io.TextIOWrapper(source, "utf-8-sig", errors="replace", newline="")
            for row in csv.DictReader(text, delimiter=delimiter):
                number += 1
                reading.counts["lines"] += 1
                if None in row or None in row.values():
                    reading.add_unreadable(f"R{number}", "the number of cells differs from the header", str(row))
                else:
                    yield f"R{number}", cast(Json, dict(row))
    except (csv.Error, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reading.add_unreadable(f"R{number + 1}", f"reading stopped ({error})")

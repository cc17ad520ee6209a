"""Rows of a Parquet file in bounded memory: a megabyte of it can stand for gigabytes of repeated text."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from afs import plugins
from afs.ingest.base import Reading, Unit
from afs.types import Json

LEAST_LIMIT = 256 << 20
RATIO = 200
"""A file may expand to so many bytes, or so many times its size; text compresses ten to thirty times."""
_BATCH_BYTES = 64 << 20
_BATCH_ROWS = 512
_TEXT_TYPES = (
    "string",
    "large_string",
    "binary",
    "large_binary",
    "dictionary<values=string",
    "dictionary<values=binary",
)


class _Array(Protocol):
    dictionary: _Array


class _Column(Protocol):
    chunks: list[_Array]


class _Table(Protocol):
    columns: list[_Column]


class _RecordBatch(Protocol):
    def to_pylist(self) -> list[Json]: ...


class _Field(Protocol):
    name: str
    type: object


class _ParquetFile(Protocol):
    num_row_groups: int
    schema_arrow: list[_Field]

    def read_row_group(self, i: int, columns: list[str]) -> _Table: ...

    def iter_batches(self, batch_size: int, row_groups: list[int]) -> Iterator[_RecordBatch]: ...


class _Opener(Protocol):
    def __call__(self, source: Path | io.BytesIO, *, read_dictionary: list[str]) -> _ParquetFile: ...


class _Scalar(Protocol):
    def as_py(self) -> int | None: ...


def read_parquet(
    unit: Unit, reading: Reading, open_unit: Callable[[Unit], AbstractContextManager[BinaryIO]]
) -> Iterator[tuple[str, Json]]:
    """(place, row) of every row; a file that expands far beyond its size is a bomb, and reading stops."""
    broken = cast(type[Exception], plugins.load("pyarrow:ArrowException"))
    limit = max(LEAST_LIMIT, RATIO * unit.path.stat().st_size)
    number = expanded = 0
    try:
        with open_unit(unit) as source:
            content = io.BytesIO(source.read()) if unit.member else unit.path
            for row in _list_rows(content):
                expanded += sum([len(value) for value in row.values() if isinstance(value, str)])
                if expanded > limit:
                    reading.add_unreadable(
                        f"R{number}", f"expands to more than {limit >> 20} MiB; the rest is not read"
                    )
                    return
                reading.counts["lines"] += 1
                yield f"R{number}", row
                number += 1
    except (broken, OSError, EOFError, zlib.error, zipfile.BadZipFile, ValueError, MemoryError) as error:
        reading.add_unreadable(f"R{number}", f"reading stopped ({error})")


def _list_rows(content: Path | io.BytesIO) -> Iterator[Json]:
    opener = cast(_Opener, plugins.load("pyarrow.parquet:ParquetFile"))
    plain = opener(content, read_dictionary=[])
    texts = [field.name for field in plain.schema_arrow if str(field.type).startswith(_TEXT_TYPES)]
    encoded = opener(content, read_dictionary=texts)
    for group in range(plain.num_row_groups):
        longest = _longest_row(encoded.read_row_group(group, columns=texts)) if texts else 1
        size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, longest)))
        for batch in plain.iter_batches(batch_size=size, row_groups=[group]):
            yield from batch.to_pylist()


def _longest_row(table: _Table) -> int:
    """The most text that one row can have, from the distinct values of its columns."""
    length = cast(Callable[[_Array], _Array], plugins.load("pyarrow.compute:binary_length"))
    most = cast(Callable[[_Array], _Scalar], plugins.load("pyarrow.compute:max"))
    return sum(
        max([most(length(chunk.dictionary)).as_py() or 0 for chunk in column.chunks], default=0)
        for column in table.columns
    )

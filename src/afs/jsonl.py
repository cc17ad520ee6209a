"""Files of JSON lines (plain, gzip, zstd).

Reading names the bad line; appending first repairs a torn last line; replacing is done by `atomic_files`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar, overload

import msgspec
from backports import zstd

from afs.atomic_files import open_replacement as open_replacement
from afs.atomic_files import rename_folder as rename_folder
from afs.atomic_files import replace as replace
from afs.atomic_files import sync_folder as sync_folder
from afs.errors import DataError

T = TypeVar("T")
MAX_LINE = 256 * 1024 * 1024
"""A longer line is refused: it is not a record, and reading it whole would exhaust memory."""

_OLD_KEYS = ((b'"licence":', b'"license":'), (b'"licences":', b'"licenses":'))
"""Keys as versions before 0.1 wrote them. A quote inside a text is escaped, so only keys match."""

ZSTD_OPTIONS: Mapping[int, int] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
}
"""Level 3 is the fastest one at this ratio; the checksum finds damage that would decode into other content."""

OnBad = Callable[[int, str, bytes], None]
"""Called with line number, problem and the raw line for every line that cannot be read."""


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading its uncompressed bytes; the suffix says how it is compressed."""
    if path.suffix == ".zst":
        return io.BufferedReader(_Zstd(path), 1 << 20)
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb", buffering=1 << 20)


class _Zstd(io.RawIOBase):
    """Decompresses zstd frames in sequence; unlike the library's own reader it notices a truncated file."""

    def __init__(self, path: Path) -> None:
        self._source = path.open("rb")
        self._frame: zstd.ZstdDecompressor | None = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            packed = self._source.read(1 << 17)
            if not packed:
                if self._frame is not None:
                    raise EOFError("the file ends in the middle of a zstd frame")
                return 0
            self._ready = memoryview(self._unpack(packed))
        target = memoryview(buffer)
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _unpack(self, packed: bytes) -> bytes:
        parts = []
        while packed:
            frame = self._frame or zstd.ZstdDecompressor()
            parts.append(frame.decompress(packed))
            self._frame, packed = (None, frame.unused_data) if frame.eof else (frame, b"")
        return b"".join(parts)

    def close(self) -> None:
        self._source.close()
        super().close()


def read_lines(path: Path, on_bad: OnBad | None = None) -> Iterator[tuple[int, bytes]]:
    """(number, line) of every non-empty line; a truncated compressed file is a DataError, or is passed to `on_bad`."""
    number = 0
    try:
        with open_bytes(path) as source:
            while line := source.readline(MAX_LINE):
                number += 1
                if len(line) >= MAX_LINE and not line.endswith(b"\n"):
                    _bad(path, number, f"line longer than {MAX_LINE >> 20} MiB", b"", on_bad)
                    _skip_line(source)
                    continue
                line = line.strip()
                if line:
                    yield number, line
    except (zstd.ZstdError, EOFError, gzip.BadGzipFile, OSError) as error:
        _bad(path, number + 1, f"cannot be read further ({str(error) or type(error).__name__})", b"", on_bad)


def _skip_line(source: BinaryIO) -> None:
    while (rest := source.readline(MAX_LINE)) and not rest.endswith(b"\n"):
        pass


def _bad(path: Path, number: int, problem: str, line: bytes, on_bad: OnBad | None) -> None:
    if on_bad is None:
        raise DataError(f"{path}:{number}: {problem}")
    on_bad(number, problem, line)


@overload
def read(path: Path, type_: type[T], on_bad: OnBad | None = None) -> Iterator[T]: ...
@overload
def read(path: Path, type_: None = None, on_bad: OnBad | None = None) -> Iterator[object]: ...


def read(path: Path, type_: type[T] | None = None, on_bad: OnBad | None = None) -> Iterator[T] | Iterator[object]:
    """Decode and validate every line; without `on_bad` the first bad one is a DataError with its place."""
    decode = decoder(type_) if type_ is not None else msgspec.json.Decoder().decode
    for number, line in read_lines(path, on_bad):
        try:
            yield decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _bad(path, number, str(error), line, on_bad)


def decoder(type_: type[T]) -> Callable[[bytes], T]:
    """A decoder that validates stored JSON and accepts the key spelling of older versions."""
    decode = msgspec.json.Decoder(type_).decode

    def decode_any(data: bytes) -> T:
        try:
            return decode(data)
        except msgspec.ValidationError:
            renewed = data
            for old, new in _OLD_KEYS:
                renewed = renewed.replace(old, new)
            if renewed == data:
                raise
            return decode(renewed)

    return decode_any


def loads_strict(line: bytes) -> object:
    """Decode JSON, refusing duplicate keys: one of the two values would be lost."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise DataError(f"key {twice!r} appears twice in one object")
        return found

    def number(text: str) -> NoReturn:
        raise DataError(f"{text} is not JSON")

    try:
        return json.loads(line, object_pairs_hook=unique, parse_constant=number)
    except RecursionError as error:
        raise DataError("nested too deeply") from error
    except ValueError as error:
        raise DataError(str(error)) from error


def new_compressor() -> zstd.ZstdCompressor:
    """A zstd compressor with checksums."""
    return zstd.ZstdCompressor(options=ZSTD_OPTIONS)


def compress(content: bytes) -> bytes:
    """Content as one zstd frame with a checksum."""
    return zstd.compress(content, options=ZSTD_OPTIONS)


def append(path: Path, values: Iterable[object]) -> None:
    """Append values durably; a torn last line left by a crash is cut off first."""
    with path.open("a+b") as target:
        _cut_torn_line(target)
        target.write(b"".join(msgspec.json.encode(value) + b"\n" for value in values))
        target.flush()
        os.fsync(target.fileno())


def _cut_torn_line(target: BinaryIO) -> None:
    end = target.seek(0, os.SEEK_END)
    if end == 0:
        return
    target.seek(end - 1)
    if target.read(1) == b"\n":
        return
    step = 1 << 16
    while end > 0:
        start = max(0, end - step)
        target.seek(start)
        newline = target.read(end - start).rfind(b"\n")
        if newline >= 0:
            target.truncate(start + newline + 1)
            return
        end = start
    target.truncate(0)


def write(path: Path, values: Iterable[object]) -> None:
    """Replace a file with these values, one per line."""
    with open_replacement(path) as target:
        for value in values:
            target.write(msgspec.json.encode(value) + b"\n")

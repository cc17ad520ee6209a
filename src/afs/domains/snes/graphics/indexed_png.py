"""PNG files with a palette: color numbers in, color numbers out; nothing else of the format."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from afs.domains.snes.graphics.colors import Color
from afs.errors import DataError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MOST: Final = 1 << 26
"""Pixels; a larger picture is no sheet of tiles."""


class Picture(NamedTuple):
    """A picture of color numbers."""

    width: int
    height: int
    pixels: bytes
    palette: list[Color]


def write_png(picture: Picture) -> bytes:
    """The picture as a PNG of 8 bits a pixel."""
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 3, 0, 0, 0)
    starts = range(0, len(picture.pixels), picture.width)
    rows = b"".join(b"\0" + picture.pixels[at : at + picture.width] for at in starts)
    palette = b"".join(bytes(color) for color in picture.palette[:256])
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def read_png(data: bytes) -> Picture:
    """A PNG with a palette, of 1, 2, 4 or 8 bits a pixel, not interlaced."""
    chunks = list(_read_chunks(data))
    header = next((body for kind, body in chunks if kind == b"IHDR"), b"")
    if len(header) != 13:
        raise DataError("damaged PNG: no readable header")
    width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if kind != 3 or depth not in (1, 2, 4, 8) or interlace:
        raise DataError("want an indexed PNG (with a palette, not interlaced): tiles hold color numbers, not colors")
    if not 0 < width * height <= _MOST:
        raise DataError(f"{width} × {height} pixels: too many for a sheet of tiles")
    stride = (width * depth + 7) // 8
    try:
        raw = zlib.decompressobj().decompress(b"".join(b for k, b in chunks if k == b"IDAT"), (stride + 1) * height)
    except zlib.error as error:
        raise DataError(f"damaged PNG: {error}") from error
    if len(raw) < (stride + 1) * height:
        raise DataError("damaged PNG: it ends early")
    rows = _unfilter(raw, stride, height)
    colors = next((body for name, body in chunks if name == b"PLTE"), b"")
    palette = [(colors[at], colors[at + 1], colors[at + 2]) for at in range(0, len(colors) - 2, 3)]
    return Picture(width, height, b"".join(_unpack(row, width, depth) for row in rows), palette)


def _read_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(_SIGNATURE):
        raise DataError("not a PNG")
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        if data[at + 8 + length : at + 12 + length] != struct.pack(">I", zlib.crc32(kind + body)):
            raise DataError(f"damaged PNG: the checksum of the chunk {kind.decode('latin-1')} is wrong")
        yield kind, body
        at += 12 + length


def _unfilter(raw: bytes, stride: int, height: int) -> Iterator[bytes]:
    """Rows without their filters; with a palette a filter's unit is one byte."""
    above = bytearray(stride)
    for row in range(height):
        kind, line = raw[row * (stride + 1)], bytearray(raw[row * (stride + 1) + 1 : (row + 1) * (stride + 1)])
        if kind > 4:
            raise DataError(f"damaged PNG: row {row} has the filter {kind}")
        left = corner = 0
        for x in range(stride):
            up = above[x]
            line[x] = left = (line[x] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 0xFF
            corner = up
        above = line
        yield bytes(line)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def _unpack(row: bytes, width: int, depth: int) -> bytes:
    if depth == 8:
        return row[:width]
    per_byte, mask = 8 // depth, (1 << depth) - 1
    return bytes(row[x // per_byte] >> (8 - depth * (x % per_byte + 1)) & mask for x in range(width))


def fit_palette(palette: Sequence[Color], pixels: bytes) -> list[Color]:
    """The palette, long enough for every color number."""
    wanted = max(pixels, default=0) + 1
    return [*palette, *([(255, 0, 255)] * (wanted - len(palette)))]

"""A histogram as a small PNG picture, with its numbers; no library draws it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

WIDTH, HEIGHT = 960, 240
_GAP, _FOOT, _HEAD, _DOT = 4, 20, 20, 2
_INK, _PAPER, _TEXT = b"\x2f\x6f\xb0", b"\xff\xff\xff", b"\x40\x46\x50"
_ROWS = {
    "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 7, 1, 7), "4": (5, 5, 7, 1, 1),
    "5": (7, 4, 7, 1, 7), "6": (7, 4, 7, 5, 7), "7": (7, 1, 1, 2, 2), "8": (7, 5, 7, 5, 7), "9": (7, 5, 7, 1, 7),
    "K": (5, 6, 4, 6, 5), "M": (5, 7, 7, 5, 5), ".": (0, 0, 0, 0, 2), "+": (0, 2, 7, 2, 0),
}  # fmt: skip
"""Three dots wide, five high."""


def histogram(values: Sequence[int], labels: Sequence[str]) -> bytes:
    """A bar per value, its count above and its label below."""
    canvas = [[_PAPER] * WIDTH for _ in range(HEIGHT)]
    wide = WIDTH // max(1, len(values))
    top, floor = max([*values, 1]), HEIGHT - _FOOT
    for number, (value, label) in enumerate(zip(values, labels, strict=True)):
        left = number * wide
        high = round(value / top * (floor - _HEAD))
        for y in range(floor - max(high, value > 0), floor):
            canvas[y][left + _GAP : left + wide] = [_INK] * (wide - _GAP)
        _write(canvas, label, left + wide // 2, floor + 6)
        if value:
            _write(canvas, short(value), left + wide // 2, floor - high - 14)
    for x in range(WIDTH):
        canvas[floor][x] = _TEXT
    return _png(canvas)


def short(number: int) -> str:
    """A count in at most four signs."""
    for size, sign in ((1_000_000, "M"), (1_000, "K")):
        if number >= size:
            return f"{number / size:.1f}{sign}" if number < 10 * size else f"{number // size}{sign}"
    return str(number)


def _write(canvas: list[list[bytes]], text: str, middle: int, top: int) -> None:
    left = middle - len(text) * 4 * _DOT // 2
    for place, sign in enumerate(text):
        for row, bits in enumerate(_ROWS.get(sign, ())):
            for column in range(3):
                if bits >> (2 - column) & 1:
                    x, y = left + (place * 4 + column) * _DOT, top + row * _DOT
                    for dy in range(_DOT):
                        canvas[y + dy][x : x + _DOT] = [_TEXT] * _DOT


def _png(canvas: list[list[bytes]]) -> bytes:
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + b"".join(row) for row in canvas), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

"""Colors of the PPU: 15 bits, five each, blue highest, stored low byte first."""

from __future__ import annotations

from collections.abc import Sequence

from afs.errors import DataError

Color = tuple[int, int, int]
"""Red, green, blue, 0–255."""


def decode_color(word: int) -> Color:
    """A color word; five bits become eight by repeating the highest, so that white is 255."""
    return tuple((part << 3 | part >> 2) for part in (word & 31, word >> 5 & 31, word >> 10 & 31))  # type: ignore[return-value]


def encode_color(color: Color) -> int:
    """The nearest color word."""
    red, green, blue = ((part * 31 + 127) // 255 for part in color)
    return red | green << 5 | blue << 10


def decode_palette(data: bytes) -> list[Color]:
    """The colors of a palette as it lies in CGRAM or a ROM."""
    if len(data) % 2 or not data:
        raise DataError(f"{len(data)} bytes are no palette: two bytes a color")
    return [decode_color(int.from_bytes(data[at : at + 2], "little")) for at in range(0, len(data), 2)]


def encode_palette(colors: Sequence[Color]) -> bytes:
    """Colors as CGRAM stores them."""
    return b"".join(encode_color(color).to_bytes(2, "little") for color in colors)


def gray_palette(bits: int) -> list[Color]:
    """Evenly spaced grays, for graphics shown without a palette of their own."""
    last = (1 << bits) - 1
    return [(level, level, level) for level in (number * 255 // last for number in range(last + 1))]

"""Tiles of 8 × 8 pixels as the PPU stores them, in 1, 2, 3, 4 and 8 bits per pixel and in Mode 7's order.

Bit planes lie in pairs, row by row: two bytes of planes 0 and 1, eight times, then planes 2 and 3 (NES-like pairs
interleaved). 3 bpp is a pair and a single plane, as A Link to the Past keeps its graphics. 1 bpp is one byte a row.
Mode 7 keeps a byte per pixel, unplanar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from afs.errors import DataError

Form = Literal["1bpp", "2bpp", "3bpp", "4bpp", "8bpp", "mode7"]
FORMS: Final[dict[Form, int]] = {"1bpp": 1, "2bpp": 2, "3bpp": 3, "4bpp": 4, "8bpp": 8, "mode7": 8}
"""Name -> bits per pixel."""
SIDE: Final = 8
PIXELS: Final = SIDE * SIDE
Tile = bytes
"""64 color numbers, row by row."""


def tile_size(form: Form) -> int:
    """Bytes of one tile."""
    return SIDE * FORMS[form]


def decode_tiles(data: bytes, form: Form) -> list[Tile]:
    """The tiles in a piece of graphics."""
    size = tile_size(form)
    if len(data) % size:
        raise DataError(f"{len(data)} bytes are not a whole number of {form} tiles ({size} bytes each)")
    return [_decode(data[at : at + size], form) for at in range(0, len(data), size)]


def encode_tiles(tiles: Sequence[Tile], form: Form) -> bytes:
    """Tiles as the PPU stores them; a color number beyond the format is an error."""
    return b"".join(_encode(tile, form, number) for number, tile in enumerate(tiles))


def _plane_places(bits: int) -> list[tuple[int, int]]:
    """(first byte, step between rows) of each plane."""
    places = []
    for plane in range(bits):
        pair, second = divmod(plane, 2)
        is_single = plane == bits - 1 and not second
        places.append((pair * 16 + second, 1 if is_single else 2))
    return places


def _decode(data: bytes, form: Form) -> Tile:
    if form == "mode7":
        return data
    pixels = bytearray(PIXELS)
    for plane, (first, step) in enumerate(_plane_places(FORMS[form])):
        for row in range(SIDE):
            byte = data[first + row * step]
            for column in range(SIDE):
                pixels[row * SIDE + column] |= (byte >> (7 - column) & 1) << plane
    return bytes(pixels)


def _encode(tile: Tile, form: Form, number: int) -> bytes:
    bits = FORMS[form]
    if len(tile) != PIXELS:
        raise DataError(f"tile {number}: {len(tile)} pixels, want {PIXELS}")
    if max(tile) >> bits:
        raise DataError(f"tile {number}: color {max(tile)} does not fit {form} (at most {(1 << bits) - 1})")
    if form == "mode7":
        return tile
    out = bytearray(tile_size(form))
    for plane, (first, step) in enumerate(_plane_places(bits)):
        for row in range(SIDE):
            line = tile[row * SIDE : (row + 1) * SIDE]
            out[first + row * step] = sum((color >> plane & 1) << (7 - column) for column, color in enumerate(line))
    return bytes(out)


def arrange(tiles: Sequence[Tile], columns: int, unit: int = 1) -> tuple[int, int, bytes]:
    """(width, height, color numbers) of a sheet; `unit` tiles a side lie together, as 16 × 16 and 32 × 32 blocks do.

    Blocks read left to right, top to bottom, and so do the tiles inside a block.
    """
    if columns < 1 or unit < 1 or columns % unit:
        raise DataError(f"{columns} columns are not a whole number of blocks of {unit} tiles")
    places = list(list_places(len(tiles), columns, unit))
    rows = max((y for _, y in places), default=-1) + 1
    rows += -rows % unit
    width = columns * SIDE
    sheet = bytearray(width * rows * SIDE)
    for tile, (x, y) in zip(tiles, places, strict=True):
        for row in range(SIDE):
            at = (y * SIDE + row) * width + x * SIDE
            sheet[at : at + SIDE] = tile[row * SIDE : (row + 1) * SIDE]
    return width, rows * SIDE, bytes(sheet)


def cut(width: int, height: int, sheet: bytes, unit: int = 1) -> list[Tile]:
    """The tiles of a sheet, in the order that `arrange` lays them."""
    if width % SIDE or height % SIDE:
        raise DataError(f"{width} × {height} pixels are not a whole number of {SIDE} × {SIDE} tiles")
    columns, rows = width // SIDE, height // SIDE
    if columns % unit or rows % unit:
        raise DataError(f"{columns} × {rows} tiles are not a whole number of {unit} × {unit} blocks")
    tiles = []
    for x, y in list_places(columns * rows, columns, unit):
        starts = ((y * SIDE + row) * width + x * SIDE for row in range(SIDE))
        tiles.append(b"".join(sheet[at : at + SIDE] for at in starts))
    return tiles


def list_places(count: int, columns: int, unit: int) -> list[tuple[int, int]]:
    """Column and row of each tile."""
    per_block, blocks = unit * unit, columns // unit
    found = []
    for number in range(count):
        block, inside = divmod(number, per_block)
        found.append((block % blocks * unit + inside % unit, block // blocks * unit + inside // unit))
    return found

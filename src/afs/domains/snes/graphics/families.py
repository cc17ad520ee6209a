"""Families of tasks on graphics and compression: both directions, judged byte by byte.

The bytes of an answer are compared with those of `db` in the spec, as those of machine code are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

from afs.domains.snes.graphics import lz2, tiles
from afs.domains.snes.rom import pc_to_snes, snes_to_pc
from afs.domains.snes.task_specs import BytesSpec
from afs.domains.snes.tasks.task_builder import make_task
from afs.types import Task

_ANSWER: Final = "Answer with two-digit hex bytes separated by spaces, on one line."


def _hex(data: bytes) -> str:
    return data.hex(" ").upper()


def _build(family: str, prompt: str, data: bytes) -> Task:
    code = "db " + ",".join(f"${byte:02X}" for byte in data)
    return make_task(f"graphics/{family}", f"{prompt}\n\n{_ANSWER}", _hex(data), BytesSpec(code=code), about=code)


def _draw_tile(rng: random.Random, bits: int) -> bytes:
    """Rows of few colors, some of them repeated: what tiles look like."""
    inks = rng.sample(range(1 << bits), min(3, 1 << bits))
    rows = [[rng.choice(inks) for _ in range(tiles.SIDE)] for _ in range(rng.randint(2, 8))]
    return bytes(color for row in range(tiles.SIDE) for color in rows[row % len(rows)])


def _show(tile: bytes) -> str:
    return "\n".join("".join(f"{color:X}" for color in tile[at : at + 8]) for at in range(0, 64, 8))


def _tile(form: tiles.Form) -> Callable[[random.Random], Task | None]:
    def make(rng: random.Random) -> Task | None:
        tile = _draw_tile(rng, tiles.FORMS[form])
        ask = rng.choice(
            (
                f"Encode this 8x8 tile as SNES {form} graphics. Each digit is a pixel's color number.",
                f"Which bytes store this 8x8 tile in the SNES {form} format? A digit is a color number.",
            )
        )
        return _build(f"tile-{form}", f"{ask}\n\n{_show(tile)}", tiles.encode_tiles([tile], form))

    return make


def _pixels(form: tiles.Form) -> Callable[[random.Random], Task | None]:
    def make(rng: random.Random) -> Task | None:
        tile = _draw_tile(rng, tiles.FORMS[form])
        row = rng.randrange(8)
        data = _hex(tiles.encode_tiles([tile], form))
        prompt = (
            f"These bytes are one 8x8 tile in the SNES {form} format:\n\n{data}\n\n"
            f"Give the color numbers of the eight pixels in row {row} (the top row is 0), left to right, a byte each."
        )
        return _build(f"row-{form}", prompt, tile[row * 8 : row * 8 + 8])

    return make


def _color(rng: random.Random) -> Task | None:
    parts = tuple(rng.randrange(32) for _ in range(3))
    red, green, blue = parts
    word = red | green << 5 | blue << 10
    prompt = rng.choice(
        (
            f"A SNES color has red {red}, green {green} and blue {blue}, each of 0-31. Which two bytes go to"
            " CGRAM, in the order in which they are written?",
            f"Encode the color red={red}, green={green}, blue={blue} (5 bits each) as the SNES stores it, low byte"
            " first.",
        )
    )
    return _build("color", prompt, word.to_bytes(2, "little"))


def _parts(rng: random.Random) -> Task | None:
    word = rng.randrange(0x8000)
    prompt = f"A CGRAM entry holds ${word:04X}. Give its red, green and blue (0-31 each), one byte each, in this order."
    return _build("color-parts", prompt, bytes((word & 31, word >> 5 & 31, word >> 10 & 31)))


_RULES: Final = (
    "LC_LZ2: a chunk begins with %CCCLLLLL, command and length - 1; $FF ends the stream. 0 copies the bytes that"
    " follow, 1 fills with one byte, 2 fills with two bytes in turn, 3 counts up from a byte, 4 copies earlier"
    " output from the 16-bit address that follows, {order} byte first, byte by byte."
)


def _draw_data(rng: random.Random) -> bytes:
    """A few runs of each kind, one of them copied later."""
    parts: list[bytes] = []
    for _ in range(rng.randint(2, 3)):
        first, length = rng.randrange(256), rng.randint(3, 9)
        kind = rng.randrange(4)
        if kind == 0:
            parts.append(rng.randbytes(rng.randint(1, 4)))
        elif kind == 1:
            parts.append(bytes([first]) * length)
        elif kind == 2:
            parts.append((bytes([first, rng.randrange(256)]) * length)[:length])
        else:
            parts.append(bytes((first + n) & 0xFF for n in range(length)))
    if rng.random() < 0.5:
        parts.append(parts[0] + parts[0][:2])
    return b"".join(parts)


def _decompress(order: lz2.Order) -> Callable[[random.Random], Task | None]:
    def make(rng: random.Random) -> Task | None:
        data = _draw_data(rng)
        word = "high" if order == "big" else "low"
        prompt = f"{_RULES.format(order=word)}\n\nDecompress:\n\n{_hex(lz2.compress(data, order))}"
        return _build(f"decompress-{order}", prompt, data)

    return make


def _bank(rng: random.Random) -> Task | None:
    mapper = rng.choice(("lorom", "hirom"))
    pc = rng.randrange(0, 0x200000)
    address = pc_to_snes(pc, mapper)
    if address is None or snes_to_pc(address, mapper) != pc:
        return None
    prompt = (
        f"A byte lies at offset 0x{pc:06X} of a headerless {'LoROM' if mapper == 'lorom' else 'HiROM'} file."
        f" At which 24-bit address does the CPU see it? Use the mirror in bank ${address >> 16:02X}. Bank first,"
        " then the high and the low byte."
    )
    return _build("address", prompt, address.to_bytes(3, "big"))


def _free(rng: random.Random) -> Task | None:
    """First fit: where does a block of so many bytes go?"""
    rows = []
    at = 0x8000
    for _ in range(rng.randint(3, 5)):
        at += rng.randrange(0x40, 0x600)
        size = rng.randrange(0x10, 0x200)
        rows.append((at, size))
        at += size
    wanted = rng.choice([size for _, size in rows]) - rng.randrange(0, 8)
    fits = next((start for start, size in rows if size >= wanted), None)
    if fits is None or wanted < 1:
        return None
    bank = rng.randrange(0x80, 0xC0)
    table = "\n".join(f"${bank:02X}:{start:04X}  {size} bytes" for start, size in rows)
    prompt = (
        f"Free space in a LoROM bank:\n\n{table}\n\nA block of {wanted} bytes goes to the first gap that holds it. At"
        " which address does it begin? Bank first, then the high and the low byte."
    )
    return _build("allocate", prompt, bytes((bank, fits >> 8, fits & 0xFF)))


_FIELDS: Final = (
    "health", "rupees", "bombs", "keys", "arrows", "player name", "play time", "map marks", "items", "room flags"
)  # fmt: skip
"""What a save slot may hold."""


def _save_map(rng: random.Random) -> Task | None:
    """Where a field of a save slot lies in SRAM."""
    fields = [(name, rng.choice((1, 1, 2, 2, 4, 6, 32, 80))) for name in rng.sample(_FIELDS, rng.randint(4, 6))]
    wanted = rng.randrange(1, len(fields))
    used = sum(size for _, size in fields)
    stride = rng.choice([size for size in (0x40, 0x80, 0x100, 0x200, 0x500) if size >= used])
    base, slot, bank = rng.randrange(0, 0x400, 0x10), rng.randint(1, 4), rng.randrange(0x70, 0x74)
    address = base + stride * (slot - 1) + sum(size for _, size in fields[:wanted])
    table = "\n".join(f"{name}: {size} byte{'s' * (size > 1)}" for name, size in fields)
    prompt = (
        f"A LoROM cartridge keeps its save slots in SRAM from ${bank:02X}:{base:04X}, ${stride:X} bytes apart. A slot"
        f" holds, in this order and without gaps:\n\n{table}\n\nAt which address does '{fields[wanted][0]}' of slot"
        f" {slot} begin, the first slot being 1? Bank first, then the high and the low byte."
    )
    return _build("save-map", prompt, bytes((bank, address >> 8, address & 0xFF)))


FAMILIES: Final[Mapping[str, Callable[[random.Random], Task | None]]] = {
    **{f"tile-{form}": _tile(form) for form in ("1bpp", "2bpp", "3bpp", "4bpp")},
    **{f"row-{form}": _pixels(form) for form in ("2bpp", "3bpp", "4bpp", "8bpp")},
    "color": _color,
    "color-parts": _parts,
    "decompress-big": _decompress("big"),
    "decompress-little": _decompress("little"),
    "address": _bank,
    "allocate": _free,
    "save-map": _save_map,
}
"""Every family of the kind `graphics`."""

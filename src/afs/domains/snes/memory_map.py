"""The SNES memory map: which byte of which memory an address names. No behavior of registers, no instructions.

All writable memory lies in one *arena* of bytes, the same in both CPU cores, so that a place is one number:

    $00000 WRAM 128 KB   $20000 SRAM 128 KB   $40000 VRAM 64 KB   $50000 CGRAM 512   $50200 OAM 544
    $52000 registers $2000-$5FFF

A map is 2,048 pages of 8 KB; a page is `kind << 28 | offset`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

from afs.domains.snes.rom import MAPPERS, snes_to_pc
from afs.errors import UsageError

OPEN: Final = 0
RAM: Final = 1
ROM: Final = 2
IO: Final = 3

WRAM: Final = 0x00000
SRAM: Final = 0x20000
VRAM: Final = 0x40000
CGRAM: Final = 0x50000
OAM: Final = 0x50200
PORTS: Final = 0x50000
"""Registers lie at PORTS + address ($2000-$5FFF)."""
ARENA: Final = 0x56000
VIDEO: Final = 0x1000000
"""Video memory has no CPU address: VIDEO + its offset in the arena stands for one."""
FLAT: Final = 0x1000000
"""Size of the arena of the `flat` map: 16 MB of RAM, as the public vectors want it."""

_MASK: Final = (1 << 64) - 1
PAGE: Final = 0x2000
PAGES: Final = 2048


def access_clocks(address: int, fast_rom: bool) -> int:
    """Master clocks of one access: 6, 8 or 12 by region."""
    if address & 0x408000:
        return 6 if address & 0x800000 and fast_rom else 8
    if (address + 0x6000) & 0x4000:
        return 8
    return 6 if (address - 0x4000) & 0x7E00 else 12


def mirrored(offset: int, size: int) -> int:
    """Where an offset lands in a ROM of any size (sizes that are no power of two mirror their last part)."""
    base, mask = 0, 1 << 23
    while offset >= size > 0:
        while not offset & mask:
            mask >>= 1
        offset -= mask
        if size > mask:
            size -= mask
            base += mask
        mask >>= 1
    return base + offset if size > 0 else 0


def _sram_offset(bank: int, low: int, mapper: str) -> int | None:
    if mapper in ("lorom", "exlorom") and (0x70 <= bank <= 0x7D or bank >= 0xF0) and low < 0x8000:
        return (bank & 0x0F) << 15 | low
    if mapper in ("hirom", "exhirom") and bank & 0x7F in range(0x20, 0x40) and 0x6000 <= low < 0x8000:
        return (bank & 0x1F) << 13 | low & 0x1FFF
    return None


def _page(address: int, mapper: str, rom_size: int, sram_size: int) -> int:
    bank, low = address >> 16, address & 0xFFFF
    if mapper == "flat":
        return RAM << 28 | address
    if bank in (0x7E, 0x7F):
        return RAM << 28 | WRAM + (address & 0x1FFFF)
    if not bank & 0x40 and low < 0x2000:
        return RAM << 28 | WRAM + low
    if not bank & 0x40 and low < 0x6000:
        return IO << 28 | PORTS + low
    sram = _sram_offset(bank, low, mapper)
    if sram is not None and sram_size:
        return RAM << 28 | SRAM + sram % sram_size
    rom = snes_to_pc(address, mapper)
    if rom is None or not rom_size:
        return OPEN << 28
    return ROM << 28 | mirrored(rom, rom_size)


@cache
def page_table(mapper: str, rom_size: int, sram_size: int) -> tuple[int, ...]:
    """The 2,048 pages of a map; sizes are multiples of a page."""
    if mapper not in (*MAPPERS, "flat"):
        raise UsageError(f"mapper: {mapper!r} is none of {', '.join((*MAPPERS, 'flat'))}")
    return tuple(_page(page * PAGE, mapper, rom_size, sram_size) for page in range(PAGES))


@cache
def noise() -> bytes:
    """What undeclared memory holds: fixed bytes without pattern, the same everywhere."""
    return hashlib.shake_128(b"afs: uninitialized").digest(ARENA)


def mix(value: int) -> int:
    """The finalizer of SplitMix64."""
    value &= _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31


def fill_byte(fill: int, offset: int) -> int:
    """What a byte that nothing defined holds: half of the words are the low word of `fill`, half are noise."""
    place = offset + (fill >> 16 & 1)
    shift = (place & 1) * 8
    bits = mix((fill >> 32) + (place >> 1) + 1)
    return (fill >> shift if bits & 1 else bits >> 16 + shift) & 0xFF


def address_of(offset: int, mapper: str = "lorom") -> int:
    """The one address by which a byte of the arena goes: $7E0000 on for WRAM, VIDEO on for video memory."""
    if mapper == "flat":
        return offset
    if offset < SRAM:
        return 0x7E0000 + offset
    if offset < VRAM:
        inner = offset - SRAM
        if mapper in ("hirom", "exhirom"):
            return 0x306000 + (inner >> 13 << 16) + (inner & 0x1FFF)
        return 0x700000 + (inner >> 15 << 16) + (inner & 0x7FFF)
    return offset - PORTS if offset >= PORTS + 0x2000 else VIDEO + offset


def name_of(address: int) -> str:
    """An address as a person writes it: `$7E0010`, `VRAM $1234`, `$2100`."""
    for base, name in ((OAM, "OAM"), (CGRAM, "CGRAM"), (VRAM, "VRAM")):
        if address >= VIDEO + base:
            return f"{name} ${address - VIDEO - base:04X}"
    return f"${address:06X}" if address > 0xFFFF else f"${address:04X}"


def locate(address: int, mapper: str, rom_size: int, sram_size: int) -> int | None:
    """Arena offset of a CPU address; None for ROM and open bus."""
    if address >= VIDEO:
        return address - VIDEO if VRAM <= address - VIDEO < OAM + 544 else None
    page = page_table(mapper, rom_size, sram_size)[address >> 13 & 0x7FF]
    return (page & 0xFFFFFFF) + (address & 0x1FFF) if page >> 28 in (RAM, IO) else None

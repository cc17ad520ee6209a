"""Address mapping, header, checksum, copier header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afs.domains.snes.rom import (
    MAPPERS,
    checksum,
    detect_mapper,
    fix_checksum,
    header_offset,
    pc_to_snes,
    read_header,
    snes_to_pc,
    strip_copier_header,
)
from afs.errors import DataError


@given(st.integers(0, 0xFFFFFF))
def test_an_offset_comes_back(pc):
    for mapper in MAPPERS:
        address = pc_to_snes(pc, mapper)
        assert address is None or snes_to_pc(address, mapper) == pc


@pytest.mark.parametrize(
    ("mapper", "address", "pc"),
    [
        ("lorom", 0x008000, 0), ("lorom", 0x80FFFF, 0x7FFF), ("lorom", 0xFF8000, 0x3F8000), ("lorom", 0x7E8000, None),
        ("lorom", 0x700000, None), ("lorom", 0x708000, 0x380000), ("lorom", 0x002100, None), ("lorom", 0x400000, 0x200000),
        ("hirom", 0xC00000, 0), ("hirom", 0x008000, 0x8000), ("hirom", 0x400000, 0), ("hirom", 0x002100, None),
        ("exlorom", 0x808000, 0), ("exlorom", 0x008000, 0x400000), ("exhirom", 0xC00000, 0), ("exhirom", 0x400000, 0x400000),
        ("sa1rom", 0x008000, 0), ("sa1rom", 0x208000, 0x100000), ("sa1rom", 0x808000, 0x200000), ("sa1rom", 0xA08000, 0x300000),
        ("sa1rom", 0xC00000, 0), ("sa1rom", 0xE00000, 0x200000), ("sa1rom", 0x400000, None),
        ("fullsa1rom", 0xC00000, 0x400000), ("fullsa1rom", 0x808000, 0x200000),
        ("sfxrom", 0x008000, 0), ("sfxrom", 0x400000, 0), ("sfxrom", 0x808000, None), ("norom", 0x123456, 0x123456),
        ("lorom", -1, None), ("lorom", 0x1000000, None),
    ],
)  # fmt: skip
def test_known_addresses(mapper, address, pc):
    assert snes_to_pc(address, mapper) == pc


def _rom(size: int = 0x80000, mapper: str = "lorom", title: bytes = b"TEST ROM") -> bytearray:
    rom = bytearray(size)
    at = header_offset(mapper)
    rom[at : at + 21] = title.ljust(21)
    rom[at + 0x15 : at + 0x1A] = bytes((0x20 if mapper == "lorom" else 0x21, 2, 9, 3, 1))
    fix_checksum(rom, mapper)
    return rom


@pytest.mark.parametrize("mapper", ["lorom", "hirom"])
def test_header_is_found_and_read(mapper):
    rom = bytes(_rom(mapper=mapper))
    header = read_header(rom)
    assert (header.mapper, header.title, header.rom_size, header.ram_size) == (mapper, "TEST ROM", 512 * 1024, 8192)
    assert header.checksum_ok and header.checksum ^ header.complement == 0xFFFF and not header.copier_header
    assert detect_mapper(rom) == (mapper, True)
    with_copier = bytes(512) + rom
    assert read_header(with_copier).copier_header and strip_copier_header(with_copier)[1] == rom


def test_a_wrong_checksum_is_said():
    rom = _rom()
    rom[5] ^= 1
    assert not read_header(bytes(rom)).checksum_ok


def test_checksum_of_odd_sizes_is_mirrored():
    assert checksum(bytes([1]) * 4 + bytes([2]) * 2) == 4 + 2 * 4
    assert checksum(b"") == 0
    assert checksum(b"\x01\x02\x03") == 1 + 2 + 3 * 2


def test_too_short_for_a_header():
    for data in (b"", b"x" * 100, bytes(512)):
        with pytest.raises(DataError, match="too short"):
            read_header(data)
    with pytest.raises(DataError, match="has no header"):
        fix_checksum(bytearray(100))
    assert detect_mapper(b"") == ("lorom", False)

"""Registers, maps, header, symbols: what is looked up is right, and both ways round."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs.domains.snes.knowledge.memory_and_header_facts import (
    MAPS,
    list_header_fields,
    list_map_regions,
    list_vectors,
    region_at,
)
from afs.domains.snes.knowledge.registers import (
    by_address,
    by_name,
    find_register,
    list_registers,
    nearest_register,
    register_at,
)
from afs.domains.snes.knowledge.symbols import find_symbol, parse_symbols, read_symbols
from afs.domains.snes.memory_map import access_clocks
from afs.errors import DataError, UsageError

CPU = [one for one in list_registers() if one.space == "cpu"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (0x2100, "INIDISP"), (0x2105, "BGMODE"), (0x2115, "VMAIN"), (0x2116, "VMADDL"), (0x2118, "VMDATAL"),
        (0x2121, "CGADD"), (0x2122, "CGDATA"), (0x212C, "TM"), (0x213F, "STAT78"), (0x2140, "APUIO0"),
        (0x2180, "WMDATA"), (0x4016, "JOYSER0"), (0x4200, "NMITIMEN"), (0x420B, "MDMAEN"), (0x420C, "HDMAEN"),
        (0x420D, "MEMSEL"), (0x4210, "RDNMI"), (0x4212, "HVBJOY"), (0x4216, "RDMPYL"), (0x4218, "JOY1L"),
        (0x4300, "DMAP0"), (0x4371, "BBAD7"), (0x4354, "A1B5"), (0x4335, "DAS3L"), (0x437A, "NTRL7"),
    ],
)  # fmt: skip
def test_known_registers(address: int, name: str) -> None:
    assert find_register(name).address == address
    assert find_register(f"{address:04x}").name == name
    assert find_register(f"${address:04X}").name == name
    assert find_register(f"0x{address:X}") is find_register(f"$00:{address:04X}") is register_at(0x800000 | address)


def test_every_register_is_found_by_address_name_and_alias() -> None:
    for one in CPU:
        assert find_register(one.hexa) is one
        for name in (one.name, one.name.lower(), *one.aliases):
            assert find_register(name) is one, name


def test_the_register_space_is_covered_without_gaps() -> None:
    expected = [*range(0x2100, 0x2144), *range(0x2180, 0x2184), 0x4016, 0x4017]
    expected += [*range(0x4200, 0x420E), *range(0x4210, 0x4220)]
    expected += [0x4300 + channel * 16 + n for channel in range(8) for n in range(12)]
    assert sorted(by_address()) == expected


def test_access_follows_the_hardware() -> None:
    for one in CPU:
        if 0x2100 <= one.address <= 0x2133 or 0x4200 <= one.address <= 0x420D:
            assert one.access == "w", one.name
        if 0x2134 <= one.address <= 0x213F or 0x4210 <= one.address <= 0x421F:
            assert one.access == "r", one.name
        if one.area == "DMA":
            assert one.access == "rw"


def test_bits_do_not_overlap_and_fit() -> None:
    for one in list_registers():
        seen: set[int] = set()
        modes = one.name.endswith("OFS")  # the same register twice: outside mode 7 and in it
        for field in one.bits:
            span = set(range(field.low, field.high + 1))
            assert field.low <= field.high < (16 if one.twice or modes else 8), one.name
            assert modes or not span & seen, one.name
            seen |= span
        assert seen, one.name


def test_mirrors_and_places_without_registers() -> None:
    assert register_at(0x2144) is register_at(0x2140)
    assert register_at(0x3F217F) is register_at(0x2143)
    assert register_at(0x430F) is register_at(0x430B)
    assert register_at(0x7E2100) is register_at(0x402100) is register_at(0x2184) is register_at(0x4018) is None


@pytest.mark.parametrize(("text", "hint"), [("INIDSP", "INIDISP"), ("VMIAN", "VMAIN"), ("$420E", "MEMSEL")])
def test_unknown_names_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        find_register(text)


def test_garbage_is_unknown() -> None:
    for text in ("", "$", "zzzzzzzz", "$123456789", "\0"):
        with pytest.raises(UsageError):
            find_register(text)
    assert nearest_register("") == []


def test_names_are_unique_in_their_space() -> None:
    names = [(one.space, one.name) for one in list_registers()]
    assert len(names) == len(set(names))
    assert all(by_name()[one.name.upper()] is one for one in CPU)


@pytest.mark.parametrize("mapper", MAPS)
def test_every_address_is_in_one_region_of_the_right_speed(mapper: str) -> None:
    mine = [one for one in list_map_regions() if mapper in one.maps]
    for bank in range(0, 256, 5):
        for offset in range(0, 0x10000, 0x200):
            address = bank << 16 | offset
            inside = [one for one in mine if one.holds(address)]
            assert len(inside) == 1, hex(address)
            for fast in (False, True):
                assert inside[0].master_clocks(fast) == access_clocks(address, fast), hex(address)


def test_region_and_header_facts() -> None:
    region = region_at(0x7E0010)
    assert region is not None
    assert region.kind == "wram"
    assert {one.name: one.address for one in list_header_fields()}["map mode"] == 0xFFD5
    assert {one.name: one.address for one in list_vectors()}["native NMI"] == 0xFFEA


def test_symbols_are_read_and_found(tmp_path: Path) -> None:
    path = tmp_path / "game.sym"
    path.write_text("; made by an assembler\n[labels]\n00:8000 Reset\n7E:0010 Mode ; a byte\n\n[source files]\n0 x\n")
    symbols = read_symbols(path)
    assert symbols == {0x008000: "Reset", 0x7E0010: "Mode"}
    assert find_symbol(symbols, "mode") == (0x7E0010, "Mode")
    assert find_symbol(symbols, "$10") == (0x7E0010, "Mode")
    assert find_symbol(symbols, "$80:8000") == (0x008000, "Reset")
    assert find_symbol(symbols, "nothing") is None


def test_bad_symbol_lines_name_their_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.sym:2: want"):
        parse_symbols("00:8000 Fine\nwhat is this\n", "x.sym")
    with pytest.raises(DataError, match="cannot read"):
        read_symbols(tmp_path / "missing.sym")


def test_the_sa1_is_known_and_other_chips_are_named_as_not_covered():
    assert find_register("$2200").name == "CCNT" and find_register("scnt").hexa == "$2209"
    assert find_register("00:2300").area == "SA-1" and find_register("2230").bits[0].meaning == "enable"
    for address in ("3000", "$4800", "006000", "223C"):
        with pytest.raises(UsageError, match="not covered"):
            find_register(address)
    assert not any(one.space == "sa1" for one in list_registers())  # its names (OF, VC) are words elsewhere

"""Memory maps, cartridge header and vectors as facts to look up, read from `memory.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from afs.types import Value

MAPS: Final = ("lorom", "hirom", "exhirom")


class MapRegion(Value, frozen=True, kw_only=True):
    """A block of addresses, the same in several banks; `clocks` is `6`, `8`, `12` or `6/8` (by MEMSEL)."""

    maps: tuple[str, ...]
    banks: tuple[tuple[int, int], ...]
    first: int
    last: int
    what: str
    kind: str
    clocks: str

    def holds(self, address: int) -> bool:
        """Is a 24-bit address inside?"""
        bank = address >> 16
        return self.first <= address & 0xFFFF <= self.last and any(low <= bank <= high for low, high in self.banks)

    def master_clocks(self, fast_rom: bool) -> int:
        """Master clocks of one access."""
        slow, _, fast = self.clocks.partition("/")
        return int(slow) if fast and fast_rom else int(fast or slow)


class HeaderField(Value, frozen=True, kw_only=True):
    """A field of the cartridge header, by its address in bank $00."""

    name: str
    address: int
    bytes: int
    what: str


class HardwareVector(Value, frozen=True, kw_only=True):
    """Where the CPU finds the address of a handler."""

    name: str
    address: int


class _Region(Value, frozen=True, kw_only=True):
    maps: tuple[str, ...]
    banks: str
    range: str
    what: str
    kind: str
    clocks: str


class _Place(Value, frozen=True, kw_only=True):
    name: str
    address: str
    bytes: int = 2
    what: str = ""


class _FactFile(Value, frozen=True, kw_only=True):
    region: tuple[_Region, ...]
    field: tuple[_Place, ...]
    vector: tuple[_Place, ...]


def _range(text: str) -> tuple[int, int]:
    low, _, high = text.partition("-")
    return int(low, 16), int(high or low, 16)


@cache
def _file() -> _FactFile:
    table = tomllib.loads(Path(__file__).with_name("memory.toml").read_text("utf-8"))
    return msgspec.convert(table, _FactFile)


@cache
def list_map_regions() -> tuple[MapRegion, ...]:
    """All regions of all maps."""
    return tuple(
        MapRegion(
            maps=row.maps,
            banks=tuple(_range(part) for part in row.banks.split(",")),
            first=_range(row.range)[0],
            last=_range(row.range)[1],
            what=row.what,
            kind=row.kind,
            clocks=row.clocks,
        )
        for row in _file().region
    )


def region_at(address: int, mapper: str = "lorom") -> MapRegion | None:
    """The region of a 24-bit address in a map."""
    return next((one for one in list_map_regions() if mapper in one.maps and one.holds(address)), None)


@cache
def list_header_fields() -> tuple[HeaderField, ...]:
    """The cartridge header, in order."""
    return tuple(
        HeaderField(name=row.name, address=int(row.address, 16), bytes=row.bytes, what=row.what)
        for row in _file().field
    )


@cache
def list_vectors() -> tuple[HardwareVector, ...]:
    """The vectors, in order."""
    return tuple(HardwareVector(name=row.name, address=int(row.address, 16)) for row in _file().vector)

"""Registers by address or name, read from `registers.toml`; nothing here is about a particular game."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from afs.errors import UsageError
from afs.types import Value

Access = Literal["r", "w", "rw"]
When = Literal["any", "blank", "vblank"]
Word = Literal["pair", "group", "no"]

_AREAS: Final[tuple[tuple[int, str], ...]] = (
    (0x2140, "PPU"),
    (0x2180, "APU port"),
    (0x2200, "WRAM port"),
    (0x4200, "joypad"),
    (0x4300, "CPU"),
    (0x4400, "DMA"),
)
_SPACES: Final[dict[str, str]] = {"cpu": "", "spc700": "SPC700", "dsp": "DSP", "sa1": "SA-1"}
_OTHER_CHIPS: Final[tuple[tuple[int, int, str], ...]] = (
    (0x21C0, 0x21FF, "the B bus of expansions"),
    (0x2200, 0x23FF, "a part of the SA-1 that is not known"),
    (0x2400, 0x2FFF, "cartridge hardware"),
    (0x3000, 0x3FFF, "the registers of a SuperFX or the I-RAM of an SA-1"),
    (0x4400, 0x5FFF, "cartridge hardware (S-DD1, SPC7110, MSU-1, satellite)"),
    (0x6000, 0x7FFF, "cartridge memory or hardware (DSP-n, CX4, OBC-1, BW-RAM)"),
)
"""Addresses in system banks that belong to what a cartridge brings."""


class BitField(Value, frozen=True, kw_only=True):
    """Some bits of a register and what they mean."""

    high: int
    low: int
    meaning: str


class Register(Value, frozen=True, kw_only=True):
    """One register; `channel` is -1 unless there is a set of it per DMA channel or voice."""

    name: str
    address: int
    access: Access
    when: When
    word: Word
    purpose: str
    twice: bool = False
    space: str = "cpu"
    aliases: tuple[str, ...] = ()
    bits: tuple[BitField, ...] = ()
    channel: int = -1

    @property
    def area(self) -> str:
        """The part of the machine it belongs to."""
        if self.space != "cpu":
            return _SPACES[self.space]
        return next(name for end, name in _AREAS if self.address < end)

    @property
    def hexa(self) -> str:
        """The address as people write it."""
        return f"${self.address:04X}" if self.space in ("cpu", "sa1") else f"${self.address:02X}"


def _bits(lines: Sequence[str]) -> tuple[BitField, ...]:
    fields = []
    for line in lines:
        where, _, meaning = line.partition(": ")
        high, _, low = where.partition("-")
        fields.append(BitField(high=int(high), low=int(low or high), meaning=meaning))
    return tuple(fields)


class _RegisterRow(Value, frozen=True, kw_only=True):
    address: str
    access: Access
    when: When
    word: Word
    purpose: str
    bits: tuple[str, ...]
    twice: bool = False
    space: str = "cpu"
    aliases: tuple[str, ...] = ()


def _build_register(name: str, row: _RegisterRow, channel: int) -> Register:
    number = str(channel) if channel >= 0 else "x"
    return Register(
        name=name.replace("x", number),
        address=int(row.address.replace("x", number), 16),
        access=row.access,
        when=row.when,
        word=row.word,
        purpose=re.sub(r"\b(channel|voice|coefficient) x\b", rf"\1 {number}", row.purpose),
        twice=row.twice,
        space=row.space,
        aliases=tuple(alias.replace("x", number) for alias in row.aliases),
        bits=_bits(row.bits),
        channel=channel,
    )


@cache
def list_registers() -> tuple[Register, ...]:
    """All registers of the console, channels and voices spelled out, in the order of space and address."""
    return _read_registers("registers.toml")


@cache
def list_sa1_registers() -> tuple[Register, ...]:
    """The registers of the SA-1, which only some cartridges have."""
    return _read_registers("sa1.toml")


def _read_registers(file: str) -> tuple[Register, ...]:
    text = Path(__file__).with_name(file).read_text("utf-8")
    rows = msgspec.convert(tomllib.loads(text), dict[str, _RegisterRow])
    found = [
        _build_register(name, row, channel)
        for name, row in rows.items()
        for channel in (range(8) if "x" in row.address else (-1,))
    ]
    return tuple(sorted(found, key=lambda one: (list(_SPACES).index(one.space), one.address)))


@cache
def by_address() -> dict[int, Register]:
    """Registers the CPU sees, by their address in bank $00."""
    return {one.address: one for one in list_registers() if one.space == "cpu"}


@cache
def by_name() -> dict[str, Register]:
    """Registers by upper-case name and alias; a name wins over an alias, the CPU over the SPC700."""
    table: dict[str, Register] = {}
    for one in list_registers():
        table.setdefault(one.name.upper(), one)
    for one in list_registers():
        for alias in one.aliases:
            table.setdefault(alias.upper(), one)
    return table


def register_at(address: int) -> Register | None:
    """The register at a 24-bit CPU address, mirrors of the APU ports and DMA bytes included."""
    bank, offset = address >> 16, address & 0xFFFF
    if bank & 0x7F > 0x3F:
        return None
    if 0x2144 <= offset < 0x2180:
        offset = 0x2140 + (offset & 3)
    if 0x4300 <= offset < 0x4380 and offset & 15 == 15:
        offset -= 4
    return by_address().get(offset)


def find_register(text: str) -> Register:
    """The register of a name, alias or address (`2100`, `$2100`, `0x2100`, `INIDISP`, `$00:2100`)."""
    wanted = text.strip()
    named = by_name().get(wanted.upper())
    number = None if named else _number(wanted)
    found = named or (None if number is None else register_at(number) or _is_elsewhere(number))
    found = found or _find_sa1(wanted, number)
    if found:
        return found
    if number is not None:
        _refuse_other_chips(number)
    near = nearest_register(wanted)
    raise UsageError(f"no register {wanted!r}" + (f"; nearest: {', '.join(near)}" if near else ""))


def _find_sa1(name: str, number: int | None) -> Register | None:
    """The SA-1's register of a name or an address in a system bank."""
    system = number is not None and number >> 16 & 0x7F < 0x40
    offset = number & 0xFFFF if number is not None and system else -1
    matches = (one for one in list_sa1_registers() if one.name == name.upper() or one.address == offset)
    return next(matches, None)


def _refuse_other_chips(number: int) -> None:
    if number >> 16 & 0x7F < 0x40:
        for first, last, what in _OTHER_CHIPS:
            if first <= number & 0xFFFF <= last:
                raise UsageError(f"${number & 0xFFFF:04X} is {what}: not covered; the SA-1 is the only chip that is")


def nearest_register(text: str, n: int = 3) -> list[str]:
    """Names, or `$addr NAME`, closest to what was asked."""
    number = _number(text)
    if number is not None:
        close = sorted(by_address().values(), key=lambda one: abs(one.address - (number & 0xFFFF)))
        return [f"{one.hexa} {one.name}" for one in close[:n]]
    return difflib.get_close_matches(text.upper(), list(by_name()), n=n, cutoff=0.5)


def _number(text: str) -> int | None:
    digits = re.sub(r"^(\$|0[xX])", "", text.replace(":", ""))
    return int(digits, 16) if re.fullmatch(r"[0-9A-Fa-f]{1,6}", digits) else None


def _is_elsewhere(number: int) -> Register | None:
    """The SPC700's own register at a one-byte address."""
    inside = (one for one in list_registers() if one.space == "spc700" and one.address == number)
    return next(inside, None)

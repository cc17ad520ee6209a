"""The pack's commands that examine code without running it: `register` and `disasm`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final, Literal, cast

from afs.config import Config
from afs.domains.snes.disasm import DisasmOptions, disassemble
from afs.domains.snes.knowledge.memory_and_header_facts import region_at
from afs.domains.snes.knowledge.registers import Register, find_register
from afs.domains.snes.knowledge.symbols import find_symbol, read_symbols
from afs.domains.snes.mesen_logs import read_cdl
from afs.domains.snes.rom import MapperName, detect_mapper, snes_to_pc, strip_copier_header
from afs.errors import DataError, UsageError
from afs.types import Value

_ACCESS: Final = {"r": "read-only", "w": "write-only", "rw": "read and write"}
WHEN: Final = {
    "any": "any time",
    "blank": "forced, vertical or horizontal blank",
    "vblank": "forced or vertical blank only",
}
_WORD: Final = {
    "pair": "16-bit access takes it with its high half",
    "group": "16-bit access also takes the next of its kind",
    "no": "byte access only: 16 bits also hit a neighbor of another kind",
}
_VECTORS: Final = (0xFFE4, 0xFFE6, 0xFFEA, 0xFFEE, 0xFFFC)


class RegisterConfig(Config, frozen=True, kw_only=True):
    """What to look up."""

    positional: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    """A register's name, alias or address (`INIDISP`, `2100`, `$2100`); with --symbols also one of your own."""
    symbols: Path | None = None
    """Your project's symbols, a WLA `.sym` or Mesen `.mlb` file."""


class RegisterCard(Value, frozen=True, kw_only=True):
    """A register as it is shown."""

    address: str
    name: str
    purpose: str
    area: str
    access: str
    when: str
    width: str
    aliases: tuple[str, ...] = ()
    bits: tuple[str, ...] = ()

    def text(self) -> str:
        """The card for a terminal."""
        also = f"  (also {', '.join(self.aliases)})" if self.aliases else ""
        lines = [
            f"{self.address}  {self.name}{also}",
            f"  {self.purpose}.",
            f"  {self.area}, {self.access}; {self.when}",
        ]
        return "\n".join([*lines, f"  {self.width}", *(f"  bits {line}" for line in self.bits)])


class SymbolCard(Value, frozen=True, kw_only=True):
    """One of the user's symbols, with its address."""

    address: str
    name: str
    region: str

    def text(self) -> str:
        """The card for a terminal."""
        return f"{self.address}  {self.name}\n  {self.region}"


def register(config: RegisterConfig) -> RegisterCard | SymbolCard:
    """Look up a register or symbol by name or address."""
    symbol = find_symbol(read_symbols(config.symbols), config.name) if config.symbols else None
    if symbol:
        address, name = symbol
        region = region_at(address)
        return SymbolCard(
            address=f"${address >> 16:02X}:{address & 0xFFFF:04X}",
            name=name,
            region=region.what if region else "unmapped",
        )
    return _card(find_register(config.name))


def _card(one: Register) -> RegisterCard:
    bits = [f"{b.high}-{b.low}: {b.meaning}" if b.high != b.low else f"{b.high}: {b.meaning}" for b in one.bits]
    twice = "a value takes two accesses, low byte first; " if one.twice else ""
    return RegisterCard(
        address=one.hexa,
        name=one.name,
        purpose=one.purpose,
        area=one.area,
        access=_ACCESS[one.access],
        when=WHEN[one.when],
        width=twice + _WORD[one.word],
        aliases=one.aliases,
        bits=tuple(bits),
    )


class DisasmConfig(Config, frozen=True, kw_only=True):
    """What to disassemble."""

    positional: ClassVar[tuple[str, ...]] = ("file",)
    short: ClassVar[dict[str, str]] = {"o": "out"}

    file: Path
    """A ROM, or a file of bare bytes."""
    at: str = ""
    """Address to start at: in a ROM the first byte to take, else the address of the bytes (default 008000)."""
    length: int = 0
    """Bytes to take; 0 means to the end."""
    entry: tuple[str, ...] = ()
    """Addresses where code starts; default: --at, or the ROM's vectors."""
    m: Literal[8, 16] = 8
    """Width of A at the entries."""
    x: Literal[8, 16] = 8
    """Width of X and Y at the entries."""
    mapper: Literal["auto", "lorom", "hirom", "exlorom", "exhirom", "norom"] = "auto"
    """Memory map; auto reads the header and falls back to lorom."""
    symbols: Path | None = None
    """Names for labels, a WLA `.sym` or Mesen `.mlb` file."""
    cdl: Path | None = None
    """A code/data log of the ROM, of Mesen or of `afs snes boot --cdl`: what ran is code."""
    out: Path | None = None
    """File to write; without it the listing is printed."""
    comments: bool = True
    """Name widths, hardware registers and symbols in comments."""


def disasm(config: DisasmConfig) -> str:
    """Source that assembles to the same bytes."""
    data = strip_copier_header(read_file(config.file))[1]
    if not data:
        raise UsageError(f"{config.file}: nothing to disassemble: the file is empty")
    mapper, is_rom = detect_mapper(data)
    is_rom = is_rom and len(data) >= 0x8000
    chosen: MapperName = config.mapper if config.mapper != "auto" else "lorom"
    if config.mapper == "auto" and is_rom:
        chosen = cast(MapperName, mapper)
    origin = _address(config.at, "at") if config.at else 0xC00000 if is_rom and chosen == "hirom" else 0x008000
    entries = [_address(text, "entry") for text in config.entry]
    if is_rom and not config.at and not entries:
        entries = _vectors(data, chosen, origin)
    start = (snes_to_pc(origin, chosen) or 0) if is_rom and config.at else 0
    if start >= len(data):
        raise UsageError(f"--at: ${origin:06X} is past the end of the ROM")
    taken = data[start : start + config.length if config.length else len(data)]
    log = read_cdl(read_file(config.cdl), data)[start : start + len(taken)] if config.cdl else b""
    options = DisasmOptions(
        entries=tuple(entries),
        wide_a=config.m == 16,
        wide_x=config.x == 16,
        mapper=chosen,
        comments=config.comments,
        log=log,
    )
    names = read_symbols(config.symbols, chosen) if config.symbols else None
    text = disassemble(taken, origin, options, names)
    if config.out is None:
        return text.rstrip("\n")
    config.out.write_text(text, "utf-8")
    return f"{config.out}: {len(text.splitlines())} lines"


def _vectors(data: bytes, mapper: MapperName, origin: int) -> list[int]:
    """Targets of the ROM's vectors, as addresses of the layout that starts at `origin`."""
    found = []
    for vector in _VECTORS:
        place = snes_to_pc(vector, mapper)
        goal = int.from_bytes(data[place : place + 2], "little") if place is not None else 0
        pc = snes_to_pc(goal, mapper)
        if pc is not None and pc < len(data):
            found.append(origin + pc if origin >= 0xC00000 else goal)
    return list(dict.fromkeys(found))


def _address(text: str, field: str) -> int:
    digits = re.sub(r"^(\$|0[xX])|:", "", text.strip())
    if not re.fullmatch(r"[0-9A-Fa-f]{1,6}", digits):
        raise UsageError(f"--{field}: want a hex address such as 008000 or $02:F000, got {text!r}")
    return int(digits, 16)


def read_file(path: Path) -> bytes:
    """A file's bytes; one that cannot be read is an error with its reason."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error

"""A SNES ROM image: address mapping, header, checksum, copier header.

Addresses outside the ROM map to None. The content of the bytes is not interpreted here.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from afs.errors import DataError

MapperName = Literal["lorom", "hirom", "exlorom", "exhirom", "sfxrom", "sa1rom", "fullsa1rom", "norom"]
MAPPERS: Final[tuple[str, ...]] = get_args(MapperName)

Banks = tuple[int, int, int, int]
SA1_BANKS: Final[Banks] = (0, 1, 2, 3)
"""The megabytes behind SA-1's four windows CXB, DXB, EXB, FXB at power-on."""

COPIER_HEADER: Final = 512
MAX_SIZE: Final = 16 * 1024 * 1024


class Header(NamedTuple):
    """What stands at $FFC0-$FFDF of a ROM."""

    mapper: str
    offset: int
    """Where the title starts in the file without copier header."""
    title: str
    map_mode: int
    cartridge_type: int
    rom_size: int
    """Size in the header, bytes."""
    ram_size: int
    region: int
    version: int
    checksum: int
    complement: int
    copier_header: bool
    checksum_ok: bool
    """Does the stored checksum equal the one of the bytes?"""


def _lorom_pc(address: int) -> int:
    return (address & 0x7F0000) >> 1 | address & 0x7FFF


def _lorom_snes(pc: int) -> int:
    return (pc << 1) & 0x7F0000 | pc & 0x7FFF | 0x8000


def _is_system(address: int) -> bool:
    """Registers, RAM and its mirrors: the low half of banks 00-3F and 80-BF."""
    return address & 0x408000 == 0


def snes_to_pc(address: int, mapper: str = "lorom", banks: Banks = SA1_BANKS) -> int | None:
    """Offset in the ROM file of a SNES address, or None where no ROM is."""
    if not 0 <= address <= 0xFFFFFF:
        return None
    if mapper == "norom":
        return address
    if mapper == "lorom":
        dead = _is_system(address) or address & 0xFE0000 == 0x7E0000 or address & 0x708000 == 0x700000
        return None if dead else _lorom_pc(address)
    if mapper in ("hirom", "exhirom"):
        if _is_system(address) or address & 0xFE0000 == 0x7E0000:
            return None
        upper = mapper == "exhirom" and not address & 0x800000
        return address & 0x3FFFFF | (0x400000 if upper else 0)
    if mapper == "exlorom":
        if _is_system(address) or address & 0xF00000 == 0x700000:
            return None
        return _lorom_pc(address) + (0 if address & 0x800000 else 0x400000)
    if mapper == "sfxrom":
        if _is_system(address) or address & 0x800000 or address & 0x600000 == 0x600000:
            return None
        return address & 0x3FFFFF if address & 0x400000 else _lorom_pc(address)
    return _sa1_to_pc(address, mapper, banks)


def _sa1_to_pc(address: int, mapper: str, banks: Banks) -> int | None:
    if mapper == "sa1rom":
        if address & 0x408000 == 0x8000:
            window = (address >> 21) & 1 | (address >> 22) & 2
            return banks[window] << 20 | (address & 0x1F0000) >> 1 | address & 0x7FFF
        if address >= 0xC00000:
            return banks[(address >> 20) & 3] << 20 | address & 0xFFFFF
        return None
    if address >= 0xC00000:
        return address & 0x3FFFFF | 0x400000
    if address & 0x408000 == 0x8000:
        return (address & 0x800000) >> 2 | (address & 0x3F0000) >> 1 | address & 0x7FFF
    return None


def pc_to_snes(pc: int, mapper: str = "lorom", banks: Banks = SA1_BANKS) -> int | None:
    """The SNES address (FastROM half where the map has one) of an offset in the file, or None."""
    address = _pc_to_snes(pc, mapper, banks) if 0 <= pc <= 0xFFFFFF else None
    return None if address is None or snes_to_pc(address, mapper, banks) is None else address


def mesen_place(address: int, mapper: str = "lorom", banks: Banks = SA1_BANKS) -> tuple[str, int] | None:
    """The memory an address lies in and its offset there, as Mesen names them; None for open bus."""
    bank, low = address >> 16 & 0xFF, address & 0xFFFF
    if bank in (0x7E, 0x7F):
        return "SnesWorkRam", address & 0x1FFFF
    if _is_system(address):
        return ("SnesWorkRam", low) if low < 0x2000 else ("SnesRegister", low) if low < 0x6000 else None
    pc = snes_to_pc(address, mapper, banks)
    if pc is not None:
        return "SnesPrgRom", pc
    if mapper == "lorom" and 0x70 <= bank & 0x7F < 0x7E and low < 0x8000:
        return "SnesSaveRam", (bank & 0x0F) << 15 | low
    return None


def mesen_address(memory: str, offset: int, mapper: str = "lorom") -> int | None:
    """The address of an offset in one of Mesen's memories; None for memories the CPU does not see."""
    if memory in ("SnesPrgRom", "PRG"):
        return pc_to_snes(offset, mapper)
    if memory in ("SnesWorkRam", "WORK"):
        return 0x7E0000 + offset
    if memory in ("SnesSaveRam", "SAVE"):
        return 0x700000 + (offset >> 15 << 16) + (offset & 0x7FFF)
    return offset if memory in ("SnesRegister", "REG") else None


def _pc_to_snes(pc: int, mapper: str, banks: Banks) -> int | None:
    if mapper == "norom":
        return pc
    if mapper == "lorom":
        return _lorom_snes(pc) | 0x800000 if pc < 0x400000 else None
    if mapper == "hirom":
        return pc | 0xC00000 if pc < 0x400000 else None
    if mapper == "sfxrom":
        return _lorom_snes(pc) if pc < 0x200000 else None
    if mapper == "sa1rom":
        for window, megabyte in enumerate(banks):
            if megabyte == pc >> 20:
                return (window & 1) << 21 | (window & 2) << 22 | (pc & 0xF8000) << 1 | pc & 0x7FFF | 0x8000
        return None
    if pc >= 0x800000:
        return None
    if mapper == "exlorom":
        return _lorom_snes(pc - 0x400000) if pc & 0x400000 else _lorom_snes(pc) | 0x800000
    if mapper == "exhirom":
        return pc if pc & 0x400000 else pc | 0xC00000
    if pc & 0x400000:
        return pc | 0xC00000
    return (pc & 0x200000) << 2 | (pc << 1) & 0x3F0000 | pc & 0x7FFF | 0x8000


def has_copier_header(data: bytes) -> bool:
    """Does a 512-byte copier header precede the ROM? ROMs come in multiples of 1 KiB, so the size decides."""
    return len(data) % 1024 == COPIER_HEADER


def strip_copier_header(data: bytes) -> tuple[bytes, bytes]:
    """(copier header or nothing, the ROM itself)."""
    cut = COPIER_HEADER if has_copier_header(data) else 0
    return data[:cut], data[cut:]


def checksum(data: bytes | bytearray) -> int:
    """The checksum of the bytes; sizes between powers of two are mirrored as the hardware does."""
    size = len(data)
    whole = 1 << (size.bit_length() - 1) if size else 0
    if size == whole:
        return sum(data) & 0xFFFF
    rest = size - whole
    return (sum(memoryview(data)[:whole]) + sum(memoryview(data)[whole:]) * (whole // rest)) & 0xFFFF


def fix_checksum(data: bytearray, mapper: str = "lorom", banks: Banks = SA1_BANKS) -> int:
    """Write checksum and complement into the header; the ROM must reach to it. Returns the checksum."""
    at = header_offset(mapper, banks)
    if len(data) < at + 0x20:
        raise DataError(f"ROM of {len(data)} bytes has no header for {mapper}: want at least {at + 0x20}")
    data[at + 0x1C : at + 0x20] = b"\xff\xff\0\0"
    total = checksum(data)
    data[at + 0x1C : at + 0x20] = (total ^ 0xFFFF).to_bytes(2, "little") + total.to_bytes(2, "little")
    return total


def header_offset(mapper: str, banks: Banks = SA1_BANKS) -> int:
    """Where $00FFC0 lies in the file."""
    pc = snes_to_pc(0xFFC0, mapper, banks)
    return 0x7FC0 if pc is None else pc


def _title_score(title: bytes) -> int:
    score, ended, high = 0, False, 0
    for c in title:
        if ended and c:
            score -= 4
        if c >= 128:
            high += 1
        elif 65 <= c <= 90:
            score += 3
        elif c == 32:
            score += 2
        elif chr(c).isalnum() or c == 45:
            score += 1
        elif c == 0:
            ended = True
        else:
            score -= 3
    return score - 21 if 0 < high <= 14 else score


def detect_mapper(data: bytes) -> tuple[str, bool]:
    """(most likely mapper, does its header look right?) by title and checksum complement."""
    best, best_score = "lorom", -99999
    for mapper in ("lorom", "hirom", "exlorom", "exhirom"):
        at = header_offset(mapper)
        raw = data[at : at + 0x20]
        score = -99999
        if len(raw) == 0x20 and raw[0x1C] ^ raw[0x1E] == 0xFF and raw[0x1D] ^ raw[0x1F] == 0xFF:
            score = _title_score(raw[:21])
        if score > best_score:
            best, best_score = mapper, score
    at = header_offset(best)
    if best == "lorom" and len(data) >= at + 0x20 and data[at + 0x15] == 0x23 and data[at + 0x16] in (0x32, 0x34, 0x35):
        best = "sa1rom"
    return best, best_score >= 0


def read_header(data: bytes, mapper: str = "") -> Header:
    """The header of a ROM file, copier header or not; `mapper` overrides the detection."""
    copier, rom = strip_copier_header(data)
    kind = mapper or detect_mapper(rom)[0]
    at = header_offset(kind)
    if len(rom) < at + 0x20:
        raise DataError(f"ROM of {len(rom)} bytes is too short for a {kind} header: want at least {at + 0x20}")
    raw = rom[at : at + 0x20]
    stored = int.from_bytes(raw[0x1E:0x20], "little")
    return Header(
        mapper=kind,
        offset=at,
        title=raw[:21].decode("latin-1").rstrip("\0 "),
        map_mode=raw[0x15],
        cartridge_type=raw[0x16],
        rom_size=_header_size(raw[0x17]),
        ram_size=_header_size(raw[0x18]) if raw[0x18] else 0,
        region=raw[0x19],
        version=raw[0x1B],
        checksum=stored,
        complement=int.from_bytes(raw[0x1C:0x1E], "little"),
        copier_header=bool(copier),
        checksum_ok=_checksum_over(rom, at) == stored,
    )


def _checksum_over(rom: bytes, at: int) -> int:
    blank = bytearray(rom)
    blank[at + 0x1C : at + 0x20] = b"\xff\xff\0\0"
    return checksum(blank)


def _header_size(code: int) -> int:
    return 1024 << code if code <= 16 else 0

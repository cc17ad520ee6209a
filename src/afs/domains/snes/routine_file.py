"""A routine to run, from a file: a source, machine code or a ROM; which bytes it is, where they lie, where it starts.

A patch is one assembled image; its routine is named by a label or an address. Without a name it is the first code of
the source, or, where that is only a hook (`jsl`, `jml` or `jsr` into other code of the patch), the target of the hook.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from afs.domains.snes import isa
from afs.domains.snes.asm import TRUSTED, Assembled, Assembly, assemble
from afs.domains.snes.contract import Contract, Ends, parse_comment
from afs.domains.snes.rom import detect_mapper, pc_to_snes, snes_to_pc, strip_copier_header
from afs.errors import DataError, UsageError

AUTO: Final = "auto"
_ROMS: Final = frozenset({".sfc", ".smc", ".fig", ".swc"})
_RETURNS: Final[dict[str, Ends]] = {"rts": "rts", "rtl": "rtl", "stp": "stop", "wai": "stop", "brk": "stop"}
_OPCODES: Final[dict[int, Ends]] = {0x60: "rts", 0x6B: "rtl"}
_HOOKS: Final[dict[int, Ends]] = {0x20: "rts", 0x22: "rtl", 0x5C: "rtl"}
_NOP: Final = 0xEA


class PlacedRoutine(NamedTuple):
    """Machine code in its place, and the ROM around it."""

    code: bytes
    origin: int
    entry: int
    rom: bytes
    mapper: str
    contract: Contract | None
    ends: Ends
    """How it seems to return."""
    note: str = ""
    """How the entry was chosen, where that needs saying."""


class CodePlace(NamedTuple):
    """Where the user wants code to be, and which part of it."""

    origin: str = "808000"
    entry: str = ""
    rom: Path | None = None
    mapper: str = AUTO


def load_routine(path: Path, place: CodePlace) -> PlacedRoutine:
    """Read the routine of a file: a source is assembled, `.bin` is machine code, `.sfc` and `.smc` are ROMs."""
    try:
        raw = path.read_bytes()
        base = strip_copier_header(place.rom.read_bytes())[1] if place.rom else b""
    except OSError as error:
        raise DataError(f"{error.filename}: {error.strerror}") from error
    if not raw:
        raise DataError(f"{path}: the file is empty")
    if path.suffix.lower() in _ROMS:
        return _in_rom(path, strip_copier_header(raw)[1], place)
    start = parse_address(place.origin, "--origin")
    if path.suffix.lower() == ".bin":
        entry = parse_address(place.entry, "--entry") if place.entry else start
        mapper = "lorom" if place.mapper == AUTO else place.mapper
        _check_entry(entry, start, len(raw))
        return PlacedRoutine(raw, start, entry, base, mapper, None, _OPCODES.get(raw[-1], "end"))
    try:
        source = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text (byte {error.start}); name machine code `.bin`") from error
    done = assemble(source, origin=start, rom=base, include_dirs=(path.parent,), limits=TRUSTED, file=str(path))
    if place.mapper not in (AUTO, done.mapper):
        raise UsageError(f"{path} is a {done.mapper} source: give --mapper {done.mapper}")
    return _in_source(path, source, done, place)


def parse_address(text: str, where: str) -> int:
    """A hex address as a user writes it: `7E0010`, `$7E0010`, `$7E:0010`, `0x7E0010`."""
    digits = text.removeprefix("$").removeprefix("0x").replace(":", "")
    if not re.fullmatch(r"[0-9A-Fa-f]{1,6}", digits):
        raise UsageError(f"{where}: want a hex address such as 7E0010, got {text!r}")
    return int(digits, 16)


def _check_entry(entry: int, origin: int, size: int) -> None:
    if not origin <= entry < origin + size:
        raise UsageError(f"--entry: ${entry:06X} is outside of the code, ${origin:06X} to ${origin + size - 1:06X}")


def _in_rom(path: Path, rom: bytes, place: CodePlace) -> PlacedRoutine:
    if not place.entry:
        raise UsageError(f"{path}: a ROM needs --entry, the address of the routine")
    entry = parse_address(place.entry, "--entry")
    mapper = detect_mapper(rom)[0] if place.mapper == AUTO else place.mapper
    pc = snes_to_pc(entry, mapper)
    if pc is None or pc >= len(rom):
        raise UsageError(f"--entry: ${entry:06X} is not in this {mapper} ROM of {len(rom)} bytes")
    room = min(0x8000 - (pc & 0x7FFF), 0x10000 - (entry & 0xFFFF))
    code = rom[pc : pc + room]
    return PlacedRoutine(code, entry, entry, rom, mapper, None, _ending_of_bytes(code))


def _ending_of_bytes(code: bytes) -> Ends:
    """The first return when decoding straight on from 8-bit registers."""
    at, wide_a, wide_x = 0, False, False
    while at < len(code):
        op = isa.OPS[code[at]]
        if op.mnemonic in _RETURNS:
            return _RETURNS[op.mnemonic]
        if op.mnemonic in ("rep", "sep") and at + 1 < len(code):
            wide = op.mnemonic == "rep"
            wide_a = wide if code[at + 1] & 0x20 else wide_a
            wide_x = wide if code[at + 1] & 0x10 else wide_x
        at += isa.size(op, wide_a, wide_x)
    return "rts"


def _in_source(path: Path, source: str, done: Assembly, place: CodePlace) -> PlacedRoutine:
    statements = [one for one in done.statements if one.data]
    if not statements:
        raise DataError(f"{path}: no code in it")
    entry, ends, note = statements[0].address, None, ""
    if place.entry:
        entry = _named_entry(done, place.entry)
    elif hook := _hook_target(done, statements):
        entry, ends = hook
        name = next((name for name, address in done.labels.items() if address == entry), "")
        note = f"entry: {name or 'the code'} at ${entry:06X}, the target of the hook at ${statements[0].address:06X}"
    origin, code = _block(done, entry)
    rom = done.image if place.rom or len(done.blocks) > 1 else b""
    contract = _contract_at(done, source, entry, statements)
    guess = contract.ends if contract and "ends" in _comment_text(source) else ends or _ending(statements, entry)
    return PlacedRoutine(code, origin, entry, rom, done.mapper, contract, guess, note)


def _comment_text(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if line.strip().startswith(";")).lower()


def _named_entry(done: Assembly, text: str) -> int:
    """The address of a label, or an address as it is written."""
    if text in done.labels:
        return done.labels[text]
    digits = text.removeprefix("$").removeprefix("0x").replace(":", "")
    if re.fullmatch(r"[0-9A-Fa-f]{4,6}", digits) and (digits != text or text[0].isdigit()):
        return int(digits, 16)
    close = get_close_matches(text, done.labels, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise UsageError(f"--entry: no label {text!r} in the source{hint}")


def _hook_target(done: Assembly, statements: list[Assembled]) -> tuple[int, Ends] | None:
    """(address, how it returns) of the routine that a patch jumps to, where its first code is only that jump."""
    first = statements[0]
    if len(done.blocks) < 2 or first.data[0] not in _HOOKS or len(first.data) < 3:
        return None
    size = len(first.data)
    for one in statements[1:]:
        if one.address != first.address + size:
            break
        if set(one.data) != {_NOP}:
            return None
        size += len(one.data)
    target = int.from_bytes(first.data[1:], "little")
    target |= first.address & 0xFF0000 if len(first.data) == 3 else 0
    written = {one.address for one in statements}
    return (target, _HOOKS[first.data[0]]) if target in written else None


def _block(done: Assembly, entry: int) -> tuple[int, bytes]:
    """(address, bytes) of the written block that holds an address, or of the bytes of the ROM there."""
    pc = snes_to_pc(entry, done.mapper, done.banks)
    for block in done.blocks:
        if pc is not None and block.pc <= pc < block.pc + len(block.data):
            return entry - (pc - block.pc), block.data
    if pc is None or pc >= len(done.image):
        raise UsageError(f"--entry: there is no code at ${entry:06X}")
    return entry, done.image[pc : pc + min(0x8000 - (pc & 0x7FFF), 0x10000 - (entry & 0xFFFF))]


def _ending(statements: list[Assembled], entry: int) -> Ends:
    """The first return behind the entry; `end` where the code falls off."""
    for one in statements:
        if one.address >= entry and one.mnemonic in _RETURNS:
            return _RETURNS[one.mnemonic]
    return "end"


def _contract_at(done: Assembly, source: str, entry: int, statements: list[Assembled]) -> Contract | None:
    """The contract in the comment right above the entry, or else the first one of the source."""
    line = next((one.line for one in statements if one.address == entry), 0)
    lines = source.splitlines()[: max(line - 1, 0)]
    while lines and not lines[-1].strip().startswith(";"):
        if lines[-1].strip() and not re.fullmatch(r"\s*[\w.#?+-]+:?\s*(;.*)?", lines[-1]):
            break
        lines.pop()
    comment: list[str] = []
    while lines and lines[-1].strip().startswith(";"):
        comment.insert(0, lines.pop())
    return parse_comment("\n".join(comment)) or parse_comment(source)


def join_images(first: PlacedRoutine, second: PlacedRoutine) -> tuple[PlacedRoutine, PlacedRoutine]:
    """Two routines as blocks of one ROM; where their ROMs differ elsewhere in the bank, that is part of the code."""
    if first.entry != second.entry:
        raise UsageError(f"the original starts at ${first.entry:06X}, the candidate at ${second.entry:06X}")
    if not (first.rom or second.rom) and first.origin == second.origin:
        return first, second
    images = _image(first), _image(second)
    size = max(map(len, images))
    one, two = (image + bytes(size - len(image)) for image in images)
    differing = [at for at in range(0, size, 0x100) if one[at : at + 0x100] != two[at : at + 0x100]]
    pc = snes_to_pc(first.entry, first.mapper)
    if pc is None:
        return first, second
    starts = [snes_to_pc(routine.origin, routine.mapper) for routine in (first, second)]
    low = min([at for at in (*differing, *starts, pc) if at is not None])
    high = max([at + 0xFF for at in differing] + [_end(routine) for routine in (first, second)])
    if low & ~0x7FFF != high & ~0x7FFF:
        banks = sorted({pc_to_snes(at & ~0x7FFF, first.mapper) or 0 for at in differing})
        names = ", ".join(f"${bank >> 16:02X}" for bank in banks)
        raise UsageError(f"the two ROMs differ in several banks ({names}): put the code to compare into one")
    origin = first.entry - (pc - low)
    return (
        first._replace(code=one[low : high + 1], origin=origin, rom=one),
        second._replace(code=two[low : high + 1], origin=origin, rom=one),
    )


def _end(routine: PlacedRoutine) -> int:
    return (snes_to_pc(routine.origin, routine.mapper) or 0) + len(routine.code) - 1


def _image(routine: PlacedRoutine) -> bytes:
    """The ROM with the routine in it."""
    at = snes_to_pc(routine.origin, routine.mapper) or 0
    rom = bytearray(routine.rom)
    if len(rom) < at + len(routine.code):
        rom.extend(bytes(at + len(routine.code) - len(rom)))
    rom[at : at + len(routine.code)] = routine.code
    return bytes(rom)

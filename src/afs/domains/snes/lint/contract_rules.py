"""Rules about memory: what a routine reads and writes, against what its contract names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from afs.domains.snes.contract import Contract, Range
from afs.domains.snes.flow import Belief, Insn, Visit, effective_address
from afs.domains.snes.flow.abstract_state import whole
from afs.domains.snes.knowledge.memory_and_header_facts import MAPS, MapRegion, region_at
from afs.domains.snes.knowledge.registers import list_sa1_registers
from afs.domains.snes.lint.linted_program import Program
from afs.domains.snes.lint.rule import Check, Spot, each

_READS: Final = frozenset({"lda", "ldx", "ldy", "adc", "sbc", "and", "ora", "eor", "cmp", "cpx", "cpy", "bit"})
_WRITES: Final = frozenset({"sta", "stx", "sty", "stz"})
_CHANGES: Final = frozenset({"asl", "lsr", "rol", "ror", "inc", "dec", "tsb", "trb"})
_INDEX: Final = frozenset({"ldx", "ldy", "cpx", "cpy", "stx", "sty"})
_HOLES: Final = (range(0x2200, 0x4000), range(0x4400, 0x6000))
_WRAM: Final = range(0x7E0000, 0x800000)


class _Touch(NamedTuple):
    """Bytes of WRAM an instruction certainly reads or writes."""

    insn: Insn
    start: int
    size: int
    writes: bool


def _wram(address: int) -> int | None:
    """The place in WRAM of a CPU address, mirrors folded."""
    if address >> 16 & 0x7F < 0x40 and address & 0xFFFF < 0x2000:
        return 0x7E0000 | address & 0xFFFF
    return address if address in _WRAM else None


def _touches(insn: Insn, state: Belief) -> Iterator[_Touch]:
    name, mode = insn.op.mnemonic, insn.op.mode
    if mode == "block":
        yield from _moves(insn, state)
    if name not in _READS | _WRITES | _CHANGES or mode in ("imm_m", "imm_x"):
        return
    address = effective_address(insn, state)
    if address is None or (mode.startswith("abs") and not isinstance(state.b, int) and insn.operand >= 0x2000):
        return
    place = _wram(address)
    if place is None:
        return
    narrow = state.x if name in _INDEX else state.m
    size = 2 if narrow == 0 else 1
    if name not in _WRITES:
        yield _Touch(insn, place, size, False)
    if name not in _READS:
        yield _Touch(insn, place, size, True)


def _moves(insn: Insn, state: Belief) -> Iterator[_Touch]:
    """The bytes of a block move whose registers are known."""
    count = whole(state.a, state.ah)
    if not (isinstance(count, int) and isinstance(state.ix, int) and isinstance(state.iy, int)):
        return
    back = count if insn.op.mnemonic == "mvp" else 0
    for bank, start, writes in (
        (insn.operand >> 8, state.ix, False),
        (insn.operand & 0xFF, state.iy, True),
    ):
        place = _wram(bank << 16 | start - back & 0xFFFF)
        if place is not None:
            yield _Touch(insn, place, count + 1, writes)


def _named(ranges: Iterable[Range]) -> list[tuple[int, int]]:
    found = ((_wram(one.start), one.size) for one in ranges if one.start < 0x1000000)
    return [(start, start + size) for start, size in found if start is not None]


def _first_outside(touch: _Touch, ranges: list[tuple[int, int]]) -> int | None:
    """The first byte that no range holds."""
    for byte in range(touch.start, touch.start + touch.size):
        if not any(low <= byte < high for low, high in ranges):
            return byte
    return None


def _shown(address: int) -> str:
    return f"${address & 0xFFFF:04X}" if address < 0x7E2000 else f"${address:06X}"


def _by_visit(program: Program) -> Iterator[tuple[Contract, Visit, list[_Touch]]]:
    found: dict[Visit, list[_Touch]] = {}
    for insn, visit, state in program.visits():
        if visit.entry in program.contracts:
            found.setdefault(visit, []).extend(_touches(insn, state))
    for visit, touches in found.items():
        yield program.contracts[visit.entry], visit, touches


def _written(program: Program) -> Iterator[Spot]:
    for contract, visit, touches in _by_visit(program):
        if contract.writes is None:
            continue
        ranges = _named((*contract.writes, *contract.scratch))
        sure = 0.9 if ranges or visit.entry == program.main else 0.5
        for touch in touches:
            byte = _first_outside(touch, ranges) if touch.writes else None
            if byte is not None:
                yield Spot(touch.insn, f"writes {_shown(byte)}, which the contract does not name", sure)


def _read(program: Program) -> Iterator[Spot]:
    for contract, visit, touches in _by_visit(program):
        own = [(touch.start, touch.start + touch.size) for touch in touches if touch.writes]
        ranges = _named((*contract.reads, *(contract.writes or ()), *contract.scratch))
        sure = 0.85 if contract.reads or visit.entry == program.main else 0.4
        for touch in touches:
            byte = _first_outside(touch, ranges + own) if not touch.writes else None
            if byte is not None and not (byte == touch.start + 1 and _is_masked(program, touch.insn)):
                yield Spot(touch.insn, f"reads {_shown(byte)}, which the contract does not name as input", sure)


def _is_masked(program: Program, insn: Insn) -> bool:
    """Is the high byte of a 16-bit load discarded at once, as in `lda $10 : and #$00FF`?"""
    after = program.insns.get(insn.after)
    return after is not None and after.op.mnemonic == "and" and after.op.mode == "imm_m" and after.operand < 0x100


def _region(program: Program, insn: Insn, state: Belief) -> MapRegion | None:
    """The region an access certainly falls into: the bank is known, the map a plain one."""
    if program.mapper not in MAPS or insn.op.mnemonic not in _READS | _WRITES | _CHANGES:
        return None
    if insn.op.mode not in ("long", "abs", "abs_x", "abs_y", "long_x"):
        return None
    if insn.op.mode.startswith("abs") and not isinstance(state.b, int):
        return None
    address = effective_address(insn, state)
    return region_at(address, program.mapper) if address is not None else None


def _rom(program: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    region = _region(program, insn, state)
    if region is not None and region.kind == "rom" and insn.op.mnemonic not in _READS:
        address = effective_address(insn, state) or 0
        yield Spot(insn, f"${address >> 16:02X}:{address & 0xFFFF:04X} is ROM: {insn.op.mnemonic} changes nothing")


def _open(program: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    region = _region(program, insn, state)
    address = effective_address(insn, state) or 0
    if region is not None and region.kind == "open" and any(address & 0xFFFF in hole for hole in _HOLES):
        if any(one.address == address & 0xFFFF for one in list_sa1_registers()):
            return  # whoever names one means it
        yield Spot(
            insn, f"nothing is at ${address >> 16:02X}:{address & 0xFFFF:04X} on a plain cartridge: is the bank right?"
        )


CHECKS: Final[dict[str, Check]] = {
    "contract-write": _written,
    "contract-read": _read,
    "rom-write": each(_rom),
    "open-bus": each(_open),
}

"""Rules about hardware registers: access, width, and results that are not ready."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from afs.domains.snes.flow import Belief, Insn, effective_address
from afs.domains.snes.flow.abstract_state import high
from afs.domains.snes.knowledge.registers import register_at
from afs.domains.snes.lint.linted_program import Program
from afs.domains.snes.lint.rule import Check, Spot, each

_READS_A: Final = frozenset({"lda", "adc", "sbc", "and", "ora", "eor", "cmp", "bit"})
_READS_X: Final = frozenset({"ldx", "ldy", "cpx", "cpy"})
_WRITES_A: Final = frozenset({"sta", "stz"})
_WRITES_X: Final = frozenset({"stx", "sty"})
_CHANGES: Final = frozenset({"asl", "lsr", "rol", "ror", "inc", "dec", "tsb", "trb"})
_READS: Final = _READS_A | _READS_X | _CHANGES
_WRITES: Final = _WRITES_A | _WRITES_X | _CHANGES
_BEFORE_READ: Final = {"abs": 3, "long": 4, "dp": 2, "abs_x": 3, "long_x": 4, "abs_y": 3}
"""CPU cycles of an instruction before it reads its operand's first byte."""
_HDMAEN: Final = 0x420C
"""A zero beside it switches FastROM off."""
_DMA_BANK: Final = 0x4304
_RESULTS: Final = range(0x4214, 0x4218)
_DATA_PORTS: Final = frozenset({0x2104, 0x2118, 0x2119, 0x2122, 0x2138, 0x2139, 0x213A, 0x213B})
_HOLES: Final = (
    range(0x2184, 0x2200),
    range(0x4018, 0x4200),
    range(0x420E, 0x4210),
    range(0x4220, 0x4300),
    range(0x4380, 0x4400),
)


def _port(insn: Insn, state: Belief) -> int | None:
    """The register address an access names, banks folded."""
    if insn.op.mode in ("imm_m", "imm_x") or insn.op.mnemonic not in _READS | _WRITES:
        return None
    address = effective_address(insn, state)
    if address is None or address >> 16 & 0x7F > 0x3F or not 0x2100 <= address & 0xFFFF < 0x4400:
        return None
    return address & 0xFFFF


def _narrow(insn: Insn, state: Belief) -> int | None:
    return state.x if insn.op.mnemonic in _READS_X | _WRITES_X else state.m


def _read(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    port = _port(insn, state)
    register = register_at(port) if port is not None else None
    if register is not None and register.access == "w" and insn.op.mnemonic in _READS:
        how = "changes it in place, which reads it first" if insn.op.mnemonic in _CHANGES else "reads it"
        yield Spot(insn, f"{register.name} (${register.address:04X}) is write-only: {insn.op.mnemonic} {how}")


def _write(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    port = _port(insn, state)
    register = register_at(port) if port is not None else None
    if register is not None and register.access == "r" and insn.op.mnemonic in _WRITES:
        yield Spot(insn, f"{register.name} (${register.address:04X}) is read-only: {insn.op.mnemonic} has no effect")


def _unknown(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    port = _port(insn, state)
    if port is not None and any(port in hole for hole in _HOLES) and register_at(port) is None:
        yield Spot(insn, f"there is no register at ${port:04X}")


def _wide(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    port = _port(insn, state)
    register = register_at(port) if port is not None else None
    if port is None or register is None or register.word != "no" or _narrow(insn, state) != 0:
        return
    neighbor = register_at(register.address + 1)
    if insn.op.mnemonic in _WRITES and (neighbor is None or port & 0xFF8F == _DMA_BANK):
        return  # nothing there, or the byte count of a DMA channel, which is set next
    other = neighbor.name if neighbor else f"${register.address + 1:04X}"
    text = f"16-bit {insn.op.mnemonic} at {register.name} (${register.address:04X}) also touches {other}"
    source = state.x_from if insn.op.mnemonic in _READS_X | _WRITES_X else state.m_from
    certain = 0.9 if register.twice else 0.8
    upper = {"sta": state.ah, "stz": 0, "stx": high(state.ix), "sty": high(state.iy)}.get(insn.op.mnemonic)
    is_meant = isinstance(upper, int) and upper > 0 and not register.twice  # its upper byte was written for a reason
    if (upper == 0 and port != _HDMAEN) or is_meant or insn.op.mnemonic in _READS - _CHANGES:
        certain = 0.4
    yield Spot(insn, text, certain if source in ("set", "entry") else min(certain, 0.6))


def _early(program: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    port = _port(insn, state)
    if port not in _RESULTS or insn.op.mnemonic not in _READS:
        return
    following = program.insns.get(insn.after)
    if following is not None and (following.op, following.operand) == (insn.op, insn.operand):
        return  # repeated reads are a way to wait
    missing = state.math - _BEFORE_READ.get(insn.op.mode, 3)
    if missing > 1:
        text = (
            f"the result at ${port:04X} is read {missing} CPU cycles too early: put {(missing + 1) // 2} nop before it"
        )
        yield Spot(insn, text)


def _blanking(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    port = _port(insn, state)
    if port not in _DATA_PORTS or state.io is None:
        return
    brightness = dict(state.io).get(0x2100)
    if isinstance(brightness, int) and not brightness & 0x80 and brightness & 0x0F:
        register = register_at(port)
        name = register.name if register else f"${port:04X}"
        text = f"{name} is accessed with the screen on ($2100 = ${brightness:02X} above) and no wait for v-blank"
        yield Spot(insn, text)


CHECKS: Final[dict[str, Check]] = {
    "register-read": each(_read),
    "register-write": each(_write),
    "register-unknown": each(_unknown),
    "register-width": each(_wide),
    "math-early": each(_early),
    "blanking": each(_blanking),
}

"""The 65816 in plain Python: `step(cpu, bus)` runs one instruction. No I/O, no globals, no memory of its own.

It is the readable twin of `cpu.c` and takes its place where nothing can be compiled. The table of opcodes is `isa`; an
instruction here is a function of (cpu, bus, mode).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes import isa
from afs.domains.snes.addressing import Action, C, Cpu, CpuBus, D, I, M, N, V, X, Z, modify, operand, store
from afs.domains.snes.control_instructions import CONTROL


def step(cpu: Cpu, bus: CpuBus) -> None:
    """Run one instruction."""
    action, mode = _TABLE[cpu.fetch(bus)]
    action(cpu, bus, mode)


# --- arithmetic and logic -------------------------------------------------------------------------------------


def _low_a(cpu: Cpu) -> int:
    return cpu.a if cpu.wide_a else cpu.a & 0xFF


def _logic(change: Callable[[int, int], int]) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        cpu.load_a(change(_low_a(cpu), operand(cpu, bus, mode, cpu.wide_a)))

    return action


def _decimal(left: int, right: int, carry: int, wide: bool, subtract: bool) -> tuple[int, int, int]:
    """Decimal sum digit by digit: (result, carry, sum before the last correction, for V)."""
    result, before = 0, 0
    for shift in range(0, 16 if wide else 8, 4):
        digit = (left >> shift & 15) + (right >> shift & 15) + carry
        before = result | digit << shift
        if subtract:
            carry = digit > 15
            digit -= 0 if carry else 6
        else:
            digit += 6 if digit > 9 else 0
            carry = digit > 15
        result |= (digit & 15) << shift
    return result, int(carry), before


def _add(cpu: Cpu, value: int, subtract: bool) -> None:
    wide, left, carry = cpu.wide_a, _low_a(cpu), cpu.p & C
    full, sign = (0xFFFF, 0x8000) if wide else (0xFF, 0x80)
    right = value ^ full if subtract else value
    if cpu.p & D:
        result, out, before = _decimal(left, right, carry, wide, subtract)
    else:
        before = left + right + carry
        result, out = before & full, before > full
    cpu.put(V, ~(left ^ right) & (left ^ before) & sign)
    cpu.put(C, out)
    cpu.load_a(result)


def _adc(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    _add(cpu, operand(cpu, bus, mode, cpu.wide_a), False)


def _sbc(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    _add(cpu, operand(cpu, bus, mode, cpu.wide_a), True)


def _compare(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        wide = not cpu.p & wide_flag
        full = 0xFFFF if wide else 0xFF
        left: int = getattr(cpu, register) & full
        right = operand(cpu, bus, mode, wide)
        cpu.put(C, left >= right)
        cpu.set_nz(left - right & full, wide)

    return action


def _bit(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    value = operand(cpu, bus, mode, cpu.wide_a)
    if mode != "imm_m":
        top = value >> 8 if cpu.wide_a else value
        cpu.p = cpu.p & ~(N | V) | top & (N | V)
    cpu.put(Z, not value & _low_a(cpu))


# --- loads, stores, shifts ------------------------------------------------------------------------------------


def _load(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        wide = not cpu.p & wide_flag
        value = operand(cpu, bus, mode, wide)
        if register == "a":
            cpu.load_a(value)
        else:
            setattr(cpu, register, value)
            cpu.set_nz(value, wide)

    return action


def _store(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        value = getattr(cpu, register) if register else 0
        store(cpu, bus, mode, value, not cpu.p & wide_flag)

    return action


def _shift(left: bool, rotate: bool) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        def change(value: int) -> int:
            wide = cpu.wide_a
            carry = cpu.p & C if rotate else 0
            if left:
                out, value = value >> (15 if wide else 7), value << 1 & (0xFFFF if wide else 0xFF) | carry
            else:
                out, value = value & 1, value >> 1 | carry << (15 if wide else 7)
            cpu.put(C, out)
            cpu.set_nz(value, wide)
            return value

        modify(cpu, bus, mode, change)

    return action


def _count(by: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        def change(value: int) -> int:
            value = value + by & (0xFFFF if cpu.wide_a else 0xFF)
            cpu.set_nz(value, cpu.wide_a)
            return value

        modify(cpu, bus, mode, change)

    return action


def _test_bits(set_them: bool) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        def change(value: int) -> int:
            mask = _low_a(cpu)
            cpu.put(Z, not value & mask)
            return value | mask if set_them else value & ~mask

        modify(cpu, bus, mode, change)

    return action


def _count_index(register: str, by: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        value = getattr(cpu, register) + by & (0xFFFF if cpu.wide_x else 0xFF)
        setattr(cpu, register, value)
        cpu.set_nz(value, cpu.wide_x)

    return action


# --- transfers and flags --------------------------------------------------------------------------------------


def _to_index(source: str, target: str) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        value = getattr(cpu, source) & (0xFFFF if cpu.wide_x else 0xFF)
        setattr(cpu, target, value)
        cpu.set_nz(value, cpu.wide_x)

    return action


def _to_a(source: str) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        cpu.load_a(getattr(cpu, source) & (0xFFFF if cpu.wide_a else 0xFF))

    return action


def _to_stack(source: str) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        cpu.s = getattr(cpu, source)
        cpu.wrap_stack()

    return action


def _transfer16(source: str, target: str) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        setattr(cpu, target, getattr(cpu, source))
        cpu.set_nz(getattr(cpu, source), True)

    return action


def _flag(flag: int, on: bool) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        cpu.put(flag, on)

    return action


def _rep_sep(on: bool) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bits = cpu.fetch(bus)
        bus.idle()
        cpu.set_p(cpu.p | bits if on else cpu.p & ~bits)

    return action


def _xba(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    cpu.a = cpu.a >> 8 | (cpu.a & 0xFF) << 8
    cpu.set_nz(cpu.a & 0xFF, False)


def _xce(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    carry, cpu.e = cpu.e, bool(cpu.p & C)
    cpu.put(C, carry)
    cpu.set_p(cpu.p)
    cpu.wrap_stack()


ACTIONS: Final[dict[str, Action]] = {
    "adc": _adc, "sbc": _sbc, "and": _logic(int.__and__), "ora": _logic(int.__or__), "eor": _logic(int.__xor__),
    "cmp": _compare("a", M), "cpx": _compare("x", X), "cpy": _compare("y", X), "bit": _bit,
    "lda": _load("a", M), "ldx": _load("x", X), "ldy": _load("y", X),
    "sta": _store("a", M), "stx": _store("x", X), "sty": _store("y", X), "stz": _store("", M),
    "asl": _shift(True, False), "rol": _shift(True, True), "lsr": _shift(False, False), "ror": _shift(False, True),
    "inc": _count(1), "dec": _count(-1), "tsb": _test_bits(True), "trb": _test_bits(False),
    "inx": _count_index("x", 1), "iny": _count_index("y", 1), "dex": _count_index("x", -1),
    "dey": _count_index("y", -1),
    "tax": _to_index("a", "x"), "tay": _to_index("a", "y"), "tsx": _to_index("s", "x"),
    "txy": _to_index("x", "y"), "tyx": _to_index("y", "x"), "txa": _to_a("x"), "tya": _to_a("y"),
    "txs": _to_stack("x"), "tcs": _to_stack("a"), "tsc": _transfer16("s", "a"),
    "tcd": _transfer16("a", "d"), "tdc": _transfer16("d", "a"),
    "clc": _flag(C, False), "sec": _flag(C, True), "cli": _flag(I, False), "sei": _flag(I, True),
    "cld": _flag(D, False), "sed": _flag(D, True), "clv": _flag(V, False),
    "rep": _rep_sep(False), "sep": _rep_sep(True), "xba": _xba, "xce": _xce,
    **CONTROL,
}  # fmt: skip
"""What each mnemonic does."""

_TABLE: Final = tuple((ACTIONS[op.mnemonic], op.mode) for op in isa.OPS)

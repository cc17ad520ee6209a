"""The 65816 in plain Python: `step(cpu, bus)` runs one instruction. No I/O, no globals, no memory of its own.

It is the readable twin of `cpu.c` and takes its place where nothing can be compiled. The table of opcodes is `isa`; an
instruction here is a function of (cpu, bus, mode).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afs.domains.snes import isa
from afs.domains.snes.addressing import C, Cpu, CpuBus, D, I, M, N, V, X, Z, modify, operand, store

Action = Callable[[Cpu, CpuBus, str], None]


def step(cpu: Cpu, bus: CpuBus) -> None:
    """Run one instruction."""
    action, mode = _TABLE[cpu.fetch(bus)]
    action(cpu, bus, mode)


# --- arithmetic and logic ------------------------------------------------------------------------------------------


def _set_a(cpu: Cpu, value: int) -> None:
    cpu.a = value if cpu.wide_a else cpu.a & 0xFF00 | value
    cpu.set_nz(value, cpu.wide_a)


def _low_a(cpu: Cpu) -> int:
    return cpu.a if cpu.wide_a else cpu.a & 0xFF


def _logic(change: Callable[[int, int], int]) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        _set_a(cpu, change(_low_a(cpu), operand(cpu, bus, mode, cpu.wide_a)))

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
    _set_a(cpu, result)


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


# --- loads, stores, shifts -----------------------------------------------------------------------------------------


def _load(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        wide = not cpu.p & wide_flag
        value = operand(cpu, bus, mode, wide)
        if register == "a":
            _set_a(cpu, value)
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


# --- transfers and flags -------------------------------------------------------------------------------------------


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
        _set_a(cpu, getattr(cpu, source) & (0xFFFF if cpu.wide_a else 0xFF))

    return action


def _to_stack(source: str) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        cpu.s = getattr(cpu, source)
        cpu.mend_stack()

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
    cpu.mend_stack()


# --- stack -----------------------------------------------------------------------------------------------------------


def _push(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        value = getattr(cpu, register)
        if not cpu.p & wide_flag:
            cpu.push(bus, value >> 8)
        cpu.push(bus, value)

    return action


def _pull(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        bus.idle()
        wide = not cpu.p & wide_flag
        value = cpu.pull16(bus) if wide else cpu.pull(bus)
        if register == "a":
            _set_a(cpu, value)
        else:
            setattr(cpu, register, value)
            cpu.set_nz(value, wide)

    return action


def _push_byte(register: str) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        cpu.push(bus, getattr(cpu, register))

    return action


def _plb(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    cpu.db = cpu.pull_new(bus)
    cpu.mend_stack()
    cpu.set_nz(cpu.db, False)


def _plp(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    cpu.set_p(cpu.pull(bus))


def _push_word(cpu: Cpu, bus: CpuBus, value: int) -> None:
    cpu.push_new(bus, value >> 8)
    cpu.push_new(bus, value)
    cpu.mend_stack()


def _phd(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    _push_word(cpu, bus, cpu.d)


def _pld(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    low = cpu.pull_new(bus)
    cpu.d = low | cpu.pull_new(bus) << 8
    cpu.mend_stack()
    cpu.set_nz(cpu.d, True)


def _pea(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    _push_word(cpu, bus, cpu.fetch16(bus))


def _pei(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    offset = cpu.fetch(bus)
    if cpu.d & 0xFF:
        bus.idle()
    low = bus.read(cpu.d + offset & 0xFFFF)
    _push_word(cpu, bus, low | bus.read(cpu.d + offset + 1 & 0xFFFF) << 8)


def _per(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    offset = cpu.fetch16(bus)
    bus.idle()
    _push_word(cpu, bus, cpu.pc + offset & 0xFFFF)


# --- control -------------------------------------------------------------------------------------------------------


def _branch(flag: int, on: bool) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        offset = cpu.fetch(bus)
        if bool(cpu.p & flag) != on:
            return
        target = cpu.pc + offset - (offset & 0x80) * 2 & 0xFFFF
        bus.idle()
        if cpu.e and (target ^ cpu.pc) & 0xFF00:
            bus.idle()
        cpu.pc = target

    return action


def _brl(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    offset = cpu.fetch16(bus)
    bus.idle()
    cpu.pc = cpu.pc + offset & 0xFFFF


def _jmp(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    target = cpu.fetch16(bus)
    if mode == "abs_ind":
        target = bus.read(target) | bus.read(target + 1 & 0xFFFF) << 8
    elif mode == "abs_ind_x":
        bus.idle()
        target = _table_entry(cpu, bus, target)
    cpu.pc = target


def _table_entry(cpu: Cpu, bus: CpuBus, base: int) -> int:
    low = bus.read(cpu.pb << 16 | base + cpu.x & 0xFFFF)
    return low | bus.read(cpu.pb << 16 | base + cpu.x + 1 & 0xFFFF) << 8


def _jml(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    target = cpu.fetch16(bus)
    if mode == "long":
        cpu.pb = cpu.fetch(bus)
    else:
        pointer, target = target, bus.read(target)
        target |= bus.read(pointer + 1 & 0xFFFF) << 8
        cpu.pb = bus.read(pointer + 2 & 0xFFFF)
    cpu.pc = target


def _jsr(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    low = cpu.fetch(bus)
    if mode == "abs":
        target = low | cpu.fetch(bus) << 8
        bus.idle()
        cpu.push16(bus, cpu.pc - 1 & 0xFFFF)
        cpu.pc = target
        return
    _push_word(cpu, bus, cpu.pc)
    base = low | cpu.fetch(bus) << 8
    bus.idle()
    cpu.pc = _table_entry(cpu, bus, base)


def _jsl(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    target = cpu.fetch16(bus)
    cpu.push_new(bus, cpu.pb)
    bus.idle()
    bank = cpu.fetch(bus)
    _push_word(cpu, bus, cpu.pc - 1 & 0xFFFF)
    cpu.pb, cpu.pc = bank, target


def _rts(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    cpu.pc = cpu.pull16(bus) + 1 & 0xFFFF
    bus.idle()


def _rtl(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    low = cpu.pull_new(bus)
    cpu.pc = (low | cpu.pull_new(bus) << 8) + 1 & 0xFFFF
    cpu.pb = cpu.pull_new(bus)
    cpu.mend_stack()


def _rti(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    cpu.set_p(cpu.pull(bus))
    cpu.pc = cpu.pull16(bus)
    if not cpu.e:
        cpu.pb = cpu.pull(bus)


def _interrupt(native: int, emulation: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        cpu.fetch(bus)
        if not cpu.e:
            cpu.push(bus, cpu.pb)
        cpu.push16(bus, cpu.pc)
        cpu.push(bus, cpu.p)
        cpu.p = cpu.p & ~D | I
        vector = emulation if cpu.e else native
        cpu.pb = 0
        cpu.pc = bus.read(vector) | bus.read(vector + 1) << 8

    return action


def _move(by: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        cpu.db = cpu.fetch(bus)
        source = cpu.fetch(bus)
        bus.write(cpu.db << 16 | cpu.y, bus.read(source << 16 | cpu.x))
        bus.idle()
        bus.idle()
        full = 0xFFFF if cpu.wide_x else 0xFF
        cpu.x, cpu.y, cpu.a = cpu.x + by & full, cpu.y + by & full, cpu.a - 1 & 0xFFFF
        if cpu.a != 0xFFFF:
            cpu.pc = cpu.pc - 3 & 0xFFFF

    return action


def _stop(how: str) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        bus.idle()
        cpu.stopped = how

    return action


def _nop(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()


def _wdm(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    cpu.fetch(bus)


ACTIONS: Final[dict[str, Action]] = {
    "adc": _adc, "sbc": _sbc, "and": _logic(int.__and__), "ora": _logic(int.__or__), "eor": _logic(int.__xor__),
    "cmp": _compare("a", M), "cpx": _compare("x", X), "cpy": _compare("y", X), "bit": _bit,
    "lda": _load("a", M), "ldx": _load("x", X), "ldy": _load("y", X),
    "sta": _store("a", M), "stx": _store("x", X), "sty": _store("y", X), "stz": _store("", M),
    "asl": _shift(True, False), "rol": _shift(True, True), "lsr": _shift(False, False), "ror": _shift(False, True),
    "inc": _count(1), "dec": _count(-1), "tsb": _test_bits(True), "trb": _test_bits(False),
    "inx": _count_index("x", 1), "iny": _count_index("y", 1), "dex": _count_index("x", -1), "dey": _count_index("y", -1),
    "tax": _to_index("a", "x"), "tay": _to_index("a", "y"), "tsx": _to_index("s", "x"),
    "txy": _to_index("x", "y"), "tyx": _to_index("y", "x"), "txa": _to_a("x"), "tya": _to_a("y"),
    "txs": _to_stack("x"), "tcs": _to_stack("a"), "tsc": _transfer16("s", "a"),
    "tcd": _transfer16("a", "d"), "tdc": _transfer16("d", "a"),
    "clc": _flag(C, False), "sec": _flag(C, True), "cli": _flag(I, False), "sei": _flag(I, True),
    "cld": _flag(D, False), "sed": _flag(D, True), "clv": _flag(V, False),
    "rep": _rep_sep(False), "sep": _rep_sep(True), "xba": _xba, "xce": _xce,
    "pha": _push("a", M), "phx": _push("x", X), "phy": _push("y", X), "php": _push_byte("p"),
    "phb": _push_byte("db"), "phk": _push_byte("pb"), "pla": _pull("a", M), "plx": _pull("x", X), "ply": _pull("y", X),
    "plb": _plb, "plp": _plp, "phd": _phd, "pld": _pld, "pea": _pea, "pei": _pei, "per": _per,
    "bpl": _branch(N, False), "bmi": _branch(N, True), "bvc": _branch(V, False), "bvs": _branch(V, True),
    "bcc": _branch(C, False), "bcs": _branch(C, True), "bne": _branch(Z, False), "beq": _branch(Z, True),
    "bra": _branch(0, False), "brl": _brl, "jmp": _jmp, "jml": _jml, "jsr": _jsr, "jsl": _jsl,
    "rts": _rts, "rtl": _rtl, "rti": _rti, "brk": _interrupt(0xFFE6, 0xFFFE), "cop": _interrupt(0xFFE4, 0xFFF4),
    "mvn": _move(1), "mvp": _move(-1), "wai": _stop("wai"), "stp": _stop("stp"), "nop": _nop, "wdm": _wdm,
}  # fmt: skip
"""What each mnemonic does."""

_TABLE: Final = tuple((ACTIONS[op.mnemonic], op.mode) for op in isa.OPS)

"""The instructions of the 65816 that move control or the stack: branches, calls, interrupts, pushes, block moves."""

from __future__ import annotations

from typing import Final

from afs.domains.snes.addressing import Action, C, Cpu, CpuBus, D, I, M, N, V, X, Z

# --- stack ----------------------------------------------------------------------------------------------------


def _push_register(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        value = getattr(cpu, register)
        if not cpu.p & wide_flag:
            cpu.push(bus, value >> 8)
        cpu.push(bus, value)

    return action


def _pull_register(register: str, wide_flag: int) -> Action:
    def action(cpu: Cpu, bus: CpuBus, mode: str) -> None:
        bus.idle()
        bus.idle()
        wide = not cpu.p & wide_flag
        value = cpu.pull16(bus) if wide else cpu.pull(bus)
        if register == "a":
            cpu.load_a(value)
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
    cpu.wrap_stack()
    cpu.set_nz(cpu.db, False)


def _plp(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    cpu.set_p(cpu.pull(bus))


def _push_word(cpu: Cpu, bus: CpuBus, value: int) -> None:
    cpu.push_new(bus, value >> 8)
    cpu.push_new(bus, value)
    cpu.wrap_stack()


def _phd(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    _push_word(cpu, bus, cpu.d)


def _pld(cpu: Cpu, bus: CpuBus, mode: str) -> None:
    bus.idle()
    bus.idle()
    low = cpu.pull_new(bus)
    cpu.d = low | cpu.pull_new(bus) << 8
    cpu.wrap_stack()
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


# --- control --------------------------------------------------------------------------------------------------


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
    cpu.wrap_stack()


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


CONTROL: Final[dict[str, Action]] = {
    "pha": _push_register("a", M),
    "phx": _push_register("x", X),
    "phy": _push_register("y", X),
    "php": _push_byte("p"),
    "phb": _push_byte("db"),
    "phk": _push_byte("pb"),
    "pla": _pull_register("a", M),
    "plx": _pull_register("x", X),
    "ply": _pull_register("y", X),
    "plb": _plb,
    "plp": _plp,
    "phd": _phd,
    "pld": _pld,
    "pea": _pea,
    "pei": _pei,
    "per": _per,
    "bpl": _branch(N, False),
    "bmi": _branch(N, True),
    "bvc": _branch(V, False),
    "bvs": _branch(V, True),
    "bcc": _branch(C, False),
    "bcs": _branch(C, True),
    "bne": _branch(Z, False),
    "beq": _branch(Z, True),
    "bra": _branch(0, False),
    "brl": _brl,
    "jmp": _jmp,
    "jml": _jml,
    "jsr": _jsr,
    "jsl": _jsl,
    "rts": _rts,
    "rtl": _rtl,
    "rti": _rti,
    "brk": _interrupt(0xFFE6, 0xFFFE),
    "cop": _interrupt(0xFFE4, 0xFFF4),
    "mvn": _move(1),
    "mvp": _move(-1),
    "wai": _stop("wai"),
    "stp": _stop("stp"),
    "nop": _nop,
    "wdm": _wdm,
}
"""What these mnemonics do."""

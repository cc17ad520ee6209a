"""Registers of the 65816 and its addressing modes in plain Python: what each does, cycle by cycle, to form an address.

What the mnemonics do stands in `cpu.py`; which opcode is which, in `isa.py`. Each call of the bus is one CPU cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

N, V, M, X, D, I, Z, C = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01  # noqa: E741


class CpuBus(Protocol):
    """What the CPU needs from the machine: each call is one CPU cycle."""

    def read(self, address: int) -> int:
        """Read a byte."""

    def fetch(self, address: int) -> int:
        """Read a byte of the program."""

    def write(self, address: int, value: int) -> None:
        """Write a byte."""

    def idle(self) -> None:
        """An internal cycle."""


class Cpu:
    """Registers of the 65816; `p` holds all eight flags, `e` the emulation bit, `stopped` is `stp` or `wai`."""

    __slots__ = ("a", "d", "db", "e", "p", "pb", "pc", "s", "stopped", "x", "y")

    def __init__(self) -> None:
        self.a = self.x = self.y = self.d = self.db = self.pb = self.pc = 0
        self.s, self.p, self.e, self.stopped = 0x1FF, 0x34, False, ""

    # --- bytes of the program, direct page, stack -------------------------------------------------------------------

    def fetch(self, bus: CpuBus) -> int:
        value = bus.fetch(self.pb << 16 | self.pc)
        self.pc = self.pc + 1 & 0xFFFF
        return value

    def fetch16(self, bus: CpuBus) -> int:
        low = self.fetch(bus)
        return low | self.fetch(bus) << 8

    def direct(self, offset: int) -> int:
        """Address in the direct page; emulation mode with D.l = 0 wraps inside the page."""
        if self.e and not self.d & 0xFF:
            return self.d | offset & 0xFF
        return self.d + offset & 0xFFFF

    def push(self, bus: CpuBus, value: int) -> None:
        bus.write(self.s, value & 0xFF)
        self.s = 0x100 | self.s - 1 & 0xFF if self.e else self.s - 1 & 0xFFFF

    def push16(self, bus: CpuBus, value: int) -> None:
        self.push(bus, value >> 8)
        self.push(bus, value)

    def pull(self, bus: CpuBus) -> int:
        self.s = 0x100 | self.s + 1 & 0xFF if self.e else self.s + 1 & 0xFFFF
        return bus.read(self.s)

    def pull16(self, bus: CpuBus) -> int:
        low = self.pull(bus)
        return low | self.pull(bus) << 8

    # What the 6502 did not have moves S in 16 bits even in emulation mode, and corrects its high byte at the end.

    def push_new(self, bus: CpuBus, value: int) -> None:
        bus.write(self.s, value & 0xFF)
        self.s = self.s - 1 & 0xFFFF

    def pull_new(self, bus: CpuBus) -> int:
        self.s = self.s + 1 & 0xFFFF
        return bus.read(self.s)

    def wrap_stack(self) -> None:
        if self.e:
            self.s = 0x100 | self.s & 0xFF

    # --- flags -----------------------------------------------------------------------------------------------------

    def put(self, flag: int, on: int | bool) -> None:
        self.p = self.p | flag if on else self.p & ~flag

    def set_nz(self, value: int, wide: bool) -> None:
        self.p = self.p & ~(N | Z) | (0 if value else Z) | (value >> 8 if wide else value) & N

    def load_a(self, value: int) -> None:
        """Put a value of A's width into A."""
        self.a = value if self.wide_a else self.a & 0xFF00 | value
        self.set_nz(value, self.wide_a)

    def set_p(self, value: int) -> None:
        """Load P; emulation mode keeps M and X set, an 8-bit index loses its high byte."""
        self.p = value | (M | X if self.e else 0)
        if self.p & X:
            self.x &= 0xFF
            self.y &= 0xFF

    @property
    def wide_a(self) -> bool:
        return not self.p & M

    @property
    def wide_x(self) -> bool:
        return not self.p & X


# --- addressing modes: an address, and whether its second byte stays in bank 0 ---

Place = tuple[int, bool]
Action = Callable[[Cpu, CpuBus, str], None]
"""What an instruction does, given its addressing mode."""
AddressMode = Callable[[Cpu, CpuBus, bool], Place]


def _direct_offset(cpu: Cpu, bus: CpuBus) -> int:
    offset = cpu.fetch(bus)
    if cpu.d & 0xFF:
        bus.idle()
    return offset


def _pointer(cpu: Cpu, bus: CpuBus, offset: int) -> int:
    low = bus.read(cpu.direct(offset))
    return low | bus.read(cpu.direct(offset + 1)) << 8


def _long_pointer(cpu: Cpu, bus: CpuBus, offset: int) -> int:
    low = bus.read(cpu.d + offset & 0xFFFF)
    middle = bus.read(cpu.d + offset + 1 & 0xFFFF)
    return low | middle << 8 | bus.read(cpu.d + offset + 2 & 0xFFFF) << 16


def _indexed(cpu: Cpu, bus: CpuBus, base: int, index: int, is_read: bool) -> Place:
    if not is_read or cpu.wide_x or (base & 0xFF) + (index & 0xFF) > 0xFF:
        bus.idle()
    return (cpu.db << 16) + base + index & 0xFFFFFF, False


def _dp(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return cpu.direct(_direct_offset(cpu, bus)), True


def _dp_x(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    offset = _direct_offset(cpu, bus)
    bus.idle()
    return cpu.direct(offset + cpu.x), True


def _dp_y(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    offset = _direct_offset(cpu, bus)
    bus.idle()
    return cpu.direct(offset + cpu.y), True


def _dp_ind(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return cpu.db << 16 | _pointer(cpu, bus, _direct_offset(cpu, bus)), False


def _dp_ind_x(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    offset = _direct_offset(cpu, bus)
    bus.idle()
    if not cpu.e:
        return cpu.db << 16 | _pointer(cpu, bus, offset + cpu.x), False
    at = cpu.direct(offset + cpu.x)  # emulation: the second byte of the pointer never leaves the page of the first
    low = bus.read(at)
    return cpu.db << 16 | low | bus.read(at & 0xFF00 | at + 1 & 0xFF) << 8, False


def _dp_ind_y(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return _indexed(cpu, bus, _pointer(cpu, bus, _direct_offset(cpu, bus)), cpu.y, is_read)


def _dp_long(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return _long_pointer(cpu, bus, _direct_offset(cpu, bus)), False


def _dp_long_y(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return _long_pointer(cpu, bus, _direct_offset(cpu, bus)) + cpu.y & 0xFFFFFF, False


def _abs(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return cpu.db << 16 | cpu.fetch16(bus), False


def _abs_x(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return _indexed(cpu, bus, cpu.fetch16(bus), cpu.x, is_read)


def _abs_y(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return _indexed(cpu, bus, cpu.fetch16(bus), cpu.y, is_read)


def _long(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    low = cpu.fetch16(bus)
    return low | cpu.fetch(bus) << 16, False


def _long_x(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    return _long(cpu, bus, is_read)[0] + cpu.x & 0xFFFFFF, False


def _sr(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    offset = cpu.fetch(bus)
    bus.idle()
    return cpu.s + offset & 0xFFFF, True


def _sr_ind_y(cpu: Cpu, bus: CpuBus, is_read: bool) -> Place:
    base, _ = _sr(cpu, bus, is_read)
    low = bus.read(base)
    pointer = low | bus.read(base + 1 & 0xFFFF) << 8
    bus.idle()
    return (cpu.db << 16) + pointer + cpu.y & 0xFFFFFF, False


_ADDRESS: Final[dict[str, AddressMode]] = {
    "dp": _dp,
    "dp_x": _dp_x,
    "dp_y": _dp_y,
    "dp_ind": _dp_ind,
    "dp_ind_x": _dp_ind_x,
    "dp_ind_y": _dp_ind_y,
    "dp_long": _dp_long,
    "dp_long_y": _dp_long_y,
    "abs": _abs,
    "abs_x": _abs_x,
    "abs_y": _abs_y,
    "long": _long,
    "long_x": _long_x,
    "sr": _sr,
    "sr_ind_y": _sr_ind_y,
}


def _second(address: int, in_bank_0: bool) -> int:
    return address + 1 & (0xFFFF if in_bank_0 else 0xFFFFFF)


def operand(cpu: Cpu, bus: CpuBus, mode: str, wide: bool) -> int:
    """Read the operand of an instruction."""
    if mode.startswith("imm"):
        return cpu.fetch16(bus) if wide else cpu.fetch(bus)
    address, in_bank_0 = _ADDRESS[mode](cpu, bus, True)
    low = bus.read(address)
    return low | bus.read(_second(address, in_bank_0)) << 8 if wide else low


def store(cpu: Cpu, bus: CpuBus, mode: str, value: int, wide: bool) -> None:
    """Write a register to where the mode says."""
    address, in_bank_0 = _ADDRESS[mode](cpu, bus, False)
    bus.write(address, value & 0xFF)
    if wide:
        bus.write(_second(address, in_bank_0), value >> 8)


def modify(cpu: Cpu, bus: CpuBus, mode: str, change: Callable[[int], int]) -> None:
    """Read, change, write back; 16 bits are written high byte first."""
    if mode == "acc":
        bus.idle()
        value = change(cpu.a if cpu.wide_a else cpu.a & 0xFF)
        cpu.a = value if cpu.wide_a else cpu.a & 0xFF00 | value
        return
    address, in_bank_0 = _ADDRESS[mode](cpu, bus, False)
    second = _second(address, in_bank_0)
    value = bus.read(address)
    if cpu.wide_a:
        value |= bus.read(second) << 8
    bus.idle()
    value = change(value)
    if cpu.wide_a:
        bus.write(second, value >> 8)
    bus.write(address, value & 0xFF)

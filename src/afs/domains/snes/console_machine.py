"""A booted machine on one of the two CPU cores: resumed up to a master clock, and touched by interrupts and HDMA.

When interrupts and HDMA happen is decided in `console`; nothing here knows it.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable
from typing import Final, Literal, Protocol

from afs.domains.snes import cpu_kernel, memory_map
from afs.domains.snes.addressing import Cpu
from afs.domains.snes.bus import Bus
from afs.domains.snes.cpu import step
from afs.domains.snes.harness import STOPS, Stop, Where
from afs.domains.snes.memory_map import PORTS

Core = Literal["auto", "c", "python"]
_PORT_SPACE: Final = 0x2000, 0x6000


def power_on_memory() -> bytes:
    """Noise in the memories, zeros in the registers."""
    start, end = (PORTS + port for port in _PORT_SPACE)
    noise = memory_map.noise()
    return noise[:start] + bytes(end - start) + noise[end:]


class Registers(Protocol):
    """The CPU's registers, as both cores name them."""

    a: int
    x: int
    y: int
    s: int
    d: int
    pc: int
    db: int
    pb: int
    p: int
    e: bool


class ConsoleMachine(Protocol):
    """What `console` needs of a core."""

    instructions: int

    @property
    def regs(self) -> Registers:
        """The CPU's registers."""

    @property
    def clock(self) -> int:
        """Master clocks since power-on."""

    @property
    def irq(self) -> bool:
        """Is the timer's interrupt line active?"""

    def set_irq(self, on: bool) -> None:
        """Raise or drop the interrupt line."""

    def set_pad(self, buttons: int) -> None:
        """Hold buttons of the first pad."""

    def resume(self, until: int) -> Stop:
        """Run up to a clock or a write to an interrupt or HDMA register; `budget` means: not stopped."""

    def read(self, address: int) -> int:
        """One CPU read."""

    def write(self, address: int, value: int) -> None:
        """One CPU write."""

    def idle(self) -> None:
        """One internal CPU cycle."""

    def wait(self, clocks: int) -> None:
        """Let time pass without the CPU."""

    def dma_read(self, address: int) -> int:
        """Read memory as DMA does."""

    def port_write(self, port: int, value: int) -> None:
        """Write a register as DMA does."""

    def port_put(self, port: int, value: int) -> None:
        """Set a register's byte without acting on it."""

    def port(self, port: int) -> int:
        """The last byte written to a register."""

    def memory(self, offset: int, size: int) -> bytes:
        """Bytes of the arena."""

    def noted(self) -> list[int]:
        """Arena offsets read before they were written."""


class NativeConsole:
    """The compiled core."""

    def __init__(self, where: Where, rom: bytes, logs: bool = False) -> None:
        self._core = cpu_kernel.Core(where, rom, traced=2 if logs else 0, fill=power_on_memory())
        self._library, self._pointer = self._core.library, self._core.pointer
        self._regs, self._progress = cpu_kernel.Regs(), cpu_kernel.ResumeProgress()
        self.instructions = 0
        self.resume(0)

    @property
    def regs(self) -> Registers:
        return self._regs

    @property
    def clock(self) -> int:
        return int(self._library.afs_clock(self._pointer))

    @property
    def irq(self) -> bool:
        return bool(self._library.afs_irq(self._pointer))

    def set_irq(self, on: bool) -> None:
        self._library.afs_set_irq(self._pointer, on)

    def set_pad(self, buttons: int) -> None:
        self._library.afs_set_pad(self._pointer, buttons)

    def resume(self, until: int) -> Stop:
        progress = self._progress
        code = self._library.afs_resume(self._pointer, c.byref(self._regs), until, c.byref(progress))
        cpu_kernel.checked(-2 if code else 0)
        self.instructions += progress.instructions
        stop: Stop = STOPS[progress.stop]
        return stop

    def read(self, address: int) -> int:
        return int(self._library.afs_read(self._pointer, address))

    def write(self, address: int, value: int) -> None:
        self._library.afs_write(self._pointer, address, value)

    def idle(self) -> None:
        self._library.afs_idle(self._pointer, 1)

    def wait(self, clocks: int) -> None:
        self._library.afs_wait(self._pointer, clocks)

    def dma_read(self, address: int) -> int:
        return int(self._library.afs_dma_read(self._pointer, address))

    def port_write(self, port: int, value: int) -> None:
        self._library.afs_port_write(self._pointer, port, value)

    def port_put(self, port: int, value: int) -> None:
        self._library.afs_port_put(self._pointer, port, value)

    def port(self, port: int) -> int:
        return int(self._progress.arena[PORTS + port])

    def memory(self, offset: int, size: int) -> bytes:
        return bytes(self._progress.arena[offset : offset + size])

    def code_data_log(self, size: int) -> bytes:
        """How each byte of the ROM was used, in Mesen's flags; only with `logs`."""
        return bytes(self._progress.cdl[:size])

    def noted(self) -> list[int]:
        return [self._progress.noted[at] for at in range(self._progress.n_noted)]


class PythonConsole:
    """The plain-Python core."""

    def __init__(self, where: Where, rom: bytes) -> None:
        self._bus = Bus(where[0], rom, where[2])
        self._bus.arena[:] = power_on_memory()
        self._bus.ports.console = 1
        self._cpu = Cpu()
        self.instructions = 0
        self.watch: Callable[[Cpu, Bus], None] | None = None
        """Called before each instruction."""

    @property
    def regs(self) -> Registers:
        return self._cpu

    @property
    def clock(self) -> int:
        return self._bus.clocks + self._bus.stall

    @property
    def irq(self) -> bool:
        return bool(self._bus.ports.irq)

    def set_irq(self, on: bool) -> None:
        self._bus.ports.irq = int(on)

    def set_pad(self, buttons: int) -> None:
        self._bus.ports.pad = buttons

    def resume(self, until: int) -> Stop:
        cpu, bus = self._cpu, self._bus
        bus.ports.wakes, cpu.stopped = 0, ""
        while bus.clocks + bus.stall < until and not bus.ports.wakes:
            if not bus.executable(cpu.pb << 16 | cpu.pc):
                return "wild"
            if self.watch:
                self.watch(cpu, bus)
            step(cpu, bus)
            self.instructions += 1
            if cpu.stopped:
                return "stp" if cpu.stopped == "stp" else "wai"
        return "budget"

    def read(self, address: int) -> int:
        return self._bus.read(address)

    def write(self, address: int, value: int) -> None:
        self._bus.write(address, value)

    def idle(self) -> None:
        self._bus.idle()

    def wait(self, clocks: int) -> None:
        self._bus.stall += clocks

    def dma_read(self, address: int) -> int:
        return self._bus.dma_read(address)

    def port_write(self, port: int, value: int) -> None:
        self._bus.port_write(port, value)

    def port_put(self, port: int, value: int) -> None:
        self._bus.put(PORTS + port, value)

    def port(self, port: int) -> int:
        return self._bus.arena[PORTS + port]

    def memory(self, offset: int, size: int) -> bytes:
        return bytes(self._bus.arena[offset : offset + size])

    def noted(self) -> list[int]:
        return list(self._bus.noted)


def build_machine(where: Where, rom: bytes, core: Core = "auto", logs: bool = False) -> ConsoleMachine:
    """A machine with a ROM in it, before its reset; `logs` for a code/data log (the compiled core only)."""
    if core == "python" or (core == "auto" and not cpu_kernel.core()):
        return PythonConsole(where, rom)
    return NativeConsole(where, rom, logs)

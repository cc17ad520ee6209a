"""The bus of the plain-Python machine: memory, clocks, and what a run did (writes, register log, uninitialized reads).

Every access is one CPU cycle of 6, 8 or 12 master clocks. Writes are logged with the old byte, so that `restore` is as
cheap as the run was small.
"""

from __future__ import annotations

from typing import Final

from afs.domains.snes.hardware_ports import Ports, has_side_effect
from afs.domains.snes.memory_map import (
    ARENA,
    FLAT,
    IO,
    OPEN,
    PORTS,
    RAM,
    ROM,
    access_clocks,
    fill_byte,
    noise,
    page_table,
)

DEFINED: Final = 1
"""May be read without notice: an input, written before, or noted already."""
WRITTEN: Final = 2
ALLOWED: Final = 4
"""May be written."""
COMPARED: Final = 8
"""Its final value belongs to the effect of the routine."""
ORIGINAL: Final = 16
"""Written by the first of two programs that are compared (`equal`)."""
INPUT: Final = 32

READ: Final = 0x10000
"""Marks an entry of the register log as a read that changed something."""
IO_LOG_LIMIT: Final = 1 << 16
"""Register writes kept per run; the rest is only counted."""


class Bus:
    """Memory and registers of one machine."""

    def __init__(self, mapper: str, rom: bytes, sram_size: int, fast: bool = False) -> None:
        self.mapper, self.rom = mapper, bytearray(rom)
        self.pages = page_table(mapper, len(rom), sram_size)
        flat = mapper == "flat"
        self.arena = bytearray(FLAT) if flat else bytearray(noise())
        self.shadow = bytearray([ALLOWED | COMPARED]) * (FLAT if flat else ARENA)
        self.ports = Ports()
        self.fill = self.phase = 0
        self.filled: list[tuple[int, int]] = []
        self.start_fast = self.fast = fast
        self.begin()

    def begin(self) -> None:
        """Reset everything but the memory."""
        self.cycles = self.clocks = self.stall = self.early = self.mdr = 0
        self.violation: int | None = None
        self.undo: list[tuple[int, int]] = []
        self.io_log: list[tuple[int, int]] = []
        self.io_writes = 0
        self.noted: list[int] = []

    def restore(self) -> None:
        """Undo every write of the last run."""
        for offset, old in reversed(self.undo):
            self.arena[offset] = old
            self.shadow[offset] &= ~(WRITTEN | ORIGINAL)
            if not self.shadow[offset] & INPUT:
                self.shadow[offset] &= ~DEFINED
        for offset in self.noted:
            self.shadow[offset] &= ~DEFINED
        for offset, old in reversed(self.filled):
            self.arena[offset] = old
        self.filled = []
        self.ports = Ports()
        self.fast = self.start_fast
        self.begin()

    def vary(self, fill: int, phase: int) -> None:
        """Set what undefined memory and latches hold (0: what lies there), and when in the frame the run begins."""
        self.fill, self.phase = fill, phase
        if fill:
            self.ports.seed(fill)

    def _give_value(self, offset: int) -> None:
        if self.fill:
            self.filled.append((offset, self.arena[offset]))
            self.arena[offset] = fill_byte(self.fill, offset)

    def peek_arena(self, offset: int) -> int:
        """A byte of the arena without the machine noticing."""
        undefined = self.fill and not self.shadow[offset] & DEFINED
        return fill_byte(self.fill, offset) if undefined else self.arena[offset]

    # --- the arena ---------------------------------------------------------------------------------------------------

    def get(self, offset: int) -> int:
        if not self.shadow[offset] & DEFINED:
            self.note(offset)
        return self.arena[offset]

    def note(self, offset: int) -> None:
        """An uninitialized byte was read."""
        if not self.shadow[offset] & DEFINED:
            self._give_value(offset)
            self.shadow[offset] |= DEFINED
            self.noted.append(offset)

    def put(self, offset: int, value: int) -> None:
        flags = self.shadow[offset]
        if not flags & WRITTEN:
            if not flags & DEFINED:
                self._give_value(offset)
            self.undo.append((offset, self.arena[offset]))
            self.shadow[offset] = flags | WRITTEN | DEFINED
            if not flags & ALLOWED and self.violation is None:
                self.violation = offset
        self.arena[offset] = value

    # --- the CPU's side ----------------------------------------------------------------------------------------------

    def idle(self) -> None:
        self.cycles += 1
        self.clocks += 6

    def read(self, address: int) -> int:
        page = self.pages[address >> 13]
        kind, offset = page >> 28, (page & 0xFFFFFFF) + (address & 0x1FFF)
        if kind == RAM:
            self.mdr = self.get(offset)
        elif kind == ROM:
            self.mdr = self.rom[offset]
        elif kind == IO:
            self.mdr = self.port_read(address & 0xFFFF)
        self._tick(address)
        return self.mdr

    fetch = read

    def write(self, address: int, value: int) -> None:
        page = self.pages[address >> 13]
        kind, offset = page >> 28, (page & 0xFFFFFFF) + (address & 0x1FFF)
        self.mdr = value
        before = self.fast
        if kind == RAM:
            self.put(offset, value)
        elif kind == IO:
            self.port_write(address & 0xFFFF, value)
        self._tick(address, before)

    def _tick(self, address: int, fast: bool | None = None) -> None:
        self.cycles += 1
        self.clocks += access_clocks(address, self.fast if fast is None else fast)

    def executable(self, address: int) -> bool:
        """Does an instruction at this address come from memory?"""
        return self.pages[address >> 13] >> 28 in (RAM, ROM)

    def peek(self, address: int) -> int:
        """Read a byte of memory without side effects."""
        page = self.pages[address >> 13]
        kind, offset = page >> 28, (page & 0xFFFFFFF) + (address & 0x1FFF)
        if kind == OPEN:
            return 0
        return self.rom[offset] if kind == ROM else self.arena[offset]

    # --- registers and DMA -------------------------------------------------------------------------------------------

    def port_read(self, port: int) -> int:
        offset = PORTS + port
        if self.shadow[offset] & INPUT:
            return self.arena[offset]
        if has_side_effect(port):
            if self.io_writes < IO_LOG_LIMIT:
                self.io_log.append((READ | port, 0))
            self.io_writes += 1
        if 0x4210 <= port <= 0x4212:
            self.note(offset)
        value = self.ports.read(self, port, self.cycles, self.clocks + self.stall + self.phase)
        if value is None:
            self.note(offset)
            return self.mdr
        return value

    def port_write(self, port: int, value: int) -> None:
        if self.io_writes < IO_LOG_LIMIT:
            self.io_log.append((port, value))
        self.io_writes += 1
        self.put(PORTS + port, value)
        self.ports.write(self, port, value, self.cycles)

    def dma_read(self, address: int) -> int:
        page = self.pages[address >> 13]
        kind, offset = page >> 28, (page & 0xFFFFFFF) + (address & 0x1FFF)
        if kind == RAM:
            return self.get(offset)
        return self.rom[offset] if kind == ROM else self.mdr

    def dma_write(self, address: int, value: int) -> None:
        page = self.pages[address >> 13]
        if page >> 28 == RAM:
            self.put((page & 0xFFFFFFF) + (address & 0x1FFF), value)

"""A ROM from reset on: interrupts, timers, HDMA and pads around a CPU core, frame by frame. No picture, no sound.

    console = Console(rom)
    console.play(60)
    console.machine.memory(0x10, 2)

NMI and IRQ are taken between instructions; HDMA runs at the end of each line; both, and DMA, cost their time. DRAM
refresh and interlace are left out. What a program uses and this does not model is listed by `unmodeled`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from afs.domains.snes.console_machine import ConsoleMachine, Core, build_machine
from afs.domains.snes.hardware_ports import FRAME_CLOCKS, LINE_CLOCKS, VBLANK_LINE
from afs.domains.snes.harness import Stop, padded_rom
from afs.domains.snes.hdma import Hdma
from afs.domains.snes.memory_map import PORTS
from afs.domains.snes.rom import detect_mapper, header_offset
from afs.errors import DataError

NMITIMEN, HTIME, VTIME, HDMAEN = 0x4200, 0x4207, 0x4209, 0x420C
_HDMA_DOT: Final = 278
_NMI, _IRQ = (0xFFEA, 0xFFFA), (0xFFEE, 0xFFFE)
"""Vectors: native, emulation."""
_BREAK, _IRQ_OFF, _DECIMAL = 0x10, 0x04, 0x08
_AREAS: Final = (
    (range(0x2140, 0x2180), "the sound processor beyond the handshake of its boot ROM"),
    (range(0x2200, 0x2400), "SA-1"),
    (range(0x3000, 0x3300), "SuperFX"),
    (range(0x2137, 0x213E), "the position of the beam beyond whole lines and dots"),
    (range(0x4017, 0x4018), "the second pad"),
)

_MODELED: Final = (*range(0x4210, 0x4213), *range(0x4300, 0x4380))
"""Noted when they are read, though they are modeled: a routine should not depend on them."""


class Console:
    """One machine from power-on."""

    def __init__(self, rom: bytes, mapper: str = "", core: Core = "auto", logs: bool = False) -> None:
        self.mapper = mapper or detect_mapper(rom)[0]
        if len(rom) < header_offset(self.mapper) + 0x40:
            raise DataError(f"a ROM of {len(rom)} bytes has no reset vector for {self.mapper}")
        padded = padded_rom(rom)
        self.where = (self.mapper, len(padded), _sram_size(rom, self.mapper))
        """The memory map."""
        self.machine: ConsoleMachine = build_machine(self.where, padded, core, logs)
        self.frames = 0
        self.stop: Stop = "budget"
        self._hdma = Hdma(self.machine)
        self._line = 0
        """The next line whose end has not been looked at, counted from power-on."""
        self._nmi_pending = False
        self._blank_seen = 0
        """The last vertical blank whose NMI was decided, counted from 1."""
        self._irq_at = -1
        self._reset()

    def _reset(self) -> None:
        regs = self.machine.regs
        regs.e, regs.p, regs.s, regs.d, regs.db, regs.pb = True, 0x34, 0x01FF, 0, 0, 0
        regs.pc = self.machine.read(0xFFFC) | self.machine.read(0xFFFD) << 8

    def play(self, frames: int, presses: Mapping[int, int] | None = None) -> Stop:
        """Run some frames more; `presses` says which buttons are held from a frame on. `budget` means still running."""
        last = self.frames + frames
        while self.frames < last and self.stop == "budget":
            if presses and self.frames in presses:
                self.machine.set_pad(presses[self.frames])
            self._play_frame()
        return self.stop

    def _play_frame(self) -> None:
        end = (self.frames + 1) * FRAME_CLOCKS
        self._hdma.begin_frame(self.machine.port(HDMAEN))
        while self.stop == "budget" and self.machine.clock < end:
            self._advance(min(end, self._next_event()))
        if self.stop == "budget":
            self.frames += 1

    def _next_event(self) -> int:
        """The next clock at which something outside of the CPU happens."""
        machine, now = self.machine, self.machine.clock
        events = [self._blank_clock()]
        if machine.port(HDMAEN):
            self._line = max(self._line, now // LINE_CLOCKS)
            events.append(self._line * LINE_CLOCKS + _HDMA_DOT * 4)
        if self._irq_at < 0:
            self._irq_at = self._next_irq(now)
        if self._irq_at >= 0:
            events.append(self._irq_at)
        if self._nmi_pending or (machine.irq and not machine.regs.p & _IRQ_OFF):
            return now
        if machine.irq:
            events.append(now + 1)  # the interrupt is taken as soon as the program allows it
        return max(min(events), now)

    def _blank_clock(self) -> int:
        return self._blank_seen * FRAME_CLOCKS + VBLANK_LINE * LINE_CLOCKS

    def _next_irq(self, now: int) -> int:
        """When the timers match next; -1 while they are off."""
        machine = self.machine
        kind = machine.port(NMITIMEN) >> 4 & 3
        if not kind:
            return -1
        dot = (machine.port(HTIME) | (machine.port(HTIME + 1) & 1) << 8) * 4 + 14 if kind & 1 else 10
        if kind == 1:
            at = now // LINE_CLOCKS * LINE_CLOCKS + dot
            return at if at > now else at + LINE_CLOCKS
        line = machine.port(VTIME) | (machine.port(VTIME + 1) & 1) << 8
        at = now // FRAME_CLOCKS * FRAME_CLOCKS + line * LINE_CLOCKS + dot
        return at if at > now else at + FRAME_CLOCKS

    def _advance(self, until: int) -> None:
        machine = self.machine
        before = machine.port(NMITIMEN)
        stop = machine.resume(until)
        if stop == "wai":
            self._wait_for_interrupt(until)
        elif stop != "budget":
            self.stop = stop
            return
        if machine.clock < until and stop != "wai":
            self._registers_written(before)
        self._act()

    def _registers_written(self, before: int) -> None:
        """The program wrote NMITIMEN, a timer or HDMAEN."""
        now = self.machine.port(NMITIMEN)
        self._irq_at = -1
        if not now & 0x30:
            self.machine.set_irq(False)
        in_blank = self.machine.clock // LINE_CLOCKS % (FRAME_CLOCKS // LINE_CLOCKS) >= VBLANK_LINE
        if now & 0x80 and not before & 0x80 and in_blank and self._blank_seen > self.frames:
            self._nmi_pending = True

    def _act(self) -> None:
        """Whatever is due by now."""
        machine, now = self.machine, self.machine.clock
        if now >= self._blank_clock():
            self._blank_seen += 1
            self._nmi_pending |= bool(machine.port(NMITIMEN) & 0x80)
        if 0 <= self._irq_at <= now:
            machine.set_irq(True)
            self._irq_at = -1
        if machine.port(HDMAEN) and now >= self._line * LINE_CLOCKS + _HDMA_DOT * 4:
            if self._line % (FRAME_CLOCKS // LINE_CLOCKS) < VBLANK_LINE:
                self._hdma.run_line(machine.port(HDMAEN))
            self._line += 1
        if self._nmi_pending:
            self._nmi_pending = False
            self._interrupt(_NMI)
        elif machine.irq and not machine.regs.p & _IRQ_OFF:
            self._interrupt(_IRQ)

    def _wait_for_interrupt(self, until: int) -> None:
        """WAI: time passes to the next event; the program continues when an interrupt is pending."""
        machine = self.machine
        while not (machine.irq or self._nmi_pending):
            machine.wait(max(until - machine.clock, 1))
            now = machine.clock
            if now >= self._blank_clock():
                self._blank_seen += 1
                self._nmi_pending |= bool(machine.port(NMITIMEN) & 0x80)
            if 0 <= self._irq_at <= now:
                machine.set_irq(True)
                self._irq_at = -1
            if machine.irq or self._nmi_pending or now >= (self.frames + 1) * FRAME_CLOCKS:
                break
            until = min(self._next_event(), (self.frames + 1) * FRAME_CLOCKS)
        if not (machine.irq or self._nmi_pending):
            machine.regs.pc = machine.regs.pc - 1 & 0xFFFF  # still waiting: WAI runs again in the next frame

    def _interrupt(self, vectors: tuple[int, int]) -> None:
        machine, regs = self.machine, self.machine.regs
        machine.idle()
        machine.idle()
        if not regs.e:
            self._push(regs.pb)
        self._push(regs.pc >> 8)
        self._push(regs.pc & 0xFF)
        self._push(regs.p & ~_BREAK if regs.e else regs.p)
        regs.p = regs.p & ~_DECIMAL | _IRQ_OFF
        vector = vectors[1 if regs.e else 0]
        regs.pb = 0
        regs.pc = machine.read(vector) | machine.read(vector + 1) << 8

    def _push(self, value: int) -> None:
        regs = self.machine.regs
        self.machine.write(regs.s, value)
        regs.s = 0x100 | regs.s - 1 & 0xFF if regs.e else regs.s - 1 & 0xFFFF

    def unmodeled(self) -> tuple[str, ...]:
        """What the program used so far that is not modeled."""
        read = {offset - PORTS for offset in self.machine.noted() if offset >= PORTS}
        used = {port for port in range(0x2100, 0x4400) if self.machine.port(port)} | read
        found = [what for ports, what in _AREAS if used & set(ports)]
        named = {port for ports, _ in _AREAS for port in ports} | set(_MODELED)
        return (*found, *(f"a read of ${port:04X}" for port in sorted(read - named)))


def _sram_size(rom: bytes, mapper: str) -> int:
    code = rom[header_offset(mapper) + 0x18]
    return min(1024 << code, 0x20000) & ~0x1FFF if 3 <= code <= 9 else 0

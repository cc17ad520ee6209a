"""The registers a routine can see without a picture: multiplier, divider, WRAM/VRAM/CGRAM/OAM ports, counters, DMA.

Video memory is moved as bytes only: nothing is drawn, accesses outside blanking are not refused, HDMA and interrupts
do not run. A register that is not modeled gives open bus, and its reading is noted as uninitialized unless the
contract declares it.
"""

from __future__ import annotations

from typing import Final, Protocol

from afs.domains.snes.memory_map import CGRAM, OAM, PORTS, VRAM, WRAM, mix

LINE_CLOCKS: Final = 1364
LINES: Final = 262
VBLANK_LINE: Final = 225
NMI_OFFSET: Final = (LINES - VBLANK_LINE) * LINE_CLOCKS
FRAME_CLOCKS: Final = LINES * LINE_CLOCKS

DMA_PATTERN: Final = tuple(tuple(map(int, row)) for row in "0000 0101 0000 0011 0123 0101 0000 0011".split())  # noqa: SIM905
_STEP: Final = (1, 32, 128, 128)
_LATCHING: Final = (*range(0x210D, 0x210F), *range(0x211B, 0x2121))


def has_side_effect(port: int) -> bool:
    """Does reading this register change something?"""
    return 0x2137 <= port <= 0x213D or port in (0x213F, 0x2180, 0x4016, 0x4017, 0x4210, 0x4211)


class PortBus(Protocol):
    """What the registers need from the machine around them."""

    arena: bytearray
    shadow: bytearray
    mdr: int
    fast: bool
    stall: int
    early: int

    def put(self, offset: int, value: int) -> None:
        """Write a byte of the arena, logged."""

    def get(self, offset: int) -> int:
        """Read a byte of the arena, noting it when uninitialized."""

    def note(self, offset: int) -> None:
        """Note that an uninitialized byte was read."""

    def peek_arena(self, offset: int) -> int:
        """A byte of the arena without the machine noticing."""

    def dma_read(self, address: int) -> int:
        """Read on the A bus: memory, never a register."""

    def dma_write(self, address: int, value: int) -> None:
        """Write on the A bus."""

    def port_read(self, port: int) -> int:
        """Read a register."""

    def port_write(self, port: int, value: int) -> None:
        """Write a register."""


class Ports:
    """Hidden state behind the registers; copied whole when a start state is restored."""

    __slots__ = (
        "alu_at",
        "apu",
        "busy",
        "cg_at",
        "cg_flip",
        "cg_latch",
        "console",
        "divides",
        "h_flip",
        "h_latch",
        "irq",
        "m7_a",
        "m7_b",
        "m7_latch",
        "nmi_seen",
        "oam_at",
        "oam_latch",
        "pad",
        "pad_shift",
        "product",
        "quotient",
        "shift",
        "v_flip",
        "v_latch",
        "vlatch",
        "vlatch_at",
        "vmain",
        "vram_at",
        "wakes",
        "wm_at",
    )

    alu_at: int
    apu: int
    busy: int
    cg_at: int
    cg_flip: int
    cg_latch: int
    console: int
    divides: int
    h_flip: int
    h_latch: int
    irq: int
    m7_a: int
    m7_b: int
    m7_latch: int
    nmi_seen: int
    oam_at: int
    oam_latch: int
    pad: int
    pad_shift: int
    product: int
    quotient: int
    shift: int
    v_flip: int
    v_latch: int
    vlatch: int
    vlatch_at: int
    vmain: int
    vram_at: int
    wakes: int
    wm_at: int

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)
        self.vlatch_at = VRAM

    def seed(self, fill: int) -> None:
        """Let the latches hold anything, as they do before code sets them."""
        one = mix(fill)
        two = mix(one + 1)
        self.product, self.quotient, self.m7_a, self.m7_b = (one >> shift & 0xFFFF for shift in (0, 16, 32, 48))
        self.vram_at, self.vmain, self.wm_at = two & 0x7FFF, two >> 15 & 0x80, two >> 16 & 0x1FFFF
        self.oam_at, self.cg_at, self.h_latch = two >> 33 & 0x3FF, two >> 43 & 0xFF, two >> 51 & 0xFF
        self.v_latch, self.vlatch = two >> 56, one >> 24 & 0xFFFF

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, bus: PortBus, port: int, cycle: int, clock: int) -> int | None:
        """Value of a register, or None where there is nothing to model."""
        if self.console and (value := self._read_console(bus, port)) is not None:
            return value
        if 0x4300 <= port < 0x4380:
            return bus.get(PORTS + port)
        if 0x4210 <= port <= 0x4217:
            return self._read_cpu(bus, port, cycle, clock)
        if 0x2134 <= port <= 0x2136:
            signed_a = self.m7_a - (self.m7_a >> 15 << 16)
            signed_b = (self.m7_b >> 8) - (self.m7_b >> 15 << 8)
            return signed_a * signed_b >> (port - 0x2134) * 8 & 0xFF
        if port in (0x2138, 0x2139, 0x213A, 0x213B, 0x2180):
            return self._read_memory(bus, port)
        return self._read_counter(bus, port, clock)

    def _read_cpu(self, bus: PortBus, port: int, cycle: int, clock: int) -> int | None:
        if port == 0x4210:
            frame = (clock + NMI_OFFSET) // FRAME_CLOCKS
            over = self.console and clock // LINE_CLOCKS % LINES < VBLANK_LINE  # the flag falls when the blank ends
            fresh, self.nmi_seen = frame > self.nmi_seen and not over, frame
            return fresh << 7 | bus.mdr & 0x70 | 2
        if port == 0x4211:
            irq, self.irq = self.irq, 0
            return irq << 7 | bus.mdr & 0x7F
        if port == 0x4212:
            line, dot = clock // LINE_CLOCKS % LINES, clock % LINE_CLOCKS // 4
            blank, reading = line >= VBLANK_LINE, VBLANK_LINE <= line < VBLANK_LINE + 3
            return blank << 7 | (dot < 1 or dot >= 274) << 6 | bus.mdr & 0x3E | reading
        if port == 0x4213:
            return None
        self.advance(cycle)
        bus.early += self.busy > 0
        if not (bus.shadow[PORTS + 0x4203] | bus.shadow[PORTS + 0x4206]) & 2:  # nothing was multiplied or divided
            bus.note(PORTS + port)
        value = self.quotient if port < 0x4216 else self.product
        return value >> 8 if port & 1 else value & 0xFF

    def _read_console(self, bus: PortBus, port: int) -> int | None:
        """Registers of a booted machine: the sound processor's boot ROM (AA BB, then it echoes), and the pads."""
        if 0x2140 <= port < 0x2180:
            self.apu = self.apu or 1
            number = port & 3
            return (0xAA, 0xBB)[number] if self.apu == 1 and number < 2 else bus.arena[PORTS + 0x2140 + number]
        if port == 0x4016:
            bit, self.pad_shift = self.pad_shift >> 15 & 1, (self.pad_shift << 1 | 1) & 0xFFFF
            return bus.mdr & 0xFC | bit
        if port == 0x4017:
            return bus.mdr & 0xE0 | 0x1C
        if 0x4218 <= port < 0x4220:
            return self.pad >> (port & 1) * 8 & 0xFF if port < 0x421A else 0
        return None

    def _write_console(self, bus: PortBus, port: int, value: int) -> None:
        if 0x2140 <= port < 0x2180:
            bus.arena[PORTS + 0x2140 + (port & 3)] = value
            self.apu = 2 if not port & 3 and value == 0xCC else self.apu or 1
        elif port == 0x4016 and value & 1:
            self.pad_shift = self.pad
        elif port in (0x4200, 0x420C) or 0x4207 <= port <= 0x420A:
            self.wakes = 1

    def _read_memory(self, bus: PortBus, port: int) -> int:
        if port == 0x2180:
            value = bus.get(WRAM + self.wm_at)
            self.wm_at = self.wm_at + 1 & 0x1FFFF
            return value
        if port == 0x2138:
            value = bus.get(OAM + self._oam_byte())
            self.oam_at = self.oam_at + 1 & 0x3FF
            return value
        if port == 0x213B:
            value = bus.get(CGRAM + self.cg_at * 2 + self.cg_flip)
            self.cg_at = self.cg_at + self.cg_flip & 0xFF
            self.cg_flip ^= 1
            return value
        high = port == 0x213A
        bus.get(self.vlatch_at + high)
        value = self.vlatch >> 8 if high else self.vlatch & 0xFF
        if high == self.vmain >> 7:
            self._prefetch(bus)
            self._next_word()
        return value

    def _read_counter(self, bus: PortBus, port: int, clock: int) -> int | None:
        if port == 0x2137:
            self.h_latch, self.v_latch = clock % LINE_CLOCKS // 4, clock // LINE_CLOCKS % LINES
            return bus.mdr
        if port == 0x213C:
            self.h_flip ^= 1
            return self.h_latch & 0xFF if self.h_flip else bus.mdr & 0xFE | self.h_latch >> 8
        if port == 0x213D:
            self.v_flip ^= 1
            return self.v_latch & 0xFF if self.v_flip else bus.mdr & 0xFE | self.v_latch >> 8
        if port == 0x213F:
            self.h_flip = self.v_flip = 0
            return bus.mdr & 0x20 | 3
        return None

    def _oam_byte(self) -> int:
        return self.oam_at if self.oam_at < 0x200 else 0x200 | self.oam_at & 0x1F

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, bus: PortBus, port: int, value: int, cycle: int) -> None:
        """Act on a write; the byte itself is kept by the bus."""
        if self.console:
            self._write_console(bus, port, value)
        if 0x2115 <= port <= 0x2119:
            self._write_vram(bus, port, value)
        elif port in (0x2102, 0x2103, 0x2104):
            self._write_oam(bus, port, value)
        elif port in (0x2121, 0x2122):
            self._write_cgram(bus, port, value)
        elif 0x2180 <= port <= 0x2183:
            self._write_wram(bus, port, value)
        elif 0x4202 <= port <= 0x4206:
            self._write_alu(bus, port, value, cycle)
        elif port == 0x420B:
            self._dma(bus, value)
        elif port == 0x420D:
            bus.fast = bool(value & 1)
        elif port in _LATCHING:
            word = value << 8 | self.m7_latch
            if port == 0x211B:
                self.m7_a = word
            elif port == 0x211C:
                self.m7_b = word
            self.m7_latch = value

    def _word(self) -> int:
        at, mode = self.vram_at, self.vmain >> 2 & 3
        if mode == 1:
            at = at & 0xFF00 | at << 3 & 0xF8 | at >> 5 & 7
        elif mode == 2:
            at = at & 0xFE00 | at << 3 & 0x1F8 | at >> 6 & 7
        elif mode == 3:
            at = at & 0xFC00 | at << 3 & 0x3F8 | at >> 7 & 7
        return VRAM + (at & 0x7FFF) * 2

    def _prefetch(self, bus: PortBus) -> None:
        self.vlatch_at = self._word()
        self.vlatch = bus.peek_arena(self.vlatch_at) | bus.peek_arena(self.vlatch_at + 1) << 8

    def _next_word(self) -> None:
        self.vram_at = self.vram_at + _STEP[self.vmain & 3] & 0xFFFF

    def _write_vram(self, bus: PortBus, port: int, value: int) -> None:
        if port == 0x2115:
            self.vmain = value
        elif port <= 0x2117:
            self.vram_at = self.vram_at & 0xFF00 | value if port == 0x2116 else self.vram_at & 0xFF | value << 8
            self._prefetch(bus)
        else:
            high = port - 0x2118
            bus.put(self._word() + high, value)
            if high == self.vmain >> 7:
                self._next_word()

    def _write_oam(self, bus: PortBus, port: int, value: int) -> None:
        if port != 0x2104:
            low, high = bus.get(PORTS + 0x2102), bus.get(PORTS + 0x2103)
            self.oam_at = (low | (high & 1) << 8) << 1
            return
        at = self.oam_at
        if at >= 0x200:
            bus.put(OAM + self._oam_byte(), value)
        elif at & 1:
            bus.put(OAM + at - 1, self.oam_latch)
            bus.put(OAM + at, value)
        else:
            self.oam_latch = value
        self.oam_at = at + 1 & 0x3FF

    def _write_cgram(self, bus: PortBus, port: int, value: int) -> None:
        if port == 0x2121:
            self.cg_at, self.cg_flip = value, 0
        elif self.cg_flip:
            bus.put(CGRAM + self.cg_at * 2, self.cg_latch)
            bus.put(CGRAM + self.cg_at * 2 + 1, value)
            self.cg_at, self.cg_flip = self.cg_at + 1 & 0xFF, 0
        else:
            self.cg_latch, self.cg_flip = value, 1

    def _write_wram(self, bus: PortBus, port: int, value: int) -> None:
        if port == 0x2180:
            bus.put(WRAM + self.wm_at, value)
            self.wm_at = self.wm_at + 1 & 0x1FFFF
            return
        shift = (port - 0x2181) * 8
        self.wm_at = (self.wm_at & ~(0xFF << shift) | value << shift) & 0x1FFFF

    # --- multiplier and divider: one step a CPU cycle ----------------------------------------------------------------

    def advance(self, cycle: int) -> None:
        """Bring multiplier and divider up to a cycle."""
        steps, self.alu_at = min(cycle - self.alu_at, self.busy), cycle
        self.busy -= steps
        for _ in range(steps):
            if self.divides:
                self.quotient = self.quotient << 1 & 0xFFFF
                self.shift >>= 1
                if self.product >= self.shift:
                    self.product -= self.shift
                    self.quotient |= 1
            else:
                self.product = self.product + (self.shift if self.quotient & 1 else 0) & 0xFFFF
                self.quotient >>= 1
                self.shift = self.shift << 1 & 0xFFFF

    def _write_alu(self, bus: PortBus, port: int, value: int, cycle: int) -> None:
        self.advance(cycle)
        if port == 0x4203:
            self.product = 0
            if not self.busy:
                self.quotient = value << 8 | bus.get(PORTS + 0x4202)
                self.shift, self.busy, self.divides = value, 8, 0
        elif port == 0x4206:
            self.product = bus.get(PORTS + 0x4204) | bus.get(PORTS + 0x4205) << 8
            if not self.busy:
                self.shift, self.busy, self.divides = value << 16, 16, 1

    # --- DMA: 8 clocks to begin, 8 a channel, 8 a byte ---------------------------------------------------------------

    def _dma(self, bus: PortBus, channels: int) -> None:
        if channels:
            bus.stall += 8
        for channel in range(8):
            if channels >> channel & 1:
                self._dma_channel(bus, PORTS + 0x4300 + channel * 16)

    def _dma_channel(self, bus: PortBus, base: int) -> None:
        control, target, first, second, bank_byte, *size = (bus.get(base + at) for at in range(7))
        low, bank = first | second << 8, bank_byte << 16
        count = (size[0] | size[1] << 8) or 0x10000
        step = 0 if control & 8 else -1 if control & 16 else 1
        pattern = DMA_PATTERN[control & 7]
        for index in range(count):
            port = 0x2100 | target + pattern[index & 3] & 0xFF
            if control & 0x80:
                bus.dma_write(bank | low, bus.port_read(port))
            else:
                bus.port_write(port, bus.dma_read(bank | low))
            low = low + step & 0xFFFF
        bus.stall += 8 + 8 * count
        for place, value in ((2, low & 0xFF), (3, low >> 8), (5, 0), (6, 0)):
            bus.put(base + place, value)

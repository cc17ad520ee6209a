"""CPU, bus and limits together: run machine code from start states and say what it did (`Trace`).

    run(bytes.fromhex("1A60"), [CpuState(a=1)])[0].end.a == 2

The compiled core does the work when it can be had (`native`); else the plain-Python one, with the same results. A run ends with a
reason, never with an exception; running is not judging: that is `equal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from afs.domains.snes import memory
from afs.domains.snes.addressing import Cpu
from afs.domains.snes.bus import ALLOWED, COMPARED, DEFINED, INPUT, Bus
from afs.domains.snes.contract import Contract, Ends, Range
from afs.domains.snes.cpu import step
from afs.domains.snes.rom import snes_to_pc
from afs.domains.snes.starts import CpuState, place_range
from afs.errors import UsageError
from afs.types import Value

Stop = Literal["return", "stp", "wai", "brk", "cop", "budget", "write", "emulation", "wild"]
"""Why a run ended: returned to its caller, STP, WAI, BRK, COP, budget used up, a write its contract forbids, a switch to
emulation mode, execution of something that is no memory."""
STOPS: Final[tuple[Stop, ...]] = ("return", "stp", "wai", "brk", "cop", "budget", "write", "emulation", "wild")
SENTINEL: Final = 0xFFFF
"""The caller's place in the program bank: returning here ends the run."""


class Setup(Value, frozen=True, kw_only=True):
    """The machine around a piece of code."""

    origin: int = 0x808000
    """Where the code lies."""
    mapper: str = "lorom"
    rom: bytes = b""
    """The ROM around the code; without one, the rest is filled with BRK."""
    sram: int = 0
    """Bytes of SRAM, a multiple of 8 KB."""
    fast_rom: bool = False
    """Is FastROM switched on ($420D) at entry?"""
    ends: Ends = "rts"
    """What the caller expects: rts, rtl, `end` (the code falls off its last byte), `stop`."""
    budget: int = 200_000
    """CPU cycles; DMA counts six master clocks as one."""


class Trace(Value, frozen=True, kw_only=True):
    """What one run did."""

    end: CpuState
    pc: int
    """Where it stopped, with the bank."""
    stop: Stop
    cycles: int
    """CPU cycles, DMA not counted."""
    clocks: int
    """SNES master clocks, DMA included; DRAM refresh and alignment are not."""
    instructions: int
    writes: dict[int, int]
    """Last byte written, by address; video memory from 0x1000000 on."""
    before: dict[int, int] = {}
    """The bytes that `writes` replaced."""
    registers: tuple[tuple[int, int], ...] = ()
    """Hardware registers written, in order."""
    uninitialised: tuple[int, ...] = ()
    """Addresses that were read before anything wrote them."""
    early_reads: int = 0
    """Reads of the multiplier or divider before it was done."""
    forbidden: int | None = None
    """First write outside the contract."""


class Runner(Protocol):
    """A machine that can run code: compiled or plain Python."""

    def run(self, states: Sequence[CpuState], contract: Contract | None = None) -> list[Trace]:
        """Run the loaded code once from each state."""


def rom_image(setup: Setup, code: bytes) -> tuple[bytes, int]:
    """The ROM with the code in it, and the code's offset in the ROM (-1: it lies in RAM)."""
    end = setup.origin + len(code) - 1
    if not code:
        raise UsageError("there is no code to run")
    if setup.origin >> 16 != end >> 16 or not 0 <= setup.origin <= 0xFFFFFF:
        raise UsageError(f"${setup.origin:06X} + {len(code)} bytes: code must lie in one bank")
    at = snes_to_pc(setup.origin, setup.mapper) if setup.mapper != "flat" else None
    rom = setup.rom
    if at is not None and not rom:
        rom = bytes(1 << max(15, (at | 0x7FFF).bit_length(), (at + len(code)).bit_length()))
    rom += bytes(-len(rom) % memory.PAGE)
    kinds = {
        page >> 28
        for page in memory.page_table(setup.mapper, len(rom), setup.sram)[setup.origin >> 13 : (end >> 13) + 1]
    }
    if kinds == {memory.RAM}:
        return rom, -1
    if at is None or kinds != {memory.ROM}:
        raise UsageError(f"${setup.origin:06X}: no ROM or RAM there in {setup.mapper}")
    at = memory.mirrored(at, len(rom))
    tail = b"\0" if setup.ends == "end" and at + len(code) < len(rom) else b""
    return rom[:at] + code + tail + rom[at + len(code) + len(tail) :], at


class PythonMachine:
    """The plain-Python machine with a piece of code in it."""

    def __init__(self, code: bytes, setup: Setup) -> None:
        rom, at = rom_image(setup, code)
        self.setup, self.code = setup, code
        self.bus = Bus(setup.mapper, rom, setup.sram, setup.fast_rom)
        self.where = (setup.mapper, len(rom), setup.sram)
        bank = setup.origin & 0xFF0000
        self.sentinel = setup.origin + len(code) if setup.ends == "end" else bank | SENTINEL
        if at < 0:
            self._poke({setup.origin: code})

    def _poke(self, pieces: dict[int, bytes]) -> list[tuple[int, int, int]]:
        """Set memory as an input; returns what to put back."""
        before = []
        for address, data in pieces.items():
            offset = place_range(Range(start=address, size=max(len(data), 1)), *self.where)
            for at, value in enumerate(data, offset):
                before.append((at, self.bus.arena[at], self.bus.shadow[at]))
                self.bus.arena[at] = value
                self.bus.shadow[at] |= DEFINED | INPUT
        return before

    def run(self, states: Sequence[CpuState], contract: Contract | None = None) -> list[Trace]:
        """Run the code once from each state."""
        plain = bytes(self.bus.shadow) if contract else b""
        if contract:
            apply_contract(self.bus.shadow, contract, self.where)
        traces = [self._run_one(state) for state in states]
        if contract:
            self.bus.shadow[:] = plain
        return traces

    def _run_one(self, state: CpuState) -> Trace:
        before = self._poke(state.memory)
        cpu = Cpu()
        cpu.a, cpu.d, cpu.db, cpu.e, cpu.s = state.a, state.d, state.db, state.e, state.s
        cpu.x, cpu.y = state.x, state.y
        cpu.set_p(state.p)
        cpu.mend_stack()
        cpu.pb, cpu.pc = self.setup.origin >> 16, self.setup.origin & 0xFFFF
        before += self._call(cpu)
        stop, instructions = self._loop(cpu)
        trace = self._trace(cpu, stop, instructions)
        self.bus.restore()
        for at, value, shadow in reversed(before):
            self.bus.arena[at], self.bus.shadow[at] = value, shadow
        return trace

    def _call(self, cpu: Cpu) -> list[tuple[int, int, int]]:
        """Push the caller's place, as JSR or JSL would."""
        ends = self.setup.ends
        address = (cpu.pb << 16 | SENTINEL) - 1
        pushed = {
            "rts": (address >> 8 & 0xFF, address & 0xFF),
            "rtl": (address >> 16, address >> 8 & 0xFF, address & 0xFF),
        }
        before: list[tuple[int, int, int]] = []
        for value in pushed.get(ends, ()):
            offset = memory.locate(cpu.s, *self.where)
            if offset is not None and offset < memory.VRAM or self.setup.mapper == "flat":
                before += self._poke({cpu.s: bytes([value])})
            cpu.s = 0x100 | cpu.s - 1 & 0xFF if cpu.e else cpu.s - 1 & 0xFFFF
        return before

    def _loop(self, cpu: Cpu) -> tuple[Stop, int]:
        bus, budget, started_in_e, count = self.bus, self.setup.budget, cpu.e, 0
        traps = {0x00: "brk", 0x02: "cop"}
        while True:
            at = cpu.pb << 16 | cpu.pc
            if at == self.sentinel:
                return "return", count
            if bus.cycles + bus.stall // 6 >= budget:
                return "budget", count
            if not bus.executable(at):
                return "wild", count
            trap = traps.get(bus.peek(at))
            if trap:
                return ("brk" if trap == "brk" else "cop"), count
            step(cpu, bus)
            count += 1
            if bus.violation is not None:
                return "write", count
            if cpu.stopped:
                return ("stp" if cpu.stopped == "stp" else "wai"), count
            if cpu.e and not started_in_e:
                return "emulation", count

    def _trace(self, cpu: Cpu, stop: Stop, instructions: int) -> Trace:
        bus, mapper = self.bus, self.setup.mapper
        return Trace(
            end=CpuState(a=cpu.a, x=cpu.x, y=cpu.y, s=cpu.s, d=cpu.d, db=cpu.db, p=cpu.p, e=cpu.e),
            pc=cpu.pb << 16 | cpu.pc,
            stop=stop,
            cycles=bus.cycles,
            clocks=bus.clocks + bus.stall,
            instructions=instructions,
            writes={memory.address_of(offset, mapper): bus.arena[offset] for offset, _ in bus.undo},
            before={memory.address_of(offset, mapper): old for offset, old in bus.undo},
            registers=tuple(bus.io_log),
            uninitialised=tuple(sorted(memory.address_of(offset, mapper) for offset in bus.noted)),
            early_reads=bus.early,
            forbidden=None if bus.violation is None else memory.address_of(bus.violation, mapper),
        )


MEANS: Final = ((0x2102, 3), (0x2116, 4), (0x2121, 2), (0x2180, 4), (0x4202, 5), (0x420B, 1), (0x4300, 0x80))
"""Registers that are a way to an effect and not the effect: ports of memories, arithmetic, DMA."""

Change = tuple[int, int, int, int]
"""Arena offset, size, shadow bits to clear, shadow bits to set."""


def contract_changes(contract: Contract, where: tuple[str, int, int]) -> tuple[int, list[Change]]:
    """What a contract means for the shadow: the flags of all memory, then of single ranges."""
    base = ALLOWED | COMPARED if contract.writes is None else 0
    changes: list[Change] = []
    for ranges, clear, set_ in (
        (contract.writes or (), 0, ALLOWED | COMPARED),
        (contract.scratch, COMPARED, ALLOWED),
        (contract.reads, 0, DEFINED | INPUT),
    ):
        changes += [(place_range(bytes_, *where), bytes_.size, clear, set_) for bytes_ in ranges]
    own = range(contract.s, max(contract.s - contract.stack, -1), -1)
    offset = memory.locate(own[-1], *where) if own else None
    if offset is not None:
        changes.append((offset, len(own), COMPARED, ALLOWED))
    if where[0] != "flat":
        means = MEANS if contract.registers == "end" else ((0x2000, 0x4000),)
        changes += [(memory.PORTS + port, size, COMPARED, 0) for port, size in means]
        changes.append((memory.PORTS + 0x4202, 5, COMPARED, ALLOWED))
    return base, changes


def is_compared(offset: int, base: int, changes: list[Change]) -> bool:
    """Does the final value of this byte belong to the effect?"""
    flags = base
    for start, size, clear, set_ in changes:
        if start <= offset < start + size:
            flags = flags & ~clear | set_
    return bool(flags & COMPARED)


def apply_contract(shadow: bytearray, contract: Contract, where: tuple[str, int, int]) -> None:
    """Set the shadow's flags as the contract says."""
    base, changes = contract_changes(contract, where)
    keep = DEFINED | INPUT
    shadow[:] = bytes(flags & keep | base for flags in shadow)
    for offset, size, clear, set_ in changes:
        for at in range(offset, offset + size):
            shadow[at] = shadow[at] & ~clear | set_


def machine(code: bytes, setup: Setup | None = None) -> Runner:
    """A machine with the code in it: the compiled core, or plain Python where there is none."""
    return PythonMachine(code, setup or Setup())


def run(
    code: bytes,
    states: Sequence[CpuState],
    *,
    origin: int = 0x808000,
    budget: int = 200_000,
    mapper: str = "lorom",
    rom: bytes | None = None,
) -> list[Trace]:
    """Run machine code that ends with RTS once from each state; `machine(code, Setup(…))` for anything else."""
    return machine(code, Setup(origin=origin, budget=budget, mapper=mapper, rom=rom or b"")).run(states)

"""CPU, bus and limits together: run machine code from start states and report what it did (`Trace`).

    run(bytes.fromhex("1A60"), [CpuState(a=1)])[0].end.a == 2

The compiled core does the work where available (`native`); else the plain-Python one, with the same results. A run
ends with a reason, never with an exception; comparing runs is `equivalence`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from afs.domains.snes import cpu_kernel, memory_map
from afs.domains.snes.addressing import Cpu
from afs.domains.snes.bus import ALLOWED, COMPARED, DEFINED, INPUT, Bus
from afs.domains.snes.contract import Contract
from afs.domains.snes.cpu import step
from afs.domains.snes.harness import (
    STOPS,
    Runner,
    Setup,
    Stop,
    Trace,
    Where,
    call_frame,
    contract_changes,
    memory_of,
    placed,
)
from afs.domains.snes.start_states import CpuState

__all__ = ["STOPS", "CpuState", "PythonMachine", "Runner", "Setup", "Stop", "Trace", "machine", "run"]


class PythonMachine:
    """The plain-Python machine with a piece of code in it."""

    def __init__(self, code: bytes, setup: Setup) -> None:
        place = placed(setup, code)
        self.setup, self.sentinel, self.where = setup, place.sentinel, place.where
        rom, at = place.rom, place.offset
        if place.in_rom:
            rom = rom[:at] + place.region + rom[at + len(place.region) :]
        self.bus = Bus(setup.mapper, rom, setup.sram, setup.fast_rom)
        self.code = [] if place.in_rom else [(at, place.region)]
        self.contract: Contract | None = None
        self.watch: Callable[[Cpu, Bus], None] | None = None
        """Called before each instruction."""

    def _poke(self, offset: int, data: bytes) -> tuple[int, bytes, bytes]:
        """Set memory as an input; returns what to restore."""
        inside = slice(offset, offset + len(data))
        before = (offset, bytes(self.bus.arena[inside]), bytes(self.bus.shadow[inside]))
        self.bus.arena[inside] = data
        self.bus.shadow[inside] = bytes(flags | DEFINED | INPUT for flags in before[2])
        return before

    def run(self, states: Sequence[CpuState], contract: Contract | None = None) -> list[Trace]:
        """Run the code once from each state."""
        if contract != self.contract:
            set_flags(self.bus.shadow, contract, self.where)
            self.contract = contract
        return [self._run_one(state) for state in states]

    def _run_one(self, state: CpuState) -> Trace:
        self.bus.vary(state.fill, state.phase)
        before = [self._poke(*piece) for piece in (*self.code, *memory_of(state, self.where))]
        cpu = Cpu()
        cpu.a, cpu.d, cpu.db, cpu.e, cpu.s = state.a, state.d, state.db, state.e, state.s
        cpu.x, cpu.y = state.x, state.y
        cpu.set_p(state.p)
        cpu.wrap_stack()
        cpu.pb, cpu.pc = self.setup.origin >> 16, self.setup.start_pc
        cpu.s, frame = call_frame(self.setup, cpu.s, cpu.e, self.where)
        before += [self._poke(*piece) for piece in frame]
        stop, instructions = self._loop(cpu)
        trace = self._trace(cpu, stop, instructions)
        self.bus.restore()
        for at, data, shadow in reversed(before):
            self.bus.arena[at : at + len(data)], self.bus.shadow[at : at + len(data)] = data, shadow
        self.bus.vary(0, 0)
        return trace

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
            if self.watch:
                self.watch(cpu, bus)
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
            writes={memory_map.address_of(offset, mapper): bus.arena[offset] for offset, _ in bus.undo},
            before={memory_map.address_of(offset, mapper): old for offset, old in bus.undo},
            registers=tuple(bus.io_log),
            uninitialized=tuple(sorted(memory_map.address_of(offset, mapper) for offset in bus.noted)),
            early_reads=bus.early,
            forbidden=None if bus.violation is None else memory_map.address_of(bus.violation, mapper),
        )


def set_flags(shadow: bytearray, contract: Contract | None, where: Where) -> None:
    """Set the shadow's flags as the contract says."""
    base, changes = contract_changes(contract, where) if contract else (ALLOWED | COMPARED, [])
    shadow[:] = bytes([base]) * len(shadow)
    for offset, size, clear, set_ in changes:
        for at in range(offset, offset + size):
            shadow[at] = shadow[at] & ~clear | set_


def machine(code: bytes, setup: Setup | None = None) -> Runner:
    """A machine with the code in it: the compiled core, or plain Python where there is none."""
    chosen = setup or Setup()
    return cpu_kernel.NativeMachine(code, chosen) if cpu_kernel.core() else PythonMachine(code, chosen)


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

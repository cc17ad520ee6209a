"""The pack's commands that run code on the CPU core: `run`, `cycles`, `equal`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Literal

import msgspec

from afs.config import Config
from afs.domains.snes import cpu_kernel, memory_map
from afs.domains.snes.addressing import Cpu
from afs.domains.snes.bus import Bus
from afs.domains.snes.contract import Contract, Ends, parse_contract
from afs.domains.snes.equivalence import Equality, Side, compare, format_flags, measure_cost
from afs.domains.snes.harness import Setup, Trace
from afs.domains.snes.machine import PythonMachine, machine
from afs.domains.snes.mesen_logs import decoded
from afs.domains.snes.routine_file import AUTO, CodePlace, PlacedRoutine, join_images, load_routine, parse_address
from afs.domains.snes.start_states import CpuState
from afs.errors import DataError, UsageError
from afs.types import Value

_SHOWN: Final = 24
Width = Literal["8", "16"]


class PlacedConfig(Config, frozen=True, kw_only=True):
    """Where the code is placed, and its surroundings."""

    origin: str = "808000"
    """Hex address of code without an org."""
    entry: str = ""
    """Where the routine starts: a label, or a hex address; default: the first code, or the target of its hook."""
    mapper: str = AUTO
    """Memory map: auto (the source's, or the ROM header's), lorom, hirom, exlorom, exhirom …"""
    rom: Path | None = None
    """ROM the code is part of."""
    fast_rom: bool = False
    """FastROM is switched on."""

    @property
    def place(self) -> CodePlace:
        """The part that says which bytes are meant."""
        return CodePlace(self.origin, self.entry, self.rom, self.mapper)


class SweepConfig(PlacedConfig, frozen=True, kw_only=True):
    """Which start states a routine is run from."""

    states: int = 0
    """Start states; 0 means every value of the inputs if there are at most 65,536, else 256."""
    seed: int = 0
    """Which random states; the same seed gives the same ones."""


# --- run -----------------------------------------------------------------------------------------------------------


class RunCodeConfig(PlacedConfig, frozen=True, kw_only=True):
    """What to run, and from which state."""

    positional: ClassVar[tuple[str, ...]] = ("file",)
    short: ClassVar[dict[str, str]] = {"s": "set"}

    file: Path
    """Source in Asar's dialect, or machine code (`.bin`)."""
    set: dict[str, str] = {}
    """Registers and memory at the start: `a=$12`, `c=1`, `$7E0010='01 02'`."""
    m: Width = "8"
    """Width of A at the start."""
    x: Width = "8"
    """Width of X and Y at the start."""
    ends: Ends | Literal["auto"] = AUTO
    """How it returns: auto, rts, rtl, end (the code falls off its last byte), stop (STP, WAI, BRK, COP)."""
    budget: int = 200_000
    """CPU cycles after which the run is stopped."""
    trace: int = 0
    """Show this many instructions one by one."""


class RunResult(Value, frozen=True, kw_only=True):
    """What the run did."""

    stop: str
    pc: str
    cycles: int
    clocks: int
    """SNES master clocks."""
    instructions: int
    registers: dict[str, str]
    flags: str
    memory: dict[str, str]
    """Bytes changed: `before -> after`."""
    ports: tuple[str, ...] = ()
    """Hardware registers written, in order."""
    uninitialized: tuple[str, ...] = ()
    """Memory read that nothing had defined."""
    early_reads: int = 0
    trace: tuple[str, ...] = ()
    note: str = ""
    """How the entry was chosen, where it was not given."""

    def text(self) -> str:
        """For a terminal."""
        registers = " ".join(f"{name}={value}" for name, value in self.registers.items())
        lines = [
            *([self.note] if self.note else []),
            *self.trace,
            f"{self.stop} at {self.pc} after {self.instructions} instructions, {self.cycles} CPU cycles, "
            f"{self.clocks} master clocks",
            f"{registers} {self.flags}",
            *(f"{place}  {change}" for place, change in list(self.memory.items())[:_SHOWN]),
        ]
        for what, places in (("registers written", self.ports), ("read uninitialized", self.uninitialized)):
            if places:
                lines.append(f"{what}: {', '.join(places[:_SHOWN])}{' …' if len(places) > _SHOWN else ''}")
        if len(self.memory) > _SHOWN:
            lines.append(f"… {len(self.memory)} bytes changed in all")
        if self.early_reads:
            lines.append(f"{self.early_reads} reads of the multiplier or divider before it was done")
        return "\n".join(lines)


def run(config: RunCodeConfig) -> RunResult:
    """Run a piece of code once."""
    loaded = load_routine(config.file, config.place)
    ends: Ends = loaded.ends if config.ends == "auto" else config.ends
    setup = _setup(loaded, config, ends, config.budget)
    state = start_state(config, loaded.origin >> 16)
    lines: list[str] = []
    if config.trace:
        watched = PythonMachine(loaded.code, setup)
        watched.watch = lambda cpu, bus: lines.append(_line(cpu, bus)) if len(lines) < config.trace else None
        trace = watched.run([state])[0]
    else:
        trace = machine(loaded.code, setup).run([state])[0]
    return _shown(trace, tuple(lines), loaded.note)


def start_state(config: RunCodeConfig, bank: int) -> CpuState:
    """The state that `--set`, `--m` and `--x` describe."""
    registers = {"a": 0, "x": 0, "y": 0, "s": 0x1FF, "d": 0, "db": bank, "p": 0x04}
    registers["p"] |= (0x20 if config.m == "8" else 0) | (0x10 if config.x == "8" else 0)
    bytes_: dict[int, bytes] = {}
    flags = {"n": 0x80, "v": 0x40, "z": 0x02, "c": 0x01, "decimal": 0x08}
    for name, text in config.set.items():
        key = name.lower()
        if key.startswith("$"):
            bytes_[parse_address(name, "--set")] = _bytes(text)
        elif key in flags:
            registers["p"] = registers["p"] & ~flags[key] | (flags[key] if _number(text) else 0)
        elif key in registers and key != "p":
            registers[key] = _number(text) & (0xFF if key == "db" else 0xFFFF)
        else:
            raise UsageError(f"--set {name}: want a x y s d db, a flag (n v z c decimal) or an address such as $7E0010")
    return msgspec.convert({**registers, "memory": bytes_}, CpuState)


def _number(text: str) -> int:
    try:
        return int(text.removeprefix("$"), 16) if text.startswith("$") else int(text, 0)
    except ValueError:
        raise UsageError(f"--set: want a number such as 18 or $12, got {text!r}") from None


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace("$", "").replace(",", " "))
    except ValueError:
        raise UsageError(f"--set: want hex bytes such as '01 02', got {text!r}") from None


def _line(cpu: Cpu, bus: Bus) -> str:
    _, text = decoded(cpu, bus)
    registers = f"A={cpu.a:04X} X={cpu.x:04X} Y={cpu.y:04X} S={cpu.s:04X} D={cpu.d:04X} DB={cpu.db:02X}"
    return f"${cpu.pb << 16 | cpu.pc:06X}  {text:<18} {registers} {format_flags(cpu.p)} {bus.cycles}"


def _shown(trace: Trace, lines: tuple[str, ...], note: str) -> RunResult:
    end = trace.end
    return RunResult(
        note=note,
        stop=trace.stop,
        pc=f"${trace.pc:06X}",
        cycles=trace.cycles,
        clocks=trace.clocks,
        instructions=trace.instructions,
        registers={
            **{name.upper(): f"${getattr(end, name):04X}" for name in ("a", "x", "y", "s", "d")},
            "DB": f"${end.db:02X}",
        },
        flags=format_flags(end.p),
        memory={
            memory_map.name_of(at): f"${trace.before[at]:02X} -> ${value:02X}"
            for at, value in sorted(trace.writes.items())
            if not 0x2000 <= at < 0x6000
        },
        ports=tuple(f"${port:04X}=${value:02X}" for port, value in trace.registers),
        uninitialized=tuple(memory_map.name_of(at) for at in trace.uninitialized),
        early_reads=trace.early_reads,
        trace=lines,
    )


# --- cycles and equal ----------------------------------------------------------------------------------------------


class CyclesConfig(SweepConfig, frozen=True, kw_only=True):
    """What to measure, over which start states."""

    positional: ClassVar[tuple[str, ...]] = ("file",)

    file: Path
    """Source in Asar's dialect, or machine code (`.bin`)."""
    contract: Path | None = None
    """Contract as JSON; else the one in the source's comment, else A, X, Y and flags at random."""


class CyclesResult(Value, frozen=True, kw_only=True):
    """What a routine costs."""

    side: Side
    states: int
    exhaustive: bool
    holds: bool
    reason: str
    contract: str
    core: str
    note: str = ""
    """How the entry was chosen, where it was not given."""

    @property
    def exit_code(self) -> int:
        """3 when a run broke the contract."""
        return 0 if self.holds else 3

    def text(self) -> str:
        """For a terminal."""
        first = [self.note] if self.note else []
        last = [self.reason, f"contract: {self.contract}; core: {self.core}"]
        return "\n".join([*first, *side_lines("", self.side), *last])


def side_lines(title: str, side: Side) -> list[str]:
    """One program's figures, both clocks named."""
    cycles, clocks = side.cycles, side.clocks
    stops = ", ".join(f"{stop} {count}" for stop, count in side.stops.items())
    lines = [
        f"{title}{side.bytes} bytes; CPU cycles {cycles.min} / {cycles.mean:.1f} / {cycles.max}; "
        f"SNES master clocks {clocks.min} / {clocks.mean:.1f} / {clocks.max} (min / mean / max); ended: {stops}"
    ]
    if side.uninitialized:
        shown = ", ".join(side.uninitialized[:_SHOWN])
        lines.append(f"{title}reads uninitialized memory: {shown}{' …' if len(side.uninitialized) > _SHOWN else ''}")
    if side.early_reads:
        lines.append(f"{title}reads the multiplier or divider {side.early_reads} times before it is done")
    return lines


def _contract(path: Path | None, loaded: PlacedRoutine) -> tuple[Contract, str]:
    if path is not None:
        try:
            return parse_contract(msgspec.json.decode(path.read_bytes())), str(path)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not JSON: {error}") from error
    if loaded.contract is not None:
        return loaded.contract, "the source's comment"
    shown = f"none given: 8-bit A, X and Y, everything compared, ends: {loaded.ends}"
    return Contract(ends=loaded.ends), shown


def _core() -> str:
    return f"C ({cpu_kernel.core_origin()})" if cpu_kernel.core() else f"plain Python ({cpu_kernel.core_origin()})"


def _setup(loaded: PlacedRoutine, config: PlacedConfig, ends: Ends, budget: int) -> Setup:
    return Setup(
        origin=loaded.origin,
        entry=loaded.entry,
        mapper=loaded.mapper,
        rom=loaded.rom,
        fast_rom=config.fast_rom,
        ends=ends,
        budget=budget,
    )


def cycles(config: CyclesConfig) -> CyclesResult:
    """Count the cycles of a routine over many start states."""
    loaded = load_routine(config.file, config.place)
    contract, source = _contract(config.contract, loaded)
    setup = _setup(loaded, config, contract.ends, contract.budget)
    got = measure_cost(loaded.code, contract, setup, seed=config.seed, states=config.states)
    return CyclesResult(
        side=got.side,
        states=got.states,
        exhaustive=got.exhaustive,
        holds=got.holds,
        reason=got.reason,
        contract=source,
        core=_core(),
        note=loaded.note,
    )


class EqualConfig(SweepConfig, frozen=True, kw_only=True):
    """What to compare, under which contract."""

    positional: ClassVar[tuple[str, ...]] = ("original", "candidate")

    original: Path
    """Source in Asar's dialect, or machine code (`.bin`)."""
    candidate: Path
    """The same for the candidate."""
    contract: Path | None = None
    """Contract as JSON; else the one in the original's comment, else everything is compared."""


class EqualResult(Value, frozen=True, kw_only=True):
    """The verdict, and the conditions it was reached under."""

    equality: Equality
    contract: str
    core: str

    @property
    def exit_code(self) -> int:
        """3 when the two differ or the contract is broken."""
        return 0 if self.equality.same else 3

    def text(self) -> str:
        """For a terminal: the verdict, the counterexample, the figures."""
        found = self.equality
        lines = [found.reason]
        example = found.counterexample
        if example:
            start = example.start
            registers = " ".join(f"{name.upper()}=${getattr(start, name):04X}" for name in ("a", "x", "y", "d", "s"))
            lines.append(f"start: {registers} DB=${start.db:02X} {format_flags(start.p)}")
            lines += [f"  {memory_map.name_of(at)}: {data[:16].hex(' ')}" for at, data in start.memory.items()]
            lines += [f"- {line}" for line in example.lines]
        lines += [*side_lines("original:  ", found.original), *side_lines("candidate: ", found.candidate)]
        return "\n".join([*lines, f"contract: {self.contract}; core: {self.core}"])


def equal(config: EqualConfig) -> EqualResult:
    """Compare the effects of two routines."""
    loaded, other = (load_routine(path, config.place) for path in (config.original, config.candidate))
    contract, source = _contract(config.contract, loaded)
    loaded, other = join_images(loaded, other)
    setup = _setup(loaded, config, contract.ends, contract.budget)
    got = compare(loaded.code, other.code, contract, setup, seed=config.seed, states=config.states)
    return EqualResult(equality=got, contract=source, core=_core())

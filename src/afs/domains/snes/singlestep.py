"""Public single-step tests of the 65816 (SingleStepTests JSON) against our cores: registers, memory, bus, cycles.

Read as an array or as lines, plain, .gz or .xz. Known quirks of the files are allowed for, and only these: MVN/MVP are
cut after 100 cycles (14 whole moves are compared, without pc), WAI/STP show idle cycles, WDM's second byte is recorded
as internal, and in emulation mode S starts in page 1.
"""

from __future__ import annotations

import ctypes
import gzip
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final, Literal, cast

import msgspec

from afs.domains.snes import cpu_kernel, isa
from afs.domains.snes.addressing import Cpu
from afs.domains.snes.cpu import step
from afs.errors import DataError, MissingError
from afs.types import Value

Which = Literal["c", "c-fast", "python"]
_MOVES: Final = 14
_NO_SENTINEL: Final = 0xFFFFFFFF
Access = tuple[int, int, int, bool]
"""Cycle, address, value, is it a write?"""


class _State(msgspec.Struct):
    pc: int
    s: int
    p: int
    a: int
    x: int
    y: int
    dbr: int
    d: int
    pbr: int
    e: int
    ram: list[tuple[int, int]]


class Vector(msgspec.Struct):
    """One test of one instruction."""

    name: str
    initial: _State
    final: _State
    cycles: list[tuple[int | None, int | None, str]]


class StepResult(Value, frozen=True, kw_only=True):
    """Results for one opcode (the first row: all opcodes)."""

    opcode: str
    instruction: str = ""
    mode: str
    passed: int
    failed: int
    doubtful: int = 0
    """Not as in the file, where test programs on real machines contradict the file: neither passed nor failed."""
    first_failure: str = ""


class StepEffect(msgspec.Struct):
    """A core's result for one vector."""

    registers: tuple[int, ...]
    memory: dict[int, int]
    cycles: int
    bus: list[Access] | None
    """None: this core does not record accesses."""


def read_vectors(path: Path) -> Iterator[Vector]:
    """Read a file of vectors; the file and the number of a bad one are named."""
    try:
        with _open(path) as file:
            yield from _decode(path, file)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path}: {error}") from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")


def _decode(path: Path, file: IO[bytes]) -> Iterator[Vector]:
    first = file.read(1)
    while first.isspace():
        first = file.read(1)
    try:
        if first == b"[":
            yield from msgspec.json.decode(first + file.read(), type=list[Vector])
            return
        number = 0
        for number, line in enumerate(file, 1):
            text = (first + line if number == 1 else line).strip()
            if text:
                yield msgspec.json.decode(text, type=Vector)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = "" if first == b"[" else f" line {number}:"
        raise DataError(f"{path}:{where} not a single-step test: {error}") from error


def _opcode(vector: Vector) -> int:
    at = vector.initial.pbr << 16 | vector.initial.pc
    found = next((value for address, value in vector.initial.ram if address == at), None)
    if found is None:
        raise DataError(f"single-step test {vector.name!r}: no opcode in memory at pc")
    return found


def _moves(op: int, a: int) -> int:
    return min(_MOVES, a + 1) if isa.OPS[op].mode == "block" else 1


class _RecordingBus:
    """A flat memory that records every access."""

    def __init__(self, ram: list[tuple[int, int]]) -> None:
        self.memory = dict(ram)
        self.cycles = 0
        self.log: list[Access] = []

    def read(self, address: int) -> int:
        value = self.memory.get(address, 0)
        self.log.append((self.cycles, address, value, False))
        self.cycles += 1
        return value

    fetch = read

    def write(self, address: int, value: int) -> None:
        self.memory[address] = value
        self.log.append((self.cycles, address, value, True))
        self.cycles += 1

    def idle(self) -> None:
        self.cycles += 1


class PythonStepper:
    """The plain-Python core on a flat memory."""

    def step(self, vector: Vector, op: int) -> StepEffect:
        start, cpu = vector.initial, Cpu()
        cpu.pc, cpu.s, cpu.p, cpu.a, cpu.x, cpu.y = start.pc, start.s, start.p, start.a, start.x, start.y
        cpu.db, cpu.d, cpu.pb, cpu.e = start.dbr, start.d, start.pbr, bool(start.e)
        cpu.wrap_stack()
        bus = _RecordingBus(start.ram)
        for _ in range(_moves(op, start.a)):
            step(cpu, bus)
        registers = (cpu.pc, cpu.s, cpu.p, cpu.a, cpu.x, cpu.y, cpu.db, cpu.d, cpu.pb, int(cpu.e))
        return StepEffect(registers, bus.memory, bus.cycles, bus.log)


class NativeStepper:
    """The compiled core on a flat memory: traced (every access recorded) or as in normal runs."""

    def __init__(self, traced: bool) -> None:
        self.traced = traced
        self.core = cpu_kernel.Core(("flat", 0, 0), b"", traced=traced)

    def step(self, vector: Vector, op: int) -> StepEffect:
        start, core, result = vector.initial, self.core, cpu_kernel.Result()
        regs = cpu_kernel.Regs(
            a=start.a,
            x=start.x,
            y=start.y,
            s=start.s,
            d=start.d,
            pc=start.pc,
            db=start.dbr,
            pb=start.pbr,
            p=start.p,
            e=start.e,
        )
        poked = [core.poke(address, bytes([value])) for address, value in start.ram]
        moves = _moves(op, start.a)
        budget = 7 * moves if isa.OPS[op].mode == "block" else 1
        core.library.afs_run(core.pointer, ctypes.byref(regs), _NO_SENTINEL, budget, 0, ctypes.byref(result))
        written = {result.undo[2 * at]: result.arena[result.undo[2 * at]] for at in range(result.n_undo)}
        bus = [_access(result.bus[2 * at], result.bus[2 * at + 1]) for at in range(result.n_bus)]
        end = result.end
        registers = (end.pc, end.s, end.p, end.a, end.x, end.y, end.db, end.d, end.pb, end.e)
        core.library.afs_restore(core.pointer)
        for old in reversed(poked):
            core.unpoke(old)
        return StepEffect(registers, dict(start.ram) | written, result.cycles, bus if self.traced else None)


def _access(when: int, what: int) -> Access:
    return when >> 1, what >> 8, what & 0xFF, bool(when & 1)


def problem(vector: Vector, op: int, got: StepEffect) -> str:
    """How a core differs from a vector; empty when it does not."""
    final, moves = vector.final, isa.OPS[op].mode == "block"
    want = (final.pc, final.s, final.p, final.a, final.x, final.y, final.dbr, final.d, final.pbr, final.e)
    for name, old, new in zip(
        ("pc", "s", "p", "a", "x", "y", "dbr", "d", "pbr", "e"), want, got.registers, strict=True
    ):
        if old != new and not (moves and name == "pc"):
            return f"{vector.name}: {name} is ${new:X}, want ${old:X}"
    for address, value in final.ram:
        if got.memory.get(address, 0) != value:
            return f"{vector.name}: ${address:06X} holds ${got.memory.get(address, 0):02X}, want ${value:02X}"
    extra = got.memory.keys() - {address for address, _ in final.ram}
    if extra:
        return f"{vector.name}: ${min(extra):06X} was written"
    cycles = vector.cycles[: got.cycles] if moves else vector.cycles[:3] if op in (0xCB, 0xDB) else vector.cycles
    if got.cycles != len(cycles):
        return f"{vector.name}: {got.cycles} cycles, want {len(cycles)}"
    return _bus_problem(vector.name, op, cycles, got.bus) if got.bus is not None else ""


def _bus_problem(name: str, op: int, cycles: list[tuple[int | None, int | None, str]], bus: list[Access]) -> str:
    seen = {access[0]: access for access in bus}
    for at, (address, value, pins) in enumerate(cycles):
        access = seen.get(at)
        if op == 0x42 and at == 1:
            continue
        if not (pins[0] == "d" or pins[1] == "p"):
            if access:
                return f"{name}: cycle {at} accesses ${access[1]:06X}, want none"
            continue
        if address is None or access is None:
            return f"{name}: cycle {at} has no bus access, want one"
        if access[1] != address or (value is not None and access[2] != value) or access[3] != (pins[3] == "w"):
            return f"{name}: cycle {at} is ${access[1]:06X}=${access[2]:02X}, want ${address:06X}=${value or 0:02X}"
    return ""


def _is_doubtful(vector: Vector, op: int) -> bool:
    """(dp,X) in emulation mode with D.l != 0: vectors and test programs of real machines disagree on its page wrap."""
    return bool(vector.initial.e and vector.initial.d & 0xFF) and isa.OPS[op].mode == "dp_ind_x"


def singlestep(vectors: Iterable[Vector], which: Which) -> list[StepResult]:
    """Run vectors through a core: a row for all, then a row per opcode and mode."""
    if which != "python" and cpu_kernel.core() is None:
        raise MissingError(f"no compiled CPU core: {cpu_kernel.core_origin()}")
    stepper = PythonStepper() if which == "python" else NativeStepper(which == "c")
    counts: dict[tuple[int, int], list[int]] = {}
    failures: dict[tuple[int, int], str] = {}
    for vector in vectors:
        op = _opcode(vector)
        trouble = problem(vector, op, stepper.step(vector, op))
        count = counts.setdefault((op, vector.initial.e), [0, 0, 0])
        count[2 if trouble and _is_doubtful(vector, op) else bool(trouble)] += 1
        if trouble:
            failures.setdefault((op, vector.initial.e), trouble)
    rows = [
        StepResult(
            opcode=f"{op:02X}",
            instruction=f"{isa.OPS[op].mnemonic} {isa.SYNTAX[isa.OPS[op].mode]}".strip(),
            mode="emulation" if e else "native",
            passed=passed,
            failed=failed,
            doubtful=doubtful,
            first_failure=failures.get((op, e), ""),
        )
        for (op, e), (passed, failed, doubtful) in sorted(counts.items())
    ]
    return [_all(rows), *rows]


def _all(rows: list[StepResult]) -> StepResult:
    failing = sum(row.failed > 0 for row in rows)
    return StepResult(
        opcode="all",
        mode="both" if len({row.mode for row in rows}) == 2 else rows[0].mode if rows else "",
        passed=sum(row.passed for row in rows),
        failed=sum(row.failed for row in rows),
        doubtful=sum(row.doubtful for row in rows),
        first_failure=f"{failing} opcodes fail" if failing else "",
    )

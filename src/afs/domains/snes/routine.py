"""A snippet of source as machine code at one place, and what it costs: between an answer's text and the machine."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from afs.domains.base import Finding
from afs.domains.snes.asm import AsmError, AsmLimits, Assembly, assemble
from afs.domains.snes.contract import FLAGS, Contract
from afs.domains.snes.equivalence import Equality, equal
from afs.domains.snes.lint import LintOptions, lint_assembly
from afs.domains.snes.machine import Setup, Trace, machine
from afs.domains.snes.start_states import CpuState, build_items, count_combinations, plan_starts
from afs.domains.snes.task_specs import ORIGIN
from afs.errors import DataError

LIMITS: Final = AsmLimits(bytes_out=3 * 0x8000, statements=60_000, depth=40, errors=1, text=20_000)
"""What the source of an answer may ask for."""
ROM_LIMITS: Final = AsmLimits(bytes_out=3 * 0x100000, statements=600_000, depth=60, errors=1)
StartAndEnd: TypeAlias = tuple[CpuState, Trace]
EXHAUSTIVE: Final = 1024
"""Inputs with no more combinations than this are tried one and all."""
CERTAIN: Final = 0.95
"""How sure lint must be to reject code that has not been run yet."""
MAX_CODE: Final = 0x4000
_MAX_ROM: Final = 0x100000


class UnfitCode(DataError):  # noqa: N818  what it is, not that it is one
    """An answer's source that gives no code to judge; `line` is where, from 1."""

    def __init__(self, problem: str, line: int = 1) -> None:
        super().__init__(problem)
        self.line = max(line, 1)


def machine_code(source: str) -> bytes:
    """The bytes of a routine that begins at `ORIGIN`; raises UnfitCode for anything else."""
    return assemble_routine(source).blocks[0].data


def assemble_routine(source: str) -> Assembly:
    """The assembly of a routine that lies in one piece at `ORIGIN`; raises UnfitCode for anything else."""
    try:
        assembly = assemble(source, origin=ORIGIN, limits=LIMITS)
    except AsmError as error:
        first = error.diagnostics[0]
        raise UnfitCode(f"{first.message} ({first.id})", first.line) from error
    blocks = assembly.blocks
    if not blocks:
        raise UnfitCode("there is no code in it")
    if len(blocks) > 1 or blocks[0].address & 0x7FFFFF != ORIGIN & 0x7FFFFF:
        raise UnfitCode("the code must lie in one piece where the routine begins: no `org`")
    if len(blocks[0].data) > MAX_CODE:
        raise UnfitCode(f"{len(blocks[0].data)} bytes are too long for a routine")
    return assembly


def find_certain_faults(assembly: Assembly, source: str, contract: Contract) -> list[Finding]:
    """What lint is certain is wrong with a routine."""
    options = LintOptions(contract=contract, origin=ORIGIN, limits=LIMITS)
    found = lint_assembly(assembly, source, options)
    return [one for one in found if one.severity == "error" and one.sure >= CERTAIN]


def build_rom(source: str, base: bytes | None = None) -> bytes:
    """The ROM that a whole source or a patch makes; raises UnfitCode when it does not assemble or grows too large."""
    try:
        assembly = assemble(source, rom=base, limits=ROM_LIMITS)
    except AsmError as error:
        first = error.diagnostics[0]
        raise UnfitCode(f"{first.message} ({first.id})", first.line) from error
    rom = assembly.rom
    if len(rom) > _MAX_ROM:
        raise UnfitCode(f"a ROM of {len(rom)} bytes is too large for this task")
    size = max(0x8000, 1 << (len(rom) - 1).bit_length())
    return rom.ljust(size, b"\0")


def run_samples(source: str, contract: Contract, *, seed: int = 0, first: int = 0, count: int = 1) -> list[StartAndEnd]:
    """Runs of a routine from start states of its contract; DataError when it does not come back."""
    code = machine_code(source)
    setup = Setup(origin=ORIGIN, ends=contract.ends, budget=contract.budget)
    starts = plan_starts(contract, (setup.mapper, 0x8000, setup.sram), ORIGIN >> 16, seed, first + count)
    states = [starts.state(number % starts.total) for number in range(first, first + count)]
    traces = machine(code, setup).run(states, contract)
    for trace in traces:
        if trace.stop != "return":
            raise DataError(f"the code ends with `{trace.stop}` at ${trace.pc:06X}")
    return list(zip(states, traces, strict=True))


def tried_on_all(contract: Contract) -> Contract | None:
    """The contract with carry among the inputs, when all values of its inputs can be tried; None when they are many."""
    wider = msgspec.structs.replace(contract, inputs=tuple({*contract.inputs, "c"}))
    return wider if count_combinations(build_items(wider, "lorom", 0x8000, 0)) <= EXHAUSTIVE else None


def sampled(contract: Contract) -> Contract:
    """The contract with every register and flag among the inputs: start states are then drawn, corners first."""
    return msgspec.structs.replace(contract, inputs=("a", "x", "y", *FLAGS))


def compare_effects(original: bytes, candidate: bytes, contract: Contract, states: int) -> Equality:
    """Compare on drawn start states, whatever the registers hold; then on all inputs, when they are few."""
    result = equal(original, candidate, sampled(contract), origin=ORIGIN, states=states)
    few = tried_on_all(contract) if result.same else None
    return equal(original, candidate, few, origin=ORIGIN, states=EXHAUSTIVE) if few else result


def measure(
    source: str,
    contract: Contract,
    asks: Literal["cycles", "clocks", "bytes", "register", "given"],
    register: str = "",
) -> int:
    """A number that follows from the code: its cost, its size, or a register at the end."""
    if asks == "bytes":
        return len(machine_code(source))
    trace = run_samples(source, contract)[0][1]
    if asks == "register":
        value = int(getattr(trace.end, register))
        return value & 0xFF if register == "a" and trace.end.p & 0x20 else value
    return trace.clocks if asks == "clocks" else trace.cycles

"""A snippet of source as machine code at one place, and what it costs: between an answer's text and the machine."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

from afs.domains.base import Finding
from afs.domains.snes.asm import AsmError, AsmLimits, Assembly, assemble
from afs.domains.snes.contract import FLAGS, Contract
from afs.domains.snes.equivalence import Equality, Side, compare, equal
from afs.domains.snes.lint import LintOptions, lint_assembly
from afs.domains.snes.machine import Setup, Trace, machine
from afs.domains.snes.register_use import examine_code
from afs.domains.snes.start_states import (
    EXHAUSTIVE_LIMIT,
    SAMPLED,
    CpuState,
    build_items,
    count_combinations,
    plan_starts,
)
from afs.domains.snes.task_specs import ORIGIN, STATES
from afs.errors import DataError

LIMITS: Final = AsmLimits(bytes_out=3 * 0x8000, statements=60_000, depth=40, errors=1, text=20_000)
"""What the source of an answer may ask for."""
ROM_LIMITS: Final = AsmLimits(bytes_out=3 * 0x100000, statements=600_000, depth=60, errors=1)
StartAndEnd: TypeAlias = tuple[CpuState, Trace]
_ELSEWHERE: Final = 64
"""States tried with each of the other callers."""
_PLACES: Final = 6
_CYCLES: Final = 200_000
"""CPU cycles that both programs may spend on drawn states: about two milliseconds."""
_CYCLES_OF_A_START: Final = 60
"""CPU cycles that fit into the time it takes to draw a state and to compare."""
_LEAST: Final = 1024
_ROM: Final = bytes(0x8000)
"""Seen in every bank."""
_MOVABLE: Final = 0x4000
"""Longer code would reach the return addresses that are tried."""
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
    options = LintOptions(contract=contract, origin=ORIGIN, limits=LIMITS, least_sure=CERTAIN)
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


def with_all_registers(contract: Contract) -> Contract:
    """The contract with every register and flag among the inputs: start states are then drawn, corners first."""
    return msgspec.structs.replace(contract, inputs=("a", "x", "y", *FLAGS))


def compare_effects(original: bytes, candidate: bytes, contract: Contract, states: int) -> Equality:
    """Compare on drawn start states, then elsewhere in memory, then on all inputs or on many more states.

    Fewer states than a task's usual number mean a shallow comparison: on those states only.
    """
    return _compare_effects(original, candidate, msgspec.json.encode(contract), states)


@lru_cache(maxsize=4096)
def _compare_effects(original: bytes, candidate: bytes, contract_json: bytes, states: int) -> Equality:
    contract = msgspec.json.decode(contract_json, type=Contract)
    result = equal(original, candidate, with_all_registers(contract), origin=ORIGIN, states=states)
    if not result.same or states < STATES:
        return result
    for setup, moved in _other_places(contract, candidate):
        elsewhere = compare(original, candidate, moved, setup, seed=2, states=_ELSEWHERE)
        if not elsewhere.same and elsewhere.at_fault == "candidate":
            return elsewhere
    return equal(original, candidate, contract, origin=ORIGIN, seed=1, states=_depth(contract, result.original))


def _depth(contract: Contract, side: Side) -> int:
    """How many states to try: 0 (all) for one word and for few values, else what is worth about two milliseconds.

    Of two bytes 65,536 pairs exist as well, but pairs of borders and equal operands among some thousands find as much.
    """
    items = [item for item in build_items(contract, "lorom", 0x8000, 0) if item.declared and item.span != 1]
    values = count_combinations(tuple(items))
    if values <= SAMPLED or (values <= EXHAUSTIVE_LIMIT and len(items) == 1):
        return 0
    return min(max(int(_CYCLES / (side.cycles.mean + _CYCLES_OF_A_START)), _LEAST), SAMPLED)


def _other_places(contract: Contract, candidate: bytes) -> Iterator[tuple[Setup, Contract]]:
    """Other callers, for code that could tell them apart: another stack, return address and program bank.

    Constants of the code are among them, in case it looks for one.
    """
    rng = random.Random(zlib.crc32(candidate))
    facts = examine_code(candidate, contract.m, contract.x)
    constants = sorted(facts.constants)
    if contract.ends == "stop" or len(candidate) > _MOVABLE or not facts.sees_caller:
        return
    for turn in range(_PLACES):
        value = rng.choice(constants) if constants and turn % 2 else rng.randrange(0x10000)
        stack = value + rng.randint(0, 3) if 0x140 <= value <= 0x1FF0 else 0x1FF - rng.randrange(0x40)
        bank = (value & 0xFF if turn & 2 else rng.randrange(0x40)) & 0xBF
        back = value + rng.randint(0, 2) if 0xC000 <= value <= 0xFFFD else rng.randrange(0xC000, 0xFFF0)
        origin = bank << 16 | ORIGIN & 0xFFFF
        setup = Setup(origin=origin, rom=_ROM, ends=contract.ends, budget=contract.budget, return_to=back)
        yield setup, _with_stack(contract, stack)


def _with_stack(contract: Contract, stack: int) -> Contract:
    """The contract with another S, if the stack there touches nothing the contract names."""
    named = (*contract.reads, *(contract.writes or ()), *contract.scratch)
    below = stack - contract.stack
    taken = any(one.start & 0xFFFF <= stack and (one.end - 1) & 0xFFFF > below for one in named)
    return contract if taken or below < 0x100 else msgspec.structs.replace(contract, s=stack)


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

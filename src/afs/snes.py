"""The 65816 bench as a library: assemble, disassemble, run, compare, count cycles, lint, look up registers.

    from afs import snes

    code = snes.assemble("lda #$01 : sta $10 : rts").data
    snes.run(code).end.a

Sources are in Asar's dialect; a routine begins at $808000 unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from afs.domains.base import Finding
from afs.domains.snes import asm
from afs.domains.snes.asm import AsmError, Assembly
from afs.domains.snes.assembled_routine import machine_code
from afs.domains.snes.contract import Contract, parse_comment
from afs.domains.snes.disasm import DisasmOptions
from afs.domains.snes.disasm import disassemble as _disassemble
from afs.domains.snes.equivalence import Cost, Equality, measure_cost
from afs.domains.snes.equivalence import equal as _equal
from afs.domains.snes.harness import Setup, Trace
from afs.domains.snes.knowledge.registers import Register, find_register, list_registers
from afs.domains.snes.lint.lint_source import LintOptions
from afs.domains.snes.lint.lint_source import lint as _lint
from afs.domains.snes.machine import machine
from afs.domains.snes.start_states import CpuState
from afs.domains.snes.task_specs import ORIGIN

__all__ = [
    "AsmError",
    "Assembly",
    "Contract",
    "Cost",
    "CpuState",
    "DisasmOptions",
    "Equality",
    "Finding",
    "Register",
    "Trace",
    "assemble",
    "cycles",
    "disassemble",
    "equal",
    "lint",
    "list_registers",
    "register",
    "run",
]


def assemble(
    source: str | Path,
    *,
    origin: int | None = ORIGIN,
    rom: bytes | None = None,
    defines: Mapping[str, str] | None = None,
) -> Assembly:
    """Assemble a text, or a file with what it includes; a `rom` is patched. Raises AsmError with every problem."""
    if isinstance(source, Path):
        folder = source.parent
        return asm.assemble(
            source.read_bytes(),
            origin=None if rom else origin,
            rom=rom,
            include_dirs=(folder,),
            defines=defines,
            limits=asm.TRUSTED,
            file=source.name,
        )
    return asm.assemble(source, origin=None if rom else origin, rom=rom, defines=defines)


def disassemble(
    data: bytes, origin: int = 0x008000, *, options: DisasmOptions | None = None, symbols: Mapping[int, str] = {}
) -> str:
    """Source that assembles to the same bytes again, with the widths of A and X followed."""
    return _disassemble(data, origin, options, symbols)


def run(code: str | bytes, start: CpuState | None = None, *, contract: Contract | None = None) -> Trace:
    """Run a routine once, from a source or machine code: registers and memory at the end, cycles, master clocks."""
    rules = contract or Contract()
    setup = Setup(origin=ORIGIN, ends=rules.ends, budget=rules.budget)
    return machine(_code(code), setup).run([start or CpuState(db=ORIGIN >> 16)])[0]


def equal(original: str | bytes, candidate: str | bytes, *, contract: Contract | None = None) -> Equality:
    """Compare the effects of two routines on many start states, under the contract or the one in the original."""
    return _equal(_code(original), _code(candidate), contract or _stated(original), origin=ORIGIN)


def cycles(code: str | bytes, *, contract: Contract | None = None, states: int = 0) -> Cost:
    """What a routine costs over the start states of its contract: CPU cycles, master clocks, bytes."""
    return measure_cost(_code(code), contract or _stated(code), states=states)


def lint(source: str, *, contract: Contract | None = None) -> tuple[Finding, ...]:
    """Static remarks on a source."""
    return _lint(source, LintOptions(contract=contract, origin=ORIGIN))


def register(name_or_address: str | int) -> Register:
    """A hardware register by name (`INIDISP`) or address (`0x2100`)."""
    return find_register(name_or_address if isinstance(name_or_address, str) else f"${name_or_address:04X}")


def _code(code: str | bytes) -> bytes:
    return machine_code(code) if isinstance(code, str) else code


def _stated(code: str | bytes) -> Contract:
    """The contract in a source's comment; without one, everything counts."""
    found = parse_comment(code) if isinstance(code, str) else None
    return found or Contract()

"""The pack's tools for models: source as text in, text out; each is a command of the pack on a file of its own.

They read no file of the user's: the source lies alone in an empty folder, and `incsrc` finds nothing beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import msgspec

from afs.config import Config
from afs.domains.base import Finding
from afs.domains.snes.asm import Assembly, assemble
from afs.domains.snes.cpu_commands import (
    CyclesConfig,
    EqualConfig,
    RunCodeConfig,
    cycles,
    equal,
    run,
)
from afs.domains.snes.disasm import DisasmOptions, disassemble
from afs.domains.snes.lint import LintOptions, lint
from afs.domains.snes.register_command import RegisterConfig, register
from afs.domains.snes.routine_file import parse_address
from afs.errors import AfsError, UsageError
from afs.types import Json

_SHOWN: Final = 256
_LEAST_SURE: Final = 0.5
Width = Literal["8", "16"]
Ends = Literal["auto", "rts", "rtl", "end", "stop"]


class SourceToAssemble(Config, frozen=True, kw_only=True):
    """What to assemble."""

    source: str
    """65816 source in Asar's dialect, one instruction a line."""
    origin: str = "808000"
    """Hex address of code without an org."""


def assemble_source(config: SourceToAssemble) -> str:
    """Addresses with bytes, labels, warnings."""
    done: Assembly = assemble(config.source, origin=parse_address(config.origin, "origin"), file="source")
    blocks = [f"${block.address:06X}: {_hex(block.data)} ({len(block.data)} bytes)" for block in done.blocks]
    labels = [f"{name} = ${address:06X}" for name, address in done.labels.items()]
    return "\n".join([*done.prints, *(warning.head() for warning in done.warnings), *blocks, *labels]) or "no bytes"


def _hex(data: bytes) -> str:
    return data[:_SHOWN].hex(" ").upper() + (" …" if len(data) > _SHOWN else "")


class BytesToDisassemble(Config, frozen=True, kw_only=True):
    """What to disassemble."""

    data: str
    """Machine code as hex bytes, `A9 01 85 10 60`."""
    origin: str = "808000"
    """Hex address of the first byte."""
    m: Width = "8"
    """Width of A at the start."""
    x: Width = "8"
    """Width of X and Y at the start."""


def disassemble_bytes(config: BytesToDisassemble) -> str:
    """Source that assembles to the same bytes."""
    try:
        data = bytes.fromhex(config.data.replace("$", "").replace(",", " "))
    except ValueError:
        raise UsageError("data: want hex bytes such as A9 01 60") from None
    if not data:
        raise UsageError("data: want at least one byte")
    origin = parse_address(config.origin, "origin")
    options = DisasmOptions(entries=(origin,), wide_a=config.m == "16", wide_x=config.x == "16")
    return disassemble(data, origin, options, None).rstrip("\n")


class SourceToLint(Config, frozen=True, kw_only=True):
    """What to check."""

    source: str
    """65816 source in Asar's dialect."""


def lint_source(config: SourceToLint) -> str:
    """One line per finding."""
    found = [one for one in lint(config.source, LintOptions(file="source")) if one.sure >= _LEAST_SURE]
    return "\n".join(map(_finding, found)) or "no findings"


def _finding(one: Finding) -> str:
    return f"line {one.line}: {one.severity}: {one.message} [{one.rule}]"


class SourceToRun(Config, frozen=True, kw_only=True):
    """What to run, and from which state."""

    source: str
    """65816 source in Asar's dialect."""
    set: dict[str, str] = {}
    """Registers, flags and memory at the start: {"a": "$12", "c": "1", "$7E0010": "01 02"}."""
    m: Width = "8"
    """Width of A at the start."""
    x: Width = "8"
    """Width of X and Y at the start."""
    ends: Ends = "auto"
    """How it returns."""
    entry: str = ""
    """Label or hex address where it starts; empty: the first code."""


class SourceToTrace(SourceToRun, frozen=True, kw_only=True):
    """What to trace, and from which state."""

    steps: int = 40
    """Show at most this many instructions."""


def run_source(config: SourceToRun, steps: int = 0) -> str:
    """What the run did."""
    with _source_file(config.source) as file:
        options = {name: getattr(config, name) for name in ("set", "m", "x", "ends", "entry")}
        return run(RunCodeConfig(file=file, trace=steps, **options)).text()


def trace_source(config: SourceToTrace) -> str:
    """What the run did, instruction by instruction."""
    return run_source(config, max(1, min(config.steps, 400)))


class SourceToMeasure(Config, frozen=True, kw_only=True):
    """What to measure."""

    source: str
    """65816 source of one routine in Asar's dialect."""
    contract: Json = {}
    """Widths, inputs and how it returns, as in `afs snes cycles --contract`; empty: random A, X, Y and flags."""
    states: int = 0
    """Start states; 0: every value of the inputs if there are few, else 256."""


def measure_source(config: SourceToMeasure) -> str:
    """Cycles, clocks and bytes."""
    with _source_file(config.source) as file:
        contract = _contract_file(file, config.contract)
        return cycles(CyclesConfig(file=file, contract=contract, states=config.states)).text()


class SourcesToCompare(Config, frozen=True, kw_only=True):
    """What to compare, under which contract."""

    original: str
    """65816 source of the routine that is known to be right."""
    candidate: str
    """65816 source of the routine that should do the same."""
    contract: Json = {}
    """What must agree, as in `afs snes equal --contract`; empty: everything."""
    states: int = 0
    """Start states; 0: every value of the inputs if there are few, else 256."""


def compare_sources(config: SourcesToCompare) -> str:
    """The verdict, a counterexample, both routines' costs."""
    with _source_file(config.original) as file:
        other = file.with_name("candidate.asm")
        other.write_text(config.candidate, "utf-8")
        contract = _contract_file(file, config.contract)
        return equal(EqualConfig(original=file, candidate=other, contract=contract, states=config.states)).text()


class RegisterQuery(Config, frozen=True, kw_only=True):
    """What to look up."""

    name: str
    """Name, alias or address of a hardware register: `INIDISP`, `2100`, `$2100`."""


def describe_register(config: RegisterQuery) -> str:
    """Purpose, access, bits."""
    return register(RegisterConfig(name=config.name)).text()


@contextmanager
def _source_file(source: str) -> Iterator[Path]:
    """The source alone in a folder of a folder, since an assembler may look one folder up; errors name no path."""
    with TemporaryDirectory(prefix="afs-tool-") as outer:
        folder = Path(outer, "inner")
        folder.mkdir()
        file = folder / "source.asm"
        file.write_text(source, "utf-8")
        try:
            yield file
        except AfsError as error:
            raise UsageError(str(error).replace(f"{folder}/", "")) from error


def _contract_file(source: Path, contract: Json) -> Path | None:
    if not contract:
        return None
    file = source.with_name("contract.json")
    file.write_bytes(msgspec.json.encode(contract))
    return file

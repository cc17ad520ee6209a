"""Assembles a source and runs every rule over it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from afs.domains.base import Finding
from afs.domains.snes.asm import AsmError, AsmLimits, Assembly, assemble
from afs.domains.snes.contract import Contract, parse_comment
from afs.domains.snes.lint import (
    bank_and_page_rules,
    contract_rules,
    dma_rules,
    hardware_rules,
    reachability_rules,
    stack_rules,
    width_rules,
)
from afs.domains.snes.lint.linted_program import CodeLine, Program
from afs.domains.snes.lint.rule import Check, findings, rules
from afs.errors import DataError
from afs.types import Value

CHECKS: Final[dict[str, Check]] = {
    **width_rules.CHECKS,
    **stack_rules.CHECKS,
    **reachability_rules.CHECKS,
    **bank_and_page_rules.CHECKS,
    **contract_rules.CHECKS,
    **hardware_rules.CHECKS,
    **dma_rules.CHECKS,
}
"""Every rule's check."""

_ENDS: Final = re.compile(r"\bends\s*:", re.IGNORECASE)
_LIMITS: Final = AsmLimits(bytes_out=48 * 1024, statements=30_000, seconds=1.0)
"""For untrusted text: about 16 KB of code."""


class LintOptions(Value, frozen=True, kw_only=True):
    """What the rules may assume."""

    contract: Contract | None = None
    """The contract of the routine at the start; without one the comments in the source are read."""
    origin: int = 0x008000
    include_dirs: tuple[Path, ...] = ()
    defines: dict[str, str] = {}
    rom: bytes | None = None
    file: str = "<source>"
    limits: AsmLimits = _LIMITS
    least_sure: float = 0.0
    """Rules that are never so sure are left out."""


def lint(source: str, options: LintOptions | None = None) -> tuple[Finding, ...]:
    """All findings of the rules and the assembler, by line; on a line the most certain first."""
    how = options or LintOptions()
    try:
        assembly = _assemble(source, how, strict=False)
    except AsmError as error:
        return tuple(_refusals(error, how.file, "error", 1.0))
    found = list(lint_assembly(assembly, source, how))
    try:
        _assemble(source, how, strict=True)
    except AsmError as error:
        found += _refusals(error, how.file, "warning", 0.9)
    return tuple(sorted(found, key=lambda one: (one.line, -one.sure, one.rule)))


def lint_assembly(assembly: Assembly, source: str, options: LintOptions | None = None) -> Iterator[Finding]:
    """Findings of the rules on an assembled source; `source` is read for contracts in comments."""
    how = options or LintOptions()
    statements = assembly.statements
    lines = [CodeLine(one.line, one.address, one.data, bool(one.mnemonic), one.file) for one in statements if one.data]
    contracts, promised, problems = _contracts(source, how.file, lines)
    main = next((line.address for line in lines if line.is_code), None) if how.contract else None
    if how.contract and main is not None:
        contracts[main] = how.contract
        promised.add(main)
    program = Program(lines, assembly.labels, contracts, main)
    program.file = program.main_file = how.file
    program.mapper = assembly.mapper
    program.promised = promised
    yield from problems
    for name in _rules_from(how.least_sure):
        yield from findings(name, CHECKS[name], program)


@lru_cache(maxsize=16)
def _rules_from(least_sure: float) -> tuple[str, ...]:
    """The rules that can be so sure; a finding is never surer than its rule."""
    return tuple(name for name in CHECKS if rules()[name].sure >= least_sure)


def _assemble(source: str, how: LintOptions, *, strict: bool) -> Assembly:
    return assemble(
        source,
        origin=how.origin,
        rom=how.rom,
        include_dirs=how.include_dirs,
        defines=how.defines,
        strict=strict,
        limits=how.limits,
        file=how.file,
    )


def _refusals(error: AsmError, main: str, severity: str, sure: float) -> Iterator[Finding]:
    for one in error.diagnostics:
        if one.severity == "error":
            file = one.file if one.file != main else ""
            yield Finding(rule=one.id, message=one.message, line=one.line, sure=sure, severity=severity, file=file)


def _contracts(
    source: str, file: str, lines: Iterable[CodeLine]
) -> tuple[dict[int, Contract], set[int], list[Finding]]:
    """Contracts in the comments of a source by address, and the addresses of those that state `ends`."""
    starts = sorted((line.line, line.address) for line in lines if line.is_code and line.file == file)
    found: dict[int, Contract] = {}
    promised = set()
    problems = []
    for first, last, text in _comments(source):
        address = next((place for number, place in starts if number > last), None)
        try:
            contract = parse_comment(text)
        except DataError as error:
            problems.append(Finding(rule="contract", message=str(error), line=first, sure=1.0, severity="warning"))
            continue
        if contract is not None and address is not None:
            found[address] = contract
            if _ENDS.search(text):
                promised.add(address)
    return found, promised, problems


def _comments(source: str) -> Iterator[tuple[int, int, str]]:
    """(first line, last line, text) of each run of comment lines."""
    run: list[str] = []
    lines = source.splitlines()
    for number, line in enumerate([*lines, ""], 1):
        if line.strip().startswith(";"):
            run.append(line)
        elif run:
            yield number - len(run), number - 1, "\n".join(run)
            run = []

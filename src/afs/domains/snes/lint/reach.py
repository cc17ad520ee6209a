"""Rules about where control goes: code nobody reaches, and code that runs on into something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from afs.domains.snes.flow.walk import is_call, is_end
from afs.domains.snes.lint.program import Program
from afs.domains.snes.lint.rule import Check, Hit


def _unreachable(program: Program) -> Iterator[Hit]:
    ends = {insn.after for insn in program.insns.values() if is_end(insn.op)}
    for address, insn in program.insns.items():
        if address in ends and address not in program.flow.insns and address not in program.names:
            yield Hit(insn, "nothing leads here: the instruction before never goes on, and there is no label")


def _runs_out(program: Program) -> Iterator[Hit]:
    for address in program.flow.falls:
        insn = program.insns[address]
        if is_call(insn.op):
            continue
        into_data = insn.after in program.data
        visits = [visit for visit, place in program.flow.states if place == address]
        if any((known := program.contracts.get(visit.entry)) and known.ends == "end" for visit in visits):
            continue
        called = any(visit.entry in program.routines for visit in visits)
        if into_data:
            yield Hit(insn, "runs on into data", 0.85 if called else 0.6)
        else:
            yield Hit(insn, "the code ends here without a return or jump", 0.85 if called else 0.3)


def _break(program: Program) -> Iterator[Hit]:
    for insn, visit, _ in program.visits():
        if insn.op.mnemonic in ("brk", "stp"):
            contract = program.contracts.get(visit.entry)
            if contract is None or contract.ends != "stop":
                yield Hit(insn, f"{insn.op.mnemonic} is reached: the program stops here")


CHECKS: Final[dict[str, Check]] = {"unreachable": _unreachable, "runs-on": _runs_out, "stops": _break}

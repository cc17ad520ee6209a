"""Rules about control flow: unreachable code, and code that runs into data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from afs.domains.snes.flow.fixpoint import is_call, is_end
from afs.domains.snes.lint.linted_program import Program
from afs.domains.snes.lint.rule import Check, Spot

_JUMPS: Final = ("jmp", "jml", "bra", "brl")


def _unreachable(program: Program) -> Iterator[Spot]:
    for ended in [insn for insn in program.flow.insns.values() if is_end(insn.op)]:
        if ended.op.mnemonic == "brk":
            continue
        insn = program.insns.get(ended.after)
        filler, padding = ("nop", ended.op.mnemonic), 0
        while insn is not None and insn.op.mnemonic in filler and _is_lost(program, insn.address):
            insn, padding = program.insns.get(insn.after), padding + 1
        if insn is None or insn.op.mnemonic in filler or (padding and insn.op.mnemonic in _JUMPS):
            continue  # a jump after padding is a slot of a table of jumps that others call by its address
        if _is_lost(program, insn.address):
            yield Spot(insn, "unreachable code: the instruction before never falls through, and there is no label")


def _is_lost(program: Program, address: int) -> bool:
    """Is this unreachable code? (A nop or another return after a return is padding.)"""
    return address not in program.flow.insns and address not in program.names


def _runs_out(program: Program) -> Iterator[Spot]:
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
            named = any(visit.entry in program.names for visit in visits)
            yield Spot(insn, "runs on into data", 0.85 if called else 0.6 if named else 0.4)
        else:
            yield Spot(insn, "the code ends here without a return or jump", 0.85 if called else 0.3)


def _break(program: Program) -> Iterator[Spot]:
    stops = ("stp",) if program.calls_by_brk else ("brk", "stp")
    for insn, visit, _ in program.visits():
        if insn.op.mnemonic in stops:
            contract = program.contracts.get(visit.entry)
            if contract is None or contract.ends != "stop":
                yield Spot(insn, f"{insn.op.mnemonic} is reached: the program stops here")


CHECKS: Final[dict[str, Check]] = {"unreachable": _unreachable, "runs-on": _runs_out, "stops": _break}

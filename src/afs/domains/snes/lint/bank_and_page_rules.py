"""Rules about the direct page, the data bank and what a routine leaves changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from afs.domains.snes.contract import Contract
from afs.domains.snes.flow import Belief, Insn, Visit
from afs.domains.snes.knowledge.registers import register_at
from afs.domains.snes.lint.linted_program import Program
from afs.domains.snes.lint.rule import Check, Spot, each, each_return

_WRAM_BANKS: Final = (0x7E, 0x7F)
_NAMES: Final = {
    "a": "A",
    "b": "the high byte of A",
    "x": "X",
    "y": "Y",
    "d": "the direct page register",
    "db": "the data bank",
}


def _names(program: Program, address: int) -> bool:
    """Whether a contract of the program names this address: then it is meant."""
    return any(
        one.start <= address < one.end
        for contract in program.contracts.values()
        for one in (*contract.reads, *(contract.writes or ()), *contract.scratch)
    )


def _hidden(program: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    if insn.op.mode not in ("abs", "abs_x", "abs_y") or insn.op.mnemonic in ("jmp", "jsr", "pea"):
        return
    register = register_at(insn.operand)
    if register is not None and isinstance(state.b, int) and state.b in _WRAM_BANKS:
        if _names(program, state.b << 16 | insn.operand):
            return
        text = f"${insn.operand:04X} is not {register.name} here: the data bank is ${state.b:02X}"
        yield Spot(insn, text)


def _bank_left(program: Program, visit: Visit, insn: Insn, state: Belief) -> Iterator[Spot]:
    contract = program.contracts.get(visit.entry)
    if isinstance(state.b, int) and (contract is None) and state.stack == ():
        yield Spot(insn, f"{program.name(visit.entry)} returns with the data bank set to ${state.b:02X}")


def _page_left(program: Program, visit: Visit, insn: Insn, state: Belief) -> Iterator[Spot]:
    contract = program.contracts.get(visit.entry)
    if isinstance(state.d, int) and contract is None and state.stack == ():
        yield Spot(insn, f"{program.name(visit.entry)} returns with the direct page at ${state.d:04X}")


def _changed(contract: Contract, entry: Belief, state: Belief) -> Iterator[tuple[str, bool]]:
    """Registers a routine returns changed, and whether the new value is known."""
    pairs = (
        ("a", entry.a, state.a),
        ("b", entry.ah, state.ah),
        ("x", entry.ix, state.ix),
        ("y", entry.iy, state.iy),
        ("d", entry.d, state.d),
        ("db", entry.b, state.b),
    )
    for name, before, after in pairs:
        free = contract.frees(name) or name in contract.out or (name == "b" and "a" in contract.out)
        if before != after and not free:
            yield name, after is not None


def _clobbered(program: Program, visit: Visit, insn: Insn, state: Belief) -> Iterator[Spot]:
    contract = program.contracts.get(visit.entry)
    if contract is None or not (contract.out or contract.clobbers or contract.writes):
        return
    if visit in program.calling_out:
        return
    changed = list(_changed(contract, program.entry(visit.entry), state))
    if changed:
        names = ", ".join(_NAMES[name] for name, _ in changed)
        text = f"returns with {names} changed, which the contract names neither under out nor under clobbers"
        yield Spot(insn, text, 0.9 if any(known for _, known in changed) else 0.8)


CHECKS: Final[dict[str, Check]] = {
    "register-bank": each(_hidden),
    "bank-left": each_return(_bank_left),
    "page-left": each_return(_page_left),
    "clobber": each_return(_clobbered),
}

"""Rules about register widths: the M and X flags against what the code says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from afs.domains.snes.flow import ENTRY, Belief, Insn, Visit
from afs.domains.snes.flow.abstract_state import Source
from afs.domains.snes.lint.linted_program import Program
from afs.domains.snes.lint.rule import Check, Spot, each, each_return

_SURE: Final[dict[Source, float]] = {"set": 1.0, "entry": 1.0, "seen": 0.9, "call": 0.45, "mixed": 0.8, "unknown": 0.0}
"""By where the width comes from. After a call to code that is not in the source it is only what it was before."""
_REGISTER: Final = {"imm_m": "A", "imm_x": "X and Y"}
_FLAG: Final = {"imm_m": "M", "imm_x": "X"}


def _bits(narrow: int) -> str:
    return "8" if narrow else "16"


def _width(insn: Insn, state: Belief) -> tuple[int | None, Source]:
    return (state.m, state.m_from) if insn.op.mode == "imm_m" else (state.x, state.x_from)


def _immediate(program: Program) -> Iterator[Spot]:
    ways: dict[int, list[tuple[Visit, Belief]]] = {}
    for insn, visit, state in program.visits():
        if insn.op.mode in _REGISTER:
            ways.setdefault(insn.address, []).append((visit, state))
    for address, reached in ways.items():
        insn = program.insns[address]
        wrong = [(visit, state) for visit, state in reached if _is_wrong(insn, state)]
        for visit, state in wrong:
            sure = _SURE[_width(insn, state)[1]]
            if len(wrong) == len(reached):
                yield Spot(insn, _mismatch(insn, state), sure)
            else:
                yield Spot(insn, _mismatch(insn, state) + _caller(program, visit), min(sure, 0.8))


def _is_wrong(insn: Insn, state: Belief) -> bool:
    known = _width(insn, state)[0]
    return known is not None and known != int(insn.size == 2)


def _mismatch(insn: Insn, state: Belief) -> str:
    written = "an 8" if insn.size == 2 else "a 16"
    are = "is" if insn.op.mode == "imm_m" else "are"
    known = _bits(_width(insn, state)[0] or 0)
    return (
        f"{insn.op.mnemonic} with {written}-bit immediate, but {_REGISTER[insn.op.mode]} {are} {known} bits wide here"
    )


def _caller(program: Program, visit: Visit) -> str:
    calls = sorted(program.insns[address].line for _, address in program.flow.callers.get(visit, ()))
    return f" when {program.name(visit.entry)} is called from line {calls[0]}" if calls else ""


def _join(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    if insn.op.mode in _REGISTER and _width(insn, state)[1] == "mixed":
        yield Spot(
            insn, f"reached with the {_FLAG[insn.op.mode]} flag both set and clear: the immediate fits one path only"
        )


def _redundant(program: Program) -> Iterator[Spot]:
    useless: dict[int, bool] = {}
    for insn, _, state in program.visits():
        if insn.op.mnemonic in ("rep", "sep") and insn.operand and not insn.operand & ~0x30:
            want = int(insn.op.mnemonic == "sep")
            same = (not insn.operand & 0x20 or (state.m == want and state.m_from == "set")) and (
                not insn.operand & 0x10 or (state.x == want and state.x_from == "set")
            )
            useless[insn.address] = useless.get(insn.address, True) and same
    for address, is_useless in useless.items():
        if is_useless:
            insn = program.insns[address]
            yield Spot(insn, f"{insn.op.mnemonic} #${insn.operand:02X} changes nothing: 3 cycles, 2 bytes")


def _exit(program: Program, visit: Visit, insn: Insn, state: Belief) -> Iterator[Spot]:
    contract = program.contracts.get(visit.entry)
    if contract is None:
        return
    for letter, promised, known in (("A", contract.exit_m, state.m), ("X/Y", contract.exit_x, state.x)):
        if promised and known is not None and known != int(promised == 8):
            yield Spot(insn, f"returns with {letter} {_bits(known)} bits wide, the contract says {promised}")


def _paths(program: Program) -> Iterator[Spot]:
    for visit, ends in program.flow.exits.items():
        if visit.entry not in program.routines:
            continue
        widths: dict[str, set[int]] = {"M": set(), "X": set()}
        for address, state in ends.items():
            for flag, known, source in (("M", state.m, state.m_from), ("X", state.x, state.x_from)):
                if known is None or source not in ("set", "entry"):
                    continue
                widths[flag].add(known)
                if len(widths[flag]) > 1:
                    name = program.name(visit.entry)
                    yield Spot(
                        program.insns[address],
                        f"{name} returns with the {flag} flag set on one path and clear on another",
                    )


def _emulation(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    if insn.op.mnemonic == "xce" and state.carry == 1 and state.e != 1:
        yield Spot(insn, "carry is set: xce goes back to 6502 emulation mode, all registers become 8 bits wide")


def _block_move(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    if insn.op.mode != "block":
        return
    if state.x == 1:
        yield Spot(insn, f"{insn.op.mnemonic} with 8-bit X and Y: both addresses lie in the first page")
    elif state.m == 1 and state.ah == ENTRY.ah:  # nothing in the routine has set it
        text = f"{insn.op.mnemonic} counts with all 16 bits of A, but A was loaded 8 bits wide: the high byte is stale"
        yield Spot(insn, text, 0.8)


def _transfer(_: Program, insn: Insn, state: Belief) -> Iterator[Spot]:
    loaded = state.m == 1 and state.m_from == "set" and isinstance(state.a, int)
    if insn.op.mnemonic in ("tcd", "tcs") and loaded and not isinstance(state.ah, int):
        yield Spot(insn, f"{insn.op.mnemonic} copies all 16 bits of A, but only the low byte was loaded")


CHECKS: Final[dict[str, Check]] = {
    "width-immediate": _immediate,
    "width-join": each(_join),
    "width-redundant": _redundant,
    "width-exit": each_return(_exit),
    "width-paths": _paths,
    "emulation-mode": each(_emulation),
    "block-move": each(_block_move),
    "transfer-width": each(_transfer),
}

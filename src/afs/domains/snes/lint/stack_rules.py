"""Rules about the stack and returns: pushes and pulls match, and a call ends in the matching return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from afs.domains.snes.flow import Belief, Insn, Visit
from afs.domains.snes.flow.abstract_state import Slot, Stack
from afs.domains.snes.lint.linted_program import Program
from afs.domains.snes.lint.rule import Check, Spot, each_return

_ADDRESS: Final = frozenset({"pea", "pei", "phk"})
_RETURN_BYTES: Final = {"rts": 2, "rtl": 3, "rti": 4}
_PULLS: Final = frozenset({"pla", "plx", "ply", "plp", "plb", "pld"})
_PUSH_OF: Final = {"pla": "pha", "plx": "phx", "ply": "phy"}
_PARTNER: Final = {"jsr": "rts", "jsl": "rtl"}


def _is_jump(stack: Stack, name: str) -> bool:
    """Is this return a jump to an address that was pushed on purpose?"""
    top = stack[-_RETURN_BYTES[name] :] if stack else ()
    return len(top) == _RETURN_BYTES[name] and all(slot.kind in _ADDRESS for slot in top[-2:])


def _follows_push(program: Program, visit: Visit, address: int) -> bool:
    """Does every way to a return end in a push? Then the return is a jump."""
    before = program.flow.edges.get((visit, address), {})
    names = {program.insns[place].op.mnemonic for place in before if place in program.insns}
    return bool(names) and all(name.startswith(("ph", "pe")) for name in names) and -1 not in before


def _off_by_one(program: Program) -> Iterator[Spot]:
    """pea and rts: rts adds one to what it pulls."""
    for ends in program.flow.exits.values():
        for address, state in ends.items():
            insn = program.insns[address]
            top = state.stack[-2:] if state.stack else ()
            if insn.op.mnemonic != "rts" or len(top) < 2 or any(slot.kind != "pea" for slot in top):
                continue
            high, low = top[0].value, top[1].value
            if not isinstance(high, int) or not isinstance(low, int):
                continue
            goal = insn.address & 0xFF0000 | high << 8 | low
            if goal in program.names and goal in program.insns and goal + 1 not in program.names:
                yield Spot(insn, f"jumps to {program.name(goal)} + 1: rts adds one, so push the address less one")


def _left(program: Program) -> Iterator[Spot]:
    explained = {visit for visit, _ in _mispulled(program)}
    for visit, ends in program.flow.exits.items():
        if visit in explained:
            continue
        for address, state in ends.items():
            name = program.insns[address].op.mnemonic
            if state.stack and not _is_jump(state.stack, name) and not _follows_push(program, visit, address):
                yield _leftover(program.insns[address], state.stack, visit.entry in program.routines)


def _leftover(insn: Insn, stack: tuple[Slot, ...], is_routine: bool) -> Spot:
    """The message for a stack that is not empty; code without a caller may be part of a larger routine."""
    name = insn.op.mnemonic
    pushed = ", ".join(dict.fromkeys(slot.kind.replace("m?", "pha").replace("x?", "phx or phy") for slot in stack))
    count = len(stack)
    unknown = any("?" in slot.kind for slot in stack)
    text = f"{'at least ' * unknown}{count} byte{'s' * (count > 1)} still on the stack ({pushed}) at {name}"
    wide = count == _RETURN_BYTES[name] and not unknown
    return Spot(insn, text, 0.6 if wide or not is_routine else 0.95)


def _depth(stack: Stack) -> int | None:
    return None if stack is None or any("?" in slot.kind for slot in stack) else len(stack)


def _uneven(program: Program) -> Iterator[Spot]:
    later = {visit for insn, visit, state in program.visits() if insn.op.mnemonic in _PULLS and state.stack is None}
    for (visit, address), before in program.flow.edges.items():
        depths = {place: depth for place, state in before.items() if (depth := _depth(state.stack)) is not None}
        if len(set(depths.values())) > 1:
            low, high = min(depths.values()), max(depths.values())
            sure = 0.85 if visit.entry in program.routines else 0.6
            if visit in later and any(place >= address for place in depths):
                sure = 0.4  # a loop that pushes, and perhaps one behind it that pulls as often
            yield Spot(program.insns[address], f"reached with {low} or {high} bytes on the stack, by path", sure)


def _below(program: Program) -> Iterator[Spot]:
    for insn, visit, state in program.visits():
        if insn.op.mnemonic in _PULLS and state.stack == () and visit.entry in program.routines:
            name = program.name(visit.entry)
            yield Spot(insn, f"{insn.op.mnemonic} pulls what {name} did not push: its own return address")


def _pull_width(program: Program) -> Iterator[Spot]:
    yield from (spot for _, spot in _mispulled(program))


def _mispulled(program: Program) -> Iterator[tuple[Visit, Spot]]:
    """A register pulled in another width than it was pushed, where the stack does not come out even."""
    uneven = {visit for visit, ends in program.flow.exits.items() if all(state.stack for state in ends.values())}
    for insn, visit, state in program.visits():
        push = _PUSH_OF.get(insn.op.mnemonic)
        if push is None or not state.stack or state.stack[-1].kind != push:
            continue
        narrow, source = (state.m, state.m_from) if push == "pha" else (state.x, state.x_from)
        if source not in ("set", "entry"):
            continue
        name = insn.op.mnemonic
        if narrow == 0 and (len(state.stack) == 1 or state.stack[-2].kind not in (push, "")):
            text = f"{name} pulls 2 bytes, but {push} pushed 1: the register was 8 bits wide there"
            yield visit, Spot(insn, text)
        if narrow == 1 and visit in uneven and _is_word(state.stack[-2:]):
            text = f"{name} pulls 1 byte of the 2 that {push} pushed: the register was 16 bits wide there"
            yield visit, Spot(insn, text)


def _is_word(slots: tuple[Slot, ...]) -> bool:
    """Are these the two halves of one register?"""
    values = [slot.value for slot in slots]
    if len(values) < 2 or not isinstance(values[0], str) or not isinstance(values[1], str):
        return False
    return values[0].endswith(".h") and values[1] == values[0][:-2] + ".l"


def _kind(program: Program) -> Iterator[Spot]:
    for visit, callers in program.flow.callers.items():
        used = {program.insns[address].op.mnemonic for _, address in callers}
        for address, state in program.flow.exits.get(visit, {}).items():
            insn = program.insns[address]
            for call in sorted(used):
                if state.stack == () and insn.op.mnemonic != _PARTNER[call]:
                    text = f"{program.name(visit.entry)} is called with {call} but ends in {insn.op.mnemonic}"
                    yield Spot(insn, text)


def _promised(program: Program, visit: Visit, insn: Insn, state: Belief) -> Iterator[Spot]:
    contract = program.contracts.get(visit.entry)
    if contract is None or visit.entry not in program.promised or contract.ends not in ("rts", "rtl"):
        return
    if state.stack == () and insn.op.mnemonic != contract.ends:
        yield Spot(insn, f"ends in {insn.op.mnemonic}, the contract says {contract.ends}")


def _decimal(program: Program, visit: Visit, insn: Insn, state: Belief) -> Iterator[Spot]:
    if state.decimal == 1:
        yield Spot(
            insn,
            f"{program.name(visit.entry)} returns in decimal mode: adc and sbc of the caller become decimal",
        )


CHECKS: Final[dict[str, Check]] = {
    "stack-return": _left,
    "stack-join": _uneven,
    "stack-below": _below,
    "pull-width": _pull_width,
    "return-kind": _kind,
    "return-address": _off_by_one,
    "return-contract": each_return(_promised),
    "decimal-left": each_return(_decimal),
}

"""Follows code from its entry points to a fixpoint, one visit per routine and widths it is called with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from afs.domains.snes import isa
from afs.domains.snes.flow.abstract_state import Belief, Known, high, join, low
from afs.domains.snes.flow.instruction_effects import Insn, step

Decode: TypeAlias = Callable[[int, Belief], Insn | None]

RETURNS: Final = frozenset({"rts", "rtl", "rti"})
_INDIRECT_JUMPS: Final = frozenset({"abs_ind", "abs_ind_x", "abs_long_ind"})


class Visit(NamedTuple):
    """A routine as it is reached: its entry and the widths on entry (None: not known)."""

    entry: int
    m: int | None
    x: int | None


class FlowGraph:
    """The result of the walk."""

    def __init__(self) -> None:
        self.insns: dict[int, Insn] = {}
        self.states: dict[tuple[Visit, int], Belief] = {}
        """State before each instruction, per visit."""
        self.edges: dict[tuple[Visit, int], dict[int, Belief]] = {}
        """(visit, address) -> the first state each predecessor was seen to leave it in."""
        self.exits: dict[Visit, dict[int, Belief]] = {}
        """State before each return."""
        self.callers: dict[Visit, set[tuple[Visit, int]]] = {}
        self.falls: set[int] = set()
        """Instructions whose successor in sequence is no known code."""
        self.leaves: dict[int, int] = {}
        """Jumps and calls to addresses that are no known code."""
        self.complete = True
        """False when the budget ended the walk."""

        self._index: dict[int, list[Visit]] = {}

    def keep(self, visit: Visit, address: int, state: Belief) -> None:
        """Set the state of a place."""
        if (visit, address) not in self.states:
            self._index.setdefault(address, []).append(visit)
        self.states[visit, address] = state

    def at(self, address: int) -> list[Belief]:
        """Every state an instruction is reached in."""
        return [self.states[visit, address] for visit in self._index.get(address, ())]


def jump_target(insn: Insn) -> int | None:
    """Where a jump, branch or direct call goes."""
    mode = insn.op.mode
    bank = insn.address & 0xFF0000
    if mode == "rel8":
        return bank | insn.address + 2 + (insn.operand ^ 0x80) - 0x80 & 0xFFFF
    if mode == "rel16" and insn.op.mnemonic == "brl":
        return bank | insn.address + 3 + (insn.operand ^ 0x8000) - 0x8000 & 0xFFFF
    if insn.op.mnemonic in ("jmp", "jml", "jsr", "jsl") and mode in ("abs", "long"):
        return bank | insn.operand if mode == "abs" else insn.operand
    return None


def is_call(op: isa.Op) -> bool:
    """jsr or jsl."""
    return op.mnemonic in ("jsr", "jsl")


def is_end(op: isa.Op) -> bool:
    """Does control never fall through to the next instruction?"""
    if op.mnemonic in RETURNS or op.mnemonic in ("bra", "brl", "jml", "stp", "brk"):
        return True
    return op.mnemonic == "jmp"


class Walker:
    """Walks the code; roots may be added after a run."""

    def __init__(self, decode: Decode, budget: int, brk_returns: bool = False) -> None:
        self.flow, self.decode, self.budget = FlowGraph(), decode, budget
        self.brk_returns = brk_returns
        """Is brk a call of the program's own handler, which returns?"""
        self.queue: deque[tuple[Visit, int]] = deque()
        self.queued: set[tuple[Visit, int]] = set()
        self.silent: set[Visit] = set()
        self.waiting: set[Visit] = set()
        """Called, but no return seen yet."""
        self.open: set[Visit] = set()
        """Left by a jump through a table as well: not all of their returns are known."""
        self.ends: dict[Visit, Belief] = {}
        """What all returns of a visit agree on."""

    def root(self, address: int, state: Belief) -> None:
        """Start here too."""
        self.arrive(Visit(address, state.m, state.x), address, state, -1)

    def arrive(self, visit: Visit, address: int, state: Belief, before: int) -> bool:
        """Join a state into a place; False when there is no code."""
        key = (visit, address)
        known = self.flow.states.get(key)
        if known is None and self._insn(address, state) is None:
            return False
        self.flow.edges.setdefault(key, {}).setdefault(before, state)
        merged = state if known is None else join(known, state)
        if merged != known:
            self.flow.keep(visit, address, merged)
            if key not in self.queued:
                self.queued.add(key)
                self.queue.append(key)
        return True

    def _insn(self, address: int, state: Belief) -> Insn | None:
        found = self.flow.insns.get(address)
        if found is None:
            found = self.decode(address, state)
            if found is not None:
                self.flow.insns[address] = found
        return found

    def run(self) -> FlowGraph:
        """Run to the fixpoint."""
        steps = 0
        while self.queue or self._wake():
            steps += 1
            if steps > self.budget:
                self.flow.complete = False
                break
            key = self.queue.popleft()
            self.queued.discard(key)
            self._visit(*key)
        return self.flow

    def _wake(self) -> bool:
        """After a call to a routine that never returns here, continue as if the routine were unknown."""
        woken = sorted(self.waiting, key=str)
        self.waiting.clear()
        for visit in woken:
            self.silent.add(visit)
            for caller, address in sorted(self.flow.callers[visit], key=str):
                self._go_on(caller, address, after_unknown(self.flow.states[caller, address]))
        return bool(self.queue)

    def _go_on(self, visit: Visit, address: int, state: Belief) -> None:
        insn = self.flow.insns[address]
        if not self.arrive(visit, insn.after, state, address):
            self.flow.falls.add(address)

    def _visit(self, visit: Visit, address: int) -> None:
        insn, state = self.flow.insns[address], self.flow.states[visit, address]
        op = insn.op
        if op.mnemonic in RETURNS:
            self._return(visit, address, state)
            return
        if is_call(op):
            self._call(visit, insn, state)
            return
        if self.brk_returns and op.mnemonic == "brk":
            self._go_on(visit, address, after_unknown(state))
            return
        after = step(insn, state)
        if not is_end(op):
            self._go_on(visit, address, after)
        goal = jump_target(insn)
        if goal is None and op.mnemonic in ("jmp", "jml"):
            self._open(visit)
        elif goal is not None and not self.arrive(visit, goal, after, address):
            self.flow.leaves[address] = goal

    def _open(self, visit: Visit) -> None:
        """What the returns seen so far agree on is not all that callers may get."""
        if visit not in self.open:
            self.open.add(visit)
            for caller, place in sorted(self.flow.callers.get(visit, ()), key=str):
                self._resume(visit, caller, place)

    def _call(self, visit: Visit, insn: Insn, state: Belief) -> None:
        goal = jump_target(insn)
        if goal is None:
            self._go_on(visit, insn.address, after_unknown(state))
            return
        inner = Visit(goal, state.m, state.x)
        entry = Belief(m=state.m, x=state.x, m_from=state.m_from, x_from=state.x_from, e=state.e, io=state.io)
        entry = entry._replace(decimal=state.decimal)
        if not self.arrive(inner, goal, entry, insn.address):
            self.flow.leaves[insn.address] = goal
            self._go_on(visit, insn.address, after_unknown(state))
            return
        self.flow.callers.setdefault(inner, set()).add((visit, insn.address))
        self._resume(inner, visit, insn.address)

    def _resume(self, inner: Visit, visit: Visit, address: int) -> None:
        end = self.ends.get(inner)
        if inner in self.open:
            self._go_on(visit, address, after_unknown(self.flow.states[visit, address]))
        elif end is not None:
            self._go_on(visit, address, after_call(self.flow.states[visit, address], end))
        elif inner in self.silent:
            self._go_on(visit, address, after_unknown(self.flow.states[visit, address]))
        else:
            self.waiting.add(inner)

    def _return(self, visit: Visit, address: int, state: Belief) -> None:
        self.flow.exits.setdefault(visit, {})[address] = state
        self.waiting.discard(visit)
        known = self.ends.get(visit)
        merged = state if known is None else join(known, state)
        if merged == known:
            return
        self.ends[visit] = merged
        for caller, place in sorted(self.flow.callers.get(visit, ()), key=str):
            self._resume(visit, caller, place)


def after_unknown(state: Belief) -> Belief:
    """After a call to an unknown routine: widths, D and the data bank are assumed to be kept."""
    return state._replace(
        a=None,
        ah=None,
        ix=None,
        iy=None,
        carry=None,
        io=None,
        math=0,
        m_from="call" if state.m is not None else state.m_from,
        x_from="call" if state.x is not None else state.x_from,
    )


def after_call(state: Belief, end: Belief) -> Belief:
    """The caller's state after a routine that ends in `end`."""
    symbols: dict[str, Known] = {
        "a.l": state.a,
        "a.h": state.ah,
        "x": state.ix,
        "y": state.iy,
        "d": state.d,
        "b": state.b,
        "x.l": low(state.ix),
        "x.h": high(state.ix),
        "y.l": low(state.iy),
        "y.h": high(state.iy),
        "d.l": low(state.d),
        "d.h": high(state.d),
    }

    def back(value: Known) -> Known:
        return symbols.get(value) if isinstance(value, str) else value

    return end._replace(
        a=back(end.a),
        ah=back(end.ah),
        ix=back(end.ix),
        iy=back(end.iy),
        d=back(end.d),
        b=back(end.b),
        stack=state.stack,
        math=0,
        decimal=state.decimal if end.decimal is None else end.decimal,
    )


def walk(roots: Iterable[tuple[int, Belief]], decode: Decode, budget: int = 2_000_000) -> FlowGraph:
    """Follow all code reachable from `roots`."""
    walker = Walker(decode, budget)
    for address, state in roots:
        walker.root(address, state)
    return walker.run()

"""The code of a ROM around one address: the routine's instructions, who calls it, and what it calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from afs.domains.snes import isa
from afs.domains.snes.flow import ENTRY, Belief, FlowGraph, Insn, Visit
from afs.domains.snes.flow.abstract_state import join
from afs.domains.snes.flow.fixpoint import RETURNS, Walker, is_call, jump_target
from afs.domains.snes.knowledge.memory_and_header_facts import list_vectors
from afs.domains.snes.rom import snes_to_pc

_ROM_STEPS: Final = 400_000
"""Of the walk over the whole ROM, for callers and widths; a few seconds."""
_ROUTINE_STEPS: Final = 100_000


class RomCode(NamedTuple):
    """Bytes and how they are mapped."""

    data: bytes
    mapper: str

    def decode(self, address: int, state: Belief) -> Insn | None:
        """The instruction at an address, if that is in the ROM."""
        place = snes_to_pc(address, self.mapper)
        if place is None or place >= len(self.data):
            return None
        op = isa.OPS[self.data[place]]
        size = isa.size(op, state.m == 0, state.x == 0)
        operand = self.data[place + 1 : place + size]
        return Insn(address, op, int.from_bytes(operand, "little"), size) if len(operand) == size - 1 else None

    def walk(self, roots: Mapping[int, Belief], steps: int) -> FlowGraph:
        """All code that can be reached from some places."""
        walker = Walker(self.decode, steps)
        for address, state in roots.items():
            walker.root(address, state)
        return walker.run()

    def walk_from_vectors(self) -> FlowGraph:
        """All code that is reached from reset and the interrupts, as far as the budget goes."""
        roots: dict[int, Belief] = {}
        for vector in list_vectors():
            place = snes_to_pc(vector.address, self.mapper)
            goal = int.from_bytes(self.data[place : place + 2], "little") if place is not None else 0
            if goal >= 0x8000:
                roots[goal] = start_belief(1, 1)
        return self.walk(roots, _ROM_STEPS)

    def find_mirrors(self, address: int) -> frozenset[int]:
        """An address and that of the same byte in the other half of the map."""
        place = snes_to_pc(address, self.mapper)
        return frozenset(
            one for one in (address, address ^ 0x800000) if snes_to_pc(one, self.mapper) == place is not None
        )


def start_belief(m: int | None, x: int | None) -> Belief:
    """Widths at an entry; nothing else is known."""
    return ENTRY._replace(m=m, x=x, m_from="set", x_from="set")


class RomRoutine(NamedTuple):
    """A routine on its own."""

    address: int
    flow: FlowGraph
    """From its entry, called routines included."""
    insns: tuple[Insn, ...]
    """Its own instructions, by address."""
    states: dict[int, Belief]
    """What is known before each of them, on all paths."""
    returns: tuple[Insn, ...]

    @property
    def size(self) -> int:
        """Bytes of its own instructions."""
        return sum(insn.size for insn in self.insns)

    def list_calls(self) -> dict[int, int]:
        """Address of a call -> where it goes; tail jumps out of the routine included."""
        own = {insn.address for insn in self.insns}
        found: dict[int, int] = {}
        for insn in self.insns:
            goal = jump_target(insn)
            if goal is not None and (is_call(insn.op) or goal not in own):
                found[insn.address] = goal
        return found


def read_routine(code: RomCode, address: int, entry: Belief) -> RomRoutine:
    """The routine at an address, called with these widths."""
    flow = code.walk({address: entry}, _ROUTINE_STEPS)
    states: dict[int, Belief] = {}
    for (visit, place), state in flow.states.items():
        if visit == Visit(address, entry.m, entry.x):
            states[place] = join(states[place], state) if place in states else state
    insns = tuple(flow.insns[place] for place in sorted(states))
    returns = tuple(insn for insn in insns if insn.op.mnemonic in RETURNS)
    return RomRoutine(address, flow, insns, states, returns)


def find_callers(code: RomCode, flow: FlowGraph, address: int) -> dict[int, int]:
    """Place of a call or jump to an address -> entry of the routine it is in."""
    places = code.find_mirrors(address)
    found: dict[int, int] = {}
    for visit, place in flow.states:
        insn = flow.insns[place]
        if jump_target(insn) in places and insn.op.mode not in ("rel8", "rel16") and visit.entry not in places:
            found[place] = visit.entry
    return dict(sorted(found.items()))


def find_widths(code: RomCode, flow: FlowGraph, address: int) -> set[tuple[int | None, int | None]]:
    """The widths in which the walk arrives at an address."""
    return {(state.m, state.x) for one in code.find_mirrors(address) for state in flow.at(one)}

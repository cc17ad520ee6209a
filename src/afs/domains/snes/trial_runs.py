"""Runs a routine of an answer and says what its question lets us say of it: beside the user's own code, by examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

import msgspec

from afs.domains.snes import memory_map
from afs.domains.snes.contract import FLAGS, Contract, Range, parse_range
from afs.domains.snes.equivalence import Cost, Equality, Side, equal, find_breaches, measure_cost
from afs.domains.snes.harness import Trace
from afs.domains.snes.machine import Setup, machine
from afs.domains.snes.question_reading import Example, QuestionReading, Width, find_addresses
from afs.domains.snes.start_states import CpuState, plan_starts
from afs.domains.snes.task_specs import ORIGIN

STATES: Final = 256
_PROBES: Final = 8
"""States from which the memory a routine reads is found, and on which its writes are looked at."""
_MOST_INPUT: Final = 4096
_BUDGET: Final = 60_000
"""CPU cycles of one run; a whole frame has about 60,000."""
_WHERE: Final = ("lorom", 0x8000, 0)
_PORTS: Final = range(0x2100, 0x4400)
_STORE: Final = re.compile(
    r"\b(?:st[axyz]|inc|dec|asl|lsr|rol|ror|tsb|trb)(?:\.[bwl])?[ \t]+((?!a\b)[^\n:]+)|\bmv[np]\b", re.I
)
_COMMENT: Final = re.compile(r";[^\n]*")
_LITERAL: Final = re.compile(r"\$([0-9A-F]{2,6})(?:\s*,\s*[xy])?\s*$", re.I)
REGISTER_NAMES: Final = ("a", "x", "y")


class TriedRoutine(NamedTuple):
    """A routine under the contract that its question implies."""

    code: bytes
    contract: Contract
    cost: Cost
    samples: tuple[tuple[CpuState, Trace], ...]
    """Some of its runs, for what they write."""

    @property
    def traces(self) -> list[Trace]:
        """What the sampled runs did."""
        return [trace for _, trace in self.samples]


def run_routine(code: bytes, contracts: Iterator[Contract]) -> TriedRoutine:
    """Run under the first contract that it keeps; the last failure when it keeps none."""
    run: TriedRoutine | None = None
    for contract in contracts:
        wider = read_inputs(code, contract)
        cost = measure_cost(code, wider, states=STATES)
        if run is None or cost.holds:
            run = TriedRoutine(code, wider, cost, tuple(_sample(code, wider)) if cost.holds else ())
        if cost.holds:
            break
    assert run is not None, "there is at least one contract"
    return run


def possible_contracts(reading: QuestionReading, ends: str) -> Iterator[Contract]:
    """A contract for each entry width that the words leave open, the usual ones first."""
    widths: tuple[Width, ...] = (8, 16)
    choices = product((reading.m,) if reading.m else widths, (reading.x,) if reading.x else widths)
    for m, x in sorted(choices, key=lambda pair: (pair[0] != pair[1], pair)):
        fields: dict[str, object] = {"m": m, "x": x, "ends": ends, "budget": _BUDGET, "registers": "end"}
        if reading.keeps_widths:
            fields |= {"exit_m": m, "exit_x": x}
        if reading.db is not None:
            fields["db"] = reading.db
        yield msgspec.convert(fields, Contract)


def read_inputs(code: bytes, contract: Contract) -> Contract:
    """The contract with all memory that the routine reads among its inputs, so that it varies from run to run."""
    for _ in range(3):
        cost = measure_cost(code, contract, states=_PROBES)
        fresh = [found for name in cost.side.uninitialized if (found := parse_range(name))]
        fresh = [one for one in fresh if memory_map.locate(one.start, *_WHERE) is not None]
        if not fresh or len(contract.reads) + len(fresh) > _MOST_INPUT:
            break
        contract = msgspec.structs.replace(contract, reads=_merge((*contract.reads, *fresh)))
    return contract


def _merge(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for one in sorted(set(ranges), key=lambda r: r.start):
        last = merged[-1] if merged else None
        if last and one.start <= last.end and one.start >> 16 == last.start >> 16:
            merged[-1] = Range(start=last.start, size=max(last.end, one.end) - last.start)
        else:
            merged.append(one)
    return tuple(merged)


def _sample(code: bytes, contract: Contract) -> list[tuple[CpuState, Trace]]:
    setup = Setup(origin=ORIGIN, ends=contract.ends, budget=contract.budget)
    starts = plan_starts(contract, _WHERE, ORIGIN >> 16, 0, _PROBES)
    states = [starts.state(i) for i in range(min(_PROBES, starts.total))]
    return list(zip(states, machine(code, setup).run(states), strict=True))


# --- beside the user's own routine -----------------------------------------------------------------------


class UserComparison(NamedTuple):
    """The answer beside the user's routine; `same` None: they differ only where the question is silent."""

    same: bool | None
    reason: str
    equality: Equality


def compare_with_user(user: TriedRoutine, run: TriedRoutine, reading: QuestionReading) -> UserComparison:
    """Same memory and same registers, as far as the question does not free them.

    Flags count where they are named as a result, or where nothing else could be one.
    """
    whole = equal(user.code, run.code, _bind(run.contract, user, reading), states=STATES)
    if whole.same or whole.at_fault == "original":
        return UserComparison(True if whole.same else None, whole.reason, whole)
    loose = msgspec.structs.replace(run.contract, clobbers=("a", "b", "x", "y", "flags"))
    memory = equal(user.code, run.code, loose, states=STATES)
    if not memory.same and memory.at_fault == "candidate":
        return UserComparison(False, memory.reason, memory)
    stated = reading.free or reading.kept or reading.results
    return UserComparison(False if stated and not memory.same else None, whole.reason, whole)


def _bind(contract: Contract, user: TriedRoutine, reading: QuestionReading) -> Contract:
    """The contract with what the question frees, and nothing else, left out of the comparison."""
    free = [name for name in reading.free if name not in reading.kept and name not in reading.results]
    flags = [name for name in FLAGS if name not in reading.results]
    has_effect = any(trace.writes or trace.registers for trace in user.traces) or len(free) < len(REGISTER_NAMES)
    loose_flags = flags if free and (has_effect or len(flags) < len(FLAGS)) else []
    return msgspec.structs.replace(contract, clobbers=(*free, *(["b"] if "a" in free else []), *loose_flags))


# --- examples --------------------------------------------------------------------------------------------


def find_contradiction(run: TriedRoutine, examples: tuple[Example, ...]) -> str:
    """The first example that a run contradicts, with what came out; empty when all hold."""
    setup = Setup(origin=ORIGIN, ends=run.contract.ends, budget=run.contract.budget)
    runner = machine(run.code, setup)
    starts = plan_starts(run.contract, _WHERE, ORIGIN >> 16, 0, 1)
    for example in examples:
        start = _start_of(example, starts.state(0))
        trace = runner.run([start])[0]
        if find_breaches(run.contract, start, trace):
            return f"`{example.text}`: {find_breaches(run.contract, start, trace)[0]}"
        for name, want in example.end.items():
            got = _end_value(trace, start, name, len(want))
            if got != want:
                return f"the example `{example.text}` gives {name.upper()} = {got.hex(' ').upper()}"
    return ""


def _start_of(example: Example, start: CpuState) -> CpuState:
    fields: dict[str, object] = {}
    memory = dict(start.memory)
    for name, data in example.start.items():
        if name.startswith("$"):
            memory[_place(name)] = data
        elif name == "c":
            fields["p"] = start.p & ~1 | (data[0] & 1)
        else:
            fields[name] = int.from_bytes(data, "little")
    return msgspec.structs.replace(start, memory=memory, **fields)


def _end_value(trace: Trace, start: CpuState, name: str, size: int) -> bytes:
    if name == "c":
        return bytes([trace.end.p & 1])
    if not name.startswith("$"):
        mask = (1 << 8 * size) - 1
        return int(getattr(trace.end, name) & mask).to_bytes(size, "little")
    place = _place(name)
    return bytes(trace.writes.get(place + at, _before(start, place + at)) for at in range(size))


def _before(start: CpuState, address: int) -> int:
    for first, data in start.memory.items():
        if first <= address < first + len(data):
            return data[address - first]
    offset = memory_map.locate(address, *_WHERE)
    return memory_map.noise()[offset] if offset is not None else 0


def _place(name: str) -> int:
    return canonical(int(name.strip("$").replace(":", ""), 16))


def canonical(address: int) -> int:
    """The one address by which a byte of memory goes: `$10` and `$0010` are `$7E0010`."""
    offset = memory_map.locate(address, *_WHERE)
    return address if offset is None else memory_map.address_of(offset)


# --- what words say --------------------------------------------------------------------------------------


def returns_at_once(run: TriedRoutine) -> bool:
    """Whether every run is nothing but the return."""
    return bool(run.traces) and all(trace.instructions <= 1 for trace in run.traces)


def never_written(run: TriedRoutine, source: str, reading: QuestionReading) -> bool:
    """Whether code that should store something certainly stores nothing, or nothing near any named place."""
    if not reading.stores or not reading.named or reading.results or any(t.registers for t in run.traces):
        return False
    if any(place in _PORTS for place in reading.named):
        return False
    near = {canonical(place) for place in reading.named}
    near |= {canonical(place | reading.db << 16) for place in reading.named if reading.db and place < 0x10000}
    if any(0 <= place - one < 256 for trace in run.traces for place in trace.writes for one in near):
        return False
    places = [_literal(operand) for operand in _STORE.findall(_COMMENT.sub("", source))]
    return all(place is not None and not any(0 <= canonical(place) - one < 256 for one in near) for place in places)


def _literal(operand: str) -> int | None:
    """The address a store names; None for one computed while it runs."""
    match = _LITERAL.match(operand.strip())
    return int(match[1], 16) if match else None


def written_unnamed(run: TriedRoutine, reading: QuestionReading) -> list[str]:
    """Memory that is written although neither question nor user's code names it."""
    named = {canonical(place) for place in reading.named | find_addresses(reading.code)}
    if not named:
        return []
    stack = range(0x7E0000 + run.contract.s - run.contract.stack, 0x7E0000 + run.contract.s + 1)
    found = {
        place
        for trace in run.traces
        for place in trace.writes
        if place not in stack and place < memory_map.VIDEO and not any(0 <= place - one < 256 for one in named)
    }
    return [memory_map.name_of(place) for place in sorted(found)]


_CYCLE_CLAIM: Final = re.compile(r"(\d+(?:\.\d+)?)\s+(?:CPU\s+)?cycles\b", re.I)
_BYTE_CLAIM: Final = re.compile(r"(\d+)\s+bytes?\b", re.I)


def unlike_claims(answer_prose: str, side: Side) -> list[str]:
    """Claims of cost that the measurement contradicts: `claims 24 cycles; 26-31 measured`."""
    found = []
    cycles = [float(value) for value in _CYCLE_CLAIM.findall(answer_prose)]
    spread = f"{side.cycles.min}" if side.cycles.min == side.cycles.max else f"{side.cycles.min}-{side.cycles.max}"
    if cycles and not any(side.cycles.min - 0.5 <= claim <= side.cycles.max + 0.5 for claim in cycles):
        found.append(f"claims {cycles[-1]:g} cycles; {spread} measured")
    sizes = [int(value) for value in _BYTE_CLAIM.findall(answer_prose)]
    if cycles and sizes and side.bytes not in sizes:
        found.append(f"claims {sizes[-1]} bytes; {side.bytes} measured")
    return found

"""Do two pieces of code have the same effect under a contract? Runs both from the same start states and compares.

    result = equal(original, candidate, contract)
    result.same, result.reason        True, "no difference in 256 states"

It is a test, not a proof: only when every declared input was tried does it say "equal, exhaustively".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from afs.domains.snes import cpu_kernel, memory_map
from afs.domains.snes.batch_runner import TOUCHED, BatchOutcome, RegisterMasks, Tally, allowed_stops, run_many
from afs.domains.snes.bus import READ
from afs.domains.snes.contract import FLAGS, Contract
from afs.domains.snes.harness import STOPS, Runner, Setup, Trace, contract_changes, is_compared, placed
from afs.domains.snes.machine import machine
from afs.domains.snes.register_use import undeclared_reads, values_to_try
from afs.domains.snes.start_states import CpuState, Starts, plan_starts
from afs.types import Value

_P_ALWAYS = 0x3C
"""M, X, D, I: always compared."""


_REGISTERS = {
    "a": "A",
    "b": "the high byte of A",
    "x": "X",
    "y": "Y",
    "s": "S",
    "pb": "the program bank",
    "i": "the I flag",
    "n": "the N flag",
    "v": "the V flag",
    "z": "the Z flag",
    "c": "the carry",
}


class Spread(Value, frozen=True, kw_only=True):
    """Least, mean and greatest."""

    min: int
    mean: float
    max: int


class Side(Value, frozen=True, kw_only=True):
    """What one of the two programs cost and touched, over the states that ran."""

    bytes: int
    cycles: Spread
    """CPU cycles."""
    clocks: Spread
    """SNES master clocks."""
    stops: dict[str, int]
    """Why its runs ended, counted."""
    uninitialized: tuple[str, ...] = ()
    """Memory it read though nothing had defined it (the compiled core lists the first 1,024 it meets)."""
    early_reads: int = 0


class Counterexample(Value, frozen=True, kw_only=True):
    """The first state on which the two differ."""

    number: int
    at_fault: Literal["original", "candidate"]
    start: CpuState
    original: Trace
    candidate: Trace
    lines: tuple[str, ...]
    """The difference, for people."""


class Equality(Value, frozen=True, kw_only=True):
    """The outcome of a comparison."""

    same: bool
    states: int
    exhaustive: bool
    """Were these all values the declared inputs can take, and was nothing else read?"""
    reason: str
    at_fault: Literal["", "original", "candidate"] = ""
    """Who broke the contract or differs; `original`: the comparison says nothing about the candidate."""
    original: Side
    candidate: Side
    counterexample: Counterexample | None = None


def build_masks(contract: Contract) -> RegisterMasks:
    """What of the registers counts at the end."""
    a = (0 if contract.frees("a") else 0xFF) | (0 if contract.frees("b") else 0xFF00)
    full = {name: 0 if contract.frees(name) else 0xFFFF for name in ("x", "y", "d", "db")}
    flags = sum(mask for name, mask in FLAGS.items() if not contract.frees(name))
    return RegisterMasks(a, full["x"], full["y"], full["d"], full["db"], _P_ALWAYS | flags)


def find_breaches(contract: Contract, start: CpuState, trace: Trace) -> list[str]:
    """How one run breaks its contract, whatever the other does."""
    if trace.stop == "write" and trace.forbidden is not None:
        return [f"writes {memory_map.name_of(trace.forbidden)}, which the contract does not allow (at ${trace.pc:06X})"]
    if trace.stop not in allowed_stops(contract):
        return [f"ends with `{trace.stop}` at ${trace.pc:06X} after {trace.cycles} cycles, not with {contract.ends}"]
    found = []
    if contract.ends != "stop" and trace.end.s != start.s:
        found.append(f"stack: S is ${trace.end.s:04X} at the end, ${start.s:04X} before")
    for name, bit, width in (("m", 0x20, contract.exit_m), ("x", 0x10, contract.exit_x)):
        if width and bool(trace.end.p & bit) != (width == 8):
            found.append(f"exit width: {name} is {24 - width} bit, the contract wants {width}")
    return found


def find_differences(contract: Contract, where: tuple[str, int, int], first: Trace, second: Trace) -> list[str]:
    """Where the effects of two runs differ, as far as the contract cares."""
    masks, found = build_masks(contract), []
    for name, mask in zip(masks._fields[:-1], masks[:-1], strict=True):
        old, new = getattr(first.end, name), getattr(second.end, name)
        if (old ^ new) & mask:
            found.append(f"{name.upper()}: original ${old:04X}, candidate ${new:04X}")
    if (first.end.p ^ second.end.p) & masks.p:
        found.append(f"P: original {format_flags(first.end.p)}, candidate {format_flags(second.end.p)}")
    found += _find_memory_differences(contract, where, first, second)
    return found + _find_port_differences(contract, first, second)


def _find_memory_differences(contract: Contract, where: tuple[str, int, int], first: Trace, second: Trace) -> list[str]:
    base, changes = contract_changes(contract, where)
    found = []
    for address in sorted(first.writes.keys() | second.writes.keys()):
        offset = memory_map.locate(address, *where)
        before = first.before.get(address, second.before.get(address, 0))
        old, new = first.writes.get(address, before), second.writes.get(address, before)
        if old != new and offset is not None and is_compared(offset, base, changes):
            found.append(
                f"{memory_map.name_of(address)}: original ${old:02X}, candidate ${new:02X} (before ${before:02X})"
            )
    return found


_ARITHMETIC = range(0x4202, 0x4207)


def _find_port_differences(contract: Contract, first: Trace, second: Trace) -> list[str]:
    """Register writes in order where the contract wants that, and always the reads that change something."""
    if contract.registers == "ignore":
        return []
    if contract.registers == "end":
        reads = [[entry for entry in trace.registers if entry[0] >= READ] for trace in (first, second)]
        return _find_log_differences(*reads)
    used = [any(port in _ARITHMETIC for port, _ in trace.registers) for trace in (first, second)]
    if used[0] != used[1]:
        return [f"multiplier or divider: only the {'original' if used[0] else 'candidate'} writes to it"]
    logs = [[entry for entry in trace.registers if entry[0] not in _ARITHMETIC] for trace in (first, second)]
    return _find_log_differences(*logs)


def _find_log_differences(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> list[str]:
    for number, (old, new) in enumerate(zip(first, second, strict=False), 1):
        if old != new:
            return [f"register access {number}: original {_format_write(old)}, candidate {_format_write(new)}"]
    if len(first) != len(second):
        return [f"register accesses: original {len(first)}, candidate {len(second)}"]
    return []


def _format_write(write: tuple[int, int]) -> str:
    port, value = write
    return f"read of ${port - READ:04X}" if port >= READ else f"${value:02X} to ${port:04X}"


def format_flags(p: int) -> str:
    """`nvMXdizc`: capitals are set."""
    return "".join(name.upper() if p & 0x80 >> at else name for at, name in enumerate("nvmxdizc"))


def _measure_spread(values: Iterable[int]) -> Spread:
    numbers = list(values) or [0]
    return Spread(min=min(numbers), mean=sum(numbers) / len(numbers), max=max(numbers))


def _side_of_traces(code: bytes, traces: list[Trace]) -> Side:
    touched = sorted({address for trace in traces for address in trace.uninitialized})
    return Side(
        bytes=len(code),
        cycles=_measure_spread(trace.cycles for trace in traces),
        clocks=_measure_spread(trace.clocks for trace in traces),
        stops=dict(Counter(trace.stop for trace in traces)),
        uninitialized=tuple(memory_map.name_of(address) for address in touched),
        early_reads=sum(trace.early_reads for trace in traces),
    )


def _side_of_tally(code: bytes, tally: Tally, mapper: str) -> Side:
    stops: dict[str, int] = {STOPS[at]: tally.stops[at] for at in range(len(STOPS)) if tally.stops[at]}
    runs = max(sum(stops.values()), 1)
    touched = sorted(memory_map.address_of(tally.touched[at], mapper) for at in range(min(tally.n_touched, TOUCHED)))
    return Side(
        bytes=len(code),
        cycles=Spread(min=tally.cycles_min, mean=tally.cycles_sum / runs, max=tally.cycles_max),
        clocks=Spread(min=tally.clocks_min, mean=tally.clocks_sum / runs, max=tally.clocks_max),
        stops=stops,
        uninitialized=tuple(memory_map.name_of(address) for address in touched),
        early_reads=tally.early,
    )


def judge_runs(
    contract: Contract, where: tuple[str, int, int], start: CpuState, pair: tuple[Trace, Trace]
) -> tuple[Literal["", "original", "candidate"], list[str]]:
    """Compare the two runs of one state: who is at fault, and how."""
    for who, trace in (("original", pair[0]), ("candidate", pair[1])):
        found = find_breaches(contract, start, trace)
        if found:
            return ("original" if who == "original" else "candidate"), [f"{who} {line}" for line in found]
    found = find_differences(contract, where, *pair)
    return ("candidate" if found else ""), found


def equal(
    original: bytes,
    candidate: bytes,
    contract: Contract,
    *,
    origin: int = 0x808000,
    seed: int = 0,
    states: int = 0,
) -> Equality:
    """Compare two pieces of machine code at one origin; 0 states asks for all inputs up to 65,536, else 256 of them."""
    setup = Setup(origin=origin, ends=contract.ends, budget=contract.budget)
    return compare(original, candidate, contract, setup, seed=seed, states=states)


def compare(
    original: bytes, candidate: bytes, contract: Contract, setup: Setup, *, seed: int = 0, states: int = 0
) -> Equality:
    """Compare two pieces of machine code in a machine of one's own (ROM, mapper, FastROM)."""
    codes = (original, candidate)
    where = placed(setup, max(codes, key=len)).where
    pool = values_to_try(contract, *codes)
    starts = plan_starts(contract, where, setup.origin >> 16, seed, states, pool)
    if cpu_kernel.core():
        different = codes if original != candidate else (original,)  # the same bytes do the same: one run is enough
        outcome = run_many(different, setup, contract, starts, build_masks(contract))
        return _compare_tallies(codes, setup, starts, outcome)
    return _compare_traces(codes, setup, starts)


def _compare_traces(codes: tuple[bytes, bytes], setup: Setup, starts: Starts) -> Equality:
    """The comparison in plain Python."""
    machines = [machine(code, setup) for code in codes]
    runs: tuple[list[Trace], list[Trace]] = ([], [])
    example: Counterexample | None = None
    for number in range(starts.total):
        pair = _run_pair(machines, starts, number)
        runs[0].append(pair[0])
        runs[1].append(pair[1])
        example = _build_counterexample(codes, setup, starts, number, pair)
        if example:
            break
    sides = (_side_of_traces(codes[0], runs[0]), _side_of_traces(codes[1], runs[1]))
    return _build_equality(sides, len(runs[0]), starts, example, undeclared_reads(starts.contract, *codes))


def _compare_tallies(codes: tuple[bytes, bytes], setup: Setup, starts: Starts, outcome: BatchOutcome) -> Equality:
    """What the compiled core counted; a difference is explained by running its state again."""
    example = None
    if outcome.fault:
        number = outcome.states - 1
        pair = _run_pair([machine(code, setup) for code in codes], starts, number)
        example = _build_counterexample(codes, setup, starts, number, pair)
        if example is None:
            raise AssertionError(
                f"state {number}: the compiled comparison found a difference that two runs do not show"
            )
    sides = (
        _side_of_tally(codes[0], outcome.side[0], setup.mapper),
        _side_of_tally(codes[1], outcome.side[codes[0] != codes[1]], setup.mapper),
    )
    return _build_equality(sides, outcome.states, starts, example, undeclared_reads(starts.contract, *codes))


def _run_pair(machines: Sequence[Runner], starts: Starts, number: int) -> tuple[Trace, Trace]:
    start = starts.state(number)
    first, second = (one.run([start], starts.contract)[0] for one in machines)
    return first, second


def _build_counterexample(
    codes: tuple[bytes, bytes], setup: Setup, starts: Starts, number: int, pair: tuple[Trace, Trace]
) -> Counterexample | None:
    start = starts.state(number)
    where = placed(setup, max(codes, key=len)).where
    who, lines = judge_runs(starts.contract, where, start, pair)
    if not who:
        return None
    return Counterexample(
        number=number, at_fault=who, start=start, original=pair[0], candidate=pair[1], lines=tuple(lines)
    )


def _build_equality(
    sides: tuple[Side, Side], states: int, starts: Starts, example: Counterexample | None, undeclared: tuple[str, ...]
) -> Equality:
    undefined = sides[0].uninitialized or sides[1].uninitialized
    if starts.exhaustive and not undefined:
        undefined = tuple(_REGISTERS[name] for name in undeclared)
    complete = starts.exhaustive and example is None and not undefined
    if example:
        reason = f"state {example.number}: {example.lines[0]}"
    elif complete:
        reason = f"equal, exhaustively ({states} states: every value of the declared inputs)"
    elif undefined:
        reason = f"no difference in {states} states; reads {undefined[0]}, which the contract does not define"
    else:
        reason = f"no difference in {states} states"
    return Equality(
        same=example is None,
        states=states,
        exhaustive=complete,
        reason=reason,
        at_fault=example.at_fault if example else "",
        original=sides[0],
        candidate=sides[1],
        counterexample=example,
    )


class Cost(Value, frozen=True, kw_only=True):
    """What one program costs under its contract, over many start states."""

    holds: bool
    """Did every run end as the contract says?"""
    states: int
    exhaustive: bool
    reason: str
    side: Side


def measure_cost(
    code: bytes, contract: Contract, setup: Setup | None = None, *, seed: int = 0, states: int = 0
) -> Cost:
    """Run one program from the start states of its contract; stops at the first run that breaks it."""
    chosen = setup or Setup(ends=contract.ends, budget=contract.budget)
    starts = plan_starts(contract, placed(chosen, code).where, chosen.origin >> 16, seed, states)
    if cpu_kernel.core():
        outcome = run_many((code,), chosen, contract, starts, build_masks(contract))
        side, ran, broken = _side_of_tally(code, outcome.side[0], chosen.mapper), outcome.states, outcome.fault > 0
    else:
        traces: list[Trace] = []
        runner, broken = machine(code, chosen), False
        for number in range(starts.total):
            start = starts.state(number)
            traces += runner.run([start], contract)
            broken = bool(find_breaches(contract, start, traces[-1]))
            if broken:
                break
        side, ran = _side_of_traces(code, traces), len(traces)
    reason = f"ended as the contract says in {ran} states"
    if broken:
        start = starts.state(ran - 1)
        lines = find_breaches(contract, start, machine(code, chosen).run([start], contract)[0])
        reason = f"state {ran - 1}: {lines[0]}"
    return Cost(holds=not broken, states=ran, exhaustive=starts.exhaustive and not broken, reason=reason, side=side)

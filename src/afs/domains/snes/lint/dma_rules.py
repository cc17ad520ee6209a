"""Rules about DMA: how the channels are set up when a transfer starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from afs.domains.snes.flow import Belief, Insn, Known, Visit, effective_address
from afs.domains.snes.flow.abstract_state import low
from afs.domains.snes.flow.instruction_effects import MDMAEN, SPENT
from afs.domains.snes.knowledge.memory_and_header_facts import MAPS, region_at
from afs.domains.snes.lint.linted_program import Program
from afs.domains.snes.lint.rule import Check, Spot

_PARTS: Final = {0: "DMAP", 1: "BBAD", 2: "A1TL", 3: "A1TH", 4: "A1B", 5: "DASL", 6: "DASH"}
_PORTS: Final = {0x04: "OAMDATA", 0x18: "VMDATAL", 0x19: "VMDATAH", 0x22: "CGDATA", 0x80: "WMDATA"}
_READ_PORTS: Final = {0x38: "OAMDATAREAD", 0x39: "VMDATALREAD", 0x3A: "VMDATAHREAD", 0x3B: "CGDATAREAD"}
_ONE_REGISTER: Final = frozenset({0, 2, 6})
_SPAN: Final = {0: 1, 1: 2, 2: 1, 3: 2, 4: 4, 5: 2, 6: 1, 7: 2}


class _Transfer(NamedTuple):
    """A channel as it stands when its transfer starts."""

    channel: int
    parts: Mapping[int, Known]
    vmain: Known
    insn: Insn
    visit: Visit

    def byte(self, part: int) -> int | None:
        value = self.parts.get(part)
        return value if isinstance(value, int) else None

    def hit(self, text: str, sure: float | None = None) -> Spot:
        return Spot(self.insn, f"DMA channel {self.channel}: {text}", sure)


def _started(insn: Insn, state: Belief) -> int:
    """The channels a write to MDMAEN starts; 0 when there are none, or they are unknown."""
    if insn.op.mnemonic not in ("sta", "stx", "sty") or state.io is None:
        return 0
    address = effective_address(insn, state)
    if address is None or address & 0xFFFF != MDMAEN or address >> 16 & 0x7F > 0x3F:
        return 0
    value = {"sta": state.a, "stx": low(state.ix), "sty": low(state.iy)}[insn.op.mnemonic]
    return value & 0xFF if isinstance(value, int) else 0


def _transfers(program: Program) -> Iterator[_Transfer]:
    for insn, visit, state in program.visits():
        channels = _started(insn, state)
        if not channels:
            continue
        table = dict(state.io or ())
        for channel in (n for n in range(8) if channels >> n & 1):
            base = 0x4300 + channel * 16
            parts = {part: table[base + part] for part in _PARTS if base + part in table}
            if parts:
                yield _Transfer(channel, parts, table.get(0x2115), insn, visit)


def _each(test: Callable[[_Transfer], Iterator[Spot]]) -> Check:
    def check(program: Program) -> Iterator[Spot]:
        for transfer in _transfers(program):
            yield from test(transfer)

    return check


def _incomplete(one: _Transfer) -> Iterator[Spot]:
    missing = [name for part, name in _PARTS.items() if part not in one.parts]
    kinds = {name[:3] for name in missing}
    if missing and one.parts.keys() & {1, 2, 5}:
        certain = {1: 0.8, 2: 0.45}.get(len(kinds), 0.3)
        yield one.hit(f"{', '.join(missing)} not set in this routine before the start", certain)


def _count(one: _Transfer) -> Iterator[Spot]:
    lower, upper = one.parts.get(5), one.parts.get(6)
    if SPENT in (lower, upper):
        yield one.hit("the byte count is 0 after the transfer before: this one moves 65536 bytes")
    elif lower == 0 and upper == 0:
        yield one.hit("the byte count is 0, which means 65536 bytes", 0.4)


def _direction(one: _Transfer) -> Iterator[Spot]:
    mode, port = one.byte(0), one.byte(1)
    if mode is None or port is None:
        return
    if mode & 0x80 and port in _PORTS and port != 0x80:
        yield one.hit(f"bit 7 of DMAP is set, so it reads from {_PORTS[port]}, which is write-only")
    if not mode & 0x80 and port in _READ_PORTS:
        yield one.hit(f"bit 7 of DMAP is clear, so it writes to {_READ_PORTS[port]}, which is read-only")


def _unit(one: _Transfer) -> Iterator[Spot]:
    mode, port = one.byte(0), one.byte(1)
    if mode is None or port is None:
        return
    if port in (0x04, 0x22, 0x80, 0x38, 0x3B) and mode & 7 not in _ONE_REGISTER:
        name = (_PORTS | _READ_PORTS)[port]
        yield one.hit(f"unit {mode & 7} spreads the bytes over {_SPAN[mode & 7]} registers from {name} on; want 0 or 2")
    if port in (0x18, 0x19) and mode & 7 in _ONE_REGISTER:
        yield from _advance(one, port)
    if port == 0x18 and mode & 7 == 1 and isinstance(one.vmain, int) and not one.vmain & 0x80:
        yield one.hit("VMAIN advances after the low byte, but words are written low byte first: want bit 7 set", 0.85)


def _advance(one: _Transfer, port: int) -> Iterator[Spot]:
    if isinstance(one.vmain, int) and bool(one.vmain & 0x80) != (port == 0x19):
        yield one.hit(
            f"only {_PORTS[port]} is written, and VMAIN (${one.vmain:02X}) advances after the other byte", 0.85
        )


def _wram(one: _Transfer) -> Iterator[Spot]:
    bank, upper = one.byte(4), one.byte(3)
    if one.byte(1) != 0x80 or bank is None:
        return
    if bank in (0x7E, 0x7F) or (bank & 0x7F < 0x40 and upper is not None and upper < 0x20):
        yield one.hit("WRAM to WRAM through WMDATA does nothing: both ends are the same chip; use mvn")


def _channel(program: Program) -> Iterator[Spot]:
    for insn, _, state in program.visits():
        channels = _started(insn, state)
        ready = {(port - 0x4300) // 16 for port, _ in state.io or () if 0x4300 <= port < 0x4380}
        started = {n for n in range(8) if channels >> n & 1}
        if started and ready and not started & ready:
            names = f"{_list(started)} started, but this routine set up {_list(ready)}"
            yield Spot(insn, f"DMA channel {names}: bit n of MDMAEN is channel n")


def _list(numbers: set[int]) -> str:
    return " and ".join(map(str, sorted(numbers)))


def _step(program: Program) -> Iterator[Spot]:
    for one in _transfers(program):
        contract = program.contracts.get(one.visit.entry)
        mode, lower, upper, bank = (one.byte(part) for part in (0, 2, 3, 4))
        if contract is None or mode is None or not mode & 0x08 or lower is None or upper is None or bank is None:
            continue
        start = bank << 16 | upper << 8 | lower
        if any(given.start <= start and start + 1 < given.end for given in contract.reads):
            text = f"bit 3 of DMAP (${mode:02X}) keeps the address fixed: the byte at ${start:06X} is sent repeatedly"
            yield one.hit(text)


def _source(program: Program) -> Iterator[Spot]:
    mapper = program.mapper if program.mapper in MAPS else "lorom"
    for one in _transfers(program):
        lower, upper, bank = one.byte(2), one.byte(3), one.byte(4)
        if lower is None or upper is None or bank is None:
            continue
        address = bank << 16 | upper << 8 | lower
        region = region_at(address, mapper)
        if region is None or region.kind not in ("open", "io") or 0x6000 <= address & 0xFFFF < 0x8000:
            continue
        yield one.hit(f"the address ${bank:02X}:{address & 0xFFFF:04X} is neither ROM nor RAM ({region.what})")


CHECKS: Final[dict[str, Check]] = {
    "dma-incomplete": _each(_incomplete),
    "dma-count": _each(_count),
    "dma-direction": _each(_direction),
    "dma-unit": _each(_unit),
    "dma-wram": _each(_wram),
    "dma-address": _source,
    "dma-channel": _channel,
    "dma-step": _step,
}

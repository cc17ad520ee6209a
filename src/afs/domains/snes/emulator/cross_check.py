"""A routine on the emulated machine: run from many start states, what it leaves compared with the CPU core's result.

The emulator is independent of our core, so agreement confirms both the effect and the cost: master clocks are read from
the picture counters before and after (4 clocks apart at best; memory refresh is taken out), less those of an empty
routine.
"""

from __future__ import annotations

import struct
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

import msgspec

from afs.domains.snes.asm import assemble
from afs.domains.snes.contract import Contract
from afs.domains.snes.emulator.emulator_worker import Emulator
from afs.domains.snes.emulator.scenario import Play, Read
from afs.domains.snes.equivalence import build_masks
from afs.domains.snes.harness import Setup, Trace
from afs.domains.snes.machine import machine
from afs.domains.snes.memory_map import VIDEO
from afs.domains.snes.start_states import CpuState, plan_starts
from afs.errors import UsageError
from afs.types import Value

ORIGIN: Final = 0x808000
DONE: Final = 0x1FFFF
MAX_CODE: Final = 0x6000
_FRAMES: Final = 240
_TABLE: Final = 0x8000
_STARTS: Final = 0x9000
_HEAD: Final = struct.Struct("<HHHHBB")
_LEFT: Final = struct.Struct("<HHHHHBBHHHH")
_LINE_CLOCKS, _LINES, _REFRESH_DOT, _REFRESH_CLOCKS = 1364, 262, 134, 40
TOLERANCE: Final = 6
"""Master clocks by which the counters' typical reading may differ from the core: a CPU cycle has 6 or 8."""


class Proof(Value, frozen=True, kw_only=True):
    """The emulator's result for a routine."""

    agrees: bool
    """Same registers, flags and memory as on the CPU core, on all states."""
    states: int
    lines: tuple[str, ...] = ()
    """The first difference."""
    clocks: float | None = None
    """Mean master clocks, measured with the picture counters."""
    core_clocks: float | None = None
    """Mean master clocks of the core on the same states."""
    clocks_agree: bool | None = None


class _Left(NamedTuple):
    """The outcome of one run."""

    a: int
    x: int
    y: int
    d: int
    s: int
    db: int
    p: int
    clocks: int
    memory: dict[int, int]


def prove(code: bytes, contract: Contract, emulator: Emulator, *, seed: int = 0, states: int = 64) -> Proof:
    """Run a routine on emulator and core from the same states; UsageError where the harness cannot hold it."""
    setup = Setup(origin=ORIGIN, ends=contract.ends, budget=contract.budget)
    starts = plan_starts(contract, (setup.mapper, 0x8000, setup.sram), ORIGIN >> 16, seed, states)
    begun = [_as_powered_on(starts.state(number)) for number in range(min(starts.total, states))]
    traces = machine(code, setup).run(begun, contract)
    left = _played(code, contract, begun, emulator)
    if left is None:
        return Proof(agrees=False, states=len(begun), lines=("it does not come back on the emulator",))
    for number, (trace, got) in enumerate(zip(traces, left, strict=True)):
        lines = _differences(contract, trace, got)
        if lines:
            return Proof(agrees=False, states=number + 1, lines=(f"state {number}", *lines))
    costs = [got.clocks - _empty(emulator, contract.ends) for got in left]
    wanted = [trace.clocks for trace in traces]
    mean, core = sum(costs) / len(costs), sum(wanted) / len(wanted)
    near = None if _has_dma(contract) else abs(_typical(costs, wanted)) <= TOLERANCE
    return Proof(agrees=True, states=len(begun), clocks=mean, core_clocks=core, clocks_agree=near)


def _has_dma(contract: Contract) -> bool:
    """Whether the routine may start DMA, whose alignment the core does not count."""
    return any(r.start <= 0x420B < r.end for r in (*contract.scratch, *(contract.writes or ())))


def _typical(costs: list[int], wanted: list[int]) -> float:
    """Mean difference of the middle half: a refresh at the edge of a reading counts in some states only."""
    apart = sorted(a - b for a, b in zip(costs, wanted, strict=True))
    middle = apart[len(apart) // 4 : len(apart) - len(apart) // 4]
    return sum(middle) / len(middle)


def _differences(contract: Contract, trace: Trace, got: _Left) -> list[str]:
    masks = build_masks(contract)
    found = []
    for name in ("a", "x", "y", "d", "db", "p"):
        want, have = getattr(trace.end, name), getattr(got, name)
        if (want ^ have) & getattr(masks, name):
            found.append(f"{name.upper()}: core ${want:04X}, emulator ${have:04X}")
    for address, have in got.memory.items():
        want = trace.writes.get(address, have)
        if want != have:
            found.append(f"${address:06X}: core ${want:02X}, emulator ${have:02X}")
    return found


def _as_powered_on(state: CpuState) -> CpuState:
    """A state without what the emulator's harness cannot set: undefined memory, the moment in the frame, the I flag."""
    return msgspec.structs.replace(state, fill=0, phase=0, p=state.p | 0x04)


def _played(code: bytes, contract: Contract, begun: list[CpuState], emulator: Emulator) -> list[_Left] | None:
    outputs = _outputs(contract)
    rom = _rom(code, contract, begun, outputs)
    size = _LEFT.size + len(outputs)
    read = Read(memory="wram", start=0x10000, length=size * len(begun))
    done = Read(memory="wram", start=DONE, length=1)
    (seen,) = emulator.play(Play(rom=rom, frames=_FRAMES, until=DONE, reads=(read, done)))
    if seen.pieces[1] != b"\1":
        return None
    return [_left(seen.pieces[0][at : at + size], outputs) for at in range(0, len(seen.pieces[0]), size)]


def _left(record: bytes, outputs: list[int]) -> _Left:
    a, x, y, d, s, db, p, h1, v1, h2, v2 = _LEFT.unpack_from(record)
    memory = dict(zip(outputs, record[_LEFT.size :], strict=True))
    return _Left(a, x, y, d, s, db, p, _clocks((h1, v1), (h2, v2)), memory)


def _clocks(before: tuple[int, int], after: tuple[int, int]) -> int:
    """Master clocks between two readings of the counters, memory refresh taken out."""
    lines = (after[1] - before[1]) % _LINES
    refreshes = lines + (after[0] >= _REFRESH_DOT) - (before[0] >= _REFRESH_DOT)
    return lines * _LINE_CLOCKS + 4 * (after[0] - before[0]) - refreshes * _REFRESH_CLOCKS


def _outputs(contract: Contract) -> list[int]:
    """Addresses of the bytes of WRAM a contract compares."""
    found = []
    for bytes_ in contract.writes or ():
        for address in range(bytes_.start, bytes_.end):
            if (address < VIDEO and not 0x2000 <= address & 0xFFFF < 0x6000) or 0x7E0000 <= address < 0x800000:
                found.append(address if address >= 0x7E0000 else 0x7E0000 | address & 0x1FFF)
    return found


def _rom(code: bytes, contract: Contract, begun: list[CpuState], outputs: list[int]) -> bytes:
    """The harness cartridge with the routine and its table of start states."""
    entry, body = _called(code, contract)
    inputs = sorted({at + i for state in begun for at, data in state.memory.items() for i in range(len(data))})
    record = _HEAD.size + len(inputs)
    touched = {address | 0x7E0000 if address < 0x2000 else address for address in (*inputs, *outputs)}
    if any(0x7E1F00 <= at < 0x7E2000 or at >= 0x7F0000 or not at >= 0x7E0000 for at in touched):
        raise UsageError("the emulator's harness needs $1F00-$1FFF and bank $7F for itself, and WRAM for all else")
    if len(inputs) > 0x1F0 or len(outputs) > 0x1F0 or record * len(begun) > 0x7000 or len(body) > MAX_CODE:
        raise UsageError("too much memory or code for the emulator's harness")
    rom = bytearray(_driver())
    rom[: len(body)] = body
    rom[0x7800 : 0x7800 + len(entry)] = entry
    struct.pack_into("<HHH", rom, _TABLE, len(inputs), len(outputs), len(begun))
    for at, addresses in ((_TABLE + 0x10, inputs), (_TABLE + 0x810, outputs)):
        rom[at : at + 4 * len(addresses)] = b"".join(address.to_bytes(4, "little") for address in addresses)
    table = b"".join(_start(state, inputs) for state in begun)
    rom[_STARTS : _STARTS + len(table)] = table
    return bytes(rom)


def _called(code: bytes, contract: Contract) -> tuple[bytes, bytes]:
    """How the driver enters, and the routine's bytes: `JSR : RTL`, or `JML` for a routine that ends with RTL itself."""
    body = code + b"\x60" if contract.ends == "end" else code
    entry = b"\x5c\x00\x80\x80" if contract.ends == "rtl" else b"\x20\x00\x80\x6b"
    return entry, body


def _start(state: CpuState, inputs: list[int]) -> bytes:
    memory = {at + i: byte for at, data in state.memory.items() for i, byte in enumerate(data)}
    head = _HEAD.pack(state.a, state.x, state.y, state.d, state.db, state.p)
    return head + bytes(memory.get(address, 0) for address in inputs)


@cache
def _driver() -> bytes:
    source = (files(__package__) / "harness.asm").read_text("utf-8")
    return assemble(source).rom.ljust(0x10000, b"\0")


_overheads: dict[str, int] = {}


def _empty(emulator: Emulator, ends: str) -> int:
    """Clocks the harness itself takes around a routine that only returns, less the cost of that return."""
    if ends not in _overheads:
        contract = Contract(ends="rtl" if ends == "rtl" else "rts", db=0, writes=(), clobbers=("a", "x", "y", "flags"))
        code = b"\x6b" if ends == "rtl" else b"\x60"
        states = [CpuState(p=0x34)] * 32
        left = _played(code, contract, states, emulator)
        assert left is not None
        trace = machine(code, Setup(origin=ORIGIN, ends=contract.ends)).run(states[:1], contract)[0]
        costs = sorted(one.clocks for one in left)
        returns = 0 if ends == "end" else trace.clocks
        _overheads[ends] = costs[len(costs) // 2] - returns
    return _overheads[ends]

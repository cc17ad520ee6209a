"""Many start states in one call of the compiled core: one program measured, or two compared until the first difference.

The states are those of `start_states`, generated again in C; a difference is explained by running that one state
again (`equivalence`).
"""

from __future__ import annotations

import ctypes as c
from typing import Final, NamedTuple

from afs.domains.snes import cpu_kernel, memory_map
from afs.domains.snes.contract import Contract
from afs.domains.snes.cpu_kernel import Regs
from afs.domains.snes.harness import STOPS, Placed, Setup, call_frame, placed
from afs.domains.snes.start_states import BYTES, Starts


class _Item(c.Structure):
    _fields_ = [(name, c.c_uint32) for name in ("kind", "target", "size", "low", "span", "declared")]


class _Program(c.Structure):
    _fields_ = [
        ("bytes", c.c_char_p),
        *((name, c.c_uint32) for name in ("size", "sentinel", "pc", "reserved")),
    ]


class _Job(c.Structure):
    _fields_ = [
        ("program", _Program * 2),
        *((name, c.c_uint32) for name in ("programs", "in_rom", "offset", "region")),
        ("items", c.POINTER(_Item)),
        *((name, c.c_uint32) for name in ("n_items", "first", "total", "exhaustive")),
        ("pool", c.POINTER(c.c_uint16)),
        *((name, c.c_uint32) for name in ("n_pool", "strict")),
        ("seed", c.c_uint64),
        ("base", Regs),
        ("mask", Regs),
        *((name, c.c_uint32) for name in ("budget", "stops", "s_end", "exit_p", "exit_mask", "log")),
    ]


TOUCHED: Final = 1024


class Tally(c.Structure):
    """`Tally` of cpu_starts.h: what one program cost over all states."""

    _fields_ = [
        *(
            (name, c.c_uint64)
            for name in (
                "cycles_min",
                "cycles_max",
                "cycles_sum",
                "clocks_min",
                "clocks_max",
                "clocks_sum",
                "instructions",
            )
        ),
        ("stops", c.c_uint32 * 10),
        ("n_touched", c.c_uint32),
        ("early", c.c_uint32),
        ("touched", c.c_uint32 * TOUCHED),
    ]


class BatchOutcome(c.Structure):
    """`Outcome` of cpu_starts.h."""

    _fields_ = [("side", Tally * 2), ("states", c.c_uint32), ("fault", c.c_uint32)]


class RegisterMasks(NamedTuple):
    """Bits of the end registers that are compared."""

    a: int
    x: int
    y: int
    d: int
    db: int
    p: int


def allowed_stops(contract: Contract) -> tuple[str, ...]:
    """The ways a run may end under a contract."""
    return ("stp", "wai", "brk", "cop") if contract.ends == "stop" else ("return",)


def _place_programs(codes: tuple[bytes, ...], setup: Setup, place: Placed) -> list[_Program]:
    """The codes as images of one region, so that loading one is copying it."""
    size = len(place.region)
    if place.in_rom:
        under = place.rom[place.offset : place.offset + size]
    else:
        under = memory_map.noise()[place.offset : place.offset + size] if setup.mapper != "flat" else bytes(size)
    programs = []
    for code in codes:
        sentinel = place.sentinel
        if setup.ends == "end":
            sentinel = setup.origin & 0xFF0000 | (setup.origin + len(code)) & 0xFFFF
        tail = b"\0" if setup.ends == "end" and place.in_rom and len(code) < size else b""
        image = code + tail + under[len(code) + len(tail) :]
        programs.append(_Program(bytes=image, size=len(code), sentinel=sentinel, pc=setup.start_pc))
    return programs


def _build_job(
    codes: tuple[bytes, ...], setup: Setup, contract: Contract, starts: Starts, masks: RegisterMasks
) -> tuple[_Job, Placed]:
    place = placed(setup, max(codes, key=len))
    programs = _place_programs(codes, setup, place)
    items = (_Item * len(starts.items))(*(_Item(*item) for item in starts.items))
    base, exit_p, exit_mask = starts.base(), 0, 0
    for bit, width in ((0x20, contract.exit_m), (0x10, contract.exit_x)):
        exit_mask |= bit if width else 0
        exit_p |= bit if width == 8 else 0
    s, _ = call_frame(setup, contract.s, False, place.where)
    job = _Job(
        program=(_Program * 2)(*programs),
        programs=len(programs),
        in_rom=place.in_rom,
        offset=place.offset,
        region=len(place.region),
        items=items,
        n_items=len(items),
        total=starts.total,
        exhaustive=starts.exhaustive,
        pool=(c.c_uint16 * len(starts.pool))(*starts.pool),
        n_pool=len(starts.pool),
        strict=contract.registers != "ignore",
        seed=starts.seed & (1 << 64) - 1,
        base=Regs(s=s, d=base["d"], db=base["db"], pb=setup.origin >> 16, p=base["p"]),
        mask=Regs(a=masks.a, x=masks.x, y=masks.y, d=masks.d, db=masks.db & 0xFF, p=masks.p),
        budget=setup.budget,
        stops=sum(1 << STOPS.index(stop) for stop in STOPS if stop in allowed_stops(contract)),
        s_end=0x10000 if contract.ends == "stop" else contract.s,
        exit_p=exit_p,
        exit_mask=exit_mask,
        log=contract.registers == "log",
    )
    return job, place


def run_many(
    codes: tuple[bytes, ...], setup: Setup, contract: Contract, starts: Starts, masks: RegisterMasks
) -> BatchOutcome:
    """Run one or two programs from all the start states, stopping at the first fault."""
    job, place = _build_job(codes, setup, contract, starts, masks)
    outcome = BatchOutcome()
    if not place.in_rom:
        place = place._replace(region=place.region[: min(map(len, codes))])
    frame = call_frame(setup, contract.s, False, place.where)[1]
    with cpu_kernel.loaded(place, setup.fast_rom, contract, frame) as core:
        cpu_kernel.checked(core.library.afs_compare(core.pointer, c.byref(job), c.byref(outcome)))
    return outcome


def start_state(code: bytes, setup: Setup, contract: Contract, starts: Starts, number: int) -> tuple[Regs, bytes]:
    """A start state as the compiled core generates it: registers, then input bytes in order, fill and phase."""
    job, place = _build_job((code,), setup, contract, starts, RegisterMasks(0, 0, 0, 0, 0, 0))
    regs = Regs()
    data = c.create_string_buffer(sum(item.size for item in starts.items if item.kind == BYTES) + 17)
    with cpu_kernel.loaded(place, setup.fast_rom, contract, []) as core:
        cpu_kernel.checked(core.library.afs_start(core.pointer, c.byref(job), number, c.byref(regs), data))
    return regs, data.raw[:-1]

"""The compiled CPU core: found or built once, called with ctypes, which releases the interpreter lock.

Where there is neither the extension nor a C compiler, `core()` is None and `why()` says so; the plain-Python
machine takes over.
"""

from __future__ import annotations

import ctypes as c
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from afs import native_libraries
from afs.domains.snes import memory_map
from afs.domains.snes.bus import ALLOWED, COMPARED
from afs.domains.snes.contract import Contract
from afs.domains.snes.harness import (
    STOPS,
    Change,
    Placed,
    Setup,
    Trace,
    Where,
    call_frame,
    contract_changes,
    memory_of,
    placed,
)
from afs.domains.snes.start_states import CpuState
from afs.errors import MissingError

VERSION: Final = 2
_FOLDER: Final = Path(__file__).parent
_SOURCES: Final = tuple(
    _FOLDER / name for name in ("cpu.c", "cpu_ports.h", "cpu_run.h", "cpu_ops.h", "cpu_starts.h", "cpu_console.h")
)
PAGES: Final = c.c_uint32 * memory_map.PAGES


class Regs(c.Structure):
    """`Regs` of cpu.c."""

    _fields_ = [
        *((name, c.c_uint16) for name in ("a", "x", "y", "s", "d", "pc")),
        *((name, c.c_uint8) for name in ("db", "pb", "p", "e")),
    ]


class Result(c.Structure):
    """`Result` of cpu.c."""

    _fields_ = [
        ("end", Regs),
        *(
            (name, c.c_uint32)
            for name in ("stop", "instructions", "n_undo", "n_noted", "n_io", "io_writes", "n_bus", "early")
        ),
        *((name, c.c_uint64) for name in ("cycles", "clocks")),
        ("violation", c.c_int64),
        *((name, c.POINTER(c.c_uint32)) for name in ("undo", "noted", "io", "bus")),
        ("arena", c.POINTER(c.c_uint8)),
    ]


class ResumeProgress(c.Structure):
    """`Progress` of cpu_console.h."""

    _fields_ = [
        *((name, c.c_uint64) for name in ("clock", "cycles", "instructions")),
        *((name, c.c_uint32) for name in ("stop", "n_noted", "n_bus", "reserved")),
        *((name, c.POINTER(c.c_uint32)) for name in ("noted", "bus")),
        ("arena", c.POINTER(c.c_uint8)),
        ("cdl", c.POINTER(c.c_uint8)),
    ]


# --- the library -------------------------------------------------------------------------------------------------


@cache
def _found() -> tuple[c.CDLL | None, str]:
    path, how = native_libraries.find_library("afs.domains.snes._cpu", _SOURCES)
    if path is None:
        return None, how
    library = c.CDLL(str(path))
    if library.afs_version() != VERSION:  # a build of other sources, copied here or left by a checkout
        path, how = native_libraries.compile_library(_SOURCES)
        if path is None:
            return None, f"the built extension has another version, and {how}"
        library = c.CDLL(str(path))
    library.afs_new.restype = c.c_void_p
    library.afs_new.argtypes = [PAGES, c.c_char_p, c.c_uint32, c.c_char_p, c.c_uint32, c.c_uint32, c.c_uint32]
    library.afs_free.argtypes = [c.c_void_p]
    library.afs_free.restype = None
    library.afs_restore.argtypes = [c.c_void_p]
    library.afs_restore.restype = None
    library.afs_vary.argtypes = [c.c_void_p, c.c_uint64, c.c_uint64]
    library.afs_vary.restype = None
    library.afs_rom.argtypes = [c.c_void_p, c.c_uint32, c.c_char_p, c.c_uint32]
    for name in ("afs_poke", "afs_unpoke"):
        getattr(library, name).argtypes = [c.c_void_p, c.c_uint32, c.c_char_p, c.c_uint32]
    library.afs_flags.argtypes = [c.c_void_p, c.c_uint32, c.POINTER(c.c_uint32), c.c_uint32]
    library.afs_run.argtypes = [c.c_void_p, c.POINTER(Regs), c.c_uint32, c.c_uint32, c.c_uint32, c.POINTER(Result)]
    library.afs_compare.argtypes = [c.c_void_p, c.c_void_p, c.c_void_p]
    library.afs_start.argtypes = [c.c_void_p, c.c_void_p, c.c_uint32, c.POINTER(Regs), c.c_char_p]
    _declare_console(library)
    return library, how


def _declare_console(library: c.CDLL) -> None:
    """The functions of cpu_console.h."""
    library.afs_clock.argtypes, library.afs_clock.restype = [c.c_void_p], c.c_uint64
    library.afs_resume.argtypes = [c.c_void_p, c.POINTER(Regs), c.c_uint64, c.POINTER(ResumeProgress)]
    for name in ("afs_read", "afs_dma_read"):
        getattr(library, name).argtypes = [c.c_void_p, c.c_uint32]
        getattr(library, name).restype = c.c_uint32
    for name in ("afs_write", "afs_port_write", "afs_port_put"):
        getattr(library, name).argtypes = [c.c_void_p, c.c_uint32, c.c_uint32]
        getattr(library, name).restype = None
    for name in ("afs_idle", "afs_set_irq", "afs_set_pad"):
        getattr(library, name).argtypes = [c.c_void_p, c.c_uint32]
        getattr(library, name).restype = None
    library.afs_wait.argtypes, library.afs_wait.restype = [c.c_void_p, c.c_uint64], None
    library.afs_irq.argtypes, library.afs_irq.restype = [c.c_void_p], c.c_uint32


def core() -> c.CDLL | None:
    """The compiled core, or None."""
    return _found()[0]


def core_origin() -> str:
    """Where the core came from, or why there is none."""
    return _found()[1]


class Core:
    """A compiled machine: a memory map with its memory. Not for two threads at once."""

    def __init__(
        self, where: Where, rom: bytes, fast: bool = False, traced: int = 0, fill: bytes | None = None
    ) -> None:
        library = core()
        if library is None:
            raise MissingError(f"no compiled CPU core: {core_origin()}")
        flat = where[0] == "flat"
        pages = PAGES(*memory_map.page_table(*where))
        size, memory = (memory_map.FLAT, None) if flat else (memory_map.ARENA, fill or memory_map.noise())
        self.library, self.where, self.rom = library, where, rom
        self.pointer = c.c_void_p(library.afs_new(pages, rom, len(rom), memory, size, fast, traced))
        if not self.pointer:
            raise MemoryError("no memory for a machine")
        weakref.finalize(self, library.afs_free, self.pointer)

    def flags(self, contract: Contract | None) -> None:
        """Set what may be written, compared and read."""
        base, changes = contract_changes(contract, self.where) if contract else (ALLOWED | COMPARED, [])
        self.set_flags(base, changes)

    def set_flags(self, base: int, changes: list[Change]) -> None:
        """Flags of all memory, then of single ranges."""
        array = (c.c_uint32 * (4 * len(changes)))(*(value for change in changes for value in _bits(change)))
        checked(self.library.afs_flags(self.pointer, base, array, len(changes)))

    def poke(self, offset: int, data: bytes) -> tuple[int, bytes, int]:
        """Set memory as an input; returns what `unpoke` takes."""
        old = c.create_string_buffer(2 * len(data))
        checked(self.library.afs_poke(self.pointer, offset, data, len(data), old))
        return offset, old.raw, len(data)

    def unpoke(self, poked: tuple[int, bytes, int]) -> None:
        """Put back what a poke replaced."""
        checked(self.library.afs_unpoke(self.pointer, *poked))

    def put_rom(self, offset: int, data: bytes) -> None:
        """Put bytes into the ROM."""
        checked(self.library.afs_rom(self.pointer, offset, data, len(data)))


def _bits(change: Change) -> tuple[int, int, int, int]:
    return change[0], change[1], change[2], change[3]


def checked(code: int) -> None:
    if code == -2:
        raise MemoryError("no memory for a run's log")
    if code:
        raise ValueError("a place outside the machine's memory")


class _Pool(threading.local):
    """This thread's machines, by map and ROM: creating one costs more than a run."""

    def __init__(self) -> None:
        self.cores: dict[tuple[Where, bytes, bool], Core] = {}

    def core(self, place: Placed, fast: bool) -> Core:
        key = (place.where, place.rom, fast)
        found = self.cores.pop(key, None) or Core(place.where, place.rom, fast)
        while len(self.cores) >= 4:
            self.cores.pop(next(iter(self.cores)))
        self.cores[key] = found
        return found


_POOL: Final = _Pool()


@contextmanager
def loaded(place: Placed, fast: bool, contract: Contract | None, poked: list[tuple[int, bytes]]) -> Iterator[Core]:
    """A machine with the contract's flags, the code and some memory; all is restored afterwards."""
    core_ = _POOL.core(place, fast)
    core_.flags(contract)
    if place.in_rom:
        core_.put_rom(place.offset, place.region)
        undo = []
    else:
        undo = [core_.poke(place.offset, place.region)]
    try:
        undo += [core_.poke(offset, data) for offset, data in poked]
        yield core_
    finally:
        for old in reversed(undo):
            core_.unpoke(old)
        if place.in_rom:
            core_.put_rom(place.offset, place.rom[place.offset : place.offset + len(place.region)])


class NativeMachine:
    """The compiled machine with a piece of code in it."""

    def __init__(self, code: bytes, setup: Setup) -> None:
        self.setup, self.place = setup, placed(setup, code)

    def run(self, states: Sequence[CpuState], contract: Contract | None = None) -> list[Trace]:
        """Run the code once from each state."""
        return [self._run_one(state, contract) for state in states]

    def _run_one(self, state: CpuState, contract: Contract | None) -> Trace:
        setup, place = self.setup, self.place
        s = 0x100 | state.s & 0xFF if state.e else state.s
        s, frame = call_frame(setup, s, state.e, place.where)
        start = Regs(
            a=state.a,
            x=state.x,
            y=state.y,
            s=s,
            d=state.d,
            pc=setup.start_pc,
            db=state.db,
            pb=setup.origin >> 16,
            p=state.p,
            e=state.e,
        )
        pokes = [*memory_of(state, place.where), *frame]
        with loaded(place, setup.fast_rom, contract, pokes) as core_:
            core_.library.afs_vary(core_.pointer, state.fill, state.phase)
            try:
                return run_core(core_, start, place.sentinel, setup.budget)
            finally:
                core_.library.afs_vary(core_.pointer, 0, 0)


def run_core(core_: Core, start: Regs, sentinel: int, budget: int, traps: bool = True) -> Trace:
    """Run what the machine holds, once; its memory is as before afterwards."""
    result = Result()
    try:
        code = core_.library.afs_run(core_.pointer, c.byref(start), sentinel, budget, traps, c.byref(result))
        checked(-2 if code else 0)
        return _trace(result, core_.where[0])
    finally:
        core_.library.afs_restore(core_.pointer)


def _trace(result: Result, mapper: str) -> Trace:
    end = result.end
    undo = [(result.undo[2 * at], result.undo[2 * at + 1] & 0xFF) for at in range(result.n_undo)]
    written = {memory_map.address_of(offset, mapper): offset for offset, _ in undo}
    violation = result.violation
    return Trace(
        end=CpuState(a=end.a, x=end.x, y=end.y, s=end.s, d=end.d, db=end.db, p=end.p, e=bool(end.e)),
        pc=end.pb << 16 | end.pc,
        stop=STOPS[result.stop],
        cycles=result.cycles,
        clocks=result.clocks,
        instructions=result.instructions,
        writes={address: result.arena[offset] for address, offset in written.items()},
        before={memory_map.address_of(offset, mapper): old for offset, old in undo},
        registers=tuple((result.io[at] >> 8, result.io[at] & 0xFF) for at in range(result.n_io)),
        uninitialized=tuple(sorted(memory_map.address_of(result.noted[at], mapper) for at in range(result.n_noted))),
        early_reads=result.early,
        forbidden=None if violation < 0 else memory_map.address_of(violation, mapper),
    )

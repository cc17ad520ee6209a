"""What a run needs and gives: the machine around code (`Setup`), where the code goes, how it is called, the `Trace`.

Both machines, compiled and plain Python, read this; neither is known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal, NamedTuple, Protocol

from afs.domains.snes import memory_map
from afs.domains.snes.bus import ALLOWED, COMPARED, DEFINED, INPUT
from afs.domains.snes.contract import Contract, Ends, Range
from afs.domains.snes.rom import snes_to_pc
from afs.domains.snes.start_states import CpuState, place_range
from afs.errors import UsageError
from afs.types import Value

Stop = Literal["return", "stp", "wai", "brk", "cop", "budget", "write", "emulation", "wild"]
"""Why a run ended: returned to its caller, STP, WAI, BRK, COP, budget used up, a write its contract forbids, a switch
to emulation mode, execution of unmapped addresses."""
STOPS: Final[tuple[Stop, ...]] = ("return", "stp", "wai", "brk", "cop", "budget", "write", "emulation", "wild")
MOST_CYCLES: Final = 1_000_000_000
SENTINEL: Final = 0xFFFF
"""The caller's place in the program bank: returning here ends the run."""


class Setup(Value, frozen=True, kw_only=True):
    """The machine around a piece of code."""

    origin: int = 0x808000
    """Where the code lies."""
    entry: int = -1
    """Where a run starts, in the bank of `origin`; -1 means at `origin`."""
    mapper: str = "lorom"
    rom: bytes = b""
    """The ROM around the code; without one, the rest is filled with BRK."""
    sram: int = 0
    """Bytes of SRAM, a multiple of 8 KB."""
    fast_rom: bool = False
    """Is FastROM switched on ($420D) at entry?"""
    ends: Ends = "rts"
    """What the caller expects: rts, rtl, `end` (the code falls off its last byte), `stop`."""
    budget: int = 200_000
    """CPU cycles; DMA counts six master clocks as one."""
    return_to: int = SENTINEL
    """Where the caller continues in the program bank: getting there ends the run. Never the bank's first byte."""

    @property
    def start_pc(self) -> int:
        """The program counter at the start, without the bank."""
        return (self.origin if self.entry < 0 else self.entry) & 0xFFFF


class Trace(Value, frozen=True, kw_only=True):
    """What one run did."""

    end: CpuState
    pc: int
    """Where it stopped, with the bank."""
    stop: Stop
    cycles: int
    """CPU cycles, DMA not counted."""
    clocks: int
    """SNES master clocks, DMA included; DRAM refresh and alignment are not."""
    instructions: int
    writes: dict[int, int]
    """Last byte written, by address; video memory from 0x1000000 on."""
    before: dict[int, int] = {}
    """The bytes that `writes` replaced."""
    registers: tuple[tuple[int, int], ...] = ()
    """Hardware registers written, in order."""
    uninitialized: tuple[int, ...] = ()
    """Addresses that were read before anything wrote them."""
    early_reads: int = 0
    """Reads of the multiplier or divider before it was done."""
    forbidden: int | None = None
    """First write outside the contract."""


class Runner(Protocol):
    """A machine that can run code: compiled or plain Python."""

    def run(self, states: Sequence[CpuState], contract: Contract | None = None) -> list[Trace]:
        """Run the loaded code once from each state."""


Where = tuple[str, int, int]
"""A memory map: mapper, ROM size, SRAM size."""


class Placed(NamedTuple):
    """Code in its place."""

    rom: bytes
    """The ROM without the code."""
    in_rom: bool
    offset: int
    """In the ROM, or in the arena."""
    region: bytes
    """The code, and the BRK behind it when it ends by falling off."""
    sentinel: int
    """Where the run ends."""
    where: Where


@lru_cache(maxsize=8)
def padded_rom(rom: bytes) -> bytes:
    """A ROM filled up to whole pages."""
    return rom + bytes(-len(rom) % memory_map.PAGE)


@lru_cache(maxsize=8)
def _blank(size: int) -> bytes:
    return bytes(size)


def placed(setup: Setup, code: bytes) -> Placed:
    """Find the code's place; refuses what does not fit the map."""
    last = setup.origin + len(code) - 1
    if not code:
        raise UsageError("there is no code to run")
    if not 0 <= setup.origin <= 0xFFFFFF or setup.origin >> 16 != last >> 16:
        raise UsageError(f"${setup.origin:06X} + {len(code)} bytes: code must lie in one bank")
    if not 0 < setup.budget <= MOST_CYCLES:
        raise UsageError(f"budget: want 1 to {MOST_CYCLES:,} CPU cycles, got {setup.budget}")
    if setup.sram % memory_map.PAGE or not 0 <= setup.sram <= 0x20000:
        raise UsageError(f"sram: want a multiple of 8192 up to 131072, got {setup.sram}")
    at = snes_to_pc(setup.origin, setup.mapper) if setup.mapper != "flat" else None
    size = 1 << max(15, (at + len(code) - 1).bit_length()) if at is not None else 0
    rom = padded_rom(setup.rom) if setup.rom else _blank(size)
    where = (setup.mapper, len(rom), setup.sram)
    pages = memory_map.page_table(*where)[setup.origin >> 13 : (last >> 13) + 1]
    kinds = {page >> 28 for page in pages}
    if any(after != before + memory_map.PAGE for before, after in pairwise(pages)):
        raise UsageError(f"${setup.origin:06X} + {len(code)} bytes: memory there is not in one piece in {setup.mapper}")
    end = setup.origin & 0xFF0000 | (last + 1) & 0xFFFF
    sentinel = end if setup.ends == "end" else setup.origin & 0xFF0000 | setup.return_to
    if kinds == {memory_map.RAM}:
        return Placed(rom, False, (pages[0] & 0xFFFFFFF) + (setup.origin & 0x1FFF), code, sentinel, where)
    if at is None or kinds != {memory_map.ROM}:
        raise UsageError(f"${setup.origin:06X}: no ROM or RAM there in {setup.mapper}")
    at = memory_map.mirrored(at, len(rom))
    tail = b"\0" if setup.ends == "end" and at + len(code) < len(rom) else b""
    return Placed(rom, True, at, code + tail, sentinel, where)


def call_frame(setup: Setup, s: int, e: bool, where: Where) -> tuple[int, list[tuple[int, bytes]]]:
    """What JSR or JSL leaves on the stack: S afterwards, and the bytes by arena offset."""
    address = (setup.origin & 0xFF0000 | setup.return_to) - 1
    pushed = {"rts": (address >> 8, address), "rtl": (address >> 16, address >> 8, address)}.get(setup.ends, ())
    frame = []
    for value in pushed:
        offset = memory_map.locate(s, *where)
        if offset is not None and (offset < memory_map.VRAM or setup.mapper == "flat"):
            frame.append((offset, bytes([value & 0xFF])))
        s = 0x100 | (s - 1) & 0xFF if e else (s - 1) & 0xFFFF
    return s, frame


def memory_of(state: CpuState, where: Where) -> list[tuple[int, bytes]]:
    """The bytes a state sets, by arena offset."""
    return [
        (place_range(Range(start=address, size=len(data)), *where), data)
        for address, data in state.memory.items()
        if data
    ]


MEANS: Final = ((0x2102, 3), (0x2116, 4), (0x2121, 2), (0x2180, 4), (0x4202, 5), (0x420B, 1), (0x4300, 0x80))
"""Registers that are a way to an effect and not the effect: ports of memories, arithmetic, DMA."""

Change = tuple[int, int, int, int]
"""Arena offset, size, shadow bits to clear, shadow bits to set."""


def contract_changes(contract: Contract, where: tuple[str, int, int]) -> tuple[int, list[Change]]:
    """What a contract means for the shadow: the flags of all memory, then of single ranges."""
    base = ALLOWED | COMPARED if contract.writes is None else 0
    changes: list[Change] = []
    for ranges, clear, set_ in (
        (contract.writes or (), 0, ALLOWED | COMPARED),
        (contract.scratch, COMPARED, ALLOWED),
        (contract.reads, 0, DEFINED | INPUT),
    ):
        changes += [(place_range(bytes_, *where), bytes_.size, clear, set_) for bytes_ in ranges]
    own = range(contract.s, max(contract.s - contract.stack, -1), -1)
    offset = memory_map.locate(own[-1], *where) if own else None
    if offset is not None:
        changes.append((offset, len(own), COMPARED, ALLOWED))
    if where[0] != "flat":
        means = MEANS if contract.registers == "end" else ((0x2000, 0x4000),)
        changes += [(memory_map.PORTS + port, size, COMPARED, 0) for port, size in means]
    return base, changes


def is_compared(offset: int, base: int, changes: list[Change]) -> bool:
    """Does the final value of this byte belong to the effect?"""
    flags = base
    for start, size, clear, set_ in changes:
        if start <= offset < start + size:
            flags = flags & ~clear | set_
    return bool(flags & COMPARED)

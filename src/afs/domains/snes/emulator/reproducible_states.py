"""Start states that are the same on every machine: the core seeds its memories from the clock, we replace that noise.

What is noise is measured, not assumed: the same cartridge is loaded repeatedly in different seconds and the saved
states are compared. Palettes and sprites, which the core does not show, are found in the state by a probe cartridge.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from afs import jsonl
from afs.domains.snes.emulator.libretro import CGRAM_SIZE, OAM_SIZE, VRAM_SIZE, WRAM_SIZE, Frontend
from afs.errors import DataError, ProcessError, boundary
from afs.types import Value

_GAP = 64
_LOADS = 4


class Layout(Value, frozen=True, kw_only=True):
    """Places inside a save state, relative to those of WRAM (`noise`) and VRAM (`oam`, `cgram`)."""

    core: str
    noise: tuple[tuple[int, int], ...]
    oam: int
    cgram: int


def measured(front: Frontend, core: str, probe: bytes, blank: bytes) -> Layout:
    """Find the layout of a core by loading `blank` in different seconds and by running `probe`; takes some seconds."""
    states = []
    for _ in range(_LOADS):
        front.load(blank)
        states.append(front.save())
        _next_second()
    wram = find(front, "wram")
    noise = tuple((start - wram, end - start) for start, end in _runs(states) if not _inside(start, end, wram))
    front.load(probe)
    for _ in range(4):
        front.frame()
    state, vram = front.save(), find(front, "vram")
    cgram = state.find(bytes(v for x in range(256) for v in ((x ^ 0x5A) & 0x7F, x >> 1)))
    sprites = bytes(v for x in range(256) for v in (x ^ 0xA5, x)) + bytes(x ^ 0x3C for x in range(32))
    oam = state.find(sprites)
    if cgram < 0 or oam < 0:
        raise ProcessError("the palettes and sprites could not be found in this emulator's save state")
    return Layout(core=core, noise=noise, oam=oam - vram, cgram=cgram - vram)


def _next_second() -> None:
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.02)


def _inside(start: int, end: int, wram: int) -> bool:
    return wram <= start and end <= wram + WRAM_SIZE


def _runs(states: list[bytes]) -> Iterator[tuple[int, int]]:
    """Stretches of bytes that differ between any two states; small gaps are equal by chance."""
    first, rest = states[0], states[1:]
    start = last = -1
    for at, byte in enumerate(first):
        if all(state[at] == byte for state in rest):
            continue
        if start >= 0 and at - last > _GAP:
            yield start, last + 1
            start = at
        start, last = (at if start < 0 else start), at
    if start >= 0:
        yield start, last + 1


def find(front: Frontend, memory: str) -> int:
    """Where a memory lies in the save state of the inserted cartridge."""
    mark = random.Random(memory).randbytes(64)
    before = front.read(memory, 0, len(mark))
    front.write(memory, 0, mark)
    at = front.save().find(mark)
    front.write(memory, 0, before)
    if at < 0:
        raise ProcessError(f"{memory} could not be found in this emulator's save state")
    return at


def gold(front: Frontend, fresh: bytes, layout: Layout, fill: int) -> bytes:
    """The state right after insertion (`fresh`) with all memories filled: 0 with zeros, else noise of that seed."""
    state = bytearray(fresh)
    wram, vram = find(front, "wram"), find(front, "vram")
    for start, length in layout.noise:
        state[wram + start : wram + start + length] = bytes(length)
    noise = random.Random(fill)
    for at, size in (
        (wram, WRAM_SIZE),
        (vram, VRAM_SIZE),
        (vram + layout.oam, OAM_SIZE),
        (vram + layout.cgram, CGRAM_SIZE),
    ):
        state[at : at + size] = noise.randbytes(size) if fill else bytes(size)
    return bytes(state)


def stored(path: Path, core: str) -> Layout | None:
    """A layout measured earlier for this build of the core."""
    if not path.is_file():
        return None
    with boundary(DataError, str(path)):
        layout = msgspec.json.decode(path.read_bytes(), type=Layout)
    return layout if layout.core == core else None


def store(path: Path, layout: Layout) -> None:
    """Remember a layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonl.replace(path, msgspec.json.encode(layout))

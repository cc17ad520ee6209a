"""Whole-ROM patches judged in the emulator: the candidate's ROM must look and hold what the reference's does.

Each ROM is played twice, from memories full of zeros and full of noise: a patch that depends on what memory held at
power-on is found out by that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from afs.domains.snes.emulator import fetch
from afs.domains.snes.emulator.worker import Emulator, Play, Press, Read, Seen
from afs.domains.snes.routine import Unfit, rom_of
from afs.domains.snes.specs import Patch
from afs.errors import ProcessError
from afs.types import Json

FILLS: Final = (0, 0x65816)
"""What memories hold at power-on in the two plays: zeros, and noise of this seed."""


def judge(spec: Patch, code: str) -> tuple[str, bool | None, str, Json]:
    """Last stage passed, outcome, reason and facts of a patch."""
    base = rom_of(spec.base)
    wanted = rom_of(spec.code, base)
    try:
        rom = rom_of(code, base)
    except Unfit as problem:
        return "extract", False, f"line {problem.line}: {problem}", {}
    if fetch.core() is None or not fetch.supported():
        return "assemble", None, f"not run in the emulator: there is no core here; {fetch.REMEDY}", {}
    expected = _seen(wanted, spec)
    try:
        seen = _seen(rom, spec)
    except ProcessError as error:
        return "assemble", False, f"{error}", {}
    return _compared(spec, expected, seen)


def _compared(spec: Patch, expected: tuple[Seen, ...], seen: tuple[Seen, ...]) -> tuple[str, bool | None, str, Json]:
    facts: Json = {"frames": spec.frames, "fills": len(FILLS)}
    for fill, want, got in zip(FILLS, expected, seen, strict=True):
        for watch, right, piece in zip(spec.watches, want.pieces, got.pieces, strict=True):
            if right != piece:
                at = next(i for i, (a, b) in enumerate(zip(right, piece, strict=True)) if a != b)
                where = f"{watch.memory} ${watch.start + at:04X}"
                power = "zeros" if not fill else "noise"
                reason = f"{where}: want ${right[at]:02X}, got ${piece[at]:02X} (power-on memory: {power})"
                return "assemble", False, reason, facts
    if spec.picture and any(a.picture != b.picture for a, b in zip(expected, seen, strict=True)):
        return "emulator", False, "the picture differs", facts
    return ("frame" if spec.picture else "emulator"), True, "", facts


def _seen(rom: bytes, spec: Patch) -> tuple[Seen, ...]:
    reads = tuple(Read(memory=w.memory, start=w.start, length=w.length) for w in spec.watches)
    presses = tuple(Press(frame=p.frame, buttons=p.buttons) for p in spec.presses)
    return _emulator().play(
        *(
            Play(rom=rom, frames=spec.frames, presses=presses, reads=reads, picture=spec.picture, fill=fill)
            for fill in FILLS
        )
    )


@lru_cache(maxsize=1)
def _emulator() -> Emulator:
    return Emulator()

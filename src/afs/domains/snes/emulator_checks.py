"""Code judged in the emulator: whole-ROM patches by memories and picture, routines by what they leave.

A patched ROM is played twice, from memories full of zeros and full of noise, against the reference's: a patch that
depends on what memory held at power-on is found out by that. Without an emulator nothing is decided.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from itertools import zip_longest
from typing import Final

from afs.domains.snes.assembled_routine import UnfitCode, build_rom
from afs.domains.snes.contract import Contract
from afs.domains.snes.emulator import fetch_core
from afs.domains.snes.emulator.cross_check import prove
from afs.domains.snes.emulator.emulator_worker import Emulator
from afs.domains.snes.emulator.scenario import Play, Seen
from afs.domains.snes.task_specs import PatchSpec
from afs.errors import DataError, ProcessError, UsageError
from afs.types import Json

CPU_S: Final = 2
"""CPU seconds a candidate's plays may take; they take a third of one. A CPU that is stopped hangs the emulator."""
FILLS: Final = (0, 0x65816)
"""What memories hold at power-on in the two plays: zeros, and noise of this seed."""


def judge_patch(spec: PatchSpec, code: str) -> tuple[str, bool | None, str, Json]:
    """Last stage passed, outcome, reason and facts of a patch."""
    base = load_base_rom(spec.base)
    wanted = build_rom(spec.code, base)
    try:
        rom = build_rom(code, base)
    except UnfitCode as problem:
        return "extract", False, f"line {problem.line}: {problem}", {}
    if not has_emulator():
        return "assemble", None, f"not run in the emulator: there is no core here; {fetch_core.REMEDY}", {}
    expected = _play(wanted, spec)
    try:
        seen = _play(rom, spec, CPU_S)
    except ProcessError as error:
        return "assemble", False, f"the patched game hangs or stops the CPU: {error}", {}
    return _compare_plays(spec, expected, seen)


def confirm_routine(code: bytes, contract: Contract) -> tuple[bool | None, str, Json]:
    """Whether a routine does in the emulator what it does on the core, and what it costs there."""
    if not has_emulator():
        return None, f"not run in the emulator: there is no core here; {fetch_core.REMEDY}", {}
    try:
        proof = prove(code, contract, _shared_emulator())
    except UsageError as error:
        return None, f"not run in the emulator: {error}", {}
    facts: Json = {"emulator_states": proof.states, "emulator_master_clocks": proof.clocks}
    return proof.agrees, "; ".join(proof.lines), facts


def has_emulator() -> bool:
    """Whether this machine has an emulator."""
    return fetch_core.core() is not None and fetch_core.supported()


@lru_cache(maxsize=8)
def load_base_rom(name: str) -> bytes:
    """The ROM of a packaged source in `roms/`."""
    source = files("afs.domains.snes") / "roms" / f"{name}.asm"
    if not name.isidentifier() or not source.is_file():
        raise DataError(f"there is no ROM called {name!r} to patch")
    return build_rom(source.read_text("utf-8"))


def _compare_plays(
    spec: PatchSpec, expected: tuple[Seen, ...], seen: tuple[Seen, ...]
) -> tuple[str, bool | None, str, Json]:
    facts: Json = {"frames": spec.frames, "fills": len(FILLS)}
    for fill, want, got in zip(FILLS, expected, seen, strict=True):
        for read, right, piece in zip(spec.reads, want.pieces, got.pieces, strict=True):
            if right != piece:
                at = next(i for i, (a, b) in enumerate(zip_longest(right, piece)) if a != b)
                power = "noise" if fill else "zeros"
                where = f"{read.memory} ${read.start + at:04X}"
                reason = f"{where}: want ${right[at]:02X}, got ${piece[at]:02X} (power-on memory: {power})"
                return "assemble", False, reason, facts
    if spec.picture and any(a.picture != b.picture for a, b in zip(expected, seen, strict=True)):
        return "emulator", False, "the picture differs", facts
    return ("frame" if spec.picture else "emulator"), True, "", facts


@lru_cache(maxsize=64)
def _play(rom: bytes, spec: PatchSpec, cpu_s: int = 120) -> tuple[Seen, ...]:
    plays = (
        Play(rom=rom, frames=spec.frames, presses=spec.presses, reads=spec.reads, picture=spec.picture, fill=fill)
        for fill in FILLS
    )
    return _shared_emulator().play(*plays, cpu_s=cpu_s)


@lru_cache(maxsize=1)
def _shared_emulator() -> Emulator:
    return Emulator()

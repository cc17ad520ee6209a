"""The pack's commands on the emulated machine: `screenshot` and `verify`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Final

from afs import jsonl
from afs.config import Config
from afs.domains.snes.assembled_routine import machine_code
from afs.domains.snes.contract import Contract, parse_comment
from afs.domains.snes.emulator.cross_check import prove
from afs.domains.snes.emulator.emulator_worker import MAX_FRAMES, Emulator
from afs.domains.snes.emulator.libretro import BUTTONS, HEIGHT, WIDTH
from afs.domains.snes.emulator.png_writer import png
from afs.domains.snes.emulator.scenario import Play, Press, Read
from afs.domains.snes.equivalence import measure_cost
from afs.domains.snes.rom import strip_copier_header
from afs.errors import DataError, UsageError
from afs.types import Value, digest

_PRESS: Final = re.compile(r"(\d+):([a-z+]*)", re.IGNORECASE)
_NOISE: Final = 0x65816


class ScreenshotConfig(Config, frozen=True, kw_only=True):
    """Play a ROM and save the picture."""

    positional: ClassVar[tuple[str, ...]] = ("rom",)

    rom: Path
    """The ROM, with or without copier header."""
    output: Path | None = None
    """Where the PNG goes; without it, beside the ROM."""
    frames: int = 120
    """Frames to play before the picture is taken."""
    press: tuple[str, ...] = ()
    """Buttons held from a frame on, `FRAME:BUTTONS`: `60:start 64: 90:right+b`."""


class Screenshot(Value, frozen=True, kw_only=True):
    """The first picture, described."""

    file: str
    frames: int
    colors: int
    """Different colors in the picture."""
    uninitialized: bool
    """Does the picture depend on what memory held at power-on?"""
    digest: str
    """Of the 256x224 RGB pixels: equal pictures, equal digest."""


def screenshot(config: ScreenshotConfig) -> Screenshot:
    """Play a ROM from zeroed and from noisy memory, and save the first picture."""
    if not 1 <= config.frames <= MAX_FRAMES:
        raise UsageError(f"--frames: want 1 to {MAX_FRAMES}, got {config.frames}")
    rom = strip_copier_header(_bytes(config.rom))[1]
    presses = tuple(press(text) for text in config.press)
    plays = (
        Play(rom=rom, frames=config.frames, presses=presses, picture=True, fill=fill, reads=(Read(memory="cgram"),))
        for fill in (0, _NOISE)
    )
    with Emulator() as emulator:
        zeros, noise = emulator.play(*plays)
    target = config.output or config.rom.with_suffix(".png")
    jsonl.replace(target, png(zeros.picture, WIDTH, HEIGHT))
    pixels = {zeros.picture[at : at + 3] for at in range(0, len(zeros.picture), 3)}
    return Screenshot(
        file=str(target),
        frames=zeros.frames,
        colors=len(pixels),
        uninitialized=zeros.picture != noise.picture,
        digest=digest(zeros.picture.hex())[:16],
    )


def press(text: str) -> Press:
    """Read `60:start+a`; raises UsageError naming what is wrong."""
    match = _PRESS.fullmatch(text.strip())
    names = match[2].lower().split("+") if match and match[2] else []
    wrong = [name for name in names if name not in BUTTONS]
    if not match or wrong:
        raise UsageError(f"--press {text!r}: want FRAME:BUTTONS such as `60:start+a`; buttons: {' '.join(BUTTONS)}")
    return Press(frame=int(match[1]), buttons=sum(1 << BUTTONS.index(name) for name in set(names)))


class ConfirmConfig(Config, frozen=True, kw_only=True):
    """Run a routine in the emulator and compare with the CPU core."""

    positional: ClassVar[tuple[str, ...]] = ("file",)

    file: Path
    """Source of a routine, with its contract as a comment (`; in: A  out: X  entry: m8 x8`)."""
    states: int = 64
    """Start states."""
    seed: int = 0
    """Seed of the start states."""


class Confirmation(Value, frozen=True, kw_only=True):
    """Results of core and emulator for a routine."""

    agrees: bool
    states: int
    cycles: float
    """Mean CPU cycles on the core."""
    master_clocks: float | None
    """Mean master clocks on the core."""
    emulator_clocks: float | None
    """Mean master clocks read from the picture counters of the emulator."""
    clocks_agree: bool | None
    lines: tuple[str, ...] = ()


def verify(config: ConfirmConfig) -> Confirmation:
    """Confirm a routine in the emulator: same registers, flags and memory as on the core, same master clocks."""
    if not 1 <= config.states <= 256:
        raise UsageError(f"--states: want 1 to 256, got {config.states}")
    source = _bytes(config.file).decode("utf-8", "replace")
    contract = parse_comment(source) or Contract(writes=())
    code = machine_code(source)
    with Emulator() as emulator:
        proof = prove(code, contract, emulator, seed=config.seed, states=config.states)
    spent = measure_cost(code, contract, seed=config.seed, states=config.states)
    return Confirmation(
        agrees=proof.agrees,
        states=proof.states,
        cycles=spent.side.cycles.mean,
        master_clocks=proof.core_clocks,
        emulator_clocks=proof.clocks,
        clocks_agree=proof.clocks_agree,
        lines=proof.lines,
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error

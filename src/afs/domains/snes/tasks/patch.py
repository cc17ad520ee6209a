"""Patch a whole ROM: hooks, tables, video memory; judged in the emulator by memories and by the picture.

The ROM is our own (`roms/demo.asm`). Each task says what the patched game must show or hold; the candidate's ROM is
played from two fills of power-on memory, with scripted buttons, against the reference patch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from afs.domains.snes.emulator.scenario import Press, Read
from afs.domains.snes.task_specs import PatchSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.types import Task

_ABOUT: Final = """The ROM is LoROM, 32 KB. What you need to know about it:
- init_hook at $008200 is called once by JSR in forced blank, frame_hook at $008400 every frame by JSR in vertical
  blank; both are currently a single RTS. On entry A and X/Y are 8-bit, D = $0000 and DB = $00; they must be the same
  on return.
- $20 holds the joypad state of this frame as a word (as read from $4218/$4219), $24 the player's x, $25 the player's y,
  $26 the score (word).
- data: $008600 palette (words), $008700 first x, $008701 first y, $008710 screen brightness; free space from $009000.
- BG1's map lies at VRAM word $0400 (32x32), tile 1 is solid, tile 2 striped; each hook has room for 128 bytes.
"""
_ASKS: Final = (
    "{about}\nWrite an Asar patch for this ROM: {goal}.",
    "{about}\nTask: {goal}. Answer with one Asar patch in a code block.",
    "I am hacking a small SNES ROM.\n{about}\nPlease patch it to do this: {goal}.",
    "{about}\nPatch request: {goal}. Nothing else may change.",
    "Nayru, I need an Asar patch. {Goal}.\n\n{about}",
)
_WRAM: Final = Read(memory="wram", start=0x20, length=0x100)
_ALL: Final = (_WRAM, Read(memory="oam"), Read(memory="cgram"), Read(memory="vram", start=0x800, length=0x800))
_BUTTONS: Final = {
    "B": (1 << 0, 0x80, "21"),
    "Y": (1 << 1, 0x40, "21"),
    "A": (1 << 8, 0x80, "20"),
    "X": (1 << 9, 0x40, "20"),
}
"""Name -> bit for the emulator, bit in the byte, address of the byte."""


class _PatchDraft(NamedTuple):
    goal: str
    patch: str
    presses: tuple[Press, ...] = ()
    frames: int = 24


def _patch_at(address: int, *lines: str) -> str:
    body = "".join(f"    {line}\n" if not line.endswith(":") else f"{line}\n" for line in lines)
    return f"lorom\norg ${address:06X}\n{body}"


def _draw_held_button(rng: random.Random) -> tuple[str, int, str, tuple[Press, ...]]:
    """A button: its name, its bit, its byte, and a script that holds it for some frames."""
    name = rng.choice(sorted(_BUTTONS))
    bit, mask, where = _BUTTONS[name]
    start = rng.randint(13, 16)
    return name, mask, where, (Press(frame=start, buttons=bit), Press(frame=start + rng.randint(2, 5), buttons=0))


def _backdrop(rng: random.Random) -> _PatchDraft:
    color = rng.randrange(1, 0x8000)
    goal = f"make the background color (palette entry 0) ${color:04X}"
    return _PatchDraft(goal, _patch_at(0x8600, f"dw ${color:04X}"))


def _color(rng: random.Random) -> _PatchDraft:
    number, color = rng.randint(1, 3), rng.randrange(1, 0x8000)
    goal = f"change palette entry {number} of the ROM's table to the color ${color:04X}, leaving the others unchanged"
    return _PatchDraft(goal, _patch_at(0x8600 + 2 * number, f"dw ${color:04X}"))


def _start(rng: random.Random) -> _PatchDraft:
    x, y = rng.randint(8, 240), rng.randint(8, 200)
    return _PatchDraft(
        f"make the player start at x = ${x:02X}, y = ${y:02X}", _patch_at(0x8700, f"db ${x:02X},${y:02X}")
    )


def _brightness(rng: random.Random) -> _PatchDraft:
    level = rng.randint(1, 14)
    return _PatchDraft(f"set the screen brightness of the game to {level}", _patch_at(0x8710, f"db ${level:02X}"))


def _tile(rng: random.Random) -> _PatchDraft:
    column, row, tile = rng.randrange(32), rng.randint(1, 27), rng.randint(1, 2)
    at = 0x400 + 32 * row + column
    goal = f"put tile {tile} into BG1's map at column {column}, row {row} when the game starts"
    return _PatchDraft(goal, _patch_at(0x8200, *_write_words(at, tile, 1)))


def _row(rng: random.Random) -> _PatchDraft:
    row, tile, count = rng.randint(1, 27), rng.randint(1, 2), rng.randint(3, 32)
    goal = f"draw a bar of {count} copies of tile {tile} in BG1's map, from column 0 of row {row}, when the game starts"
    return _PatchDraft(goal, _patch_at(0x8200, *_write_words(0x400 + 32 * row, tile, count)))


def _write_words(at: int, tile: int, count: int) -> tuple[str, ...]:
    write = (f"lda #${tile:04X}", "sta $2118")
    if count > 1:
        write = (f"ldx #${count:02X}", f"lda #${tile:04X}", "draw:", "sta $2118", "dex", "bne draw")  # type: ignore[assignment]
    return ("lda #$80", "sta $2115", "rep #$20", f"lda #${at:04X}", "sta $2116", *write, "sep #$20", "rts")


def _drift(rng: random.Random) -> _PatchDraft:
    step, axis = rng.randint(1, 5), rng.choice("xy")
    cell = {"x": "24", "y": "25"}[axis]
    goal = f"move the player by {step} pixel{'s' if step > 1 else ''} along {axis} every frame (increasing {axis})"
    return _PatchDraft(goal, _patch_at(0x8400, f"lda ${cell}", "clc", f"adc #${step:02X}", f"sta ${cell}", "rts"))


def _button_move(rng: random.Random) -> _PatchDraft:
    name, mask, where, presses = _draw_held_button(rng)
    step, axis = rng.randint(1, 6), rng.choice("xy")
    cell = {"x": "24", "y": "25"}[axis]
    goal = f"while button {name} is held, subtract {step} from the player's {axis} each frame"
    code = (
        f"lda ${where}",
        f"and #${mask:02X}",
        "beq idle",
        f"lda ${cell}",
        "sec",
        f"sbc #${step:02X}",
        f"sta ${cell}",
    )
    return _PatchDraft(goal, _patch_at(0x8400, *code, "idle:", "rts"), presses)


def _score(rng: random.Random) -> _PatchDraft:
    name, mask, where, presses = _draw_held_button(rng)
    points = rng.randint(100, 30000)
    goal = f"add {points} to the 16-bit score in every frame in which button {name} is held"
    code = (f"lda ${where}", f"and #${mask:02X}", "beq idle", "rep #$20", "lda $26", "clc", f"adc #${points:04X}")
    return _PatchDraft(goal, _patch_at(0x8400, *code, "sta $26", "sep #$20", "idle:", "rts"), presses)


def _edge(rng: random.Random) -> _PatchDraft:
    limit, back = rng.randint(0x74, 0x80), rng.randint(0x10, 0x60)
    goal = f"move the player right by 1 every frame; when x reaches ${limit:02X}, set it to ${back:02X}"
    code = ("inc $24", "lda $24", f"cmp #${limit:02X}", "bne inside", f"lda #${back:02X}", "sta $24", "inside:", "rts")
    return _PatchDraft(goal, _patch_at(0x8400, *code), frames=32)


def _free_space(rng: random.Random) -> _PatchDraft:
    value, step = rng.randint(1, 9), rng.randint(1, 5)
    place = rng.choice([0x9000, 0xA000, 0xB800])
    goal = (
        f"make frame_hook jump to new code at ${place:06X} that adds {value} to the player's x and {step} to the"
        " player's y every frame"
    )
    code = ("lda $24", "clc", f"adc #${value:02X}", "sta $24", "lda $25", "clc", f"adc #${step:02X}", "sta $25", "rts")
    return _PatchDraft(goal, _patch_at(0x8400, f"jmp ${place:04X}") + _patch_at(place, *code).removeprefix("lorom\n"))


def _build_family(name: str, draw: Callable[[random.Random], _PatchDraft]) -> Make:
    def make(rng: random.Random) -> Task:
        routine = draw(rng)
        values = {"about": _ABOUT, "goal": routine.goal, "Goal": routine.goal[0].upper() + routine.goal[1:]}
        prompt = rng.choice(_ASKS).format(**values)
        spec = PatchSpec(
            base="demo", code=routine.patch, frames=routine.frames, presses=routine.presses, reads=_ALL, picture=True
        )
        return make_task(f"patch/{name}", prompt, fence_code(routine.patch), spec, about=routine.patch)

    return make


_DRAWS: Final[Mapping[str, Callable[[random.Random], _PatchDraft]]] = {
    "backdrop": _backdrop,
    "color": _color,
    "start": _start,
    "brightness": _brightness,
    "tile": _tile,
    "row": _row,
    "drift": _drift,
    "button-move": _button_move,
    "score": _score,
    "edge": _edge,
    "free-space": _free_space,
}
FAMILIES: Final[Mapping[str, Make]] = {name: _build_family(name, draw) for name, draw in _DRAWS.items()}
"""One family per kind of patch."""

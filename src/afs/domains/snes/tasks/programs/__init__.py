"""The library of typed programs: each draws its own cells and constants and says what it does.

A family is one function; `PROGRAMS` names them all. They feed the families generate, optimize, debug, cycles,
translate.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, NamedTuple

from afs.domains.snes.tasks.program_builder import Draft, Place, TypedProgram
from afs.domains.snes.tasks.programs import (
    arithmetic,
    bit_operations,
    comparisons,
    compositions,
    data_moves,
    hardware_io,
    loops,
)

_ALL: Final[tuple[Place, ...]] = ("direct", "absolute", "long")
_NEAR: Final[tuple[Place, ...]] = ("direct", "absolute")


class Maker(NamedTuple):
    """How a program is drawn, and where its cells may lie."""

    make: Callable[[Draft], TypedProgram]
    places: tuple[Place, ...]


PROGRAMS: Final[dict[str, Maker]] = {
    name: Maker(make, _ALL if name in module.FAR else _NEAR)
    for module in (arithmetic, bit_operations, comparisons, loops, hardware_io, data_moves, compositions)
    for name, make in module.PROGRAMS.items()
}
"""TypedProgram family -> how to draw one."""


def draw_program(name: str, rng: random.Random) -> TypedProgram:
    """One program of a family."""
    maker = PROGRAMS[name]
    weights = [5 if place != "long" else 2 for place in maker.places]
    return maker.make(Draft(name, rng, place=rng.choices(maker.places, weights)[0]))

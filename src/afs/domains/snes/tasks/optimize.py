"""Make code faster or shorter with the same effect; the gold comes from the superoptimizer or the library.

An original is a naive way to write a program, a program with waste in it, or random straight code. Gold is never slower
or longer than it; the task asks only for what the gold reaches.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from afs.domains.snes.assembled_routine import UnfitCode, compare_effects, machine_code
from afs.domains.snes.superoptimizer import Expense, optimize
from afs.domains.snes.task_specs import STATES, RoutineSpec, Want
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.pessimize import WASTES
from afs.domains.snes.tasks.program_builder import Draft, TypedProgram, describe_contract
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.types import Task

_ASKS: Final[Mapping[Want, tuple[str, ...]]] = {
    "cycles": (
        "Make this 65816 routine faster without making it longer.",
        "Optimize this code for speed: fewer CPU cycles, not more bytes, same effect.",
        "Reduce the cycle count of this routine.",
        "Speed this up. The result must be the same and the code no longer than now.",
    ),
    "bytes": (
        "Make this 65816 routine shorter without making it slower.",
        "Optimize this code for size: fewer bytes, not more cycles, same effect.",
        "Squeeze this routine: it must use less ROM and no more time.",
    ),
    "both": (
        "Optimize this 65816 routine: fewer cycles and fewer bytes, same effect.",
        "This code is wasteful. Make it both faster and shorter.",
        "Rewrite this SNES routine so that it takes fewer CPU cycles and fewer bytes.",
        "Din, tighten this code: less time, less space, same behavior.",
        "Find the waste in this routine and remove it; both cycles and bytes must go down.",
    ),
}
_BETWEEN: Final = (
    "\n\n{code}\n\nWhat it does: {goal}. {state}",
    "\nEffect: {goal}. {state}\n\n{code}",
    "\n\n{code}\n\n{state} Purpose: {goal}.",
)
_CLOSE: Final = (" Give the improved routine as one code block.", " One code block, please.", "")


def _build_task(family: str, routine: TypedProgram, original: str, rng: random.Random, budget: int) -> Task | None:
    try:
        gold = _find_gold(routine, original, rng, budget)
    except UnfitCode:
        return None
    if gold is None:
        return None
    code, cost, old = gold
    want: Want = "both" if cost.cycles < old.cycles and cost.bytes < old.bytes else "bytes"
    if cost.cycles < old.cycles and (cost.bytes == old.bytes or rng.random() < 0.3):
        want = "cycles"
    values = {"code": fence_code(original), "goal": routine.goal, "state": describe_contract(routine.contract)}
    prompt = rng.choice(_ASKS[want]) + rng.choice(_BETWEEN).format(**values) + rng.choice(_CLOSE)
    reference = (
        f"Original: {old.cycles:g} CPU cycles, {old.bytes} bytes. Optimized: {cost.cycles:g} CPU cycles,"
        f" {cost.bytes} bytes.\n\n{fence_code(code)}"
    )
    spec = RoutineSpec(code=original, contract=routine.contract, want=want)
    return make_task(family, prompt, reference, spec, about=routine.code)


def _find_gold(
    routine: TypedProgram, original: str, rng: random.Random, budget: int
) -> tuple[str, Expense, Expense] | None:
    """The cheapest code known for an original, its cost and the original's; None when nothing is cheaper."""
    known = compare_effects(machine_code(original), machine_code(routine.code), routine.contract, STATES)
    if known.at_fault == "original" or not known.same:
        return None
    start = routine.code if Expense.of(known.candidate).beats(Expense.of(known.original)) else original
    found = optimize(start, routine.contract, rng, budget=budget)
    old = Expense.of(known.original)
    return (found.code, found.cost, old) if found.cost.beats(old) else None


def _from_naive(name: str) -> Make:
    def make(rng: random.Random) -> Task | None:
        routine = draw_program(name, rng)
        return _build_task(f"optimize/naive-{name}", routine, routine.slow, rng, 200) if routine.slow else None

    return make


_FITS: Final[Mapping[str, tuple[str, ...]]] = {
    "spelled-clear": ("clear-cells",),
    "spelled-step": ("countdown", "absolute16", "distance", "wrap-counter", "decrement-all"),
}
"""Programs that a kind of waste fits, where it fits few."""


def _from_waste(name: str) -> Make:
    def make(rng: random.Random) -> Task | None:
        routine = draw_program(rng.choice(_FITS.get(name, tuple(PROGRAMS))), rng)
        original = WASTES[name](routine, rng)
        return _build_task(f"optimize/{name}", routine, original, rng, 200) if original else None

    return make


_STEPS: Final = (
    "lda {a}",
    "sta {b}",
    "lda #${n:02X}",
    "clc\nadc #${n:02X}",
    "and #${n:02X}",
    "ora {a}",
    "eor #${n:02X}",
    "asl a",
    "lsr a",
    "inc a",
    "dec a",
    "tax\ntxa",
    "pha\npla",
    "clc\nadc {a}",
    "sec\nsbc #${n:02X}",
    "sta {b}\nlda {b}",
    "eor #$FF",
    "and #$FF",
    "ora #$00",
)


def _from_straight_code(length: int) -> Make:
    """Random straight code with one result: the superoptimizer says how short it can be."""

    def make(rng: random.Random) -> Task | None:
        d = Draft("straight", rng, place=rng.choice(["direct", "absolute"]))
        d.m, d.x = 8, 8
        a, b = d.source(), d.target()
        steps = [rng.choice(_STEPS).format(a=a, b=b, n=d.byte()) for _ in range(length)]
        body = "\n".join([f"lda {a}", *steps, f"sta {b}"])
        d.goal(f"compute a byte from the one at {a} and store it at {b}; only {b} matters afterwards")
        routine = d.build(body)
        return _build_task(f"optimize/straight-{length}", routine, routine.code, rng, 6000)

    return make


FAMILIES: Final[Mapping[str, Make]] = {
    **{f"naive-{name}": _from_naive(name) for name in PROGRAMS if draw_program(name, random.Random(0)).slow},
    **{name: _from_waste(name) for name in WASTES},
    **{f"straight-{length}": _from_straight_code(length) for length in (2, 3, 4, 6)},
}
"""Naive programs, kinds of waste, and random straight code by length."""

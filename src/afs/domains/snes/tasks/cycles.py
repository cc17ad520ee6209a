"""Count what code costs: CPU cycles, master clocks or bytes; the number is found by running it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from afs.domains.snes.assembled_routine import measure
from afs.domains.snes.task_specs import NumberSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.program_builder import TypedProgram
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.errors import DataError
from afs.types import Task

_BRANCHY: Final = frozenset(
    (
        "absolute16",
        "maximum8",
        "minimum16",
        "maximum-signed",
        "clamp",
        "saturating-add",
        "saturating-sub",
        "countdown",
        "wrap-counter",
        "equal-flag",
        "choose",
        "sign-of",
        "distance",
        "sign-extend",
        "count-bits",
        "largest",
        "count-equal",
        "find",
        "decrement-all",
        "dma-video",
        "guarded",
        "guarded16",
        "folded",
    )
)
"""Programs whose cost depends on their inputs or on DMA: there is no one number to ask for."""
_CYCLES: Final = (
    "How many CPU cycles does this 65816 routine take, from its first instruction to the end of its {leave}?",
    "Count the CPU cycles of this routine, including the {leave}.",
    "Give the exact number of 65816 CPU cycles for one call of this code (count the {leave}, but not the call itself).",
    "What is the cycle count of this SNES routine, including {leave}?",
    "Cycle-count this code. Count every instruction, including the {leave}, but not the caller's JSR/JSL.",
)
_BYTES: Final = (
    "How many bytes does this 65816 code assemble to?",
    "What is the size in bytes of this routine once assembled?",
    "Count the bytes of machine code in this routine.",
)
_STATE: Final = " On entry A is {m}-bit, X/Y are {x}-bit, D = $0000, native mode."
_CLOSE: Final = (" Answer with the number only.", " End with the number on a line of its own.", " Just the number.")


def _build_task(kind: str, routine: TypedProgram, rng: random.Random) -> Task | None:
    contract = routine.contract
    asks = rng.choice(_CYCLES if kind == "cycles" else _BYTES).format(leave=contract.ends.upper())
    state = _STATE.format(m=contract.m, x=contract.x)
    prompt = f"{asks}{state}{rng.choice(_CLOSE)}\n\n{fence_code(routine.code)}"
    try:
        value = measure(routine.code, contract, "cycles" if kind == "cycles" else "bytes")
    except DataError:
        return None
    asked = "cycles" if kind == "cycles" else "bytes"
    spec = NumberSpec(value=value, code=routine.code, contract=contract, asks=asked)  # type: ignore[arg-type]
    family = f"cycles/bytes-{routine.family}" if kind == "bytes" else f"cycles/{routine.family}"
    return make_task(family, prompt, str(value), spec, about=routine.code)


def _build_family(kind: str, name: str) -> Make:
    return lambda rng: _build_task(kind, draw_program(name, rng), rng)


FAMILIES: Final[Mapping[str, Make]] = {
    **{name: _build_family("cycles", name) for name in PROGRAMS if name not in _BRANCHY},
    **{f"bytes-{name}": _build_family("bytes", name) for name in PROGRAMS if name in _BRANCHY},
}
"""Cycles of code that always takes the same path, bytes of the rest."""

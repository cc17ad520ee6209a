"""From source to machine code and back: both directions are judged byte by byte."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from afs.domains.snes.assembled_routine import machine_code
from afs.domains.snes.task_specs import BytesSpec, SourceSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.types import Task

_ENCODE: Final = (
    "Assemble this 65816 code by hand. Give the bytes in hexadecimal on one line.",
    "Which machine code bytes does this source assemble to? Answer with two-digit hex bytes separated by spaces.",
    "Translate to machine code (hex bytes, one line):",
    "Write out the opcode and operand bytes of this routine in hex.",
    "Which bytes does Asar emit for this code? Hex bytes, space separated.",
)
_DECODE: Final = (
    "Disassemble these 65816 bytes.",
    "Which 65816 instructions are these bytes? Write them in Asar syntax.",
    "Turn this machine code back into assembly that assembles to the very same bytes:",
    "Reverse-engineer this byte sequence into 65816 source.",
    "Read this SNES machine code and give the source.",
)
_STATE: Final = " A is {m}-bit and X/Y are {x}-bit at the start; the first byte lies at ${origin:06X}."


def _build_encode_task(name: str, rng: random.Random) -> Task:
    routine = draw_program(name, rng)
    reference = machine_code(routine.code).hex(" ").upper()
    state = f" (A {routine.contract.m}-bit, X/Y {routine.contract.x}-bit at the start)"
    prompt = f"{rng.choice(_ENCODE)}{state}\n\n{fence_code(routine.code)}"
    return make_task(f"translate/encode-{name}", prompt, reference, BytesSpec(code=routine.code), about=routine.code)


def _build_decode_task(name: str, rng: random.Random) -> Task:
    routine = draw_program(name, rng)
    data = machine_code(routine.code).hex(" ").upper()
    state = _STATE.format(m=routine.contract.m, x=routine.contract.x, origin=0x808000)
    prompt = f"{rng.choice(_DECODE)}{state}\n\n{data}"
    spec = SourceSpec(data=data.replace(" ", ""))
    return make_task(f"translate/decode-{name}", prompt, fence_code(routine.code), spec, about=routine.code)


def _build_family(direction: str, name: str) -> Make:
    work = _build_encode_task if direction == "encode" else _build_decode_task
    return lambda rng: work(name, rng)


FAMILIES: Final[Mapping[str, Make]] = {
    f"{direction}-{name}": _build_family(direction, name) for direction in ("encode", "decode") for name in PROGRAMS
}
"""Both directions of every program."""

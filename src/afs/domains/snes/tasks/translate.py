"""From source to machine code and back: both directions are judged byte by byte."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from afs.domains.snes.routine import machine_code
from afs.domains.snes.task_specs import BytesSpec, SourceSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.programs import PROGRAMS, program
from afs.domains.snes.tasks.task_factory import fenced, make_task
from afs.types import Task

_ENCODE: Final = (
    "Assemble this 65816 code by hand. Give the bytes in hexadecimal on one line.",
    "Which machine code bytes does this source give? Answer with two-digit hex bytes separated by spaces.",
    "Translate to machine code (hex bytes, one line):",
    "Write out the opcode and operand bytes of this routine in hex.",
    "What does Asar write for this code? Hex bytes, space separated.",
)
_DECODE: Final = (
    "Disassemble these 65816 bytes.",
    "Which 65816 instructions are these bytes? Write them in Asar syntax.",
    "Turn this machine code back into assembly that assembles to the very same bytes:",
    "Reverse-engineer this byte sequence into 65816 source.",
    "Read this SNES machine code and give the source.",
)
_STATE: Final = " A is {m}-bit and X/Y are {x}-bit at the start; the first byte lies at ${origin:06X}."


def _encode(name: str, rng: random.Random) -> Task:
    made = program(name, rng)
    reference = machine_code(made.code).hex(" ").upper()
    state = f" (A {made.contract.m}-bit, X/Y {made.contract.x}-bit at the start)"
    prompt = f"{rng.choice(_ENCODE)}{state}\n\n{fenced(made.code)}"
    return make_task(f"translate/encode-{name}", prompt, reference, BytesSpec(code=made.code), about=made.code)


def _decode(name: str, rng: random.Random) -> Task:
    made = program(name, rng)
    data = machine_code(made.code).hex(" ").upper()
    state = _STATE.format(m=made.contract.m, x=made.contract.x, origin=0x808000)
    prompt = f"{rng.choice(_DECODE)}{state}\n\n{data}"
    spec = SourceSpec(data=data.replace(" ", ""))
    return make_task(f"translate/decode-{name}", prompt, fenced(made.code), spec, about=made.code)


def _family(direction: str, name: str) -> Make:
    work = _encode if direction == "encode" else _decode
    return lambda rng: work(name, rng)


FAMILIES: Final[Mapping[str, Make]] = {
    f"{direction}-{name}": _family(direction, name) for direction in ("encode", "decode") for name in PROGRAMS
}
"""Both directions of every program."""

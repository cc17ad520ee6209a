"""Write a routine: its effect is described in words or by start and end states; the contract judges it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

from afs.domains.snes.assembled_routine import run_samples
from afs.domains.snes.contract import Range, format_range
from afs.domains.snes.harness import Trace
from afs.domains.snes.memory_map import VIDEO
from afs.domains.snes.task_specs import RoutineSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.program_builder import TypedProgram, describe_contract
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.types import Task

_ASKS: Final = (
    "Write a 65816 routine (Asar syntax) that does this: {goal}.\n{state}",
    "Task: {goal}.\n{state}\nGive the routine as one Asar code block.",
    "Please write SNES assembly: {goal}.\n\n{state}",
    "{Goal}.\nWrite this as a 65816 subroutine. {state}",
    "Implement the following for the SNES CPU (Asar dialect).\nEffect: {goal}.\nConditions: {state}",
    "How would you code this on the 65816? {Goal}.\n{state}",
    "Write the body of a subroutine. Specification: {goal}. Calling convention: {state}",
    "Generate assembly.\n- effect: {goal}\n- entry and exit: {state}",
    "Code request: {goal}.\n{state}\nNo other memory may change.",
)
_ORDERS: Final = (
    "I need 65816 assembly for the SNES. The routine must {goal}.\n{state}",
    "{state}\nUnder these conditions, write 65816 code to {goal}.",
    "Fill in the routine `task:` so that it will {goal}. {state} Only the code, please.",
    "Write SNES code to {goal}; it is called as a subroutine. {state}",
)
_LEADS: Final = (
    "",
    "",
    "Here is the routine.\n\n",
    "This does it:\n\n",
)


_REGISTERS: Final = 0x2000
_EXAMPLES: Final = (
    "Examples (start -> end):",
    "It must map these start states to these end states:",
    "Check it against:",
)


def format_examples(routine: TypedProgram, rng: random.Random) -> str:
    """Some start states and the end states the program takes them to, or nothing where there is no memory to show."""
    contract = routine.contract
    if not contract.reads or any(r.size > 4 for r in (*contract.reads, *(contract.writes or ()))):
        return ""
    lines = []
    for state, trace in run_samples(routine.code, contract, seed=rng.getrandbits(32), first=10, count=3):
        begin = {at + i: byte for at, data in state.memory.items() for i, byte in enumerate(data)}
        before = ", ".join(_format_bytes(r, [begin[_cell(r) + at] for at in range(r.size)]) for r in contract.reads)
        ends = ((r, _read_end(r, begin, trace)) for r in contract.writes or () if r.start < VIDEO)
        after = ", ".join(_format_bytes(r, values) for r, values in ends if values)
        if after:
            lines.append(f"  {before} -> {after}")
    return "\n".join([rng.choice(_EXAMPLES), *lines]) if lines else ""


def _cell(bytes_: Range) -> int:
    """Where a trace keeps the first byte of a range: low memory by its place in bank $7E, registers as they are."""
    return bytes_.start if bytes_.start >= _REGISTERS else 0x7E0000 | bytes_.start


def _read_end(bytes_: Range, begin: Mapping[int, int], trace: Trace) -> list[int]:
    """What a range holds at the end, for a register all that was written to it; nothing where that is undefined."""
    if _REGISTERS <= bytes_.start < 0x10000:
        return [value for port, value in trace.registers if bytes_.start <= port < bytes_.end]
    known = {**begin, **trace.writes}
    cells = range(_cell(bytes_), _cell(bytes_) + bytes_.size)
    return [known[at] for at in cells] if all(at in known for at in cells) else []


def _format_bytes(bytes_: Range, values: Sequence[int]) -> str:
    """`$10 = 05 1A`: the bytes of a range in the order of memory."""
    return f"{format_range(Range(start=bytes_.start))} = {' '.join(f'{value:02X}' for value in values)}"


def build_task(family: str, routine: TypedProgram, rng: random.Random) -> Task:
    """The task of writing a given program."""
    values = {
        "goal": routine.goal,
        "Goal": routine.goal[0].upper() + routine.goal[1:],
        "state": describe_contract(routine.contract),
    }
    prompt = routine.choose_wording(rng, _ASKS, _ORDERS).format(**values)
    shown = format_examples(routine, rng) if rng.random() < 0.4 else ""
    prompt += f"\n{shown}" if shown else ""
    lead = "" if "Only the code" in prompt else rng.choice(_LEADS)
    reference = lead + fence_code(routine.code)
    return make_task(
        family, prompt, reference, RoutineSpec(code=routine.code, contract=routine.contract), about=routine.code
    )


def _build_family(name: str) -> Make:
    return lambda rng: build_task(f"generate/{name}", draw_program(name, rng), rng)


FAMILIES: Final[Mapping[str, Make]] = {name: _build_family(name) for name in PROGRAMS}
"""One family per program."""

"""Write a routine: its effect is told in words, or as start and end states; the contract judges it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from afs.domains.snes.specs import RoutineSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.draft import TypedProgram, spoken
from afs.domains.snes.tasks.making import fenced, make_task
from afs.domains.snes.tasks.programs import PROGRAMS, program
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
    "Write SNES code which can {goal}; it is called as a subroutine. {state}",
)
_LEADS: Final = (
    "",
    "",
    "Here is the routine.\n\n",
    "This does it:\n\n",
)


def write_task(family: str, made: TypedProgram, rng: random.Random) -> Task:
    """The task of writing a given program."""
    values = {"goal": made.goal, "Goal": made.goal[0].upper() + made.goal[1:], "state": spoken(made.contract)}
    prompt = made.worded(rng, _ASKS, _ORDERS).format(**values)
    reference = rng.choice(_LEADS) + fenced(made.code)
    return make_task(family, prompt, reference, RoutineSpec(code=made.code, contract=made.contract))


def _family(name: str) -> Make:
    return lambda rng: write_task(f"generate/{name}", program(name, rng), rng)


FAMILIES: Final[Mapping[str, Make]] = {name: _family(name) for name in PROGRAMS}
"""One family per program."""

"""Find, name and fix a bug: diagnosis first, then the whole routine; running proves the fault before it is asked.

An answer is right when it names the category and its code keeps the contract on all start states.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from afs.domains.snes.answer_parsing import normalize_code
from afs.domains.snes.assembled_routine import UnfitCode, compare_effects, machine_code
from afs.domains.snes.task_specs import STATES, RoutineSpec
from afs.domains.snes.tasks import Make
from afs.domains.snes.tasks.fault_injection import LIBRARY, Fault
from afs.domains.snes.tasks.fault_programs import SCENES
from afs.domains.snes.tasks.program_builder import TypedProgram, describe_contract
from afs.domains.snes.tasks.programs import PROGRAMS, draw_program
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.types import Task

_ASKS: Final = (
    "Bug hunt. Intended effect: {goal}. {state}\n\n{code}\n\nWhat is wrong, and what is the corrected routine?",
    "Debug this SNES code.\nSpecification: {goal}.\nConditions: {state}\n\n{code}",
    "Why does this not do what it should ({goal})? {state}\n\n{code}\n\nGive the diagnosis and the fixed code.",
    "Review this routine; it has one bug.\n\n{code}\n\nSpec: {goal}. {state}",
    "A tester reports a failure here. Required: {goal}. {state}\n\n{code}",
    "{Goal}: this is what the routine should do, but it fails.\n\n{code}\n\n{state} Where is the bug?",
)
_ORDERS: Final = (
    "This 65816 routine should {goal}. {state} It does not work. Find the bug.\n\n{code}",
    "My routine is broken. It is meant to {goal}.\n{state}\n\n{code}\n\nPlease debug it.",
    "{code}\n\nThe code above must {goal}. {state} Testing shows that it fails. Diagnose and fix it.",
)
_FORMS: Final = (
    "Answer with `**Bug: [type]**` first, a sentence on what goes wrong, then the whole corrected routine in a block.",
    "Start your answer with **Bug: [type]**, explain it briefly, and end with the corrected code block.",
    "Diagnosis first, as **Bug: [type]**; then one code block with the full fixed routine.",
)
CATEGORIES: Final = (*LIBRARY, *SCENES)
"""Every kind of fault."""
_TYPES: Final = f"Bug types: {', '.join(sorted(CATEGORIES))}."


def _build_task(category: str, routine: TypedProgram, fault: Fault, rng: random.Random) -> Task | None:
    if not is_observable(routine, fault):
        return None
    values = {
        "goal": routine.goal,
        "Goal": routine.goal[0].upper() + routine.goal[1:],
        "state": describe_contract(routine.contract),
        "code": fence_code(fault.code),
    }
    prompt = f"{routine.choose_wording(rng, _ASKS, _ORDERS).format(**values)}\n\n{rng.choice(_FORMS)} {_TYPES}"
    reference = f"**Bug: [{category}]** {fault.why[0].upper()}{fault.why[1:]}.\n\n{fence_code(routine.code)}"
    spec = RoutineSpec(code=routine.code, contract=routine.contract, category=category, faulty=fault.code)
    return make_task(f"debug/{category}", prompt, reference, spec, about=routine.code)


def is_observable(routine: TypedProgram, fault: Fault) -> bool:
    """Whether running shows the fault: the spoiled code breaks the contract that the right code keeps."""
    if normalize_code(fault.code) == normalize_code(routine.code):
        return False
    try:
        spoiled = machine_code(fault.code)
    except UnfitCode:
        return False
    result = compare_effects(machine_code(routine.code), spoiled, routine.contract, STATES)
    return not result.same and result.at_fault == "candidate"


def _from_library(category: str) -> Make:
    injector, names = LIBRARY[category]

    def make(rng: random.Random) -> Task | None:
        routine = draw_program(rng.choice(names or tuple(PROGRAMS)), rng)
        fault = injector(routine, rng)
        return None if fault is None else _build_task(category, routine, fault, rng)

    return make


def _from_scene(category: str) -> Make:
    def make(rng: random.Random) -> Task | None:
        scene = SCENES[category](rng)
        return _build_task(category, scene.program, rng.choice(scene.faults), rng)

    return make


FAMILIES: Final[Mapping[str, Make]] = {
    **{category: _from_library(category) for category in LIBRARY},
    **{category: _from_scene(category) for category in SCENES},
}
"""One family per category of fault."""

"""Start and end states shown in prompts, and costs shown in references, agree with running the reference.

The lines are read back from the prompt and run on the plain-Python core, which shares no code with what printed them.
"""

from __future__ import annotations

import random
import re

import pytest

from afs.domains.snes.answer_parsing import join_blocks, judged_blocks
from afs.domains.snes.assembled_routine import machine_code
from afs.domains.snes.checks import check_answer
from afs.domains.snes.contract import Contract
from afs.domains.snes.equivalence import equal
from afs.domains.snes.harness import Setup
from afs.domains.snes.machine import PythonMachine
from afs.domains.snes.start_states import CpuState
from afs.domains.snes.superoptimizer import optimize
from afs.domains.snes.task_specs import ORIGIN, RoutineSpec, parse_spec
from afs.domains.snes.tasks import draw_tasks, list_families
from afs.domains.snes.tasks.program_builder import Draft
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.types import Task

SEEDS = 3
"""`bench/references.py` runs twenty, and every family's own check."""
_CELL = re.compile(r"\$([0-9A-F]{2,6}) = ((?:[0-9A-F]{2} ?)+)")


def read_cells(text: str) -> list[tuple[int, list[int]]]:
    """`$10 = 05 1A`, as address and bytes."""
    return [(int(at, 16), [int(byte, 16) for byte in data.split()]) for at, data in _CELL.findall(text)]


def run_example(code: bytes, contract: Contract, before: str) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """Memory (low memory in bank $00) and register writes after the start state of an example."""
    memory = {at: bytes(data) for at, data in read_cells(before)}
    p = 0x04 | (0x20 if contract.m == 8 else 0) | (0x10 if contract.x == 8 else 0)
    machine = PythonMachine(code, Setup(origin=ORIGIN, ends=contract.ends))
    (trace,) = machine.run([CpuState(p=p, memory=memory, s=contract.s)], contract)
    assert trace.stop == "return"
    ends = {at & 0xFFFF if at < 0x7E2000 else at: value for at, value in trace.writes.items()}
    return {at + i: byte for at, data in memory.items() for i, byte in enumerate(data)} | ends, list(trace.registers)


def find_wrong_examples(task: Task) -> list[str]:
    """Lines of a prompt that running the reference contradicts."""
    spec = parse_spec(task)
    lines = re.findall(r"^  (\$.* -> .*)$", task.prompt, re.M)
    if not lines or not isinstance(spec, RoutineSpec):
        return []
    code = machine_code(join_blocks(judged_blocks(task.prompt, task.reference)))
    return [line for line in lines if not is_example_right(code, spec.contract, line)]


def is_example_right(code: bytes, contract: Contract, line: str) -> bool:
    """Does the reference take the start of an example to its end?"""
    before, after = line.split(" -> ")
    memory, written = run_example(code, contract, before)
    ends = read_cells(after)
    ports = {at: data for at, data in ends if 0x2000 <= at < 0x10000}
    return all([value for port, value in written if port == at] == data for at, data in ports.items()) and all(
        [memory.get(at + i) for i in range(len(data))] == data for at, data in ends if at not in ports
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_examples_of_prompts_are_what_the_reference_does(seed: int) -> None:
    for family in list_families("generate"):
        (task,) = draw_tasks(family, seed, 1)
        assert find_wrong_examples(task) == [], task.family


def test_nothing_leans_on_the_open_bus() -> None:
    d = Draft("vmain", random.Random(1), place="direct")
    d.m = d.x = 16
    d.use_port(0x2115, 5)
    d.video("vram", 0x2468, 2)
    cell = d.source(2)
    body = f"sep #$20\nlda #$80\nsta $2115\nrep #$20\nlda #$1234\nsta $2116\nlda {cell}\nsta $2118"
    routine = d.build(body)
    trick = routine.code.replace("    sep #$20\n    lda #$80\n    sta $2115\n    rep #$20\n", "    lsr $2115\n")
    pair = machine_code(routine.code), machine_code(trick)
    assert equal(*pair, routine.contract, origin=ORIGIN, states=64).same  # $2121 on the bus makes $90
    found = optimize(routine.code, routine.contract, random.Random(1), budget=400)
    assert "lsr" not in found.code
    spec = RoutineSpec(code=routine.code, contract=routine.contract)
    verdict = check_answer(make_task("generate/vmain", "q", fence_code(routine.code), spec), fence_code(trick))
    assert verdict.ok is False and "$2115" in verdict.reason

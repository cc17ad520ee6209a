"""35,000 samples assembled and run from 64 start states of about 200 instructions each; and planted answers.

`python bench/verify_snes.py [--small]`. The compiled core is compared with its plain-Python twin in the same run; the
planted wrong answers are counted by kind with how many were rejected.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from afs.domains.snes import cpu_kernel
from afs.domains.snes.assembled_routine import assemble_routine, machine_code
from afs.domains.snes.checks import check_answer
from afs.domains.snes.contract import Contract, Range
from afs.domains.snes.equivalence import equal, measure_cost
from afs.domains.snes.harness import Setup
from afs.domains.snes.machine import PythonMachine
from afs.domains.snes.start_states import plan_starts
from afs.domains.snes.task_specs import ORIGIN, RoutineSpec, parse_spec
from afs.domains.snes.tasks import draw_tasks, list_families
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.domains.snes.wrong_answers import plant_wrong_answers
from afs.types import Task

STATES, CORES = 64, 2


def sample(number: int) -> Task:
    """A routine of twenty lines that executes about 200 instructions."""
    rng = random.Random(number)
    k = [rng.randrange(1, 255) for _ in range(6)]
    table, out = 0x300 + 16 * rng.randrange(40), 0x800 + 16 * rng.randrange(40)
    code = (
        f"    ldy #${k[0]:02X}\n    lda #${k[1]:02X}\n    sta $20\n    sty $21\n    ldx #$17\nagain:\n"
        f"    lda ${table:04X},x\n    eor #${k[2]:02X}\n    clc\n    adc $20\n    sta ${out:04X},x\n    inc $21\n"
        f"    dex\n    bpl again\n    rep #$20\n    lda $20\n    and #${k[3]:02X}{k[4]:02X}\n    sta $22\n"
        "    sep #$20\n    rts\n"
    )
    contract = Contract(
        m=8, x=8, exit_m=8, exit_x=8, reads=(Range(start=table, size=24),), clobbers=("a", "x", "y", "flags"),
        writes=(Range(start=out, size=24), Range(start=0x20, size=4)), ends="rts", db=0,
    )  # fmt: skip
    return make_task("bench", "bench", fence_code(code), RoutineSpec(code=code, contract=contract, states=STATES))


def assemble_and_run(first: int, last: int) -> tuple[float, int]:
    """CPU seconds and instructions for a stretch of samples."""
    made = [sample(number) for number in range(first, last)]
    specs = [(task.reference[7:-3], RoutineSpec(**_fields(task))) for task in made]
    begun = time.process_time()
    ran = 0
    for source, spec in specs:
        found = measure_cost(machine_code(source), spec.contract, Setup(origin=ORIGIN), states=STATES)
        assert found.holds
        ran += found.states
    return time.process_time() - begun, ran


def _fields(task: Task) -> dict[str, object]:
    spec = parse_spec(task)
    assert isinstance(spec, RoutineSpec)
    return {"code": spec.code, "contract": spec.contract}


def whole_check(first: int, last: int) -> tuple[float, int]:
    """CPU seconds for the whole verdict (assemble twice, lint, both run and compared)."""
    made = [sample(number) for number in range(first, last)]
    begun = time.process_time()
    right = sum(check_answer(task, task.reference).ok is True for task in made)
    assert right == len(made)
    return time.process_time() - begun, right * STATES


def spread(work: Callable[[int, int], tuple[float, int]], count: int) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and states on all cores."""
    step = -(-count // (CORES * 8))
    with ProcessPoolExecutor(CORES) as pool:
        list(pool.map(_warm, range(CORES)))
        begun = time.perf_counter()
        starts = range(0, count, step)
        parts = list(pool.map(work, starts, [min(at + step, count) for at in starts]))
        return time.perf_counter() - begun, sum(p[0] for p in parts), sum(p[1] for p in parts)


def _warm(_: int) -> bool:
    return cpu_kernel.core() is not None and assemble_routine("rts") is not None


def python_twin(count: int) -> float:
    """Seconds a sample takes on the plain-Python core."""
    begun = time.process_time()
    for number in range(count):
        source, spec = sample(number).reference[7:-3], RoutineSpec(**_fields(sample(number)))
        starts = plan_starts(spec.contract, ("lorom", 0x8000, 0), ORIGIN >> 16, 0, STATES)
        PythonMachine(machine_code(source), Setup(origin=ORIGIN)).run(
            [starts.state(n) for n in range(starts.total)], spec.contract
        )
    return (time.process_time() - begun) / count


def rejection(small: bool) -> None:
    """Print how many planted wrong answers of each kind were rejected, and how many references passed."""
    wrong: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    references = passed = 0
    for kind in ("generate", "debug", "explain", "cycles", "translate", "tiny"):
        for task in draw_tasks(kind, 11, len(list_families(kind)) * (1 if small else 6)):
            references += 1
            passed += check_answer(task, task.reference).score == 1.0
            for fault, answer in plant_wrong_answers(task):
                wrong[fault] += 1
                rejected[fault] += check_answer(task, answer).ok is False
    print(f"\n{'planted answer':20} {'given':>7} {'rejected':>9} {'rate':>8}")
    for fault, count in wrong.most_common():
        print(f"{fault:20} {count:7} {rejected[fault]:9} {rejected[fault] / count:8.2%}")
    total = wrong.total()
    print(f"{'all':20} {total:7} {rejected.total():9} {rejected.total() / total:8.2%}")
    print(f"references that pass their own check: {passed} of {references}")


_WORDS = [
    "adc", "sbc", "and", "ora", "eor", "lda", "sta", "cmp", "beq", "bne", "bcc", "bcs",
    "bpl", "bmi", "inc", "dec", "asl", "lsr", "ror", "rol", "clc", "sec", "tax", "tay",
]  # fmt: skip
_EXTRA = ("nop", "inc a", "clc", "sec", "tax", "xba", "dex", "asl a", "cmp #$00")


def mutant(code: str, rng: random.Random) -> str:
    """One or two small random changes of a routine."""
    lines = code.rstrip("\n").split("\n")
    for _ in range(rng.randint(1, 2)):
        at, kind = rng.randrange(len(lines)), rng.randrange(4)
        digits = [i for i, c in enumerate(lines[at]) if c in "0123456789ABCDEF" and "$" in lines[at][:i]]
        if kind == 0 and not lines[at].endswith(":"):
            lines[at] = "    " + " ".join([rng.choice(_WORDS), *lines[at].split()[1:]])
        elif kind == 1 and digits:
            i = rng.choice(digits)
            lines[at] = lines[at][:i] + rng.choice("0123456789ABCDEF") + lines[at][i + 1 :]
        elif kind == 2:
            lines.insert(at, "    " + rng.choice(_EXTRA))
        elif len(lines) > 1:
            del lines[at]
    return "\n".join(lines) + "\n"


def slipped(small: bool) -> None:
    """Print how many random mutants the check accepts though a search of 8,192 states tells them from the original."""
    rng, tried, accepted, wrong = random.Random(4), 0, 0, 0
    pool = list(draw_tasks("generate", 19, 2 * len(list_families("generate"))))
    for _ in range(1000 if small else 15_000):
        task = rng.choice(pool)
        spec = RoutineSpec(**_fields(task))
        code = mutant(spec.code, rng)
        if code == spec.code:
            continue
        tried += 1
        if check_answer(task, fence_code(code)).ok:
            accepted += 1
            pair = machine_code(spec.code), machine_code(code)
            wrong += not equal(*pair, spec.contract, origin=ORIGIN, states=8192, seed=12345).same
    print(
        f"\nrandom mutants: {tried} judged, {accepted} accepted, {wrong} of those wrong on some of 8,192 other states"
    )


def main(small: bool) -> None:
    """Print both tables."""
    count = 2000 if small else 35_000
    print(
        f"compiled core: {cpu_kernel.core_origin() or 'yes'}; {count} samples, {STATES} states each, {CORES} processes"
    )
    print(f"{'what':44} {'wall s':>8} {'CPU s':>8} {'ms/sample':>10} {'35,000 on 2 cores':>18}")
    for name, work in (("assemble and run", assemble_and_run), ("the whole verdict, against a reference", whole_check)):
        wall, cpu, _ = spread(work, count)
        each = 1000 * cpu / count
        print(f"{name:44} {wall:8.1f} {cpu:8.1f} {each:10.3f} {each * 35 / CORES:16.1f} s")
    twin = python_twin(3 if small else 10)
    name = "assemble and run on the plain-Python core"
    print(f"{name:44} {'':8} {'':8} {1000 * twin:10.1f} {twin * 35000 / CORES:16.1f} s")
    rejection(small)
    slipped(small)


if __name__ == "__main__":
    main("--small" in sys.argv[1:])

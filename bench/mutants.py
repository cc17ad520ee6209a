"""How many wrong answers the verdict accepts: mutants of references, judged again on 65,536 states drawn elsewhere.

Every mutant that `check` accepts is compared with the task's own code on states that `mutant_judge.c` draws; it shares
no code with the product's start states. Two kinds: random small changes, and every immediate moved by 1, 16 and 256.

    python bench/mutants.py [--count 100000] [--seed 1]
"""

from __future__ import annotations

import argparse
import ctypes as c
import random
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec
from verify_snes import mutant

from afs.domains.snes import batch_runner, cpu_kernel
from afs.domains.snes.assembled_routine import UnfitCode, machine_code
from afs.domains.snes.checks import check_answer
from afs.domains.snes.contract import Contract, format_range
from afs.domains.snes.equivalence import build_masks
from afs.domains.snes.harness import Setup, call_frame, placed
from afs.domains.snes.start_states import Starts, place_range
from afs.domains.snes.task_specs import ORIGIN, RoutineSpec, dump_spec, parse_spec
from afs.domains.snes.tasks import draw_tasks, list_families
from afs.domains.snes.tasks.task_builder import fence_code
from afs.types import Task

HERE, SOURCES = Path(__file__).parent, Path(batch_runner.__file__).parent
OTHER_STATES = 65_536


class _Input(c.Structure):
    _fields_ = [(name, c.c_uint32) for name in ("offset", "size", "low", "span")]


@lru_cache(maxsize=1)
def judge_library() -> c.CDLL:
    """The judge, compiled."""
    target = Path(tempfile.mkdtemp()) / "mutant_judge.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-w", f"-I{SOURCES}", str(HERE / "mutant_judge.c"), "-o", str(target)]
    subprocess.run(command, check=True)
    library = c.CDLL(str(target))
    library.judge_pair.restype = c.c_int32
    library.judge_pair.argtypes = [c.c_void_p, c.c_void_p, c.c_void_p, *[c.c_uint32] * 3, c.c_uint64]
    return library


def first_difference(original: bytes, candidate: bytes, contract: Contract, seed: int) -> int:
    """The number of the first state on which two routines differ; 0 when none was found."""
    setup = Setup(origin=ORIGIN, ends=contract.ends, budget=contract.budget)
    codes = (original, candidate)
    where = placed(setup, max(codes, key=len)).where
    empty = Starts(contract, (), 0, 1, False, setup.mapper, ORIGIN >> 16)
    job, place = batch_runner._build_job(codes, setup, contract, empty, build_masks(contract))
    inputs = [(place_range(one, *where), one.size, contract.bounds.get(format_range(one))) for one in contract.reads]
    rows = [(at, size, b.low if b else 0, b.high - b.low + 1 if b else 0) for at, size, b in inputs]
    array = (_Input * max(len(rows), 1))(*(_Input(*row) for row in rows))
    open_bits = (0x08 if contract.decimal else 0) | (0 if contract.m else 0x20) | (0 if contract.x else 0x10)
    frame = call_frame(setup, contract.s, False, where)[1]
    core = cpu_kernel.Core(where, place.rom)
    core.flags(contract)
    core.put_rom(place.offset, place.region)
    for offset, data in frame:
        core.poke(offset, data)
    judge = judge_library().judge_pair
    return int(judge(core.pointer, c.byref(job), array, len(rows), open_bits, OTHER_STATES, seed * 7919 + 1))


def shifted(code: str) -> Iterator[str]:
    """Every immediate moved by one, sixteen and 256, up and down."""
    for match in re.finditer(r"#\$([0-9A-F]{2,4})\b", code):
        digits = len(match[1])
        if re.search(r"(?:rep|sep) $", code[: match.start()]):
            continue
        for step in (1, -1, 16, -16, 256, -256):
            value = (int(match[1], 16) + step) % 16**digits
            if value != int(match[1], 16):
                yield f"{code[: match.start(1)]}{value:0{digits}X}{code[match.end(1) :]}"


class Tally:
    """Counts of one kind of mutant."""

    def __init__(self) -> None:
        self.judged = self.accepted = self.wrong = 0
        self.examples: list[str] = []
        self.families: Counter[str] = Counter()
        self.seen: dict[tuple[str, bytes], int] = {}

    def add(self, task: Task, spec: RoutineSpec, code: str) -> None:
        """Judge one mutant."""
        self.judged += 1
        if check_answer(task, fence_code(code)).ok is not True:
            return
        self.accepted += 1
        candidate = machine_code(code)
        key = (task.id, candidate)
        if key not in self.seen:
            self.seen[key] = first_difference(machine_code(spec.code), candidate, spec.contract, len(self.seen) + 1)
        if self.seen[key]:
            self.wrong += 1
            self.families[task.family] += 1
            self.examples.append(f"--- {task.family}, state {self.seen[key]}\n{spec.code}\n{code}")

    def line(self, name: str) -> str:
        """The result."""
        share = self.wrong / self.accepted if self.accepted else 0
        return f"{name}: {self.judged:,} judged, {self.accepted:,} accepted, {self.wrong} of those wrong ({share:.3%})"


def subjects(seed: int, rounds: int) -> list[tuple[Task, RoutineSpec]]:
    """Tasks of every family whose answers are routines, with code to mutate."""
    found = []
    for kind in ("generate", "debug", "optimize"):
        names = list_families(kind)
        for task in draw_tasks(kind, seed, rounds * len(names)):
            spec = parse_spec(task)
            if isinstance(spec, RoutineSpec):
                found.append((task, RoutineSpec(code=spec.code, contract=spec.contract)))
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    rng, begun = random.Random(options.seed), time.process_time()
    pool = [(_plain(task, spec), spec) for task, spec in subjects(1000 + options.seed, options.rounds)]
    moved, random_ = Tally(), Tally()
    for task, spec in pool:
        for code in shifted(spec.code):
            moved.add(task, spec, code)
    print(moved.line("immediates moved by 1, 16, 256"), flush=True)
    while random_.judged < options.count:
        task, spec = rng.choice(pool)
        code = mutant(spec.code, rng)
        try:
            if code != spec.code and machine_code(code) != machine_code(spec.code):
                random_.add(task, spec, code)
        except UnfitCode:
            random_.judged += 1
        if random_.judged % 5000 == 0:
            print(random_.line("so far"), flush=True)
    print(random_.line("random mutants"), flush=True)
    families = dict(moved.families + random_.families)
    print(f"tasks: {len(pool)}; {time.process_time() - begun:.0f} CPU s; by family: {families}")
    print("\n".join((moved.examples + random_.examples)[:20]))


def _plain(task: Task, spec: RoutineSpec) -> Task:
    """The task of writing the routine, whatever else its family asks for."""
    return msgspec.structs.replace(task, spec=dump_spec(spec), prompt="")


if __name__ == "__main__":
    main()

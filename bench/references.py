"""Every family's reference and examples against execution, over many seeds.

    python bench/references.py [--seeds 20] [--kind optimize]…

A reference must pass its own check with score 1, in every family; examples in prompts are read back and run on the
plain-Python core; costs stated in a reference must be those the check measures.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests" / "domains" / "snes" / "tasks"))

from test_examples import find_wrong_examples

from afs.domains.snes.checks import check_answer
from afs.domains.snes.tasks import KINDS, draw_tasks, list_families
from afs.types import Task

_COSTS = re.compile(r"Original: ([\d.]+) CPU cycles, (\d+) bytes. Optimized: ([\d.]+) CPU cycles, (\d+) bytes.")


def find_faults(task: Task) -> Iterator[str]:
    """What is wrong with a task's own words."""
    verdict = check_answer(task, task.reference)
    if verdict.ok is None and "emulator" in verdict.reason:
        return
    if verdict.score != 1.0:
        yield f"reference: {verdict.stage}: {verdict.reason}"
    for line in find_wrong_examples(task):
        yield f"example: {line}"
    match = _COSTS.search(task.reference)
    names = ("original_cycles", "original_bytes", "cycles", "bytes")
    if match and any(abs(float(said) - float(verdict.facts[name])) > 0.5  # type: ignore[arg-type]
                     for said, name in zip(match.groups(), names, strict=True)):  # fmt: skip
        yield f"costs: {match[0]} measured {[verdict.facts[name] for name in names]}"


def main() -> None:
    """Print a row a kind, and every fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kind", action="append", default=[])
    given = parser.parse_args()
    for kind in given.kind or KINDS:
        begun, tasks, faults = time.process_time(), 0, 0
        for family in list_families(kind):
            for seed in range(given.first, given.first + given.seeds):
                for task in draw_tasks(family, seed, 1):
                    tasks += 1
                    for fault in find_faults(task):
                        faults += 1
                        print(f"{family} seed {seed}: {fault}", flush=True)
        print(f"{kind:12} {tasks:6} tasks {faults:4} faults {time.process_time() - begun:7.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()

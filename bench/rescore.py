"""Judging stored answers again by execution: how long for 35,000 of them, on all cores, nothing cached.

Answers are a pack's gold ones and its planted wrong ones, so that every stage of the check is met.
"""

from __future__ import annotations

import itertools
import os
import sys
import time

from afs import answer_verifier


def main() -> None:
    wanted = 2_000 if "--small" in sys.argv else 35_000
    pack = answer_verifier.load_pack("snes")
    kinds = ("generate", "debug", "optimize", "explain", "cycles", "translate")
    started = time.monotonic()
    tasks = [task for kind in kinds for task in pack.tasks(kind, 1, max(20, wanted // 600))]
    pairs = []
    for task in itertools.cycle(tasks):
        pairs.append((task, task.reference + f"\n\n<!-- {len(pairs)} -->"))
        pairs += [
            (task, f"{answer}\n\n<!-- {len(pairs)} -->") for _, answer in itertools.islice(pack.wrong_answers(task), 5)
        ]
        if len(pairs) >= wanted:
            break
    pairs = pairs[:wanted]
    made = time.monotonic() - started
    jobs = len(os.sched_getaffinity(0))
    started = time.monotonic()
    with answer_verifier.Verifier(jobs=jobs) as verifier:
        verdicts = list(verifier.verify_all(pairs))
    seconds = time.monotonic() - started
    ok, unknown = sum(v.ok is True for v in verdicts), sum(v.ok is None for v in verdicts)
    print(f"{len(pairs)} answers to {len(tasks)} SNES tasks (made in {made:.1f} s), {jobs} workers, no cache")
    print(f"judged in {seconds:.1f} s: {len(pairs) / seconds:.0f} a second; {ok} pass, {unknown} undecided")


if __name__ == "__main__":
    main()

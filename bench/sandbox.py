"""The sandbox on programs that are not ours: HumanEval's solutions with their tests, beside HumanEval's executor.

    python bench/sandbox.py FOLDER          # a checkout of github.com/openai/human-eval

Right solutions must pass and empty bodies must fail, behind each rung that stands here. The machine may be shared:
compare times within one run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from afs.sandbox import PythonPool, Rung, Sandbox, problem_of

TIMEOUT_S = 20.0
ROUNDS = 20


def problems(folder: Path) -> list[dict[str, str]]:
    """HumanEval's rows."""
    with gzip.open(folder / "data" / "HumanEval.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def program(problem: dict[str, str], body: str) -> str:
    """As HumanEval's executor puts it together; the last line is reached only when the tests pass."""
    return f"{problem['prompt']}{body}\n{problem['test']}\ncheck({problem['entry_point']})\nprint('passed')"


def pooled(rung: Rung, rows: list[dict[str, str]]) -> None:
    """All solutions, then all empty bodies, one after another through one pool."""
    with PythonPool(rung=rung) as pool:
        pool.run("", timeout_s=TIMEOUT_S)
        for name, bodies in (("right", [r["canonical_solution"] for r in rows]), ("empty", ["    pass\n"] * len(rows))):
            seconds, passed = [], 0
            for row, body in zip(rows, bodies, strict=True):
                result = pool.run(program(row, body), timeout_s=TIMEOUT_S)
                passed += result.stdout.endswith(b"passed\n")
                seconds.append(result.seconds)
            report(f"pool, {rung}: {name} bodies", seconds, f"{passed} of {len(rows)} pass")
        nothing = [pool.run("", timeout_s=TIMEOUT_S).seconds for _ in range(5 * ROUNDS)]
        report(f"pool, {rung}: an empty program", nothing)


def peer(folder: Path, rows: list[dict[str, str]]) -> None:
    """HumanEval's executor, as it is."""
    space: dict[str, object] = {"__name__": "execution"}
    exec(compile((folder / "human_eval" / "execution.py").read_text(), "execution", "exec"), space)
    check: Callable[..., dict[str, object]] = space["check_correctness"]  # type: ignore[assignment]
    seconds, passed = [], 0
    for row in rows:
        started = time.perf_counter()
        passed += bool(check(row, row["canonical_solution"], TIMEOUT_S)["passed"])
        seconds.append(time.perf_counter() - started)
    report("HumanEval's own executor (no walls): right bodies", seconds, f"{passed} of {len(rows)} pass")


def report(name: str, seconds: list[float], note: str = "") -> None:
    """One row: median and mean in milliseconds."""
    median, mean = statistics.median(seconds) * 1000, statistics.fmean(seconds) * 1000
    print(f"| {name:<52} | {median:7.1f} | {mean:7.1f} | {note:<18} |", flush=True)


def timed(call: Callable[[], object]) -> list[float]:
    """Seconds of each round."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return found


def fork() -> None:
    """The least that a fresh process costs."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    rows = problems(arguments.folder)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n| what | median ms | mean ms | |\n|---|---|---|---|")
    python = os.path.realpath(sys.executable)
    report("fork and wait", timed(fork))
    report("/bin/true", timed(lambda: subprocess.run(["/bin/true"], check=True)))
    report("python -I -S -c ''", timed(lambda: subprocess.run([python, "-I", "-S", "-c", ""], check=True)))
    for rung in get_args(Rung):
        if problem := problem_of(rung):
            print(f"| {rung}: {problem} |")
            continue
        report(
            f"/bin/true, {rung}", timed(lambda rung=rung: Sandbox(rung=rung).run(["/bin/true"], timeout_s=TIMEOUT_S))
        )  # type: ignore[misc]
        pooled(rung, rows)
    peer(arguments.folder, rows)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

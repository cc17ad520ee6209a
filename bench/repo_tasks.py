"""What public Python repositories give the pack `repo`: share of functions that become tasks, tasks per CPU-minute.

    python bench/repo_tasks.py FOLDER … --python INTERPRETER [--sample 30] [--write tasks.jsonl] [--read 100]

Each folder is a git repository with all its objects; the interpreter has pytest and the projects' test dependencies.
CPU is that of the tests' processes plus this one's. `--write` keeps the tasks; `--read` draws those that a person reads
from that file, with a seed. Seeds and repositories stood here (`SAMPLES`) before any task of theirs was made.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import msgspec

from afs.domains.repo import DOMAIN
from afs.domains.repo.coverage_survey import survey
from afs.domains.repo.families import FAMILIES
from afs.domains.repo.options import RepoOptions
from afs.domains.repository_snapshot import read_snapshot
from afs.errors import AfsError
from afs.types import Task

SAMPLES = {
    20261130: ("pallets/itsdangerous", "martinblech/xmltodict", "pytoolz/toolz", "mahmoud/boltons"),
    20261201: (
        "astanin/python-tabulate@268615a",
        "scrapy/w3lib@ed01dc0",
        "keleshev/schema@310a123",
        "executablebooks/markdown-it-py@2c3f71e",
        "python-hyper/h11@62c5068",
    ),
    20261202: (
        "jazzband/prettytable@190af19",
        "theskumar/python-dotenv@bca6644",
        "mahmoud/glom@c225e2a",
        "r1chardj0n3s/parse@7384477",
        "jmespath/jmespath.py@2ad18b0",
    ),
    20261203: (
        "andialbrecht/sqlparse@60cdc64",
        "sdispater/tomlkit@911cccd",
        "grantjenks/python-sortedcontainers@3ac3586",
    ),
}
"""Seed of a drawn sample: repositories that no rule of the pack was written against before its tasks were read."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--history", type=int, default=0)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--read", type=int, default=0)
    parser.add_argument("--seed", type=int, default=max(SAMPLES), choices=SAMPLES)
    options = parser.parse_args()
    if options.read:
        draw(options.write, options.read, options.seed)
        return
    for folder in options.folders:
        try:
            tasks = measure(folder, options.python, options.sample, options.history)
        except AfsError as error:
            print(f"{folder.name:<16} {error}", flush=True)
            continue
        if options.write:
            with options.write.open("ab") as file:
                file.writelines(msgspec.json.encode(task) + b"\n" for task in tasks)


def measure(folder: Path, python: Path, sample: int, history: int) -> list[Task]:
    """One repository: a row of figures, and its tasks."""
    started = time.process_time()
    options = RepoOptions(path=folder, python=python)
    snapshot = read_snapshot(folder)
    snapshot.store()
    found = survey(snapshot, options)
    judged = list(islice(found.judge_in_order(0), sample))
    guarded = [judgement for judgement in judged if judgement.is_tested]
    tasks = [task for build in FAMILIES.values() for judgement in guarded for task in build(found, judgement)]
    cpu_s = time.process_time() - started + sum(_cpu(line) for line in found.cache.read_text().splitlines())
    if history:
        pack = DOMAIN.configure({"path": str(folder), "python": str(python), "commits": history})
        tasks += list(pack.tasks("history", 0, history))
    run = [task for task in tasks if task.family in ("test", "history")]
    bad = [task.id for task in run if not DOMAIN.check(task, task.reference).ok]
    counts = Counter(task.family for task in tasks)
    print(
        f"{snapshot.name:<16} tests {found.passing}+{found.failing} failing; functions {found.functions},"
        f" covered {len(found.subjects)}; of {len(judged)} tried {len(guarded)} become tasks;"
        f" {dict(counts)}; {cpu_s:.0f} CPU s, {60 * len(tasks) / cpu_s:.0f} tasks per CPU-minute;"
        f" references that fail: {len(bad)}",
        flush=True,
    )
    return tasks


def draw(path: Path, count: int, seed: int) -> None:
    """Beside the file of tasks, the ones to read."""
    lines = sorted(path.read_bytes().splitlines())
    chosen = random.Random(seed).sample(lines, min(count, len(lines)))
    path.with_suffix(".read.jsonl").write_bytes(b"\n".join(chosen) + b"\n")


def _cpu(line: str) -> float:
    return float(json.loads(line)["outcome"].get("cpu_s", 0.0))


if __name__ == "__main__":
    main()

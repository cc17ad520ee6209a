"""Planted bad summaries, and the same facts told in another order: python bench/notes.py [--small]

Every kind of planted answer of the pack `memory` on made sessions and on sessions that were written as an agent's log
and read back; then references of sessions against those of the same sessions reordered.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from afs import answer_verifier, datasets, runs
from afs.domains.memory import notes, sessions
from afs.domains.memory.log_writer import LogConfig, write_log
from afs.generate import GenerateConfig, generate
from afs.ingest import IngestConfig, ingest
from afs.types import Task
from afs.workspace import Workspace


def of_log(count: int) -> Iterator[Task]:
    """Tasks of a log's sessions."""
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace.create(Path(folder) / "workspace")
        write_log(LogConfig(folder=Path(folder) / "logs", count=count, full=True))
        read = IngestConfig(kind="claude-code", paths=(Path(folder) / "logs",), name="log")
        with runs.open_run(place, "ingest", read) as run:
            ingest(read, run)
        made = GenerateConfig(domain="memory", source="log", name="notes")
        with runs.open_run(place, "generate", made) as run:
            found = list(datasets.read(place, generate(made, run)))
    yield from (record.task for record in found if record.task is not None)


def main() -> None:
    """Print the table and the line on order."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    count = 50 if parser.parse_args().small else 400
    pack = answer_verifier.load_pack("memory")
    given: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    right, tasks = 0, [task for family in pack.families for task in pack.tasks(family, 11, count)] + list(of_log(count))
    for task in tasks:
        right += answer_verifier.check_answer(task, task.reference).ok is True
        for kind, answer in pack.wrong_answers(task):
            given[kind] += 1
            rejected[kind] += answer_verifier.check_answer(task, answer).ok is False
    print("| planted | given | rejected |\n|---|---|---|")
    for kind, n in given.items():
        print(f"| {kind} | {n:,} | {rejected[kind] / n:.1%} |")
    print(f"| all | {given.total():,} | {rejected.total() / given.total():.1%} |")
    print(f"| references that pass | {len(tasks):,} | {right:,} pass |")
    rng, same = random.Random(11), 0
    for _ in range(count):
        base = sessions.draw_session(sessions.FULL._replace(newer=0.0), rng)
        told = [
            notes.format_notes([(fact.claim, fact.message) for fact in one.facts])
            for one in (base, sessions.reorder(base, rng))
        ]
        claims = [[line.rpartition(" [")[0] for line in text.splitlines()] for text in told]
        same += claims[0] == claims[1]
    print(f"| reordered histories with the same claims in the same order | {count} | {same} |")


if __name__ == "__main__":
    main()

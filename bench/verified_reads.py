"""What it costs to verify shards when they are read: CPU of reading, with and without the hash, and of writing.

    python bench/verified_reads.py [--records 60000]

The records are made by us (texts of about 1.5 KB); what is measured is the share of hashing, not a rate.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from afs import datasets, jsonl, manifests
from afs.types import Message, Origin, Record, record_id
from afs.workspace import Workspace

WORDS = [f"word{number}" for number in range(40)]


def cpu_seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Least CPU time of a few rounds."""
    best = float("inf")
    for _ in range(rounds):
        manifests._hash_once.cache_clear()
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best


def make_record(number: int, chance: random.Random) -> Record:
    """A record of about 1.5 KB."""
    text = " ".join(chance.choice(WORDS) for _ in range(250))
    messages = (Message(role="user", text=f"question {number}"), Message(role="assistant", text=text))
    return Record(id=record_id("t", messages), domain="t", kind="qa", messages=messages, origin=Origin(source="t"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=60_000)
    count = parser.parse_args().records
    chance = random.Random(1)
    records = [make_record(number, chance) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.create(Path(folder))

        def write() -> datasets.PendingDataset:
            with datasets.write_dataset(workspace, "set", "dataset") as pending:
                for record in records:
                    pending.add("train", record)
            return pending

        writing = cpu_seconds(write, 1)
        dataset = datasets.load(workspace, "set")
        shards = [(datasets.folder_of(workspace, dataset) / s.path, s) for p in dataset.splits for s in p.shards]
        checked = cpu_seconds(lambda: sum(1 for _ in datasets.read(workspace, dataset)))
        hashing = cpu_seconds(lambda: [manifests.refuse_changed(path, shard) for path, shard in shards])
        plain = cpu_seconds(lambda: sum(1 for path, _ in shards for _ in jsonl.read(path, Record)))
        megabytes = sum(shard.size for _, shard in shards) / 2**20
    print(f"{count} records, {megabytes:.1f} MiB packed: write {writing:.2f} s, read {checked:.2f} s")
    print(f"unverified read {plain:.2f} s")
    print(f"hashing {hashing:.3f} s = {100 * hashing / (writing + checked):.1f} % of writing and reading once")


main()

"""Ingest in shards: equal by digest, hashed once, a missing shard and a changed file are named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from afs import datasets, runs
from afs.errors import DataError
from afs.ingest import IngestConfig, ingest_share
from afs.types import Dataset
from afs.work_division import ShardReport
from afs.workspace import Workspace


def take(workspace: Workspace, *paths: Path, name: str = "raw", shards: str = "") -> Dataset | ShardReport:
    config = IngestConfig(kind="auto", paths=paths, name=name, source="same", shards=shards)
    with runs.open_run(workspace, "ingest", config) as run:
        return ingest_share(config, run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven files: rows with a repeated one and a broken one, chats, and a document."""
    place = tmp_path / "in"
    place.mkdir()
    for n in range(5):
        rows = [{"instruction": f"what is {n} and {m}?", "output": f"{n + m} by addition"} for m in range(4)]
        text = "".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]) + ("{broken\n" if n == 2 else "")
        (place / f"{n}.jsonl").write_text(text)
    turns = [{"role": "user", "content": "what is the stack?"}, {"role": "assistant", "content": "a pile of bytes"}]
    (place / "chats.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    (place / "empty.jsonl").write_text("")
    return place


def test_shards_joined_equal_one_process(workspace: Workspace, folder: Path) -> None:
    whole = take(workspace, folder, name="whole")
    (workspace.root / "cache" / "ingest").rename(workspace.root / "gone")  # nothing is known from the first reading
    for number in (3, 1, 2):
        report = take(workspace, folder, shards=f"{number}/3")
        assert isinstance(report, ShardReport) and report.done == report.pieces >= 2
    joined = take(workspace, folder, shards="all/3")
    assert isinstance(joined, Dataset) and isinstance(whole, Dataset)
    assert (joined.digest, joined.counts) == (whole.digest, whole.counts)
    drops = [list(datasets.read_dropped(workspace, one)) for one in (joined, whole)]
    assert drops[0] == drops[1] != []


def test_a_missing_shard_is_named_and_a_finished_one_is_not_read_again(workspace: Workspace, folder: Path) -> None:
    take(workspace, folder, shards="2/3")
    with pytest.raises(DataError, match="shards 1/3, 3/3 missing; run the same command with --shards 1/3"):
        take(workspace, folder, shards="all/3")
    again = take(workspace, folder, shards="2/3")
    assert isinstance(again, ShardReport) and again.done == 0


def test_a_file_that_changed_after_its_shard_is_named(workspace: Workspace, folder: Path) -> None:
    for number in (1, 2):
        take(workspace, folder, shards=f"{number}/2")
    os.utime(folder / "3.jsonl", (1, 1))
    with pytest.raises(DataError, match=r"3.jsonl: changed after its shard was read; run --shards [12]/2 again"):
        take(workspace, folder, shards="all/2")
    for number in (1, 2):
        take(workspace, folder, shards=f"{number}/2")
    assert isinstance(take(workspace, folder, shards="all/2"), Dataset)
    (folder / "5.jsonl").write_text('{"instruction": "a?", "output": "b c"}\n')
    with pytest.raises(DataError, match="was added after its shard was read"):
        take(workspace, folder, shards="all/2")

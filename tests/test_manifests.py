"""What was written is what is read: a flipped byte in any stored file is noticed or changes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from afs import artifacts, datasets, jsonl, manifests
from afs.errors import DataError
from afs.types import Dataset, Dropped, Message, Origin, Record, record_id
from afs.workspace import MANIFEST, Workspace

FLIPS = 200


def record(number: int) -> Record:
    messages = (Message(role="user", text=f"question {number}"), Message(role="assistant", text=f"answer {number}"))
    return Record(id=record_id("t", messages), domain="t", kind="qa", messages=messages, origin=Origin(source="t"))


@pytest.fixture
def stored(workspace: Workspace) -> Dataset:
    with datasets.write_dataset(workspace, "set", "dataset") as pending:
        for number in range(60):
            pending.add("train", record(number))
        pending.drop(Dropped(record=record(99), reason="test"))
    return pending.dataset


def flips(path: Path, seed: int) -> Iterator[int]:
    """Flip one bit of one byte at a time, and restore the file."""
    content, chance = path.read_bytes(), random.Random(seed)
    for _ in range(FLIPS):
        place = chance.randrange(len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(damaged))
        manifests._hash_once.cache_clear()
        yield place
    path.write_bytes(content)


def assert_noticed(path: Path, read: Callable[[], object]) -> None:
    whole = read()
    for place in flips(path, 1):
        try:
            assert read() == whole, f"byte {place} of {path.name} changed what is read"
        except DataError as error:
            assert path.name in str(error) and "\n" not in str(error)


def test_a_flipped_bit_in_a_shard_is_noticed(workspace: Workspace, stored: Dataset) -> None:
    path = datasets.folder_of(workspace, stored) / stored.splits[0].shards[0].path
    assert_noticed(path, lambda: list(datasets.read(workspace, stored)))


def test_a_flipped_bit_in_a_manifest_is_noticed(workspace: Workspace, stored: Dataset) -> None:
    path = datasets.folder_of(workspace, stored) / MANIFEST
    assert_noticed(path, lambda: datasets.load(workspace, "set"))


def test_a_flipped_bit_in_the_dropped_records_is_noticed(workspace: Workspace, stored: Dataset) -> None:
    path = datasets.folder_of(workspace, stored) / "dropped.jsonl"
    assert_noticed(path, lambda: list(datasets.read_dropped(workspace, stored)))


def test_every_file_of_every_split_is_listed(stored: Dataset) -> None:
    paths = [entry.path for entry in manifests.listed_files(stored)]
    assert paths == [*(shard.path for split in stored.splits for shard in split.shards), "dropped.jsonl"]


def test_the_checksum_alone_finds_damage_in_a_shard(workspace: Workspace, stored: Dataset) -> None:
    """Also without the manifest, as other programs read it."""
    path = datasets.folder_of(workspace, stored) / stored.splits[0].shards[0].path
    assert_noticed(path, lambda: list(jsonl.read(path, Record)))


def test_manifests_and_shards_without_seal_and_checksum_stay_readable(workspace: Workspace, stored: Dataset) -> None:
    path = datasets.folder_of(workspace, stored) / MANIFEST
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(stored, seal="", files=())))
    old = datasets.load(workspace, "set")
    assert len(list(datasets.read(workspace, old))) == 60 and len(list(datasets.read_dropped(workspace, old))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, r"written by a newer version \(schema 2, .*upgrade with: pip install"),
        ({"schema": 0}, "schema 0 does not exist"),
        ({"schema": -1}, "schema -1 does not exist"),
        ({"splits": 7}, r"manifest\.json: Expected `array`"),
        ({"files": [{"path": "../../../x", "size": 1, "sha256": "0"}]}, "outside its folder"),
        ({"files": [{"path": "/etc/passwd", "size": 1, "sha256": "0"}]}, "outside its folder"),
    ],
)
def test_malformed_manifests_are_one_line(
    workspace: Workspace, stored: Dataset, change: dict[str, object], message: str
) -> None:
    path = datasets.folder_of(workspace, stored) / MANIFEST
    table = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    path.write_text(json.dumps({**table, "seal": "", **change}))
    with pytest.raises(DataError, match=message) as caught:
        datasets.load(workspace, "set")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"{}"])
def test_what_is_no_manifest_is_one_line(workspace: Workspace, stored: Dataset, content: bytes) -> None:
    (datasets.folder_of(workspace, stored) / MANIFEST).write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json: "):
        datasets.load(workspace, "set")


def test_an_artifact_is_sealed(workspace: Workspace) -> None:
    with artifacts.store_artifact(workspace, "m", form="base", facts={"rank": 8}) as pending:
        (pending.folder / "weights").write_bytes(b"w")
    path = artifacts.folder_of(workspace, pending.artifact) / MANIFEST
    assert artifacts.load(workspace, "m") == pending.artifact
    path.write_bytes(path.read_bytes().replace(b'"rank": 8', b'"rank": 9'))
    with pytest.raises(DataError, match="its seal does not match"):
        artifacts.load(workspace, "m")

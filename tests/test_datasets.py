"""Stored records: complete or absent, equal content equal digest, damage is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afs import datasets, manifests
from afs.errors import DataError, WorkspaceError
from afs.types import Dropped, Message, Origin, Record, ToolCall, record_id
from afs.workspace import Workspace


def record(text: str, answer: str = "ok", license: str = "MIT") -> Record:
    messages = datasets.task_messages(text, reply=answer)
    origin = Origin(source="test", license=license)
    return Record(id=record_id("sums", messages), domain="sums", kind="test", messages=messages, origin=origin)


def store(workspace: Workspace, name: str, texts: list[str], split: str = "all") -> datasets.Dataset:
    with datasets.write_dataset(workspace, name, "records") as pending:
        for text in texts:
            pending.add(split, record(text))
    return pending.dataset


def test_what_is_written_is_read_in_order(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "SHARD_BYTES", 100_000)
    texts = [f"question {n}" * 20 for n in range(2000)]
    made = store(workspace, "a", texts)
    assert len(made.splits[0].shards) > 1
    assert made.splits[0].count == 2000 == sum(s.count for s in made.splits[0].shards)
    loaded = datasets.load(workspace, "a")
    assert loaded == made
    assert [datasets.question_text(r) for r in datasets.read(workspace, loaded)] == texts
    assert list(manifests.verify_files(datasets.folder_of(workspace, made), made.splits[0].shards)) == []


def test_equal_content_has_an_equal_digest(workspace: Workspace) -> None:
    one, two, other = (store(workspace, n, t) for n, t in (("a", ["x"]), ("b", ["x"]), ("c", ["y"])))
    assert one.digest == two.digest != other.digest


def test_drops_and_licenses_are_counted_and_kept(workspace: Workspace) -> None:
    with datasets.write_dataset(workspace, "a", "dataset", splits=("train", "test")) as pending:
        pending.add("train", record("x"))
        pending.add("train", record("y", license=""))
        pending.drop(Dropped(record=record("z"), reason="too short"))
    made = pending.dataset
    assert made.licenses == {"MIT": 1, "unknown": 1}
    assert made.counts == {"dropped:too short": 1}
    assert datasets.split_counts(made) == {"train": 2, "test": 0}
    assert [d.reason for d in datasets.read_dropped(workspace, made)] == ["too short"]
    with pytest.raises(DataError, match="no split 'val'; it has: train, test"):
        datasets.find_split(made, "val")


def test_a_writer_that_fails_leaves_nothing(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError), datasets.write_dataset(workspace, "a", "records") as pending:
        pending.add("all", record("x"))
        raise RuntimeError
    assert workspace.names("records") == []


def test_a_full_disk_leaves_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store(workspace, "a", ["old"])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), datasets.write_dataset(workspace, "a", "records") as pending:
        pending.add("all", record("new"))
    monkeypatch.undo()
    assert [datasets.question_text(r) for r in datasets.read(workspace, datasets.load(workspace, "a"))] == ["old"]


@pytest.mark.parametrize("moment", [0, 1, 400, 1200])
def test_killed_at_any_write_the_old_version_stays(workspace: Workspace, moment: int) -> None:
    store(workspace, "a", ["old"])
    code = (
        "import os, sys; from pathlib import Path; from tests_record import record; from afs import datasets\n"
        "from afs.workspace import Workspace\n"
        "with datasets.write_dataset(Workspace(Path(sys.argv[1])), 'a', 'records') as pending:\n"
        "    for n in range(5000):\n"
        f"        if n == {moment}: os.kill(os.getpid(), 9)\n"
        "        pending.add('all', record(str(n)))\n"
    )
    helper = workspace.root / "tests_record.py"
    helper.write_text(
        "from afs.types import *\nfrom afs import datasets\n"
        "def record(t):\n    m = datasets.task_messages(t, reply='x')\n"
        "    return Record(id=record_id('s', m), domain='s', kind='k', messages=m, origin=Origin(source='t'))\n"
    )
    child = subprocess.run([sys.executable, "-c", code, str(workspace.root)], cwd=workspace.root, check=False)
    assert child.returncode == -9
    assert [datasets.question_text(r) for r in datasets.read(workspace, datasets.load(workspace, "a"))] == ["old"]
    assert store(workspace, "a", ["new"]).ref == "a@2"


def test_damage_is_named(workspace: Workspace) -> None:
    made = store(workspace, "a", [f"q{n}" for n in range(100)])
    shard = datasets.folder_of(workspace, made) / made.splits[0].shards[0].path
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert "SHA-256 differs" in next(manifests.verify_files(shard.parent, made.splits[0].shards))
    shard.write_bytes(content[:50])
    with pytest.raises(DataError, match="all-00000"):
        list(datasets.read(workspace, made))
    (shard.parent / "manifest.json").write_bytes(b'{"schema": 1')
    with pytest.raises(DataError, match=r"manifest\.json"):
        datasets.load(workspace, "a")


def test_two_writers_of_one_name_do_not_mix(workspace: Workspace) -> None:
    with datasets.write_dataset(workspace, "a", "records") as pending:
        pending.add("all", record("x"))
        with pytest.raises(WorkspaceError, match="in use"), datasets.write_dataset(workspace, "a", "records"):
            pass
    assert workspace.versions("records", "a") == [1]


def test_views(workspace: Workspace) -> None:
    call = ToolCall(id="1", name="read_file", arguments={"path": "a"})
    messages = (
        Message(role="user", text="read a"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", text="content", tool_call_id="1"),
    )
    turns = datasets.chat_messages(msgspec.structs.replace(record("x"), messages=messages))
    assert turns[1]["tool_calls"] == [
        {"id": "1", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"a"}'}}
    ]
    assert turns[2] == {"role": "tool", "content": "content", "tool_call_id": "1"}
    assert datasets.message_text(messages[1]) == (
        '<tool_call>\n{"name":"read_file","arguments":{"path":"a"}}\n</tool_call>'
    )


_text = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=30)


@st.composite
def records(draw: st.DrawFn) -> Record:
    messages = tuple(
        Message(
            role=draw(st.sampled_from(("system", "user", "assistant", "tool"))), text=draw(_text), thinking=draw(_text)
        )
        for _ in range(draw(st.integers(0, 4)))
    )
    return Record(
        id=record_id("d", messages), domain="d", kind=draw(_text), messages=messages,
        origin=Origin(source=draw(_text), license=draw(_text)), tags=tuple(draw(st.lists(_text, max_size=3))),
    )  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(records(), max_size=20))
def test_any_record_survives(workspace: Workspace, rows: list[Record]) -> None:
    with datasets.write_dataset(workspace, "any", "records") as pending:
        for row in rows:
            pending.add("all", row)
    assert list(_read(workspace, pending.dataset)) == rows


def _read(workspace: Workspace, made: datasets.Dataset) -> Iterator[Record]:
    return datasets.read(workspace, made)


def test_a_run_that_was_killed_after_storing_stores_no_twin(workspace: Workspace) -> None:
    def store(run: str, text: str = "a") -> str:
        with datasets.write_dataset(workspace, "set", "dataset", run=run) as pending:
            pending.add("train", record(text))
        return pending.dataset.ref

    assert store("r1") == store("r1") == "set@1", "the same run, the same content"
    assert store("r1", "b") == "set@2" and store("r2", "b") == "set@3" and store("") == "set@4"
    assert workspace.versions("dataset", "set") == [1, 2, 3, 4]

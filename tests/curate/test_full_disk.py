"""A full disk in the middle of a curation: reported in one line, nothing half done, and no scratch left to fill it further."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from afs import datasets, runs
from afs.cli.main import main
from afs.curate.step_context import Spill
from afs.types import Message, Origin, Record, record_id
from afs.workspace import Workspace


def test_a_full_disk_is_one_line_and_a_rerun_resumes(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with datasets.write_dataset(workspace, "raw", "records") as pending:
        for number in range(40):
            turns = (
                Message(role="user", text=f"question {number}?"),
                Message(role="assistant", text=f"{number}. " * 20),
            )
            record = Record(
                id=record_id("d", turns), domain="d", kind="chat", messages=turns, origin=Origin(source="test")
            )
            pending.add("all", record)
    words = ["curate", "raw", "--name", "set", "--steps", '[{use = "dedup"}]', "--workspace", str(workspace.root)]
    whole_add, whole_finish = Spill.add, runs.Run.finish

    def add(self: Spill[Record], value: Record, frame: memoryview | None = None) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_bytes(b"much")
        if len(self) == 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole_add(self, value, frame)

    def finish(self: runs.Run, status: runs.Status, *, result: str = "", problem: str = "") -> None:
        if status == "failed":
            raise OSError(errno.ENOSPC, "No space left on device", "status.json")
        whole_finish(self, status, result=result, problem=problem)

    monkeypatch.setattr(Spill, "add", add)
    monkeypatch.setattr(runs.Run, "finish", finish)
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "No space left on device" in told and "run the same command again" in told and "Traceback" not in told
    assert workspace.names("dataset") == [] and scratch(workspace) == []
    monkeypatch.undo()
    assert main(words) == 0
    assert workspace.names("dataset") == ["set"] and scratch(workspace) == []
    assert len(runs.list_runs(workspace)) == 1


def scratch(workspace: Workspace) -> list[Path]:
    return list(workspace.root.glob("runs/*/work"))

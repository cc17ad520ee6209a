"""Following runs: only news are read; torn, broken, replaced, linked and huge logs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from afs.dashboard import run_index
from afs.dashboard.event_lines import parse_time, split_lines
from afs.dashboard.run_index import FollowedRun, RunIndex
from afs.runs import RunState
from afs.workspace import Workspace


def step(number: int, loss: object = 1.0, total: int = 100) -> bytes:
    row = {
        "time": f"2026-11-30T12:{number // 60 % 60:02}:{number % 60:02}.000+00:00",
        "event": "train.step",
        "run": "r",
        "verb": "train",
        "step": number,
        "total": total,
        "loss": loss,
        "lr": 0.001,
        "grad_norm": 1.5,
        "tokens_s": 100.0,
    }
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def make_run(workspace: Workspace, name: str, lines: bytes = b"", status: str = "running") -> Path:
    folder = workspace.root / "runs" / name
    folder.mkdir(parents=True)
    state = RunState(id=name, verb="train", digest="d", status=status, started=1.0)  # type: ignore[arg-type]
    (folder / "status.json").write_bytes(msgspec.json.encode(state))
    (folder / "config.json").write_text('{"name": "x"}')
    (folder / "events.jsonl").write_bytes(lines)
    return folder


def follow(folder: Path) -> FollowedRun:
    run = FollowedRun(folder)
    run.look()
    return run


def test_only_what_is_new_is_read(workspace: Workspace) -> None:
    folder = make_run(workspace, "a", step(1) + step(2))
    run = follow(folder)
    assert list(run.track.steps) == [1, 2] and run.track.total == 100
    with (folder / "events.jsonl").open("ab") as log:
        log.write(step(3) + step(4)[:-10])
    run.look()
    assert list(run.track.steps) == [1, 2, 3] and run.track.broken == 0
    with (folder / "events.jsonl").open("ab") as log:
        log.write(step(4)[-10:])
    run.look()
    assert list(run.track.steps) == [1, 2, 3, 4] and run.track.lines == 4


def test_a_torn_line_of_a_killed_run_costs_one_line(workspace: Workspace) -> None:
    """The resumed run appends to the torn line, so that line alone cannot be read."""
    run = follow(make_run(workspace, "a", step(1) + step(2)[:40] + step(2) + step(3)))
    assert list(run.track.steps) == [1, 3] and run.track.broken == 1


def test_repeated_steps_of_a_resumed_run_replace_the_earlier(workspace: Workspace) -> None:
    run = follow(make_run(workspace, "a", b"".join(step(n, 9.0) for n in range(1, 8)) + step(5, 1.0) + step(6, 2.0)))
    assert list(run.track.steps) == [1, 2, 3, 4, 5, 6] and run.track.rewinds == 1
    assert list(run.track.values["loss"])[-2:] == [1.0, 2.0]


def test_a_log_that_was_replaced_or_cut_is_read_again(workspace: Workspace) -> None:
    folder = make_run(workspace, "a", step(1) + step(2) + step(3))
    run = follow(folder)
    (folder / "events.jsonl").write_bytes(step(7))
    run.look()
    assert list(run.track.steps) == [7]
    (folder / "new").write_bytes(step(8) + step(9))
    (folder / "new").replace(folder / "events.jsonl")
    run.look()
    assert list(run.track.steps) == [8, 9]


def test_broken_runs_are_shown_and_links_are_not_followed(workspace: Workspace, tmp_path: Path) -> None:
    sound = make_run(workspace, "a", step(1))
    broken = make_run(workspace, "b", b"\xff\xfe not json\n" + step(1))
    (broken / "status.json").write_text('{"id": 3')
    shutil.copytree(sound, tmp_path / "outside")
    (workspace.root / "runs" / "c").symlink_to(tmp_path / "outside")
    linked = make_run(workspace, "d")
    (linked / "events.jsonl").unlink()
    (linked / "events.jsonl").symlink_to(tmp_path / "outside" / "events.jsonl")
    pipe = make_run(workspace, "e")
    (pipe / "events.jsonl").unlink()
    os.mkfifo(pipe / "events.jsonl")
    index = RunIndex(workspace)
    index.refresh()
    assert [run.id for run in index.runs] == ["e", "d", "b", "a"]
    found = index.get("b")
    assert found is not None and found.state is None and "status.json" in found.problem and found.track.broken == 1
    for name in ("d", "e"):
        other = index.get(name)
        assert other is not None and not other.track.steps
    shutil.rmtree(sound)
    index.refresh()
    assert index.get("a") is None


def test_an_empty_workspace_has_no_runs(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "runs", ignore_errors=True)
    index = RunIndex(workspace)
    index.refresh()
    assert index.runs == []


def test_a_large_log_is_sampled_at_once_and_read_whole_later(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_index, "SMALL", 4096)
    monkeypatch.setattr(run_index, "BLOCK", 16384)
    monkeypatch.setattr(run_index, "_WINDOWS", 8)
    monkeypatch.setattr(run_index, "_WIDTH", 1024)
    lines = b"".join(step(n, n / 10, 2000) for n in range(1, 2001))
    folder = make_run(workspace, "a", lines)
    index = RunIndex(workspace)
    index.refresh()
    run = index.get("a")
    assert run is not None and run.is_sampled and run.track.step == 2000 and 8 < len(run.track.steps) < 200
    with (folder / "events.jsonl").open("ab") as log:
        log.write(step(2001))
    index.read_whole()
    index.refresh()
    assert not run.is_sampled and list(run.track.steps) == list(range(1, 2002))


def test_times_are_read_and_nonsense_is_unknown() -> None:
    assert parse_time("2026-11-30T14:49:41.077+00:00") == pytest.approx(1796050181.077)
    assert parse_time("2026-11-30T14:49:42.077+00:00") == pytest.approx(1796050182.077)
    assert parse_time("2026-11-30T16:49:42+02:00") == pytest.approx(1796050182.0)
    assert parse_time("yesterday at noon, or so") is None and parse_time(3) is None


def test_lines_know_their_place() -> None:
    block = step(1) + b"{}\n" + b"x\n" + step(2)
    places = [line.offset for line in split_lines(block, 100)]
    assert places == [100, 100 + len(step(1)), 103 + len(step(1)), 105 + len(step(1))]

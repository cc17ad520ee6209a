"""Runs: found again by their digest, resumed when unfinished, honest about how they ended."""

from __future__ import annotations

import os
import signal

import msgspec
import pytest

from afs import runs
from afs.config import Config
from afs.errors import AfsError, PreemptedError, StoppedError, UsageError, WorkspaceError
from afs.workspace import Workspace


class Work(Config, frozen=True, kw_only=True):
    """A config."""

    size: int = 1


def test_a_failed_run_is_resumed_and_a_finished_one_is_not(workspace: Workspace) -> None:
    with pytest.raises(RuntimeError, match="broke"), runs.open_run(workspace, "work", Work()) as first:
        first.mark("piece", count=3)
        raise RuntimeError("broke")
    assert runs.get(workspace, first.id).state.status == "failed"
    with runs.open_run(workspace, "work", Work()) as second:
        assert second.id == first.id
        assert second.done("piece") and second.facts("piece") == {"count": 3}
        assert not second.done("other")
    with runs.open_run(workspace, "work", Work()) as third:
        assert third.id != first.id
    with runs.open_run(workspace, "work", Work(size=2)) as other:
        assert not other.done("piece")


def test_inputs_belong_to_what_a_run_is_found_by(workspace: Workspace) -> None:
    with runs.open_run(workspace, "work", Work(), salt={"input": "a"}) as run:
        pass
    assert runs.find(workspace, "work", runs.run_digest(Work(), {"input": "a"})) is not None
    assert runs.find(workspace, "work", runs.run_digest(Work(), {"input": "b"})) is None
    assert run.config == {"size": 1}


def test_a_marker_of_another_config_does_not_count(workspace: Workspace) -> None:
    with runs.open_run(workspace, "work", Work()) as run:
        run.mark("piece")
        run.state = msgspec.structs.replace(run.state, digest="another")
        assert not run.done("piece")


def test_the_same_run_twice_at_once_is_refused(workspace: Workspace) -> None:
    with (
        runs.open_run(workspace, "work", Work()),
        pytest.raises(WorkspaceError, match="in use by process"),
        runs.open_run(workspace, "work", Work()),
    ):
        pass


def test_scratch_of_dead_runs_is_swept_and_that_of_a_living_one_stays(workspace: Workspace) -> None:
    with runs.open_run(workspace, "work", Work(size=1)) as dead:
        (dead.scratch / "deep").mkdir(parents=True)
    with runs.open_run(workspace, "work", Work(size=2)) as living:
        living.scratch.mkdir()
        runs.sweep(workspace)
        assert living.scratch.is_dir() and not dead.scratch.exists() and dead.folder.is_dir()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, StoppedError), (signal.SIGTERM, PreemptedError)])
def test_a_signal_stops_at_the_next_safe_point(
    workspace: Workspace, number: signal.Signals, error: type[AfsError]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(error, match="to resume"), runs.open_run(workspace, "work", Work()) as run:
        run.check_stop()
        os.kill(os.getpid(), number)
        run.check_stop()
    assert runs.get(workspace, run.id).state.status == "stopped"
    assert signal.getsignal(number) is before


def test_a_run_killed_before_it_had_its_name_is_started_anew(workspace: Workspace) -> None:
    with runs.open_run(workspace, "work", Work()) as run:
        run.finish("running")
    staged = run.folder.with_name(".staged-run-work")
    run.folder.rename(staged)
    assert runs.list_runs(workspace) == []
    with runs.open_run(workspace, "work", Work()) as again:
        assert again.folder.name == again.id


def test_a_part_without_safe_points_is_stopped_at_once(workspace: Workspace) -> None:
    with pytest.raises(PreemptedError), runs.open_run(workspace, "work", Work()) as run, run.interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(10**9):
            pass
    assert runs.get(workspace, run.id).state.status == "stopped"


def test_events_are_lines_with_context(workspace: Workspace) -> None:
    with runs.open_run(workspace, "work", Work()) as run, run.phase("part", size=3):
        run.event("thing", value=1.5)
    rows = [msgspec.json.decode(line) for line in (run.folder / "events.jsonl").read_bytes().splitlines()]
    assert [row["event"] for row in rows] == ["run.start", "phase.start", "thing", "phase.end", "run.end"]
    assert all(row["run"] == run.id and row["verb"] == "work" and row["time"] for row in rows)
    assert rows[3]["outcome"] == "done" and rows[3]["seconds"] >= 0


def test_a_run_is_found_by_the_beginning_of_its_name(workspace: Workspace) -> None:
    with runs.open_run(workspace, "work", Work()) as run:
        pass
    assert runs.get(workspace, run.id[:-3]).id == run.id
    with pytest.raises(UsageError, match="no run has an id that begins with"):
        runs.get(workspace, "nothing")

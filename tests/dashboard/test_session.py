"""`afs session`: what runs and what is rented in one table, each dollar once."""

from __future__ import annotations

import time

import pytest
from tests.dashboard.test_cloud import rent

from afs import runs
from afs.cloud.ledger import Ledger
from afs.dashboard.session_command import SessionConfig, show_session
from afs.train import TrainConfig
from afs.workspace import Workspace


def test_nothing_runs(workspace: Workspace) -> None:
    assert show_session(SessionConfig(), workspace).text() == "nothing runs, and nothing is rented"


def test_runs_and_machines_with_rate_time_left_and_log(workspace: Workspace) -> None:
    ledger = Ledger(workspace.root / "cloud")
    rent(ledger, "afs-a", 2, deadline=time.time() + 7200)
    rent(ledger, "afs-b", 1)
    rent(ledger, "afs-c", 5)
    ledger.append("afs-c", "gone")
    with runs.open_run(workspace, "train", TrainConfig(dataset="d", name="din")) as run, ledger.holding("afs-a"):
        for step in range(1, 41):
            run.event("train.step", step=step, of=100, loss=1.0)
        found = show_session(SessionConfig(), workspace)
        rows = {row.id: row for row in found.rows}
        assert rows.keys() == {"afs-a", "afs-b", run.id}
        assert (found.usd_hour, found.usd) == (1.0, pytest.approx(1.5, abs=0.01))
        assert (rows["afs-a"].usd_hour, rows["afs-a"].state) == (0.5, "running")
        assert rows["afs-b"].state == "running, nobody looks after it"
        assert rows["afs-a"].deadline_s == pytest.approx(7200, abs=60)
        assert rows[run.id].usd_hour is None, "unknown is not zero"
        assert rows[run.id].log == f"runs/{run.id}/events.jsonl"
        text = found.text()
        assert "afs cloud logs afs-b" in text and "$0.50" in text and "unknown" in text
        assert text.splitlines()[-1] == "$1.00 an hour for machines, $1.50 spent by what runs now"
    assert {row.id for row in show_session(SessionConfig(), workspace).rows} == {"afs-a", "afs-b"}


def test_the_run_of_a_rented_machine_gives_it_progress_and_is_not_counted_twice(workspace: Workspace) -> None:
    ledger = Ledger(workspace.root / "cloud")
    facts = {"provider": "vast", "machine": "7", "gpu": "A4000", "usd_hour": 0.5, "job": "din"}
    ledger.clock = lambda: time.time() - 3600
    for step in ("intent", "created", "running"):
        ledger.append("afs-a", step, **facts)  # type: ignore[arg-type]
    with runs.open_run(workspace, "train", TrainConfig(dataset="d", name="din")) as run:
        run.event("train.step", step=40, of=100, loss=1.0)
        run.event("train.device", step=40, cost_usd=0.4)
        found = show_session(SessionConfig(), workspace)
    machine = next(row for row in found.rows if row.kind == "machine")
    assert machine.progress.startswith("40 of")
    assert found.usd == pytest.approx(0.5, abs=0.01)

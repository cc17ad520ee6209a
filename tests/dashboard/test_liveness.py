"""What a run that says it runs is really doing: a real process, stopped, resumed and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.dashboard.test_run_index import follow, make_run, step

from afs.dashboard.run_liveness import QUIET_S, judge_liveness, process_state
from afs.workspace import Workspace


def start_line(pid: int) -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000+00:00", time.gmtime())
    return json.dumps({"time": stamp, "event": "run.start", "pid": pid}).encode() + b"\n"


def age(folder: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(folder / "events.jsonl", (moment, moment))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc on this system")
def test_a_process_that_is_stopped_or_killed_is_seen(workspace: Workspace) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        folder = make_run(workspace, "a", start_line(child.pid) + step(1))
        run = follow(folder)
        assert judge_liveness(run) == "running"
        child.send_signal(signal.SIGSTOP)
        os.waitpid(child.pid, os.WUNTRACED)
        assert judge_liveness(run) == "stalled"
        child.send_signal(signal.SIGCONT)
        os.waitpid(child.pid, os.WCONTINUED)
        assert judge_liveness(run) == "running"
        age(folder, QUIET_S + 5)
        assert judge_liveness(follow(folder)) == "quiet"
        age(folder, 3600)
        assert judge_liveness(follow(folder)) == "stalled"
    finally:
        child.kill()
        child.communicate()
    assert judge_liveness(follow(folder)) == "gone"


def test_a_log_that_grows_is_proof_without_a_process_here(workspace: Workspace) -> None:
    """A run on another machine, over a shared disk."""
    folder = make_run(workspace, "a", start_line(2**22 + 5) + step(1))
    run = follow(folder)
    assert judge_liveness(run) == "running"
    age(folder, QUIET_S + 5)
    run = follow(folder)
    assert judge_liveness(run) == "gone"
    with (folder / "events.jsonl").open("ab") as log:
        log.write(step(2))
    run.look()
    assert judge_liveness(run) == "running"


def test_a_number_that_another_process_has_now_is_not_ours() -> None:
    assert process_state(os.getpid(), time.time() - 30 * 86400) == ""
    assert process_state(os.getpid(), time.time()) == "R"
    assert process_state(None, 0.0) == ""


def test_a_clock_that_jumps_makes_no_run_stall(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = follow(make_run(workspace, "a", start_line(os.getpid()) + step(1)))
    now = time.time()
    for jump in (-86400, 86400):
        monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
        assert judge_liveness(run) == "running"


@pytest.mark.parametrize("status", ["done", "failed", "stopped"])
def test_an_ended_run_is_what_it_says(workspace: Workspace, status: str) -> None:
    assert judge_liveness(follow(make_run(workspace, "a", step(1), status))) == status

"""Whether a run that says it runs really does: from its process and from how long its log has been silent.

A run on another machine has no process here; a log that grows is proof enough. Nothing is locked to find out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from afs.dashboard.run_index import FollowedRun

Liveness = Literal["running", "quiet", "stalled", "gone", "done", "failed", "stopped", "broken"]
QUIET_S = 20.0
"""Silence after which a live process counts as quiet, and one that cannot be seen as gone."""
STALLED_S = 900.0
"""Silence after which a run counts as stalled although its process works: no part of afs is silent for so long."""
_BEGINNINGS = ("run.start", "run.resume")
_REUSED_S = 3600.0
"""A process born so long after the run began is another one with the same number; clocks may be set meanwhile."""
MEANING: dict[Liveness, str] = {
    "running": "the process is alive and its log grows",
    "quiet": "the process is alive, but its log has not grown for a while: loading a model or waiting for an answer",
    "stalled": "the process is suspended, or its log has not grown for 15 minutes",
    "gone": "the run was not ended, and its process is no longer there: run the same command again to resume",
    "done": "finished",
    "failed": "ended by an error",
    "stopped": "stopped by its user: run the same command again to resume",
    "broken": "its files cannot be read",
}


def judge_liveness(run: FollowedRun) -> Liveness:
    """What a run is doing."""
    if run.state is None:
        return "broken"
    if run.state.status != "running":
        return run.state.status
    silent = run.quiet_s()
    begun = max((run.track.latest[name].time or 0.0 for name in _BEGINNINGS if name in run.track.latest), default=0.0)
    state = process_state(run.track.pid, begun or run.state.started)
    if state in ("T", "t"):
        return "stalled"
    if state in ("", "Z"):
        return "running" if silent < QUIET_S else "gone"
    if silent >= STALLED_S:
        return "stalled"
    return "running" if silent < QUIET_S else "quiet"


def process_state(pid: int | None, begun: float) -> str:
    """The letter of a process's state; empty when there is none, or another has its number now; `?` when unknown."""
    if pid is None:
        return ""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return "" if Path("/proc/self/stat").exists() or not _exists(pid) else "?"
    fields = text.rpartition(")")[2].split()
    with suppress(IndexError, ValueError, OSError):
        born = _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")
        if born > begun + _REUSED_S:
            return ""
    return fields[0] if fields else "?"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _boot_time() -> float:
    for line in Path("/proc/stat").read_text("ascii", "replace").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise ValueError("no boot time")

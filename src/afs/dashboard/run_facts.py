"""What one run is doing, as values: state, progress, time left, money, the figures of the last step."""

from __future__ import annotations

import hashlib
import math
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs.dashboard.event_lines import open_plain
from afs.dashboard.run_history import Noted
from afs.dashboard.run_index import FollowedRun
from afs.dashboard.run_liveness import Liveness, judge_liveness
from afs.dashboard.time_left_forecast import forecast_seconds
from afs.types import Interval, Value, digest

_MOST_BYTES = 4 << 20


class RunFacts(Value, frozen=True, kw_only=True):
    """A run at one moment."""

    id: str
    verb: str
    name: str = ""
    """What it makes, from its config."""
    liveness: Liveness
    started: float = 0.0
    seconds: float = 0.0
    """From its start to its end, or until now."""
    quiet_s: float = 0.0
    step: int = 0
    total: int = 0
    what: str = "steps"
    eta_s: Interval = Interval(value=None)
    loss: float | None = None
    cost_usd: float | None = None
    projected_usd: float | None = None
    result: str = ""
    problem: str = ""
    is_sampled: bool = False
    """Whether the log is still being read, and the curves show samples of it."""


class StoredConfig(NamedTuple):
    """A run's own config, and whether it still is what the run began with."""

    table: dict[str, object]
    digest: str
    is_same: bool | None
    """None: a run of an earlier version, which recorded no digest of its config."""


def read_json(path: Path) -> dict[str, object]:
    """A small JSON file of a run; empty when it cannot be read."""
    return _decode_table(_read_small(path))


def _read_small(path: Path) -> bytes:
    try:
        with open(open_plain(path), "rb") as source:
            return source.read(_MOST_BYTES)
    except OSError:
        return b""


def _decode_table(content: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(content, type=dict[str, object])
    except msgspec.DecodeError:
        return {}


def read_config(run: FollowedRun) -> StoredConfig:
    """The config in the run's folder, with its digest, held against the one that the run recorded."""
    content = _read_small(run.folder / "config.json")
    table = _decode_table(content)
    recorded = run.state.config if run.state else ""
    is_same = hashlib.sha256(content).hexdigest() == recorded if recorded and table else None
    return StoredConfig(table, digest(table) if table else "", is_same)


def read_facts(run: FollowedRun, now: float | None = None) -> RunFacts:
    """A run as it is now."""
    moment = time.time() if now is None else now
    state, track = run.state, run.track
    if state is None:
        return RunFacts(id=run.id, verb="", liveness="broken", problem=run.problem)
    liveness = judge_liveness(run)
    step, total, what = _progress(run)
    end = state.finished or (track.last_time if liveness == "gone" and track.last_time else moment)
    cost, projected = _money(run, step, total)
    is_live = liveness in ("running", "quiet", "stalled")
    return RunFacts(
        id=run.id,
        verb=state.verb,
        name=name_of(run),
        liveness=liveness,
        started=state.started,
        seconds=max(0.0, end - state.started),
        quiet_s=run.quiet_s() if is_live else 0.0,
        step=step,
        total=total,
        what=what,
        eta_s=_time_left(run, total - step) if is_live else Interval(value=None),
        loss=_last_number(run, "loss"),
        cost_usd=cost,
        projected_usd=projected if is_live else cost,
        result=state.result,
        problem=run.problem or state.problem,
        is_sampled=run.is_sampled,
    )


def name_of(run: FollowedRun) -> str:
    """What a run makes or works on, from its config; kept with the run, for its config never changes."""
    known = _names.get((str(run.folder), run.state.digest if run.state else ""))
    if known is not None:
        return known
    table = read_json(run.folder / "config.json")
    for key in ("name", "suite", "source", "artifact", "ref", "report", "kind"):
        value = table.get(key)
        if isinstance(value, str) and value:
            break
    else:
        value = ""
    if len(_names) > 10_000:
        _names.clear()
    _names[(str(run.folder), run.state.digest if run.state else "")] = value
    return value


_names: dict[tuple[str, str], str] = {}


def _progress(run: FollowedRun) -> tuple[int, int, str]:
    track = run.track
    if track.steps:
        return track.step, max(track.total, track.step), "steps"
    if track.pulses:
        last = track.pulses[-1]
        return int(last.number("accepted") or 0), int(last.number("wanted") or 0), "accepted samples"
    last_progress = track.latest.get("progress")
    if last_progress is None:
        return 0, 0, ""
    done, total = last_progress.number("done"), last_progress.number("total")
    return int(done or 0), int(total or 0), last_progress.text("what")


def _time_left(run: FollowedRun, left: int) -> Interval:
    track = run.track
    if track.steps and not run.is_sampled:
        return forecast_seconds(track.times[-2_000:], left)
    ends = track.pulses[-1].fields.get("eta_s") if track.pulses else None
    if isinstance(ends, list) and len(ends) == 3:
        low, value, high = (float(end) if isinstance(end, int | float) else None for end in ends)
        is_known = low is not None and high is not None and high >= low
        return Interval(value=value, low=low if is_known else None, high=high if is_known else None)
    last = track.latest.get("progress")
    return Interval(value=last.number("eta_s") if last else None)


def _last_number(run: FollowedRun, name: str) -> float | None:
    values = run.track.values[name]
    return values[-1] if values and math.isfinite(values[-1]) else None


def _money(run: FollowedRun, step: int, total: int) -> tuple[float | None, float | None]:
    """Dollars so far and projected; None where no price is known."""
    track = run.track
    if track.pulses:
        spent = track.pulses[-1].number("spent_usd")
        projected = spent * total / step if spent is not None and step and total else None
        return spent, projected
    device = track.devices[-1] if track.devices else None
    cost = device.number("cost_usd") if device else None
    at = device.number("step") if device else None
    if cost is not None and at and total:
        return cost, cost * total / at
    speed = track.latest.get("train.speed")
    return cost, speed.number("usd") if speed else None


def last_reading(run: FollowedRun, name: str) -> tuple[float | None, Noted | None]:
    """The newest known reading of the device, with its event."""
    for noted in reversed(run.track.devices):
        value = noted.number(name)
        if value is not None:
            return value, noted
    return None, run.track.devices[-1] if run.track.devices else None

"""The runs of a workspace, followed: every look reads only what is new. A large log is first sampled, then read whole.

Nothing is written and nothing is locked. Folders that are links are left out: a run lies inside its workspace.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from afs.dashboard.event_lines import open_plain, read_block, sample_lines, split_lines
from afs.dashboard.run_history import RunTrack
from afs.runs import RunState
from afs.workspace import Workspace

SMALL = 1 << 18
"""Bytes of news that are read at once; more is read in the background."""
BLOCK = 1 << 20
_WINDOWS, _WIDTH = 192, 6 << 10
"""Windows of a sampled log and their width: 1.2 MB read, some 4,000 lines."""
_SLICE_S = 0.02
"""Work of the background reader between two rests, so that pages are answered meanwhile."""


class FollowedRun:
    """One run folder and what was read of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, folder.name
        self.state: RunState | None = None
        self.problem = ""
        self.track = RunTrack()
        self.is_sampled = False
        self.size = self.offset = 0
        self.grown = time.monotonic()
        """When this process last saw the log grow, by a clock that nobody sets."""
        self.age_at_first = 0.0
        """Seconds since the last write when the log was first seen."""
        self._identity: tuple[int, int] | None = None
        self._status_stamp: tuple[int, int] | None = None
        self._whole = RunTrack()
        self.version = 0
        """Counts every change."""

    @property
    def started(self) -> float:
        """For the order of runs; a broken run counts by its folder's name."""
        return self.state.started if self.state else 0.0

    @property
    def is_read(self) -> bool:
        """Whether everything that is there was read."""
        return self.offset >= self.size

    def quiet_s(self) -> float:
        """Seconds since the log last grew; a clock that jumps changes nothing after the first look."""
        waited = time.monotonic() - self.grown
        return waited + self.age_at_first

    def look(self) -> None:
        """Read the status and the news; a large piece of news is sampled, and left to `read_on`."""
        self._read_status()
        with suppress(OSError):
            self._look_at_log()

    def _read_status(self) -> None:
        path = self.folder / "status.json"
        try:
            facts = os.lstat(path)
            stamp = (facts.st_mtime_ns, facts.st_ino)
            if stamp == self._status_stamp:
                return
            handle = open_plain(path)
            try:
                content = os.read(handle, 1 << 20)
            finally:
                os.close(handle)
            self.state, self.problem = msgspec.json.decode(content, type=RunState), ""
            self._status_stamp = stamp
        except (OSError, msgspec.DecodeError) as error:
            self.state, self._status_stamp = None, None
            self.problem = f"status.json cannot be read: {getattr(error, 'strerror', None) or error}"
        self.version += 1

    def _look_at_log(self) -> None:
        handle = open_plain(self.folder / "events.jsonl")
        try:
            facts = os.fstat(handle)
            self._notice_growth(facts)
            if self.size - self.offset <= SMALL:
                self._advance(handle, self.size)
            elif not self.is_sampled and self.offset == 0:
                self._sample(handle)
        finally:
            os.close(handle)

    def _notice_growth(self, facts: os.stat_result) -> None:
        identity = (facts.st_dev, facts.st_ino)
        if self._identity != identity or facts.st_size < self.offset:
            self.offset, self._whole, self.is_sampled = 0, RunTrack(), False
            self.track = self._whole
            self.age_at_first = max(0.0, time.time() - facts.st_mtime) if self._identity is None else 0.0
            self._identity, self.size = identity, facts.st_size
            self.grown = time.monotonic()
            self.version += 1
        elif facts.st_size != self.size:
            self.size, self.grown, self.age_at_first = facts.st_size, time.monotonic(), 0.0

    def _sample(self, handle: int) -> None:
        sampled = RunTrack()
        for line in sample_lines(handle, self.size, _WINDOWS, _WIDTH):
            sampled.add(line)
        self.track, self.is_sampled = sampled, True
        self.version += 1

    def _advance(self, handle: int, until: int) -> None:
        while self.offset < until:
            block = read_block(handle, self.offset, BLOCK)
            if not block:
                break
            for line in split_lines(block, self.offset):
                self._whole.add(line)
            self.offset += len(block)
            self.version += 1
        if self.is_sampled and self.size - self.offset <= SMALL:
            self.track, self.is_sampled = self._whole, False

    def read_on(self, seconds: float) -> bool:
        """Read a piece of a large log; whether there is more."""
        end = time.perf_counter() + seconds
        try:
            handle = open_plain(self.folder / "events.jsonl")
        except OSError:
            return False
        try:
            while self.size - self.offset > SMALL and time.perf_counter() < end:
                before = self.offset
                self._advance(handle, min(self.size, before + 1))
                if self.offset == before:
                    return False
        finally:
            os.close(handle)
        return self.size - self.offset > SMALL


class RunIndex:
    """Every run of a workspace, newest first."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._runs: dict[str, FollowedRun] = {}
        self._lock = threading.RLock()
        self._looked = 0.0

    def refresh(self, min_age_s: float = 0.0) -> None:
        """Look at every run, unless that was done within `min_age_s`."""
        with self._lock:
            if min_age_s and time.monotonic() - self._looked < min_age_s:
                return
            names = set(self._list())
            for gone in self._runs.keys() - names:
                del self._runs[gone]
            for name in names:
                run = self._runs.get(name) or self._runs.setdefault(
                    name, FollowedRun(self.workspace.root / "runs" / name)
                )
                run.look()
            self._looked = time.monotonic()

    def _list(self) -> list[str]:
        folder = self.workspace.root / "runs"
        try:
            with os.scandir(folder) as found:
                return [e.name for e in found if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
        except OSError:
            return []

    @property
    def runs(self) -> list[FollowedRun]:
        """Newest first; broken ones by their names."""
        with self._lock:
            return sorted(self._runs.values(), key=lambda run: (run.id, run.started), reverse=True)

    def get(self, run_id: str) -> FollowedRun | None:
        """A run by its id."""
        with self._lock:
            return self._runs.get(run_id)

    def read_whole(self, should_stop: Callable[[], bool] = lambda: False, *, rest_s: float = 0.0) -> None:
        """Read what was only sampled, newest run first; `rest_s` between slices leaves time for pages."""
        for run in self.runs:
            while not should_stop():
                with self._lock:
                    has_more = run.read_on(_SLICE_S)
                if not has_more:
                    break
                if rest_s:
                    time.sleep(rest_s)

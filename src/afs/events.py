"""Events as lines of JSON: a name, fields, the time, and the context of the emitter.

Files rotate; phases are timed; long work reports its progress. The console view is a listener in `cli/output.py`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from afs.errors import PreemptedError, StoppedError

T = TypeVar("T")
Listener = Callable[[Mapping[str, object]], None]

_listeners: list[Listener] = []
_listening = threading.RLock()


def add_listener(listener: Listener) -> None:
    """Call `listener` with every event of this process (the console view uses it)."""
    _listeners.append(listener)


def remove_listener(listener: Listener) -> None:
    _listeners.remove(listener)


def relay(row: Mapping[str, object]) -> None:
    """Pass an event to the listeners, one at a time whichever thread it comes from."""
    with _listening:
        for listener in _listeners:
            listener(row)


class EventLog:
    """An append-only file of events with a fixed context, rotated at `limit` bytes when `keep` is above 0."""

    def __init__(
        self,
        path: Path | None,
        context: Mapping[str, object] = {},
        *,
        limit: int = 16 << 20,
        keep: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path, self.context, self.limit, self.keep, self.clock = path, dict(context), limit, keep, clock
        self._lock = threading.Lock()

    def event(self, name: str, /, **fields: object) -> None:
        """Write one event and pass it to the listeners."""
        stamp = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")
        row: dict[str, object] = {"time": stamp, "event": name, **self.context, **fields}
        if self.path is not None:
            line = msgspec.json.encode(row, enc_hook=str) + b"\n"
            with self._lock:
                self._write(self.path, line)
        relay(row)

    def _write(self, path: Path, line: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.keep and path.exists() and path.stat().st_size + len(line) > self.limit:
            for number in range(self.keep - 1, 0, -1):
                older = path.with_name(f"{path.name}.{number}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number + 1}"))
            path.replace(path.with_name(f"{path.name}.1"))
        _append_line(path, line)

    @contextmanager
    def phase(self, name: str, **fields: object) -> Iterator[None]:
        """Time a part of the work: emits `phase.start` and `phase.end` with the seconds taken."""
        started = time.monotonic()
        self.event("phase.start", phase=name, **fields)
        outcome = "failed"
        try:
            yield
            outcome = "done"
        except (StoppedError, PreemptedError):
            outcome = "stopped"
            raise
        finally:
            self.event("phase.end", phase=name, outcome=outcome, seconds=round(time.monotonic() - started, 3))

    def track(self, items: Iterable[T], what: str, total: int | None = None, every_s: float = 1.0) -> Iterator[T]:
        """Pass items through and report progress about once a second."""
        started = last = time.monotonic()
        count = 0
        for count, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            if now - last >= every_s:
                last = now
                self.progress(what, count, total, now - started)
        if count and time.monotonic() - started >= every_s:
            self.progress(what, count, count, time.monotonic() - started)

    def progress(self, what: str, done: int, total: int | None, seconds: float) -> None:
        """Report progress: count, rate and, when the total is known, the time left."""
        rate = done / seconds if seconds > 0 else 0.0
        left = (total - done) / rate if total is not None and rate else None
        self.event("progress", what=what, done=done, total=total, rate=round(rate, 2), eta_s=left and round(left, 1))


def _append_line(path: Path, line: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)

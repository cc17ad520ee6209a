"""Feeds a child program and reads what it writes, up to a number of bytes, with no unbounded wait; and ends its group.

Only the child's own end counts: a pipe may stay open after it, held by a process that left the group.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_TICK_S = 0.05
"""How often `watch` is asked."""
_KILLED_S = 2.0
"""How long a killed process is waited for, and its pipes are read."""
_PART = 1 << 16


class Capture:
    """Three pipes to one child: what it reads, and what it writes to standard output and error."""

    def __init__(self, data: bytes, most_bytes: int) -> None:
        self.out, self.err = bytearray(), bytearray()
        self._left, self._data = most_bytes, memoryview(data)
        (read_in, self._stdin), (stdout, write_out), (stderr, write_err) = os.pipe(), os.pipe(), os.pipe()
        self.child_ends = (read_in, write_out, write_err)
        self._selector = selectors.DefaultSelector()
        for pipe, sink in ((stdout, self.out), (stderr, self.err)):
            os.set_blocking(pipe, False)
            self._selector.register(pipe, selectors.EVENT_READ, sink)
        os.set_blocking(self._stdin, False)
        self._selector.register(self._stdin, selectors.EVENT_WRITE)

    def hand_over(self) -> None:
        """The child has its ends: close ours of them."""
        for pipe in self.child_ends:
            os.close(pipe)
        self.child_ends = (-1, -1, -1)

    def until(self, handle: int, timeout_s: float, watch: Callable[[], str] = lambda: "") -> str:
        """Until `handle` is readable ("" is returned); otherwise what stopped it: timeout, output, `watch`'s word."""
        deadline = time.monotonic() + timeout_s
        self._selector.register(handle, selectors.EVENT_READ)
        try:
            while (left := deadline - time.monotonic()) > 0:
                ready = {key.fd for key in self._move(min(left, _TICK_S))}
                if self._left < 0:
                    return "output"
                if word := watch():
                    return word
                if handle in ready:
                    return ""
            return "timeout"
        finally:
            self._selector.unregister(handle)

    def drain(self, timeout_s: float = _KILLED_S) -> bool:
        """What the pipes still hold, once all that wrote to them is dead; false when it is more than may be read."""
        self._close(self._stdin)
        deadline = time.monotonic() + timeout_s
        while self._selector.get_map() and self._left >= 0 and (left := deadline - time.monotonic()) > 0:
            self._move(left)
        return self._left >= 0

    def _move(self, wait_s: float) -> list[selectors.SelectorKey]:
        ready = [key for key, _ in self._selector.select(wait_s)]
        for key in ready:
            if key.fd == self._stdin:
                self._feed()
            elif isinstance(key.data, bytearray):
                self._read(key.fd, key.data)
        return ready

    def _feed(self) -> None:
        try:
            self._data = self._data[os.write(self._stdin, self._data[:_PART]) :] if self._data else self._data
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._data = self._data[:0]
        if not self._data:
            self._close(self._stdin)

    def _read(self, pipe: int, sink: bytearray) -> None:
        part = os.read(pipe, _PART)
        if not part:
            self._close(pipe)
        sink += part[: max(0, self._left)]
        self._left -= len(part)

    def _close(self, pipe: int) -> None:
        if pipe in self._selector.get_map():
            self._selector.unregister(pipe)
            os.close(pipe)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            self._close(key.fd)
        for pipe in self.child_ends:
            if pipe >= 0:
                os.close(pipe)
        self._selector.close()


@contextmanager
def end_handle(child: subprocess.Popen[bytes]) -> Iterator[int]:
    """A descriptor that is readable once the child has ended."""
    if hasattr(os, "pidfd_open"):
        handle = os.pidfd_open(child.pid)
    else:
        handle, end = os.pipe()
        threading.Thread(target=_close_after, args=(child, end), daemon=True).start()
    try:
        yield handle
    finally:
        os.close(handle)


def _close_after(child: subprocess.Popen[bytes], end: int) -> None:
    child.wait()
    os.close(end)


def end_group(child: subprocess.Popen[bytes]) -> int:
    """Kill all that is left in a child's process group, and the child; its exit code, negative for a signal.

    The group is killed before its leader is reaped: until then its number cannot belong to anybody else.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        return child.wait(timeout=_KILLED_S)
    except subprocess.TimeoutExpired:  # in a system call that cannot be broken off: it is left to the kernel
        return -signal.SIGKILL

"""Many small Python programs behind one set of walls: a fork server, and a fresh process for each program.

A program can start no process, write no file and open no socket; the next one finds nothing of it.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue

from afs.child_pipes import Capture, end_group
from afs.errors import ProcessError
from afs.sandbox import enclosure
from afs.sandbox.isolation_support import require
from afs.sandbox.policy import Rung, SandboxLimits, cpu_seconds
from afs.sandbox.sandboxed_command import ProgramResult, stopped_by

_PRELOAD = ("bisect", "collections", "functools", "heapq", "itertools", "json", "math", "operator", "re", "string")
_PRELOAD_MORE = ("copy", "dataclasses", "datetime", "typing")
"""Loaded once before any program; never a module that holds random state, which all programs would share."""
_BEGIN, _ENDED = struct.Struct("<II"), struct.Struct("<i")
_SEND_S = 10.0


class PythonPool:
    """Runs programs in `jobs` servers at a time; a server that was hurt by its program is replaced."""

    def __init__(self, *, limits: SandboxLimits | None = None, jobs: int = 1, rung: Rung | None = None) -> None:
        self.limits, self.rung = limits or SandboxLimits(), rung or require()
        self._idle: SimpleQueue[_ForkServer] = SimpleQueue()
        self._all = [_ForkServer(self.rung, self.limits) for _ in range(jobs)]
        for server in self._all:
            self._idle.put(server)

    def run(self, source: str, *, stdin: bytes = b"", timeout_s: float) -> ProgramResult:
        """One program, in a process of its own."""
        server = self._idle.get()
        try:
            return server.run(source.encode("utf-8", "surrogatepass"), stdin, timeout_s)
        finally:
            self._idle.put(server)

    def map(self, programs: Iterable[tuple[str, bytes]], *, timeout_s: float) -> Iterator[ProgramResult]:
        """Results of (source, standard input) in their order."""
        with ThreadPoolExecutor(len(self._all)) as threads:
            yield from threads.map(lambda pair: self.run(pair[0], stdin=pair[1], timeout_s=timeout_s), programs)

    def close(self) -> None:
        """End the servers."""
        for server in self._all:
            server.close()

    def __enter__(self) -> PythonPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _ForkServer:
    """One fork server; started when first needed."""

    def __init__(self, rung: Rung, limits: SandboxLimits) -> None:
        self._rung, self._limits = rung, limits
        self._child: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def run(self, source: bytes, stdin: bytes, timeout_s: float) -> ProgramResult:
        started, ended, word = time.monotonic(), b"", ""
        with Capture(stdin, self._limits.output_mb << 20) as capture:
            try:
                control = self._begin(source, capture, timeout_s)
                word = capture.until(control.fileno(), timeout_s)
                ended = b"" if word else control.recv(_ENDED.size, socket.MSG_WAITALL)
            finally:
                if len(ended) < _ENDED.size:  # stopped, hurt or interrupted: no later program may hear its answer
                    self.close()
            fits = capture.drain()
        code = _ENDED.unpack(ended)[0] if len(ended) == _ENDED.size else -signal.SIGKILL
        return ProgramResult(
            stdout=bytes(capture.out),
            stderr=bytes(capture.err),
            exit_code=code,
            stopped_by=stopped_by(word, fits, code),
            seconds=time.monotonic() - started,
        )

    def _begin(self, source: bytes, capture: Capture, timeout_s: float) -> socket.socket:
        """Hand a program to the server; one that died while it was idle is replaced, once."""
        for attempt in (1, 2):
            control = self._started()
            try:
                socket.send_fds(control, [_BEGIN.pack(len(source), cpu_seconds(timeout_s))], capture.child_ends)
                control.sendall(source)
            except OSError as error:
                self.close()
                if attempt == 2:
                    raise ProcessError(f"the sandbox's server of programs does not answer: {error}") from error
                continue
            break
        capture.hand_over()
        return control

    def _started(self) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair()
            ours.settimeout(_SEND_S)
            null = os.open(os.devnull, os.O_RDWR)
            try:
                order = enclosure.Order(self._limits, preload=_PRELOAD + _PRELOAD_MORE)
                self._child = enclosure.start(self._rung, order, (theirs.fileno(), null, null))
            finally:
                theirs.close()
                os.close(null)
            self._control = ours
        return self._control

    def close(self) -> None:
        """End the server and whatever runs in it."""
        if self._control is not None:
            with suppress(OSError):
                self._control.close()
        if self._child is not None:
            end_group(self._child)
        self._child = self._control = None

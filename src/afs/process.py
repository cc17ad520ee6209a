"""Child programs under time and memory limits, and worker processes that are replaced when they die or hang.

Not a sandbox against a determined attacker: limits, an empty folder and no inherited secrets. Packs that run foreign
code add their own walls.
"""

from __future__ import annotations

import importlib
import os
import resource
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, cast

from afs.child_pipes import Capture, end_group, end_handle
from afs.errors import ProcessError

SAFE_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
)
"""What a limited child inherits: no keys, no tokens."""
OUTPUT_MB = 256
"""Most that a program may write; the longest honest listing of a large repository has a tenth of it."""


class ProcessResult(NamedTuple):
    """Exit code, output and time of a finished child."""

    code: int
    out: bytes
    err: bytes
    seconds: float
    timed_out: bool


def safe_environment(extra: Mapping[str, str] = {}) -> dict[str, str]:
    """The environment without keys and tokens."""
    return {key: os.environ[key] for key in SAFE_ENVIRONMENT if key in os.environ} | dict(extra)


def _limiter(memory_mb: int, cpu_s: int) -> Callable[[], None]:
    def limit() -> None:
        os.setsid()
        if memory_mb:
            _lower(resource.RLIMIT_AS, memory_mb << 20, memory_mb << 20)
        if cpu_s:
            _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return limit


def _lower(kind: int, soft: int, hard: int) -> None:
    """Set a limit, unless the one that this process has already (`ulimit`) is lower."""
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


def run(
    argv: list[str],
    *,
    timeout_s: float,
    memory_mb: int = 0,
    stdin: bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> ProcessResult:
    """Run a program to its end or its limits, then end whatever it left running.

    Raises ProcessError when it cannot be started, or writes more than OUTPUT_MB.
    """
    started = time.monotonic()
    with Capture(stdin, OUTPUT_MB << 20) as capture:
        stdin_end, stdout_end, stderr_end = capture.child_ends
        try:
            child = subprocess.Popen(
                argv,
                stdin=stdin_end,
                stdout=stdout_end,
                stderr=stderr_end,
                cwd=folder,
                env=dict(environment) if environment is not None else safe_environment(),
                preexec_fn=_limiter(memory_mb, int(timeout_s) + 1),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ProcessError(f"{argv[0]} cannot be started: {getattr(error, 'strerror', '') or error}") from error
        capture.hand_over()
        try:
            with end_handle(child) as handle:
                stopped_by = capture.until(handle, timeout_s)
        finally:
            code = end_group(child)
        if not capture.drain() or stopped_by == "output":
            raise ProcessError(f"{argv[0]} wrote more than {OUTPUT_MB} MB and was ended")
    seconds = time.monotonic() - started
    return ProcessResult(code, bytes(capture.out), bytes(capture.err), seconds, stopped_by == "timeout")


class CallOutcome(NamedTuple):
    """What a call in a worker returned, or the problem that ended it."""

    value: bytes
    problem: str = ""


class Worker:
    """A child Python process that calls `module:function` (bytes -> bytes) for each payload."""

    def __init__(self, function: str, *, memory_mb: int = 0, python: str = "", inherit: Iterable[str] = ()) -> None:
        """`python` is another environment's interpreter; `inherit` names what else of the environment it is given."""
        self.function, self.memory_mb, self.python = function, memory_mb, python or sys.executable
        self.inherited = {name: os.environ[name] for name in inherit if name in os.environ}
        self._child: subprocess.Popen[bytes] | None = None

    def call(self, payload: bytes, timeout_s: float) -> CallOutcome:
        """One call; a worker that hangs, dies or passes its memory is replaced and the problem returned."""
        child = self._started()
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(struct.pack("<I", len(payload)) + payload)
            child.stdin.flush()
            answer = _read_frame(child.stdout.fileno(), time.monotonic() + timeout_s)
        except TimeoutError:
            self.close()
            return CallOutcome(b"", f"took longer than {timeout_s:g} s")
        except (BrokenPipeError, EOFError):
            code = child.wait()
            self.close()
            return CallOutcome(b"", f"worker died ({'signal ' + str(-code) if code < 0 else 'exit ' + str(code)})")
        if answer[:1] == b"!":
            return CallOutcome(b"", answer[1:].decode("utf-8", "replace"))
        return CallOutcome(answer[1:])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [self.python, "-c", "from afs.process import serve_calls; serve_calls()", self.function],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=safe_environment({"OMP_NUM_THREADS": "1", "PYTHONPATH": self._path(), **self.inherited}),
                preexec_fn=_limiter(self.memory_mb, 0),
            )
        return self._child

    def _path(self) -> str:
        """Where the child finds our code; libraries of this environment must not leak into another interpreter."""
        if self.python == sys.executable:
            return os.pathsep.join(p for p in sys.path if p)
        source = str(Path(__file__).parent.parent)
        return "" if source.endswith("site-packages") else source

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        end_group(child)
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _read_frame(handle: int, deadline: float) -> bytes:
    size = struct.unpack("<I", _read_exactly(handle, 4, deadline))[0]
    return _read_exactly(handle, size, deadline)


def _read_exactly(handle: int, count: int, deadline: float) -> bytes:
    parts: list[bytes] = []
    while count:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            raise TimeoutError
        part = os.read(handle, min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def serve_calls() -> None:
    """The worker's loop: frames in on standard input, frames out on what was standard output."""
    module, _, name = sys.argv[1].partition(":")
    function = cast(Callable[[bytes], bytes], getattr(importlib.import_module(module), name))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while head := sys.stdin.buffer.read(4):
        payload = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
        try:
            answer = b"=" + function(payload)
        except MemoryError:
            answer = b"!out of memory"
        except BaseException as error:  # noqa: BLE001  the parent decides what it means
            answer = b"!" + f"{type(error).__name__}: {error}".encode()
        try:
            answers.write(struct.pack("<I", len(answer)) + answer)
            answers.flush()
        except BrokenPipeError:  # the parent is gone: nobody reads the answer
            os._exit(0)


class Workers:
    """Several workers; `map` keeps the order of its payloads."""

    def __init__(self, function: str, *, jobs: int, timeout_s: float, memory_mb: int = 0) -> None:
        self.timeout_s, self.jobs = timeout_s, jobs
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._all = [Worker(function, memory_mb=memory_mb) for _ in range(jobs)]
        for worker in self._all:
            self._idle.put(worker)

    def call(self, payload: bytes, timeout_s: float = 0.0) -> CallOutcome:
        """Call the first idle worker; a time of 0 is the workers' own."""
        worker = self._idle.get()
        try:
            return worker.call(payload, timeout_s or self.timeout_s)
        finally:
            self._idle.put(worker)

    def map(self, payloads: Iterable[bytes]) -> Iterator[CallOutcome]:
        """Outcomes in the order of the payloads, with a bounded number in flight."""
        yield from self.map_timed((payload, self.timeout_s) for payload in payloads)

    def map_timed(self, calls: Iterable[tuple[bytes, float]]) -> Iterator[CallOutcome]:
        """The same for payloads that each have their own time."""
        gate = threading.Semaphore(self.jobs * 4)
        with ThreadPoolExecutor(self.jobs) as threads:
            waiting = []
            for payload, timeout_s in calls:
                gate.acquire()
                future = threads.submit(self.call, payload, timeout_s)
                future.add_done_callback(lambda _: gate.release())
                waiting.append(future)
                while waiting and waiting[0].done():
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()

    def close(self) -> None:
        for worker in self._all:
            worker.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

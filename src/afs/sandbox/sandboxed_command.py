"""One command behind walls, to its end or its limits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from afs.child_pipes import Capture, end_group, end_handle
from afs.errors import UsageError
from afs.sandbox import enclosure, usage
from afs.sandbox.isolation_support import require
from afs.sandbox.policy import NOBODY, SYSTEM, Rung, SandboxLimits
from afs.types import Value

StoppedBy = Literal["", "timeout", "memory", "output", "files", "killed"]

_SIGNALS: dict[int, StoppedBy] = {
    -signal.SIGXCPU: "timeout",
    -signal.SIGXFSZ: "files",
    -signal.SIGKILL: "killed",
}


class ProgramResult(Value, frozen=True, kw_only=True):
    """What a walled program left behind."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    """Negative for a signal."""
    stopped_by: StoppedBy
    """What ended it from outside; `killed`: neither it nor a limit of ours, so nothing is known about it."""
    seconds: float


@dataclass(frozen=True)
class Sandbox:
    """Runs commands that may read `readable`, write only below `writable` and their own /tmp, and reach nobody."""

    limits: SandboxLimits = field(default_factory=SandboxLimits)
    readable: Sequence[str] = SYSTEM
    writable: Path | None = None
    """A folder of `scratch()`."""
    rung: Rung | None = None
    """Default: the best that stands here."""

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float, environment: Mapping[str, str] | None = None
    ) -> ProgramResult:
        """Run a program; raises NoWallsError where it would be unprotected, ProcessError where it cannot start."""
        rung = self.rung or require()
        with ExitStack() as stack:
            tmp = str(stack.enter_context(enclosure.scratch())) if rung == "landlock" else ""
            writable = str(self._handed_over()) if self.writable else ""
            order = enclosure.Order(
                self.limits, timeout_s, tuple(argv), tuple(self.readable), writable, tmp, dict(environment or {})
            )
            capture = stack.enter_context(Capture(stdin, self.limits.output_mb << 20))
            return _finish(rung, order, capture, timeout_s)

    def _handed_over(self) -> Path:
        """The folder, with all in it belonging to whom the program runs as."""
        assert self.writable is not None
        folder = self.writable.resolve()
        if os.geteuid() == 0:
            if folder.stat().st_uid != NOBODY:
                raise UsageError(f"{folder}: a program in the sandbox writes only in folders made for it")
            for place, folders, files in os.walk(folder):
                for name in (*folders, *files):
                    os.chown(os.path.join(place, name), NOBODY, NOBODY, follow_symlinks=False)
        return folder


def _finish(rung: Rung, order: enclosure.Order, capture: Capture, timeout_s: float) -> ProgramResult:
    started = time.monotonic()
    child = enclosure.start(rung, order, capture.child_ends)
    capture.hand_over()
    with suppress(OSError):
        Path(f"/proc/{child.pid}/oom_score_adj").write_text("1000")
    meter = usage.Meter(child.pid, order.limits, [path for path in (order.writable, order.tmp) if path])
    try:
        with end_handle(child) as handle:
            word = capture.until(handle, timeout_s, meter.exceeded)
    finally:
        code = end_group(child)
    fits = capture.drain()
    if rung == "bubblewrap" and 128 < code < 128 + signal.NSIG:
        code = 128 - code
    return ProgramResult(
        stdout=bytes(capture.out),
        stderr=bytes(capture.err),
        exit_code=code,
        stopped_by=stopped_by(word, fits, code),
        seconds=time.monotonic() - started,
    )


def stopped_by(word: str, fits: bool, code: int) -> StoppedBy:
    """What ended a program from outside; nothing when it ended by itself, well or badly."""
    if word or not fits:
        return cast(StoppedBy, word or "output")
    return _SIGNALS.get(code, "")

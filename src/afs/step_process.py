"""A recipe's step in a process of its own, so that it runs beside another one.

The step comes as one line of JSON on standard input, which then stays open: when it closes, the recipe stops or is
gone, and the step stops as by SIGTERM, with what it has stored. Its events, and last its error, leave as lines on
standard output.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from afs import events, verbs
from afs.config import decode, to_table
from afs.errors import AfsError, PreemptedError, ProcessError, RefusedError, StoppedError, UsageError
from afs.recipe_file import RecipeStep
from afs.types import Value
from afs.workspace import Workspace

_KINDS: Mapping[int, type[AfsError]] = {
    kind.exit_code: kind for kind in (UsageError, RefusedError, PreemptedError, StoppedError)
}
_FAILED = "step.failed"


class StepOrder(Value, frozen=True, kw_only=True):
    """What the process is to do."""

    root: str
    step: str
    verb: str
    config: dict[str, Any]
    salt: dict[str, str]


@contextmanager
def run_beside(steps: Sequence[RecipeStep], workspace: Workspace, salt: Mapping[str, str], jobs: int) -> Iterator[None]:
    """Run the steps in processes, `jobs` at a time, while the block runs; when the block fails, they stop.

    A step that fails is raised after the block and the other steps have ended.
    """
    if not steps:
        yield
        return
    waiting = [StepProcess(step, workspace, salt) for step in steps]
    with ThreadPoolExecutor(jobs) as threads:
        ends = [threads.submit(process.run, workspace) for process in waiting]
        try:
            yield
            for end in ends:
                end.result()
        except BaseException:
            for process in waiting:
                process.stop()
            _wait_for_all(waiting, ends)
            raise


def _wait_for_all(waiting: Sequence[StepProcess], ends: Sequence[Future[None]]) -> None:
    """Until every process has stored what it has; a second Ctrl-C ends them at once."""
    try:
        wait(ends)
    except KeyboardInterrupt:
        for process in waiting:
            process.kill()
        raise


class StepProcess:
    """A step that runs in a process of its own."""

    def __init__(self, step: RecipeStep, workspace: Workspace, salt: Mapping[str, str]) -> None:
        self.name = step.name
        self._order = StepOrder(
            root=str(workspace.root), step=step.name, verb=step.verb, config=to_table(step.config), salt=dict(salt)
        )
        self._lock = threading.Lock()
        self._stopped = False
        self._child: subprocess.Popen[bytes] | None = None

    def run(self, workspace: Workspace) -> None:
        """Start the process and pass its events on until it ends; its error is raised."""
        with self._lock:
            if self._stopped:
                return
            self._child = child = subprocess.Popen(
                [sys.executable, "-c", "from afs.step_process import serve_step; serve_step()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,  # Ctrl-C reaches the recipe alone, which closes the pipe
            )
        assert child.stdin is not None and child.stdout is not None
        with suppress(OSError, ValueError):  # it died, or is stopped already: its end says so
            child.stdin.write(msgspec.json.encode(self._order) + b"\n")
            child.stdin.flush()
        with workspace.log.phase(self.name), child.stdout:
            problem = self._relay_events(child.stdout)
            code = child.wait()
            self.stop()
            if problem is not None:
                raise problem
            if code:
                raise ProcessError(f"{self.name}: its process ended with {_describe_code(code)}; rerun to resume")

    def _relay_events(self, lines: Iterable[bytes]) -> AfsError | None:
        problem = None
        for line in lines:
            row = msgspec.json.decode(line, type=dict[str, Any])
            if row["event"] == _FAILED:
                problem = _KINDS.get(row["code"], ProcessError)(f"{self.name}: {row['problem']}")
            else:
                named = {field: f"{self.name}: {row[field]}" for field in ("what", "phase") if field in row}
                events.relay(row | named)
        return problem

    def stop(self) -> None:
        """Ask it to stop with what it has stored; it is not waited for."""
        with self._lock:
            self._stopped = True
            if self._child is not None and self._child.stdin is not None:
                with suppress(OSError):
                    self._child.stdin.close()

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()


def _describe_code(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"


def serve_step() -> None:
    """The process: one step, from its order on standard input."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=StepOrder)
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no event

    def write(row: Mapping[str, object]) -> None:
        with suppress(BrokenPipeError):  # the recipe listens no more
            os.write(out, msgspec.json.encode(row, enc_hook=str) + b"\n")

    threading.Thread(target=_stop_with_the_recipe, daemon=True).start()
    events.add_listener(write)
    try:
        config = decode(verbs.config_class(verbs.VERBS[order.verb]), order.config, prefix=order.step)
        verbs.do(order.verb, config, Workspace.find(Path(order.root)), salt=order.salt)
    except AfsError as error:
        write({"event": _FAILED, "problem": str(error), "code": error.exit_code})


def _stop_with_the_recipe() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)

"""A run: one execution of a verb, with its whole config, events, markers and stop signal in one folder.

Running the same config again resumes an unfinished run and finds a finished one; `status.json` names its result.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from afs import jsonl
from afs.config import Config, config_digest, to_table
from afs.errors import DataError, PreemptedError, StoppedError, UsageError, WorkspaceError
from afs.events import EventLog
from afs.manifests import refuse_schema
from afs.types import Value, digest
from afs.workspace import Workspace

Status = Literal["running", "done", "failed", "stopped"]


class RunState(Value, frozen=True, kw_only=True):
    """The file `status.json`."""

    schema: int = 1
    id: str
    verb: str
    digest: str
    status: Status
    started: float
    finished: float = 0.0
    result: str = ""
    """Its result as `kind:name@version`; empty when it stores nothing."""
    problem: str = ""
    parents: tuple[str, ...] = ()
    config: str = ""
    """SHA-256 of `config.json`; empty in runs of earlier versions."""


class Mark(Value, frozen=True, kw_only=True):
    """The file of a finished piece of the work."""

    digest: str
    """Digest of the run's config."""
    facts: dict[str, Any] = {}
    seal: str = ""
    """Digest of the facts; empty in marks of earlier versions."""


class Run(EventLog):
    """A running or finished execution; the `config.json` in its folder can be run again."""

    def __init__(self, workspace: Workspace, folder: Path, state: RunState) -> None:
        super().__init__(folder / "events.jsonl", {"run": state.id, "verb": state.verb})
        self.workspace, self.folder, self.state = workspace, folder, state
        self._stop = threading.Event()
        self._preempted = False
        self._interruptible = 0

    @property
    def id(self) -> str:
        """The run's name."""
        return self.state.id

    @property
    def config(self) -> dict[str, Any]:
        """The config as stored."""
        path = self.folder / "config.json"
        content = path.read_bytes()
        if self.state.config and hashlib.sha256(content).hexdigest() != self.state.config:
            raise DataError(f"{path}: changed since the run was started; start a new run with the config you want")
        return cast(dict[str, Any], msgspec.json.decode(content))

    def done(self, marker: str) -> bool:
        """Whether a piece of the work was finished under this same config."""
        try:
            mark = self._read_mark(marker)
        except (OSError, DataError, msgspec.DecodeError, UnicodeDecodeError):
            return False
        return mark.digest == self.state.digest

    def facts(self, marker: str) -> dict[str, Any]:
        """The facts stored with a marker."""
        return self._read_mark(marker).facts

    def _read_mark(self, marker: str) -> Mark:
        path = self.folder / "marks" / marker
        mark = msgspec.json.decode(path.read_bytes(), type=Mark)
        if mark.seal and mark.seal != digest(mark.facts):
            raise DataError(f"{path}: changed since it was written")
        return mark

    def mark(self, marker: str, **facts: object) -> None:
        """Record a finished piece of the work, durably."""
        plain = msgspec.json.decode(msgspec.json.encode(facts, enc_hook=str), type=dict[str, Any])
        mark = Mark(digest=self.state.digest, facts=plain, seal=digest(plain))
        jsonl.replace(self.folder / "marks" / marker, msgspec.json.encode(mark))

    def stop(self, *, preempted: bool = False) -> None:
        """Ask the work to stop at the next safe point; `preempted` when the request did not come from the user."""
        self._preempted = preempted
        self._stop.set()

    @property
    def scratch(self) -> Path:
        """Folder for files that are not needed after the run."""
        return self.folder / "work"

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A part without safe points and without effects, such as drawing a suite: a signal ends it at once."""
        self.check_stop()
        self._interruptible += 1
        try:
            yield
        finally:
            self._interruptible -= 1

    def check_stop(self) -> None:
        """A safe point: raises StoppedError, or PreemptedError after a TERM, when the run was asked to end."""
        if self._stop.is_set():
            kind = PreemptedError if self._preempted else StoppedError
            raise kind(f"stopped; run the same command again to resume {self.id}")

    def finish(self, status: Status, *, result: str = "", problem: str = "") -> None:
        """Write the outcome of the run."""
        self.state = msgspec.structs.replace(
            self.state, status=status, finished=time.time(), result=result, problem=problem
        )
        jsonl.replace(self.folder / "status.json", msgspec.json.encode(self.state))
        self.event("run.end", status=status, result=result, problem=problem)

    def free_space(self, needed: int) -> None:
        """Refuse to start work that the disk cannot hold."""
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise DataError(f"{self.folder}: needs {needed >> 20} MiB of disk, {free >> 20} MiB are free")


def find(workspace: Workspace, verb: str, key: str) -> Run | None:
    """The newest run of this verb with this digest (`run_digest`)."""
    for run in reversed(list_runs(workspace)):
        if run.state.verb == verb and run.state.digest == key:
            return run
    return None


def list_runs(workspace: Workspace) -> list[Run]:
    """All runs of a workspace, oldest first; unreadable folders are skipped."""
    folder = workspace.root / "runs"
    found = []
    for path in sorted(folder.glob("[!.]*")):  # a staged folder is no run yet
        try:
            content = (path / "status.json").read_bytes()
            refuse_schema(content, str(path / "status.json"))
            state = msgspec.json.decode(content, type=RunState)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        found.append(Run(workspace, path, state))
    return sorted(found, key=lambda run: run.state.started)


def sweep(workspace: Workspace) -> None:
    """Remove the scratch files of killed runs; those of a live run are locked and stay."""
    for run in list_runs(workspace):
        if run.scratch.is_dir():
            with suppress(WorkspaceError), workspace.lock(_lock(run.state.verb, run.state.digest), verb=run.state.verb):
                shutil.rmtree(run.scratch, ignore_errors=True)


def _lock(verb: str, key: str) -> str:
    return f"run-{verb.replace(' ', '-')}-{key[:16]}"


def get(workspace: Workspace, run_id: str) -> Run:
    """A run by its id or an unambiguous beginning of it."""
    matches = [run for run in list_runs(workspace) if run.id.startswith(run_id)]
    if len(matches) != 1:
        raise UsageError(f"{'no run' if not matches else 'more than one run'} has an id that begins with {run_id!r}")
    return matches[0]


@contextmanager
def open_run(
    workspace: Workspace, verb: str, config: Config, *, parents: tuple[str, ...] = (), salt: Mapping[str, object] = {}
) -> Iterator[Run]:
    """Open or resume the run of this config under its lock, and write its outcome.

    `salt` joins the digest: what the work depends on beside its config (the digests of its inputs).
    """
    key = run_digest(config, salt)
    with workspace.lock(_lock(verb, key), verb=verb):
        earlier = find(workspace, verb, key)
        if earlier is not None and earlier.state.status != "done":
            run = _reopen(earlier)
        else:
            run = _create(workspace, verb, config, key, parents)
        with _signals(run):
            try:
                yield run
            except (StoppedError, PreemptedError) as error:
                run.finish("stopped", problem=str(error))
                raise
            except BaseException as error:
                with suppress(
                    OSError
                ):  # on a full disk the status cannot be written either; the error itself is reported
                    run.finish("failed", problem=str(error) or type(error).__name__)
                raise
            if run.state.status == "running":
                run.finish("done", result=run.state.result)


def run_digest(config: Config, salt: Mapping[str, object] = {}) -> str:
    """The digest by which a run is found."""
    return digest([config_digest(config), dict(salt)]) if salt else config_digest(config)


def _create(workspace: Workspace, verb: str, config: Config, key: str, parents: tuple[str, ...]) -> Run:
    started = time.time()
    stamp = datetime.fromtimestamp(started, UTC).strftime("%Y%m%d-%H%M%S")
    base = f"{stamp}-{verb.replace(' ', '-')}-{key[:6]}"
    parent = workspace.root / "runs"
    number, name = 1, base
    while (parent / name).exists():
        number += 1
        name = f"{base}-{number}"
    content = msgspec.json.format(msgspec.json.encode(to_table(config)), indent=2)
    state = RunState(
        id=name,
        verb=verb,
        digest=key,
        status="running",
        started=started,
        parents=parents,
        config=hashlib.sha256(content).hexdigest(),
    )
    staged = parent / f".staged-{_lock(verb, key)}"  # the run's lock is held: what lies there was left by a killed one
    shutil.rmtree(staged, ignore_errors=True)
    jsonl.replace(staged / "config.json", content)
    jsonl.replace(staged / "status.json", msgspec.json.encode(state))
    jsonl.rename_folder(staged, parent / name)
    run = Run(workspace, parent / name, state)
    run.event("run.start", pid=os.getpid())
    return run


def _reopen(run: Run) -> Run:
    run.state = msgspec.structs.replace(run.state, status="running", finished=0.0, problem="")
    jsonl.replace(run.folder / "status.json", msgspec.json.encode(run.state))
    run.event("run.resume", pid=os.getpid())
    return run


@contextmanager
def _signals(run: Run) -> Iterator[None]:
    """The first Ctrl-C or TERM asks the run to stop; the second ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _frame: object) -> None:
        if run._stop.is_set():
            raise KeyboardInterrupt
        run.event("run.stopping", signal=signal.Signals(number).name)
        run.stop(preempted=number == signal.SIGTERM)
        if run._interruptible:
            run.check_stop()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

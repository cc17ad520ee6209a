"""Checkpoints: written to a temporary folder and renamed, hashed file by file, and verified before use.

The newest one that verifies is used; a damaged one is set aside. What must not change between the two halves of
a run (data, rates, batch, base, template) is part of the manifest.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from afs import jsonl, manifests
from afs.errors import DataError, RefusedError, boundary
from afs.events import EventLog
from afs.train.guard import GuardState
from afs.train.learner import Learner
from afs.types import FileEntry, Value
from afs.workspace import MANIFEST

_PREFIX, _TORN = "batch-", "torn-"


class Best(Value, frozen=True, kw_only=True):
    """The best evaluation so far."""

    batch: int
    value: float


class State(Value, frozen=True, kw_only=True):
    """Where a run stands; with the learner's files it is all the next step depends on."""

    batch: int = 0
    """Batches consumed: the place in the data."""
    steps: int = 0
    """Optimizer steps behind the present weights."""
    rate_scale: float = 1.0
    tokens: int = 0
    """Tokens trained on."""
    samples: int = 0
    """Samples seen."""
    seconds: float = 0.0
    """Seconds in steps."""
    elapsed: float = 0.0
    """Seconds by the clock since the first step: evaluations and checkpoints are in it, and so in the cost."""
    loss: float | None = None
    best: Best | None = None
    evaluations: int = 0
    since_best: int = 0
    micro: int = 0
    guard: GuardState = GuardState()


class Manifest(Value, frozen=True, kw_only=True):
    """The file that makes a checkpoint complete."""

    schema: int = 1
    state: State
    identity: dict[str, str]
    """What a resumed run must share with this one: name -> digest or value."""
    versions: dict[str, str]
    config: str = ""
    """Digest of the whole config, for the record: not all of it must stay as it was."""
    files: tuple[FileEntry, ...]


class Checkpoint(NamedTuple):
    """A checkpoint that verified."""

    folder: Path
    manifest: Manifest


class Store:
    """The checkpoints of one run."""

    def __init__(self, folder: Path, log: EventLog, *, keep: int, config: str = "") -> None:
        self.folder, self.log, self.keep, self.config = folder, log, keep, config
        self._beside: threading.Thread | None = None
        self._stands = True
        folder.mkdir(exist_ok=True)
        for stale in folder.glob(".writing-*"):
            shutil.rmtree(stale)

    def write(self, learner: Learner, state: State, identity: dict[str, str], versions: dict[str, str]) -> bool:
        """Save the state; a full disk is cleaned up once, and a failure is reported but not fatal.

        Training waits only for the learner to write: syncing, hashing and verifying run in a thread, which the next
        write or read joins.
        """
        self.settle()
        for attempt in (1, 2):
            try:
                with boundary(DataError, "checkpoint"):
                    staged = self._staged(learner, state)
            except DataError as error:
                self._failed(state, attempt, str(error))
                continue
            manifest = Manifest(state=state, identity=identity, versions=versions, config=self.config, files=())
            self._beside = threading.Thread(target=self._finish, args=(staged, manifest))
            self._beside.start()
            return True
        return False

    def settle(self) -> bool:
        """Wait for the checkpoint in progress; whether it was written."""
        if self._beside is not None:
            self._beside.join()
            self._beside = None
        return self._stands

    def _staged(self, learner: Learner, state: State) -> Path:
        staged = self.folder / f".writing-{state.batch}-{os.getpid()}"
        staged.mkdir()
        try:
            learner.save(staged)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        return staged

    def _finish(self, staged: Path, manifest: Manifest) -> None:
        """In a thread: make a written checkpoint durable and complete, or say why it is not."""
        state = manifest.state
        try:
            with boundary(DataError, "checkpoint"):
                self._complete(staged, manifest)
            self._stands = True
            self.rotate(state, self.keep)
        except DataError as error:
            self._stands = False
            self._failed(state, 1, str(error))

    def _complete(self, staged: Path, manifest: Manifest) -> None:
        final = self.place(manifest.state.batch)
        try:
            paths = sorted(p for p in staged.rglob("*") if p.is_file())
            for path in paths:
                sync_file(path)
            files = tuple(manifests.file_entry(staged, path) for path in paths)
            whole = msgspec.structs.replace(manifest, files=files)
            jsonl.replace(staged / MANIFEST, msgspec.json.encode(whole))
            if final.exists():
                shutil.rmtree(final)
            jsonl.rename_folder(staged, final)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        problem = self.problem(final)
        if problem:
            self.set_aside(final, problem)
            raise DataError(f"read back wrong: {problem}")
        state = manifest.state
        self.log.event("train.checkpoint", batch=state.batch, steps=state.steps, bytes=sum(f.size for f in files))

    def _failed(self, state: State, attempt: int, reason: str) -> None:
        self.log.event("train.checkpoint.failed", batch=state.batch, attempt=attempt, reason=reason)
        self.rotate(state, 1)

    def place(self, batch: int) -> Path:
        """The folder of a batch's checkpoint."""
        return self.folder / f"{_PREFIX}{batch:08d}"

    def all(self) -> list[Path]:
        """Every checkpoint, oldest first."""
        return sorted(p for p in self.folder.iterdir() if p.name.startswith(_PREFIX))

    def problem(self, folder: Path) -> str:
        """What is wrong with a checkpoint; empty when nothing is."""
        try:
            manifest = read(folder)
        except DataError as error:
            return str(error)
        return next(iter(manifests.verify_files(folder, manifest.files)), "")

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies; damaged ones are set aside and reported."""
        self.settle()
        return next(self._sound(reversed(self.all())), None)

    def good_before(self, batch: int) -> Checkpoint | None:
        """The newest sound checkpoint that is older than a batch, else the oldest there is."""
        self.settle()
        older = [p for p in self.all() if int(p.name[len(_PREFIX) :]) <= batch]
        return next(self._sound(reversed(older or self.all()[:1])), None)

    def _sound(self, folders: Iterator[Path]) -> Iterator[Checkpoint]:
        for folder in folders:
            problem = self.problem(folder)
            if problem:
                self.set_aside(folder, problem)
            else:
                yield Checkpoint(folder, read(folder))

    def set_aside(self, folder: Path, problem: str) -> None:
        """Quarantine a torn checkpoint."""
        target = folder.with_name(_TORN + folder.name)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
        self.log.event("train.checkpoint.torn", folder=target.name, reason=problem)

    def rotate(self, state: State, keep: int) -> None:
        """Remove what is older than the newest ones; the best one stays."""
        best = self.place(state.best.batch) if state.best else None
        for folder in self.all()[:-keep]:
            if folder != best:
                shutil.rmtree(folder, ignore_errors=True)


def read(folder: Path) -> Manifest:
    """The manifest of a checkpoint."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{folder.name}/{MANIFEST}: {error}") from error


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between the run that wrote a checkpoint and this one."""
    names = sorted(then.keys() | now.keys())
    return [
        f"{name}: {then.get(name, 'nothing')[:24]} then, {now.get(name, 'nothing')[:24]} now"
        for name in names
        if then.get(name) != now.get(name)
    ]


def refuse_drift(then: Mapping[str, str], now: Mapping[str, str], *, allowed: bool, log: EventLog) -> None:
    """Refuse to resume with changed settings unless the user allows it."""
    found = differences(then, now)
    if not found:
        return
    if not allowed:
        raise RefusedError(
            f"the checkpoint belongs to another run: {'; '.join(found)}. "
            "To resume anyway: `afs train resume RUN --allow-drift`"
        )
    log.event("train.drift", differs=found)


def sync_file(path: Path) -> None:
    with path.open("rb") as source:
        os.fsync(source.fileno())

"""The registry's source of truth: an append-only file of events, each with the hash of the one before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from afs import jsonl
from afs.errors import DataError, WorkspaceError
from afs.manifests import refuse_schema
from afs.types import Json, Value, digest
from afs.workspace import Workspace

Action = Literal[
    "register", "alias", "promote", "rollback", "deprecate", "deploy", "evaluate", "delete", "describe", "gate"
]
START = "0" * 64
"""The predecessor hash of the first event."""
_WAIT_S = 10.0
"""Longest wait for another writer; a registration takes well under a second."""


class Event(Value, frozen=True, kw_only=True):
    """One change to a name; `hash` covers all other fields, and through `previous` all earlier events."""

    schema: int = 1
    number: int
    time: float
    action: Action
    name: str
    ref: str = ""
    fields: Json = {}
    previous: str
    hash: str = ""

    def sealed(self) -> Event:
        """The event with its hash."""
        return msgspec.structs.replace(self, hash=digest(msgspec.structs.replace(self, hash="")))


_decode = msgspec.json.Decoder(Event)


class RegistryLog:
    """The file `events/registry.jsonl` of a workspace."""

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.time) -> None:
        self.workspace, self.clock = workspace, clock
        self.path = workspace.root / "events" / "registry.jsonl"

    def read(self) -> list[Event]:
        """Every event, oldest first; a last line torn by a crash is ignored."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as source:
            content = source.read()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            events = _decode.decode_lines(whole)
            if all(event.schema == 1 for event in events):
                return events
            raise msgspec.ValidationError("schema")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return [self._decoded(number, line) for number, line in enumerate(whole.splitlines(), 1)]

    def _decoded(self, number: int, line: bytes) -> Event:
        try:
            refuse_schema(line, f"{self.path}:{number}")
            return _decode.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}:{number}: {error}; restore it with `afs models restore`") from error

    def append(self, action: Action, name: str, ref: str = "", **fields: object) -> Event:
        """Write one event; call it inside `change_registry()`."""
        past = self.read()
        event = Event(
            number=len(past) + 1,
            time=round(self.clock(), 3),
            action=action,
            name=name,
            ref=ref,
            fields=fields,
            previous=past[-1].hash if past else START,
        ).sealed()
        self.path.parent.mkdir(exist_ok=True)
        jsonl.append(self.path, [event])
        return event

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the registry's lock, waiting a while for another writer; `change_registry` also checks the log."""
        until = time.monotonic() + _WAIT_S
        while True:
            lock = self.workspace.lock("registry", verb="models")
            try:
                lock.__enter__()
                break
            except WorkspaceError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        try:
            yield
        finally:
            lock.__exit__(None, None, None)


def chain_problems(events: list[Event]) -> list[str]:
    """Where the chain is broken: a changed, removed or inserted event."""
    found = []
    previous = START
    for place, event in enumerate(events, 1):
        if event.number != place:
            found.append(f"event {place} has number {event.number}: an event was removed or inserted")
        if event.previous != previous:
            found.append(f"event {event.number} does not follow the one before it")
        if event.sealed().hash != event.hash:
            found.append(f"event {event.number} ({event.action} {event.name}) was changed after it was written")
        previous = event.hash
    return found

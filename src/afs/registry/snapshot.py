"""The folded registry, kept beside so that a long history is quick to list. It can be deleted at any time."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

from afs import jsonl
from afs.registry.event_log import RegistryLog
from afs.registry.registry_state import Entry, fold_events
from afs.types import Value

_WORTH_IT = 256 << 10
"""Bytes of history from which a snapshot is kept."""
_END = 4096


class Snapshot(Value, frozen=True, kw_only=True):
    """The file `cache/registry.msgpack`."""

    schema: int = 1
    key: str
    """What the log looked like: its size and its last bytes."""
    entries: dict[str, Entry]


def load_entries(log: RegistryLog) -> dict[str, Entry]:
    """Every name, from the snapshot when the log is still the one it was made from."""
    key = _key(log.path)
    if not key:
        return fold_events(log.read())
    place = _place(log)
    with suppress(OSError, msgspec.DecodeError):
        kept = msgspec.msgpack.decode(place.read_bytes(), type=Snapshot)
        if kept.key == key:
            return kept.entries
    found = fold_events(log.read())
    with suppress(OSError):
        jsonl.replace(place, msgspec.msgpack.encode(Snapshot(key=key, entries=found)))
    return found


def find_problem(log: RegistryLog) -> str:
    """What is wrong with the snapshot that would be used now; empty: nothing."""
    place, key = _place(log), _key(log.path)
    try:
        kept = msgspec.msgpack.decode(place.read_bytes(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return ""
    if kept.key != key or kept.entries == fold_events(log.read()):
        return ""
    return f"{place} says something else than the log; remove it, it is made anew"


def _place(log: RegistryLog) -> Path:
    return log.workspace.root / "cache" / "registry.msgpack"


def _key(path: Path) -> str:
    """Empty for a log that is not there or quick to read anyway."""
    try:
        size = path.stat().st_size
        if size < _WORTH_IT:
            return ""
        with path.open("rb") as source:
            source.seek(size - _END)
            return f"{size}-{hashlib.sha256(source.read()).hexdigest()}"
    except OSError:
        return ""

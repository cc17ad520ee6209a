"""A cache of the folded registry, so that a long history is quick to list. It can be deleted at any time."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import msgspec

from afs import sealed_files
from afs.errors import DataError
from afs.registry.event_log import RegistryLog
from afs.registry.log_check import read_trusted
from afs.registry.registry_state import Entry, fold_events
from afs.types import Value

_MIN_BYTES = 256 << 10
"""Size of the log from which a snapshot is stored; a shorter log is folded in milliseconds."""
_END = 4096
"""Bytes at the end of the log that identify it: more than one event, which holds the hash of all before it."""


class Snapshot(Value, frozen=True, kw_only=True):
    """The file `cache/registry.msgpack`."""

    schema: int = 1
    key: str
    """Identifies the log: its size and the hash of its last bytes."""
    entries: dict[str, Entry]


def load_entries(log: RegistryLog) -> dict[str, Entry]:
    """Every name, from the snapshot when the log has not changed since."""
    key = _key(log.path)
    if not key:
        return fold_events(read_trusted(log))
    place = _place(log)
    with suppress(DataError, msgspec.DecodeError, UnicodeDecodeError):
        kept = msgspec.msgpack.decode(sealed_files.read_sealed(place), type=Snapshot)
        if kept.key == key:
            return kept.entries
    found = fold_events(read_trusted(log))
    with suppress(OSError):
        sealed_files.replace_sealed(place, msgspec.msgpack.encode(Snapshot(key=key, entries=found)))
    return found


def _place(log: RegistryLog) -> Path:
    return log.workspace.root / "cache" / "registry.msgpack"


def _key(path: Path) -> str:
    """Empty for a log that is missing, or short enough to read without a snapshot."""
    try:
        size = path.stat().st_size
        if size < _MIN_BYTES:
            return ""
        with path.open("rb") as source:
            source.seek(size - _END)
            return f"{size}-{hashlib.sha256(source.read()).hexdigest()}"
    except OSError:
        return ""

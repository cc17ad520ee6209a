"""Replacement of a file or folder in one step: a crash leaves the old or the new content, never a mix."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def replace(path: Path, content: bytes) -> None:
    """Replace a file's content atomically: a crash leaves the old or the new content, never a mix."""
    with open_replacement(path) as target:
        target.write(content)


@contextmanager
def open_replacement(path: Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path` that is renamed over it when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside, target = _open_beside(path)
    try:
        with target:
            yield target
            target.flush()
            os.fsync(target.fileno())
            beside.replace(path)  # while the file is locked, so that no other writer takes it for a leftover
        sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _open_beside(path: Path) -> tuple[Path, BinaryIO]:
    """A locked, empty temporary file. What a killed process left under this name is reused; a live one's is not."""
    beside = path.with_name(f".{path.name}.tmp")
    handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.fstat(handle).st_ino == beside.stat().st_ino
    except OSError:  # another process is writing it, or has just renamed it
        is_ours = False
    if not is_ours:
        os.close(handle)
        beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.ftruncate(handle, 0)
    return beside, os.fdopen(handle, "wb")


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rename_folder(staged: Path, final: Path) -> None:
    """Rename a finished folder to its final name, durably."""
    staged.rename(final)
    sync_folder(final.parent)

"""A folder for the time of a task: what a killed process leaves is deleted by the next one with the same prefix."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from afs.errors import ProcessError

_TRIES = 20


@contextmanager
def open_scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder that is deleted when the block ends; those of killed processes are deleted first.

    Those that still run hold a lock on their folder. Without a parent it lies where the system keeps temporary files.
    """
    parent = parent or Path(tempfile.gettempdir())
    for left in parent.glob(f"{prefix}*"):
        if (found := _lock_own_folder(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(found)
    for _ in range(_TRIES):  # another process may take it for a leftover before it is locked
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        if (held := _lock_own_folder(folder)) is not None:
            break
        shutil.rmtree(folder, ignore_errors=True)
    else:
        raise ProcessError(f"{parent}: folders cannot be locked here; set TMPDIR to a local disk")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _lock_own_folder(folder: Path) -> int | None:
    """A handle that locks a folder of this user; none where another process has it, or had it and deleted it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_uid == os.getuid() and os.fstat(handle).st_ino == folder.stat().st_ino:
            return handle
    os.close(handle)
    return None

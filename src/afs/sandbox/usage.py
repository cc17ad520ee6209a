"""What a running tree of processes uses: limits of the kernel count one process or one file, these count all."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence

from afs.sandbox.policy import SandboxLimits

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_FILES = 10_000
_FOLDERS_EVERY_S = 0.2
_SHARE = re.compile(rb"^Pss:\s+(\d+) kB", re.M)


class Meter:
    """Asked again and again whether a tree has passed what it may use."""

    def __init__(self, root: int, limits: SandboxLimits, folders: Sequence[str]) -> None:
        self._root, self._limits, self._folders = root, limits, folders
        self._next_look = 0.0

    def exceeded(self) -> str:
        """`memory`, `files` or nothing."""
        if self._limits.processes > 1 and self._memory() > self._limits.memory_mb << 20:
            return "memory"
        now = time.monotonic()
        if self._folders and now >= self._next_look:
            self._next_look = now + _FOLDERS_EVERY_S
            sizes = [size for folder in self._folders for size in _sizes(folder)]
            if sum(sizes) > self._limits.files_mb << 20 or len(sizes) > _MOST_FILES:
                return "files"
        return ""

    def _memory(self) -> int:
        """Resident bytes; shared pages are counted out only when the plain sum is too much, for that costs more."""
        tree = list(_tree(self._root))
        resident = sum(map(_resident, tree))
        return sum(map(_share, tree)) if resident > self._limits.memory_mb << 20 else resident


def _tree(root: int) -> Iterator[int]:
    """The processes of a group and all below its members, whatever group they made for themselves."""
    below: dict[int, list[int]] = {}
    members = {root}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (fields := _stat(entry.name)):
            below.setdefault(int(fields[1]), []).append(int(entry.name))
            if int(fields[2]) == root:
                members.add(int(entry.name))
    seen: set[int] = set()
    while members:
        process = members.pop()
        if process not in seen:
            seen.add(process)
            members.update(below.get(process, ()))
    yield from seen


def _stat(process: str) -> list[bytes]:
    """State, parent and group: what follows the name, which may hold anything."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _resident(process: int) -> int:
    try:
        with open(f"/proc/{process}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _share(process: int) -> int:
    try:
        with open(f"/proc/{process}/smaps_rollup", "rb") as file:
            found = _SHARE.search(file.read())
    except OSError:
        return _resident(process)
    return int(found[1]) << 10 if found else 0


def _sizes(folder: str) -> Iterator[int]:
    """Bytes on disk of everything in a folder, links not followed."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            yield entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(entry.path)

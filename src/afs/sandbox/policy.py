"""What a walled program may do: its limits, the paths it may read and write, its groups of system calls."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from afs.types import Value

Rung = Literal["bubblewrap", "landlock"]
NOBODY = 65534
"""User and group of a walled program when afs runs as root: the limit on processes does not bind root."""
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/nix/store")
"""What ordinary commands need: programs and libraries."""
_THREADS = 32
"""Threads a program may have in any case: the kernel counts them as processes."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class SandboxLimits(Value, frozen=True, kw_only=True):
    """What one program may use; MB are 2^20 bytes."""

    memory_mb: int = 512
    """Of all its processes together."""
    processes: int = 1
    """Processes and threads; with 1 it can start no other process, and some threads."""
    file_mb: int = 16
    """The largest file."""
    files_mb: int = 64
    """All files it writes."""
    open_files: int = 64
    output_mb: int = 4
    """Standard output and error."""


class Policy(NamedTuple):
    """One start behind walls, as the script inside reads it."""

    status: int
    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    abi: int
    listable: Sequence[str]
    readable: Sequence[str]
    writable: Sequence[str]
    devices: Sequence[str]
    limits: Mapping[str, int]
    filter: str
    die_with_parent: bool
    serves: bool
    preload: Sequence[str] = ()
    program_filter: str = ""


def groups(rung: Rung, limits: SandboxLimits, abi: int) -> frozenset[str]:
    """The system calls of a command.

    Without a namespace of its own a program stays in its process group, which is how all of it is ended; it sends
    signals only where Landlock keeps them inside, and changes no modes and times, which Landlock does not look at.
    """
    found = {"exec", "files"}
    if limits.processes > 1:
        found.add("processes")
    if rung == "bubblewrap":
        return frozenset(found | {"sessions", "signals", "times"})
    return frozenset(found | ({"signals"} if abi >= 6 else set()))


def cpu_seconds(timeout_s: float) -> int:
    """A backstop for programs that outlive afs: the clock comes first, on however many cores."""
    return int(timeout_s + 1) * (os.cpu_count() or 1)


def resource_limits(limits: SandboxLimits, timeout_s: float, others: int) -> dict[str, int]:
    """Names and values for setrlimit; `others` are the user's other processes where they are counted too."""
    return {
        "AS": limits.memory_mb << 20,
        "CPU": cpu_seconds(timeout_s),
        "NPROC": others + max(limits.processes, _THREADS),
        "FSIZE": limits.file_mb << 20,
        "NOFILE": limits.open_files,
        "CORE": 0,
    }


def tasks_of(user: int) -> int:
    """How many threads a user runs on this machine: without a user namespace the limit counts all of them."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                count += entry.stat().st_uid == user and len(os.listdir(f"/proc/{entry.name}/task"))
            except OSError:
                continue
    return count


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """The real places of those paths that exist, without what lies inside another."""
    real = sorted({os.path.realpath(path) for path in paths if os.path.exists(path)})
    kept: list[str] = []
    for path in real:
        if not any(path == k or path.startswith(k.rstrip("/") + "/") for k in kept):
            kept.append(path)
    return tuple(kept)


def carve(roots: Sequence[str], hidden: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The roots without what is hidden in them: folders that may only be listed, and paths that may be read."""
    listable: list[str] = []
    readable: list[str] = []
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path in hidden:
            continue
        if any(secret.startswith(path.rstrip("/") + "/") for secret in hidden):
            listable.append(path)
            waiting += [str(entry) for entry in Path(path).iterdir() if not entry.is_symlink()]
        else:
            readable.append(path)
    return tuple(sorted(listable)), tuple(sorted(readable))

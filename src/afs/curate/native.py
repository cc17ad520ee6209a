"""Finds the C kernel: the built extension, else compiled once for this user, else none (numpy does the same)."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

VERSION = 1
_SOURCE = Path(str(files("afs.curate") / "minhash.c"))


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """The loaded kernel; `AFS_NO_KERNEL=1` leaves it out."""
    if os.environ.get("AFS_NO_KERNEL") == "1":
        return None
    for path in (_built(), _compiled()):
        if path is not None and (library := _load(path)) is not None:
            return library
    return None


def _load(path: Path) -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(path))
        version: int = library.afs_minhash_version()
    except (OSError, AttributeError):
        return None
    library.afs_probe.restype = ctypes.c_int64
    return library if version == VERSION else None


def _built() -> Path | None:
    found = importlib.util.find_spec("afs.curate._minhash")
    return Path(found.origin) if found is not None and found.origin else None


def _compiled() -> Path | None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "afs"
    mark = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    target = cache / f"minhash-{mark}.so"
    if target.exists() or compiler is None:
        return target if target.exists() else None
    beside = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        command = [compiler, "-O3", "-march=native", "-std=c99", "-shared", "-fPIC", "-o", str(beside), str(_SOURCE)]
        if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode:
            return None
        beside.replace(target)
    except (OSError, subprocess.SubprocessError):
        return None
    return target

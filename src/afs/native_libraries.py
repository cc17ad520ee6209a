"""C parts of the program as shared libraries: the built extension, else compiled on first use into the user's cache.

The caller loads the library with ctypes and decides what to do without it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from afs import process
from afs.errors import ProcessError

FLAGS: Final = ("-O2", "-std=c99", "-shared", "-fPIC", "-w")
_COMPILERS: Final = ("cc", "gcc", "clang")
_TIMEOUT_S: Final = 600.0


class Library(NamedTuple):
    """Path of a library; None when there is none, and `how` says why."""

    path: Path | None
    how: str


def find_library(module: str, sources: Sequence[Path]) -> Library:
    """The extension `module` if it was built, else `sources[0]` compiled (the other sources are its includes)."""
    spec = importlib.util.find_spec(module)
    newest = max(path.stat().st_mtime for path in sources)
    if spec and spec.origin and Path(spec.origin).stat().st_mtime >= newest:
        return Library(Path(spec.origin), "built extension")
    return compile_library(sources)


def compile_library(sources: Sequence[Path]) -> Library:
    """`sources[0]` compiled into the user's cache."""
    try:
        return _compiled(sources)
    except (OSError, ProcessError) as error:
        return Library(None, f"{sources[0].name} cannot be compiled: {error}")


def _compiled(sources: Sequence[Path]) -> Library:
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    command = [compiler] if compiler else _zig()
    if not command:
        return Library(None, f"no C compiler ({', '.join(_COMPILERS)}) and no built extension")
    content = b"\0".join(path.read_bytes() for path in sources)
    name = hashlib.sha256(content + " ".join([*command, *FLAGS, sys.platform]).encode()).hexdigest()[:16]
    folder = cache_folder()
    target = folder / f"{sources[0].stem}-{name}.so"
    if target.is_file():
        return Library(target, "compiled before")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Library(target, "compiled before") if target.is_file() else _compile(command, sources[0], target)


def _compile(command: list[str], source: Path, target: Path) -> Library:
    part = target.with_suffix(f".{os.getpid()}")
    try:
        ran = process.run([*command, *FLAGS, "-o", str(part), str(source)], timeout_s=_TIMEOUT_S)
        if ran.code or ran.timed_out:
            lines = ran.err.decode("utf-8", "replace").strip().splitlines()
            return Library(None, f"{command[0]} failed on {source.name}: {lines[0] if lines else f'exit {ran.code}'}")
        part.replace(target)
        return Library(target, f"compiled in {ran.seconds:.1f} s")
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _zig() -> list[str]:
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else []


def cache_folder() -> Path:
    """Where compiled libraries are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "afs" / "compiled"

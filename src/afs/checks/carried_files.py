"""Files that a check brings along: their text stands in the check, so that a task means the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from afs.errors import ConfigError, DataError, boundary

_MOST_BYTES = 256 << 10
"""Every task carries them: beyond that they belong into a program that the command calls."""


def read_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> text of files, and of all files in named folders."""
    found: dict[str, str] = {}
    for name in names:
        for path in _walk(folder, name):
            with boundary(DataError, f"check: {path}"):
                found[path.relative_to(folder).as_posix()] = path.read_text("utf-8")
    size = sum(len(text.encode()) for text in found.values())
    if size > _MOST_BYTES:
        raise ConfigError("check.copies", f"{size >> 10} KB of files, and every task carries them; at most 256 KB")
    return found


def _walk(folder: Path, name: str) -> Iterator[Path]:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts:
        raise ConfigError("check.copies", f"want a path below {folder}, got {name!r}")
    path = folder / place
    if not path.exists():
        raise ConfigError("check.copies", f"no such file: {path}")
    if path.is_file():
        yield path
        return
    yield from sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def write_files(folder: Path, files: Mapping[str, object]) -> None:
    """Lay files below a folder; a name that leads out of it is an error."""
    for name, text in files.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or not isinstance(text, str):
            raise DataError(f"the task's file {name!r}: want a relative name with its text")
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")

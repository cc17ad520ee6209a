"""Lists the files at a path: links are not followed, devices are skipped, archives are read in place."""

from __future__ import annotations

import codecs
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from afs.errors import DataError
from afs.ingest import row_files
from afs.ingest.base import Reading, Unit

SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", ".mypy_cache", ".tox"})
MEMBER_BYTES = 4 << 30
"""Larger archive members are not read: a bomb or a mistake."""
EXPANSION = 200
LEAST_EXPANDED = 256 << 20
"""An archive may expand to so many times its size, or to so many bytes; text compresses ten to thirty times."""


def walk_files(place: Path, endings: Sequence[str] = (), *, skip: frozenset[str] = SKIPPED_FOLDERS) -> Iterator[Path]:
    """Regular files below a place, in order of their names; links to folders are not followed."""
    if not place.exists():
        raise DataError(f"{place}: no such file or folder")
    if place.is_file():
        yield place
        return
    waiting = [place]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in skip:
                    waiting.append(Path(entry.path))
            elif _is_regular(entry) and (not endings or entry.name.lower().endswith(tuple(endings))):
                yield Path(entry.path)


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False


def label_path(place: Path, path: Path) -> str:
    """A file's name in origins: relative to the named folder, starting with the folder's own name."""
    root = place if place.is_dir() else place.parent
    inner = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    whole = f"{root.resolve().name}/{inner}" if place.is_dir() else inner
    return os.fsencode(whole).decode("utf-8", "backslashreplace")


def _link_problem(place: Path, path: Path) -> str:
    """Why a link is not followed: it leads out of the named folder."""
    if not path.is_symlink() or place.is_file() or path.resolve().is_relative_to(place.resolve()):
        return ""
    return "a link that leads out of the named folder; name its target to read it"


def list_units(place: Path, endings: Sequence[str]) -> Iterator[Unit]:
    """A unit per file, and per matching member of each zip archive."""
    for path in walk_files(place, (*endings, ".zip") if endings else ()):
        if problem := _link_problem(place, path):
            yield Unit(path, label_path(place, path), problem=problem)
        elif path.suffix.lower() == ".zip":
            yield from _list_members(path, label_path(place, path), endings)
        else:
            yield Unit(path, label_path(place, path))


def _list_members(path: Path, name: str, endings: Sequence[str]) -> Iterator[Unit]:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        yield Unit(path, name, member="?")
        return
    expanded, limit = 0, max(LEAST_EXPANDED, EXPANSION * path.stat().st_size)
    for info in inside:
        if not info.filename.lower().endswith(tuple(endings)):
            continue
        expanded += info.file_size
        if expanded > limit:
            yield Unit(path, name, problem=f"expands to more than {limit >> 20} MiB; the rest is not read")
            return
        problem = f"a member of more than {MEMBER_BYTES >> 20} MiB" if info.file_size > MEMBER_BYTES else ""
        yield Unit(path, name, member=info.filename, problem=problem)
    if not endings:
        yield Unit(path, name, problem="left alone: an archive; name the reader of what is in it")


def read_text(unit: Unit, reading: Reading) -> str:
    """A source or document as text with Unix line endings; invalid bytes are replaced, lines are counted."""
    with row_files.open_unit(unit) as source:
        raw = source.read()
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    found = raw.decode("utf-16" if wide else "utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    reading.counts["lines"] += found.count("\n") + (not found.endswith("\n") and found != "")
    return found

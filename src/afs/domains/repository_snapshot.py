"""A repository at one moment: its text files, where they come from and under which license.

Snapshots are kept in the user's cache by their digest, so that a task names its repository in a few bytes and is judged
on exactly the files it was made from, also after the repository has moved ahead.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import msgspec

from afs import jsonl, licenses
from afs.errors import DataError, UsageError
from afs.git_objects import GitObjects
from afs.types import Value, digest

FILE_BYTES = 1 << 20
"""Larger files are neither source nor test data that a task needs."""
TREE_BYTES = 64 << 20
_SKIPPED = frozenset({".git", ".hg", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", "build", "dist"})
_BINARY = (".png", ".jpg", ".gif", ".ico", ".pdf", ".woff", ".woff2", ".ttf", ".svg", ".zip", ".gz", ".whl")


class RepositorySnapshot(Value, frozen=True, kw_only=True):
    """The files of a project; binary ones as they are."""

    name: str
    commit: str = ""
    """Empty: a folder without git."""
    license: str = ""
    files: dict[str, bytes]
    dates: dict[str, str] = {}
    """Day of the last change by path; empty without git."""

    @property
    def digest(self) -> str:
        """Of the files alone."""
        return _digest_files(tuple(self.files.items()))

    def text(self, path: str) -> str:
        """A file as text; empty when it is none."""
        try:
            return self.files[path].decode("utf-8")
        except UnicodeDecodeError:
            return ""

    def store(self) -> None:
        """Keep the files for the checks to come."""
        place = cache_folder() / f"{self.digest}.msgpack.gz"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            jsonl.replace(place, gzip.compress(msgspec.msgpack.encode(self.files), 6, mtime=0))


@functools.lru_cache(maxsize=64)
def _digest_files(files: tuple[tuple[str, bytes], ...]) -> str:
    return digest([(path, hashlib.sha256(content).hexdigest()) for path, content in sorted(files)])[:24]


def cache_folder() -> Path:
    """Where snapshots and what was found out about them are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "afs" / "repositories"


@functools.lru_cache(maxsize=8)
def load_files(name: str) -> dict[str, bytes] | None:
    """The files of a stored snapshot; None when it is not here."""
    place = cache_folder() / f"{name}.msgpack.gz"
    try:
        return msgspec.msgpack.decode(gzip.decompress(place.read_bytes()), type=dict[str, bytes])
    except FileNotFoundError:
        return None
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise DataError(f"{place}: damaged ({error}); delete it, then make the tasks again") from error


def read_snapshot(
    folder: Path, commit: str = "", license_id: str = "", endings: tuple[str, ...] = ()
) -> RepositorySnapshot:
    """A git repository at a commit, or a plain folder; with `endings` only files of these, and no dates."""
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    name = folder.parent.name if folder.name in ("repo", ".git") else folder.name
    try:
        git = GitObjects(folder)
    except DataError as error:
        if commit or (folder / ".git").exists():
            raise
        files = dict(_walk(folder, endings))
        if not any(path.endswith(endings or ".py") for path in files):
            raise UsageError(f"{folder}: no {' '.join(endings) or 'Python'} files, and {error}") from error
        return RepositorySnapshot(name=name, files=files, license=license_id or licenses.find_license(folder))
    with git:
        found = snapshot_of_commit(git, commit or git.head, name, license_id, endings, dates=not endings)
    if endings and not found.files:
        raise UsageError(f"{folder}: no {' '.join(endings)} files in commit {found.commit[:12]}")
    return found


def snapshot_of_commit(
    git: GitObjects,
    commit: str,
    name: str,
    license_id: str,
    endings: tuple[str, ...] = (),
    *,
    dates: bool = False,
) -> RepositorySnapshot:
    """The files of one commit."""
    blobs = [
        blob
        for blob in git.list_files(commit)
        if blob.size <= FILE_BYTES and not blob.path.endswith(_BINARY) and _is_wanted(blob.path, endings)
    ]
    if sum(blob.size for blob in blobs) > TREE_BYTES:
        raise UsageError(f"{name}: more than {TREE_BYTES >> 20} MB of files; name a smaller project")
    files = {blob.path: content for blob, content in git.read_blobs(blobs)}
    return RepositorySnapshot(
        name=name,
        commit=commit,
        files={path: content for path, content in files.items() if path.endswith(endings or "")},
        license=license_id or _find_license(files),
        dates=_last_changes(git, commit) if dates else {},
    )


def _is_wanted(path: str, endings: tuple[str, ...]) -> bool:
    return path.endswith(endings or "") or _is_license(path)


def _walk(folder: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    total = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in _SKIPPED and not f.endswith(".egg-info"))
        for name in sorted(names):
            path = Path(place, name)
            if path.is_symlink() or name.endswith(_BINARY) or not name.endswith(endings or ""):
                continue
            if path.stat().st_size > FILE_BYTES:
                continue
            content = path.read_bytes()
            total += len(content)
            if total > TREE_BYTES:
                raise UsageError(f"{folder}: more than {TREE_BYTES >> 20} MB of files; name a smaller folder")
            yield path.relative_to(folder).as_posix(), content


def _is_license(path: str) -> bool:
    return ("/" not in path and fnmatch(path.lower(), "*licen[cs]e*")) or path.lower().startswith("copying")


def _find_license(files: Mapping[str, bytes]) -> str:
    for path in sorted(files):
        head = files[path][: 1 << 14].decode("utf-8", "replace") if _is_license(path) else ""
        if found := licenses.classify_license(head):
            return found
    return ""


def _last_changes(git: GitObjects, commit: str) -> dict[str, str]:
    """Path -> day of its last commit, from one walk of the history."""
    found: dict[str, str] = {}
    day = ""
    for row in git.run("log", "--no-renames", "--format=%x01%ct", "--name-only", "-z", commit).split(b"\0"):
        for line in row.decode("utf-8", "replace").split("\n"):
            if line.startswith("\x01"):
                day = datetime.fromtimestamp(int(line[1:]), UTC).date().isoformat()
            elif line:
                found.setdefault(line, day)
    return found

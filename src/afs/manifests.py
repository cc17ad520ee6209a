"""Manifests and the files they list: what was written is what is read, or an error says which file changed.

A manifest carries a digest of itself (its seal). This finds damage, not forgery: who can edit a file can also seal it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from afs import jsonl
from afs.errors import DataError
from afs.types import FileEntry, SealedValue, Value, digest

M = TypeVar("M", bound=SealedValue)
NEWEST_SCHEMA = 1
"""Newest schema of manifests, runs and registry events that this version reads; all of them are at 1."""


class _Head(msgspec.Struct):
    schema: int = 1


def write_manifest(path: Path, value: M) -> M:
    """Seal a manifest and write it; its presence means that everything it lists is complete."""
    sealed = msgspec.structs.replace(value, seal=_seal(value))
    jsonl.replace(path, msgspec.json.format(msgspec.json.encode(sealed), indent=2))
    return sealed


def read_manifest(path: Path, type_: type[M]) -> M:
    """A manifest, checked against its seal; those of versions before seals are accepted."""
    try:
        content = path.read_bytes()
        refuse_schema(content, str(path))
        value = jsonl.decoder(type_)(content)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error
    if value.seal and value.seal != _seal(value):
        raise DataError(f"{path}: changed since it was written (its seal does not match); restore it from a backup")
    for entry in listed_files(value):
        refuse_outside(entry.path, str(path))
    return value


def _seal(value: SealedValue) -> str:
    return digest(msgspec.structs.replace(value, seal=""))


def refuse_schema(content: bytes, place: str, newest: int = NEWEST_SCHEMA) -> None:
    """Raise for a schema number that this version does not read."""
    schema = msgspec.json.decode(content, type=_Head).schema
    if schema > newest:
        raise DataError(
            f"{place}: written by a newer version (schema {schema}, this one reads up to {newest}); "
            "upgrade with: pip install --upgrade afs-factory"
        )
    if schema < 1:
        raise DataError(f"{place}: schema {schema} does not exist")


def listed_files(value: Value) -> Iterator[FileEntry]:
    """Every file that a manifest lists, wherever in it."""
    for name in value.__struct_fields__:
        field = getattr(value, name)
        for one in field if isinstance(field, tuple) else (field,):
            if isinstance(one, FileEntry):
                yield one
            elif isinstance(one, Value):
                yield from listed_files(one)


def refuse_outside(path: str, place: str) -> None:
    """Raise for a path that leads out of the folder it is relative to."""
    parts = Path(path).parts
    if not parts or Path(path).is_absolute() or ".." in parts or "\0" in path:
        raise DataError(f"{place}: lists the file {path!r}, which is outside its folder")


def verify_files(folder: Path, files: Iterable[FileEntry]) -> Iterator[str]:
    """Compare stored files with their manifest: missing, different size, different hash."""
    for entry in files:
        path = folder / entry.path
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != entry.size:
            yield f"{path}: {path.stat().st_size} bytes, the manifest says {entry.size}"
        elif file_sha256(path) != entry.sha256:
            yield f"{path}: content changed (SHA-256 differs from the manifest)"


def refuse_changed(path: Path, entry: FileEntry) -> None:
    """Raise unless a file is the one its manifest lists; read it only after this."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    if stat.st_size != entry.size:
        raise DataError(f"{path}: {stat.st_size} bytes, the manifest says {entry.size}; restore it from a backup")
    if _hash_once(str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns) != entry.sha256:
        raise DataError(f"{path}: content changed (SHA-256 differs from the manifest); restore it from a backup")


@functools.lru_cache(maxsize=4096)
def _hash_once(path: str, _inode: int, _size: int, _mtime_ns: int) -> str:
    """A file that several passes of one process read is hashed once, as long as the system reports no change."""
    return file_sha256(Path(path))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def file_entry(folder: Path, path: Path, count: int = 0) -> FileEntry:
    """The manifest's line for a file inside a folder."""
    return FileEntry(
        path=str(path.relative_to(folder)), size=path.stat().st_size, sha256=file_sha256(path), count=count
    )


def other_entries(folder: Path, listed: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """Entries of the files in a folder that its manifest does not list yet."""
    known = {entry.path for entry in listed}
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return tuple(file_entry(folder, path) for path in paths if str(path.relative_to(folder)) not in known)

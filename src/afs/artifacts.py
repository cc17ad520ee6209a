"""Stored models: a folder of files with a manifest, and the digest of their tensors.

A Hugging Face folder, an adapter, a GGUF file, a router: all are an `Artifact`. Names, aliases and promotion are the
registry's; opening a model as a provider is `afs.models.open_model`.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from afs.errors import DataError
from afs.manifests import file_entry, read_manifest, refuse_changed, write_manifest
from afs.types import Artifact, Ref, digest
from afs.workspace import MANIFEST, SameVersion, Workspace

_THREADS = 4
"""Files or tensors hashed at once; more threads only wait for the disk."""


class PendingArtifact:
    """A model folder being filled: write files into `folder`, set fields, read `artifact` after the block."""

    def __init__(self, ref: Ref, folder: Path, fields: dict[str, Any]) -> None:
        self.ref, self.folder, self.fields = ref, folder, fields
        self.facts: dict[str, object] = dict(fields.pop("facts", {}))
        self.stored: list[Artifact] = []

    @property
    def artifact(self) -> Artifact:
        """The stored artifact, after the block."""
        return self.stored[0]


@contextmanager
def store_artifact(workspace: Workspace, name: str, **fields: Any) -> Iterator[PendingArtifact]:
    """Store a new version of a model; `fields` are those of `Artifact` other than ref, files and digest.

    with store_artifact(workspace, "din", form="adapter", base="base@1", run=run.id) as pending:
        save_into(pending.folder)
        pending.facts["rank"] = 16
    artifact = pending.artifact
    """
    with workspace.new_version("artifact", name) as (ref, folder):
        pending = PendingArtifact(ref, folder, dict(fields))
        yield pending
        paths = sorted(p for p in folder.rglob("*") if p.is_file())
        if not paths:
            raise DataError(f"{ref}: no files were written")
        with ThreadPoolExecutor(_THREADS) as pool:
            files = tuple(pool.map(lambda path: file_entry(folder, path), paths))
        content = digest([(entry.path, entry.sha256) for entry in files])
        artifact = Artifact(ref=str(ref), files=files, digest=content, facts=pending.facts, **pending.fields)
        earlier = workspace.newest_of_run("artifact", name, artifact.run, Artifact)
        if earlier is not None and earlier.digest == artifact.digest:
            pending.stored.append(earlier)
            raise SameVersion
        pending.stored.append(write_manifest(folder / MANIFEST, artifact))


def load(workspace: Workspace, text: str) -> Artifact:
    """The manifest of a stored model."""
    return read_manifest(workspace.path(workspace.resolve(text, "artifact")) / MANIFEST, Artifact)


def checked_folder(workspace: Workspace, artifact: Artifact) -> Path:
    """The folder of a model that is about to be used: every file is the one that was stored, or an error names it."""
    folder = folder_of(workspace, artifact)
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda entry: refuse_changed(folder / entry.path, entry), artifact.files):
            pass
    return folder


def folder_of(workspace: Workspace, artifact: Artifact) -> Path:
    """The folder of a model's files."""
    return workspace.path(Ref.parse(artifact.ref, "artifact"))


class Tensor(NamedTuple):
    """Name, type, shape and byte range of a tensor in a safetensors file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int


MAX_HEADER = 100 << 20
"""Bytes of a safetensors header; the format's own library allows no more."""


class _TensorEntry(msgspec.Struct):
    """A row of a safetensors header."""

    dtype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data_offsets: tuple[Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=0)]]


def read_tensors(files: Iterable[Path]) -> Iterator[Tensor]:
    """Every tensor named in the headers of safetensors files; a malformed file is a DataError."""
    for path in files:
        size = path.stat().st_size
        length, table = _read_header(path, size)
        for name, raw in table.items():
            if name == "__metadata__":
                continue
            try:
                entry = msgspec.json.decode(raw, type=_TensorEntry)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(f"{path}: tensor {name!r}: {error}") from error
            start, end = entry.data_offsets
            if start > end or 8 + length + end > size:
                raise DataError(f"{path}: truncated safetensors file: {name} ends beyond its {size} bytes")
            yield Tensor(name, entry.dtype, entry.shape, path, 8 + length + start, 8 + length + end)


def _read_header(path: Path, size: int) -> tuple[int, dict[str, msgspec.Raw]]:
    with path.open("rb") as source:
        head = source.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if 8 + length > size:
            raise DataError(f"{path}: truncated safetensors file ({size} bytes)")
        if length > MAX_HEADER:
            raise DataError(f"{path}: not a safetensors file (a header of {length} bytes)")
        try:
            return length, msgspec.json.decode(source.read(length), type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{path}: not a safetensors file ({error})") from error


def tensors_digest(folder: Path) -> str:
    """Digest of all weights in a folder, independent of how they are split into files; identifies an adapter's base."""
    rows = []
    for path in sorted(folder.glob("*.safetensors")):
        found = sorted(read_tensors([path]))
        with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as content:
            hashes = _hashes(memoryview(content), found)
            rows += [(one.name, one.dtype, one.shape, sha256) for one, sha256 in zip(found, hashes, strict=True)]
    if not rows:
        raise DataError(f"{folder}: no safetensors files")
    return digest(sorted(rows))


def _hashes(content: memoryview, found: Sequence[Tensor]) -> list[str]:
    """The hash of each tensor's bytes, several at a time."""

    def hashed(tensor: Tensor) -> str:
        with content[tensor.start : tensor.end] as part:
            return hashlib.sha256(part).hexdigest()

    with content, ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(hashed, found))

"""The files of a repository's newest commit, read where they lie in its history; nothing is checked out.

Each file goes to the reader of its suffix; files without a reader are counted.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from afs.git_objects import BLOB_BYTES, Blob, GitObjects
from afs.ingest import asm, file_walk, source_domains
from afs.ingest.asm import Asm
from afs.ingest.base import Reading, Source, Unit
from afs.ingest.code import Code
from afs.ingest.cpp import Cpp
from afs.ingest.docs import Docs
from afs.scratch_folder import open_scratch_folder
from afs.source_code import function_scanner
from afs.types import Dropped, Record

_TEXTS = (".md", ".markdown", ".mdx", ".rst")


VERSION = " ".join(reader.version for reader in (Asm, Code, Cpp, Docs))
"""Changes with any reader a tree is read by."""


def read_tree(repository: GitObjects, name: str, license: str, reading: Reading) -> Iterator[Record | Dropped]:
    """The records of every file that has a reader."""
    readers = _list_readers()
    wanted = []
    for blob in repository.list_files():
        if file_walk.SKIPPED_FOLDERS & set(PurePosixPath(blob.path).parts):
            continue
        if _suffix(blob) not in readers:
            reading.counts["files of no known kind"] += 1
        elif blob.size > BLOB_BYTES:
            reading.counts["files too large"] += 1
        else:
            wanted.append(blob)
    reading.counts["files in the repository"] += len(wanted)
    with open_scratch_folder("afs-tree-") as place:
        packed = place / "tree.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for number, (_, content) in enumerate(repository.read_blobs(wanted)):
                archive.writestr(f"{number}/{PurePosixPath(wanted[number].path).name}", content)
        for number, blob in enumerate(wanted):
            member = f"{number}/{PurePosixPath(blob.path).name}"
            inner = _FileReading(Unit(packed, f"{name}/{blob.path}", member=member), reading, license, repository.head)
            yield from readers[_suffix(blob)].read(inner.unit, inner)


def find_domain(repository: GitObjects) -> str:
    """The pack that recognizes the assembly in the tree; empty without any."""
    blobs = [blob for blob in repository.list_files() if _suffix(blob) in asm.ENDINGS and blob.size <= BLOB_BYTES]
    texts = (content.decode("utf-8", "replace") for _, content in repository.read_blobs(blobs))
    return source_domains.find_domain(texts) if blobs else ""


def _suffix(blob: Blob) -> str:
    return PurePosixPath(blob.path).suffix.lower()


def _list_readers() -> dict[str, Source]:
    found: dict[str, Source] = {ending: Asm() for ending in asm.ENDINGS}
    found |= {ending: Code() for ending in (".py", *function_scanner.ENDINGS)}
    return found | {".h": Cpp(), ".hh": Cpp(), ".hpp": Cpp()} | {ending: Docs() for ending in _TEXTS}


class _FileReading(Reading):
    """The account of one file, kept in that of its repository."""

    def __init__(self, unit: Unit, whole: Reading, license: str, commit: str) -> None:
        super().__init__(unit, source=whole.source, domain=whole.domain, license=license, commit=commit)
        self.counts, self.unreadable, self.aside = whole.counts, whole.unreadable, whole.aside

    def uri(self, place: str = "") -> str:
        """The file's own path, not that of the archive it was read from."""
        return f"{self.unit.label}#{place}" if place else self.unit.label

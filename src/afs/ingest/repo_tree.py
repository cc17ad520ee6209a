"""The files of a repository's newest commit, read where they lie in its history; nothing is checked out or unpacked.

Each file goes to the reader of its ending; what no reader is for is counted.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from afs import process
from afs.errors import DataError
from afs.ingest import asm, file_walk, function_scanner
from afs.ingest.asm import Asm
from afs.ingest.base import Reading, Source, Unit
from afs.ingest.code import Code
from afs.ingest.cpp import Cpp
from afs.ingest.docs import Docs
from afs.types import Dropped, Record

_SAFE = (
    "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external=",
    "-c", "core.pager=cat", "-c", "protocol.allow=never", "--no-replace-objects",
)  # fmt: skip
_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}
_TEXTS = (".md", ".markdown", ".mdx", ".rst")


VERSION = " ".join(reader.version for reader in (Asm, Code, Cpp, Docs))
"""Changes with any reader a tree is read by."""


def read_tree(folder: Path, name: str, license: str, reading: Reading) -> Iterator[Record | Dropped]:
    """The records of every file that a reader is for."""
    readers = _list_readers()
    commit = run_git(folder, "rev-parse", "HEAD").decode().strip()
    with tempfile.TemporaryDirectory() as place:
        packed = Path(place) / "tree.zip"
        run_git(folder, "archive", "--format=zip", "-0", "-o", str(packed), "HEAD")
        for member in _list_members(packed):
            source = readers.get(PurePosixPath(member).suffix.lower())
            if source is None:
                reading.counts["files of no known kind"] += 1
                continue
            reading.counts["files in the repository"] += 1
            inner = _FileReading(Unit(packed, f"{name}/{member}", member=member), reading, license, commit)
            yield from source.read(inner.unit, inner)


def _list_readers() -> dict[str, Source]:
    found: dict[str, Source] = {ending: Asm() for ending in asm.ENDINGS}
    found |= {ending: Code() for ending in (".py", *function_scanner.ENDINGS)}
    return found | {".h": Cpp(), ".hh": Cpp(), ".hpp": Cpp()} | {ending: Docs() for ending in _TEXTS}


def _list_members(packed: Path) -> list[str]:
    with zipfile.ZipFile(packed) as archive:
        inside = [info for info in archive.infolist() if not info.is_dir() and info.file_size <= file_walk.MEMBER_BYTES]
    return [i.filename for i in inside if not file_walk.SKIPPED_FOLDERS & set(PurePosixPath(i.filename).parts)]


class _FileReading(Reading):
    """One file's account, kept in the repository's own."""

    def __init__(self, unit: Unit, whole: Reading, license: str, commit: str) -> None:
        super().__init__(unit, source=whole.source, domain=whole.domain, license=license, commit=commit)
        self.counts, self.unreadable, self.aside = whole.counts, whole.unreadable, whole.aside

    def uri(self, place: str = "") -> str:
        """The file's own path, not that of the pack it was read from."""
        return f"{self.unit.label}#{place}" if place else self.unit.label


def run_git(folder: Path, *arguments: str) -> bytes:
    """Git without the repository's own programs."""
    place = folder.parent if folder.name == ".git" else folder
    done = process.run(
        ["git", *_SAFE, "-C", str(place), *arguments],
        timeout_s=600,
        environment=process.safe_environment(_ENVIRONMENT),
    )
    if done.code or done.timed_out:
        told = done.err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["took too long"]
        raise DataError(f"{place}: git {arguments[0]}: {told[0]}")
    return done.out

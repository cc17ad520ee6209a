"""Reads the objects of a repository that nobody vouches for, without running anything its configuration names.

Git is started in an empty repository of our own that borrows the other one's objects: its config, hooks, attributes and
refs are never read, so filters, includes, pagers, signing programs and lazy fetches have no effect. Nothing is checked
out. Partial clones are refused: their missing objects would have to be fetched by programs the config names.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from afs import licenses, process
from afs.errors import DataError, ProcessError

_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_PAGER": "cat",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
}
_PARTIAL = re.compile(r"^\s*(?:promisor|partialclonefilter|partialclone)\s*=", re.M | re.I)
_BATCH_BYTES = 32 << 20
"""Contents asked for at once; a child may write a few hundred megabytes at most."""
BLOB_BYTES = 16 << 20
"""Larger files of a repository are skipped: no source or document that a person reads is that long."""
_SHALLOW_BYTES = 1 << 20


class Blob(NamedTuple):
    """A file of a commit."""

    path: str
    id: str
    size: int


class GitObjects:
    """The objects reachable from a repository's HEAD."""

    def __init__(self, folder: Path) -> None:
        self.folder = _find_git_folder(folder)
        common = self._common = _find_common_folder(self.folder)
        self.head = licenses.read_head(self.folder, common)
        if not self.head:
            raise DataError(f"{folder}: HEAD names no commit (a repository without commits, or refs in another format)")
        objects = (common / "objects").resolve()
        if not objects.is_relative_to(common.resolve()) or not objects.is_dir():
            raise DataError(f"{folder}: no objects folder inside the repository")
        if _is_partial(common, objects):
            raise DataError(f"{folder}: a partial clone; run `git fetch --refetch --no-filter` in it, then ingest it")
        self._objects = objects
        self._borrower: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> GitObjects:
        self._borrower = tempfile.TemporaryDirectory(prefix="afs-git-")
        place = Path(self._borrower.name)
        (place / "objects" / "info").mkdir(parents=True)
        (place / "refs").mkdir()
        (place / "objects" / "info" / "alternates").write_text(f"{self._objects}\n")
        (place / "HEAD").write_text("ref: refs/heads/main\n")
        version, extension = (1, "[extensions]\n\tobjectformat = sha256\n") if len(self.head) == 64 else (0, "")
        (place / "config").write_text(f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{extension}")
        if shallow := _read_shallow(self._common):
            (place / "shallow").write_text(shallow)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._borrower is not None:
            self._borrower.cleanup()

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """The output of a git command."""
        if self._borrower is None:
            raise DataError("the repository is not open")
        environment = process.safe_environment(_ENVIRONMENT | {"GIT_DIR": self._borrower.name})
        try:
            done = process.run(["git", "--no-pager", *arguments], timeout_s=600, stdin=stdin, environment=environment)
        except ProcessError as error:
            raise DataError(f"{self.folder}: git {arguments[0]}: {error}") from error
        if done.code or done.timed_out:
            lines = done.err.decode("utf-8", "replace").strip().splitlines()[-1:] or ["took too long"]
            raise DataError(f"{self.folder}: git {arguments[0]}: {lines[0]}")
        return done.out

    def list_files(self, commit: str = "") -> list[Blob]:
        """The regular files of a commit, else of the newest one; links and submodules are not files."""
        found = []
        for row in self.run("ls-tree", "-r", "-l", "-z", commit or self.head).split(b"\0"):
            head, _, path = row.partition(b"\t")
            fields = head.split()
            if len(fields) == 4 and fields[0] in (b"100644", b"100755") and fields[3].isdigit():
                found.append(Blob(path.decode("utf-8", "backslashreplace"), fields[2].decode(), int(fields[3])))
        return found

    def read_blobs(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, bytes]]:
        """The contents of files, in order."""
        batch: list[Blob] = []
        for blob in blobs:
            if batch and sum(b.size for b in batch) + blob.size > _BATCH_BYTES:
                yield from self._read_batch(batch)
                batch = []
            batch.append(blob)
        if batch:
            yield from self._read_batch(batch)

    def _read_batch(self, batch: Sequence[Blob]) -> Iterator[tuple[Blob, bytes]]:
        out = self.run("cat-file", "--batch", stdin="".join(f"{blob.id}\n" for blob in batch).encode())
        at = 0
        for blob in batch:
            end = out.index(b"\n", at)
            header = out[at:end].split()
            if len(header) != 3 or header[1] != b"blob":
                raise DataError(f"{self.folder}: {blob.path}: object {blob.id} is missing")
            size = int(header[2])
            yield blob, out[end + 1 : end + 1 + size]
            at = end + size + 2


def _find_git_folder(place: Path) -> Path:
    for folder in (place, place / ".git"):
        if (folder / "HEAD").is_file() and ((folder / "objects").is_dir() or (folder / "commondir").is_file()):
            return folder
    return _follow_work_tree(place)


def _follow_work_tree(place: Path) -> Path:
    """The folder that a repository keeps for a work tree, if that folder names this work tree in turn."""
    pointer = place / ".git"
    try:
        folder = place / pointer.read_text("utf-8").removeprefix("gitdir: ").strip()
        if (folder / (folder / "gitdir").read_text("utf-8").strip()).resolve() == pointer.resolve():
            return folder
    except (OSError, ValueError):
        pass
    raise DataError(f"{place}: not a git repository")


def _find_common_folder(folder: Path) -> Path:
    """The repository's own folder: the folder itself, or for a work tree the one that holds `worktrees/NAME`."""
    if (folder / "objects").is_dir():
        return folder
    try:
        common = (folder / (folder / "commondir").read_text("utf-8").strip()).resolve()
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a git repository") from error
    if folder.resolve().parent != common / "worktrees":
        raise DataError(f"{folder}: a work tree of {common} outside of it")
    return common


def is_partial_clone(place: Path) -> bool:
    """Whether objects of this repository were never fetched."""
    common = _find_common_folder(_find_git_folder(place))
    return _is_partial(common, (common / "objects").resolve())


def _is_partial(folder: Path, objects: Path) -> bool:
    if any((objects / "pack").glob("*.promisor")):
        return True
    try:
        with (folder / "config").open("rb") as source:
            return _PARTIAL.search(source.read(1 << 20).decode("utf-8", "replace")) is not None
    except OSError:
        return False


def _read_shallow(folder: Path) -> str:
    """The ids at which a shallow clone ends."""
    path = folder / "shallow"
    if not path.is_file() or path.stat().st_size > _SHALLOW_BYTES:
        return ""
    lines = path.read_text("ascii", "replace").split()
    return "".join(f"{line}\n" for line in lines if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", line))

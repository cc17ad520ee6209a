"""Commands and files on another machine: over ssh, or in a folder of this one. Files are verified by SHA-256."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol

from afs import jsonl
from afs.cloud.machine_provider import SshPlace
from afs.errors import DataError, ProviderError
from afs.manifests import file_sha256

_CONNECT_S = 15
_LIST = (
    "cd {root} 2>/dev/null && find . -type f ! -name '*.part' -printf '%s %p\n' && echo && "
    "find . -type f ! -name '*.part' -print0 | xargs -0 -r sha256sum"
)
_LARGE = 8 << 20
"""Files from this size on travel alone, so that a break costs only their rest; smaller ones travel together."""


class CommandResult(NamedTuple):
    """How a command ended."""

    rc: int
    out: bytes
    problem: str


class Shell(Protocol):
    """A machine that runs commands."""

    def run(self, command: str, *, stdin: IO[bytes] | None = None, out: IO[bytes] | None = None) -> CommandResult:
        """Run a command there; a connection that fails is a ProviderError, a command that fails is not."""


class SshShell:
    """A machine reached by ssh. The host key is accepted once and must stay the same."""

    def __init__(self, place: SshPlace, key: Path | None, known_hosts: Path, *, timeout_s: float = 600.0) -> None:
        self._timeout_s, self._where = timeout_s, f"{place.user}@{place.host}:{place.port}"
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(known_hosts),
            "ConnectTimeout": str(_CONNECT_S),
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
            "LogLevel": "ERROR",
        }
        self._words = ["ssh", "-p", str(place.port)]
        self._words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self._words += ["-i", str(key)] if key else []
        self._words += [f"{place.user}@{place.host}"]

    def run(self, command: str, *, stdin: IO[bytes] | None = None, out: IO[bytes] | None = None) -> CommandResult:
        """255 is ssh's own failure."""
        done = _run([*self._words, command], self._timeout_s, stdin, out, self._where)
        if done.rc == 255:
            raise ProviderError(f"{self._where}: {done.problem or 'the connection failed'}")
        return done


class LocalShell:
    """A folder of this machine as another machine's home."""

    def __init__(self, home: Path, *, timeout_s: float = 600.0) -> None:
        self._home, self._timeout_s = home, timeout_s

    def run(self, command: str, *, stdin: IO[bytes] | None = None, out: IO[bytes] | None = None) -> CommandResult:
        """In the folder, with the folder as home."""
        words = ["env", f"HOME={self._home}", "sh", "-c", f"cd {shlex.quote(str(self._home))} && {command}"]
        return _run(words, self._timeout_s, stdin, out, str(self._home))


def _run(
    words: list[str], timeout_s: float, stdin: IO[bytes] | None, out: IO[bytes] | None, where: str
) -> CommandResult:
    try:
        done = subprocess.run(
            words,
            stdin=stdin or subprocess.DEVNULL,
            stdout=out or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ProviderError(f"{words[0]} is not installed here: apt install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise ProviderError(f"{where}: a command took longer than {timeout_s:g} s") from error
    problem = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return CommandResult(done.returncode, done.stdout or b"", problem)


class FileThere(NamedTuple):
    """A file of another machine."""

    digest: str
    size: int


def list_files(shell: Shell, root: str) -> dict[str, FileThere]:
    """Every file below a folder there, by its path; names with line breaks are left out."""
    text = shell.run(_LIST.format(root=shlex.quote(root))).out.decode("utf-8", "surrogateescape")
    sizes, _, digests = text.partition("\n\n")
    size_of = {}
    for line in sizes.splitlines():
        size, _, name = line.partition(" ./")
        if size.isdigit():
            size_of[name] = int(size)
    found = {}
    for line in digests.splitlines():
        digest, _, name = line.partition("  ./")
        if name in size_of:
            found[name] = FileThere(digest, size_of[name])
    return found


def put_folder(shell: Shell, source: Path, target: str, *, skip: frozenset[str] = frozenset({"__pycache__"})) -> int:
    """Copy a folder there; files that are there already are not sent again. The number of files sent."""
    there = list_files(shell, target)
    wanted: dict[str, tuple[Path, str]] = {}
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink() and not skip & set(path.relative_to(source).parts):
            name, digest = path.relative_to(source).as_posix(), file_sha256(path)
            if name not in there or there[name].digest != digest:
                wanted[name] = path, digest
    small = {name: path for name, (path, _) in wanted.items() if path.stat().st_size < _LARGE}
    if small:
        with tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                for name, path in small.items():
                    archive.add(path, name, recursive=False)
            packed.seek(0)
            shell.run(f"mkdir -p {shlex.quote(target)} && tar -xf - -C {shlex.quote(target)}", stdin=packed)
        there = list_files(shell, target)
    for name, (path, digest) in wanted.items():
        if name not in there or there[name].digest != digest:  # large, or broken on the way
            put_file(shell, path, f"{target}/{name}", digest)
    return len(wanted)


def put_file(shell: Shell, source: Path, target: str, digest: str = "") -> None:
    """Copy one file there; it has its name only when its content is right. A part that was sent is continued."""
    digest = digest or file_sha256(source)
    part, folder = shlex.quote(f"{target}.part"), shlex.quote(str(PurePosixPath(target).parent))
    done = shell.run(f"mkdir -p {folder} && (stat -c %s {part} 2>/dev/null || echo 0)")
    have = int(done.out) if done.rc == 0 and done.out.strip().isdigit() else 0
    if have > source.stat().st_size:
        have = 0
    for start in dict.fromkeys((have, 0)):
        with source.open("rb") as file:
            file.seek(start)
            shell.run(f"cat {'>>' if start else '>'} {part}", stdin=file)
        check = f"echo {digest}  {part} | sha256sum -c --status && mv {part} {shlex.quote(target)}"
        if shell.run(check).rc == 0:
            return
    raise ProviderError(f"{target}: it arrived with other content; is the disk there full?")


def get_file(shell: Shell, source: str, target: Path, digest: str) -> None:
    """Copy one file here; it has its name only when its content is right."""
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.exists() else 0
    for start in dict.fromkeys((have, 0)):
        with part.open("ab" if start else "wb") as file:
            shell.run(f"tail -c +{start + 1} {shlex.quote(source)}", out=file)
            os.fsync(file.fileno())
        if file_sha256(part) == digest:
            part.replace(target)
            return
    part.unlink(missing_ok=True)
    raise DataError(f"{source}: it arrived with other content; it is fetched again with the next pull")


class Fetched(NamedTuple):
    """What a copy of a folder brought."""

    files: tuple[str, ...]
    changing: tuple[str, ...]
    """Files that changed while they were read; they come with the next copy."""


def get_folder(shell: Shell, source: str, target: Path, known: Path | None = None) -> Fetched:
    """Copy what is new or changed in a folder there; what lies in `known` with the same content is left out."""
    wanted = {}
    for name, there in list_files(shell, source).items():
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise ProviderError(f"{name!r}: the machine names a file outside of the folder")
        if not _holds(target / name, there.digest) and not (known and _holds(known / name, there.digest)):
            wanted[name] = there
    files, changing = list(_get_small(shell, source, target, wanted)), []
    for name in sorted(wanted.keys() - set(files)):
        try:
            get_file(shell, f"{source}/{name}", target / name, wanted[name].digest)
            files.append(name)
        except DataError:
            changing.append(name)
    return Fetched(tuple(files), tuple(changing))


def _get_small(shell: Shell, source: str, target: Path, wanted: Mapping[str, FileThere]) -> Iterator[str]:
    """Small files in one stream; each is kept only when its content is right."""
    small = {name: there.digest for name, there in wanted.items() if there.size < _LARGE}
    if not small:
        return
    with tempfile.TemporaryFile() as listing, tempfile.TemporaryFile() as packed:
        listing.write("\0".join(small).encode("utf-8", "surrogateescape"))
        listing.seek(0)
        pack = f"tar -C {shlex.quote(source)} --null --ignore-failed-read -T - -cf -"
        shell.run(pack, stdin=listing, out=packed)
        packed.seek(0)
        try:
            with tarfile.open(fileobj=packed, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isfile() and member.size < 2 * _LARGE else None
                    raw = content.read() if content else b""
                    if content and hashlib.sha256(raw).hexdigest() == small.get(member.name):
                        jsonl.replace(target / member.name, raw)
                        yield member.name
        except tarfile.TarError:
            return  # cut off: the rest is fetched one by one


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and not path.is_symlink() and file_sha256(path) == digest

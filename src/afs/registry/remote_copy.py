"""A backup's folder copied to a remote and back: by rclone, compared afterwards, or by scp, to Windows too."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from afs import process
from afs.errors import MissingError, ProcessError, UsageError

_DAY_S = 24 * 3600.0
_DRIVE = re.compile(r"/?([A-Za-z]):(?:[\\/](.*))?", re.S)
_TARGET = re.compile(r"((?:\w[\w.-]*@)?(?:\w[\w.-]+|\[[0-9A-Fa-f:]+\])):(.*)", re.S)


def push(folder: Path, remote: str, index: str) -> None:
    """Copy what is new to an rclone remote, the index last, then compare every file with its copy."""
    rclone(["copy", "--checksum", "--exclude", index, str(folder), remote], f"the backup is in {folder}")
    rclone(["copyto", "--checksum", str(folder / index), f"{remote.rstrip('/')}/{index}"], f"the backup is in {folder}")
    rclone(["check", "--one-way", str(folder), remote], f"the copy at {remote} differs; run the same command again")


def pull(remote: str, folder: Path) -> None:
    """Copy a backup from an rclone remote into a folder; `restore` compares every file with the index."""
    rclone(["copy", "--checksum", remote, str(folder)], f"nothing was restored from {remote}")


def rclone(words: list[str], advice: str) -> None:
    """Run rclone with the user's own configuration."""
    command = ["rclone", *words]
    if shutil.which("rclone") is None:
        raise MissingError(f"rclone is not installed; {advice}; get it from rclone.org, then: {' '.join(command)}")
    _run(command, advice)


def send(folder: Path, target: str) -> None:
    """Copy a folder by scp."""
    place = scp_target(target)
    if shutil.which("scp") is None:
        raise MissingError(f"scp is not installed (OpenSSH's client); the backup is in {folder}")
    _run(["scp", "-q", "-p", "-r", str(folder), place], f"the backup is in {folder}")


def _run(command: list[str], advice: str) -> None:
    finished = process.run(command, timeout_s=_DAY_S, environment=dict(os.environ))
    if finished.code != 0:
        said = finished.err.decode(errors="replace").strip()[-300:]
        raise ProcessError(f"{command[0]} {command[1]} ended with {finished.code}: {said}; {advice}")


def scp_target(text: str) -> str:
    r"""`host:path` as scp wants it: `pc:D:\a b` becomes `pc:/D:/a b`, which OpenSSH on Windows reads.

    A drive without a host is an error here; scp would look for a machine of that name.
    """
    found = _TARGET.fullmatch(text)
    if found is None:
        raise UsageError(rf"scp: want HOST:PATH, such as me@pc:D:\models or box:backups, got {text!r}")
    host, path = found[1], found[2]
    drive = _DRIVE.fullmatch(path)
    if drive is None:
        return f"{host}:{path}"
    rest = (drive[2] or "").replace("\\", "/").strip("/")
    return f"{host}:/{drive[1].upper()}:/{rest}"

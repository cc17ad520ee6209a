"""Files that end with a checksum of their content, so that damage is noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from afs.atomic_files import open_replacement as open_replacement
from afs.atomic_files import rename_folder as rename_folder
from afs.atomic_files import replace as replace
from afs.atomic_files import sync_folder as sync_folder
from afs.errors import DataError


def replace_sealed(path: Path, content: bytes) -> None:
    """Replace a file that only `read_sealed` reads: its first line is a digest of the rest."""
    replace(path, _seal(content) + b"\n" + content)


def read_sealed(path: Path) -> bytes:
    """The content of a sealed file; a DataError when it changed since, or was never sealed."""
    try:
        seal, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    if seal != _seal(content):
        raise DataError(f"{path}: changed since it was written (its seal does not match)")
    return content


def _seal(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()

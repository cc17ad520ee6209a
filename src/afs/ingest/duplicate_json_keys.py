"""Finds a key that stands twice in one object: decoders keep its last value and lose the other without a word."""

from __future__ import annotations

import ctypes
import functools
from importlib.resources import files
from pathlib import Path

from afs import jsonl, native_libraries
from afs.errors import DataError

VERSION = 1
_PROBLEM = "appears twice"


def find_doubled_key(text: bytes) -> str:
    """What is wrong with a JSON text in which a key stands twice; empty when none does, or when it is no JSON."""
    library = _kernel()
    if library is not None and not library.afs_doubled_key(text, len(text)):
        return ""
    try:
        jsonl.loads_strict(text)
    except DataError as error:
        return str(error) if _PROBLEM in str(error) else ""
    return ""


@functools.cache
def _kernel() -> ctypes.CDLL | None:
    """The compiled scan; without a compiler every text goes through the slower check."""
    path = native_libraries.find_library("afs.ingest._json_keys", [Path(str(files("afs.ingest") / "json_keys.c"))]).path
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
        version: int = library.afs_json_keys_version()
    except (OSError, AttributeError):
        return None
    library.afs_doubled_key.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    library.afs_doubled_key.restype = ctypes.c_int
    return library if version == VERSION else None

"""The C kernel of shingles and sketches; without a compiler or a built extension numpy does the same, slower."""

from __future__ import annotations

import ctypes
import functools
from importlib.resources import files
from pathlib import Path

from afs import native_libraries

VERSION = 5


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """The loaded kernel, or None."""
    path = native_libraries.find_library("afs.curate._minhash", [Path(str(files("afs.curate") / "minhash.c"))]).path
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
        version: int = library.afs_minhash_version()
    except (OSError, AttributeError):
        return None
    library.afs_probe.restype = library.afs_band.restype = ctypes.c_int64
    library.afs_unrepeated.restype = ctypes.c_double
    library.afs_unrepeated.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t]
    return library if version == VERSION else None

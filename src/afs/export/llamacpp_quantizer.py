"""llama.cpp's own block quantizer by ctypes, where its library is at hand: `libggml-base`, or the one inside xllamacpp.

Only functions with plain arguments are called, so that a newer library fits as well.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from afs.errors import DataError
from afs.export.merge_kernel import Floats

ENVIRONMENT = "AFS_LIBGGML"
"""Path of a `libggml-base` to use; `none` uses our own quantizer."""
_ROWS = 1 << 22
"""Values handed over at once."""


def library_path() -> Path | None:
    """The library that would be used."""
    named = os.environ.get(ENVIRONMENT, "")
    if named:
        return Path(named) if named != "none" and Path(named).is_file() else None
    spec = importlib.util.find_spec("xllamacpp")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for path in sorted(Path(place).glob("xllamacpp*.so")):
            return path
    return None


@lru_cache(maxsize=1)
def _library(path: Path | None) -> ctypes.CDLL | None:
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
        function = library.ggml_quantize_chunk
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_size_t
    function.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    return library


def has_quantizer() -> bool:
    """Whether llama.cpp's quantizer can be called."""
    return _library(library_path()) is not None


def quantize(values: Floats, kind: int, size: int, importance: Floats | None = None) -> NDArray[np.uint8]:
    """Pack values into llama.cpp's type number `kind`; `importance` weighs the columns."""
    library = _library(library_path())
    if library is None:
        raise DataError("no llama.cpp library is at hand: pip install 'afs-factory[serve]'")
    columns = values.shape[-1]
    rows = values.size // columns
    source = np.ascontiguousarray(values, dtype=np.float32).reshape(rows, columns)
    packed = np.empty((rows, size // rows), dtype=np.uint8)
    weights = None if importance is None else np.ascontiguousarray(importance, dtype=np.float32)
    step = max(1, _ROWS // columns)
    for start in range(0, rows, step):
        part = source[start : start + step]
        library.ggml_quantize_chunk(
            kind,
            part.ctypes.data,
            packed[start : start + step].ctypes.data,
            0,
            part.shape[0],
            columns,
            None if weights is None else weights.ctypes.data,
        )
    return packed.reshape(*values.shape[:-1], -1)

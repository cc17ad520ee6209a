"""The inner loops of merging, in C where there is a compiler or a built extension, else in numpy: the same bits.

Every function works on whole arrays outside the interpreter's lock, so threads run beside each other.
"""

from __future__ import annotations

import ctypes
import functools
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from afs import native_libraries

Floats = NDArray[np.float32]
Bits = NDArray[np.uint16]
VERSION = 1
BLOCK = 64
"""Values that share a scale in 4-bit NormalFloat."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded kernel, or None."""
    path = native_libraries.find_library("afs.export._merge", [Path(str(files("afs.export") / "merge.c"))]).path
    if path is None:
        return None
    try:
        loaded = ctypes.CDLL(str(path))
        version: int = loaded.afs_merge_version()
        for name in ("afs_add", "afs_narrow"):
            getattr(loaded, name).restype = ctypes.c_int64
    except (OSError, AttributeError):
        return None
    return loaded if version == VERSION else None


def is_finite(values: Floats) -> bool:
    """Whether every value is a number; the sum tells it in one pass unless it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def widen(bits: NDArray[np.generic]) -> Floats:
    """BF16 bit patterns as float32: exact."""
    narrow_bits = np.ascontiguousarray(bits, dtype=np.uint16)
    loaded = library()
    if loaded is not None:
        out = np.empty(narrow_bits.shape, dtype=np.float32)
        loaded.afs_widen(_at(narrow_bits), _at(out), _count(out))
        return out
    wide = narrow_bits.astype(np.uint32)
    np.left_shift(wide, 16, out=wide)
    return wide.view(np.float32)


def narrow(values: Floats) -> tuple[Bits, bool]:
    """float32 as BF16 bit patterns, rounded to nearest, ties to even; and whether all were numbers."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    loaded = library()
    if loaded is not None:
        out = np.empty(values.shape, dtype=np.uint16)
        return out, not loaded.afs_narrow(_at(values), _at(out), _count(out))
    return _rounded_bits(values), is_finite(values)


def add(base: NDArray[np.generic], delta: Floats) -> tuple[Bits, bool]:
    """BF16 bit patterns plus a change, rounded once to BF16; and whether all are numbers."""
    base, delta = np.ascontiguousarray(base, dtype=np.uint16), np.ascontiguousarray(delta, dtype=np.float32)
    loaded = library()
    if loaded is not None:
        out = np.empty(base.shape, dtype=np.uint16)
        return out, not loaded.afs_add(_at(base), _at(delta), _at(out), _count(out))
    with np.errstate(over="ignore", invalid="ignore"):
        return narrow(widen(base) + delta)


def largest(values: Floats) -> Floats:
    """The largest magnitude of each block of 64."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    loaded = library()
    if loaded is None:
        return np.asarray(np.abs(values).reshape(-1, BLOCK).max(-1))
    out = np.empty(values.size // BLOCK, dtype=np.float32)
    loaded.afs_largest(_at(values), _at(out), _count(out))
    return out


def nearest(values: Floats, levels: Floats, restored: Floats) -> Floats:
    """For each value what its block tells for the level nearest to its share of the block's largest magnitude."""
    values, restored = np.ascontiguousarray(values, dtype=np.float32), np.ascontiguousarray(restored, dtype=np.float32)
    middles = (levels[1:] + levels[:-1]) / 2
    loaded = library()
    if loaded is not None:
        out = np.empty(values.shape, dtype=np.float32)
        loaded.afs_nearest(_at(values), _at(middles), _at(restored), _at(out), ctypes.c_int64(len(restored)))
        return out
    blocks = values.reshape(-1, BLOCK)
    true = np.abs(blocks).max(-1, keepdims=True)
    codes = np.searchsorted(middles, blocks * (np.float32(1) / np.where(true == 0, np.float32(1), true)))
    return np.asarray(np.take_along_axis(restored, codes, axis=1), dtype=np.float32).reshape(values.shape)


def _rounded_bits(values: Floats) -> Bits:
    bits = values.view(np.uint32)
    rounded = bits >> np.uint32(16)
    np.bitwise_and(rounded, 1, out=rounded)
    np.add(rounded, 0x7FFF, out=rounded)
    np.add(rounded, bits, out=rounded)
    np.right_shift(rounded, 16, out=rounded)
    return rounded.astype(np.uint16)


def _at(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _count(array: NDArray[np.generic]) -> ctypes.c_int64:
    return ctypes.c_int64(array.size)

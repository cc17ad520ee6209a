"""The base as QLoRA saw it: weights rounded to 4-bit NormalFloat with doubly quantized block scales, and back.

Blocks of 64 values share the largest magnitude as scale; blocks of 256 scales are stored in 8 bits round their mean.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from afs.errors import DataError
from afs.export import merge_kernel
from afs.export.merge_kernel import BLOCK, Floats
from afs.export.safetensors_files import Weights, read_ahead
from afs.types import Value

OUTER = 256
LEVELS: Floats = np.array(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ],
    dtype=np.float32,
)
"""The sixteen values of 4-bit NormalFloat."""
_GRID = 65535
"""Steps between -1 and 1 of the table that bitsandbytes looks scales up in on a CPU."""


class FourBit(Value, frozen=True, kw_only=True):
    """How the base was made four-bit when the adapter was trained: bitsandbytes rounds a little otherwise on a CPU."""

    device: str = ""
    """`cpu`, or anything else for a GPU."""
    dtype: str = ""
    """Number format the weights come back in before they are multiplied: BF16, F16, F32; empty: the base's."""


@lru_cache(maxsize=1)
def dynamic_map() -> Floats:
    """The 256 values of the 8-bit format of the scales: denser towards zero, decade by decade."""
    values = [0.0, 1.0]
    for decade in range(7):
        edges = np.linspace(0.1, 1, 2**decade + 1, dtype=np.float32)
        means = (edges[:-1] + edges[1:]) / np.float32(2) * np.float32(10.0 ** (decade - 6))
        values += [*means, *-means]
    return np.sort(np.array(values, dtype=np.float32))


def block_scales(weights: Weights, name: str, parts: list[slice], device: str = "") -> Floats:
    """The block scales of a matrix as they come back from their 8-bit form; reads it part by part."""
    columns = weights.shape(name)[1]
    if columns % BLOCK:
        raise DataError(f"{name}: rows of {columns} are no multiple of {BLOCK}; merge into the clean base")
    found = read_ahead(lambda part: merge_kernel.largest(weights.read_rows(name, part)), parts)
    return double_quantize(np.concatenate(list(found)), device)


def double_quantize(largest: Floats, device: str = "") -> Floats:
    """Scales quantized to 8 bits round their mean, and back."""
    mean = largest.mean(dtype=np.float32)
    shifted = largest - mean
    padded = np.zeros(-(-len(shifted) // OUTER) * OUTER, dtype=np.float32)
    padded[: len(shifted)] = shifted
    blocks = padded.reshape(-1, OUTER)
    outer = np.abs(blocks).max(-1, keepdims=True)
    table = dynamic_map()
    shares: Floats = blocks * (np.float32(1) / np.where(outer == 0, np.float32(1), outer)).astype(np.float32)
    codes = np.searchsorted((table[1:] + table[:-1]) / 2, to_grid(shares) if device == "cpu" else shares)
    back: Floats = (table[codes] * outer).reshape(-1)[: len(largest)] + mean
    return back


def to_grid(shares: Floats) -> Floats:
    """The places of a table of 65,536 that bitsandbytes' CPU code looks up."""
    places = np.floor((shares + np.float32(1)) * np.float32(_GRID / 2) + np.float32(0.5))
    return np.asarray(places.astype(np.float64) / _GRID * 2 - 1, dtype=np.float32)


def round_to_four_bit(values: Floats, largest: Floats, dtype: str = "F32") -> Floats:
    """Values rounded to NF4 with the scales of their blocks; each block was coded by its own true largest magnitude."""
    restored = LEVELS * largest[:, None]
    if dtype == "BF16":
        restored = merge_kernel.widen(merge_kernel.narrow(restored)[0])
    elif dtype == "F16":
        restored = restored.astype(np.float16).astype(np.float32)
    return merge_kernel.nearest(values, LEVELS, restored)

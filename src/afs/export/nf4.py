"""The base as QLoRA saw it: weights rounded to 4-bit NormalFloat with doubly quantised block scales, and back.

Blocks of 64 values share the largest magnitude as scale; blocks of 256 scales are stored in 8 bits round their mean.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from afs.errors import DataError
from afs.export.weights import Floats, Weights

BLOCK, OUTER = 64, 256
LEVELS: Floats = np.array(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ],
    dtype=np.float32,
)  # fmt: skip
"""The sixteen values of 4-bit NormalFloat."""
_MIDDLES = (LEVELS[1:] + LEVELS[:-1]) / 2
_BINS = 1024
"""Bins between -1 and 1: so narrow that none holds two middles."""
_BELOW = np.searchsorted(_MIDDLES, np.arange(_BINS + 1) * (2 / _BINS) - 1 - 1e-6).astype(np.int8)
"""For each bin how many middles lie below it."""
_EDGES = np.append(_MIDDLES, np.float32(2))


@lru_cache(maxsize=1)
def dynamic_map() -> Floats:
    """The 256 values of the 8-bit format of the scales: denser towards zero, decade by decade."""
    values = [0.0, 1.0]
    for decade in range(7):
        edges = np.linspace(0.1, 1, 2**decade + 1)
        means = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (decade - 6)
        values += [*means, *-means]
    return np.sort(np.array(values, dtype=np.float32))


def scales(weights: Weights, name: str, parts: list[slice]) -> Floats:
    """The block scales of a matrix as they come back from their 8-bit form; reads it part by part."""
    columns = weights.shape(name)[1]
    if columns % BLOCK:
        raise DataError(f"{name}: rows of {columns} are no multiple of {BLOCK}; merge on to the clean base")
    largest = [np.abs(weights.read_rows(name, part)).reshape(-1, BLOCK).max(-1) for part in parts]
    return doubly(np.concatenate(largest))


def doubly(largest: Floats) -> Floats:
    """Scales quantised to 8 bits round their mean, and back."""
    mean = largest.mean(dtype=np.float32)
    shifted = largest - mean
    padded = np.zeros(-(-len(shifted) // OUTER) * OUTER, dtype=np.float32)
    padded[: len(shifted)] = shifted
    blocks = padded.reshape(-1, OUTER)
    outer = np.abs(blocks).max(-1, keepdims=True)
    table = dynamic_map()
    codes = np.searchsorted((table[1:] + table[:-1]) / 2, blocks / np.where(outer == 0, 1, outer))
    back: Floats = (table[codes] * outer).reshape(-1)[: len(largest)] + mean
    return back


def rounded(values: Floats, largest: Floats) -> Floats:
    """Values rounded to NF4 with the scales of their blocks; each block was coded by its own true largest magnitude."""
    blocks = values.reshape(-1, BLOCK)
    true = np.abs(blocks).max(-1, keepdims=True)
    scaled = blocks / np.where(true == 0, np.float32(1), true)
    codes = _BELOW[((scaled + 1) * np.float32(_BINS / 2)).astype(np.int16)]
    codes += np.greater(scaled, _EDGES[codes])
    return np.asarray(LEVELS[codes] * largest[:, None], dtype=np.float32).reshape(values.shape)

"""K-quants (Q4_K, Q5_K, Q6_K) in numpy: for each block, try several scales, fit each by least squares, keep the best.

The layout of a block is public (super-blocks of 256 values); the `gguf` package reads what is written here. Used where
no llama.cpp library is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from afs.export.merge_kernel import Floats

Bytes = NDArray[np.uint8]
Array = NDArray[np.generic]
SUPER = 256
"""Values in a super-block."""
_AT_ONCE = 1 << 20
"""Values worked on at once; bounds the memory."""
_TINY = np.float32(1e-15)


class Grid(NamedTuple):
    """How a type with scale and minimum searches: its largest level and the trial steps round it."""

    top: int
    steps: int
    start: float
    stride: float


_GRIDS: Mapping[int, Grid] = {4: Grid(15, 20, -1.0, 0.1), 5: Grid(31, 15, -0.5, 0.1)}
_WEIGHED = (36, -0.9, 0.05)
"""Steps of the search where columns are weighed by a calibration."""


def quantize(values: Floats, kind: str, importance: Floats | None = None) -> Bytes:
    """Pack values (rows a multiple of 256) into a K-type; `importance` weighs the columns."""
    columns = values.shape[-1]
    blocks = np.ascontiguousarray(values, dtype=np.float32).reshape(-1, SUPER)
    weights = None if importance is None else np.asarray(importance, dtype=np.float32).reshape(-1, SUPER)
    step = max(1, _AT_ONCE // columns) * (columns // SUPER)
    parts = []
    for start in range(0, len(blocks), step):
        part = blocks[start : start + step]
        repeated = None if weights is None else np.tile(weights, (len(part) // len(weights), 1))
        parts.append(QUANTIZERS_BY_NAME[kind](part, repeated))
    return np.concatenate(parts).reshape(*values.shape[:-1], -1)


def _levels(scaled: Array, low: int, high: int) -> Floats:
    return np.clip(np.rint(cast(Floats, scaled)), low, high)


def _fit_affine(x: Floats, w: Floats, levels: Floats) -> tuple[Floats, Floats]:
    """Weighted least squares of x = scale*level + minimum with minimum <= 0, for each row."""
    sw, sx = w.sum(-1), (w * x).sum(-1)
    wl = w * levels
    sl, sl2, sxl = wl.sum(-1), (wl * levels).sum(-1), (wl * x).sum(-1)
    spread = sw * sl2 - sl * sl
    ok = spread > 0
    safe = np.where(ok, spread, 1)
    scale = np.where(ok, (sw * sxl - sx * sl) / safe, 0)
    minimum = np.where(ok, (sl2 * sx - sl * sxl) / safe, 0)
    above = minimum > 0
    scale = np.where(above, sxl / np.where(sl2 > 0, sl2, 1), scale)
    return scale, np.where(above, 0, minimum)


def _search_affine(x: Floats, w: Floats, grid: Grid) -> tuple[Floats, Floats]:
    """The best (scale, minimum) of each row; the minimum is returned positive."""
    low = np.minimum(x.min(-1), 0)
    high = x.max(-1)
    flat = high <= low
    high = np.where(flat, low + 1, high)
    scale, minimum = (high - low) / grid.top, low
    levels = _levels((x - low[:, None]) / scale[:, None], 0, grid.top)
    best = (w * (scale[:, None] * levels + minimum[:, None] - x) ** 2).sum(-1)
    for step in range(grid.steps + 1):
        inverse = (grid.start + grid.stride * step + grid.top) / (high - minimum)
        levels = _levels(inverse[:, None] * (x - minimum[:, None]), 0, grid.top)
        trial, trial_min = _fit_affine(x, w, levels)
        error = (w * (trial[:, None] * levels + trial_min[:, None] - x) ** 2).sum(-1)
        better = (error < best) & (trial > 0)
        best = np.where(better, error, best)
        scale, minimum = np.where(better, trial, scale), np.where(better, trial_min, minimum)
    return np.where(flat, 0, scale), -np.where(flat, low, minimum)


def _weights(x: Floats, importance: Floats | None) -> Floats:
    """How much each value's error counts: as large values do, or as the calibration says."""
    if importance is None:
        return cast(Floats, np.sqrt((x * x).mean(-1, keepdims=True)) + np.abs(x))
    spread = 2 * (x.reshape(-1, SUPER) ** 2).mean(-1).repeat(SUPER // 32)
    return cast(Floats, importance.reshape(x.shape) * np.sqrt(spread[:, None] + x * x))


def _small(values: Floats, weights: Floats | None) -> tuple[Floats, Bytes]:
    """Non-negative values (a row for each super-block) as one scale times levels 0..63."""
    top = np.maximum(values.max(-1, keepdims=True), _TINY)
    if weights is None:
        return top / 63, _levels(63 * values / top, 0, 63).astype(np.uint8)
    best, scale = np.full(top.shape, np.inf, np.float32), top / 63
    found = np.zeros(values.shape, np.float32)
    for step in range(-8, 9):
        levels = _levels((63 + 0.1 * step) * values / top, 0, 63)
        square = (weights * levels * levels).sum(-1, keepdims=True)
        trial = (weights * levels * values).sum(-1, keepdims=True) / np.where(square > 0, square, 1)
        error = (weights * (trial * levels - values) ** 2).sum(-1, keepdims=True)
        better = error < best
        best, scale = np.where(better, error, best), np.where(better, trial, scale)
        found = np.where(better, levels, found)
    return scale, found.astype(np.uint8)


def _affine(blocks: Floats, importance: Floats | None, bits: int) -> tuple[Bytes, Bytes]:
    """Header (both scales and the packed 6-bit sub-scales) and levels of each super-block."""
    count, grid = len(blocks), _GRIDS[bits]
    if importance is not None:
        grid = Grid(grid.top, *_WEIGHED)
    x = blocks.reshape(-1, 32)
    weights = _weights(x, importance)
    scale, minimum = (part.reshape(count, 8) for part in _search_affine(x, weights, grid))
    counted = None if importance is None else weights.sum(-1).reshape(count, 8)
    (top_scale, small), (top_min, small_min) = _small(scale, counted), _small(minimum, counted)
    stored = np.concatenate([top_scale, top_min], axis=1).astype(np.float16)
    real = stored[:, :1].astype(np.float32) * small
    real_min = stored[:, 1:].astype(np.float32) * small_min
    safe = np.where(real == 0, 1, real)
    shifted = (blocks.reshape(count, 8, 32) + real_min[:, :, None]) / safe[:, :, None]
    levels = np.where(real[:, :, None] == 0, 0, _levels(shifted, 0, grid.top)).astype(np.uint8)
    header = np.concatenate([stored.view(np.uint8), _pack_six(small, small_min)], axis=1)
    return header, levels


def _pack_six(scales: Bytes, minima: Bytes) -> Bytes:
    """Eight 6-bit scales and eight 6-bit minima in twelve bytes."""
    first = scales[:, :4] | ((scales[:, 4:] >> 4) << 6)
    second = minima[:, :4] | ((minima[:, 4:] >> 4) << 6)
    third = (scales[:, 4:] & 0xF) | ((minima[:, 4:] & 0xF) << 4)
    return np.concatenate([first, second, third], axis=1)


def _nibbles(levels: Bytes) -> Bytes:
    """Sub-blocks two by two: the first in the low halves of 32 bytes, the second in the high halves."""
    pairs = levels.reshape(len(levels), 4, 2, 32)
    packed = (pairs[:, :, 0] & 0xF) | ((pairs[:, :, 1] & 0xF) << 4)
    return cast(Bytes, packed.reshape(len(levels), 128))


def _q4_k(blocks: Floats, importance: Floats | None) -> Bytes:
    header, levels = _affine(blocks, importance, 4)
    return np.concatenate([header, _nibbles(levels)], axis=1)


def _q5_k(blocks: Floats, importance: Floats | None) -> Bytes:
    header, levels = _affine(blocks, importance, 5)
    places = np.arange(8, dtype=np.uint8)[None, :, None]
    high = np.bitwise_or.reduce((levels >> 4) << places, axis=1)
    return np.concatenate([header, high, _nibbles(levels)], axis=1)


def _search_symmetric(x: Floats, w: Floats) -> Floats:
    """The best scale of each row for levels -32..31."""
    place = np.abs(x).argmax(-1)
    extreme = np.take_along_axis(x, place[:, None], -1)[:, 0]
    safe = np.where(np.abs(extreme) < _TINY, 1, extreme)
    best, scale = np.full(len(x), -1, dtype=np.float32), np.zeros(len(x), dtype=np.float32)
    for step in (0, *(n for n in range(-9, 10) if n)):
        inverse = -(32 + 0.1 * step) / safe
        levels = _levels(inverse[:, None] * x, -32, 31)
        cross, square = (w * x * levels).sum(-1), (w * levels * levels).sum(-1)
        found = square > 0
        gain = np.where(found, cross * cross / np.where(found, square, 1), 0)
        better = found & (gain > best)
        best = np.where(better, gain, best)
        scale = np.where(better, cross / np.where(found, square, 1), scale)
    return np.where(np.abs(extreme) < _TINY, 0, scale)


def _q6_k(blocks: Floats, importance: Floats | None) -> Bytes:
    count = len(blocks)
    x = blocks.reshape(-1, 16)
    weights = x * x if importance is None else importance.reshape(x.shape)
    scale = _search_symmetric(x, weights).reshape(count, 16)
    place = np.abs(scale).argmax(-1)
    extreme = np.take_along_axis(scale, place[:, None], -1)
    empty = np.abs(extreme) < _TINY
    inverse = np.where(empty, 0, -128 / np.where(empty, 1, extreme))
    stored = np.where(empty, 0, 1 / np.where(empty, 1, inverse)).astype(np.float16)
    small = np.minimum(np.rint(inverse * scale), 127).astype(np.int8)
    real = stored.astype(np.float32) * small
    safe = np.where(real == 0, 1, real)
    levels = _levels(blocks.reshape(count, 16, 16) / safe[:, :, None], -32, 31)
    levels = np.where(real[:, :, None] == 0, 0, levels)
    packed = _pack_levels_of_six((levels + 32).astype(np.uint8).reshape(count, 2, 4, 32))
    return np.concatenate([packed, small.view(np.uint8), stored.view(np.uint8)], axis=1)


def _pack_levels_of_six(quarters: Bytes) -> Bytes:
    """Low nibbles of both halves (128 bytes), then their upper two bits (64 bytes)."""
    count = len(quarters)
    low = quarters & 0xF
    nibbles = np.concatenate([low[:, :, 0] | (low[:, :, 2] << 4), low[:, :, 1] | (low[:, :, 3] << 4)], axis=-1)
    places = np.array([0, 2, 4, 6], dtype=np.uint8)[None, None, :, None]
    high = np.bitwise_or.reduce((quarters >> 4) << places, axis=2)
    return np.concatenate([nibbles.reshape(count, 128), high.reshape(count, 64)], axis=1)


QUANTIZERS_BY_NAME: Mapping[str, Callable[[Floats, Floats | None], Bytes]] = {
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}

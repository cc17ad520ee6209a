"""Curves as a page can draw them: few points, the smallest and largest of each piece kept; smoothed; spikes.

Pure: arrays in, lists out. A value that is not a number is None: a gap in the curve.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

MOST_POINTS = 4_000
_SMOOTH_SHARE = 0.02
"""Share of the steps over which the smoothed curve averages."""
_SPIKE = 6.0
"""Distance from the local median, in median deviations, that is marked as a spike."""
_NEAR = 16
"""Points before and after that a spike is compared with."""


class Curve(NamedTuple):
    """Points of one figure over steps."""

    steps: list[int]
    values: list[float | None]


def downsample(steps: Sequence[int], values: array[float], most: int = MOST_POINTS) -> Curve:
    """Each piece of the curve by its smallest and its largest point, in their order; short curves unchanged."""
    count = len(values)
    if count <= most:
        return Curve(list(steps), [_clean(value) for value in values])
    pieces = (most - 2) // 2
    places = {0, count - 1}
    for number in range(pieces):
        low, high = count * number // pieces, count * (number + 1) // pieces
        places.update(_extremes(values, low, high))
    ordered = sorted(places)
    return Curve([steps[place] for place in ordered], [_clean(values[place]) for place in ordered])


def _extremes(values: array[float], low: int, high: int) -> list[int]:
    """Places of the smallest and largest value of a piece; its first place where nothing is a number."""
    part = values[low:high]
    small, large = min(part), max(part)
    if not (math.isfinite(small) and math.isfinite(large)):  # a nan counts only where it is the first of the piece
        finite = [value for value in part if math.isfinite(value)]
        if not finite:
            return [low]
        small, large = min(finite), max(finite)
    return sorted({low + part.index(small), low + part.index(large)})


def cut(
    steps: array[int], values: array[float], first: int | None, last: int | None
) -> tuple[array[int], array[float]]:
    """The part of a curve between two steps, with one point beyond on each side."""
    low = 0 if first is None else max(0, bisect_left(steps, first) - 1)
    high = len(steps) if last is None else min(len(steps), bisect_right(steps, last) + 1)
    return steps[low:high], values[low:high]


def smooth(values: Sequence[float | None], window: int = 0) -> list[float | None]:
    """A moving average over the points around, narrower at the ends; gaps do not count."""
    width = window or max(1, int(len(values) * _SMOOTH_SHARE))
    sums, counts = [0.0], [0]
    for value in values:
        sums.append(sums[-1] + (value or 0.0))
        counts.append(counts[-1] + (value is not None))
    found: list[float | None] = []
    for place in range(len(values)):
        reach = min(width, place, len(values) - 1 - place)
        low, high = place - reach, place + reach + 1
        count = counts[high] - counts[low]
        found.append((sums[high] - sums[low]) / count if values[place] is not None else None)
    return found


def find_spikes(curve: Curve) -> Curve:
    """Points far above what is before and after them; a fall at the start and plain noise are none."""
    steps: list[int] = []
    found: list[float | None] = []
    values = curve.values
    for place, value in enumerate(values):
        if value is None:
            continue
        before = [v for v in values[max(0, place - _NEAR) : place] if v is not None]
        after = [v for v in values[place + 1 : place + 1 + _NEAR] if v is not None]
        if len(before) < _NEAR // 2 or len(after) < 3 or value < 2 * max(before[-1], after[0]):
            continue
        middle = max(median(before), median(after))
        spread = median(abs(v - middle) for v in (*before, *after))
        if value > 2 * middle and value - middle > _SPIKE * spread:
            steps.append(curve.steps[place])
            found.append(value)
    return Curve(steps, found)


def _clean(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""The time left, with an interval: from the pace of the latest steps by the clock, evaluations included."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import median

from afs.intervals import t_quantile
from afs.types import Interval

_BLOCKS = 10
_WINDOW = 1_000
"""Latest steps that show the pace."""
_JUMP = 20.0
"""A block that took so many times the usual one holds a pause of the machine or a clock that was set."""


def forecast_seconds(times: Sequence[float], left: int) -> Interval:
    """Seconds for `left` more steps (95 %), from the times at which the latest ones ended."""
    recent = list(times[-_WINDOW:])
    size = len(recent) // _BLOCKS
    if size < 2 or left <= 0:
        return Interval(value=None if left > 0 else 0.0)
    edges = [*recent[len(recent) - size * _BLOCKS :: size], recent[-1]]
    paces = [(late - early) / size for early, late in itertools.pairwise(edges)]
    usual = median(paces)
    sound = [pace for pace in paces if 0 < pace < _JUMP * usual]
    if len(sound) < 3:
        return Interval(value=None)
    mean = sum(sound) / len(sound)
    spread = math.sqrt(sum((pace - mean) ** 2 for pace in sound) / (len(sound) - 1))
    # the mean pace is uncertain, and so are the blocks that are still to come
    future_blocks = max(1.0, left / size)
    error = t_quantile(0.95, len(sound) - 1) * spread * math.sqrt(1 / len(sound) + 1 / future_blocks)
    return Interval(value=left * mean, low=left * max(0.0, mean - error), high=left * (mean + error), n=len(sound))

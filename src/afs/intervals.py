"""The interval of a share, which several floors state: Wilson's, sound at 0 and at 1."""

from __future__ import annotations

import math

from afs.types import Interval


def normal_quantile(level: float) -> float:
    """The normal quantile of a two-sided level, by bisection of erf."""
    low, high = 0.0, 10.0
    for _ in range(80):
        mid = (low + high) / 2
        low, high = (mid, high) if math.erf(mid / math.sqrt(2)) < level else (low, mid)
    return (low + high) / 2


def wilson_interval(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share; sound at 0 and at 1."""
    if n <= 0:
        return 0.0, 1.0
    z, share = normal_quantile(level), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(0.0, share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def share_interval(successes: int, n: int) -> Interval:
    """A count out of so many as a share with its interval; unknown out of none."""
    if n == 0:
        return Interval(value=None)
    low, high = wilson_interval(successes, n)
    return Interval(value=successes / n, low=low, high=high, n=n)

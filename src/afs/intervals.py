"""Intervals that several layers state: Wilson's interval of a proportion, normal and Student's t quantiles."""

from __future__ import annotations

import math

from afs.types import Interval


def normal_quantile(level: float) -> float:
    """The normal quantile for a two-sided confidence level, by bisection of erf."""
    low, high = 0.0, 10.0
    for _ in range(80):
        mid = (low + high) / 2
        low, high = (mid, high) if math.erf(mid / math.sqrt(2)) < level else (low, mid)
    return (low + high) / 2


def t_tail(t: float, freedom: int) -> float:
    """The chance that Student's t lies beyond `t` on one side; for a negative `t` on the other."""
    if t < 0:
        return 1.0 - t_tail(-t, freedom)
    return 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def t_quantile(level: float, freedom: int) -> float:
    """Student's t quantile of a two-sided level, by bisection."""
    low, high = 0.0, 1e4
    for _ in range(100):
        mid = (low + high) / 2
        low, high = (mid, high) if 1 - 2 * t_tail(mid, freedom) < level else (low, mid)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, by Lentz's continued fraction."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    c, d = 1.0, 1.0 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 500):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1 + term * d)
            c = 1 + term / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-13:
            break
    return front * fraction


def wilson_interval(successes: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion."""
    if n <= 0:
        return 0.0, 1.0
    z, share = normal_quantile(level), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(0.0, share * (1 - share) / n + z * z / (4 * n * n)))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def share_interval(successes: int, n: int) -> Interval:
    """A proportion with its interval; unknown when `n` is 0."""
    if n == 0:
        return Interval(value=None)
    low, high = wilson_interval(successes, n)
    return Interval(value=successes / n, low=low, high=high, n=n)

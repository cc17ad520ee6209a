"""Intervals, paired tests and power, in numpy: what may be said about a difference, and what may not.

Items of one cluster (the same constants, the same source) are not independent. A difference has one interval, one p and
one verdict, all from the same method: Student's t over clusters, or, where few pairs are discordant, Tango's score
interval on as many items as the clusters are worth. A pair in which one side has no answer is left out and counted by
the caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afs.intervals import t_quantile, t_tail, wilson_interval
from afs.types import Interval

Floats = npt.NDArray[np.float64]
LEAST_CLUSTERS = 6
"""With fewer clusters nothing is decided: at 5 the t quantile is 2.8, and one odd cluster decides."""
FEW_DISCORDANT = 10
"""Below this many discordant pairs the variance is itself a guess; the score interval is sound even at 0."""
ASSUMED_DISCORDANT = 0.4
"""Share of items that two models of middling skill answer differently, before anything was measured."""
ASSUMED_CORRELATION = 0.2
"""Correlation of differences within a cluster, before anything was measured."""
_UNSEEN_CORRELATION = 0.5
"""Correlation within clusters where all differences are equal, so that none can be estimated."""


class Paired(NamedTuple):
    """A difference of two models on the same items."""

    interval: Interval
    """Without bounds when there are too few clusters."""
    p: float | None
    """Two-sided."""
    better: int
    """Items only the first one solved."""
    worse: int
    """Items only the second one solved."""
    method: str


def share(values: Sequence[float], clusters: Sequence[str], level: float = 0.95) -> Interval:
    """A mean of values in [0, 1]: Wilson's interval on the number of items that the clusters are worth."""
    n = len(values)
    if n == 0:
        return Interval(value=None)
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    low, high = wilson_interval(mean * n / measured_effect(data, clusters), n / measured_effect(data, clusters), level)
    return Interval(value=mean, low=low, high=high, n=n)


def measured_effect(data: Floats, clusters: Sequence[str]) -> float:
    """By how much clustering widens the variance of the mean; at least 1, and 1 when it cannot be seen."""
    sums, sizes = _by_cluster(data - data.mean(), clusters)
    plain = float(((data - data.mean()) ** 2).sum())
    if len(sums) < 2 or len(sums) == len(data) or plain <= 0:
        return 1.0
    clustered = float((sums**2).sum()) * len(sums) / (len(sums) - 1)
    return min(max(1.0, clustered / plain), float(sizes.max()))


def _by_cluster(data: Floats, clusters: Sequence[str]) -> tuple[Floats, Floats]:
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(index, weights=data).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)


def paired(first: Sequence[float], second: Sequence[float], clusters: Sequence[str], level: float = 0.95) -> Paired:
    """The difference first - second over the same items."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    n, count = len(difference), len(set(clusters))
    if n == 0:
        return Paired(Interval(value=None), None, 0, 0, "no pairs")
    mean = float(difference.mean())
    if count < LEAST_CLUSTERS:
        method = f"undecided: {count} clusters, at least {LEAST_CLUSTERS} are needed"
        return Paired(Interval(value=mean, n=n), None, better, worse, method)
    spread = cluster_error(difference, clusters)
    binary = bool(np.isin(difference, (-1.0, 0.0, 1.0)).all())
    if binary and (better + worse < FEW_DISCORDANT or spread < 1e-12):
        return _score_test(difference, clusters, level)
    half = t_quantile(level, count - 1) * spread
    interval = Interval(value=mean, low=max(-1.0, mean - half), high=min(1.0, mean + half), n=n)
    p = 2 * t_tail(abs(mean) / spread, count - 1) if spread > 0 else float(mean == 0)
    return Paired(interval, p, better, worse, f"t over {count} clusters")


def _score_test(difference: Floats, clusters: Sequence[str], level: float) -> Paired:
    """Tango's interval and the score test of no difference, on the number of items that the clusters are worth."""
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    n, count = len(difference), len(set(clusters))
    effect = measured_effect(difference, clusters) if np.ptp(difference) else 1 + (n / count - 1) * _UNSEEN_CORRELATION
    low, high = tango(better / effect, worse / effect, n / effect, t_quantile(level, count - 1))
    z = abs(better - worse) / math.sqrt((better + worse) * effect) if better + worse else 0.0
    interval = Interval(value=float(difference.mean()), low=low, high=high, n=n)
    return Paired(interval, 2 * t_tail(z, count - 1), better, worse, f"score test over {count} clusters")


def cluster_error(values: Floats, clusters: Sequence[str]) -> float:
    """Standard error of the mean when whole clusters were drawn, not single items."""
    sums, _ = _by_cluster(values - values.mean(), clusters)
    return float(math.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values))


def mean_interval(values: Floats, clusters: Sequence[str], level: float = 0.95) -> Interval:
    """The mean of any numbers with its interval; without bounds when there are too few clusters."""
    mean, count = float(values.mean()), len(set(clusters))
    if count < LEAST_CLUSTERS:
        return Interval(value=mean, n=len(values))
    half = t_quantile(level, count - 1) * cluster_error(values, clusters)
    return Interval(value=mean, low=mean - half, high=mean + half, n=len(values))


def tango(better: float, worse: float, n: float, z: float) -> tuple[float, float]:
    """Tango's score interval for a difference of paired shares; sound when few pairs, or none, are discordant."""
    mean = (better - worse) / n

    def score(delta: float) -> float:
        a, b = 2 * n, -better - worse + (2 * n - better + worse) * delta
        c = -worse * delta * (1 - delta)
        q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        spread = n * (2 * q + delta * (1 - delta))
        return (better - worse - n * delta) / math.sqrt(spread) if spread > 1e-12 else math.inf

    def solve(inside: float, outside: float, wanted: float) -> float:
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(score(middle)) < wanted:
                inside = middle
            else:
                outside = middle
        return inside

    return solve(mean, -1.0, z), solve(mean, 1.0, z)


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values: the family-wise error stays what one test's would be."""
    found: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(ps.items(), key=lambda pair: pair[1])):
        running = max(running, min(1.0, (len(ps) - rank) * p))
        found[name] = running
    return {name: found[name] for name in ps}


def pass_at(n: int, solved: int, k: int) -> float:
    """The unbiased chance that one of `k` answers out of `n` is right."""
    if not 0 < k <= n:
        raise ValueError(f"pass@{k} needs at least {k} answers an item, got {n}")
    return 1.0 if n - solved < k else 1.0 - math.comb(n - solved, k) / math.comb(n, k)


def design_effect(clusters: Sequence[str], correlation: float = ASSUMED_CORRELATION) -> float:
    """By how much clusters of these sizes widen the variance of a mean at this correlation within them."""
    _, sizes = np.unique(np.asarray(clusters), return_counts=True)
    return float(1 + ((sizes**2).sum() / sizes.sum() - 1) * correlation)


def power(
    clusters: Sequence[str], gain: float, *, discordant: float = ASSUMED_DISCORDANT, effect: float = 0.0
) -> float:
    """The chance that the test sees a true gain; `effect` is the design effect, 0 for the one assumed."""
    count = len(set(clusters))
    if count < LEAST_CLUSTERS:
        return 0.0
    variance = max(max(discordant, gain) - gain * gain, 1e-9) * (effect or design_effect(clusters)) / len(clusters)
    return 1 - t_tail(gain / math.sqrt(variance) - t_quantile(0.95, count - 1), count - 1)


def needed_items(margin: float, *, discordant: float, effect: float = 1.0, level: float = 0.9) -> int:
    """Items with which an equal model is shown to be at most `margin` worse in four runs of five."""
    far = 1 << 20
    z = t_quantile(level, far) + t_quantile(0.6, far)
    return math.ceil(discordant * effect * (z / margin) ** 2)

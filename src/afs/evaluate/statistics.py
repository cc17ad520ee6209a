"""Intervals, paired tests and power, in numpy: what may be said about a difference, and what may not.

Items of one cluster are not independent: intervals are resampled by cluster. A pair in which one side has no answer is
left out and counted by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afs.intervals import normal_quantile, wilson_interval
from afs.types import Interval

Floats = npt.NDArray[np.float64]
FEW = 30
"""Below this many discordant pairs the exact distribution decides."""
RESAMPLES = 4000
_SEED = 20261120


class Paired(NamedTuple):
    """A difference of two models on the same items."""

    interval: Interval
    p: float
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
    low, high = wilson_interval(mean * n / _design_effect(data, clusters), n / _design_effect(data, clusters), level)
    return Interval(value=mean, low=low, high=high, n=n)


def _design_effect(data: Floats, clusters: Sequence[str]) -> float:
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
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    difference = a - b
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    n = len(difference)
    if n == 0:
        return Paired(Interval(value=None), 1.0, 0, 0, "no pairs")
    mean = float(difference.mean())
    binary = bool(np.isin(difference, (-1.0, 0.0, 1.0)).all())
    if binary and better + worse < FEW:
        low, high = tango(better, worse, n, level)
        return Paired(Interval(value=mean, low=low, high=high, n=n), mcnemar(better, worse), better, worse, "mid-p")
    low, high = bootstrap(difference, clusters, level)
    method = f"bootstrap over {len(set(clusters))} clusters"
    return Paired(Interval(value=mean, low=low, high=high, n=n), sign_flip(difference, clusters), better, worse, method)


def mcnemar(better: int, worse: int, *, mid: bool = True) -> float:
    """Two-sided p of a split of the discordant pairs: exact, or mid-p, which does not waste what ties take."""
    n, few = better + worse, min(better, worse)
    if n == 0:
        return 1.0
    tail: float = sum(math.comb(n, k) for k in range(few + 1)) / 2**n
    at: float = math.comb(n, few) / 2**n
    return min(1.0, 2 * tail - (at if mid else 0.0))


def tango(better: int, worse: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Tango's score interval for a difference of paired shares; sound when few pairs, or none, are discordant."""
    z, mean = normal_quantile(level), (better - worse) / n

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


def bootstrap(values: Floats, clusters: Sequence[str], level: float = 0.95) -> tuple[float, float]:
    """Percentiles of the mean when whole clusters are drawn again."""
    sums, sizes = _by_cluster(values, clusters)
    rng = np.random.default_rng(_SEED)
    means: list[Floats] = []
    step = max(1, 2_000_000 // len(sums))
    for start in range(0, RESAMPLES, step):
        drawn = rng.integers(0, len(sums), size=(min(step, RESAMPLES - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def sign_flip(values: Floats, clusters: Sequence[str]) -> float:
    """Two-sided p when the sign of each cluster's difference might as well have been the other one."""
    sums, _ = _by_cluster(values, clusters)
    rng = np.random.default_rng(_SEED)
    signs = rng.integers(0, 2, size=(RESAMPLES, len(sums)), dtype=np.int8) * 2.0 - 1.0
    seen = np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9
    return float((seen.sum() + 1) / (RESAMPLES + 1))


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


def power(items: int, gain: float, discordant: float = 0.25, alpha: float = 0.05) -> float:
    """The chance that the exact test sees a true gain, when this share of the pairs differs."""
    discordant = max(discordant, gain)
    lean = (1 + gain / discordant) / 2
    numbers, weights = _binomial(items, discordant)
    return float(sum(weight * _seen(int(n), lean, alpha) for n, weight in zip(numbers, weights, strict=True)))


def _seen(n: int, lean: float, alpha: float) -> float:
    """The chance that the exact test of `n` discordant pairs finds the better side better."""
    tail = np.cumsum(_binomial_weights(n, 0.5))
    enough = int((2 * tail <= alpha).sum())
    return float(_binomial_weights(n, lean)[n - enough + 1 :].sum()) if enough else 0.0


def _binomial_weights(n: int, share: float) -> Floats:
    if n == 0 or share >= 1:
        return np.asarray(np.eye(n + 1)[n], dtype=np.float64)
    k = np.arange(n + 1)
    ways = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    logs = ways[n] - ways[k] - ways[n - k] + k * math.log(share) + (n - k) * math.log1p(-share)
    return np.asarray(np.exp(logs), dtype=np.float64)


def _binomial(n: int, share: float) -> tuple[Floats, Floats]:
    """Outcomes of a binomial with any weight to speak of, and their weights."""
    weights = _binomial_weights(n, share)
    kept = np.flatnonzero(weights > 1e-7)
    return kept.astype(np.float64), weights[kept]

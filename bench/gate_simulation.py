"""What the gate ships when the truth is known: models that are no better, and models that gain 10, 15 and 20 points.

Each world draws a base and a candidate by a logistic model: items differ in difficulty, and within a cluster the two
models' skills go up or down together, so that the differences are strongly correlated. Beside our rule stands a plain
cluster-t interval, whose power is the measure.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from afs.evaluate.statistics import Floats, cluster_error, paired
from afs.intervals import t_quantile

CLUSTERS = ((1, 0.0), (3, 1.0), (6, 1.5), (10, 2.0))
"""Items per cluster, and the spread of a model's skill from cluster to cluster (logits)."""
ITEM_SPREAD = 1.0


def shift(rng: np.random.Generator, base: float, spread: float, gain: float) -> float:
    """The logits that raise a mean share of `base` (at the mean item) by `gain`."""
    noise = rng.normal(0, math.hypot(spread, ITEM_SPREAD), 400_000)
    start = math.log(base / (1 - base))
    share = np.mean(1 / (1 + np.exp(-(start + noise))))
    low, high = 0.0, 8.0
    for _ in range(40 if gain else 0):
        middle = (low + high) / 2
        found = np.mean(1 / (1 + np.exp(-(start + middle + noise))))
        low, high = (middle, high) if found - share < gain else (low, middle)
    return low


def world(
    rng: np.random.Generator, items: int, size: int, base: float, spread: float, by: float
) -> tuple[Floats, Floats]:
    """(candidate, base), 0 or 1 per item."""
    skill = rng.normal(0, ITEM_SPREAD, items) + math.log(base / (1 - base))
    moods = [np.repeat(rng.normal(0, spread, items // size), size) for _ in range(2)]
    return tuple(  # type: ignore[return-value]
        (rng.random(items) < 1 / (1 + np.exp(-(skill + extra + mood)))).astype(float)
        for extra, mood in zip((by, 0.0), moods, strict=True)
    )


def ships(candidate: Floats, base: Floats, clusters: list[str]) -> tuple[bool, bool]:
    """(our gate, a plain cluster-t interval): the lower bound of the paired difference is above zero."""
    low = paired(list(candidate), list(base), clusters).interval.low
    difference = candidate - base
    plain = difference.mean() - t_quantile(0.95, len(set(clusters)) - 1) * cluster_error(difference, clusters)
    return low is not None and low > 0, bool(plain > 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    print(f"{given.worlds} worlds a cell; equal models shipped (nominal 2.5 %), then power as ours / cluster-t\n")
    print("| items | per cluster | base | equal shipped | +10 | +15 | +20 |\n|---|---|---|---|---|---|---|")
    for items in (60, 120, 400):
        for size, spread in CLUSTERS:
            for base in (0.5, 0.15):
                n = items // size * size
                clusters = [str(i // size) for i in range(n)]
                cells = []
                for gain in (0.0, 0.10, 0.15, 0.20):
                    by = shift(rng, base, spread, gain)
                    found = [ships(*world(rng, n, size, base, spread, by), clusters) for _ in range(given.worlds)]
                    ours, plain = (sum(column) / given.worlds for column in zip(*found, strict=True))
                    cells.append(f"{ours:.1%}" if not gain else f"{ours:.0%} / {plain:.0%}")
                print(f"| {n} | {size} | {base} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""What the gate ships when the truth is known: models that are no better, and models that gain 10, 15 and 20 points.

Each world draws a base and a candidate by a logistic model: items differ in difficulty, and within a cluster the two
models' skills go up or down together, so that the differences are strongly correlated. Beside our rule stands a plain
cluster-t interval, whose power is the measure. The rule is computed for all worlds at once, and compared with
`statistics.paired` on some of them.

    python bench/gate_simulation.py [--worlds 20000] [--items 60 120 400]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np

from afs.evaluate.statistics import FEW_DISCORDANT, Floats, paired
from afs.intervals import t_quantile

CLUSTERS = ((1, 0.0), (3, 1.0), (6, 1.5), (10, 2.0))
"""Items per cluster, and the spread of a model's skill from cluster to cluster (logits)."""
BASES = (0.5, 0.15)
GAINS = (0.0, 0.10, 0.15, 0.20)
ITEM_SPREAD = 1.0
_BATCH = 2000
_COMPARED = 40
"""Worlds of each batch on which the real rule is asked too."""


def shift(rng: np.random.Generator, base: float, spread: float, gain: float) -> float:
    """The logits that raise a mean share of `base` (at the mean item) by `gain`."""
    noise = rng.normal(0, math.hypot(spread, ITEM_SPREAD), 200_000)
    start = math.log(base / (1 - base))
    share = np.mean(1 / (1 + np.exp(-(start + noise))))
    low, high = 0.0, 8.0
    for _ in range(30 if gain else 0):
        middle = (low + high) / 2
        found = np.mean(1 / (1 + np.exp(-(start + middle + noise))))
        low, high = (middle, high) if found - share < gain else (low, middle)
    return low


def differences(
    rng: np.random.Generator, worlds: int, shape: tuple[int, int], base: float, spread: float, by: float
) -> Floats:
    """Candidate - base in every world, cluster and item: -1, 0 or 1."""
    clusters, size = shape
    skill = rng.normal(math.log(base / (1 - base)), ITEM_SPREAD, (worlds, clusters, size)).astype(np.float32)
    solved = []
    for extra in (by, 0.0):
        mood = rng.normal(extra, spread, (worlds, clusters, 1)).astype(np.float32)
        share = 1 / (1 + np.exp(-(skill + mood)))
        solved.append(rng.random(share.shape, dtype=np.float32) < share)
    return np.subtract(*solved, dtype=np.float64)


def shipped(found: Floats) -> tuple[Floats, Floats]:
    """(our gate, a plain cluster-t interval) in every world: the lower bound of the difference is above zero."""
    worlds, clusters, size = found.shape
    n = clusters * size
    mean = found.mean(axis=(1, 2))
    sums = found.sum(axis=2) - size * mean[:, None]
    clustered = (sums**2).sum(axis=1) * clusters / (clusters - 1)
    error, z = np.sqrt(clustered) / n, t_quantile(0.95, clusters - 1)
    plain = mean - z * error > 1e-9
    better, worse = (found > 0).sum(axis=(1, 2)), (found < 0).sum(axis=(1, 2))
    total = ((found - mean[:, None, None]) ** 2).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.clip(clustered / total, 1.0, size) if size > 1 else np.ones(worlds)
        effect = np.where(total > 0, effect, 1 + (size - 1) * 0.5)
        score = np.nan_to_num((better - worse) / np.sqrt((better + worse) * effect)) > z
    few = (better + worse < FEW_DISCORDANT) | (error < 1e-12)
    ours = np.where(few, score, plain)
    compare_with_the_rule(found[:_COMPARED], ours)
    return ours.astype(np.float64), plain.astype(np.float64)


def compare_with_the_rule(found: Floats, ours: Floats) -> None:
    """Raise when the rule of the gate says otherwise than what was computed for all worlds at once."""
    names = [str(number) for number in range(found.shape[1]) for _ in range(found.shape[2])]
    for number, world in enumerate(found):
        low = paired(list(world.ravel()), [0.0] * world.size, names).interval.low
        if (low is not None and low > 1e-9) != bool(ours[number]):
            raise AssertionError(f"world {number}: the rule's lower bound is {low}, the table says {ours[number]}")


def rows(rng: np.random.Generator, items: int, worlds: int) -> Iterator[tuple[str, float, float]]:
    """A row of the table for each cell, its share of equal models shipped, and its least power beside cluster-t's."""
    for size, spread in CLUSTERS:
        for base in BASES:
            cells, ratio, equal = [], 1.0, 0.0
            for gain in GAINS:
                by = shift(rng, base, spread, gain)
                parts = [
                    shipped(differences(rng, _BATCH, (items // size, size), base, spread, by))
                    for _ in range(-(-worlds // _BATCH))
                ]
                ours, plain = (float(np.mean([part[column] for part in parts])) for column in (0, 1))
                cells.append(f"{ours:.2%}" if not gain else f"{ours:.1%} / {plain:.1%}")
                equal = ours if not gain else equal
                ratio = min(ratio, ours / plain) if gain else ratio
            yield f"| {items // size * size} | {size} | {base} | {' | '.join(cells)} |", equal, ratio


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=int, default=20_000)
    parser.add_argument("--items", type=int, nargs="+", default=[60, 120, 400])
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    print(f"{given.worlds} worlds a cell; equal models shipped (nominal 2.5 %), then power as ours / cluster-t\n")
    print("| items | per cluster | base | equal shipped | +10 | +15 | +20 |\n|---|---|---|---|---|---|---|")
    worst, least = 0.0, 1.0
    for items in given.items:
        for row, equal, ratio in rows(np.random.default_rng(given.seed + items), items, given.worlds):
            worst, least = max(worst, equal), min(least, ratio)
            print(row, flush=True)
    print(f"\nequal models shipped: at most {worst:.2%}; power: at least {least:.2f} x cluster-t's")


if __name__ == "__main__":
    main()

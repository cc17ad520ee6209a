"""How often a gate ships a model that is no better, or worse: ours beside "the score went up". True effects are known.

Each world draws the base's answers, and those of a candidate whose true share differs by the given points while a
quarter of the pairs changes one way or the other.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from afs.evaluate.statistics import mcnemar, paired, tango


def world(rng: np.random.Generator, items: int, effect: float, discordant: float) -> tuple[np.ndarray, np.ndarray]:
    """(candidate, base), 0 or 1 per item; the effect is exact in expectation."""
    base = (rng.random(items) < 0.5).astype(float)
    gain, loss = (discordant + effect) / 2, (discordant - effect) / 2
    flips = rng.random(items)
    candidate = np.where(base == 0, flips < 2 * gain, flips >= 2 * loss).astype(float)
    return candidate, base


def gate(candidate: np.ndarray, base: np.ndarray, clusters: list[str]) -> bool:
    """The rule of `afs eval gate` for its target: the lower bound of the paired difference is above zero."""
    low = paired(list(candidate), list(base), clusters).interval.low
    return low is not None and low > 0


def main() -> None:
    worlds = 400 if "--small" in sys.argv else 2000
    rng = np.random.default_rng(11)
    started = time.monotonic()
    print(f"{worlds} worlds each, a fifth of them with 300 items; discordant pairs 25 %; share of candidates shipped\n")
    print(f"{'items':>6} {'true effect':>12} {'score went up':>14} {'not worse':>10} {'our gate':>9}")
    for items in (40, 100, 300):
        for effect, label in ((-0.05, "-5 points"), (0.0, "none"), (0.10, "+10 points")):
            up = same = ours = 0
            clusters = [str(i) for i in range(items)]
            count = worlds if items < 200 else worlds // 5
            for _ in range(count):
                candidate, base = world(rng, items, effect, 0.25)
                up += candidate.sum() > base.sum()
                same += candidate.sum() >= base.sum()
                ours += gate(candidate, base, clusters)
            print(f"{items:>6} {label:>12} {up / count:>14.1%} {same / count:>10.1%} {ours / count:>9.1%}")
    print(f"\n{time.monotonic() - started:.1f} s; aim: none at most 5 %, -5 points at most 1 %")
    assert mcnemar(0, 0) == 1.0 and tango(0, 0, 10)[0] < 0


if __name__ == "__main__":
    main()

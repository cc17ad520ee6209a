"""Estimates the reliability of judges from their votes and some items with known truth. Numpy only.

Two-coin Dawid-Skene: each judge has a sensitivity and a specificity, anchored on the items with known truth. A judge
never votes on its own answers; an unreadable vote is an abstention.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afs.intervals import t_quantile
from afs.types import Interval

Floats = npt.NDArray[np.float64]
PRIOR = (4.0, 2.0)
"""Prior: judges are more often right than wrong, as if six votes of each had been seen."""


class PanelFit(NamedTuple):
    """The fitted model."""

    truth: Floats
    """Probability that each item is right."""
    sensitivity: Floats
    """Sensitivity per judge."""
    specificity: Floats
    """Specificity per judge."""
    share: float
    """Share of right answers."""


def dawid_skene(votes: Floats, gold: Floats, rounds: int = 60) -> PanelFit:
    """Expectation-maximization; `votes` is items × judges in {0, 1, nan}, `gold` items in {0, 1, nan}."""
    seen = ~np.isnan(votes)
    yes = np.where(seen, np.nan_to_num(votes), 0.0)
    no = np.where(seen, 1 - np.nan_to_num(votes), 0.0)
    known = ~np.isnan(gold)
    counts = np.maximum(seen.sum(axis=1), 1)
    truth = np.where(known, np.nan_to_num(gold), np.clip(yes.sum(axis=1) / counts, 0.05, 0.95))
    sensitivity = specificity = np.full(votes.shape[1], 0.7)
    share = 0.5
    for _ in range(rounds):
        before = truth
        sensitivity = (truth @ yes + PRIOR[0]) / (truth @ seen + sum(PRIOR))
        specificity = ((1 - truth) @ no + PRIOR[0]) / ((1 - truth) @ seen + sum(PRIOR))
        share = float((truth.sum() + 1) / (len(truth) + 2))
        right = np.log(share) + yes @ np.log(sensitivity) + no @ np.log(1 - sensitivity)
        wrong = np.log(1 - share) + no @ np.log(specificity) + yes @ np.log(1 - specificity)
        truth = np.where(known, np.nan_to_num(gold), 1 / (1 + np.exp(np.clip(wrong - right, -50, 50))))
        if float(np.abs(truth - before).max(initial=0.0)) < 1e-6:
            break
    return PanelFit(truth, sensitivity, specificity, share)


def crossfit(votes: Floats, gold: Floats, folds: int = 5) -> Floats:
    """Probabilities fitted without each item's own truth (cross-fitting)."""
    known = np.flatnonzero(~np.isnan(gold))
    found = dawid_skene(votes, gold).truth
    order = np.random.default_rng(0).permutation(known)
    for fold in range(min(folds, len(order))):
        hidden = order[fold::folds]
        partly = gold.copy()
        partly[hidden] = np.nan
        found[hidden] = dawid_skene(votes, partly).truth[hidden]
    return found


def ppi_interval(gold: Floats, predicted: Floats, elsewhere: Floats, level: float = 0.95) -> Interval:
    """PPI++: the mean over all items, from a few with known truth and predictions for all.

    `gold` and `predicted` are of the known items, `elsewhere` of the others. A useless prediction gets no weight.
    """
    n, rest = len(gold), len(elsewhere)
    if n < 2:
        return Interval(value=None, n=n)
    weight = 0.0
    if rest:
        spread = float(np.concatenate([predicted, elsewhere]).var(ddof=1))
        together = float(np.cov(gold, predicted)[0, 1])
        weight = min(1.0, max(0.0, together / ((1 + n / rest) * spread))) if spread > 1e-12 else 0.0
    shift = weight * float(elsewhere.mean()) if rest else 0.0
    value = float((gold - weight * predicted).mean()) + shift
    # One success and one failure more: without them a few equal truths have no variance, and the interval no width.
    residuals = np.append(gold - weight * predicted, np.array([0.0, 1.0]) - weight * predicted.mean())
    variance = float(residuals.var(ddof=1)) / len(residuals)
    variance += weight**2 * float(elsewhere.var()) / rest if rest else 0.0
    center, half = float(residuals.mean()) + shift, t_quantile(level, n - 1) * variance**0.5
    value = min(1.0, max(0.0, value))
    low, high = min(value, max(0.0, center - half)), max(value, min(1.0, center + half))
    return Interval(value=value, low=low, high=high, n=n + rest)


def effective_size(votes: Floats, truth: Floats) -> float:
    """Effective number of independent judges: their number, shrunk by the correlation of their errors."""
    errors = np.where(np.isnan(votes), np.nan, votes - truth[:, None])
    judges = votes.shape[1]
    alike = []
    for a in range(judges):
        for b in range(a + 1, judges):
            both = ~np.isnan(errors[:, a]) & ~np.isnan(errors[:, b])
            x, y = errors[both, a], errors[both, b]
            if both.sum() > 2 and x.std() > 0 and y.std() > 0:
                alike.append(float(np.corrcoef(x, y)[0, 1]))
    mean = max(0.0, float(np.mean(alike))) if alike else 0.0
    return float(judges / (1 + (judges - 1) * mean))


def bradley_terry(wins: Floats, rounds: int = 500) -> Floats:
    """Strengths (logarithms, mean 0) from a matrix of wins, a tie half a win for each; one lost win against all."""
    games = wins + wins.T
    count = len(wins)
    prior = 0.5
    strength = np.ones(count)
    for _ in range(rounds):
        before = strength
        shared = games / (strength[:, None] + strength[None, :])
        shared[np.diag_indices(count)] = 0
        strength = (wins.sum(axis=1) + prior) / (shared.sum(axis=1) + 2 * prior / (strength + 1))
        strength = strength / np.exp(np.log(strength).mean())
        if float(np.abs(np.log(strength) - np.log(before)).max()) < 1e-9:
            break
    return np.asarray(np.log(strength), dtype=np.float64)


def bradley_terry_intervals(results: Floats, names: int, draws: int = 200) -> list[Interval]:
    """Strengths with bootstrap intervals; a row of `results` is (first, second, share of the win of the first)."""

    def fit(rows: Floats) -> Floats:
        wins = np.zeros((names, names))
        np.add.at(wins, (rows[:, 0].astype(int), rows[:, 1].astype(int)), rows[:, 2])
        np.add.at(wins, (rows[:, 1].astype(int), rows[:, 0].astype(int)), 1 - rows[:, 2])
        return bradley_terry(wins)

    rng = np.random.default_rng(0)
    best = fit(results)
    drawn = np.array([fit(results[rng.integers(0, len(results), len(results))]) for _ in range(draws)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    ends = zip(best, low, high, strict=True)
    return [Interval(value=float(b), low=float(lo), high=float(h), n=len(results)) for b, lo, h in ends]

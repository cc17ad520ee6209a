"""Judges with known faults on answers with known truth: how far each way of using them is from the truth.

Five models are candidates and judges at once. They favor their own wrong answers, err together, like long answers, and
one says yes to nearly everything. Prints the root mean square error of a model's score for each way.
"""

from __future__ import annotations

import sys

import numpy as np

from afs.evaluate.judging.judge_reliability import crossfit, dawid_skene, ppi_interval

MODELS, QUESTIONS, GOLD = 5, 100, 30


def world(rng: np.random.Generator, together: float, own: float) -> tuple[np.ndarray, np.ndarray]:
    """(truth, votes): models x questions, and models x questions x judges."""
    skill = rng.uniform(0.35, 0.8, MODELS)
    hardness = rng.normal(0, 0.7, QUESTIONS)
    chance = 1 / (1 + np.exp(-(np.log(skill / (1 - skill))[:, None] - hardness[None, :])))
    truth = (rng.random((MODELS, QUESTIONS)) < chance).astype(float)
    long = rng.random((MODELS, QUESTIONS)) < 0.4
    says_yes = np.array([0.85, 0.8, 0.9, 0.75, 0.97])
    says_no = np.array([0.7, 0.6, 0.75, 0.55, 0.15])
    shared = rng.random((MODELS, QUESTIONS))
    votes = np.zeros((MODELS, QUESTIONS, MODELS))
    for judge in range(MODELS):
        alone = rng.random((MODELS, QUESTIONS))
        luck = np.where(rng.random((MODELS, QUESTIONS)) < together, shared, alone)
        yes = np.where(truth == 1, says_yes[judge], 1 - says_no[judge]) + 0.1 * long
        yes[judge] += own * (1 - truth[judge])
        votes[:, :, judge] = luck < np.clip(yes, 0.01, 0.99)
    return truth, votes


def estimates(rng: np.random.Generator, truth: np.ndarray, votes: np.ndarray) -> dict[str, np.ndarray]:
    """Every way's score of each model."""
    gold = rng.permutation(QUESTIONS)[:GOLD]
    masked = votes.copy()
    for model in range(MODELS):
        masked[model, :, model] = np.nan
    known = np.full((MODELS, QUESTIONS), np.nan)
    known[:, gold] = truth[:, gold]
    flat, flat_gold = masked.reshape(-1, MODELS), known.reshape(-1)
    own_score = votes.mean(axis=(0, 1))
    fitted = dawid_skene(flat, flat_gold).truth.reshape(MODELS, QUESTIONS)
    blind = dawid_skene(flat, np.full_like(flat_gold, np.nan)).truth.reshape(MODELS, QUESTIONS)
    crossed = crossfit(flat, flat_gold).reshape(MODELS, QUESTIONS)
    rest = np.setdiff1d(np.arange(QUESTIONS), gold)
    intervals = [ppi_interval(truth[m, gold], crossed[m, gold], crossed[m, rest]) for m in range(MODELS)]
    weights = own_score / own_score.sum()
    return {
        "plain mean": votes.mean(axis=(1, 2)),
        "weighted by the judge's own score": (votes * weights).sum(axis=2).mean(axis=1),
        "mean without self": np.nanmean(masked, axis=(1, 2)),
        "Dawid-Skene without gold": blind.mean(axis=1),
        "gold items alone": truth[:, gold].mean(axis=1),
        "Dawid-Skene with gold": fitted.mean(axis=1),
        "PPI++ over it": np.array([i.value for i in intervals]),
        "covered": np.array([i.low <= t <= i.high for i, t in zip(intervals, truth.mean(axis=1), strict=True)]),
        "width": np.array([i.high - i.low for i in intervals]),
    }


def main() -> None:
    worlds = 30 if "--small" in sys.argv else 150
    print(f"{MODELS} models judging each other, {QUESTIONS} questions, {GOLD} with known truth, {worlds} worlds")
    for label, together, own in (("as described", 0.5, 0.25), ("harder", 0.8, 0.40)):
        rng = np.random.default_rng(7)
        errors: dict[str, list[np.ndarray]] = {}
        covered, width = [], []
        for _ in range(worlds):
            truth, votes = world(rng, together, own)
            found = estimates(rng, truth, votes)
            covered.append(found.pop("covered").mean())
            width.append(found.pop("width").mean())
            for name, scores in found.items():
                errors.setdefault(name, []).append((scores - truth.mean(axis=1)) ** 2)
        rmse = {name: float(np.sqrt(np.mean(rows))) for name, rows in errors.items()}
        print(f"\n{label}: errors shared {together:.0%}, self-preference +{own:.0%}")
        for name, value in rmse.items():
            print(f"  {name:<36} RMSE {value:.3f}   {rmse['plain mean'] / value:4.1f} times better than the plain mean")
        print(f"  PPI++ 95 % intervals hold the truth in {np.mean(covered):.1%}, mean width {np.mean(width):.2f}")


if __name__ == "__main__":
    main()

"""Rewards from verdicts, in [0, 1], and preference pairs from verdicts.

A correct answer always earns more than a wrong one, however cheap or well-formed: deleting code,
echoing the question or returning early earns nothing that a right answer would not earn too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from afs import answer_verifier, datasets
from afs.train.settings import Reward
from afs.types import Record, Task, Verdict

Judge = Callable[[Sequence[tuple[Task, str]]], list[Verdict]]
"""Verdicts of (task, answer) pairs, in order."""
_COSTS = ("cycles", "bytes")


class Pair(NamedTuple):
    """Two answers to one task."""

    better: Record
    worse: Record


def reward(task: Task, answer: str, verdict: Verdict, rules: Reward) -> float | None:
    """A verdict as a reward; None when the checker could not decide, which teaches nothing."""
    if verdict.ok is None:
        return None
    if not verdict.ok:
        partial = rules.stage * min(1.0, max(0.0, verdict.score or 0.0))
        return max(0.0, partial - (rules.form if _is_formless(task, answer) else 0.0))
    worth = 1.0 - rules.economy + rules.economy * cost_ratio(task, verdict.facts)
    return max(rules.stage, worth - rules.length * length_excess(answer, task.reference))


def _is_formless(task: Task, answer: str) -> bool:
    """Nothing in the answer can be judged, or it says the question again."""
    return not answer_verifier.load_pack(task.domain).extract(answer) or task.prompt.strip() in answer


def cost_ratio(task: Task, facts: Mapping[str, object]) -> float:
    """How cheap a right answer is beside the reference, in [0, 1]; a half where the pack does not say."""
    ratios = []
    for name in _COSTS:
        got, known = facts.get(name), facts.get(f"reference_{name}", task.spec.get(f"reference_{name}"))
        if isinstance(got, int | float) and isinstance(known, int | float) and got > 0 and known > 0:
            ratios.append(min(2.0, known / got) / 2)
    return sum(ratios) / len(ratios) if ratios else 0.5


def length_excess(answer: str, reference: str) -> float:
    """How far an answer goes beyond four times the reference's length, in [0, 1]."""
    allowed = 4 * max(40, len(reference))
    return min(1.0, max(0.0, len(answer) / allowed - 1.0))


def advantages(rewards: Sequence[float | None]) -> list[float]:
    """Rewards of one task's answers against each other: mean 0, spread 1; all alike teach nothing."""
    known = [value for value in rewards if value is not None]
    if len(known) < 2:
        return [0.0] * len(rewards)
    mean = sum(known) / len(known)
    spread = (sum((value - mean) ** 2 for value in known) / len(known)) ** 0.5
    if spread < 1e-6:
        return [0.0] * len(rewards)
    return [0.0 if value is None else (value - mean) / (spread + 1e-4) for value in rewards]


def preference_pairs(records: Iterable[Record]) -> Iterator[Pair]:
    """Answers to the same task, one that passed and one that did not, each used once."""
    right: dict[str, list[Record]] = {}
    wrong: dict[str, list[Record]] = {}
    for record in records:
        passed = has_passed(record)
        if record.task is not None and passed is not None and datasets.answer_text(record).strip():
            (right if passed else wrong).setdefault(record.task.id, []).append(record)
    for key, better in right.items():
        yield from (Pair(*both) for both in zip(better, wrong.get(key, ()), strict=False))


def has_passed(record: Record) -> bool | None:
    """The last verdict that was decided; None when there is none."""
    known = [verdict.ok for verdict in record.verdicts if verdict.ok is not None]
    return known[-1] if known else None

"""The verdicts of checks: right, wrong, or unknown where the checker and not the answer is at fault."""

from __future__ import annotations

from afs.types import Task, Verdict

NO_ANSWER = "no answer"


def judge_as(task: Task, ok: bool, *, stage: str, reason: str = "", score: float | None = None) -> Verdict:
    """A decided verdict."""
    return Verdict(task=task.id, ok=ok, score=float(ok) if score is None else score, stage=stage, reason=reason)


def judge_unknown(task: Task, reason: str) -> Verdict:
    """Nothing is known about the answer."""
    return Verdict(task=task.id, ok=None, score=None, stage="checker", reason=reason)

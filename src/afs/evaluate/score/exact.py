"""The scorer `exact`: the answer is one of the right ones, case and spacing aside."""

from __future__ import annotations

from typing import ClassVar

from afs.config import Config
from afs.evaluate.score.text_normalization import normalize
from afs.types import Task, Verdict


class Exact(Config, frozen=True, kw_only=True):
    """Equal to the gold answer, or to another right one."""

    id: ClassVar[str] = "exact"
    version: ClassVar[str] = "1"
    accept: tuple[str, ...] = ()
    """Further right answers."""
    last_line: bool = False
    """Compare only the last line of the answer, for models that think aloud."""

    def score(self, task: Task, answer: str) -> Verdict:
        """1 when equal, else 0."""
        lines = answer.strip().splitlines()
        got = normalize(lines[-1] if self.last_line and lines else answer)
        right = {normalize(text) for text in (task.reference, *self.accept)} - {""}
        ok = got in right
        reason = "" if ok else f"want {task.reference[:80]!r}, got {got[:80]!r}"
        return Verdict(task=task.id, ok=ok, score=float(ok), stage="match", reason=reason)

"""The scorer `f1`: how much of the gold text's words are in the answer, and how little else. For text, not for code."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from afs.config import Config, Fraction
from afs.evaluate.score.text_normalization import overlap_verdict, tokens
from afs.types import Task, Verdict


class TokenF1(Config, frozen=True, kw_only=True):
    """Harmonic mean of precision and recall over words."""

    id: ClassVar[str] = "f1"
    version: ClassVar[str] = "1"
    enough: Fraction = 0.5
    """The score from which an answer counts as right."""

    def score(self, task: Task, answer: str) -> Verdict:
        """Words shared with the gold answer."""
        got, want = Counter(tokens(answer)), Counter(tokens(task.reference))
        shared = (got & want).total()
        if not shared:
            return overlap_verdict(task, 0.0, self.enough, precision=0.0, recall=0.0)
        precision, recall = shared / got.total(), shared / want.total()
        value = 2 * precision * recall / (precision + recall)
        return overlap_verdict(task, value, self.enough, precision=precision, recall=recall)

"""The scorers `bleu` and `chrf`, by sacrebleu: n-grams of words or of letters shared with the gold text."""

from __future__ import annotations

from typing import ClassVar

from sacrebleu.metrics import BLEU, CHRF

from afs.config import Config, Fraction
from afs.evaluate.score.text_normalization import overlap_verdict
from afs.types import Task, Verdict

_LEAST_CUT = 50_000
"""Letters of which the n-grams are always counted, in a fraction of a second."""
_MOST_TIMES_LONGER = 50


def cut_answer(answer: str, gold: str) -> str:
    """The answer, cut where it is so much longer than the gold text that its score is close to 0 all the same."""
    return answer[: max(_LEAST_CUT, _MOST_TIMES_LONGER * len(gold))]


class Bleu(Config, frozen=True, kw_only=True):
    """Sentence BLEU with exponential smoothing and effective order."""

    id: ClassVar[str] = "bleu"
    version: ClassVar[str] = "1"
    enough: Fraction = 0.25
    """The score from which an answer counts as right."""

    def score(self, task: Task, answer: str) -> Verdict:
        """Word n-grams shared with the gold answer."""
        said = cut_answer(answer, task.reference)
        value = BLEU(effective_order=True).sentence_score(said, [task.reference]).score / 100
        return overlap_verdict(task, value if answer.strip() else 0.0, self.enough)


class ChrF(Config, frozen=True, kw_only=True):
    """chrF: letters instead of words, for code and short answers."""

    id: ClassVar[str] = "chrf"
    version: ClassVar[str] = "1"
    enough: Fraction = 0.5
    """The score from which an answer counts as right."""

    def score(self, task: Task, answer: str) -> Verdict:
        """Letter n-grams shared with the gold answer."""
        said = cut_answer(answer, task.reference)
        value = CHRF().sentence_score(said, [task.reference]).score / 100
        return overlap_verdict(task, value if answer.strip() else 0.0, self.enough)

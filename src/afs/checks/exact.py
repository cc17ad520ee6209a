"""The check `exact`: the answer is the reference, or one of the accepted texts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from afs.checks.answer_code import extract_code
from afs.checks.verdicts import NO_ANSWER, judge_as, judge_unknown
from afs.config import Config
from afs.types import Task, Verdict


class ExactCheck(Config, frozen=True, kw_only=True):
    """Compares the answer's text."""

    id: ClassVar[str] = "exact"
    version: ClassVar[str] = "1"
    longest_s: ClassVar[float] = 1.0
    accept: tuple[str, ...] = ()
    """Right answers; empty: the task's reference."""
    ignore_case: bool = False
    """Whether capitals do not matter; white space never does."""

    def find_problem(self) -> str:
        """It runs everywhere."""
        return ""

    def pack_files(self, folder: Path) -> ExactCheck:
        """It names no file."""
        return self

    def judge(self, task: Task, answer: str) -> Verdict:
        """Whether the texts are equal."""
        wanted = self.accept or ((task.reference,) if task.reference.strip() else ())
        if not wanted:
            return judge_unknown(task, "the task has no reference to compare with")
        got = self._plain(extract_code(answer))
        if not got:
            return judge_as(task, False, stage="extract", reason=NO_ANSWER)
        right = got in {self._plain(text) for text in wanted}
        return judge_as(
            task, right, stage="match", reason="" if right else f"got {got[:80]!r}, want {wanted[0][:80]!r}"
        )

    def _plain(self, text: str) -> str:
        joined = " ".join(text.split())
        return joined.casefold() if self.ignore_case else joined

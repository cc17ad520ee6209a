"""The scorer `contract`: the answer has the required form: sections in order, first line, length, code.

Form says nothing about correctness: use it inside `all`, beside a scorer of the content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from afs.config import Config
from afs.evaluate.score.text_normalization import tokens
from afs.types import Task, Verdict

_FENCE = re.compile(r"```\w*\n(.*?)(?:```|\Z)", re.S)


class FormContract(Config, frozen=True, kw_only=True):
    """The required form of an answer."""

    id: ClassVar[str] = "contract"
    version: ClassVar[str] = "1"
    sections: tuple[str, ...] = ()
    """Headings or labels that must begin a line, in this order, such as `Diagnosis`, `Fix`."""
    first: str = ""
    """Pattern the first line must match: `(?i)the bug` for an answer that names the fault before anything else."""
    code_after: str = ""
    """The first code block must come after the section of this name."""
    blocks: int = 0
    """Least number of code blocks."""
    most_words: int = 0
    """Greatest length in words; 0: any."""

    def score(self, task: Task, answer: str) -> Verdict:
        """1 when every rule is kept, else 0; an empty answer keeps none."""
        broken = ["empty"] if not answer.strip() else list(self._broken(answer))
        whole = not broken
        return Verdict(task=task.id, ok=whole, score=float(whole), stage="form", reason="; ".join(broken))

    def _broken(self, answer: str) -> Iterator[str]:
        places = [_heading(answer, section) for section in self.sections]
        for section, where in zip(self.sections, places, strict=True):
            if where < 0:
                yield f"no section {section!r}"
        if [p for p in places if p >= 0] != sorted(p for p in places if p >= 0):
            yield "sections out of order"
        lines = [line for line in answer.splitlines() if line.strip()]
        if self.first and not re.search(self.first, lines[0]):
            yield f"the first line is {lines[0][:60]!r}"
        code = _FENCE.search(answer)
        if self.code_after and (code is None or _heading(answer, self.code_after) > code.start()):
            yield f"no code after {self.code_after!r}"
        if len(_FENCE.findall(answer)) < self.blocks:
            yield f"fewer than {self.blocks} code blocks"
        if self.most_words and len(tokens(answer)) > self.most_words:
            yield f"more than {self.most_words} words"


def _heading(answer: str, name: str) -> int:
    found = re.search(rf"(?im)^[#*\t ]*{re.escape(name)}\b", answer)
    return found.start() if found else -1

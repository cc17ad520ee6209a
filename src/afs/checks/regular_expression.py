"""The check `regex`: the answer contains, or is, what a pattern describes. RE2 syntax, which cannot hang."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import ClassVar

import re2

from afs.checks.answer_code import extract_code
from afs.checks.verdicts import NO_ANSWER, judge_as
from afs.config import Config
from afs.errors import ConfigError
from afs.types import Task, Verdict


@functools.lru_cache(maxsize=64)
def _compile(pattern: str) -> re.Pattern[str]:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)  # type: ignore[no-any-return]
    except re2.error as error:
        detail = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ConfigError(
            "check.pattern",
            f"{pattern!r}: {detail}",
            hint="RE2 syntax: no look-around, no back-references; a Python function can do more",
        ) from error


class RegexCheck(Config, frozen=True, kw_only=True):
    """Looks for a pattern in the answer."""

    id: ClassVar[str] = "regex"
    version: ClassVar[str] = "1"
    longest_s: ClassVar[float] = 1.0
    pattern: str
    """Regular expression in RE2's syntax; `(?i)` in front ignores capitals."""
    whole: bool = False
    """Whether the pattern must describe the whole answer."""
    without: str = ""
    """A pattern that must not occur."""

    def find_problem(self) -> str:
        """It runs everywhere."""
        return ""

    def pack_files(self, folder: Path) -> RegexCheck:
        """It names no file; a bad pattern is an error now."""
        _compile(self.pattern)
        if self.without:
            _compile(self.without)
        return self

    def judge(self, task: Task, answer: str) -> Verdict:
        """Whether the pattern fits."""
        text = extract_code(answer, task.prompt) if self.whole else answer.strip()
        if not text:
            return judge_as(task, False, stage="extract", reason=NO_ANSWER)
        pattern = _compile(self.pattern)
        if not (pattern.fullmatch(text) if self.whole else pattern.search(text)):
            return judge_as(task, False, stage="match", reason=f"does not match {self.pattern!r}")
        if self.without and (found := _compile(self.without).search(text)):
            return judge_as(task, False, stage="match", reason=f"contains {found.group(0)[:80]!r}")
        return judge_as(task, True, stage="match")

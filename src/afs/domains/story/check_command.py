"""`afs story check CANON DRAFT`: a draft against a declared canon."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from afs.config import Config
from afs.domains.base import Finding
from afs.domains.story.canon import read_canon
from afs.domains.story.checks import LEFT_TO_JUDGES, check_text
from afs.errors import DataError
from afs.types import Value


class StoryCheckConfig(Config, frozen=True, kw_only=True):
    """Check a draft against a canon: facts, order of events, citations, style and voices."""

    positional: ClassVar[tuple[str, ...]] = ("canon", "draft")

    canon: Path
    """The canon, a TOML file."""
    draft: Path
    """The text to check."""
    cite: bool = True
    """A draft without a citation is a fault."""


class DraftReport(Value, frozen=True, kw_only=True):
    """The remarks on a draft."""

    draft: str
    findings: tuple[Finding, ...]
    not_checked: tuple[str, ...] = LEFT_TO_JUDGES

    @property
    def exit_code(self) -> int:
        """3 when there is a remark."""
        return 3 if self.findings else 0

    def text(self) -> str:
        """One line per remark."""
        lines = [f"{self.draft}:{one.line}: {one.rule}: {one.message}" for one in self.findings]
        count = len(self.findings)
        end = f"{count} remark{'' if count == 1 else 's'}; not checked, for judges: {', '.join(self.not_checked)}"
        return "\n".join([*lines, end])


def check_draft(config: StoryCheckConfig) -> DraftReport:
    """Check one file."""
    try:
        text = config.draft.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{config.draft}: cannot be read: {error}") from error
    return DraftReport(
        draft=str(config.draft), findings=check_text(read_canon(config.canon), text, must_cite=config.cite)
    )

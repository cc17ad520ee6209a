"""The scorer `all`: several scorers at once, and the pack's own check among them when the task has a domain."""

from __future__ import annotations

from typing import ClassVar

from afs import verify
from afs.config import Config, Plugin
from afs.errors import ConfigError
from afs.evaluate.score.scorer import scorer
from afs.types import Task, Verdict


class EveryOf(Config, frozen=True, kw_only=True):
    """The lowest score of several counts, with its reason."""

    id: ClassVar[str] = "all"
    version: ClassVar[str] = "1"
    of: tuple[Plugin, ...]
    """The scorers, each with its options."""

    def score(self, task: Task, answer: str) -> Verdict:
        """Ask every scorer."""
        if not self.of:
            raise ConfigError("of", "want at least one scorer")
        found = [scorer(spec, f"of[{i}]").score(task, answer) for i, spec in enumerate(self.of)]
        if task.domain:
            found.append(verify.check(task, answer))
        unknown = [verdict for verdict in found if verdict.score is None]
        worst = unknown[0] if unknown else min(found, key=lambda verdict: verdict.score or 0.0)
        facts = {key: value for verdict in found for key, value in verdict.facts.items()}
        ok = None if unknown else all(verdict.ok for verdict in found)
        return Verdict(task=task.id, ok=ok, score=worst.score, stage=worst.stage, reason=worst.reason, facts=facts)

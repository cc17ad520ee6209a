"""The scorer `all`: several scorers at once. The lowest score counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from afs.config import Config, Plugin
from afs.errors import ConfigError
from afs.evaluate.score.scorer_interface import scorer
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
        return lowest_verdict([scorer(spec, f"of[{i}]").score(task, answer) for i, spec in enumerate(self.of)])


def lowest_verdict(found: Sequence[Verdict]) -> Verdict:
    """The lowest of several verdicts; unknown ranks below all."""
    unknown = [verdict for verdict in found if verdict.score is None]
    worst = unknown[0] if unknown else min(found, key=lambda verdict: verdict.score or 0.0)
    ok = None if unknown else all(verdict.ok for verdict in found)
    facts = {key: value for verdict in found for key, value in verdict.facts.items()}
    return msgspec.structs.replace(worst, ok=ok, facts=facts)

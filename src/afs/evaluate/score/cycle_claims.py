"""The scorer `claims`: numbers an answer states about itself equal the measured ones.

A routine said to take 20 cycles must take 20 cycles. An answer that fails the pack's check keeps that score; one that
passes loses half for a wrong or missing claim.
"""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec

from afs.config import Config
from afs.errors import ConfigError
from afs.types import Task, Verdict

HALF = 0.45


class ClaimedCycles(Config, frozen=True, kw_only=True):
    """Patterns with one group each: name of a measured fact -> pattern of the number claimed."""

    id: ClassVar[str] = "claims"
    version: ClassVar[str] = "1"
    claims: dict[str, str]
    """The number each pattern captures must equal the fact of that name."""
    tolerance: float = 0.05
    """Relative tolerance: a mean over start states depends on the states."""

    def score(self, task: Task, answer: str) -> Verdict:
        """Without a check there is nothing to compare a claim with."""
        raise ConfigError("scorer", f"`claims` needs an item with a check of its pack; {task.id} has none")

    def refine(self, answer: str, verdict: Verdict) -> Verdict:
        """The pack's verdict, lowered by claims that do not hold."""
        checker = f"{verdict.checker}+{self.id}/{self.version}"
        if not verdict.ok:
            return msgspec.structs.replace(verdict, checker=checker)
        wrong = [problem for name in self.claims if (problem := self._problem(name, answer, verdict))]
        if not wrong:
            return msgspec.structs.replace(verdict, checker=checker)
        reason = "; ".join(wrong)
        return msgspec.structs.replace(
            verdict, ok=False, score=min(verdict.score or 0.0, HALF), stage="claims", reason=reason, checker=checker
        )

    def _problem(self, name: str, answer: str, verdict: Verdict) -> str:
        found, fact = re.search(self.claims[name], answer), verdict.facts.get(name)
        if found is None:
            return f"does not state its {name}"
        if not isinstance(fact, int | float):
            return f"{name} was not measured"
        try:
            claimed = float(found[1].rstrip("."))
        except ValueError:
            return f"{name}: {found[1]!r} is no number"
        near = abs(claimed - fact) <= self.tolerance * max(1.0, abs(fact))
        return "" if near else f"claims {name} {claimed:g}, measured {fact:g}"

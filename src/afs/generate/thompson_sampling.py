"""Which of a cell's arms (template × teacher) makes the next candidate: budgeted Thompson sampling.

The reward is verified samples per dollar, or per call where nothing costs anything or no cost is known. Gates are never
loosened: steering only chooses who is asked.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRIOR_CALLS = 4.0
"""Weight of the common mean in an arm's cost: a few calls say more than the prior."""


@dataclass
class ArmRecord:
    """What an arm has shown so far."""

    accepted: int = 0
    rejected: int = 0
    dollars: float = 0.0
    pending: int = 0

    @property
    def calls(self) -> int:
        """Answers judged."""
        return self.accepted + self.rejected


class Steering:
    """The arms of one cell."""

    def __init__(self, arms: int, seed: int) -> None:
        self.records = [ArmRecord() for _ in range(arms)]
        self._random = random.Random(seed)

    def choose(self, open_arms: Sequence[int]) -> int:
        """The arm for the next candidate, among those that can be asked."""
        if len(open_arms) == 1:
            return open_arms[0]
        calls = sum(record.calls for record in self.records)
        mean = sum(record.dollars for record in self.records) / calls if calls else 0.0

        def value(place: int) -> float:
            record = self.records[place]
            share = self._random.betavariate(1 + record.accepted, 1 + record.rejected + 0.5 * record.pending)
            cost = (record.dollars + _PRIOR_CALLS * mean) / (record.calls + _PRIOR_CALLS)
            return share / cost if mean else share

        return max(open_arms, key=value)

    def settle(self, place: int, *, accepted: bool, dollars: float) -> None:
        """An answer of an arm was judged."""
        record = self.records[place]
        record.accepted += accepted
        record.rejected += not accepted
        record.dollars += dollars

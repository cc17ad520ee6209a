"""A router without training: the keyword tables of a roster, with a threshold per expert.

An expert's confidence grows with the keywords it finds: a telling one makes .85, a weak one (which other experts'
questions hold too) .45, more of them close in on 1. An expert below its threshold does not answer alone; several above
`SEVERAL` answer together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from afs.council.router import Choice
from afs.registry.rosters import Member, load_roster

SEVERAL: Final = 0.6
"""The founding documents ask every expert above this."""
PREFIX: Final = "keywords:"
_TELLING, _WEAK = 0.15, 0.55
"""Doubt left by one keyword of each kind."""


class KeywordRouter:
    """The founding documents' routing table."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = {member.name: member for member in members if member.keywords}
        self._words = {
            name: [(_pattern(word), word in member.weak) for word in member.keywords]
            for name, member in self._members.items()
        }

    def choose(self, question: str) -> list[Choice]:
        """Every expert with its confidence, the most likely first; in a tie the more demanding one."""
        found = [Choice(name, round(self._confidence(name, question), 4)) for name in self._members]
        return sorted(found, key=lambda choice: (-choice.probability, -self._members[choice.label].threshold))

    def _confidence(self, name: str, question: str) -> float:
        doubt = 1.0
        for pattern, is_weak in self._words[name]:
            if pattern.search(question):
                doubt *= _WEAK if is_weak else _TELLING
        return 1.0 - doubt

    def abstains(self, choices: Sequence[Choice]) -> bool:
        """Whether no expert reaches its own threshold."""
        return not any(choice.probability >= self._members[choice.label].threshold for choice in choices)

    def several(self, choices: Sequence[Choice]) -> list[str]:
        """The experts that answer together."""
        return [choice.label for choice in choices if choice.probability > SEVERAL]


def _pattern(word: str) -> re.Pattern[str]:
    """A keyword at the beginning of a word (`crash` is in `crashes`), of whole words where it is short."""
    end = r"(?!\w)" if len(word) < 4 else ""
    return re.compile(rf"(?<!\w){re.escape(word)}{end}", re.IGNORECASE)


def open_keyword_router(roster: str) -> KeywordRouter:
    """The router of a roster's keyword tables."""
    return KeywordRouter(load_roster(roster).experts)

"""The scorer `keywords`: whether the answer mentions what it must, in its own words.

Matches whole words; text copied from the prompt does not count, and a bare list of keywords is no answer. The score is
the share of groups found, so it cannot exceed 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from afs.config import Config, Fraction
from afs.errors import ConfigError
from afs.evaluate.score.text_normalization import tokens
from afs.types import Task, Verdict

COPIED = 4
"""A run of this many words from the prompt counts as copied."""
DENSE = 0.6
"""Share of keywords above which an answer is a bare list."""
CAP = 0.4


class Keywords(Config, frozen=True, kw_only=True):
    """Groups of required synonyms, and forbidden words."""

    id: ClassVar[str] = "keywords"
    version: ClassVar[str] = "1"
    groups: tuple[tuple[str, ...], ...]
    """Any synonym satisfies its group."""
    forbidden: tuple[tuple[str, ...], ...] = ()
    """A synonym of any of these groups makes the answer wrong."""
    enough: Fraction = 1.0
    """The score from which an answer counts as right."""

    def score(self, task: Task, answer: str) -> Verdict:
        """The share of groups found in the answer's own words."""
        if not self.groups:
            raise ConfigError("groups", "want at least one group of keywords")
        words, prompt = tokens(answer, fold=False), tokens(task.prompt, fold=False)
        own = without_copies(words, prompt)
        folded = [word.casefold() for word in own]
        places = {synonym: find_synonym(own, folded, synonym) for group in self.groups for synonym in group}
        found = [group for group in self.groups if any(places[synonym] for synonym in group)]
        bad = [synonym for group in self.forbidden for synonym in group if find_synonym(own, folded, synonym)]
        value = 0.0 if bad else len(found) / len(self.groups)
        reasons = [f"says {', '.join(bad)}"] if bad else []
        used = {
            i for group in self.groups for synonym in group for start, end in places[synonym] for i in range(start, end)
        }
        if len(used) > DENSE * max(1, len(words)) and value > CAP and len(words) > 1:
            value = CAP
            reasons.append("a list of keywords")
        missing = [" / ".join(group) for group in self.groups if group not in found]
        reasons += [f"does not say {', '.join(missing)}"] if missing else []
        return Verdict(
            task=task.id,
            ok=value >= self.enough,
            score=value,
            stage="match",
            reason="; ".join(reasons),
            facts={"found": len(found), "groups": len(self.groups)},
        )


def without_copies(words: Sequence[str], prompt: Sequence[str]) -> list[str]:
    """The words, without runs copied from the prompt."""
    folded, source = [w.casefold() for w in words], [w.casefold() for w in prompt]
    runs = {tuple(source[i : i + COPIED]) for i in range(len(source) - COPIED + 1)}
    copied: set[int] = set()
    for i in range(len(folded) - COPIED + 1):
        if tuple(folded[i : i + COPIED]) in runs:
            copied.update(range(i, i + COPIED))
    if len(source) < COPIED and folded == source:
        copied.update(range(len(folded)))
    return ["" if i in copied else word for i, word in enumerate(words)]


def find_synonym(words: Sequence[str], folded: Sequence[str], synonym: str) -> list[tuple[int, int]]:
    """Positions of a word or phrase in words, given folded too; single letters keep their case (`Y` is a register)."""
    wanted = tokens(synonym, fold=False)
    if not wanted:
        return []
    exact = len(wanted) == 1 and len(wanted[0]) == 1
    goal, text = (wanted, words) if exact else ([word.casefold() for word in wanted], folded)
    size = len(goal)
    return [(i, i + size) for i, word in enumerate(text) if word == goal[0] and list(text[i : i + size]) == goal]

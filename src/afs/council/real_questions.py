"""Questions people asked in public, in our words: what a router is measured on, and learns from beside generated ones.

Each names its thread and date; a thread is one group, so that no router is measured on a thread it learned from. The
labels are tags (`optimize`, `debug` …); an expert gets those of its tags. Generated questions have another shape: a
router that knew all of them was right on a quarter of real ones, so figures come from here where enough fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

import msgspec

from afs.registry.rosters import load_roster
from afs.types import Value

ENOUGH: Final = 40
"""Real questions of at least two experts that make a figure."""
_ROSTERS: Final = ("triforce", "oracle")


class RealQuestion(Value, frozen=True, kw_only=True):
    """One question."""

    address: str
    """The thread it was asked in."""
    date: str
    label: str
    also: str = ""
    """A second tag that would be right too."""
    text: str
    batch: int = 1
    """When it was collected: the second batch was labeled after routers had been tuned on the first, and before any
    router was asked about it."""


@cache
def load_questions() -> tuple[RealQuestion, ...]:
    """All of them."""
    raw = (resources.files("afs.council") / "real_questions.jsonl").read_bytes()
    return tuple(msgspec.json.decode(line, type=RealQuestion) for line in raw.splitlines())


def expert_of_tags(names: Sequence[str]) -> Mapping[str, str]:
    """Tag -> the name that stands for it: itself, or the first expert of the founding rosters with that tag."""
    found = {name: name for name in names}
    for roster in _ROSTERS:
        for member in load_roster(roster).experts:
            for tag in member.tags if member.name in names else ():
                found.setdefault(tag, member.name)
    return found

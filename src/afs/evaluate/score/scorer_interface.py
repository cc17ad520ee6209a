"""The scorer interface, and how a config names one: `{ use = "keywords", groups = […] }`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from afs import plugins
from afs.config import Plugin
from afs.errors import ConfigError
from afs.types import Task, Verdict


class Scorer(Protocol):
    """What a plug-in of the kind `scorer` is, with its options decoded."""

    id: str
    version: str

    def score(self, task: Task, answer: str) -> Verdict:
        """Judge one answer; never raises for a wrong one."""


@runtime_checkable
class Refiner(Protocol):
    """A scorer that adjusts the pack's verdict, which is computed first, in a worker."""

    def refine(self, answer: str, verdict: Verdict) -> Verdict:
        """The verdict, possibly lowered."""


_SCORERS = plugins.OptionTable[Scorer]("scorer")


def scorer(spec: Plugin, where: str = "scorer") -> Scorer:
    """The scorer of a `{use = …}` table, with its options."""
    name = spec.get("use")
    if not isinstance(name, str):
        raise ConfigError(where, 'want a table such as { use = "exact" }')
    return _SCORERS.build(name, spec, prefix=where)

"""Whether a project's own tests can judge: the pack of tested repositories runs them in the sandbox and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from afs.config import Config, decode
from afs.domains.base import DOMAINS
from afs.errors import AfsError
from afs.plugins import REPOSITORY_PACK, Late
from afs.types import Value

_TRIED = 6
"""Functions whose tests are tried on faults: enough to know whether there will be tasks."""


class _Scan(Protocol):
    """What the pack's scan says."""

    passing: int
    failing: int
    guarded: int
    tried: int


class OwnTests(Value, frozen=True, kw_only=True):
    """What the tests are good for."""

    path: str
    passing: int = 0
    failing: int = 0
    tried: int = 0
    guarded: int = 0
    """Of the functions tried: those whose tests notice faults."""
    problem: str = ""
    """Why the tests cannot be used."""

    @property
    def usable(self) -> bool:
        """Whether tasks can be made whose answers the tests judge."""
        return self.guarded > 0


def run_own_tests(path: str) -> OwnTests:
    """Run the tests of a Python project, and try some of its functions on planted faults."""
    verb = DOMAINS.find(REPOSITORY_PACK).verbs["scan"]
    config = decode(Late[type[Config]](verb.config).load(), {"path": path, "sample": _TRIED})
    try:
        found = cast(_Scan, Late[Callable[[Config], object]](verb.function).load()(config))
    except AfsError as error:
        return OwnTests(path=path, problem=str(error).splitlines()[0])
    problem = "" if found.guarded else f"{found.passing} pass, and notice no fault in {found.tried} functions tried"
    return OwnTests(
        path=path,
        passing=found.passing,
        failing=found.failing,
        tried=found.tried,
        guarded=found.guarded,
        problem=problem,
    )


def name_of(tests: OwnTests) -> str:
    """The project's name."""
    return Path(tests.path).name

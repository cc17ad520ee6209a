"""Families that an expert fails in a stored evaluation become targets: new tasks of them, never its items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from afs import plugins
from afs.errors import DataError
from afs.generate.config import CellConfig
from afs.plugins import HOOKS
from afs.types import Task, digest
from afs.workspace import Workspace

_RESULTS = plugins.Late[Callable[[Workspace, str], list[tuple[Task, bool]]]](HOOKS["subject_results"])


class FailedFamilies(NamedTuple):
    """What a report says of its subject."""

    report: str
    shares: dict[tuple[str, str], float]
    """(domain, family) -> share of its items that were not solved."""
    held_out: frozenset[str]
    """Ids and questions of the items, which are never asked."""

    def tasks(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """The tasks that are no items of the evaluation."""
        return (task for task in tasks if self.held_out.isdisjoint((task.id, _question(task))))

    @property
    def digest(self) -> str:
        """What is left out; a part of a cell's identity."""
        return digest(sorted(self.held_out))

    def cells(self, count: int) -> list[CellConfig]:
        """So many samples, shared in proportion to what each family failed; the sum is exact."""
        total = sum(self.shares.values())
        exact = {key: count * share / total for key, share in self.shares.items()}
        whole = {key: int(value) for key, value in exact.items()}
        by_rest = sorted(exact, key=lambda key: (whole[key] - exact[key], key))
        for key in by_rest[: count - sum(whole.values())]:
            whole[key] += 1
        return [CellConfig(domain=key[0], family=key[1], count=n) for key, n in sorted(whole.items()) if n]


def failed_families(workspace: Workspace, report: str) -> FailedFamilies:
    """Read a report; one whose subject failed nothing has no targets."""
    results = _RESULTS.load()(workspace, report)
    asked, failed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for task, is_solved in results:
        asked[task.domain, task.family] += 1
        failed[task.domain, task.family] += not is_solved
    shares = {key: failed[key] / asked[key] for key in asked if failed[key]}
    if not shares:
        raise DataError(f"{report}: its subject solved all of {len(results)} items; there is nothing to aim at")
    held_out = {text for task, _ in results for text in (task.id, _question(task))}
    return FailedFamilies(report, shares, frozenset(held_out))


def _question(task: Task) -> str:
    return " ".join(task.prompt.split())

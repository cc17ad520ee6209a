"""A suite and its items: each a task with its category and scorer."""

from __future__ import annotations

from afs.config import Plugin
from afs.types import Task, Value, digest


class SuiteItem(Value, frozen=True, kw_only=True):
    """One question of a suite."""

    task: Task
    category: str
    scorer: Plugin = {}
    """`{use = "name", …}`: a scorer and its options; empty: judged by the pack of the task's domain."""

    @property
    def id(self) -> str:
        """The item's id."""
        return self.task.id

    @property
    def cluster(self) -> str:
        """Groups items that share constants or are paraphrases; an item without a group is its own cluster."""
        return f"{self.task.family}#{self.task.group}" if self.task.group else f"{self.task.family}/{self.task.id}"


class Suite(Value, frozen=True, kw_only=True):
    """Named items; equal content gives an equal digest."""

    name: str
    items: tuple[SuiteItem, ...]
    version: str = "1"
    parents: tuple[str, ...] = ()
    """Datasets it was drawn from."""

    @property
    def digest(self) -> str:
        """Digest of all items in order."""
        return digest(self.items)

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in the order they appear."""
        return tuple(dict.fromkeys(item.category for item in self.items))

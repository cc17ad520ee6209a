"""`afs data diff A B`: what entered, what left, what changed its content and what changed its side."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from afs import datasets
from afs.config import Config
from afs.types import Value
from afs.workspace import Workspace


class DiffConfig(Config, frozen=True, kw_only=True):
    """Compare two versions."""

    positional: ClassVar[tuple[str, ...]] = ("before", "after")
    before: str
    """The older set."""
    after: str
    """The newer set."""
    n: int = 10
    """Samples of each kind of change."""


class Change(Value, frozen=True, kw_only=True):
    """One record that differs."""

    id: str
    what: str
    question: str


class Diff(Value, frozen=True, kw_only=True):
    """All differences in sum, and samples of each."""

    before: str
    after: str
    same: int
    entered: int
    left: int
    changed: int
    moved: int
    samples: tuple[Change, ...]

    def text(self) -> str:
        """Sums first, then samples."""
        head = (
            f"{self.before} → {self.after}: {self.entered} entered, {self.left} left, {self.changed} changed, "
            f"{self.moved} on another side, {self.same} the same"
        )
        return "\n".join([head, *(f"{c.what:<10} {c.id[:12]}  {c.question}" for c in self.samples)])


class _Entry(NamedTuple):
    side: str
    key: str
    question: str


def compare_sets(config: DiffConfig, workspace: Workspace) -> Diff:
    """Compare by id; a record that left and one that entered at the same place is one that changed."""
    old, new = _index(workspace, config.before), _index(workspace, config.after)
    removed, added = [i for i in old if i not in new], [i for i in new if i not in old]
    places = {old[i].key: i for i in removed}
    changed = [i for i in added if new[i].key in places]
    replaced = {places[new[i].key] for i in changed}
    entered = [i for i in added if new[i].key not in places]
    left = [i for i in removed if i not in replaced]
    moved = [i for i in old if i in new and old[i].side != new[i].side]
    samples = [
        *(_describe_change(i, "entered", new) for i in entered[: config.n]),
        *(_describe_change(i, "left", old) for i in left[: config.n]),
        *(_describe_change(i, "changed", new) for i in changed[: config.n]),
        *(_describe_change(i, f"{old[i].side}→{new[i].side}", new) for i in moved[: config.n]),
    ]
    return Diff(
        before=config.before,
        after=config.after,
        same=len(old) - len(removed) - len(moved),
        entered=len(entered),
        left=len(left),
        changed=len(changed),
        moved=len(moved),
        samples=tuple(samples),
    )


def _index(workspace: Workspace, text: str) -> dict[str, _Entry]:
    dataset = datasets.load(workspace, text)
    found = {}
    for split in dataset.splits:
        for record in datasets.read(workspace, dataset, split.name):
            key = record.task.id if record.task else record.origin.uri or record.id
            found[record.id] = _Entry(split.name, key, " ".join(datasets.question_text(record).split())[:80])
    return found


def _describe_change(key: str, what: str, index: dict[str, _Entry]) -> Change:
    return Change(id=key, what=what, question=index[key].question)

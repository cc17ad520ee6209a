"""Tasks made offline: unlimited, verified, the same for the same seed.

A family is named `kind/name` (`generate/add16`); a kind alone (`generate`) or a prefix (`tiny`) draws from all its
families in turn. Reference answers pass their own check; equal tasks have equal ids and come once per call.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from afs import plugins
from afs.errors import UsageError
from afs.types import Task

Make: TypeAlias = "Callable[[random.Random], Task | None]"
"""One task from a random source; None when this draw gives no fair task."""

KINDS: Final[Mapping[str, str]] = {
    "generate": "afs.domains.snes.tasks.generate:FAMILIES",
    "optimize": "afs.domains.snes.tasks.optimize:FAMILIES",
    "debug": "afs.domains.snes.tasks.debug:FAMILIES",
    "explain": "afs.domains.snes.tasks.explain:FAMILIES",
    "cycles": "afs.domains.snes.tasks.cycles:FAMILIES",
    "translate": "afs.domains.snes.tasks.translate:FAMILIES",
    "patch": "afs.domains.snes.tasks.patch:FAMILIES",
    "graphics": "afs.domains.snes.graphics.families:FAMILIES",
    "tiny": "afs.domains.snes.tasks.tiny:FAMILIES",
}
"""Kind -> where its families are: name -> `Make`."""
_PATIENCE: Final = 200


def list_families(kind: str) -> dict[str, Make]:
    """The families of a kind, by full name."""
    table = plugins.Late[Mapping[str, Make]](KINDS[kind]).load()
    return {f"{kind}/{name}": make for name, make in table.items()}


def select_families(family: str) -> dict[str, Make]:
    """The families a name stands for: itself, or all of a kind."""
    kind, _, name = family.partition("/")
    if kind not in KINDS:
        raise UsageError(f"no family of tasks is called {family!r}{plugins.suggest_name(kind, KINDS)}")
    known = list_families(kind)
    if not name:
        return known
    found = {full: make for full, make in known.items() if full == family or full.startswith(family + "/")}
    if not found:
        raise UsageError(f"no family of tasks is called {family!r}{plugins.suggest_name(family, known)}")
    return found


def draw_tasks(family: str, seed: int, n: int) -> Iterator[Task]:
    """`n` different tasks of a family or kind; fewer only where the family has no more."""
    makes = list(select_families(family).items())
    sources = {name: random.Random(f"{name}:{seed}") for name, _ in makes}
    seen: set[str] = set()
    while makes and len(seen) < n:
        for name, make in list(makes):
            if len(seen) >= n:
                return
            task = _draw_fresh(make, sources[name], seen)
            if task is None:
                makes = [pair for pair in makes if pair[0] != name]
                continue
            seen.add(task.id)
            yield task


def _draw_fresh(make: Make, rng: random.Random, seen: set[str]) -> Task | None:
    """A task not seen before; None when the family seems to have no more."""
    for _ in range(_PATIENCE):
        task = make(rng)
        if task is not None and task.id not in seen:
            return task
    return None

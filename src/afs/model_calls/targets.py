"""A name of a model -> the targets it stands for, each opened once and sharing its limits within a process."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path

from afs.errors import ConfigError, UsageError
from afs.model_calls.settings import Route, read_providers, routes
from afs.model_calls.target import Limits, Reach, Target
from afs.providers.base import Provider
from afs.providers.capabilities import capabilities_of

Open = Callable[[str, Mapping[str, object]], Provider]
"""Opens `provider:model` or a stored model; the layers above know how."""


class TargetPool:
    """The targets of one command."""

    def __init__(self, root: Path, open_provider: Open, *, concurrency: int = 64) -> None:
        self.root, self._open, self._concurrency = root, open_provider, concurrency
        self._limits: dict[str, Limits] = {}
        self._targets: dict[str, Target] = {}
        self._chains: dict[str, list[Target]] = {}

    def chain(self, spec: str, options: Mapping[str, object] = {}) -> list[Target]:
        """The targets of a tier, a chain, or a single model."""
        if spec not in self._chains:
            self._chains[spec] = [self._target(route) for route in routes(self.root, spec, options)]
        return self._chains[spec]

    @property
    def every(self) -> list[Target]:
        """All that were opened."""
        return list(self._targets.values())

    def _target(self, route: Route) -> Target:
        key = f"{route.spec}|{sorted(route.options.items(), key=str)}"
        if key not in self._targets:
            refuse_ended(self.root, route.spec)
            settings = route.settings
            reach = Reach(
                concurrency=settings.concurrency,
                requests_per_minute=settings.requests_per_minute,
                tokens_per_minute=settings.tokens_per_minute,
                weight=route.weight,
            )
            limits = self._limits.setdefault(route.group, Limits())
            provider = self._open(route.spec, route.options)
            self._targets[key] = Target(provider, reach=reach, limits=limits, concurrency=self._concurrency)
        return self._targets[key]


def refuse_ended(root: Path, spec: str, today: datetime.date | None = None) -> None:
    """A model that was switched off is named before anything is sent."""
    special = read_providers(root).models.get(spec)
    ends = (special.ends if special else "") or capabilities_of(spec).ends
    if not ends:
        return
    try:
        day = datetime.date.fromisoformat(ends)
    except ValueError as error:
        raise ConfigError(f'models."{spec}".ends', f"want a day such as 2027-01-22, got {ends!r}") from error
    if day < (today or datetime.date.today()):
        raise UsageError(f"{spec} was switched off on {ends}; name another model")

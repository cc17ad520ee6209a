"""A name of a model -> the targets it stands for, each opened once and sharing its limits within a process."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path

from afs.errors import ConfigError, UsageError
from afs.model_calls.provider_settings import Route, read_providers, routes
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
            refuse_ended(self.root, route.spec, str(route.options.get("name") or route.spec))
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


def end_of(root: Path, spec: str, name: str) -> datetime.date | None:
    """The day a model is switched off: stated for its name in providers.toml, or known."""
    stated = [read_providers(root).models.get(key) for key in (name, spec)]
    ends = next((special.ends for special in stated if special and special.ends), "") or capabilities_of(spec).ends
    try:
        return datetime.date.fromisoformat(ends) if ends else None
    except ValueError as error:
        raise ConfigError(f'models."{name}".ends', f"want a day such as 2027-01-22, got {ends!r}") from error


def refuse_ended(root: Path, spec: str, name: str = "", today: datetime.date | None = None) -> None:
    """A model that was switched off is named before anything is sent."""
    day = end_of(root, spec, name or spec)
    if day is not None and day < (today or datetime.date.today()):
        raise UsageError(f"{name or spec} was switched off on {day}; name another model")

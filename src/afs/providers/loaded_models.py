"""Which models are in memory: at most so many at once, and the one that was idle longest makes room for the next."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Loadable(Protocol):
    """A model that can be brought into memory and put out of it."""

    def load(self) -> None:
        """Bring it into memory, unless it is there."""

    def unload(self) -> None:
        """Free its memory."""


class LoadedModels:
    """The models in memory, with how many requests each answers now."""

    def __init__(self, most: int = 0) -> None:
        self.most = most
        """Models in memory at once; 0: all."""
        self._users: OrderedDict[Loadable, int] = OrderedDict()
        self._changed = threading.Condition()

    @contextmanager
    def use(self, model: Loadable) -> Iterator[None]:
        """The model is in memory for as long as this lasts; waits while every other one is busy."""
        self.take(model)
        try:
            yield
        finally:
            self.give(model)

    def take(self, model: Loadable) -> None:
        """Load it for one request."""
        with self._changed:
            while model not in self._users and 0 < self.most <= len(self._users):
                idle = next((one for one, users in self._users.items() if not users), None)
                if idle is None:
                    self._changed.wait()
                    continue
                del self._users[idle]
                idle.unload()
            self._users[model] = self._users.get(model, 0) + 1
            self._users.move_to_end(model)
        try:
            model.load()
        except BaseException:
            self.give(model)
            self.forget(model)
            raise

    def give(self, model: Loadable) -> None:
        """One request less."""
        with self._changed:
            if model in self._users:
                self._users[model] -= 1
            self._changed.notify_all()

    def forget(self, model: Loadable) -> None:
        """It was unloaded by its owner."""
        with self._changed:
            if not self._users.get(model, 1):
                del self._users[model]
            self._changed.notify_all()


LOADED = LoadedModels()
"""Those of this process."""

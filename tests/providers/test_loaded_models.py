"""Models in memory: the one that was idle longest makes room, a busy one never does."""

from __future__ import annotations

import threading

import pytest

from afs.errors import ProviderError
from afs.providers.loaded_models import LoadedModels


class Model:
    """Counts how often it was loaded."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name, self.is_broken = log, name, False

    def load(self) -> None:
        if self.is_broken:
            raise ProviderError("no memory")
        if self.log.count(f"+{self.name}") == self.log.count(f"-{self.name}"):
            self.log.append(f"+{self.name}")

    def unload(self) -> None:
        self.log.append(f"-{self.name}")


def test_the_one_idle_longest_makes_room() -> None:
    log: list[str] = []
    a, b, c = (Model(log, name) for name in "abc")
    loaded = LoadedModels(2)
    for model in (a, b, a, c, a, b):
        with loaded.use(model):
            pass
    assert log == ["+a", "+b", "-b", "+c", "-c", "+b"]


def test_a_busy_model_stays_and_the_next_waits_for_it() -> None:
    log: list[str] = []
    a, b = Model(log, "a"), Model(log, "b")
    loaded, began = LoadedModels(1), threading.Event()

    def ask() -> None:
        began.set()
        with loaded.use(b):
            log.append("b answers")

    with loaded.use(a):
        thread = threading.Thread(target=ask)
        thread.start()
        began.wait(10)
        log.append("a answers")
    thread.join(10)
    assert log == ["+a", "a answers", "-a", "+b", "b answers"]


def test_without_a_limit_nothing_is_unloaded_and_a_failure_takes_no_room() -> None:
    log: list[str] = []
    models = [Model(log, name) for name in "abcde"]
    every = LoadedModels()
    for model in models:
        with every.use(model):
            pass
    assert log == ["+a", "+b", "+c", "+d", "+e"]
    one = LoadedModels(1)
    models[0].is_broken = True
    with pytest.raises(ProviderError), one.use(models[0]):
        pass
    with one.use(models[1]):
        assert "-a" not in log, "what never came into memory is not put out of it"

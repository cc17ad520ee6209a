"""table: every verb: where its config class and its function live, and what it needs.

The command line, recipes and Python all go through here; nothing is imported until its verb is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, cast

from afs import plugins, runs
from afs.config import Config
from afs.workspace import Workspace

Needs = Literal["run", "workspace", "nothing"]


class Verb(NamedTuple):
    """One verb: `function(config, run)`, `function(config, workspace)` or `function(config)`, by what it needs."""

    config: str
    function: str
    help: str
    needs: Needs = "run"


VERBS: dict[str, Verb] = {
    "generate": Verb(
        "afs.generate:GenerateConfig", "afs.generate:generate", "make verified records by a pack or a teacher"
    ),
}


def config_class(verb: Verb) -> type[Config]:
    """The config class of a verb."""
    return cast(type[Config], plugins.load(verb.config))


def do(name: str, config: Config, workspace: Workspace | None = None) -> object:
    """Carry out a verb."""
    verb = VERBS[name]
    function = cast(Callable[..., object], plugins.load(verb.function))
    if verb.needs == "nothing":
        return function(config)
    place = workspace or Workspace.find()
    if verb.needs == "workspace":
        return function(config, place)
    with runs.running(place, name, config) as run:
        return function(config, run)

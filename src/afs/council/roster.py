"""Opens the council of a workspace: the registered experts with their models, the router, and the fallback."""

from __future__ import annotations

from afs import artifacts, models
from afs.council.answer import Chooser, Council
from afs.council.keyword_router import PREFIX, open_keyword_router
from afs.council.reply_check import ReplyChecker
from afs.council.router_store import open_router
from afs.errors import WorkspaceError
from afs.providers.base import Provider
from afs.registry import Registry
from afs.types import Expert
from afs.workspace import Workspace


def open_council(workspace: Workspace, *, checks: bool = True) -> Council:
    """The council of the registry's experts, with the newest router; `checks` judges its replies."""
    settings = workspace.settings.council
    registry = Registry(workspace)
    experts = [e for e in registry.experts() if not settings.experts or e.name in settings.experts]
    if not experts:
        raise WorkspaceError("no expert is registered; `afs quickstart` makes two, `afs models register` adds one")
    opened = {expert.name: (expert, registry.open(expert.name)) for expert in experts}
    router = open_chooser(workspace)
    fallback = _open_fallback(workspace, registry, experts) if router or settings.fallback else None
    exact = {name: f"{(found := registry.resolve(name)).ref} sha256:{found.digest}" for name in opened}
    if fallback is not None:
        exact[""] = fallback.name
    council = Council(opened, router, fallback, ReplyChecker() if checks else None, settings.repairs, exact)
    council.tools = settings.tools
    return council


def open_chooser(workspace: Workspace) -> Chooser | None:
    """The router of the settings: an artifact, a roster's keyword tables, or the newest trained one."""
    name = workspace.settings.council.router
    if name.startswith(PREFIX):
        return open_keyword_router(name.removeprefix(PREFIX))
    return open_router(workspace, name)


def _open_fallback(workspace: Workspace, registry: Registry, experts: list[Expert]) -> Provider | None:
    """The model named in the settings (a registered name, a provider or an artifact), else the experts' base."""
    name = workspace.settings.council.fallback
    if name:
        is_registered = name in registry.entries()
        return registry.open(name) if is_registered else models.open_model(workspace, name)
    for expert in experts:
        artifact = artifacts.load(workspace, expert.model)
        if artifact.form == "adapter" and artifact.base and artifact.facts.get("format") == "gguf":
            return registry.open(expert.name, {"adapter": "", "name": artifact.base})
    return None

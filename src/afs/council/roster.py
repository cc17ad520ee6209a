"""Opens the council of a workspace: the registered experts with their models, the router, and the fallback."""

from __future__ import annotations

from afs import models, verify
from afs.council.answer import Council
from afs.council.router_store import open_router
from afs.errors import WorkspaceError
from afs.registry import Registry
from afs.workspace import Workspace


def open_council(workspace: Workspace) -> Council:
    """The council of the registry's experts, with the newest router."""
    settings = workspace.settings.council
    registry = Registry(workspace)
    experts = [e for e in registry.experts() if not settings.experts or e.name in settings.experts]
    if not experts:
        raise WorkspaceError("no expert is registered; `afs quickstart` makes two, `afs models register` adds one")
    opened = {expert.name: (expert, registry.open(expert.name)) for expert in experts}
    fallback = models.open_model(workspace, settings.fallback) if settings.fallback else None
    return Council(opened, open_router(workspace, settings.router), fallback, verify.check_answer)

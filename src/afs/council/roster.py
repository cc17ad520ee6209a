"""Opens the council of a workspace: the registered experts with their models, the router, and the fallback."""

from __future__ import annotations

from collections.abc import Sequence

from afs import artifacts, models
from afs.council.answer import Chooser, Council
from afs.council.keyword_router import PREFIX, open_keyword_router
from afs.council.reply_check import ReplyChecker
from afs.council.router_store import open_router
from afs.council.stored_council import list_members, load_council
from afs.errors import WorkspaceError
from afs.providers.base import Provider
from afs.registry import Registry
from afs.types import Expert
from afs.workspace import CouncilSettings, Workspace


def open_council(workspace: Workspace, stored: str = "", *, checks: bool = True) -> Council:
    """A stored council, or that of the registry's champions; `checks` judges its replies."""
    registry, settings = Registry(workspace), workspace.settings.council
    if name := stored or settings.use:
        _, pinned = load_council(workspace, name)
        return _open(workspace, [member.expert for member in pinned.members], pinned.settings, checks=checks)
    experts = list_members(workspace, registry)
    if not experts:
        raise WorkspaceError(_no_expert(sorted(registry.entries())))
    return _open(workspace, experts, settings, checks=checks)


def _no_expert(registered: Sequence[str]) -> str:
    """Why nobody can answer, and the next command."""
    if not registered:
        return "no expert is registered; `afs quickstart` makes two, `afs models register` adds one"
    names, command = ", ".join(registered[:3]), f"`afs models promote {registered[0]}`"
    return f"no expert is in service: {names} has no champion; {command} makes its candidate one"


def _open(workspace: Workspace, experts: Sequence[Expert], settings: CouncilSettings, *, checks: bool) -> Council:
    registry = Registry(workspace)
    opened = {expert.name: (expert, registry.open(expert.model)) for expert in experts}
    router = open_chooser(workspace, settings.router)
    fallback = _open_fallback(workspace, registry, experts, settings) if router or settings.fallback else None
    exact = {}
    for expert in experts:
        artifact = artifacts.load(workspace, expert.model)
        exact[expert.name] = f"{artifact.ref} sha256:{artifact.digest}"
    if fallback is not None:
        exact[""] = fallback.name
    council = Council(opened, router, fallback, ReplyChecker() if checks else None, settings.repairs, exact)
    council.tools = settings.tools
    return council


def open_chooser(workspace: Workspace, name: str) -> Chooser | None:
    """A router: an artifact, a roster's keyword tables, or the newest trained one."""
    if name.startswith(PREFIX):
        return open_keyword_router(name.removeprefix(PREFIX))
    return open_router(workspace, name)


def _open_fallback(
    workspace: Workspace, registry: Registry, experts: Sequence[Expert], settings: CouncilSettings
) -> Provider | None:
    """The model named in the settings (a registered name, a provider or an artifact), else the experts' base."""
    name = settings.fallback
    if name:
        is_registered = name in registry.entries()
        return registry.open(name) if is_registered else models.open_model(workspace, name)
    for expert in experts:
        artifact = artifacts.load(workspace, expert.model)
        if artifact.form == "adapter" and artifact.base and artifact.facts.get("format") == "gguf":
            return registry.open(expert.model, {"adapter": "", "name": artifact.base})
    return None

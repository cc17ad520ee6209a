"""Opens the council of a workspace: the registered experts with their models, the router, and the fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from afs import artifacts, models
from afs.council.answer import Chooser, Council
from afs.council.keyword_router import PREFIX, open_keyword_router
from afs.council.llm_router import PREFIX as LLM
from afs.council.llm_router import LlmRouter
from afs.council.reply_check import ReplyChecker
from afs.council.router_store import open_router
from afs.council.stored_council import list_members, load_council
from afs.errors import WorkspaceError
from afs.providers.base import Provider
from afs.providers.loaded_models import LOADED
from afs.registry import Registry
from afs.registry.rosters import list_rosters, load_roster
from afs.types import Expert, Message
from afs.workspace import CouncilSettings, Workspace


def open_council(workspace: Workspace, stored: str = "", *, checks: bool = True) -> Council:
    """A stored council, or that of the registry's champions; `checks` judges its replies."""
    registry, settings = Registry(workspace), workspace.settings.council
    if name := stored or settings.use:
        _, pinned = load_council(workspace, name)
        here = {"served_by": settings.served_by, "most_loaded": settings.most_loaded}
        members = [member.expert for member in pinned.members]
        return _open(workspace, members, msgspec.structs.replace(pinned.settings, **here), checks=checks)
    experts = list_members(workspace, registry)
    experts += served_elsewhere(settings.served_by, [expert.name for expert in experts])
    if not experts:
        raise WorkspaceError(_no_expert(sorted(registry.entries())))
    return _open(workspace, experts, settings, checks=checks)


def ask_council(folder: Path | None, question: str) -> tuple[str, str]:
    """Who answers a question in a workspace's council, and the answer; WorkspaceError where there is none."""
    reply = open_council(Workspace.find(folder)).ask([Message(role="user", text=question)])
    return reply.expert or "the council", reply.text


def _no_expert(registered: Sequence[str]) -> str:
    """Why nobody can answer, and the next command."""
    if not registered:
        return "no expert is registered; `afs quickstart` makes two, `afs models register` adds one"
    names, command = ", ".join(registered[:3]), f"`afs models promote {registered[0]}`"
    return f"no expert is in service: {names} has no champion; {command} makes its candidate one"


def _open(workspace: Workspace, experts: Sequence[Expert], settings: CouncilSettings, *, checks: bool) -> Council:
    registry = Registry(workspace)
    LOADED.most = settings.most_loaded
    here = [expert for expert in experts if expert.name not in settings.served_by]
    opened = {expert.name: (expert, registry.open(expert.model)) for expert in here}
    for expert in experts:
        if node := settings.served_by.get(expert.name):
            opened[expert.name] = (expert, models.open_model(workspace, node))
    router = open_chooser(workspace, settings.router, experts)
    fallback = _open_fallback(workspace, registry, here, settings) if router or settings.fallback else None
    exact = dict(settings.served_by)
    for expert in here:
        artifact = artifacts.load(workspace, expert.model)
        exact[expert.name] = f"{artifact.ref} sha256:{artifact.digest}"
    if fallback is not None:
        exact[""] = fallback.name
    council = Council(opened, router, fallback, ReplyChecker() if checks else None, settings.repairs, exact)
    council.tools = settings.tools
    return council


def served_elsewhere(served_by: Mapping[str, str], known: Sequence[str]) -> list[Expert]:
    """Experts that exist on a node only: with the instructions and tags that a roster has for their names."""
    planned = {member.name: member for roster in list_rosters() for member in load_roster(roster).experts}
    found = []
    for name, node in served_by.items():
        if name in known:
            continue
        own = planned.get(name)
        expert = Expert(name=name, model=node)
        if own is not None:
            fields = {"tags": own.tags, "system": own.system, "temperature": own.temperature, "domain": own.domain}
            expert = msgspec.structs.replace(expert, **fields)
        found.append(expert)
    return found


def open_chooser(workspace: Workspace, name: str, experts: Sequence[Expert] = ()) -> Chooser | None:
    """A router: an artifact, a roster's keywords, a language model, or the newest trained one that lost no gate."""
    if name.startswith(LLM):
        return LlmRouter(models.open_model(workspace, name.removeprefix(LLM)), experts)
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

"""The verbs that read and change the registry: `afs models …`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from afs import plugins
from afs.checks.check_parser import read_check
from afs.config import Config
from afs.errors import UsageError
from afs.registry import Registry
from afs.registry.log_check import read_trusted
from afs.registry.promotion_gate import find_newest_gate, load_report
from afs.registry.registry_state import Alias, Entry
from afs.registry.rosters import MemberRow, load_roster, roster_rows
from afs.types import Artifact, RefText, Value
from afs.workspace import Workspace


class ModelRow(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One line of `afs models list`; what a name does not have is empty, which is not unknown."""

    name: str
    champion: str = ""
    candidate: str = ""
    previous: str = ""
    form: str = ""
    base: str = ""
    versions: int = 0
    deployed: str = ""


class ModelsListConfig(Config, frozen=True, kw_only=True):
    """List registered models."""

    form: str = ""
    """Only models whose current version is of this form: base, adapter, merged, gguf, fewshot, router, council."""
    preset: str = ""
    """A roster (triforce, oracle, story, council): what exists, what is planned, and what each still lacks."""


def list_models(config: ModelsListConfig, workspace: Workspace) -> list[ModelRow] | list[MemberRow]:
    """One row per name, or per member of a roster."""
    if config.preset:
        return roster_rows(Registry(workspace), config.preset)
    rows = [_row(entry) for entry in Registry(workspace).entries().values()]
    return [row for row in rows if not config.form or row.form == config.form]


def _row(entry: Entry) -> ModelRow:
    current = entry.version(entry.current)
    return ModelRow(
        name=entry.name,
        champion=entry.aliases.get("champion", ""),
        candidate=entry.aliases.get("candidate", ""),
        previous=entry.aliases.get("previous", ""),
        form=current.form if current else "",
        base=current.base if current else "",
        versions=len(entry.versions),
        deployed=", ".join(sorted(entry.deployments)),
    )


class ModelsRegisterConfig(Config, frozen=True, kw_only=True):
    """Register an artifact under a name."""

    positional: ClassVar[tuple[str, ...]] = ("name", "artifact")
    name: str
    """Name: project-domain-vN, oracle-NAME-ROLE, or a short one; `name:detail` adds a detail tag."""
    artifact: RefText
    """Stored model."""
    alias: Alias = "candidate"
    """Alias to set."""
    tags: tuple[str, ...] = ()
    """Task families or intents the expert answers."""
    domain: str = ""
    """Domain pack that checks its answers."""
    system: str = ""
    """System prompt."""
    check: str = ""
    """Your own check of its replies: a command, `schema:FILE` …, or a name of `[checks]` in afs.toml."""
    legacy: tuple[str, ...] = ()
    """Older names that should resolve to this one."""
    preset: str = ""
    """Take missing values from the member of this roster with the same name."""


def register(config: ModelsRegisterConfig, workspace: Workspace) -> Entry:
    """Register a model."""
    registry = Registry(workspace)
    name, _, detail = config.name.partition(":")
    fields: dict[str, object] = {}
    legacy = config.legacy
    if config.preset:
        member = next((m for m in load_roster(config.preset).experts if m.name == name), None)
        if member is None:
            raise UsageError(f"preset {config.preset} has no member {name!r}")
        fields = {"tags": member.tags, "domain": member.domain, "system": member.system}
        fields["temperature"] = member.temperature
        legacy = (*legacy, *member.legacy)
    given = {"tags": config.tags, "domain": config.domain, "system": config.system}
    fields |= {key: value for key, value in given.items() if value}
    if config.check:
        fields["check"] = read_check(config.check, Path.cwd(), workspace.named_checks)
    fields = {key: value for key, value in fields.items() if value}
    entry = registry.register(name, config.artifact, detail=detail, alias=config.alias, **fields)
    return registry.describe(name, legacy=legacy) if legacy else entry


class PromoteConfig(Config, frozen=True, kw_only=True):
    """Make a version the champion."""

    positional: ClassVar[tuple[str, ...]] = ("name", "artifact")
    name: str
    """Registered name."""
    artifact: str = ""
    """Version to promote; empty: the candidate."""
    gate: str = ""
    """Gate report of `afs eval gate`; empty: the newest one for this version."""
    reason: str = ""
    """Promote without a passing gate, for this reason, which is recorded."""


def promote(config: PromoteConfig, workspace: Workspace) -> Entry:
    """Promote a version whose gate passed."""
    registry = Registry(workspace)
    entry = registry.entry(config.name)
    ref = config.artifact or entry.aliases.get("candidate", "")
    report = (
        load_report(workspace, config.gate)
        if config.gate
        else find_newest_gate(workspace, ref, read_trusted(registry.log))
    )
    gate = None if config.reason and not config.gate else report
    return registry.promote(config.name, config.artifact, gate=gate, reason=config.reason)


class DeprecateConfig(Config, frozen=True, kw_only=True):
    """Deprecate a version."""

    positional: ClassVar[tuple[str, ...]] = ("name", "artifact")
    name: str
    """Registered name."""
    artifact: RefText
    """Version of it."""
    reason: str
    """Why; shown whenever the version is resolved."""


def deprecate(config: DeprecateConfig, workspace: Workspace) -> Entry:
    """Deprecate a version; it can still be resolved, with a warning, but not promoted."""
    return Registry(workspace).deprecate(config.name, config.artifact, config.reason)


class RollbackConfig(Config, frozen=True, kw_only=True):
    """Restore the previous champion."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """Registered name."""
    reason: str = ""
    """Why; recorded in the registry."""
    redeploy: bool = True
    """Also redeploy the restored champion wherever the name is deployed, with its smoke test."""


_REDEPLOY = plugins.Late[Callable[[Workspace, Entry], None]](plugins.HOOKS["redeploy"])


def rollback(config: RollbackConfig, workspace: Workspace) -> Entry:
    """Restore the previous champion and redeploy it where it is deployed; a rerun finishes one that was interrupted."""
    registry = Registry(workspace)
    entry = registry.entry(config.name)
    if not (config.redeploy and registry.awaits_redeployment(entry)):
        entry = registry.rollback(config.name, reason=config.reason)
    if config.redeploy and entry.deployments:
        _REDEPLOY.load()(workspace, entry)
    return registry.entry(config.name)


class ModelsShowConfig(Config, frozen=True, kw_only=True):
    """Show everything known about a registered model."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """Registered name, older name, or artifact."""


def show(config: ModelsShowConfig, workspace: Workspace) -> Entry | Artifact:
    """A registered name with its versions, or an artifact's manifest."""
    registry = Registry(workspace)
    if ":" in config.name or "@" in config.name:
        return registry.resolve(config.name)
    return registry.entry(config.name)

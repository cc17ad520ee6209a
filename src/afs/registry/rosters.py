"""Rosters: the experts a council is planned to have, as data files, and what each still lacks."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources

from afs import artifacts
from afs.config import Config, decode
from afs.errors import DataError, UsageError
from afs.plugins import suggest_name
from afs.registry import Registry
from afs.registry.registry_state import Entry, Version
from afs.types import Value


class Member(Config, frozen=True, kw_only=True):
    """One expert of a roster."""

    name: str
    """Registered name."""
    role: str
    """Its role."""
    base: str = ""
    """Model it is trained on."""
    domain: str = ""
    """Pack that checks its answers."""
    tags: tuple[str, ...] = ()
    """Task families it answers."""
    keywords: tuple[str, ...] = ()
    """Words that route a question to it."""
    weak: tuple[str, ...] = ()
    """Keywords that do not suffice alone, since other experts' questions hold them too."""
    threshold: float = 0.75
    """Confidence below which it does not answer alone."""
    system: str = ""
    """System prompt."""
    temperature: float = 0.0
    """Sampling temperature."""
    legacy: tuple[str, ...] = ()
    """Older names."""
    forms: tuple[str, ...] = ("adapter",)
    """Artifact forms it may have."""
    planned: bool = False
    """Planned only: the founding documents have no data for it."""


class Roster(Config, frozen=True, kw_only=True):
    """A file of members."""

    title: str
    """Title of the roster."""
    experts: tuple[Member, ...]
    """Its members."""


class MemberRow(Value, frozen=True, kw_only=True):
    """A member and what exists of it."""

    name: str
    role: str
    state: str
    """champion, candidate, registered or planned."""
    model: str = ""
    lacks: tuple[str, ...] = ()


def list_rosters() -> list[str]:
    """The names of all rosters."""
    folder = resources.files("afs.registry") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_roster(name: str) -> Roster:
    """A roster by its name."""
    if name not in list_rosters():
        raise UsageError(f"no preset is called {name!r}{suggest_name(name, list_rosters())}")
    text = (resources.files("afs.registry") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
    return decode(Roster, tomllib.loads(text), file=f"{name}.toml")


def roster_rows(registry: Registry, name: str) -> list[MemberRow]:
    """Every member of a roster with its state and what it lacks."""
    entries = registry.entries()
    return [_row(registry, member, entries.get(member.name)) for member in load_roster(name).experts]


def _row(registry: Registry, member: Member, entry: Entry | None) -> MemberRow:
    if entry is None or not entry.versions:
        parts = ("model",) if member.forms in (("council",), ("router",)) else ("dataset", "model")
        lacks = (*parts, "evaluation", "gate", "deployment")
        return MemberRow(name=member.name, role=member.role, state="planned", lacks=lacks)
    version = entry.version(entry.current)
    state = next((alias for alias in ("champion", "candidate") if alias in entry.aliases), "registered")
    lacks = tuple(_lacks(registry, entry, version)) if version else ("model",)
    return MemberRow(name=member.name, role=member.role, state=state, model=entry.current, lacks=lacks)


def _lacks(registry: Registry, entry: Entry, version: Version) -> Iterator[str]:
    try:
        trained = artifacts.load(registry.workspace, version.ref).dataset
    except (UsageError, DataError):
        yield "files"
        return
    if version.form in ("adapter", "merged", "fewshot") and not trained:
        yield "dataset"
    if not version.reports:
        yield "evaluation"
    if entry.aliases.get("champion") != version.ref:
        yield "gate"
    if not entry.deployments:
        yield "deployment"

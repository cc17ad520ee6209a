"""The state that the events produce: names with versions, aliases and deployments. Pure; nothing is read or written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast

import msgspec

from afs.registry.event_log import Event
from afs.types import Expert, Json, Value

Alias = Literal["champion", "candidate", "previous"]
ALIASES: tuple[Alias, ...] = ("champion", "candidate", "previous")


class Version(Value, frozen=True, kw_only=True):
    """One registered version of a name."""

    ref: str
    digest: str
    form: str
    base: str = ""
    detail: str = ""
    """Detail tag, e.g. `2026-01-07-1562samples`."""
    registered: str = ""
    """When, in UTC."""
    deprecated: str = ""
    """Why it is deprecated; empty: it is not."""
    facts: Json = {}
    """Derived from the artifact's files when it was registered."""
    reports: tuple[str, ...] = ()


class Entry(Value, frozen=True, kw_only=True):
    """A registered name."""

    name: str
    versions: tuple[Version, ...] = ()
    aliases: dict[str, str] = {}
    """champion, candidate, previous -> ref."""
    legacy: tuple[str, ...] = ()
    """Older names that resolve to this one."""
    expert: Expert
    deployments: dict[str, Json] = {}
    """Host -> what runs there."""
    deleted: tuple[str, ...] = ()

    def version(self, ref: str) -> Version | None:
        """The version with this ref."""
        return next((version for version in self.versions if version.ref == ref), None)

    def text(self) -> str:
        """The entry as printed on a terminal."""
        return "\n".join(_entry_lines(self))

    @property
    def current(self) -> str:
        """The ref that the bare name refers to: the champion, else the candidate, else the newest."""
        return current_ref(self.aliases, self.versions)


def _entry_lines(entry: Entry) -> Iterator[str]:
    tags = f"  answers {', '.join(entry.expert.tags)}" if entry.expert.tags else ""
    domain = f"  checked by {entry.expert.domain}" if entry.expert.domain else ""
    yield f"{entry.name}{tags}{domain}"
    holders: dict[str, list[str]] = {}
    for alias, ref in entry.aliases.items():
        holders.setdefault(ref, []).append(alias)
    for version in reversed(entry.versions):
        marks = [*holders.get(version.ref, []), version.detail and f"tag {version.detail}", version.base]
        marks += [f"reports {', '.join(version.reports)}" if version.reports else "no report recorded"]
        marks += [f"DEPRECATED: {version.deprecated}" if version.deprecated else "", version.registered[:10]]
        yield f"  {version.ref:<24} {version.form:<8} " + " · ".join(mark for mark in marks if mark)
    for host, row in entry.deployments.items():
        yield f"  runs on {host}: {row['ref']} as {row.get('made', row['ref'])}"
    if entry.legacy:
        yield f"  also called {', '.join(entry.legacy)}"
    if entry.deleted:
        yield f"  removed: {', '.join(entry.deleted)}"


class _EntryBuilder:
    """An entry while events are applied to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.versions: dict[str, Version] = {}
        self.aliases: dict[str, str] = {}
        self.legacy: list[str] = []
        self.expert: dict[str, Any] = {}
        self.deployments: dict[str, Json] = {}
        self.deleted: list[str] = []

    def apply(self, event: Event) -> None:
        fields = cast(Mapping[str, Any], event.fields)
        if event.action == "register":
            self.versions[event.ref] = msgspec.convert(
                {"ref": event.ref, "registered": _utc_text(event.time), **fields["version"]}, Version
            )
            self.expert |= fields.get("expert", {})
        elif event.action == "describe":
            self.expert |= fields.get("expert", {})
            self.legacy += [name for name in fields.get("legacy", ()) if name not in self.legacy]
        elif event.action in ("alias", "promote", "rollback"):
            for alias, ref in fields["aliases"].items():
                if ref:
                    self.aliases[alias] = ref
                else:
                    self.aliases.pop(alias, None)
            if fields.get("gate"):
                self._mark(event, {"report": fields["gate"]})
        elif event.action == "deploy":
            self.deployments[fields["host"]] = {"ref": event.ref, "time": _utc_text(event.time), **fields}
        elif event.action == "delete":
            self.versions.pop(event.ref, None)
            self.deleted.append(event.ref)
        elif event.ref in self.versions:
            self._mark(event, fields)

    def _mark(self, event: Event, fields: Mapping[str, Any]) -> None:
        version = self.versions[event.ref]
        if event.action == "deprecate":
            self.versions[event.ref] = msgspec.structs.replace(version, deprecated=fields["reason"])
        elif fields["report"] not in version.reports:
            reports = (*version.reports, fields["report"])
            self.versions[event.ref] = msgspec.structs.replace(version, reports=reports)

    def entry(self) -> Entry:
        versions = tuple(self.versions.values())
        model = current_ref(self.aliases, versions)
        return Entry(
            name=self.name,
            versions=versions,
            aliases=self.aliases,
            legacy=tuple(self.legacy),
            expert=msgspec.convert({"name": self.name, **self.expert, "model": model}, Expert),
            deployments=self.deployments,
            deleted=tuple(self.deleted),
        )


def current_ref(aliases: Mapping[str, str], versions: tuple[Version, ...]) -> str:
    """The ref that a bare name refers to: the champion, else the candidate, else the newest."""
    return aliases.get("champion") or aliases.get("candidate") or (versions[-1].ref if versions else "")


def _utc_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def fold_events(events: Iterable[Event]) -> dict[str, Entry]:
    """Every name with its state after these events."""
    builders: dict[str, _EntryBuilder] = {}
    for event in events:
        if event.action == "gate":  # belongs to a suite, not to a name
            continue
        if event.name not in builders:
            builders[event.name] = _EntryBuilder(event.name)
        builders[event.name].apply(event)
    return {name: builder.entry() for name, builder in sorted(builders.items())}

"""The registry of models: names, versions, aliases, promotion and rollback.

The source of truth is an append-only chain of events (`event_log.py`); `registry.toml` is rendered from it and keeps
hand-written notes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from afs import artifacts, datasets, models
from afs.errors import DataError, RefusedError, UsageError
from afs.plugins import suggest_name
from afs.providers.base import Provider
from afs.registry import name_rules, registry_cache, role_forms
from afs.registry.event_log import Event, RegistryLog, chain_problems
from afs.registry.log_check import change_registry
from afs.registry.promotion_gate import refuse_unless_passed
from afs.registry.registry_state import ALIASES, Alias, Entry, Version, fold_events
from afs.registry.toml_view import read_head, render_registry
from afs.types import Artifact, Expert, Report
from afs.workspace import Workspace

__all__ = ["ALIASES", "Entry", "Event", "Registry", "Version", "chain_problems"]


class Registry:
    """The registered models of a workspace."""

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.time) -> None:
        self.workspace = workspace
        self.log = RegistryLog(workspace, clock)

    def entries(self) -> dict[str, Entry]:
        """Every registered name."""
        return registry_cache.load_entries(self.log)

    def entry(self, name: str) -> Entry:
        """The entry of a name or of one of its older names."""
        entries = self.entries()
        if name in entries:
            return entries[name]
        for entry in entries.values():
            if name in entry.legacy:
                return entry
        raise UsageError(f"no model is registered as {name!r}{suggest_name(name, entries)}")

    def register(
        self, name: str, ref: str, *, detail: str = "", alias: Alias | None = "candidate", **expert: object
    ) -> Entry:
        """Register an artifact under a name; `expert` are fields of `Expert` (tags, system, domain …).

        A name that contradicts the files is refused. Registering the same artifact twice changes nothing.
        """
        name_rules.check_name(name)
        name_rules.check_detail(detail)
        artifact = artifacts.load(self.workspace, ref)
        role_forms.refuse_other_form(name, artifact)
        base_facts, samples = self._base_facts(artifact), self._samples(artifact)
        for text in filter(None, (name, detail)):
            found = name_rules.find_contradictions(text, artifact, base_facts, samples)
            name_rules.refuse_contradictions(name, detail, found)
        _check_expert(name, expert)
        with change_registry(self.log):
            known = self.entries().get(name)
            old = known.version(artifact.ref) if known else None
            if old is None or old.detail != detail or (expert and not _has_fields(known, expert)):
                version = _version(artifact, detail, base_facts, samples)
                self.log.append("register", name, artifact.ref, version=version, expert=expert)
            if alias and (known is None or known.aliases.get(alias) != artifact.ref):
                self.log.append("alias", name, artifact.ref, aliases={alias: artifact.ref})
            return self._rendered(name)

    def _base_facts(self, artifact: Artifact) -> Mapping[str, object]:
        """Facts of the model's base, or of the artifact itself when it is a base."""
        if not artifact.base:
            return artifact.facts
        try:
            base = artifacts.load(self.workspace, artifact.base)
        except UsageError:
            return {"name": artifact.base}
        return {"name": base.ref, **base.facts}

    def _samples(self, artifact: Artifact) -> int | None:
        if not artifact.dataset:
            return None
        try:
            dataset = datasets.load(self.workspace, artifact.dataset, "dataset")
        except (UsageError, DataError):
            return None
        return sum(split.count for split in dataset.splits if split.name in ("train", "all"))

    def _rendered(self, name: str) -> Entry:
        """Update `registry.toml`: this name, and every name that changed since it was last written."""
        path = self.workspace.root / "registry.toml"
        events = self.log.read()
        since = read_head(path)[0] if path.is_file() else 0
        changed = {event.name for event in events[since:]} | {name}
        entries = fold_events(event for event in events if event.name in changed)
        render_registry(path, entries.values(), events[-1])
        return entries[name]

    def refresh(self, name: str) -> Entry:
        """Render a name after its events changed; call it under the registry's lock."""
        return self._rendered(name)

    def refresh_stale(self) -> None:
        """Render what a killed command appended but did not render; call it under the registry's lock."""
        for name in {event.name for event in self._unrendered() if event.action != "gate"}:
            self._rendered(name)

    def _unrendered(self) -> list[Event]:
        """The events since `registry.toml` was written; call it under the registry's lock."""
        path = self.workspace.root / "registry.toml"
        return self.log.read()[read_head(path)[0] if path.is_file() else 0 :]

    def reference(self, text: str) -> str:
        """The artifact ref that `name`, `name:alias`, `name:detail`, an older name or `name@version` refers to."""
        name, _, tag = text.partition(":")
        entries = self.entries()
        entry = entries.get(name) or next((e for e in entries.values() if text in e.legacy or name in e.legacy), None)
        if entry is None:
            return str(self.workspace.resolve(text, "artifact"))
        if not tag or text in entry.legacy:
            found = entry.current
        elif tag in ALIASES:
            found = entry.aliases.get(tag, "")
        else:
            found = next((v.ref for v in reversed(entry.versions) if v.detail == tag), "")
        if not found:
            tags = [*entry.aliases, *(v.detail for v in entry.versions if v.detail)]
            raise UsageError(f"{entry.name} has no {tag or 'version'}{suggest_name(tag, tags)}")
        version = entry.version(found)
        if version and version.deprecated:
            warnings.warn(f"{text} ({found}) is deprecated: {version.deprecated}", stacklevel=2)
        return found

    def resolve(self, text: str) -> Artifact:
        """The artifact a name refers to; see `reference`."""
        return artifacts.load(self.workspace, self.reference(text))

    def expert(self, name: str) -> Expert:
        """A name as a member of the council."""
        return self.entry(name).expert

    def experts(self) -> list[Expert]:
        """Every name with a champion."""
        return [entry.expert for entry in self.entries().values() if "champion" in entry.aliases]

    def open(self, text: str, options: Mapping[str, object] = {}) -> Provider:
        """A model to call, also a folder or hub id; experts that are LoRA GGUFs on one base share one loaded base."""
        if models.is_model_folder(text) or (models.is_hub_id(text) and text not in self.entries()):
            return models.open_model(self.workspace, text, options)
        artifact = self.resolve(text)
        if artifact.form != "adapter" or artifact.facts.get("format") != "gguf":
            return models.open_model(self.workspace, artifact.ref, options)
        siblings = {artifact.ref: str(artifacts.folder_of(self.workspace, artifact))}
        for expert in self.experts():
            other = artifacts.load(self.workspace, expert.model)
            if other.base == artifact.base and other.facts.get("format") == "gguf" and other.form == "adapter":
                siblings[other.ref] = str(artifacts.folder_of(self.workspace, other))
        places = {"name": artifact.ref, "adapters": siblings, "adapter": artifact.ref, **options}
        return models.open_model(self.workspace, artifact.base, places)

    def promote(self, name: str, ref: str = "", *, gate: Report | None = None, reason: str = "") -> Entry:
        """Make a version (default: the candidate) the champion, given a passing gate or a reason, which is recorded."""
        with change_registry(self.log) as events:
            entry = self.entry(name)
            champion = entry.aliases.get("champion", "")
            wanted = str(self.workspace.resolve(ref, "artifact")) if ref else entry.aliases.get("candidate", champion)
            version = entry.version(wanted)
            if version is None:
                raise UsageError(f"{name}: register {wanted or 'a candidate'} before it is promoted")
            if champion == wanted and "candidate" not in entry.aliases:  # done before, perhaps by a run killed since
                return self._rendered(entry.name)
            if version.deprecated:
                raise RefusedError(f"{name}: {wanted} is deprecated: {version.deprecated}")
            if not reason or gate is not None:
                refuse_unless_passed(gate, version, events)
            moved = {"champion": wanted, "candidate": ""}
            if champion != wanted:
                moved["previous"] = champion
            report = gate.ref if gate else ""
            measured = str(gate.environment.get("report", "")) if gate else ""
            if measured:
                self.log.append("evaluate", entry.name, wanted, report=measured)
            self.log.append("promote", entry.name, wanted, aliases=moved, gate=report, reason=reason)
            return self._rendered(entry.name)

    def rollback(self, name: str, *, reason: str = "") -> Entry:
        """Make the previous champion the champion again; the current one becomes the previous.

        After one that was killed before it rendered, that one is finished: a second would undo it.
        """
        with change_registry(self.log):
            entry = self.entry(name)
            if any(event.action == "rollback" and event.name == entry.name for event in self._unrendered()):
                return self._rendered(entry.name)
            back, now = entry.aliases.get("previous", ""), entry.aliases.get("champion", "")
            if not back:
                raise RefusedError(f"{name}: there is no previous champion")
            if not self.workspace.path(self.workspace.resolve(back, "artifact")).is_dir():
                raise RefusedError(f"{name}: the previous champion {back} is no longer stored")
            self.log.append("rollback", entry.name, back, aliases={"champion": back, "previous": now}, reason=reason)
            return self._rendered(entry.name)

    def awaits_redeployment(self, entry: Entry) -> bool:
        """Whether the last change of the champion was a rollback and another version still runs somewhere."""
        moves = [e.action for e in self.log.read() if e.name == entry.name and e.action in ("promote", "rollback")]
        champion = entry.aliases.get("champion", "")
        return moves[-1:] == ["rollback"] and any(row["ref"] != champion for row in entry.deployments.values())

    def describe(self, name: str, *, legacy: tuple[str, ...] = (), **expert: object) -> Entry:
        """Add older names or change an expert's fields."""
        _check_expert(name, expert)
        with change_registry(self.log):
            entry = self.entry(name)
            self.log.append("describe", entry.name, expert=expert, legacy=legacy)
            return self._rendered(entry.name)

    def deprecate(self, name: str, ref: str, reason: str) -> Entry:
        """Deprecate a version; it can still be resolved, with a warning. Repeating it changes nothing."""
        return self._note("deprecate", name, ref, lambda version: version.deprecated == reason, reason=reason)

    def evaluated(self, name: str, ref: str, report: str) -> Entry:
        """Record that a report measured this version; repeating it changes nothing."""
        return self._note("evaluate", name, ref, lambda version: report in version.reports, report=report)

    def deployed(self, name: str, ref: str, host: str, **facts: object) -> Entry:
        """Record where a version is deployed."""
        return self._note("deploy", name, ref, lambda version: False, host=host, **facts)

    def _note(self, action: Any, name: str, ref: str, is_noted: Callable[[Version], bool], **fields: object) -> Entry:
        with change_registry(self.log):
            entry = self.entry(name)
            version = entry.version(ref)
            if version is None:
                raise UsageError(f"{name} has no version {ref}{suggest_name(ref, [v.ref for v in entry.versions])}")
            if not is_noted(version):
                self.log.append(action, entry.name, ref, **fields)
            return self._rendered(entry.name)


def _version(
    artifact: Artifact, detail: str, base_facts: Mapping[str, object], samples: int | None
) -> dict[str, object]:
    facts = {**artifact.facts, "bytes": sum(entry.size for entry in artifact.files)}
    if samples is not None:
        facts["samples"] = samples
    if "parameters" in base_facts and artifact.base:
        facts["base_parameters"] = base_facts["parameters"]
    row = {"digest": artifact.digest, "form": artifact.form, "base": artifact.base, "detail": detail, "facts": facts}
    return {key: value for key, value in row.items() if value}


def _check_expert(name: str, fields: Mapping[str, object]) -> None:
    try:
        msgspec.convert({"name": name, "model": "", **msgspec.to_builtins(fields)}, Expert)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {error}") from error


def _has_fields(entry: Entry | None, fields: Mapping[str, object]) -> bool:
    known = msgspec.to_builtins(entry.expert) if entry else {}
    plain = msgspec.to_builtins(fields)
    return all(known.get(key) == value for key, value in plain.items())

"""The model card: what a model is, where it comes from and how it was measured, all read from stored records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from afs.config import Config
from afs.errors import DataError, UsageError
from afs.registry import Registry
from afs.registry.lineage import Origins, read_run_facts, trace_origins
from afs.registry.promotion_gate import load_report
from afs.registry.registry_state import Entry, Version
from afs.types import Artifact, Interval, Report
from afs.workspace import Workspace

_UNKNOWN = "unknown"


class CardConfig(Config, frozen=True, kw_only=True):
    """The model card of a registered model, as Markdown with Hugging Face's metadata."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """Registered name or artifact."""


def card(config: CardConfig, workspace: Workspace) -> str:
    """Write the card."""
    registry = Registry(workspace)
    return model_card(workspace, registry.resolve(config.name), _entry(registry, config.name))


def _entry(registry: Registry, text: str) -> Entry | None:
    try:
        return registry.entry(text.partition(":")[0])
    except UsageError:
        return None


def model_card(workspace: Workspace, artifact: Artifact, entry: Entry | None) -> str:
    """The card of an artifact, with the facts of its registered name."""
    traced = trace_origins(workspace, artifact)
    version = entry.version(artifact.ref) if entry else None
    reports = list(_reports(workspace, version)) if version else []
    title = entry.name if entry else artifact.ref
    sections = [
        _metadata(title, artifact, traced, reports),
        f"# {title}\n",
        "\n".join(_what(artifact, entry, version)),
        "\n".join(_data(traced)),
        "\n".join(_training(workspace, traced)),
        "\n".join(_results(reports)),
        "\n".join(_limits(traced, reports, artifact)),
    ]
    return "\n".join(sections) + "\n"


def _reports(workspace: Workspace, version: Version) -> Iterator[Report]:
    for ref in version.reports:
        try:
            yield load_report(workspace, ref)
        except (UsageError, DataError):
            continue


def _yaml(value: object) -> str:
    """A scalar as YAML reads it: JSON is a part of YAML."""
    return msgspec.json.encode(value).decode()


def _metadata(title: str, artifact: Artifact, traced: Origins, reports: list[Report]) -> str:
    lines = ["---", f"base_model: {_yaml(artifact.base)}" if artifact.base else "base_model: null"]
    licenses = sorted({row.license for row in traced.sources})
    lines += ["library_name: gguf" if artifact.form == "gguf" else "library_name: peft", "tags: [afs]"]
    lines += [f"data_licenses: {_yaml(licenses)}", "model-index:", f"  - name: {_yaml(title)}", "    results:"]
    for report in reports:
        for metric, value in report.summary.items():
            if value.value is None:
                continue
            lines += [
                "      - task: {type: text-generation}",
                f"        dataset: {{name: {_yaml(report.suite)}, type: {_yaml(report.suite_digest[:16])}}}",
                f"        metrics: [{{type: {_yaml(metric)}, value: {_number(value.value)}, "
                f"low: {_number(value.low)}, high: {_number(value.high)}, n: {value.n}}}]",
            ]
    if not any(line.startswith("      - task") for line in lines):
        lines[-1] += " []"
    return "\n".join([*lines, "---", ""])


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.6g}"


def _what(artifact: Artifact, entry: Entry | None, version: Version | None) -> Iterator[str]:
    yield f"- Artifact: `{artifact.ref}` ({artifact.form}), digest `{artifact.digest[:16]}`"
    yield f"- Base: {f'`{artifact.base}`' if artifact.base else 'none'}" + (
        f", tensors `{artifact.base_digest[:16]}`" if artifact.base_digest else ""
    )
    if entry:
        aliases = [alias for alias, ref in entry.aliases.items() if ref == artifact.ref]
        yield f"- Registered as: `{entry.name}`" + (f" ({', '.join(aliases)})" if aliases else "")
        yield f"- Answers: {', '.join(entry.expert.tags) or _UNKNOWN}"
    if version and version.deprecated:
        yield f"- **Deprecated**: {version.deprecated}"
    for key, value in sorted(artifact.facts.items()):
        yield f"- {key}: {_plain(value)}"
    yield f"- Size: {sum(file.size for file in artifact.files):,} bytes in {len(artifact.files)} files"
    yield ""


def _plain(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _data(traced: Origins) -> Iterator[str]:
    yield "## Data\n"
    if not traced.sources:
        yield "No training data of this model is stored here.\n"
        return
    yield "| source | license | made by | records |\n|---|---|---|---:|"
    for row in traced.sources:
        yield f"| {row.source} | {row.license} | {row.maker or 'people'} | {row.records} |"
    yield f"\nDatasets: {', '.join(f'`{ref}`' for ref in traced.datasets)}\n"


def _training(workspace: Workspace, traced: Origins) -> Iterator[str]:
    yield "## Training\n"
    for run_id in traced.runs:
        facts = read_run_facts(workspace, run_id)
        listing = ", ".join(f"{key} {_plain(facts[key])}" for key in facts)
        yield f"- `{run_id}`: {listing or 'no longer stored'}" + ("" if "cost_usd" in facts else ", cost unknown")
    if not traced.runs:
        yield "Trained outside this workspace: time and cost unknown."
    yield ""


def _results(reports: list[Report]) -> Iterator[str]:
    yield "## Evaluation\n"
    if not reports:
        yield "Not evaluated.\n"
        return
    yield "| suite | measure | value | interval | n |\n|---|---|---:|---|---:|"
    for report in reports:
        for metric, value in report.summary.items():
            yield f"| {report.suite} | {metric} | {_shown(value)} | {_interval(value)} | {value.n} |"
    yield ""


def _shown(value: Interval) -> str:
    return _UNKNOWN if value.value is None else f"{value.value:.4g}"


def _interval(value: Interval) -> str:
    return _UNKNOWN if value.low is None or value.high is None else f"{value.low:.4g} to {value.high:.4g}"


def _limits(traced: Origins, reports: list[Report], artifact: Artifact) -> Iterator[str]:
    yield "## Limits\n"
    if not reports:
        yield "- Not evaluated: its quality is unknown."
    unlicensed = sum(row.records for row in traced.sources if row.license == _UNKNOWN)
    if unlicensed:
        yield f"- {unlicensed} training records have no known license."
    for ref in traced.missing:
        yield f"- `{ref}` is part of its lineage but not stored here."
    if artifact.form == "gguf" and isinstance(artifact.facts.get("types"), dict):
        yield f"- Quantized: tensor types {_plain(artifact.facts['types'])}."
    parity = artifact.facts.get("parity")
    yield f"- Parity with its source: {_plain(parity) if parity else 'not measured'}."

"""`afs models mlflow`: a registered model in an MLflow server, by its REST interface, without MLflow installed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

import msgspec

from afs.config import Config
from afs.errors import DataError, MissingError, ProviderError, UsageError
from afs.http import Client, HttpError, UnreachableError
from afs.registry import Registry
from afs.registry.lineage import trace_origins
from afs.registry.promotion_gate import load_report
from afs.registry.registry_state import Entry, Version
from afs.types import Value
from afs.workspace import Workspace

_API = "/api/2.0/mlflow/"
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_TIMEOUT_S = 30.0


class MlflowConfig(Config, frozen=True, kw_only=True):
    """Export a registered model with its versions, aliases, tags and metrics to an MLflow server."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """Registered name."""
    url: str = "http://127.0.0.1:5000"
    """Address of the MLflow server."""
    experiment: str = "0"
    """MLflow experiment that receives the metrics."""


class MlflowExport(Value, frozen=True, kw_only=True):
    """What MLflow holds after the export."""

    name: str
    versions: dict[str, str]
    """Artifact -> MLflow's version."""
    aliases: dict[str, str]
    measures: int


class _MlflowServer:
    """An MLflow server."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = Client(self.url, timeout_s=_TIMEOUT_S, connect_s=5.0)

    def post(self, path: str, *, known: bool = False, **body: object) -> dict[str, Any]:
        """POST; with `known`, an existing object is not an error."""
        return self._call("POST", path, known=known, body=msgspec.json.encode(body))

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        return self._call("GET", f"{path}?{urlencode(parameters)}")

    def _call(self, method: str, path: str, *, known: bool = False, body: bytes | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, _API + path, body)
        except UnreachableError as error:
            raise MissingError(f"no MLflow server answers at {self.url}; name it with --url") from error
        except HttpError as error:
            raise ProviderError(f"MLflow {path}: {error}") from error
        try:
            table = msgspec.json.decode(answer.body or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"MLflow {path}: the answer is not JSON (HTTP {answer.status})") from error
        if answer.status != 200 and not (known and table.get("error_code") == _EXISTS):
            raise ProviderError(f"MLflow {path}: {table.get('message') or answer.status}")
        return table

    def close(self) -> None:
        self._client.close()


def export_model(config: MlflowConfig, workspace: Workspace) -> MlflowExport:
    """Export everything; a version that MLflow already has, by its digest, is not written twice."""
    registry = Registry(workspace)
    entry = registry.entry(config.name)
    if not entry.versions:
        raise UsageError(f"{entry.name} has no versions")
    server = _MlflowServer(config.url)
    try:
        server.post("registered-models/create", known=True, name=entry.name)
        there = _there(server, entry.name)
        numbers = {v.ref: there.get(v.digest) or _create(server, registry, entry, v) for v in entry.versions}
        aliases = {alias: ref for alias, ref in entry.aliases.items() if ref in numbers}
        for alias, ref in aliases.items():
            server.post("registered-models/alias", name=entry.name, alias=alias, version=numbers[ref])
        fresh = [version for version in entry.versions if version.digest not in there]
        measures = sum(_measure(server, workspace, config.experiment, entry, version) for version in fresh)
    finally:
        server.close()
    return MlflowExport(name=entry.name, versions=numbers, aliases=aliases, measures=measures)


def _there(server: _MlflowServer, name: str) -> dict[str, str]:
    """Digest -> MLflow's version, of what was exported before."""
    rows = server.get("model-versions/search", filter=f"name='{name}'").get("model_versions", [])
    found = {}
    for row in rows:
        tags = {tag["key"]: tag["value"] for tag in row.get("tags", [])}
        if "afs.digest" in tags:
            found[tags["afs.digest"]] = str(row["version"])
    return found


def _create(server: _MlflowServer, registry: Registry, entry: Entry, version: Version) -> str:
    tags = [{"key": key, "value": value} for key, value in _tags(registry, version)]
    source = f"afs://models/{version.ref.replace('@', '/')}"
    created = server.post("model-versions/create", name=entry.name, source=source, tags=tags)
    return str(created["model_version"]["version"])


def _tags(registry: Registry, version: Version) -> Iterator[tuple[str, str]]:
    yield "afs.ref", version.ref
    yield "afs.digest", version.digest
    yield "afs.form", version.form
    traced = trace_origins(registry.workspace, registry.resolve(version.ref))
    named: Mapping[str, str] = {
        "afs.base": version.base,
        "afs.detail": version.detail,
        "afs.deprecated": version.deprecated,
        "afs.datasets": ", ".join(traced.datasets),
        "afs.licenses": ", ".join(sorted({row.license for row in traced.sources})),
    }
    yield from ((key, value) for key, value in named.items() if value)


def _measure(server: _MlflowServer, workspace: Workspace, experiment: str, entry: Entry, version: Version) -> int:
    """The measured values of a version's reports as one MLflow run; unknown values are left out."""
    now = int(time.time() * 1000)
    rows = []
    for ref in version.reports:
        for metric, interval in load_report(workspace, ref).summary.items():
            bounds = {"": interval.value, ".low": interval.low, ".high": interval.high}
            rows += [
                {"key": f"{ref}.{metric}{end}".replace("@", "-"), "value": value, "timestamp": now, "step": 0}
                for end, value in bounds.items()
                if value is not None
            ]
    if not rows:
        return 0
    run = server.post("runs/create", experiment_id=experiment, start_time=now, run_name=f"{entry.name} {version.ref}")
    run_id = run["run"]["info"]["run_id"]
    server.post("runs/log-batch", run_id=run_id, metrics=rows)
    server.post("runs/update", run_id=run_id, status="FINISHED", end_time=now)
    return len(rows)

"""Lineage in both directions: from a model to its runs, datasets, records and sources, and from a sample to models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec

from afs import artifacts, datasets, runs
from afs.errors import DataError, UsageError
from afs.types import Artifact, Dataset, Record, Value
from afs.workspace import Workspace


class SourceRow(Value, frozen=True, kw_only=True):
    """Records of one source inside a model's training set."""

    source: str
    license: str
    maker: str
    records: int


class Origins(Value, frozen=True, kw_only=True):
    """A model with everything it was derived from."""

    model: str
    digest: str
    artifacts: tuple[str, ...]
    """The model, its parents and bases, nearest first."""
    runs: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    """Training set and the records it was curated from."""
    sources: tuple[SourceRow, ...] = ()
    missing: tuple[str, ...] = ()
    """Refs that are named but no longer stored."""
    sample: Record | None = None
    """The requested sample, when the model was trained on it."""


class Sighting(Value, frozen=True, kw_only=True):
    """A model that saw a sample."""

    model: str
    names: tuple[str, ...]
    dataset: str
    split: str
    record: str
    how: str
    """itself, or derived from it."""
    source: str
    uri: str = ""
    license: str = ""
    maker: str = ""


def list_artifacts(workspace: Workspace) -> Iterator[Artifact]:
    """All stored models; unreadable manifests are skipped here and reported by `verify`."""
    for name in workspace.names("artifact"):
        for version in workspace.versions("artifact", name):
            with suppress(DataError):
                yield artifacts.load(workspace, f"{name}@{version}")


def ancestry(workspace: Workspace, artifact: Artifact) -> tuple[list[Artifact], list[str]]:
    """The artifact with everything it depends on, nearest first, and what is missing."""
    found, missing, waiting = {artifact.ref: artifact}, [], [artifact]
    while waiting:
        one = waiting.pop(0)
        for ref in _models_named(one):
            if ref in found or ref in missing:
                continue
            try:
                found[ref] = artifacts.load(workspace, ref)
                waiting.append(found[ref])
            except (UsageError, DataError):
                missing.append(ref)
    return list(found.values()), missing


def _models_named(artifact: Artifact) -> list[str]:
    """Parents and base; parents may carry their kind in front (`artifact:base@1`, `dataset:sft@3`)."""
    named = [parent.removeprefix("artifact:") for parent in artifact.parents if not parent.startswith("dataset:")]
    return list(dict.fromkeys(ref for ref in (*named, artifact.base) if ref))


def data_ancestry(workspace: Workspace, refs: Iterable[str]) -> tuple[list[Dataset], list[str]]:
    """Datasets with the records they were made from."""
    found: dict[str, Dataset] = {}
    missing: list[str] = []
    waiting = [ref for ref in refs if ref]
    while waiting:
        ref = waiting.pop(0)
        if ref in found or ref in missing:
            continue
        try:
            found[ref] = datasets.load(workspace, ref)
            waiting += [parent.rpartition(":")[2] for parent in found[ref].parents if "@" in parent]
        except (UsageError, DataError):
            missing.append(ref)
    return list(found.values()), missing


def trace_origins(workspace: Workspace, artifact: Artifact, sample: str = "") -> Origins:
    """Everything a model was derived from, and whether it was trained on a sample."""
    models, missing = ancestry(workspace, artifact)
    trained_on = [model.dataset for model in models if model.dataset]
    sets, lost = data_ancestry(workspace, trained_on)
    direct = [found for found in sets if found.ref in trained_on]
    seen = next((s for found in direct for s in _find(workspace, found, sample)), None) if sample else None
    return Origins(
        model=artifact.ref,
        digest=artifact.digest,
        artifacts=tuple(model.ref for model in models),
        runs=tuple(dict.fromkeys(model.run for model in models if model.run)),
        datasets=tuple(found.ref for found in sets),
        sources=tuple(_sources(workspace, direct)),
        missing=tuple(missing + lost),
        sample=seen[1] if seen else None,
    )


def _sources(workspace: Workspace, sets: Iterable[Dataset]) -> Iterator[SourceRow]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for found in sets:
        for split in found.splits:
            if split.name in ("train", "all"):
                for record in datasets.read(workspace, found, split.name):
                    counts[(record.origin.source, record.origin.license, record.origin.maker)] += 1
    for (source, license, maker), number in counts.most_common():
        yield SourceRow(source=source, license=license or "unknown", maker=maker, records=number)


def _find(workspace: Workspace, dataset: Dataset, sample: str) -> Iterator[tuple[str, Record, str]]:
    """(split, record, how) of every record that is the sample or was derived from it."""
    for split in dataset.splits:
        for record in datasets.read(workspace, dataset, split.name):
            if record.id.startswith(sample):
                yield split.name, record, "itself"
            elif any(parent.startswith(sample) for parent in record.origin.parents):
                yield split.name, record, "derived from it"


def find_sightings(workspace: Workspace, sample: str, names_of: dict[str, list[str]]) -> list[Sighting]:
    """Every model that saw a sample (an id or its first characters), itself or through a descendant of the model."""
    if len(sample) < 6:
        raise UsageError(f"{sample!r}: want at least six characters of a record's id")
    models = list(list_artifacts(workspace))
    hits: dict[str, list[tuple[str, Record, str]]] = {}
    for ref in dict.fromkeys(model.dataset for model in models if model.dataset):
        with suppress(UsageError, DataError):
            hits[ref] = list(_find(workspace, datasets.load(workspace, ref), sample))
    found = []
    for model in models:
        ancestors, _ = ancestry(workspace, model)
        for ref in dict.fromkeys(one.dataset for one in ancestors if one.dataset):
            found += [_sighting(model, names_of, ref, hit) for hit in hits.get(ref, [])]
    return found


def _sighting(model: Artifact, names_of: dict[str, list[str]], dataset: str, hit: tuple[str, Record, str]) -> Sighting:
    split, record, how = hit
    origin = record.origin
    return Sighting(
        model=model.ref,
        names=tuple(names_of.get(model.ref, [])),
        dataset=dataset,
        split=split,
        record=record.id,
        how=how,
        source=origin.source,
        uri=origin.uri,
        license=origin.license,
        maker=origin.maker,
    )


def read_run_facts(workspace: Workspace, run_id: str) -> dict[str, object]:
    """Verb, seconds and cost from a run's files; empty when it is no longer stored."""
    try:
        run = runs.get(workspace, run_id)
    except UsageError:
        return {}
    state = run.state
    facts: dict[str, object] = {"verb": state.verb}
    if state.finished:
        facts["seconds"] = round(state.finished - state.started, 1)
    record = run.folder / "record.json"
    if record.is_file():
        stored = msgspec.json.decode(record.read_bytes(), type=dict[str, object])
        facts |= {key: stored[key] for key in ("cost_usd", "method", "records", "steps") if stored.get(key) is not None}
    return facts
